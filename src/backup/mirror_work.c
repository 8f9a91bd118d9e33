/* Owners' destinations at work: what is missing is found by comparing, and copied, step by step. */
#include "backup/mirror_internal.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum {
    FIRST_WAIT_MS = 1000,
    WAITS_MAX = 10, /* doublings */
    LONGEST_WAIT_MS = 15 * 60 * 1000,
};

/* ---- What waits ---- */

static void item_free(struct mirror_item **item)
{
    if (*item == NULL)
        return;
    mem_free(&(*item)->name);
    fd_close(&(*item)->fd);
    mem_free(item);
}

/* Off the list. */
static void take_item(struct mirror *mirror, struct mirror_item *item)
{
    TAILQ_REMOVE(&mirror->items, item, in_items);
    if (item->is_removal) {
        mirror->removal_count--;
    } else {
        mirror->copy_count--;
        mirror->copy_bytes -= item->size_bytes;
        mirror->mirrors->copies--;
        mirror->mirrors->copy_bytes -= item->size_bytes;
    }
}

void mirror_drop_copies(struct mirror *mirror, bool with_removals)
{
    struct mirror_item *item, *next;

    for (item = TAILQ_FIRST(&mirror->items); item != NULL; item = next) {
        next = TAILQ_NEXT(item, in_items);
        if (item->is_removal && !with_removals)
            continue;
        take_item(mirror, item);
        item_free(&item);
    }
}

struct mirror_item *mirror_item_new(struct str name)
{
    struct mirror_item *item = NEW(struct mirror_item);

    item->name = mem_copy_text(name.ptr, name.len);
    item->fd = -1;
    return item;
}

void mirror_add(struct mirror *mirror, struct mirror_item *item)
{
    TAILQ_INSERT_TAIL(&mirror->items, item, in_items);
    if (item->is_removal) {
        mirror->removal_count++;
    } else {
        mirror->copy_count++;
        mirror->copy_bytes += item->size_bytes;
        mirror->mirrors->copies++;
        mirror->mirrors->copy_bytes += item->size_bytes;
    }
}

/* ---- Comparing ---- */

static void page_reset(struct mirror_page *page)
{
    arena_free(&page->arena);
    mem_free(&page->entries);
    *page = (struct mirror_page){.count = 0};
}

static void forget_place(struct mirror *mirror)
{
    page_reset(&mirror->page);
    mem_free(&mirror->after);
    mirror->stage = MIRROR_STAGE_NONE;
}

/* ---- The end of a step ---- */

bool mirror_has_work(const struct mirror *mirror)
{
    return (mirror->must_compare && !mirror->is_leaving) || !TAILQ_EMPTY(&mirror->items);
}

static void end_turn(struct mirror *mirror)
{
    mirror->call = NULL;
    item_free(&mirror->item);
    mirror_end_turn(mirror);
}

/* One step was done, at the owner's. */
static void succeed(struct mirror *mirror)
{
    if (mirror->failures > 0)
        log_info(mirror->mirrors->log, "an owner's backup destination works again mailbox=%s",
                 mirror->mailbox.text);
    mirror->failures = 0;
    mirror->failing_since_ms = mirror->lost_since_ms = mirror->silent_until_ms = 0;
    end_turn(mirror);
}

void mirror_give_up(struct mirror *mirror)
{
    backup_cancel(&mirror->call);
    if (mirror->item != NULL && mirror->item->is_removal) { /* again, later */
        TAILQ_INSERT_HEAD(&mirror->items, mirror->item, in_items);
        mirror->removal_count++;
        mirror->item = NULL;
    }
    item_free(&mirror->item);
    mirror_drop_copies(mirror, false);
    forget_place(mirror);
    mirror->must_compare = true;
    mirror->must_compare_again = false;
    mirror_close(mirror);
}

static void fail_turn(struct mirror *mirror, const char *where, enum err err, const char *words)
{
    char text[MIRROR_WORDS_ROOM];
    int64_t wait_ms = (int64_t)FIRST_WAIT_MS
                      << (mirror->failures < WAITS_MAX ? mirror->failures : WAITS_MAX);

    (void)snprintf(text, sizeof(text), "%s%s", where, words);
    if (mirror->failures == 0 || strcmp(text, mirror->words) != 0)
        log_warning(mirror->mirrors->log,
                    "an owner's backup destination failed mailbox=%s kind=\"%s\" reason=\"%s\"",
                    mirror->mailbox.text, err_name(err), text);
    memcpy(mirror->words, text, sizeof(text));
    if (mirror->failures == 0)
        mirror->failing_since_ms = clock_now_ms();
    mirror->failures++;
    mirror_give_up(mirror);
    mirror->is_waiting = true;
    net_timer_start(mirror->timer, wait_ms < LONGEST_WAIT_MS ? wait_ms : LONGEST_WAIT_MS);
    end_turn(mirror);
}

static void fail_own(struct mirror *mirror, const struct backup_result *result)
{
    fail_turn(mirror, "", result->err, result->words);
}

void mirror_put_off(struct mirror *mirror, const char *words)
{
    fail_turn(mirror, "", ERR_BUSY, words);
}

void mirror_on_time(void *owner)
{
    struct mirror *mirror = owner;

    if (!mirror->is_waiting) {
        mirror_close(mirror); /* it has rested for long */
        return;
    }
    mirror->is_waiting = false;
    mirror_get_ready(mirror);
    mirrors_run(mirror->mirrors);
}

/* ---- Steps ---- */

static void on_copied(void *owner, struct backup_result *result)
{
    struct mirror *mirror = owner;

    mirror->call = NULL;
    if (result->err != ERR_OK) {
        fail_own(mirror, result);
        return;
    }
    mirror->copied_count++;
    mirror->last_copied_ms = clock_now_ms();
    succeed(mirror);
}

static void put_item(struct mirror *mirror)
{
    struct backup_put put = {.name = str_from_c(mirror->item->name),
                             .fd = mirror->item->fd,
                             .size_bytes = mirror->item->size_bytes,
                             .digest = mirror->item->digest};

    mirror->call = backup_put(mirror->use->public.destination, &put, on_copied, mirror);
}

static void on_fetched(void *owner, struct backup_result *result)
{
    struct mirror *mirror = owner;

    mirror->call = NULL;
    if (result->err == ERR_NOT_FOUND) { /* let go meanwhile */
        end_turn(mirror);
    } else if (result->err == ERR_CORRUPT) {
        log_warning(mirror->mirrors->log, "a damaged backup is not copied name=%s reason=\"%s\"",
                    mirror->item->name, result->words);
        end_turn(mirror);
    } else if (result->err != ERR_OK) {
        fail_turn(mirror, "this host's backups: ", result->err, result->words);
    } else if (mirror->is_leaving) {
        end_turn(mirror);
    } else {
        mirror->item->fd = result->fd;
        result->fd = -1;
        mirror->item->size_bytes = result->size_bytes;
        memcpy(mirror->item->digest, result->digest, CRYPT_HASH_BYTES);
        put_item(mirror);
    }
}

static void on_removed(void *owner, struct backup_result *result)
{
    struct mirror *mirror = owner;

    mirror->call = NULL;
    if (result->err != ERR_OK)
        fail_own(mirror, result);
    else
        succeed(mirror);
}

/* The page is copied: the next one, or the end. */
static void end_page(struct mirror *mirror)
{
    struct mirror_page *page = &mirror->page;
    bool is_last = page->is_last;

    mem_free(&mirror->after);
    if (page->count > 0)
        mirror->after = mem_copy_text(page->entries[page->count - 1].name,
                                      strlen(page->entries[page->count - 1].name));
    page_reset(page);
    mirror->stage = MIRROR_STAGE_NONE;
    if (is_last) {
        forget_place(mirror);
        mirror->must_compare = mirror->must_compare_again;
        mirror->must_compare_again = false;
    }
}

static bool is_manifest(const char *name)
{
    return str_ends_with(str_from_c(name), STR(".json"));
}

/* The next object that is missing: manifests behind the others. */
static void copy_next(struct mirror *mirror)
{
    struct mirror_page *page = &mirror->page;

    for (;;) {
        while (page->next < page->count) {
            struct mirror_entry *entry = &page->entries[page->next++];

            if (entry->is_there || is_manifest(entry->name) != page->are_manifests)
                continue;
            mirror->item = mirror_item_new(str_from_c(entry->name));
            mirror->call =
                backup_get(mirror->mirrors->host, str_from_c(entry->name), on_fetched, mirror);
            return;
        }
        if (page->are_manifests)
            break;
        page->are_manifests = true;
        page->next = 0;
    }
    end_page(mirror);
    succeed(mirror);
}

static void list_own(struct mirror *mirror, struct str after);

/* Both lists are in the order of their bytes. */
static void on_own_listed(void *owner, struct backup_result *result)
{
    struct mirror *mirror = owner;
    struct mirror_page *page = &mirror->page;
    struct str last = STR("");

    mirror->call = NULL;
    if (result->err != ERR_OK) {
        fail_own(mirror, result);
        return;
    }
    for (size_t i = 0; i < result->object_count; i++) {
        const struct backup_object *object = &result->objects[i];

        last = object->name;
        while (page->next < page->count &&
               str_compare(str_from_c(page->entries[page->next].name), last) < 0)
            page->next++;
        if (page->next < page->count && str_equal(str_from_c(page->entries[page->next].name), last))
            page->entries[page->next].is_there =
                object->size_bytes == page->entries[page->next].size_bytes;
    }
    if (!result->is_last && last.len > 0 && page->next < page->count) {
        list_own(mirror, last);
        return;
    }
    page->next = 0;
    mirror->stage = MIRROR_STAGE_COPYING;
    succeed(mirror);
}

static struct str root_of(const struct mirror *mirror, char room[static ID_TEXT_LEN + 2])
{
    (void)snprintf(room, ID_TEXT_LEN + 2, "%s/", mirror->mailbox.text);
    return str_from_c(room);
}

static void list_own(struct mirror *mirror, struct str after)
{
    char root[ID_TEXT_LEN + 2];

    mirror->stage = MIRROR_STAGE_COMPARING;
    mirror->call = backup_list(mirror->use->public.destination, root_of(mirror, root), after,
                               BACKUP_PAGE_MAX, on_own_listed, mirror);
}

static void on_host_listed(void *owner, struct backup_result *result)
{
    struct mirror *mirror = owner;
    struct mirror_page *page = &mirror->page;
    size_t count = result->object_count;

    mirror->call = NULL;
    if (result->err != ERR_OK) {
        fail_turn(mirror, "this host's backups: ", result->err, result->words);
        return;
    }
    page_reset(page);
    page->is_last = result->is_last;
    /* "x.json" sorts before "x.sqlite": a page does not divide them. */
    if (!result->is_last && count > 1 &&
        str_ends_with(result->objects[count - 1].name, STR(".json")))
        count--;
    page->entries = NEW_ARRAY(struct mirror_entry, count + 1);
    for (size_t i = 0; i < count; i++)
        page->entries[page->count++] =
            (struct mirror_entry){.name = arena_copy(&page->arena, result->objects[i].name).ptr,
                                  .size_bytes = result->objects[i].size_bytes};
    list_own(mirror, mirror->after == NULL ? STR("") : str_from_c(mirror->after));
}

static void compare(struct mirror *mirror)
{
    char root[ID_TEXT_LEN + 2];

    if (mirror->stage == MIRROR_STAGE_COPYING) {
        copy_next(mirror);
        return;
    }
    assert(mirror->stage == MIRROR_STAGE_NONE);
    mirror->stage = MIRROR_STAGE_LISTING;
    mirror->call = backup_list(mirror->mirrors->host, root_of(mirror, root),
                               mirror->after == NULL ? STR("") : str_from_c(mirror->after),
                               BACKUP_PAGE_MAX, on_host_listed, mirror);
}

static void next_item(struct mirror *mirror)
{
    struct mirror_item *item = TAILQ_FIRST(&mirror->items);

    if (item == NULL) {
        end_turn(mirror);
        return;
    }
    take_item(mirror, item);
    mirror->item = item;
    if (!item->is_removal)
        put_item(mirror);
    else
        mirror->call = backup_delete(mirror->use->public.destination, str_from_c(item->name),
                                     BACKUP_GONE_NOW, on_removed, mirror);
}

void mirror_go_on(struct mirror *mirror)
{
    struct task task;

    task_init(&task, clock_now_ms());
    if (mirror_open(mirror, &task) != ERR_OK)
        fail_turn(mirror, "", task.err, task.words);
    else if (mirror->must_compare && !mirror->is_leaving)
        compare(mirror);
    else
        next_item(mirror);
    task_done(&task);
}

void mirror_stop(struct mirror *mirror)
{
    backup_cancel(&mirror->call);
    item_free(&mirror->item);
    mirror_leave_turns(mirror);
    mirror->is_waiting = false;
    net_timer_stop(mirror->timer);
    forget_place(mirror);
    mirror_close(mirror);
}
