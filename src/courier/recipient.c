/* The queue's recipients: whose turn it is, and what became of it. */
#include "courier/queue_rows.h"

static const char *const kind_names[] = {
    [QUEUE_REMOTE] = "remote",   [QUEUE_FORWARD] = "forward",   [QUEUE_RETURN] = "return",
    [QUEUE_WEBHOOK] = "webhook", [QUEUE_VACATION] = "vacation", [QUEUE_LOCAL] = "local",
    [QUEUE_NOTICE] = "notice",
};
static const char *const state_names[] = {
    [QUEUE_WAITING] = "waiting", [QUEUE_ACTIVE] = "active", [QUEUE_HELD] = "held",
    [QUEUE_DONE] = "done",       [QUEUE_FAILED] = "failed",
};

const char *queue_kind_name(enum queue_kind kind)
{
    return kind_names[kind];
}

const char *queue_state_name(enum queue_state state)
{
    return state_names[state];
}

static bool index_of(struct str name, const char *const *names, size_t count, size_t *out)
{
    for (size_t i = 0; i < count; i++) {
        if (str_equal(name, str_from_c(names[i]))) {
            *out = i;
            return true;
        }
    }
    return false;
}

enum err queue_add_recipient(struct queue *queue, struct task *task,
                             const struct queue_recipient *r, bool *out_is_new)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct queue_time next;

    TRY(db_prepare(
        queue->db, task,
        "INSERT INTO recipients (message_id, kind, address, alias, target, lane, orcpt,"
        " notify, state, next_attempt, attempts, starts, depth, status, words,"
        " is_delay_told, is_stored, written) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10,"
        " ?11, 0, ?12, ?13, ?14, 0, ?15, ?16) ON CONFLICT (message_id, kind, address, target) DO "
        "NOTHING",
        &statement));
    db_bind_int(statement, 1, r->message_id);
    db_bind_text(statement, 2, str_from_c(kind_names[r->kind]));
    db_bind_text(statement, 3, r->address);
    db_bind_text(statement, 4, r->alias);
    db_bind_text(statement, 5, r->target);
    db_bind_text(statement, 6, r->lane);
    db_bind_text(statement, 7, r->orcpt);
    db_bind_text(statement, 8, r->notify);
    db_bind_text(statement, 9, str_from_c(state_names[r->state]));
    db_bind_text(statement, 10, queue_time(r->next_ms, &next));
    db_bind_int(statement, 11, (int64_t)r->attempts);
    db_bind_int(statement, 12, (int64_t)r->depth);
    db_bind_text(statement, 13, r->status);
    db_bind_text(statement, 14, r->words);
    db_bind_int(statement, 15, r->is_stored);
    db_bind_text(statement, 16, r->written);
    TRY(db_run(queue->db, task, statement));
    *out_is_new = sqlite3_changes(db_handle(queue->db)) > 0;
    return ERR_OK;
}

#define RECIPIENT_COLUMNS                                                                          \
    "id, message_id, kind, address, alias, target, lane, orcpt, notify, state, next_attempt,"      \
    " attempts, depth, status, words, is_delay_told, is_stored, written"

/* The same of a join. */
#define LISTED_COLUMNS                                                                             \
    "r.id, r.message_id, r.kind, r.address, r.alias, r.target, r.lane, r.orcpt, r.notify,"         \
    " r.state, r.next_attempt, r.attempts, r.depth, r.status, r.words, r.is_delay_told,"           \
    " r.is_stored, r.written"

static enum err read_recipient(struct task *task, sqlite3_stmt *statement,
                               struct queue_recipient *out)
{
    struct queue_recipient r = {
        .id = db_column_int(statement, 0),
        .message_id = db_column_int(statement, 1),
        .address = queue_column_text(task, statement, 3),
        .alias = queue_column_text(task, statement, 4),
        .target = queue_column_text(task, statement, 5),
        .lane = queue_column_text(task, statement, 6),
        .orcpt = queue_column_text(task, statement, 7),
        .notify = queue_column_text(task, statement, 8),
        .attempts = queue_column_size(statement, 11),
        .depth = queue_column_size(statement, 12),
        .status = queue_column_text(task, statement, 13),
        .words = queue_column_text(task, statement, 14),
        .is_delay_told = db_column_int(statement, 15) != 0,
        .is_stored = db_column_int(statement, 16) != 0,
        .written = queue_column_text(task, statement, 17),
    };
    size_t kind, state;

    if (!index_of(db_column_text(statement, 2), kind_names, ARRAY_LEN(kind_names), &kind) ||
        !index_of(db_column_text(statement, 9), state_names, ARRAY_LEN(state_names), &state))
        return fail(task, ERR_CORRUPT, "a queued recipient of no known kind or state");
    r.kind = (enum queue_kind)kind;
    r.state = (enum queue_state)state;
    TRY(queue_column_time(task, statement, 10, &r.next_ms));
    *out = r;
    return ERR_OK;
}

enum err queue_recipient(struct queue *queue, struct task *task, int64_t id,
                         struct queue_recipient *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row = false;

    TRY(db_prepare(queue->db, task, "SELECT " RECIPIENT_COLUMNS " FROM recipients WHERE id = ?1",
                   &statement));
    db_bind_int(statement, 1, id);
    TRY(db_step(queue->db, task, statement, &has_row));
    if (!has_row)
        return fail(task, ERR_NOT_FOUND, "no such recipient in the queue");
    return read_recipient(task, statement, out);
}

/* The rows that are left of a statement, at most `most`. */
static enum err read_all(struct queue *queue, struct task *task, sqlite3_stmt *statement,
                         size_t most, struct queue_recipient **out, size_t *out_count)
{
    size_t room = 0, count = 0;
    struct queue_recipient *rows = NULL;

    for (bool has_row = true; has_row && count < most;) {
        TRY(db_step(queue->db, task, statement, &has_row));
        if (!has_row)
            break;
        if (count == room)
            rows = arena_grow(&task->arena, rows, &room, 4, sizeof(*rows));
        TRY(read_recipient(task, statement, &rows[count++]));
    }
    *out = rows;
    *out_count = count;
    return ERR_OK;
}

enum err queue_recipients(struct queue *queue, struct task *task, int64_t message_id,
                          struct queue_recipient **out, size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(queue->db, task,
                   "SELECT " RECIPIENT_COLUMNS " FROM recipients WHERE message_id = ?1 ORDER BY id",
                   &statement));
    db_bind_int(statement, 1, message_id);
    return read_all(queue, task, statement, SIZE_MAX, out, out_count);
}

static enum err first_due(struct queue *queue, struct task *task, struct str lane, int64_t now_ms,
                          struct queue_recipient **out, size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct queue_time now;

    TRY(db_prepare(queue->db, task,
                   "SELECT " RECIPIENT_COLUMNS " FROM recipients WHERE lane = ?1"
                   " AND state = 'waiting' AND next_attempt <= ?2 ORDER BY next_attempt LIMIT 1",
                   &statement));
    db_bind_text(statement, 1, lane);
    db_bind_text(statement, 2, queue_time(now_ms, &now));
    return read_all(queue, task, statement, 1, out, out_count);
}

static enum err others_due(struct queue *queue, struct task *task,
                           const struct queue_recipient *first, int64_t now_ms, size_t most,
                           struct queue_recipient **out, size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct queue_time now;

    TRY(db_prepare(queue->db, task,
                   "SELECT " RECIPIENT_COLUMNS " FROM recipients WHERE message_id = ?1"
                   " AND +lane = ?2 AND kind = ?3 AND +state = 'waiting' AND +next_attempt <= ?4"
                   " ORDER BY id LIMIT ?5",
                   &statement));
    db_bind_int(statement, 1, first->message_id);
    db_bind_text(statement, 2, first->lane);
    db_bind_text(statement, 3, str_from_c(kind_names[first->kind]));
    db_bind_text(statement, 4, queue_time(now_ms, &now));
    db_bind_int(statement, 5, (int64_t)most);
    return read_all(queue, task, statement, most, out, out_count);
}

enum err queue_activate(struct queue *queue, struct task *task, int64_t id)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(queue->db, task,
                   "UPDATE recipients SET state = 'active', starts = starts + 1 WHERE id = ?1",
                   &statement));
    db_bind_int(statement, 1, id);
    return db_run(queue->db, task, statement);
}

enum err queue_take(struct queue *queue, struct task *task, struct str lane, int64_t now_ms,
                    size_t most, struct queue_recipient **out, size_t *out_count)
{
    struct queue_recipient *rows = NULL;
    size_t count = 0;

    TRY(first_due(queue, task, lane, now_ms, &rows, &count));
    /* Only what goes over one connection goes together. */
    if (count == 1 && rows[0].kind == QUEUE_REMOTE)
        TRY(others_due(queue, task, &rows[0], now_ms, most, &rows, &count));
    for (size_t i = 0; i < count; i++) {
        TRY(queue_activate(queue, task, rows[i].id));
        rows[i].state = QUEUE_ACTIVE;
    }
    *out = rows;
    *out_count = count;
    return ERR_OK;
}

enum err queue_lane_due(struct queue *queue, struct task *task, struct str lane, int64_t *out_ms)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row = false;

    TRY(db_prepare(queue->db, task,
                   "SELECT next_attempt FROM recipients WHERE lane = ?1 AND state = 'waiting'"
                   " ORDER BY next_attempt LIMIT 1",
                   &statement));
    db_bind_text(statement, 1, lane);
    TRY(db_step(queue->db, task, statement, &has_row));
    *out_ms = INT64_MAX;
    return has_row ? queue_column_time(task, statement, 0, out_ms) : ERR_OK;
}

enum err queue_lanes(struct queue *queue, struct task *task, queue_on_lane on_lane, void *owner)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(queue->db, task,
                   "SELECT lane, min(next_attempt) FROM recipients WHERE state = 'waiting'"
                   " GROUP BY lane",
                   &statement));
    for (bool has_row = true; has_row;) {
        int64_t due_ms = 0;

        TRY(db_step(queue->db, task, statement, &has_row));
        if (!has_row)
            break;
        TRY(queue_column_time(task, statement, 1, &due_ms));
        on_lane(owner, db_column_text(statement, 0), due_ms);
    }
    return ERR_OK;
}

enum err queue_update(struct queue *queue, struct task *task, const struct queue_recipient *r)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct queue_time next;

    TRY(db_prepare(
        queue->db, task,
        "UPDATE recipients SET state = ?2, next_attempt = ?3, attempts = ?4, status = ?5,"
        " words = ?6, is_delay_told = ?7,"
        " starts = CASE WHEN ?2 = 'active' THEN starts ELSE 0 END WHERE id = ?1",
        &statement));
    db_bind_int(statement, 1, r->id);
    db_bind_text(statement, 2, str_from_c(state_names[r->state]));
    db_bind_text(statement, 3, queue_time(r->next_ms, &next));
    db_bind_int(statement, 4, (int64_t)r->attempts);
    db_bind_text(statement, 5, r->status);
    db_bind_text(statement, 6, r->words);
    db_bind_int(statement, 7, r->is_delay_told);
    return db_run(queue->db, task, statement);
}

enum err queue_change(struct queue *queue, struct task *task, int64_t message_id,
                      enum queue_state from, enum queue_state to, int64_t next_ms,
                      uint64_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct queue_time next;

    TRY(db_prepare(queue->db, task,
                   "UPDATE recipients SET state = ?3, next_attempt = ?4"
                   " WHERE (?1 = 0 OR message_id = ?1) AND state = ?2",
                   &statement));
    db_bind_int(statement, 1, message_id);
    db_bind_text(statement, 2, str_from_c(state_names[from]));
    db_bind_text(statement, 3, str_from_c(state_names[to]));
    db_bind_text(statement, 4, queue_time(next_ms, &next));
    TRY(db_run(queue->db, task, statement));
    *out_count = (uint64_t)sqlite3_changes(db_handle(queue->db));
    return ERR_OK;
}

enum err queue_hasten(struct queue *queue, struct task *task, int64_t message_id, int64_t now_ms,
                      uint64_t *out_count)
{
    return queue_change(queue, task, message_id, QUEUE_WAITING, QUEUE_WAITING, now_ms, out_count);
}

enum err queue_set_back(struct queue *queue, struct task *task, int64_t by_ms, uint64_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct queue_time now;

    TRY(db_prepare(queue->db, task,
                   "UPDATE recipients SET next_attempt = max(?2,"
                   " strftime('%Y-%m-%dT%H:%M:%fZ', next_attempt, ?1))"
                   " WHERE state = 'waiting' AND next_attempt > ?2",
                   &statement));
    db_bind_text(statement, 1,
                 arena_printf(&task->arena, "-%lld.%03lld seconds", (long long)(by_ms / 1000),
                              (long long)(by_ms % 1000)));
    db_bind_text(statement, 2, queue_time(task->now_ms, &now));
    TRY(db_run(queue->db, task, statement));
    *out_count = (uint64_t)sqlite3_changes(db_handle(queue->db));
    return ERR_OK;
}

enum err queue_straighten(struct queue *queue, struct task *task, int64_t latest_ms,
                          int64_t latest_webhook_ms, uint64_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct queue_time latest, latest_webhook, now;

    TRY(db_prepare(queue->db, task,
                   "UPDATE recipients SET next_attempt = ?2 WHERE state = 'waiting'"
                   " AND next_attempt > CASE kind WHEN 'webhook' THEN ?3 ELSE ?1 END",
                   &statement));
    db_bind_text(statement, 1, queue_time(latest_ms, &latest));
    db_bind_text(statement, 3, queue_time(latest_webhook_ms, &latest_webhook));
    db_bind_text(statement, 2, queue_time(task->now_ms, &now));
    TRY(db_run(queue->db, task, statement));
    *out_count = (uint64_t)sqlite3_changes(db_handle(queue->db));
    return ERR_OK;
}

enum err queue_list(struct queue *queue, struct task *task, int64_t after, bool is_waiting,
                    bool is_held, struct queue_entry *out, size_t *count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    size_t found = 0;

    TRY(db_prepare(queue->db, task,
                   "SELECT " LISTED_COLUMNS ", m.name, m.sender FROM recipients r"
                   " JOIN messages m ON m.id = r.message_id WHERE r.id > ?1"
                   " AND ((?2 AND r.state IN ('waiting', 'active')) OR (?3 AND r.state = 'held'))"
                   " ORDER BY r.id LIMIT ?4",
                   &statement));
    db_bind_int(statement, 1, after);
    db_bind_int(statement, 2, is_waiting);
    db_bind_int(statement, 3, is_held);
    db_bind_int(statement, 4, (int64_t)*count);
    for (bool has_row = true; has_row && found < *count;) {
        TRY(db_step(queue->db, task, statement, &has_row));
        if (!has_row)
            break;
        TRY(read_recipient(task, statement, &out[found].recipient));
        out[found].name = queue_column_text(task, statement, 18);
        out[found++].sender = queue_column_text(task, statement, 19);
    }
    *count = found;
    return ERR_OK;
}

static enum err count_of(struct queue *queue, struct task *task, const char *sql, uint64_t *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row = false;

    TRY(db_prepare(queue->db, task, sql, &statement));
    TRY(db_step(queue->db, task, statement, &has_row));
    *out = has_row ? queue_column_size(statement, 0) : 0;
    return ERR_OK;
}

enum err queue_count(struct queue *queue, struct task *task, struct queue_totals *out)
{
    struct queue_totals totals;

    TRY(count_of(queue, task, "SELECT count(*) FROM messages", &totals.messages));
    TRY(count_of(queue, task, "SELECT count(*) FROM recipients WHERE state = 'waiting'",
                 &totals.waiting));
    TRY(count_of(queue, task, "SELECT count(*) FROM recipients WHERE state = 'held'",
                 &totals.held));
    TRY(count_of(queue, task, "SELECT count(*) FROM recipients WHERE state = 'active'",
                 &totals.active));
    *out = totals;
    return ERR_OK;
}
