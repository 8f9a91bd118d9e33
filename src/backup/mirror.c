#include "backup/mirror_internal.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "secret/secret.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

enum {
    WORKING_MAX = 4,  /* owners whose destinations are worked on at once */
    COPIES_MAX = 512, /* that wait with an open descriptor; what is beyond is found by comparing */
    COPIES_OF_ONE_MAX = 64,
    FIRST_WAIT_MS = 1000,
    WAITS_MAX = 10, /* doublings */
    LONGEST_WAIT_MS = 15 * 60 * 1000,
    OPEN_MS = 10 * 60 * 1000, /* one that rests stays open for so long */
    LOST_MS = 24 * 60 * 60 * 1000,
    WORDS_ROOM = 200,
};

enum stage {
    STAGE_NONE,
    STAGE_LISTING,   /* the next page of the host's */
    STAGE_COMPARING, /* and what of it is at the owner's */
    STAGE_COPYING,   /* what is not */
};

/* An object that is to be copied, or deleted. */
struct item {
    char *name; /* own */
    bool is_removal;
    int fd; /* own; -1: a removal, or not fetched yet */
    uint64_t size_bytes;
    unsigned char digest[CRYPT_HASH_BYTES];
    TAILQ_ENTRY(item) in_items;
};
TAILQ_HEAD(items, item);

/* An open destination. */
struct use {
    struct backup_own_use public;
    unsigned count;           /* who uses it */
    struct net_timer *ending; /* own; it is freed behind its last call */
    struct backup_mirrors *mirrors;
    LIST_ENTRY(use) in_uses;
};
LIST_HEAD(uses, use);

/* A page of the host's list. */
struct page {
    struct arena arena;
    struct entry {
        const char *name;
        uint64_t size_bytes;
        bool is_there;
    } * entries;        /* own */
    size_t count, next; /* next: compared, or copied, up to here */
    bool is_last, are_manifests;
};

struct mirror {
    struct backup_mirrors *mirrors; /* borrowed */
    struct id mailbox;
    char *place, *region, *key_id; /* own */
    struct secret *secret;         /* own */
    unsigned told;                 /* backup_mirrors.told when it was named last */
    struct use *use;               /* NULL: not open */
    bool is_working, is_ready;     /* is_ready: waits for its turn */
    bool must_compare, must_compare_again;
    enum stage stage;
    struct page page;
    char *after;       /* own; compared up to this name; NULL: from the first on */
    struct item *item; /* own; that is being copied or deleted */
    struct items items;
    size_t copy_count, removal_count; /* of them */
    struct backup_call *call;         /* own */
    struct net_timer *timer;          /* own; the next attempt, or the end of a rest */
    bool is_waiting;                  /* it is the next attempt */
    unsigned failures;
    int64_t failing_since_ms, lost_since_ms, last_copied_ms; /* 0: not */
    uint64_t copied_count;
    char words[WORDS_ROOM];
    TAILQ_ENTRY(mirror) in_ready;
};
TAILQ_HEAD(ready, mirror);

struct backup_mirrors {
    struct net_loop *loop; /* borrowed, as the next two */
    const struct log *log;
    struct backup_destination *host;
    backup_own_open open;
    void *owner;         /* borrowed */
    struct mirror **all; /* own; by mailbox */
    size_t count, room;
    unsigned told;
    struct ready ready;
    size_t working, copies;
    bool is_running_ready;
    struct uses uses;
};

static void go_on(struct mirror *mirror);
static void run_ready(struct backup_mirrors *mirrors);

struct net_loop *mirrors_loop(const struct backup_mirrors *mirrors)
{
    return mirrors->loop;
}

enum err mirrors_open(const struct backup_mirrors *mirrors, struct task *task,
                      const struct backup_own *own, struct backup_destination **out)
{
    return mirrors->open(mirrors->owner, task, own, out);
}

/* ---- Open destinations ---- */

static void use_free(void *owner)
{
    struct use *use = owner;

    LIST_REMOVE(use, in_uses);
    backup_destination_free(&use->public.destination);
    net_timer_free(&use->ending);
    mem_free(&use);
}

static void use_release(struct use **pointer)
{
    struct use *use = *pointer;

    *pointer = NULL;
    if (use != NULL && --use->count == 0)
        net_timer_start(use->ending, 0);
}

static struct use *use_new(struct backup_mirrors *mirrors, struct backup_destination *destination)
{
    struct use *use = NEW(struct use);

    use->public.destination = destination;
    use->mirrors = mirrors;
    use->count = 1;
    use->ending = net_timer_new(mirrors->loop, use_free, use);
    LIST_INSERT_HEAD(&mirrors->uses, use, in_uses);
    return use;
}

static enum err open_own(struct mirror *mirror, struct task *task)
{
    struct backup_own own = {.mailbox = mirror->mailbox,
                             .place = str_from_c(mirror->place),
                             .region = str_from_c(mirror->region),
                             .key_id = str_from_c(mirror->key_id),
                             .secret = secret_str(mirror->secret)};
    struct backup_destination *destination = NULL;

    if (mirror->use != NULL)
        return ERR_OK;
    TRY(mirrors_open(mirror->mirrors, task, &own, &destination));
    mirror->use = use_new(mirror->mirrors, destination);
    return ERR_OK;
}

/* ---- What waits ---- */

static void item_free(struct item **item)
{
    if (*item == NULL)
        return;
    mem_free(&(*item)->name);
    fd_close(&(*item)->fd);
    mem_free(item);
}

/* Off the list. */
static void take_item(struct mirror *mirror, struct item *item)
{
    TAILQ_REMOVE(&mirror->items, item, in_items);
    if (item->is_removal) {
        mirror->removal_count--;
    } else {
        mirror->copy_count--;
        mirror->mirrors->copies--;
    }
}

/* Copies that wait are dropped: comparing finds them. */
static void drop_copies(struct mirror *mirror, bool with_removals)
{
    struct item *item, *next;

    for (item = TAILQ_FIRST(&mirror->items); item != NULL; item = next) {
        next = TAILQ_NEXT(item, in_items);
        if (item->is_removal && !with_removals)
            continue;
        take_item(mirror, item);
        item_free(&item);
    }
}

static struct item *item_new(struct str name)
{
    struct item *item = NEW(struct item);

    item->name = mem_copy_text(name.ptr, name.len);
    item->fd = -1;
    return item;
}

/* ---- Comparing ---- */

static void page_reset(struct page *page)
{
    arena_free(&page->arena);
    mem_free(&page->entries);
    *page = (struct page){.count = 0};
}

static void forget_place(struct mirror *mirror)
{
    page_reset(&mirror->page);
    mem_free(&mirror->after);
    mirror->stage = STAGE_NONE;
}

/* ---- Turns ---- */

static bool has_work(const struct mirror *mirror)
{
    return mirror->must_compare || !TAILQ_EMPTY(&mirror->items);
}

static void get_ready(struct mirror *mirror)
{
    if (mirror->is_ready || mirror->is_working || mirror->is_waiting || !has_work(mirror))
        return;
    net_timer_stop(mirror->timer); /* of its rest */
    mirror->is_ready = true;
    TAILQ_INSERT_TAIL(&mirror->mirrors->ready, mirror, in_ready);
}

/* Its turn is over: others have theirs. */
static void end_turn(struct mirror *mirror)
{
    struct backup_mirrors *mirrors = mirror->mirrors;

    mirror->call = NULL;
    item_free(&mirror->item);
    mirror->is_working = false;
    mirrors->working--;
    get_ready(mirror);
    if (!mirror->is_ready && !mirror->is_waiting)
        net_timer_start(mirror->timer, OPEN_MS);
    run_ready(mirrors);
}

/* One step was done, at the owner's. */
static void succeed(struct mirror *mirror)
{
    if (mirror->failures > 0)
        log_info(mirror->mirrors->log, "an owner's backup destination works again mailbox=%s",
                 mirror->mailbox.text);
    mirror->failures = 0;
    mirror->failing_since_ms = mirror->lost_since_ms = 0;
    end_turn(mirror);
}

static void fail_turn(struct mirror *mirror, const char *where, enum err err, const char *words)
{
    char text[WORDS_ROOM];
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
    if (mirror->item != NULL && mirror->item->is_removal) { /* again, later */
        TAILQ_INSERT_HEAD(&mirror->items, mirror->item, in_items);
        mirror->removal_count++;
        mirror->item = NULL;
    }
    drop_copies(mirror, false);
    forget_place(mirror);
    mirror->must_compare = true;
    mirror->must_compare_again = false;
    mirror->is_waiting = true;
    net_timer_start(mirror->timer, wait_ms < LONGEST_WAIT_MS ? wait_ms : LONGEST_WAIT_MS);
    end_turn(mirror);
}

static void fail_own(struct mirror *mirror, const struct backup_result *result)
{
    fail_turn(mirror, "", result->err, result->words);
}

static void on_time(void *owner)
{
    struct mirror *mirror = owner;

    if (!mirror->is_waiting) {
        use_release(&mirror->use); /* it has rested for long */
        return;
    }
    mirror->is_waiting = false;
    get_ready(mirror);
    run_ready(mirror->mirrors);
}

static void run_ready(struct backup_mirrors *mirrors)
{
    struct mirror *mirror;

    if (mirrors->is_running_ready)
        return; /* a turn that ended at once: the loop below goes on */
    mirrors->is_running_ready = true;
    while (mirrors->working < WORKING_MAX && (mirror = TAILQ_FIRST(&mirrors->ready)) != NULL) {
        TAILQ_REMOVE(&mirrors->ready, mirror, in_ready);
        mirror->is_ready = false;
        mirror->is_working = true;
        mirrors->working++;
        go_on(mirror);
    }
    mirrors->is_running_ready = false;
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
    struct page *page = &mirror->page;
    bool is_last = page->is_last;

    mem_free(&mirror->after);
    if (page->count > 0)
        mirror->after = mem_copy_text(page->entries[page->count - 1].name,
                                      strlen(page->entries[page->count - 1].name));
    page_reset(page);
    mirror->stage = STAGE_NONE;
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
    struct page *page = &mirror->page;

    for (;;) {
        while (page->next < page->count) {
            struct entry *entry = &page->entries[page->next++];

            if (entry->is_there || is_manifest(entry->name) != page->are_manifests)
                continue;
            mirror->item = item_new(str_from_c(entry->name));
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
    struct page *page = &mirror->page;
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
    mirror->stage = STAGE_COPYING;
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

    mirror->stage = STAGE_COMPARING;
    mirror->call = backup_list(mirror->use->public.destination, root_of(mirror, root), after,
                               BACKUP_PAGE_MAX, on_own_listed, mirror);
}

static void on_host_listed(void *owner, struct backup_result *result)
{
    struct mirror *mirror = owner;
    struct page *page = &mirror->page;
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
    page->entries = NEW_ARRAY(struct entry, count + 1);
    for (size_t i = 0; i < count; i++)
        page->entries[page->count++] =
            (struct entry){.name = arena_copy(&page->arena, result->objects[i].name).ptr,
                           .size_bytes = result->objects[i].size_bytes};
    list_own(mirror, mirror->after == NULL ? STR("") : str_from_c(mirror->after));
}

static void compare(struct mirror *mirror)
{
    char root[ID_TEXT_LEN + 2];

    if (mirror->stage == STAGE_COPYING) {
        copy_next(mirror);
        return;
    }
    assert(mirror->stage == STAGE_NONE);
    mirror->stage = STAGE_LISTING;
    mirror->call = backup_list(mirror->mirrors->host, root_of(mirror, root),
                               mirror->after == NULL ? STR("") : str_from_c(mirror->after),
                               BACKUP_PAGE_MAX, on_host_listed, mirror);
}

static void next_item(struct mirror *mirror)
{
    struct item *item = TAILQ_FIRST(&mirror->items);

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

static void go_on(struct mirror *mirror)
{
    struct task task;

    task_init(&task, clock_now_ms());
    if (open_own(mirror, &task) != ERR_OK)
        fail_turn(mirror, "", task.err, task.words);
    else if (mirror->must_compare)
        compare(mirror);
    else
        next_item(mirror);
    task_done(&task);
}

/* ---- Who has one ---- */

/* Its place among all; *out_is_there: it is that one. */
static size_t find_place(const struct backup_mirrors *mirrors, const struct id *mailbox,
                         bool *out_is_there)
{
    size_t low = 0, high = mirrors->count;

    *out_is_there = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = str_compare(id_str(&mirrors->all[middle]->mailbox), id_str(mailbox));

        if (order == 0) {
            *out_is_there = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct mirror *find_mailbox(const struct backup_mirrors *mirrors, const struct id *mailbox)
{
    bool is_there;
    size_t place = find_place(mirrors, mailbox, &is_there);

    return is_there ? mirrors->all[place] : NULL;
}

/* Of an object's name. */
static struct mirror *find(const struct backup_mirrors *mirrors, struct str name)
{
    struct id mailbox;

    if (mirrors == NULL || name.len <= ID_TEXT_LEN || name.ptr[ID_TEXT_LEN] != '/' ||
        !id_parse(str_upto(name, ID_TEXT_LEN), &mailbox))
        return NULL;
    return find_mailbox(mirrors, &mailbox);
}

static void stop_work(struct mirror *mirror)
{
    struct backup_mirrors *mirrors = mirror->mirrors;

    backup_cancel(&mirror->call);
    item_free(&mirror->item);
    if (mirror->is_ready)
        TAILQ_REMOVE(&mirrors->ready, mirror, in_ready);
    if (mirror->is_working)
        mirrors->working--;
    mirror->is_ready = mirror->is_working = mirror->is_waiting = false;
    net_timer_stop(mirror->timer);
    forget_place(mirror);
    use_release(&mirror->use);
}

static void mirror_free(struct mirror *mirror)
{
    stop_work(mirror);
    drop_copies(mirror, true);
    net_timer_free(&mirror->timer);
    mem_free(&mirror->place);
    mem_free(&mirror->region);
    mem_free(&mirror->key_id);
    secret_free(&mirror->secret);
    mem_free(&mirror);
}

static void remove_at(struct backup_mirrors *mirrors, size_t place)
{
    mirror_free(mirrors->all[place]);
    mirrors->count--;
    memmove(&mirrors->all[place], &mirrors->all[place + 1],
            (mirrors->count - place) * sizeof(*mirrors->all));
}

static struct mirror *insert_at(struct backup_mirrors *mirrors, size_t place,
                                const struct id *mailbox)
{
    struct mirror *mirror = NEW(struct mirror);

    if (mirrors->count == mirrors->room) {
        mirrors->room = mirrors->room == 0 ? 16 : 2 * mirrors->room;
        mirrors->all = mem_resize(mirrors->all, mirrors->room, sizeof(*mirrors->all));
    }
    memmove(&mirrors->all[place + 1], &mirrors->all[place],
            (mirrors->count - place) * sizeof(*mirrors->all));
    mirrors->count++;
    mirrors->all[place] = mirror;
    mirror->mirrors = mirrors;
    mirror->mailbox = *mailbox;
    mirror->timer = net_timer_new(mirrors->loop, on_time, mirror);
    TAILQ_INIT(&mirror->items);
    return mirror;
}

static void set_text(char **text, struct str value)
{
    mem_free(text);
    *text = mem_copy_text(value.ptr, value.len);
}

static bool is_same(const struct mirror *mirror, const struct backup_own *own)
{
    return mirror->place != NULL && str_equal(str_from_c(mirror->place), own->place) &&
           str_equal(str_from_c(mirror->region), own->region) &&
           str_equal(str_from_c(mirror->key_id), own->key_id) &&
           secret_equal(secret_str(mirror->secret), own->secret);
}

void backup_mirrors_set(struct backup_mirrors *mirrors, const struct backup_own *own)
{
    bool is_there;
    size_t place = find_place(mirrors, &own->mailbox, &is_there);
    struct mirror *mirror;

    if (own->place.len == 0 || own->secret.len == 0) {
        if (is_there)
            remove_at(mirrors, place);
        run_ready(mirrors);
        return;
    }
    mirror = is_there ? mirrors->all[place] : insert_at(mirrors, place, &own->mailbox);
    mirror->told = mirrors->told;
    if (is_same(mirror, own))
        return;
    stop_work(mirror);
    drop_copies(mirror, true);
    set_text(&mirror->place, own->place);
    set_text(&mirror->region, own->region);
    set_text(&mirror->key_id, own->key_id);
    secret_free(&mirror->secret);
    mirror->secret = secret_copy(own->secret);
    mirror->failures = 0;
    mirror->failing_since_ms = mirror->lost_since_ms = 0;
    mirror->must_compare = true;
    mirror->must_compare_again = false;
    get_ready(mirror);
    run_ready(mirrors);
}

void backup_mirrors_tell(struct backup_mirrors *mirrors)
{
    mirrors->told++;
}

void backup_mirrors_all_told(struct backup_mirrors *mirrors)
{
    for (size_t i = mirrors->count; i-- > 0;) {
        if (mirrors->all[i]->told != mirrors->told)
            remove_at(mirrors, i);
    }
    run_ready(mirrors);
}

/* ---- What came, and what went ---- */

void backup_mirrors_put(struct backup_mirrors *mirrors, const struct backup_put *put)
{
    struct mirror *mirror = find(mirrors, put->name);
    struct item *item;
    int fd = -1;

    if (mirror == NULL)
        return;
    if (mirror->must_compare && mirror->stage == STAGE_NONE && mirror->after == NULL)
        return; /* it will be found */
    if (mirror->copy_count < COPIES_OF_ONE_MAX && mirrors->copies < COPIES_MAX)
        fd = fcntl(put->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        *(mirror->must_compare ? &mirror->must_compare_again : &mirror->must_compare) = true;
    } else {
        item = item_new(put->name);
        item->fd = fd;
        item->size_bytes = put->size_bytes;
        memcpy(item->digest, put->digest, CRYPT_HASH_BYTES);
        TAILQ_INSERT_TAIL(&mirror->items, item, in_items);
        mirror->copy_count++;
        mirrors->copies++;
    }
    get_ready(mirror);
    run_ready(mirrors);
}

void backup_mirrors_removed(struct backup_mirrors *mirrors, struct str name)
{
    struct mirror *mirror = find(mirrors, name);
    struct item *item;

    if (mirror == NULL || mirror->removal_count == MIRROR_REMOVALS_MAX)
        return;
    item = item_new(name);
    item->is_removal = true;
    TAILQ_INSERT_TAIL(&mirror->items, item, in_items);
    mirror->removal_count++;
    get_ready(mirror);
    run_ready(mirrors);
}

bool backup_mirrors_has_room(const struct backup_mirrors *mirrors, struct str name)
{
    const struct mirror *mirror = find(mirrors, name);

    return mirror == NULL || mirror->failures > 0 || mirror->removal_count < MIRROR_REMOVALS_MAX;
}

bool backup_mirrors_is_failing(const struct backup_mirrors *mirrors, struct str name)
{
    const struct mirror *mirror = find(mirrors, name);

    return mirror != NULL && mirror->failures > 0;
}

bool backup_mirrors_is_removing(const struct backup_mirrors *mirrors, struct str name)
{
    const struct mirror *mirror = find(mirrors, name);

    return mirror != NULL &&
           (mirror->removal_count > 0 || (mirror->item != NULL && mirror->item->is_removal));
}

/* ---- Direct use ---- */

bool backup_mirrors_has(const struct backup_mirrors *mirrors, struct str name)
{
    return find(mirrors, name) != NULL;
}

struct backup_own_use *backup_mirrors_use(struct backup_mirrors *mirrors, struct str name,
                                          bool is_urgent)
{
    struct mirror *mirror = find(mirrors, name);
    struct task task;
    enum err err;

    if (mirror == NULL || (mirror->failures > 0 && !is_urgent))
        return NULL;
    task_init(&task, clock_now_ms());
    err = open_own(mirror, &task);
    if (err != ERR_OK)
        log_failure(mirrors->log, "an owner's backup destination", &task);
    task_done(&task);
    if (err != ERR_OK)
        return NULL;
    if (!mirror->is_ready && !mirror->is_working && !mirror->is_waiting)
        net_timer_start(mirror->timer, OPEN_MS);
    mirror->use->count++;
    return &mirror->use->public;
}

void backup_mirrors_give_back(struct backup_mirrors *mirrors, struct backup_own_use **pointer)
{
    struct use *use = *pointer == NULL ? NULL : CONTAINER_OF(*pointer, struct use, public);

    (void)mirrors;
    *pointer = NULL;
    use_release(&use);
}

bool backup_mirrors_is_lost(struct backup_mirrors *mirrors, struct str name, enum err err)
{
    struct mirror *mirror = find(mirrors, name);
    int64_t now_ms = clock_now_ms();

    if (mirror == NULL || err == ERR_DENIED || err == ERR_NOT_FOUND || err == ERR_INVALID)
        return true;
    if (mirror->lost_since_ms == 0 || mirror->lost_since_ms > now_ms)
        mirror->lost_since_ms = now_ms;
    return now_ms - mirror->lost_since_ms >= LOST_MS;
}

/* ---- What is told of them ---- */

static void put_time(json_t *object, const char *name, int64_t ms)
{
    char text[CLOCK_ISO_ROOM];

    clock_format_iso(ms, text);
    json_object_set_new(object, name, ms == 0 ? json_null() : json_string(text));
}

void backup_mirrors_describe(const struct backup_mirrors *mirrors, const struct id *mailbox,
                             json_t *object)
{
    const struct mirror *mirror = mirrors == NULL ? NULL : find_mailbox(mirrors, mailbox);

    if (mirror == NULL)
        return;
    json_object_set_new(object, "state",
                        json_string(mirror->failures > 0                     ? "failing"
                                    : has_work(mirror) || mirror->is_working ? "copying"
                                                                             : "up to date"));
    json_object_set_new(object, "copied", json_integer((json_int_t)mirror->copied_count));
    put_time(object, "last_copied", mirror->last_copied_ms);
    if (mirror->failures == 0)
        return;
    put_time(object, "since", mirror->failing_since_ms);
    json_object_set_new(object, "reason", json_string(mirror->words));
}

void backup_mirrors_count(const struct backup_mirrors *mirrors, struct backup_mirrors_count *out)
{
    *out = (struct backup_mirrors_count){.words = ""};
    for (size_t i = 0; mirrors != NULL && i < mirrors->count; i++) {
        out->all++;
        if (mirrors->all[i]->failures == 0)
            continue;
        out->failing++;
        out->words = mirrors->all[i]->words;
    }
}

/* ---- Beginning and end ---- */

struct backup_mirrors *backup_mirrors_new(struct net_loop *loop, const struct log *log,
                                          struct backup_destination *host, backup_own_open open,
                                          void *owner)
{
    struct backup_mirrors *mirrors = NEW(struct backup_mirrors);

    mirrors->loop = loop;
    mirrors->log = log;
    mirrors->host = host;
    mirrors->open = open;
    mirrors->owner = owner;
    TAILQ_INIT(&mirrors->ready);
    LIST_INIT(&mirrors->uses);
    return mirrors;
}

void backup_mirrors_free(struct backup_mirrors **pointer)
{
    struct backup_mirrors *mirrors = *pointer;

    if (mirrors == NULL)
        return;
    while (mirrors->count > 0)
        remove_at(mirrors, mirrors->count - 1);
    while (!LIST_EMPTY(&mirrors->uses))
        use_free(LIST_FIRST(&mirrors->uses));
    mem_free(&mirrors->all);
    mem_free(pointer);
}
