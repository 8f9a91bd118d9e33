/* COPY and MOVE: rows, never content. */
#include "vault/message.h"

#include "base/clock.h"
#include "vault/learn.h"
#include "vault/rows.h"
#include "vault/uidl.h"

#include <string.h>

/* What copying needs to know of a message that is there. */
struct copied {
    uint32_t uid;
    uint64_t flags;
    uint64_t size_bytes;
    int64_t content_id;
};

struct copy {
    struct vault *vault;
    struct task *task;
    int64_t from_id, to_id;
    struct copied *messages; /* in the order given */
    size_t count;
    uint64_t size_bytes;
};

static enum err look_up(struct copy *copy, const uint32_t *uids, size_t uid_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct copied *message;
    bool has_row;

    TRY(db_prepare(copy->vault->db, copy->task,
                   "SELECT flags, size_bytes, content_id FROM message "
                   "WHERE key = ?1 AND is_expunged = 0",
                   &statement));
    for (size_t i = 0; i < uid_count; i++) {
        db_bind_int(statement, 1, message_key(copy->from_id, uids[i]));
        TRY(db_step(copy->vault->db, copy->task, statement, &has_row));
        if (has_row) {
            message = &copy->messages[copy->count++];
            message->uid = uids[i];
            message->flags = (uint64_t)db_column_int(statement, 0);
            message->size_bytes = (uint64_t)db_column_int(statement, 1);
            message->content_id = db_column_int(statement, 2);
            copy->size_bytes += message->size_bytes;
        }
        sqlite3_reset(statement);
    }
    return ERR_OK;
}

static enum err share_contents(struct copy *copy)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(copy->vault->db, copy->task,
                   "INSERT INTO content_share VALUES (?1, 1) "
                   "ON CONFLICT(content_id) DO UPDATE SET extra = extra + 1",
                   &statement));
    for (size_t i = 0; i < copy->count; i++) {
        db_bind_int(statement, 1, copy->messages[i].content_id);
        TRY(db_run(copy->vault->db, copy->task, statement));
    }
    return ERR_OK;
}

/* Copies the rows to UIDs from first_uid on. */
static enum err copy_rows(struct copy *copy, uint32_t first_uid, uint64_t modseq)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    char now[CLOCK_ISO_ROOM];

    clock_format_iso(copy->task->now_ms, now);
    TRY(db_prepare(copy->vault->db, copy->task,
                   "INSERT INTO message(key, flags, modseq, content_id, size_bytes, "
                   "internal_date, internal_zone, save_date, line_end_octets, sent_day) "
                   "SELECT ?2, flags, ?3, content_id, size_bytes, internal_date, internal_zone, "
                   "?4, line_end_octets, sent_day FROM message WHERE key = ?1",
                   &statement));
    for (size_t i = 0; i < copy->count; i++) {
        db_bind_int(statement, 1, message_key(copy->from_id, copy->messages[i].uid));
        db_bind_int(statement, 2, message_key(copy->to_id, first_uid + (uint32_t)i));
        db_bind_int(statement, 3, (int64_t)modseq);
        db_bind_text(statement, 4, str_from_c(now));
        TRY(db_run(copy->vault->db, copy->task, statement));
    }
    return ERR_OK;
}

/* A unique-id goes along, unless the folder has it: a message that was moved away and back again,
 * or whose original is expunged after copying, is still the one that a client knows. */
static enum err take_uidls_along(struct copy *copy, uint32_t first_uid)
{
    for (size_t i = 0; i < copy->count; i++)
        TRY(uidl_take_along(copy->vault, copy->task, copy->from_id, copy->messages[i].uid,
                            copy->to_id, first_uid + (uint32_t)i));
    return ERR_OK;
}

static void count_in(struct folder *folder, const struct copy *copy)
{
    for (size_t i = 0; i < copy->count; i++) {
        folder->unseen_count += (copy->messages[i].flags & VAULT_FLAG_SEEN) == 0;
        folder->deleted_count += (copy->messages[i].flags & VAULT_FLAG_DELETED) != 0;
    }
    folder->uidnext += (uint32_t)copy->count;
    folder->message_count += copy->count;
    folder->size_bytes += copy->size_bytes;
}

static void count_out(struct folder *folder, const struct copy *copy)
{
    for (size_t i = 0; i < copy->count; i++) {
        folder->unseen_count -= (copy->messages[i].flags & VAULT_FLAG_SEEN) == 0;
        folder->deleted_count -= (copy->messages[i].flags & VAULT_FLAG_DELETED) != 0;
    }
    folder->message_count -= copy->count;
    folder->size_bytes -= copy->size_bytes;
}

static enum err check_copy(const struct copy *copy, const struct folder *to, bool is_move)
{
    const struct vault *vault = copy->vault;

    if (!is_move && (copy->size_bytes > vault->limit_bytes ||
                     vault->size_bytes > vault->limit_bytes - copy->size_bytes))
        return fail(copy->task, ERR_LIMIT, "vault: over quota");
    if (!is_move && (copy->count > vault->limit_messages ||
                     vault->message_count > vault->limit_messages - copy->count))
        return fail(copy->task, ERR_LIMIT, "vault: over the quota of messages");
    if (copy->count >= UINT32_MAX - to->uidnext)
        return fail(copy->task, ERR_LIMIT, "vault: the folder's UIDs are used up");
    return ERR_OK;
}

/* A moved message leaves its old row behind, hidden, until sessions have heard of it. */
static enum err hide_sources(struct copy *copy, uint64_t modseq)
{
    struct folder *from = vault_folder_get(copy->vault, copy->from_id);
    uint32_t *uids = ARENA_ARRAY(&copy->task->arena, uint32_t, copy->count + 1);
    size_t count;

    for (size_t i = 0; i < copy->count; i++)
        uids[i] = copy->messages[i].uid;
    rows_sort(copy->task, uids, copy->count, &uids, &count);
    TRY(rows_hide(copy->vault, copy->task, copy->from_id, modseq, uids, count, ROW_GOING));
    count_out(from, copy);
    vault_note_messages(copy->vault, from, modseq, 0, 0);
    return ERR_OK;
}

/* A message named twice would be copied twice; in a move it can go only once. */
static void drop_repetitions(struct copy *copy)
{
    uint32_t *uids = ARENA_ARRAY(&copy->task->arena, uint32_t, copy->count + 1);
    uint32_t *sorted;
    size_t count, kept = 0;
    bool *is_seen;

    for (size_t i = 0; i < copy->count; i++)
        uids[i] = copy->messages[i].uid;
    rows_sort(copy->task, uids, copy->count, &sorted, &count);
    if (count == copy->count)
        return;
    is_seen = ARENA_ARRAY(&copy->task->arena, bool, count + 1);
    copy->size_bytes = 0;
    for (size_t i = 0; i < copy->count; i++) {
        size_t low = 0, high = count;

        while (low + 1 < high) {
            size_t middle = (low + high) / 2;

            if (sorted[middle] <= copy->messages[i].uid)
                low = middle;
            else
                high = middle;
        }
        if (is_seen[low])
            continue;
        is_seen[low] = true;
        copy->size_bytes += copy->messages[i].size_bytes;
        copy->messages[kept++] = copy->messages[i];
    }
    copy->count = kept;
}

/* Into Junk or out of it: the owner's word about them. */
static enum err learn(const struct copy *copy, const struct folder *to)
{
    enum learn_kind kind = learn_of_move(vault_folder_get(copy->vault, copy->from_id), to);

    for (size_t i = 0; kind != LEARN_NOTHING && i < copy->count; i++)
        TRY(learn_later(copy->vault, copy->task, copy->messages[i].content_id, kind));
    return ERR_OK;
}

enum err rows_copy(struct vault *vault, struct task *task, int64_t from_id, int64_t to_id,
                   const uint32_t *uids, size_t uid_count, bool is_move, uint32_t **out_source_uids,
                   uint32_t **out_uids, size_t *out_count)
{
    struct copy copy = {.vault = vault, .task = task, .from_id = from_id, .to_id = to_id};
    struct folder *to = vault_folder_get(vault, to_id);
    uint32_t first_uid;
    uint64_t modseq;

    if (vault_folder_get(vault, from_id) == NULL || to == NULL || !to->is_selectable)
        return fail(task, ERR_NOT_FOUND, "vault: no such folder");
    copy.messages = ARENA_ARRAY(&task->arena, struct copied, uid_count + 1);
    *out_source_uids = ARENA_ARRAY(&task->arena, uint32_t, uid_count + 1);
    *out_uids = ARENA_ARRAY(&task->arena, uint32_t, uid_count + 1);
    TRY(look_up(&copy, uids, uid_count));
    drop_repetitions(&copy);
    *out_count = copy.count;
    if (copy.count == 0)
        return ERR_OK;
    TRY(check_copy(&copy, to, is_move));
    first_uid = to->uidnext;
    modseq = vault_touch(vault);
    TRY(copy_rows(&copy, first_uid, modseq));
    TRY(share_contents(&copy));
    count_in(to, &copy);
    vault_note_messages(vault, to, modseq, first_uid, to->uidnext - 1);
    if (is_move) {
        TRY(hide_sources(&copy, modseq));
    } else {
        vault->message_count += copy.count;
        vault->size_bytes += copy.size_bytes;
    }
    TRY(take_uidls_along(&copy, first_uid));
    TRY(learn(&copy, to));
    for (size_t i = 0; i < copy.count; i++) {
        (*out_source_uids)[i] = copy.messages[i].uid;
        (*out_uids)[i] = first_uid + (uint32_t)i;
    }
    return ERR_OK;
}

enum err vault_message_copy(struct vault *vault, struct task *task, int64_t from_id, int64_t to_id,
                            const uint32_t *uids, size_t uid_count, bool is_move,
                            uint32_t **out_source_uids, uint32_t **out_uids, size_t *out_count)
{
    uint32_t *source_uids, *new_uids;
    size_t count;

    TRY(vault_write_begin(vault, task));
    TRY(vault_write_end(vault, task,
                        rows_copy(vault, task, from_id, to_id, uids, uid_count, is_move,
                                  &source_uids, &new_uids, &count),
                        VAULT_DURABLE));
    *out_source_uids = source_uids;
    *out_uids = new_uids;
    *out_count = count;
    return ERR_OK;
}
