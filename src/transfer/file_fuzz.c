/*
 * A mailbox file whose schema and pages are right, and whose rows are any: what comes out of it are
 * whole messages within folders, or an error. The input changes a small mailbox: a letter for a
 * statement, then its values.
 */
#include "sqlite/db.h"
#include "transfer/export.h"
#include "vault/foreign.h"
#include "vault/schema.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char base_sql[] =
    "INSERT INTO mailbox VALUES (1, '0123456789abcdef01234567', '2026-01-01T00:00:00.000Z', 1, 9, "
    "9, "
    "9, 9, 9, 0, 0);"
    "INSERT INTO folder(id, name, uidvalidity, uidnext, message_count) VALUES (1, 'INBOX', 1, 9, "
    "3), "
    "(2, 'Work/Plans', 2, 9, 1);"
    "INSERT INTO subscription VALUES ('INBOX');"
    "INSERT INTO keyword VALUES (7, '$Label');"
    "INSERT INTO attachment VALUES (1, x'00', 6000, 1);"
    "INSERT INTO attachment_part VALUES (1<<24, 0, zeroblob(6000));"
    "INSERT INTO content SELECT i, '', '', 1, '', '', '', '', '', '', x'00', '', '', '', '', '', "
    "'', NULL "
    "FROM (SELECT 1 AS i UNION SELECT 2 UNION SELECT 3);"
    "INSERT INTO part VALUES (1<<24, 0, 5, 0, NULL, NULL, NULL, x'68656c6c6f');"
    "INSERT INTO part VALUES (2<<24, 0, 8210, 3, 1, 76, 2, NULL);"
    "INSERT INTO part VALUES (3<<24, 0, 6000, 2, 1, NULL, NULL, NULL), ((3<<24)+1, 6000, 3, 0, "
    "NULL, "
    "NULL, NULL, x'656e64');"
    "INSERT INTO message VALUES (1<<32|1, 1, 1, 0, 1, 5, '2026-01-01T00:00:00.000Z', 60, "
    "'2026-01-01T00:00:00.000Z', 1, NULL), (1<<32|2, 129, 1, 0, 2, 8210, "
    "'2026-01-01T00:00:00.000Z', 0, "
    "'2026-01-01T00:00:00.000Z', 1, NULL), (2<<32|1, 0, 1, 0, 3, 6003, '2026-01-01T00:00:00.000Z', "
    "0, "
    "'2026-01-01T00:00:00.000Z', 1, NULL);";

/* Each with the kinds of its values: i a number, b bytes, t text. */
static const struct {
    const char *kinds, *sql;
} changes[] = {
    {"ii", "UPDATE part SET start=?2 WHERE rowid=(SELECT min(key) FROM part WHERE key>=?1<<24)"},
    {"ii", "UPDATE part SET length=?2 WHERE rowid=(SELECT min(key) FROM part WHERE key>=?1<<24)"},
    {"ii", "UPDATE part SET kind=?2 WHERE rowid=(SELECT min(key) FROM part WHERE key>=?1<<24)"},
    {"ii",
     "UPDATE part SET attachment_id=?2 WHERE rowid=(SELECT min(key) FROM part WHERE key>=?1<<24)"},
    {"iii", "UPDATE part SET line_length=?2, line_end=?3 WHERE key>=?1<<24"},
    {"ib", "UPDATE part SET bytes=?2 WHERE key>=?1<<24"},
    {"iiiib", "INSERT OR IGNORE INTO part VALUES (?1, ?2, ?3, ?4, 1, 76, 1, ?5)"},
    {"i", "UPDATE attachment SET size_bytes=?1"},
    {"iib", "INSERT OR REPLACE INTO attachment_part VALUES (?1, ?2, ?3)"},
    {"iii", "UPDATE message SET content_id=?2, size_bytes=?3 WHERE key>=?1"},
    {"ii", "UPDATE message SET flags=?2 WHERE key>=?1"},
    {"iit", "UPDATE message SET internal_zone=?2, internal_date=?3 WHERE key>=?1"},
    {"ii", "UPDATE OR IGNORE message SET key=?2 WHERE key>=?1"},
    {"iit", "UPDATE OR IGNORE folder SET id=?2, name=?3 WHERE id>=?1"},
    {"iiii", "UPDATE folder SET uidvalidity=?2, uidnext=?3, special_use=?4 WHERE id>=?1"},
    {"ii", "UPDATE folder SET is_selectable=?2, first_recent_uid=?2 WHERE id>=?1"},
    {"it", "INSERT OR REPLACE INTO keyword VALUES (?1, ?2)"},
    {"t", "UPDATE mailbox SET mailbox_id=?1"},
    {"i", "DELETE FROM content WHERE id>=?1"},
    {"i", "DELETE FROM attachment_part WHERE key>=?1"},
};

static unsigned char *base; /* the mailbox as SQLite serializes it */
static sqlite3_int64 base_len;

static void expect(int code)
{
    if (code != SQLITE_OK)
        abort();
}

static void make_base(void)
{
    CLEANUP(db_close) struct db *db = NULL;
    CLEANUP(task_done) struct task task;
    char pragma[40];

    task_init(&task, 0);
    expect((int)db_open_memory(&task, &db));
    for (size_t i = 0; i < vault_schema_count; i++)
        expect((int)db_execute(db, &task, vault_schema[i]));
    (void)snprintf(pragma, sizeof(pragma), "PRAGMA user_version=%zu", vault_schema_count);
    expect((int)db_execute(db, &task, pragma));
    expect((int)db_execute(db, &task, base_sql));
    base = sqlite3_serialize(db_handle(db), "main", &base_len, 0);
    if (base == NULL)
        abort();
}

/* --- The input ---------------------------------------------------------------------------------
 */

static struct str take(struct str *rest, size_t len)
{
    struct str taken = str_upto(*rest, len < rest->len ? len : rest->len);

    *rest = str_from(*rest, taken.len);
    return taken;
}

/* One byte for what is small or at an edge, else eight that follow. */
static int64_t take_number(struct str *rest)
{
    static const int64_t edges[] = {INT64_MAX, INT64_MIN, -1,        UINT32_MAX,   INT32_MAX,
                                    1 << 24,   1LL << 32, 1LL << 40, 549755813887, 4096,
                                    262144,    8210,      6000};
    struct str byte = take(rest, 1), more;
    unsigned first = byte.len == 0 ? 0 : (unsigned char)byte.ptr[0];
    int64_t value = 0;

    if (first < 128)
        return first;
    if (first - 128 < ARRAY_LEN(edges))
        return edges[first - 128];
    more = take(rest, sizeof(value));
    memcpy(&value, more.ptr, more.len);
    return value;
}

static void change(sqlite3 *handle, struct str *rest)
{
    size_t which = (unsigned char)take(rest, 1).ptr[0] % ARRAY_LEN(changes);
    sqlite3_stmt *statement;

    expect(sqlite3_prepare_v2(handle, changes[which].sql, -1, &statement, NULL));
    for (int i = 0; changes[which].kinds[i] != 0; i++) {
        struct str bytes;

        if (changes[which].kinds[i] == 'i') {
            expect(sqlite3_bind_int64(statement, i + 1, take_number(rest)));
            continue;
        }
        bytes = take(rest, (size_t)(take_number(rest) & 0xffff));
        if (bytes.ptr == NULL)
            bytes = STR("");
        if (changes[which].kinds[i] == 'b')
            expect(sqlite3_bind_blob(statement, i + 1, bytes.ptr, (int)bytes.len, SQLITE_STATIC));
        else
            expect(sqlite3_bind_text(statement, i + 1, bytes.ptr, (int)bytes.len, SQLITE_STATIC));
    }
    (void)sqlite3_step(statement); /* what a constraint forbids is left as it was */
    (void)sqlite3_finalize(statement);
}

/* --- What comes of it --------------------------------------------------------------------------
 */

struct seen {
    bool has_folder, is_in_message;
    uint64_t total;
};

static enum err on_folder(void *owner, struct task *task, const struct transfer_folder *folder)
{
    struct seen *seen = owner;

    (void)task;
    assert(!seen->is_in_message && folder->uidvalidity > 0);
    seen->has_folder = true;
    return ERR_OK;
}

static enum err on_message(void *owner, struct task *task, const struct transfer_message *message)
{
    struct seen *seen = owner;

    (void)task;
    assert(seen->has_folder && !seen->is_in_message &&
           message->size_bytes <= TRANSFER_MESSAGE_BYTES_MAX);
    seen->is_in_message = true;
    return ERR_OK;
}

static enum err on_bytes(void *owner, struct task *task, struct str bytes)
{
    struct seen *seen = owner;

    assert(seen->is_in_message && bytes.len > 0);
    seen->total += bytes.len;
    return seen->total > 4 * 1024 * 1024 ? fail(task, ERR_LIMIT, "enough") : ERR_OK;
}

static enum err on_finish(void *owner, struct task *task)
{
    struct seen *seen = owner;

    (void)task;
    assert(seen->is_in_message);
    seen->is_in_message = false;
    return ERR_OK;
}

static enum err on_left_out(void *owner, struct task *task)
{
    (void)owner;
    (void)task;
    return ERR_OK;
}

static void read_all(struct task *task, struct vault *vault, bool is_untouched)
{
    struct seen seen = {0};
    const struct transfer_sink sink = {.folder = on_folder,
                                       .message = on_message,
                                       .bytes = on_bytes,
                                       .finish = on_finish,
                                       .left_out = on_left_out,
                                       .owner = &seen};
    const struct transfer_export options = {.source = STR("mailbox:x")};
    struct transfer_totals totals;

    if (transfer_export(vault, task, &options, &sink, &totals) == ERR_OK)
        assert(!seen.is_in_message);
    else
        assert(!is_untouched);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_make((const char *)data, size);
    CLEANUP(vault_close) struct vault *vault = NULL;
    CLEANUP(db_close) struct db *db = NULL;
    CLEANUP(task_done) struct task task;
    unsigned char *copy;
    struct id id;

    if (base == NULL)
        make_base();
    task_init(&task, 0);
    expect((int)db_open_memory(&task, &db));
    copy = sqlite3_malloc64((sqlite3_uint64)base_len);
    memcpy(copy, base, (size_t)base_len);
    expect(sqlite3_deserialize(db_handle(db), "main", copy, base_len, base_len,
                               SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_RESIZEABLE));
    for (int i = 0; i < 20 && rest.len > 0; i++)
        change(db_handle(db), &rest);
    if (vault_foreign(&task, &db, &id, &vault) == ERR_OK)
        read_all(&task, vault, size == 0);
    else
        assert(size > 0);
    return 0;
}
