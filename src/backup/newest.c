#include "backup/newest.h"

#include "backup/bytes.h"
#include "base/memory.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { GENERATIONS_BYTES_MAX = 20000 * ID_TEXT_LEN };

struct search {
    const struct backup_ask *ask; /* borrowed, as the next ones */
    const struct id *mailbox;
    struct backup_newest *out;
    uint64_t full_counter;
    struct buf generations; /* own; their ids */
    bool is_too_much;
    char segment[BACKUP_NAME_MAX + 1]; /* the last of a generation */
};

static void keep_name(char out[static BACKUP_NAME_MAX + 1], struct str name)
{
    (void)snprintf(out, BACKUP_NAME_MAX + 1, "%.*s", STR_ARG(name));
}

/* What the name of the kind's objects ends with: "<mailbox>/full/" is taken off. */
static struct str inner(struct str name, const char *kind)
{
    return str_from(name, ID_TEXT_LEN + 1 + strlen(kind) + 1);
}

static enum err list(struct search *search, struct task *task, const char *kind,
                     void (*on_name)(void *owner, struct str name))
{
    struct str prefix = arena_printf(&task->arena, "%s/%s/", search->mailbox->text, kind);

    return backup_ask_list(search->ask, task, prefix, on_name, search);
}

/* ---- Full backups: <UTC>-<counter>.json, written behind its file ---- */

static void on_full(void *owner, struct str name)
{
    struct search *search = owner;
    struct str rest = inner(name, "full");
    uint64_t counter;
    int64_t ms;

    if (!str_ends_with(rest, STR(".json")) || !backup_stamp_parse(rest, &ms) ||
        rest.len <= BACKUP_STAMP_LEN + 1)
        return;
    rest = str_from(str_upto(rest, rest.len - 5), BACKUP_STAMP_LEN + 1);
    if (!parse_u64(rest, &counter) || counter < search->full_counter)
        return;
    search->full_counter = counter;
    keep_name(search->out->full, str_upto(name, name.len - 5));
}

/* Nonsense, or gone meanwhile: *out_is_one false. */
static enum err read_manifest(struct search *search, struct task *task, struct str name,
                              struct manifest *out, bool *out_is_one)
{
    CLEANUP(buf_free) struct buf text = {0};
    enum err err;

    buf_init(&text, SIZE_MAX);
    err = backup_ask_read(search->ask, task, name, MANIFEST_BYTES_MAX, &text);
    if (err == ERR_OK)
        err = manifest_read(task, buf_str(&text), NULL, out);
    if (err == ERR_OK && !id_equal(&out->mailbox, search->mailbox))
        err = ERR_CORRUPT;
    *out_is_one = err == ERR_OK;
    if (err != ERR_NOT_FOUND && err != ERR_CORRUPT && err != ERR_LIMIT)
        return err;
    task_forgive(task);
    return ERR_OK;
}

static enum err find_full(struct search *search, struct task *task)
{
    char *full = search->out->full;
    bool is_one = false;

    TRY(list(search, task, "full", on_full));
    if (full[0] == '\0')
        return ERR_OK;
    TRY(read_manifest(search, task, arena_printf(&task->arena, "%s.json", full),
                      &search->out->manifest, &is_one));
    if (is_one)
        keep_name(full, arena_printf(&task->arena, "%s.sqlite", full));
    else
        full[0] = '\0';
    return ERR_OK;
}

/* ---- The log ---- */

static void on_base(void *owner, struct str name)
{
    struct search *search = owner;
    struct str rest = inner(name, "base");
    struct id id;

    if (rest.len != ID_TEXT_LEN + 5 || !str_ends_with(rest, STR(".json")) ||
        !id_parse(str_upto(rest, ID_TEXT_LEN), &id))
        return;
    if (search->generations.len + ID_TEXT_LEN > GENERATIONS_BYTES_MAX)
        search->is_too_much = true;
    else
        buf_put(&search->generations, id_str(&id));
}

static bool is_behind(const struct manifest *one, const struct manifest *other)
{
    if (one->epoch != other->epoch)
        return one->epoch < other->epoch;
    return one->change_counter < other->change_counter;
}

/* The generation that begins last. *out_is_sure: there may be none that does so later. */
static enum err find_generation(struct search *search, struct task *task, struct manifest *out,
                                bool *out_is_sure)
{
    struct str all = buf_str(&search->generations);

    *out_is_sure = true;
    for (size_t at = 0; at < all.len; at += ID_TEXT_LEN) {
        struct str id = str_upto(str_from(all, at), ID_TEXT_LEN);
        struct manifest manifest;
        bool is_one;

        TRY(read_manifest(
            search, task,
            arena_printf(&task->arena, "%s/base/%.*s.json", search->mailbox->text, STR_ARG(id)),
            &manifest, &is_one));
        if (!is_one || !str_equal(id_str(&manifest.generation), id))
            *out_is_sure = false;
        else if (!id_is_set(&out->generation) || is_behind(out, &manifest) ||
                 (!is_behind(&manifest, out) && manifest.time_ms > out->time_ms))
            *out = manifest;
    }
    return ERR_OK;
}

static void on_segment(void *owner, struct str name)
{
    struct search *search = owner;

    if (str_ends_with(name, STR(".seg")))
        keep_name(search->segment, name);
}

/* The counter behind its last commit, where a segment has it (backup/segment.h). */
static bool read_end(const struct backup_got *got, const struct search *search, uint64_t *out)
{
    enum { HEAD = 8 + ID_TEXT_LEN, END = 8 + 32 };
    char head[HEAD];
    unsigned char counter[8];

    if (got->size_bytes < HEAD + END || pread(got->fd, head, HEAD, 0) != HEAD ||
        pread(got->fd, counter, sizeof(counter), (off_t)(got->size_bytes - END)) !=
            (ssize_t)sizeof(counter))
        return false;
    *out = get_le(counter, sizeof(counter));
    return (memcmp(head, "SPLOG02\n", 8) == 0 || memcmp(head, "SPLOG01\n", 8) == 0) &&
           memcmp(head + 8, search->mailbox->text, ID_TEXT_LEN) == 0;
}

/* Is what the newest generation ends with in the full backup? */
static enum err look_at_log(struct search *search, struct task *task)
{
    CLEANUP(backup_got_done) struct backup_got got = {.fd = -1};
    struct manifest generation = {.time_ms = 0};
    uint64_t counter = 0;
    bool is_sure;
    enum err err;

    TRY(list(search, task, "base", on_base));
    search->out->has_log = search->generations.len > 0;
    TRY(find_generation(search, task, &generation, &is_sure));
    if (search->out->full[0] == '\0' || !is_sure || search->is_too_much ||
        (search->out->has_log && is_behind(&search->out->manifest, &generation)))
        return ERR_OK;
    if (search->out->has_log)
        TRY(list(search, task, arena_printf(&task->arena, "log/%s", generation.generation.text).ptr,
                 on_segment));
    if (search->segment[0] != '\0') {
        err = backup_ask_get(search->ask, task, str_from_c(search->segment), &got);
        if (err != ERR_OK && err != ERR_CORRUPT && err != ERR_NOT_FOUND)
            return err;
        task_forgive(task);
        if (err != ERR_OK || !read_end(&got, search, &counter))
            return ERR_OK;
    }
    search->out->is_all = counter <= search->out->manifest.change_counter;
    return ERR_OK;
}

/* ---- All of it ---- */

static void on_drop(void *owner, struct str name)
{
    struct search *search = owner;
    int64_t ms;

    if (backup_stamp_parse(inner(name, "drop"), &ms) && str_ends_with(name, STR(".drop.sqlite")))
        keep_name(search->out->drop, name);
}

enum err backup_newest_find(const struct backup_ask *ask, struct task *task,
                            const struct id *mailbox, struct backup_newest *out)
{
    struct search search = {.ask = ask, .mailbox = mailbox, .out = out};
    enum err err;

    *out = (struct backup_newest){.has_log = false};
    buf_init(&search.generations, GENERATIONS_BYTES_MAX);
    err = find_full(&search, task);
    if (err == ERR_OK)
        err = look_at_log(&search, task);
    if (err == ERR_OK)
        err = list(&search, task, "drop", on_drop);
    buf_free(&search.generations);
    return err;
}
