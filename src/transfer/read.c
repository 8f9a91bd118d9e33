/*
 * Reading what a user brings along.
 *
 * What can be gone through twice is: first for what its files say of messages, then for the messages.
 * Where single files can be asked for, they come folder by folder in the order of their UIDs, so that
 * these can be kept; else as they lie. Of what comes through a pipe only those lists help that lie
 * in front of their messages, as they do in our own archives.
 */
#include "transfer/read.h"

#include "base/file.h"
#include "base/memory.h"
#include "transfer/mbox.h"
#include "transfer/names.h"
#include "transfer/places.h"
#include "transfer/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct item {
    struct place *place; /* borrowed */
    enum place_kind kind;
    uint32_t uid;
    struct tree_file file; /* its path in the places' task */
};

struct reader {
    const struct transfer_sink *sink;
    struct str fallback;
    struct tree *tree; /* own */
    struct places places;
    struct item *items; /* own */
    size_t item_count, item_room;
    struct place *current; /* whose messages the sink takes; NULL: none yet */
    bool has_mail;
};

/* --- To the sink --- */

static enum err announce(struct reader *reader, struct task *task, struct place *place,
                         const struct mbox_message *first)
{
    struct transfer_folder folder;

    if (reader->current == place)
        return ERR_OK;
    places_folder(&reader->places, task, place, reader->fallback, &folder);
    if (!place->has_folder && first != NULL && first->uidvalidity != 0) {
        folder.uidvalidity = first->uidvalidity;
        folder.uidnext = first->last_uid < UINT32_MAX ? first->last_uid + 1 : 0;
    }
    TRY(reader->sink->folder(reader->sink->owner, task, &folder));
    reader->current = place;
    place->is_announced = true;
    return ERR_OK;
}

static enum err leave_out(struct reader *reader, struct task *task)
{
    return reader->sink->left_out == NULL ? ERR_OK
                                          : reader->sink->left_out(reader->sink->owner, task);
}

static enum err pass(struct reader *reader, struct task *task,
                     const struct transfer_message *message, struct str raw)
{
    const struct transfer_sink *sink = reader->sink;
    struct transfer_message whole = *message;

    whole.size_bytes = raw.len;
    TRY(sink->message(sink->owner, task, &whole));
    if (raw.len > 0)
        TRY(sink->bytes(sink->owner, task, raw));
    return sink->finish(sink->owner, task);
}

/* --- Files --- */

/* What is left of a file of that size, and one byte, by which its end is seen: a message's room is
 * not made for two chunks, and wiped. */
static size_t left_of(uint64_t size_bytes, size_t got)
{
    return size_bytes >= got && size_bytes - got < TRANSFER_CHUNK_BYTES
               ? (size_t)(size_bytes - got) + 1
               : TRANSFER_CHUNK_BYTES;
}

/* The file that came last, whole; it was said to be of that size, and may be of another.
 * *out_is_large: it is over the limit. */
static enum err read_whole(struct reader *reader, struct task *task, uint64_t size_bytes,
                           size_t limit_bytes, struct buf *out, bool *out_is_large)
{
    *out_is_large = false;
    for (;;) {
        size_t before = out->len;

        TRY(tree_read(reader->tree, task, left_of(size_bytes, out->len), out));
        if (out->len == before)
            return ERR_OK;
        if (out->len > limit_bytes) {
            *out_is_large = true;
            return ERR_OK;
        }
    }
}

static enum err take_message(struct reader *reader, struct task *task, struct place *place,
                             enum place_kind kind, const struct tree_file *file)
{
    CLEANUP(buf_free) struct buf raw;
    struct transfer_message message;
    struct str folder, name;
    bool is_large = file->size_bytes > TRANSFER_MESSAGE_BYTES_MAX;

    buf_init(&raw, SIZE_MAX);
    TRY(announce(reader, task, place, NULL));
    if (!is_large)
        TRY(read_whole(reader, task, file->size_bytes, TRANSFER_MESSAGE_BYTES_MAX, &raw,
                       &is_large));
    if (is_large) {
        place->taken += place->taken < place->row_count;
        return leave_out(reader, task);
    }
    (void)place_kind_of(file->path, &folder, &name);
    places_message(place, task, kind, name, file->mtime_ms, &message);
    if (place->taken < place->row_count)
        place->taken++;
    return pass(reader, task, &message, buf_str(&raw));
}

struct mbox_reading {
    struct reader *reader;
    struct place *place;
};

static enum err on_message(void *owner, struct task *task, const struct mbox_message *message)
{
    struct mbox_reading *reading = owner;

    TRY(announce(reading->reader, task, reading->place, message));
    return pass(reading->reader, task, &message->message, message->raw);
}

static enum err on_left_out(void *owner, struct task *task)
{
    struct mbox_reading *reading = owner;

    return leave_out(reading->reader, task);
}

static enum err take_mbox(struct reader *reader, struct task *task, struct place *place)
{
    struct mbox_reading reading = {reader, place};
    const struct mbox_in_events events = {on_message, on_left_out, &reading};
    CLEANUP(mbox_in_free) struct mbox_in *in = mbox_in_new(&events, TRANSFER_MESSAGE_BYTES_MAX);
    CLEANUP(buf_free) struct buf chunk;

    buf_init(&chunk, SIZE_MAX);
    for (;;) {
        buf_reset(&chunk);
        TRY(tree_read(reader->tree, task, TRANSFER_CHUNK_BYTES, &chunk));
        if (chunk.len == 0)
            break;
        TRY(mbox_in_bytes(in, task, buf_str(&chunk)));
    }
    TRY(mbox_in_end(in, task));
    return announce(reader, task, place, NULL);
}

static bool says_something(enum place_kind kind)
{
    return kind == PLACE_INDEX || kind == PLACE_UIDS || kind == PLACE_KEYWORDS ||
           kind == PLACE_COURIER || kind == PLACE_SUBSCRIPTIONS;
}

static bool is_mail(enum place_kind kind)
{
    return kind == PLACE_MAILDIR || kind == PLACE_EML || kind == PLACE_MBOX;
}

static enum err learn(struct reader *reader, struct task *task, struct place *place,
                      enum place_kind kind)
{
    CLEANUP(buf_free) struct buf content;
    bool is_large;

    buf_init(&content, SIZE_MAX);
    TRY(read_whole(reader, task, UINT64_MAX, PLACE_FILE_BYTES_MAX, &content, &is_large));
    if (!is_large)
        places_learn(&reader->places, place, kind, buf_str(&content));
    return ERR_OK;
}

static enum err take(struct reader *reader, struct task *task, struct place *place,
                     enum place_kind kind, const struct tree_file *file)
{
    reader->has_mail = true;
    return kind == PLACE_MBOX ? take_mbox(reader, task, place)
                              : take_message(reader, task, place, kind, file);
}

/* --- Going through --- */

static enum err note_item(struct reader *reader, struct place *place, enum place_kind kind,
                          const struct tree_file *file)
{
    struct item item = {.place = place, .kind = kind, .file = *file};

    item.file.path = arena_copy(&reader->places.task.arena, file->path);
    if (reader->item_count == reader->item_room) {
        reader->item_room = reader->item_room * 2 + 256;
        reader->items = mem_resize(reader->items, reader->item_room, sizeof(*reader->items));
    }
    reader->items[reader->item_count++] = item;
    return ERR_OK;
}

/* What one file means; `is_first` of two times. */
static enum err look_at(struct reader *reader, struct task *task, const struct tree_file *file,
                        bool is_first, bool is_second)
{
    struct str folder, name;
    enum place_kind kind = place_kind_of(file->path, &folder, &name);
    struct place *place;

    if (kind == PLACE_NOTHING)
        return ERR_OK;
    if (!is_mail(kind) && is_second)
        return ERR_OK;
    TRY(places_get(&reader->places, task, folder,
                   kind != PLACE_EML && kind != PLACE_MBOX && kind != PLACE_INDEX, &place));
    if (says_something(kind))
        return learn(reader, task, place, kind);
    if (!is_mail(kind))
        return ERR_OK;
    return is_first ? note_item(reader, place, kind, file) : take(reader, task, place, kind, file);
}

static enum err go_through(struct reader *reader, struct task *task, bool is_first, bool is_second)
{
    for (;;) {
        CLEANUP(task_done) struct task piece;
        struct tree_file file;
        bool has_file;
        enum err err;

        task_init(&piece, task->now_ms);
        err = tree_next(reader->tree, &piece, &file, &has_file);
        if (err == ERR_OK && has_file)
            err = look_at(reader, &piece, &file, is_first, is_second);
        if (err != ERR_OK)
            return fail(task, err, "%s", piece.words);
        if (!has_file)
            return ERR_OK;
    }
}

static int compare_items(const void *a, const void *b)
{
    const struct item *one = a, *other = b;

    if (one->place != other->place)
        return str_compare(one->place->path, other->place->path);
    if (one->uid != other->uid) /* those without one come last */
        return one->uid - 1 < other->uid - 1 ? -1 : 1;
    if (one->file.mtime_ms != other->file.mtime_ms)
        return one->file.mtime_ms < other->file.mtime_ms ? -1 : 1;
    return str_compare(one->file.path, other->file.path);
}

static void number_items(struct reader *reader)
{
    for (size_t i = 0; i < reader->item_count; i++) {
        CLEANUP(task_done) struct task piece;
        struct item *item = &reader->items[i];
        struct transfer_message message;
        struct str folder, name;

        task_init(&piece, 0);
        (void)place_kind_of(item->file.path, &folder, &name);
        places_message(item->place, &piece, item->kind, name, item->file.mtime_ms, &message);
        item->uid = message.uid;
    }
    if (reader->item_count > 1)
        qsort(reader->items, reader->item_count, sizeof(*reader->items), compare_items);
}

static enum err take_items(struct reader *reader, struct task *task)
{
    number_items(reader);
    for (size_t i = 0; i < reader->item_count; i++) {
        CLEANUP(task_done) struct task piece;
        const struct item *item = &reader->items[i];
        enum err err;

        task_init(&piece, task->now_ms);
        err = tree_jump(reader->tree, &piece, &item->file);
        if (err == ERR_OK)
            err = take(reader, &piece, item->place, item->kind, &item->file);
        else if (err == ERR_NOT_FOUND) /* renamed meanwhile, by whoever uses this Maildir */
            err = leave_out(reader, &piece);
        if (err != ERR_OK)
            return fail(task, err, "%s", piece.words);
    }
    return ERR_OK;
}

/* Folders without messages, too. */
static enum err announce_rest(struct reader *reader, struct task *task)
{
    for (size_t i = 0; i < reader->places.count; i++) {
        struct place *place = reader->places.sorted[i];

        if (place->is_announced || !(place->has_folder || place->is_maildir))
            continue;
        reader->has_mail = true;
        TRY(announce(reader, task, place, NULL));
    }
    return ERR_OK;
}

static uint64_t count_messages(const struct reader *reader)
{
    for (size_t i = 0; i < reader->item_count; i++) {
        if (reader->items[i].kind == PLACE_MBOX)
            return 0; /* nobody knows how many are in it */
    }
    return reader->item_count;
}

static enum err read_tree(struct reader *reader, struct task *task)
{
    const struct transfer_sink *sink = reader->sink;

    if (!tree_can_rewind(reader->tree)) {
        TRY(go_through(reader, task, false, false));
        return announce_rest(reader, task);
    }
    TRY(go_through(reader, task, true, false));
    if (sink->total != NULL && count_messages(reader) > 0)
        TRY(sink->total(sink->owner, task, count_messages(reader)));
    if (tree_can_jump(reader->tree)) {
        TRY(take_items(reader, task));
    } else {
        TRY(tree_rewind(reader->tree, task));
        TRY(go_through(reader, task, false, true));
    }
    return announce_rest(reader, task);
}

/* --- A single mbox --- */

static enum err read_mbox(struct reader *reader, struct task *task, int fd, struct str head)
{
    struct mbox_reading reading = {.reader = reader};
    const struct mbox_in_events events = {on_message, on_left_out, &reading};
    CLEANUP(mbox_in_free) struct mbox_in *in = mbox_in_new(&events, TRANSFER_MESSAGE_BYTES_MAX);
    char *chunk = arena_alloc(&task->arena, TRANSFER_CHUNK_BYTES, 1);

    TRY(places_get(&reader->places, task, STR(""), false, &reading.place));
    TRY(mbox_in_bytes(in, task, head));
    for (;;) {
        ssize_t got = read(fd, chunk, TRANSFER_CHUNK_BYTES);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(task, ERR_IO, "it cannot be read: %s", strerror(errno));
        if (got == 0)
            break;
        TRY(mbox_in_bytes(in, task, str_make(chunk, (size_t)got)));
    }
    TRY(mbox_in_end(in, task));
    reader->has_mail = true;
    return announce(reader, task, reading.place, NULL);
}

/* What it begins with, which is read off only where it cannot be read twice. */
static enum err peek(struct task *task, int fd, bool *out_is_folder, struct buf *out)
{
    struct stat found;
    char *room;
    ssize_t got;

    if (fstat(fd, &found) != 0)
        return fail(task, ERR_IO, "it cannot be read: %s", strerror(errno));
    *out_is_folder = S_ISDIR(found.st_mode);
    if (*out_is_folder)
        return ERR_OK;
    while (out->len < 5) {
        TRY(buf_reserve(out, TRANSFER_CHUNK_BYTES, &room));
        got = read(fd, room, TRANSFER_CHUNK_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(task, ERR_IO, "it cannot be read: %s", strerror(errno));
        if (got == 0)
            break;
        buf_commit(out, (size_t)got);
    }
    return ERR_OK;
}

static void reader_done(struct reader *reader)
{
    tree_close(&reader->tree);
    places_done(&reader->places);
    mem_free(&reader->items);
}

enum err transfer_read(struct task *task, int fd, struct str folder,
                       const struct transfer_sink *sink)
{
    CLEANUP(reader_done) struct reader reader = {.sink = sink, .fallback = folder};
    CLEANUP(buf_free) struct buf head;
    bool is_folder;

    buf_init(&head, SIZE_MAX);
    places_init(&reader.places, task->now_ms);
    TRY(peek(task, fd, &is_folder, &head));
    if (!is_folder && (head.len == 0 || str_starts_with(buf_str(&head), STR("From "))))
        return read_mbox(&reader, task, fd, buf_str(&head));
    if (!is_folder && lseek(fd, 0, SEEK_SET) == 0)
        buf_reset(&head);
    TRY(tree_open(task, fd, buf_str(&head), &reader.tree));
    TRY(read_tree(&reader, task));
    if (!is_folder && places_missing(&reader.places) > 0)
        return fail(task, ERR_INVALID,
                    "messages that the archive's index names are missing: it is not whole");
    return reader.has_mail ? ERR_OK
                           : fail(task, ERR_INVALID, "there is no mail in it that is known");
}
