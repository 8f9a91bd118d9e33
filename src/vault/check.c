/* Reading all of a mailbox file (check.h). */
#include "vault/check.h"

#include "secret/crypt.h"
#include "vault/content.h"
#include "vault/parts.h"
#include "vault/sort_keep.h"

enum {
    READ_BYTES = 256 * 1024,
    LOOK_EVERY_STEPS = 200 * 1000, /* of SQLite's machine: some milliseconds */
};

struct check {
    struct vault *vault; /* own */
    struct task *task;
    const struct vault_check_events *events;
    struct vault_checked *checked;
    struct buf bytes;
    uint64_t done, total; /* of what is being read */
};

static int on_steps(void *owner)
{
    const struct check *check = owner;

    return check->events->is_wanted(check->events->owner) ? 0 : 1;
}

static enum err look(struct check *check, const char *what)
{
    check->events->on_progress(check->events->owner, what, check->done, check->total);
    if (!check->events->is_wanted(check->events->owner))
        return fail(check->task, ERR_BUSY, "nobody waits for it any more");
    return ERR_OK;
}

static enum err number(struct check *check, const char *sql, uint64_t *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(check->vault->db, check->task, sql, &statement));
    TRY(db_step(check->vault->db, check->task, statement, &has_row));
    *out = (uint64_t)db_column_int(statement, 0);
    return ERR_OK;
}

/* SQLite's own look at pages, indexes and constraints. */
static enum err check_pages(struct check *check)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(look(check, "pages"));
    TRY(db_prepare(check->vault->db, check->task, "PRAGMA integrity_check(1)", &statement));
    TRY(db_step(check->vault->db, check->task, statement, &has_row));
    /* Its words may name rows of content, but hold nothing of it. */
    if (!has_row || !str_equal(db_column_text(statement, 0), STR("ok")))
        return fail(check->task, ERR_CORRUPT, "pages or indexes are damaged");
    return ERR_OK;
}

/* What is counted in two places is the same. One state of the file, as it may change beside us. */
static enum err check_counts(struct check *check)
{
    static const struct {
        const char *sql; /* how many are wrong */
        const char *words;
    } rules[] = {
        {"SELECT count(*) FROM folder f WHERE message_count <> (SELECT count(*) FROM message m "
         "WHERE m.key BETWEEN f.id << 32 AND (f.id << 32 | 4294967295) AND m.is_expunged = 0)",
         "a folder counts other messages than it has"},
        {"SELECT count(*) FROM message m WHERE m.is_expunged = 0 AND m.size_bytes <> (SELECT "
         "coalesce(sum(p.length), 0) FROM part p WHERE p.key BETWEEN m.content_id << 24 AND "
         "(m.content_id + 1 << 24) - 1)",
         "a message's parts are not all of it"},
        {"SELECT count(*) FROM message m WHERE m.is_expunged = 0 AND NOT EXISTS "
         "(SELECT 1 FROM content c WHERE c.id = m.content_id)",
         "a message has no content"},
        {"SELECT count(*) FROM part p WHERE p.attachment_id IS NOT NULL AND NOT EXISTS "
         "(SELECT 1 FROM attachment a WHERE a.id = p.attachment_id)",
         "a message's attachment is missing"},
        {"SELECT count(*) FROM sort_key k WHERE NOT EXISTS "
         "(SELECT 1 FROM content c WHERE c.id = k.content_id)",
         "what SORT compares of a message is there without it"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        uint64_t wrong = 0;

        TRY(look(check, "counts"));
        TRY(number(check, rules[i].sql, &wrong));
        if (wrong > 0)
            return fail(check->task, ERR_CORRUPT, "%s", rules[i].words);
    }
    TRY(number(check, "SELECT count(*) FROM message WHERE is_expunged = 0",
               &check->checked->messages));
    return number(check, "SELECT coalesce(sum(size_bytes), 0) FROM message WHERE is_expunged = 0",
                  &check->checked->message_bytes);
}

/* The row that follows `after`; 0: none. */
static enum err next_row(struct check *check, const char *sql, int64_t after, int64_t *out_id)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(check->vault->db, check->task, sql, &statement));
    db_bind_int(statement, 1, after);
    TRY(db_step(check->vault->db, check->task, statement, &has_row));
    *out_id = has_row ? db_column_int(statement, 0) : 0;
    return ERR_OK;
}

/* With a task of its own: what is made for one message shall not stay for all. */
static enum err check_sort_key(struct check *check, int64_t id)
{
    struct task made;
    enum err err;

    task_init(&made, check->task->now_ms);
    err = sort_check(check->vault, &made, id);
    if (err != ERR_OK)
        err = fail(check->task, err, "%s", made.words);
    task_done(&made);
    return err;
}

static enum err read_content(struct check *check, int64_t id)
{
    CLEANUP(vault_content_close) struct vault_content *content = NULL;
    uint64_t size, offset = 0;

    TRY(vault_content_open(check->vault, check->task, id, &content));
    size = vault_content_size(content);
    while (offset < size) {
        buf_reset(&check->bytes);
        TRY(vault_content_read(content, check->task, offset, READ_BYTES, &check->bytes));
        if (check->bytes.len == 0)
            return fail(check->task, ERR_CORRUPT, "a message ends too early");
        offset += check->bytes.len;
    }
    return check_sort_key(check, id);
}

static enum err read_attachment(struct check *check, int64_t id)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    CLEANUP(db_release) sqlite3_stmt *parts = NULL;
    struct db *db = check->vault->db;
    unsigned char digest[CRYPT_HASH_BYTES];
    uint64_t size, rest;
    bool has_row;

    TRY(db_prepare(db, check->task, "SELECT size_bytes, digest FROM attachment WHERE id = ?1",
                   &statement));
    db_bind_int(statement, 1, id);
    TRY(db_step(db, check->task, statement, &has_row));
    if (!has_row)
        return fail(check->task, ERR_NOT_FOUND, "purged meanwhile");
    size = rest = (uint64_t)db_column_int(statement, 0);
    TRY(db_prepare(db, check->task,
                   "SELECT kind, bytes FROM attachment_part WHERE key BETWEEN ?1 AND ?2", &parts));
    db_bind_int(parts, 1, part_key(id, 0));
    db_bind_int(parts, 2, part_key(id + 1, 0) - 1);
    buf_reset(&check->bytes);
    for (;;) {
        size_t len = rest < ATTACHMENT_CHUNK_BYTES ? (size_t)rest : ATTACHMENT_CHUNK_BYTES;

        TRY(db_step(db, check->task, parts, &has_row));
        if (!has_row)
            break;
        if (db_column_int(parts, 0) == PART_ZSTD)
            TRY(part_decompress(check->vault, check->task, db_column_blob(parts, 1), len,
                                &check->bytes));
        else
            buf_put(&check->bytes, db_column_blob(parts, 1));
        rest = size > check->bytes.len ? size - check->bytes.len : 0;
    }
    crypt_digest(buf_str(&check->bytes), digest);
    if (check->bytes.len != size ||
        !str_equal(str_make(digest, sizeof(digest)), db_column_blob(statement, 1)))
        return fail(check->task, ERR_CORRUPT, "an attachment does not match its digest");
    return ERR_OK;
}

/* All rows of one kind; what was purged meanwhile is none. */
static enum err read_all(struct check *check, const char *what, const char *count_sql,
                         const char *next_sql, enum err (*read)(struct check *, int64_t),
                         uint64_t *out_count)
{
    int64_t id = 0;

    check->done = 0;
    TRY(number(check, count_sql, &check->total));
    for (;;) {
        enum err err;

        TRY(next_row(check, next_sql, id, &id));
        if (id == 0)
            break;
        err = read(check, id);
        if (err != ERR_OK && err != ERR_NOT_FOUND)
            return err;
        if (err == ERR_NOT_FOUND)
            task_forgive(check->task);
        check->done++;
        if (check->total < check->done) /* it grew meanwhile */
            check->total = check->done;
        TRY(look(check, what));
    }
    *out_count = check->done;
    return ERR_OK;
}

static enum err check_all(struct check *check)
{
    struct vault_usage usage;

    TRY(check_pages(check));
    TRY(check_counts(check));
    TRY(read_all(check, "messages", "SELECT count(*) FROM content",
                 "SELECT id FROM content WHERE id > ?1 ORDER BY id LIMIT 1", read_content,
                 &check->checked->contents));
    TRY(read_all(check, "attachments", "SELECT count(*) FROM attachment",
                 "SELECT id FROM attachment WHERE id > ?1 ORDER BY id LIMIT 1", read_attachment,
                 &check->checked->attachments));
    vault_usage(check->vault, &usage);
    check->checked->epoch = usage.epoch;
    check->checked->change_counter = usage.change_counter;
    return ERR_OK;
}

enum err vault_check_file(struct task *task, const struct vault_options *options,
                          const struct secret *key, const struct vault_check_events *events,
                          struct vault_checked *out_checked)
{
    CLEANUP(vault_close) struct vault *vault = NULL;
    struct check check = {.task = task, .events = events, .checked = out_checked};
    enum err err;

    TRY(vault_open_beside(task, options, key, &vault));
    check.vault = vault;
    buf_init(&check.bytes, SIZE_MAX);
    sqlite3_progress_handler(db_handle(vault->db), LOOK_EVERY_STEPS, on_steps, &check);
    err = check_all(&check);
    sqlite3_progress_handler(db_handle(vault->db), 0, NULL, NULL);
    buf_free(&check.bytes);
    if (err == ERR_IO && !events->is_wanted(events->owner))
        return ERR_BUSY;
    return err;
}
