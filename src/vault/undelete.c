/* What an owner sees of his expunged mail, and how it comes back. */
#include "vault/undelete.h"

#include "base/clock.h"
#include "base/memory.h"
#include "message/message.h"
#include "vault/uidl.h"
#include "vault/undelete_keep.h"

#include <string.h>

void vault_undelete_usage(const struct vault *vault, struct vault_undelete_usage *out)
{
    out->bytes = vault->hidden_bytes;
    out->messages = vault->hidden_count;
    out->limit_bytes = vault->undelete_limit_bytes;
    out->keep_ms = vault->undelete_keep_ms;
}

/* --- Looking --- */

struct row {
    int64_t id, folder_id;
    struct vault_hidden message;
    bool has_uidl;
};

/* A substring, both folded as SEARCH does. */
static bool has_part(struct str text, struct str part)
{
    CLEANUP(buf_free) struct buf folded = {0};
    CLEANUP(buf_free) struct buf wanted = {0};

    if (part.len == 0)
        return true;
    buf_init(&folded, SIZE_MAX);
    buf_init(&wanted, SIZE_MAX);
    message_fold(text, &folded);
    message_fold(part, &wanted);
    return wanted.len == 0 || (folded.len >= wanted.len &&
                               memmem(folded.ptr, folded.len, wanted.ptr, wanted.len) != NULL);
}

static bool is_in_or_below(struct str folder, struct str wanted)
{
    return wanted.len == 0 || str_equal(folder, wanted) ||
           (folder.len > wanted.len && folder.ptr[wanted.len] == '/' &&
            str_starts_with(folder, wanted));
}

/* The name that the folder has, or had when it went; empty: nobody knows. */
static enum err folder_name(struct vault *vault, struct task *task, int64_t folder_id,
                            struct str *out, enum vault_special_use *out_use)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    const struct folder *folder = vault_folder_get(vault, folder_id);
    bool has_row;

    *out = str_make(NULL, 0);
    *out_use = VAULT_USE_NONE;
    if (folder != NULL && folder->is_selectable) {
        *out = folder->name;
        *out_use = folder->use;
        return ERR_OK;
    }
    TRY(db_prepare(vault->db, task, "SELECT name, special_use FROM former_folder WHERE id = ?1",
                   &statement));
    db_bind_int(statement, 1, folder_id);
    TRY(db_step(vault->db, task, statement, &has_row));
    if (has_row) {
        *out = arena_copy(&task->arena, db_column_text(statement, 0));
        *out_use = (enum vault_special_use)db_column_int(statement, 1);
    }
    if (folder != NULL) /* \Noselect; it may have been renamed since */
        *out = folder->name;
    return ERR_OK;
}

static enum err read_row(struct vault *vault, struct task *task, sqlite3_stmt *statement,
                         struct row *out)
{
    enum vault_special_use use;

    *out = (struct row){
        .id = db_column_int(statement, 0),
        .folder_id = db_column_int(statement, 1),
        .message = {.id = db_column_int(statement, 0),
                    .flags = (uint64_t)db_column_int(statement, 2),
                    .size_bytes = (uint64_t)db_column_int(statement, 3),
                    .subject = arena_copy(&task->arena, db_column_text(statement, 6)),
                    .from = arena_copy(&task->arena, db_column_text(statement, 7))},
        .has_uidl = !db_column_is_null(statement, 8),
    };
    if (!clock_parse_iso(db_column_text(statement, 4), &out->message.internal_date_ms) ||
        !clock_parse_iso(db_column_text(statement, 5), &out->message.expunged_ms))
        return fail(task, ERR_CORRUPT, "vault: a hidden message has no valid date");
    TRY(folder_name(vault, task, out->folder_id, &out->message.folder, &use));
    if (out->message.folder.len == 0)
        out->message.folder = STR("INBOX");
    out->message.folder = arena_copy(&task->arena, out->message.folder);
    return ERR_OK;
}

static bool is_wanted(const struct row *row, const struct vault_undelete_filter *filter)
{
    return row->message.expunged_ms >= filter->since_ms &&
           is_in_or_below(row->message.folder, filter->folder) &&
           has_part(row->message.subject, filter->subject);
}

/* What is hidden from here on is not of this run: it may be what the run brought back. */
static enum err begin(struct vault *vault, struct task *task, struct vault_undelete_run *run)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    if (run->has_begun)
        return ERR_OK;
    TRY(db_prepare(vault->db, task, "SELECT max(id) FROM hidden", &statement));
    TRY(db_step(vault->db, task, statement, &has_row));
    run->end = db_column_int(statement, 0);
    run->has_begun = true;
    return ERR_OK;
}

/* The next slice, and those in it that are wanted. `run` is not moved: *out_position is where to.
 */
static enum err look(struct vault *vault, struct task *task,
                     const struct vault_undelete_filter *filter,
                     const struct vault_undelete_run *run, struct row **out_rows, size_t *out_count,
                     int64_t *out_position, uint64_t *out_looked_at)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct row *rows = ARENA_ARRAY(&task->arena, struct row, UNDELETE_ROWS_IN_SLICE + 1);
    size_t count = 0, looked_at = 0;
    bool has_row;

    *out_position = run->end;
    TRY(db_prepare(vault->db, task,
                   "SELECT h.id, h.folder_id, h.flags, h.size_bytes, h.internal_date, h.expunged, "
                   "c.subject, c.sender, h.uidl FROM hidden AS h "
                   "CROSS JOIN content AS c ON c.id = h.content_id "
                   "WHERE h.id > ?1 AND h.id <= ?2 ORDER BY h.id LIMIT ?3",
                   &statement));
    db_bind_int(statement, 1, run->position);
    db_bind_int(statement, 2, run->end);
    db_bind_int(statement, 3, UNDELETE_ROWS_IN_SLICE);
    for (;;) {
        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            break;
        TRY(read_row(vault, task, statement, &rows[count]));
        if (++looked_at == UNDELETE_ROWS_IN_SLICE)
            *out_position = rows[count].id;
        if (is_wanted(&rows[count], filter) && count < UNDELETE_ROWS_IN_SLICE)
            count++;
    }
    *out_rows = rows;
    *out_count = count;
    *out_looked_at = looked_at;
    return ERR_OK;
}

static void move_on(struct vault_undelete_run *run, int64_t position, uint64_t looked_at)
{
    run->position = position;
    run->looked_at += looked_at;
    run->is_done = position >= run->end;
}

enum err vault_undelete_list(struct vault *vault, struct task *task,
                             const struct vault_undelete_filter *filter,
                             struct vault_undelete_run *run, struct vault_hidden **out_messages,
                             size_t *out_count)
{
    struct vault_hidden *messages;
    struct row *rows;
    size_t count;
    int64_t position;
    uint64_t looked_at;

    TRY(vault_check(vault, task));
    TRY(begin(vault, task, run));
    TRY(look(vault, task, filter, run, &rows, &count, &position, &looked_at));
    messages = ARENA_ARRAY(&task->arena, struct vault_hidden, count + 1);
    for (size_t i = 0; i < count; i++)
        messages[i] = rows[i].message;
    move_on(run, position, looked_at);
    *out_messages = messages;
    *out_count = count;
    return ERR_OK;
}

/* --- Bringing back --- */

/* The UIDs that a folder got in one change. */
struct arrivals {
    int64_t folder_id;
    uint32_t first_uid;
};

static void note_arrival(struct arrivals *arrivals, size_t *count, const struct folder *folder)
{
    for (size_t i = 0; i < *count; i++)
        if (arrivals[i].folder_id == folder->id)
            return;
    arrivals[(*count)++] = (struct arrivals){folder->id, folder->uidnext};
}

static enum err insert_message(struct vault *vault, struct task *task, const struct row *row,
                               struct folder *folder, uint64_t modseq)
{
    CLEANUP(db_release) sqlite3_stmt *insert = NULL;
    CLEANUP(db_release) sqlite3_stmt *uidl = NULL;
    CLEANUP(db_release) sqlite3_stmt *forget = NULL;
    bool has_row;

    TRY(db_prepare(vault->db, task,
                   "INSERT INTO message(key, flags, modseq, content_id, size_bytes, "
                   "internal_date, internal_zone, save_date, line_end_octets, sent_day) "
                   "SELECT ?2, ?4, ?3, content_id, size_bytes, internal_date, internal_zone, "
                   "save_date, line_end_octets, sent_day FROM hidden WHERE id = ?1",
                   &insert));
    db_bind_int(insert, 1, row->id);
    db_bind_int(insert, 2, message_key(folder->id, folder->uidnext));
    db_bind_int(insert, 3, (int64_t)modseq);
    db_bind_int(insert, 4, (int64_t)(row->message.flags & ~VAULT_FLAG_DELETED));
    TRY(db_run(vault->db, task, insert));
    if (row->has_uidl) {
        TRY(db_prepare(vault->db, task, "SELECT uidl FROM hidden WHERE id = ?1", &uidl));
        db_bind_int(uidl, 1, row->id);
        TRY(db_step(vault->db, task, uidl, &has_row));
        TRY(uidl_give(vault, task, folder->id, folder->uidnext,
                      arena_copy(&task->arena, db_column_text(uidl, 0))));
    }
    TRY(db_prepare(vault->db, task, "DELETE FROM hidden WHERE id = ?1", &forget));
    db_bind_int(forget, 1, row->id);
    return db_run(vault->db, task, forget);
}

static void count_back(struct vault *vault, struct folder *folder, const struct row *row)
{
    folder->uidnext++;
    folder->message_count++;
    folder->size_bytes += row->message.size_bytes;
    folder->unseen_count += (row->message.flags & VAULT_FLAG_SEEN) == 0;
    vault->message_count++;
    vault->size_bytes += row->message.size_bytes;
    vault->hidden_bytes -= row->message.size_bytes;
    vault->hidden_count--;
}

static enum err bring_back(struct vault *vault, struct task *task, const struct row *row,
                           uint64_t modseq, struct arrivals *arrivals, size_t *arrival_count)
{
    enum vault_special_use use;
    struct folder *folder;
    struct str name;

    TRY(folder_name(vault, task, row->folder_id, &name, &use));
    TRY(vault_folder_obtain(vault, task, row->message.folder, use, &folder));
    if (folder->uidnext == UINT32_MAX)
        return fail(task, ERR_LIMIT, "vault: the folder's UIDs are used up");
    note_arrival(arrivals, arrival_count, folder);
    TRY(insert_message(vault, task, row, folder, modseq));
    count_back(vault, folder, row);
    return ERR_OK;
}

/* How many of them, in their order, the quota has room for. */
static size_t count_fitting(const struct vault *vault, const struct row *rows, size_t count)
{
    uint64_t bytes = vault->size_bytes;
    size_t i = 0;

    while (i < count && vault->message_count + i < vault->limit_messages &&
           bytes <= vault->limit_bytes && rows[i].message.size_bytes <= vault->limit_bytes - bytes)
        bytes += rows[i++].message.size_bytes;
    return i;
}

static enum err restore(struct vault *vault, struct task *task, const struct row *rows,
                        size_t count)
{
    struct arrivals *arrivals = ARENA_ARRAY(&task->arena, struct arrivals, count + 1);
    size_t arrival_count = 0;
    uint64_t modseq;

    if (count == 0)
        return ERR_OK;
    modseq = vault_touch(vault);
    for (size_t i = 0; i < count; i++)
        TRY(bring_back(vault, task, &rows[i], modseq, arrivals, &arrival_count));
    for (size_t i = 0; i < arrival_count; i++) {
        struct folder *folder = vault_folder_get(vault, arrivals[i].folder_id);

        vault_note_messages(vault, folder, modseq, arrivals[i].first_uid, folder->uidnext - 1);
    }
    return undelete_load(vault, task);
}

enum err vault_undelete_restore(struct vault *vault, struct task *task,
                                const struct vault_undelete_filter *filter,
                                struct vault_undelete_run *run)
{
    struct row *rows;
    size_t count, fitting;
    int64_t position;
    uint64_t looked_at;

    TRY(vault_check(vault, task));
    TRY(begin(vault, task, run));
    TRY(look(vault, task, filter, run, &rows, &count, &position, &looked_at));
    fitting = count_fitting(vault, rows, count);
    TRY(vault_write_begin(vault, task));
    TRY(vault_write_end(vault, task, restore(vault, task, rows, fitting), VAULT_DURABLE));
    run->restored += fitting;
    if (fitting < count)
        return fail(task, ERR_LIMIT, "vault: over quota");
    move_on(run, position, looked_at);
    return ERR_OK;
}
