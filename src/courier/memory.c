#include "courier/memory.h"

#include "base/ascii.h"
#include "courier/queue_rows.h"

/* The key of a table: the address in lower case (ASCII; the keeper's addresses are canonical). */
static struct str lower(struct task *task, struct str text)
{
    char *copy = ARENA_ARRAY(&task->arena, char, text.len + 1);

    for (size_t i = 0; i < text.len; i++)
        copy[i] = ascii_lower(text.ptr[i]);
    return str_make(copy, text.len);
}

/* --- Suppressions --- */

enum err memory_suppress(struct queue *queue, struct task *task, struct str address,
                         struct str status, struct str words, int64_t for_ms)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct queue_time since, expires;

    if (for_ms <= 0)
        return ERR_OK;
    TRY(db_prepare(queue->db, task,
                   "INSERT INTO suppressions (address, status, words, since, expires)"
                   " VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (address) DO UPDATE SET"
                   " status = excluded.status, words = excluded.words, since = excluded.since,"
                   " expires = excluded.expires",
                   &statement));
    db_bind_text(statement, 1, lower(task, address));
    db_bind_text(statement, 2, status);
    db_bind_text(statement, 3, words);
    db_bind_text(statement, 4, queue_time(task->now_ms, &since));
    db_bind_text(statement, 5, queue_time(task->now_ms + for_ms, &expires));
    return db_run(queue->db, task, statement);
}

bool memory_is_hard(struct str status)
{
    if (str_equal(status, STR("5.1.7")) || str_equal(status, STR("5.1.8")))
        return false;
    return str_starts_with(status, STR("5.1.")) || str_equal(status, STR("5.2.1"));
}

static enum err read_suppression(struct task *task, sqlite3_stmt *statement,
                                 struct memory_suppression *out)
{
    out->address = queue_column_text(task, statement, 0);
    out->status = queue_column_text(task, statement, 1);
    out->words = queue_column_text(task, statement, 2);
    TRY(queue_column_time(task, statement, 3, &out->since_ms));
    return queue_column_time(task, statement, 4, &out->expires_ms);
}

enum err memory_suppression_find(struct queue *queue, struct task *task, struct str address,
                                 bool *out_is_found, struct memory_suppression *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct queue_time now;

    TRY(db_prepare(queue->db, task,
                   "SELECT address, status, words, since, expires FROM suppressions"
                   " WHERE address = ?1 AND expires > ?2",
                   &statement));
    db_bind_text(statement, 1, lower(task, address));
    db_bind_text(statement, 2, queue_time(task->now_ms, &now));
    TRY(db_step(queue->db, task, statement, out_is_found));
    return *out_is_found ? read_suppression(task, statement, out) : ERR_OK;
}

enum err memory_suppression_list(struct queue *queue, struct task *task, struct str after,
                                 struct memory_suppression *out, size_t *count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct queue_time now;
    size_t found = 0;

    TRY(db_prepare(queue->db, task,
                   "SELECT address, status, words, since, expires FROM suppressions"
                   " WHERE address > ?1 AND expires > ?2 ORDER BY address LIMIT ?3",
                   &statement));
    db_bind_text(statement, 1, after);
    db_bind_text(statement, 2, queue_time(task->now_ms, &now));
    db_bind_int(statement, 3, (int64_t)*count);
    for (bool has_row = true; has_row && found < *count;) {
        TRY(db_step(queue->db, task, statement, &has_row));
        if (has_row)
            TRY(read_suppression(task, statement, &out[found++]));
    }
    *count = found;
    return ERR_OK;
}

enum err memory_suppression_clear(struct queue *queue, struct task *task, struct str address,
                                  uint64_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(queue->db, task, "DELETE FROM suppressions WHERE ?1 = '' OR address = ?1",
                   &statement));
    db_bind_text(statement, 1, lower(task, address));
    TRY(db_run(queue->db, task, statement));
    *out_count = (uint64_t)sqlite3_changes(db_handle(queue->db));
    return ERR_OK;
}

/* --- Notes: the first of a kind within a time --- */

enum err memory_reply_note(struct queue *queue, struct task *task, struct str alias,
                           struct str sender, int64_t for_ms, bool *out_is_first)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct queue_time now, expires;

    TRY(db_prepare(queue->db, task,
                   "INSERT INTO replies (alias, sender, expires) VALUES (?1, ?2, ?3)"
                   " ON CONFLICT (alias, sender) DO UPDATE SET expires = excluded.expires"
                   " WHERE expires <= ?4",
                   &statement));
    db_bind_text(statement, 1, lower(task, alias));
    db_bind_text(statement, 2, lower(task, sender));
    db_bind_text(statement, 3, queue_time(task->now_ms + for_ms, &expires));
    db_bind_text(statement, 4, queue_time(task->now_ms, &now));
    TRY(db_run(queue->db, task, statement));
    *out_is_first = sqlite3_changes(db_handle(queue->db)) > 0;
    return ERR_OK;
}

enum err memory_accept_note(struct queue *queue, struct task *task,
                            const unsigned char digest[static CRYPT_HASH_BYTES], int64_t for_ms,
                            bool *out_is_first)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct queue_time now, expires;

    TRY(db_prepare(queue->db, task,
                   "INSERT INTO accepted (digest, expires) VALUES (?1, ?2)"
                   " ON CONFLICT (digest) DO UPDATE SET expires = excluded.expires"
                   " WHERE expires <= ?3",
                   &statement));
    db_bind_blob(statement, 1, str_make(digest, CRYPT_HASH_BYTES));
    db_bind_text(statement, 2, queue_time(task->now_ms + for_ms, &expires));
    db_bind_text(statement, 3, queue_time(task->now_ms, &now));
    TRY(db_run(queue->db, task, statement));
    *out_is_first = sqlite3_changes(db_handle(queue->db)) > 0;
    return ERR_OK;
}

enum err memory_accept_find(struct queue *queue, struct task *task,
                            const unsigned char digest[static CRYPT_HASH_BYTES],
                            bool *out_is_known)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct queue_time now;

    TRY(db_prepare(queue->db, task, "SELECT 1 FROM accepted WHERE digest = ?1 AND expires > ?2",
                   &statement));
    db_bind_blob(statement, 1, str_make(digest, CRYPT_HASH_BYTES));
    db_bind_text(statement, 2, queue_time(task->now_ms, &now));
    return db_step(queue->db, task, statement, out_is_known);
}

/* --- MTA-STS --- */

enum err memory_policy_save(struct queue *queue, struct task *task, struct str domain,
                            struct str id, struct str policy, int64_t expires_ms)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    CLEANUP(db_release) sqlite3_stmt *removal = NULL;
    struct queue_time expires;

    if (policy.len == 0) {
        TRY(db_prepare(queue->db, task, "DELETE FROM policies WHERE domain = ?1", &removal));
        db_bind_text(removal, 1, domain);
        return db_run(queue->db, task, removal);
    }
    TRY(db_prepare(queue->db, task,
                   "INSERT INTO policies (domain, id, policy, expires) VALUES (?1, ?2, ?3, ?4)"
                   " ON CONFLICT (domain) DO UPDATE SET id = excluded.id,"
                   " policy = excluded.policy, expires = excluded.expires",
                   &statement));
    db_bind_text(statement, 1, domain);
    db_bind_text(statement, 2, id);
    db_bind_text(statement, 3, policy);
    db_bind_text(statement, 4, queue_time(expires_ms, &expires));
    return db_run(queue->db, task, statement);
}

enum err memory_policies(struct queue *queue, struct task *task, memory_on_policy on_policy,
                         void *owner)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(queue->db, task, "SELECT domain, id, policy, expires FROM policies",
                   &statement));
    for (bool has_row = true; has_row;) {
        int64_t expires_ms = 0;

        TRY(db_step(queue->db, task, statement, &has_row));
        if (!has_row)
            break;
        TRY(queue_column_time(task, statement, 3, &expires_ms));
        on_policy(owner, db_column_text(statement, 0), db_column_text(statement, 1),
                  db_column_text(statement, 2), expires_ms);
    }
    return ERR_OK;
}

/* --- Forgetting --- */

enum err memory_expire(struct queue *queue, struct task *task)
{
    static const char *const removals[] = {
        "DELETE FROM suppressions WHERE expires <= ?1",
        "DELETE FROM replies WHERE expires <= ?1",
        "DELETE FROM accepted WHERE expires <= ?1",
        "DELETE FROM policies WHERE expires <= ?1",
    };

    for (size_t i = 0; i < ARRAY_LEN(removals); i++) {
        CLEANUP(db_release) sqlite3_stmt *statement = NULL;
        struct queue_time now;

        TRY(db_prepare(queue->db, task, removals[i], &statement));
        db_bind_text(statement, 1, queue_time(task->now_ms, &now));
        TRY(db_run(queue->db, task, statement));
    }
    return ERR_OK;
}
