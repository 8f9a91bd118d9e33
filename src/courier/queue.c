/* Opening, transactions and messages of the queue; recipients are in courier/recipient.c. */
#include "courier/queue_rows.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/memory.h"
#include "secret/courier.h"

#include <string.h>

enum {
    PIECE_BYTES = 256 * 1024,
    /* So many times running an attempt ended with the process: then it waits. */
    STARTS_MAX = 3,
    STARTS_WAIT_MS = 10 * 60 * 1000,
};

static const char schema_0001[] =
#include "courier_0001.sql.inc"
    ;

static const char *const migrations[] = {schema_0001};

static const char *const source_names[] = {
    [QUEUE_SUBMISSION] = "submission",
    [QUEUE_ROUTES] = "routes",
    [QUEUE_REPORT] = "report",
    [QUEUE_REPLY] = "reply",
};

const char *queue_source_name(enum queue_source source)
{
    return source_names[source];
}

static enum err source_of(struct task *task, struct str name, enum queue_source *out)
{
    for (size_t i = 0; i < ARRAY_LEN(source_names); i++) {
        if (str_equal(name, str_from_c(source_names[i]))) {
            *out = (enum queue_source)i;
            return ERR_OK;
        }
    }
    return fail(task, ERR_CORRUPT, "a queued message of no known kind");
}

/* --- The file --- */

/* MAILBOX_KEY_BYTES: what opens the file. */
static struct secret *database_key(const struct secret *root)
{
    CLEANUP(secret_free) struct secret *key = crypt_derive(root, STR("queue"), STR("key"));
    CLEANUP(secret_free) struct secret *salt = crypt_derive(root, STR("queue"), STR("salt"));
    struct secret *both = secret_new(MAILBOX_KEY_BYTES);

    memcpy(secret_bytes(both), secret_str(key).ptr, CRYPT_KEY_BYTES);
    memcpy(secret_bytes(both) + CRYPT_KEY_BYTES, secret_str(salt).ptr, MAILBOX_SALT_BYTES);
    return both;
}

/* What the last process was at when it ended is to be done again: it may or may not have happened.
 */
static enum err resume(struct queue *queue, struct task *task)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct queue_time now, later;

    TRY(db_prepare(queue->db, task,
                   "UPDATE recipients SET state = 'waiting',"
                   " next_attempt = CASE WHEN starts >= ?1 THEN ?2 ELSE ?3 END"
                   " WHERE state = 'active'",
                   &statement));
    db_bind_int(statement, 1, STARTS_MAX);
    db_bind_text(statement, 2, queue_time(task->now_ms + STARTS_WAIT_MS, &later));
    db_bind_text(statement, 3, queue_time(task->now_ms, &now));
    TRY(db_begin(queue->db, task));
    TRY(db_run(queue->db, task, statement));
    return db_commit(queue->db, task, false);
}

static enum err open_file(struct queue *queue, struct task *task)
{
    CLEANUP(secret_free) struct secret *key = database_key(queue->root);

    TRY(db_open(task, queue->path, DB_OPEN_CREATE, key, &queue->db));
    TRY(db_migrate(queue->db, task, migrations, ARRAY_LEN(migrations)));
    return resume(queue, task);
}

enum err queue_open(struct task *task, const char *folder, const struct secret *root,
                    struct queue **out_queue)
{
    CLEANUP(queue_close) struct queue *queue = NEW(struct queue);
    struct str path = arena_printf(&task->arena, "%s/queue.sqlite", folder);

    queue->path = mem_copy_text(path.ptr, path.len);
    queue->root = secret_copy(secret_str(root));
    queue->content_key = crypt_derive(root, STR("queue-content"), STR(""));
    TRY(open_file(queue, task));
    *out_queue = queue;
    queue = NULL;
    return ERR_OK;
}

void queue_close(struct queue **queue)
{
    if (*queue == NULL)
        return;
    if ((*queue)->db != NULL)
        db_rollback((*queue)->db);
    db_close(&(*queue)->db);
    secret_free(&(*queue)->root);
    secret_free(&(*queue)->content_key);
    mem_free(&(*queue)->path);
    mem_free(queue);
}

bool queue_is_broken(const struct queue *queue)
{
    return queue->db == NULL || db_is_broken(queue->db);
}

enum err queue_reopen(struct queue *queue, struct task *task)
{
    enum err err;

    db_close(&queue->db);
    err = open_file(queue, task);
    if (err != ERR_OK)
        db_close(&queue->db);
    return err;
}

/* --- Transactions --- */

enum err queue_begin(struct queue *queue, struct task *task)
{
    return db_begin(queue->db, task);
}

enum err queue_commit(struct queue *queue, struct task *task, bool is_durable)
{
    enum err err = db_commit(queue->db, task, is_durable);

    if (err != ERR_OK)
        db_rollback(queue->db);
    return err;
}

void queue_rollback(struct queue *queue)
{
    if (queue->db != NULL)
        db_rollback(queue->db);
}

/* --- Values --- */

struct str queue_time(int64_t ms, struct queue_time *room)
{
    clock_format_iso(ms, room->text);
    return str_from_c(room->text);
}

enum err queue_column_time(struct task *task, sqlite3_stmt *statement, int column, int64_t *out_ms)
{
    if (!clock_parse_iso(db_column_text(statement, column), out_ms))
        return fail(task, ERR_CORRUPT, "a time in the queue does not read");
    return ERR_OK;
}

struct str queue_column_text(struct task *task, sqlite3_stmt *statement, int column)
{
    return arena_copy(&task->arena, db_column_text(statement, column));
}

uint64_t queue_column_size(sqlite3_stmt *statement, int column)
{
    int64_t value = db_column_int(statement, column);

    return value < 0 ? 0 : (uint64_t)value;
}

/* --- Content --- */

/* What a piece is bound to: its message, its place, whether it is the last. */
static struct str piece_label(struct task *task, struct str name, uint64_t piece, bool is_last)
{
    return arena_printf(&task->arena, "%.*s %llu%s", STR_ARG(name), (unsigned long long)piece,
                        is_last ? " last" : "");
}

static enum err add_piece(struct queue *queue, struct task *task, int64_t id, uint64_t piece,
                          struct str sealed)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(queue->db, task,
                   "INSERT INTO contents (message_id, piece, sealed) VALUES (?1, ?2, ?3)",
                   &statement));
    db_bind_int(statement, 1, id);
    db_bind_int(statement, 2, (int64_t)piece);
    db_bind_blob(statement, 3, sealed);
    return db_run(queue->db, task, statement);
}

static enum err add_content(struct queue *queue, struct task *task, int64_t id, struct str name,
                            struct str content)
{
    CLEANUP(buf_free) struct buf sealed;
    uint64_t piece = 0;

    buf_init(&sealed, SIZE_MAX);
    do {
        struct str part = str_upto(content, PIECE_BYTES);

        content = str_from(content, part.len);
        buf_reset(&sealed);
        TRY(crypt_seal(&sealed, secret_str(queue->content_key),
                       piece_label(task, name, piece, content.len == 0), part));
        TRY(add_piece(queue, task, id, piece++, buf_str(&sealed)));
    } while (content.len > 0);
    return ERR_OK;
}

static enum err content_name(struct queue *queue, struct task *task, int64_t id,
                             struct str *out_name, uint64_t *out_size)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row = false;

    TRY(db_prepare(queue->db, task, "SELECT name, size_bytes FROM messages WHERE id = ?1",
                   &statement));
    db_bind_int(statement, 1, id);
    TRY(db_step(queue->db, task, statement, &has_row));
    if (!has_row)
        return fail(task, ERR_NOT_FOUND, "no such message in the queue");
    *out_name = queue_column_text(task, statement, 0);
    *out_size = queue_column_size(statement, 1);
    return ERR_OK;
}

enum err queue_content(struct queue *queue, struct task *task, int64_t id, struct buf *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    uint64_t size = 0, piece = 0;
    struct str name;

    TRY(content_name(queue, task, id, &name, &size));
    TRY(db_prepare(queue->db, task,
                   "SELECT sealed FROM contents WHERE message_id = ?1 ORDER BY piece", &statement));
    db_bind_int(statement, 1, id);
    for (bool has_row = true; has_row;) {
        bool is_last;

        TRY(db_step(queue->db, task, statement, &has_row));
        if (!has_row)
            break;
        is_last = (piece + 1) * PIECE_BYTES >= size;
        if (crypt_open(out, secret_str(queue->content_key),
                       piece_label(task, name, piece++, is_last),
                       db_column_blob(statement, 0)) != ERR_OK)
            return fail(task, ERR_CORRUPT, "a piece of a queued message is not what was written");
    }
    if (out->len != size)
        return fail(task, ERR_CORRUPT, "a queued message is not whole");
    return ERR_OK;
}

/* --- Messages --- */

static enum err insert_message(struct queue *queue, struct task *task,
                               const struct queue_message *m, struct str name, uint64_t size_bytes)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct queue_time received;

    TRY(db_prepare(
        queue->db, task,
        "INSERT INTO messages (name, kind, mailbox, sender, helo, client, auth, body, ret,"
        " envid, require_tls, is_utf8, may_reply, is_junk, size_bytes, trace_bytes,"
        " received, trace) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,"
        " ?14, ?15, ?16, ?17, ?18)",
        &statement));
    db_bind_text(statement, 1, name);
    db_bind_text(statement, 2, str_from_c(source_names[m->source]));
    db_bind_text(statement, 3, m->mailbox);
    db_bind_text(statement, 4, m->sender);
    db_bind_text(statement, 5, m->helo);
    db_bind_text(statement, 6, m->client);
    db_bind_text(statement, 7, m->auth);
    db_bind_text(statement, 8, m->body);
    db_bind_text(statement, 9, m->ret);
    db_bind_text(statement, 10, m->envid);
    db_bind_int(statement, 11, m->require_tls);
    db_bind_int(statement, 12, m->is_utf8);
    db_bind_int(statement, 13, m->may_reply);
    db_bind_int(statement, 14, m->is_junk);
    db_bind_int(statement, 15, (int64_t)size_bytes);
    db_bind_int(statement, 16, (int64_t)m->trace_bytes);
    db_bind_text(statement, 17, queue_time(m->received_ms, &received));
    db_bind_text(statement, 18, m->trace);
    return db_run(queue->db, task, statement);
}

enum err queue_add(struct queue *queue, struct task *task, const struct queue_message *message,
                   struct str content, int64_t *out_id)
{
    struct id name = id_random();
    int64_t id;

    TRY(insert_message(queue, task, message, id_str(&name), content.len));
    id = sqlite3_last_insert_rowid(db_handle(queue->db));
    TRY(add_content(queue, task, id, id_str(&name), content));
    *out_id = id;
    return ERR_OK;
}

#define MESSAGE_COLUMNS                                                                            \
    "id, name, kind, mailbox, sender, helo, client, auth, body, ret, envid, require_tls, is_utf8," \
    " may_reply, is_junk, size_bytes, trace_bytes, received, signatures, trace"

static enum err read_message(struct task *task, sqlite3_stmt *statement, struct queue_message *out)
{
    struct queue_message m = {
        .id = db_column_int(statement, 0),
        .name = queue_column_text(task, statement, 1),
        .mailbox = queue_column_text(task, statement, 3),
        .sender = queue_column_text(task, statement, 4),
        .helo = queue_column_text(task, statement, 5),
        .client = queue_column_text(task, statement, 6),
        .auth = queue_column_text(task, statement, 7),
        .body = queue_column_text(task, statement, 8),
        .ret = queue_column_text(task, statement, 9),
        .envid = queue_column_text(task, statement, 10),
        .require_tls = db_column_int(statement, 11) != 0,
        .is_utf8 = db_column_int(statement, 12) != 0,
        .may_reply = db_column_int(statement, 13) != 0,
        .is_junk = db_column_int(statement, 14) != 0,
        .size_bytes = queue_column_size(statement, 15),
        .trace_bytes = queue_column_size(statement, 16),
        .is_signed = !db_column_is_null(statement, 18),
        .trace = queue_column_text(task, statement, 19),
    };

    TRY(source_of(task, db_column_text(statement, 2), &m.source));
    TRY(queue_column_time(task, statement, 17, &m.received_ms));
    if (m.is_signed)
        m.signatures = queue_column_text(task, statement, 18);
    if (m.trace_bytes > m.size_bytes)
        return fail(task, ERR_CORRUPT, "a queued message is shorter than our part of it");
    *out = m;
    return ERR_OK;
}

static enum err one_message(struct queue *queue, struct task *task, sqlite3_stmt *statement,
                            struct queue_message *out)
{
    bool has_row = false;

    TRY(db_step(queue->db, task, statement, &has_row));
    if (!has_row)
        return fail(task, ERR_NOT_FOUND, "no such message in the queue");
    return read_message(task, statement, out);
}

enum err queue_message(struct queue *queue, struct task *task, int64_t id,
                       struct queue_message *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(queue->db, task, "SELECT " MESSAGE_COLUMNS " FROM messages WHERE id = ?1",
                   &statement));
    db_bind_int(statement, 1, id);
    return one_message(queue, task, statement, out);
}

enum err queue_message_named(struct queue *queue, struct task *task, struct str name,
                             struct queue_message *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(queue->db, task, "SELECT " MESSAGE_COLUMNS " FROM messages WHERE name = ?1",
                   &statement));
    db_bind_text(statement, 1, name);
    return one_message(queue, task, statement, out);
}

enum err queue_set_signatures(struct queue *queue, struct task *task, int64_t id,
                              struct str signatures)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(queue->db, task, "UPDATE messages SET signatures = ?2 WHERE id = ?1",
                   &statement));
    db_bind_int(statement, 1, id);
    db_bind_text(statement, 2, signatures);
    return db_run(queue->db, task, statement);
}

enum err queue_remove(struct queue *queue, struct task *task, int64_t id)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(queue->db, task, "DELETE FROM messages WHERE id = ?1", &statement));
    db_bind_int(statement, 1, id);
    return db_run(queue->db, task, statement);
}

enum err queue_remove_some(struct queue *queue, struct task *task, uint64_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(queue->db, task,
                   "DELETE FROM messages WHERE id IN (SELECT id FROM messages LIMIT 200)",
                   &statement));
    TRY(db_run(queue->db, task, statement));
    *out_count = (uint64_t)sqlite3_changes(db_handle(queue->db));
    return ERR_OK;
}

enum err queue_finish(struct queue *queue, struct task *task, int64_t id, bool *out_is_finished)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row = false;

    TRY(db_prepare(queue->db, task,
                   "SELECT 1 FROM recipients WHERE message_id = ?1"
                   " AND state IN ('waiting', 'active', 'held') LIMIT 1",
                   &statement));
    db_bind_int(statement, 1, id);
    TRY(db_step(queue->db, task, statement, &has_row));
    *out_is_finished = !has_row;
    return has_row ? ERR_OK : queue_remove(queue, task, id);
}
