#include "backup/mirror_internal.h"

#include "base/clock.h"
#include "base/memory.h"
#include "secret/secret.h"

#include <fcntl.h>
#include <string.h>

enum {
    COPIES_MAX = 512, /* that wait; what is beyond is found by comparing */
    COPIES_OF_ONE_MAX = 64,
    LOST_MS = 24 * 60 * 60 * 1000,
};

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
    struct mirror_use *use = owner;

    LIST_REMOVE(use, in_uses);
    backup_destination_free(&use->public.destination);
    net_timer_free(&use->ending);
    mem_free(&use);
}

static void mirror_release(struct mirror_use **pointer)
{
    struct mirror_use *use = *pointer;

    *pointer = NULL;
    if (use != NULL && --use->count == 0)
        net_timer_start(use->ending, 0);
}

/* What its destination knows of itself is kept for the next one. */
static void note_lost_put(struct mirror *mirror)
{
    int64_t lost_put_ms = mirror->use == NULL ? 0
                                              : backup_lost_put_ms(mirror->use->public.destination,
                                                                   id_str(&mirror->mailbox));

    if (mirror->lost_put_ms < lost_put_ms)
        mirror->lost_put_ms = lost_put_ms;
}

void mirror_close(struct mirror *mirror)
{
    note_lost_put(mirror);
    mirror_release(&mirror->use);
}

static struct mirror_use *use_new(struct backup_mirrors *mirrors,
                                  struct backup_destination *destination)
{
    struct mirror_use *use = NEW(struct mirror_use);

    use->public.destination = destination;
    use->mirrors = mirrors;
    use->count = 1;
    use->ending = net_timer_new(mirrors->loop, use_free, use);
    LIST_INSERT_HEAD(&mirrors->uses, use, in_uses);
    return use;
}

enum err mirror_open(struct mirror *mirror, struct task *task)
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

static void mirror_free(struct mirror *mirror)
{
    mirror_stop(mirror);
    mirror_drop_copies(mirror, true);
    mirror_done_turns(mirror);
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
    mirror->timer = net_timer_new(mirrors->loop, mirror_on_time, mirror);
    mirror_init_turns(mirror);
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
        mirrors_run(mirrors);
        return;
    }
    mirror = is_there ? mirrors->all[place] : insert_at(mirrors, place, &own->mailbox);
    mirror->told = mirrors->told;
    if (is_same(mirror, own))
        return;
    mirror_stop(mirror);
    mirror_drop_copies(mirror, true);
    set_text(&mirror->place, own->place);
    set_text(&mirror->region, own->region);
    set_text(&mirror->key_id, own->key_id);
    secret_free(&mirror->secret);
    mirror->secret = secret_copy(own->secret);
    mirror->failures = 0;
    mirror->failing_since_ms = mirror->lost_since_ms = mirror->silent_until_ms = 0;
    mirror->must_compare = true;
    mirror->must_compare_again = false;
    mirror_get_ready(mirror);
    mirrors_run(mirrors);
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
    mirrors_run(mirrors);
}

/* ---- What came, and what went ---- */

static bool fits(uint64_t waiting_bytes, uint64_t size_bytes, uint64_t limit_bytes)
{
    return waiting_bytes <= limit_bytes && size_bytes <= limit_bytes - waiting_bytes;
}

static bool may_wait(const struct mirror *mirror, uint64_t size_bytes)
{
    const struct backup_mirrors *mirrors = mirror->mirrors;

    return mirror->copy_count < COPIES_OF_ONE_MAX && mirrors->copies < COPIES_MAX &&
           fits(mirror->copy_bytes, size_bytes, MIRROR_WAITING_OF_ONE_BYTES) &&
           fits(mirrors->copy_bytes, size_bytes, MIRROR_WAITING_BYTES);
}

void backup_mirrors_put(struct backup_mirrors *mirrors, const struct backup_put *put)
{
    struct mirror *mirror = find(mirrors, put->name);
    struct mirror_item *item;
    int fd = -1;

    if (mirror == NULL || mirror->is_leaving)
        return;
    if (mirror->must_compare && mirror->stage == MIRROR_STAGE_NONE && mirror->after == NULL)
        return; /* it will be found */
    if (mirror_begins_at_once(mirror) || may_wait(mirror, put->size_bytes))
        fd = fcntl(put->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        *(mirror->must_compare ? &mirror->must_compare_again : &mirror->must_compare) = true;
    } else {
        item = mirror_item_new(put->name);
        item->fd = fd;
        item->size_bytes = put->size_bytes;
        memcpy(item->digest, put->digest, CRYPT_HASH_BYTES);
        mirror_add(mirror, item);
    }
    mirror_get_ready(mirror);
    mirrors_run(mirrors);
}

void backup_mirrors_removed(struct backup_mirrors *mirrors, struct str name)
{
    struct mirror *mirror = find(mirrors, name);
    struct mirror_item *item;

    if (mirror == NULL || mirror->removal_count >= MIRROR_REMOVALS_MAX)
        return;
    item = mirror_item_new(name);
    item->is_removal = true;
    mirror_add(mirror, item);
    mirror_get_ready(mirror);
    mirrors_run(mirrors);
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

bool backup_mirrors_end_copying(struct backup_mirrors *mirrors, struct str name)
{
    struct mirror *mirror = find(mirrors, name);

    if (mirror == NULL)
        return false;
    mirror->is_leaving = true;
    mirror_drop_copies(mirror, false);
    return mirror->item != NULL && !mirror->item->is_removal;
}

int64_t backup_mirrors_lost_put_ms(const struct backup_mirrors *mirrors, struct str name)
{
    struct mirror *mirror = find(mirrors, name);

    if (mirror == NULL)
        return 0;
    note_lost_put(mirror);
    return mirror->lost_put_ms;
}

/* ---- Direct use ---- */

bool backup_mirrors_has(const struct backup_mirrors *mirrors, struct str name)
{
    return find(mirrors, name) != NULL;
}

static bool works(const struct mirror *mirror)
{
    return mirror->failures == 0 && clock_monotonic_ms() >= mirror->silent_until_ms;
}

struct backup_own_use *backup_mirrors_use(struct backup_mirrors *mirrors, struct str name,
                                          bool is_urgent)
{
    struct mirror *mirror = find(mirrors, name);
    struct task task;
    enum err err;

    if (mirror == NULL || (!is_urgent && !works(mirror)))
        return NULL;
    task_init(&task, clock_now_ms());
    err = mirror_open(mirror, &task);
    if (err != ERR_OK)
        log_failure(mirrors->log, "an owner's backup destination", &task);
    task_done(&task);
    if (err != ERR_OK)
        return NULL;
    if (!mirror->is_ready && !mirror->is_working && !mirror->is_waiting)
        net_timer_start(mirror->timer, MIRROR_OPEN_MS);
    mirror->use->count++;
    return &mirror->use->public;
}

void backup_mirrors_was_silent(struct backup_mirrors *mirrors, struct str name)
{
    struct mirror *mirror = find(mirrors, name);

    if (mirror != NULL)
        mirror->silent_until_ms = clock_monotonic_ms() + MIRROR_SILENT_MS;
}

void backup_mirrors_give_back(struct backup_mirrors *mirrors, struct backup_own_use **pointer)
{
    struct mirror_use *use =
        *pointer == NULL ? NULL : CONTAINER_OF(*pointer, struct mirror_use, public);

    (void)mirrors;
    *pointer = NULL;
    mirror_release(&use);
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
                        json_string(mirror->failures > 0 ? "failing"
                                    : mirror_has_work(mirror) || mirror->is_working
                                        ? "copying"
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
    mirrors_init_turns(mirrors);
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
