/* Reading messages one after the other. What a cursor does not load it does not touch either. */
#include "vault/message.h"

#include "base/clock.h"
#include "base/memory.h"
#include "vault/state.h"

/* What SQLite does not read it does not copy either. The columns come in groups, in this order,
 * each of them only in the statements that have it. */
enum {
    DATE_COLUMNS = VAULT_COLUMN_DATES | VAULT_COLUMN_SENT,
    LIST_COLUMNS = VAULT_COLUMN_ENVELOPE | VAULT_COLUMN_BODYSTRUCTURE,
    HEADER_COLUMNS = VAULT_COLUMN_SEARCH | VAULT_COLUMN_MESSAGE_ID,
    TEXT_COLUMNS = HEADER_COLUMNS | VAULT_COLUMN_BODY | VAULT_COLUMN_STRUCTURE,
    ROW_COLUMN_COUNT = 5,
    SENT_COLUMN_COUNT = 1,
    DATE_COLUMN_COUNT = 3,
    LIST_COLUMN_COUNT = 2,
};

#define ROW "SELECT m.key, m.flags, m.modseq, m.content_id, m.size_bytes"
#define SENT ", m.sent_day"
#define DATES SENT ", m.internal_date, m.internal_zone, m.save_date"
#define LIST ", c.envelope, c.bodystructure"
#define HEADERS ", c.subject, c.sender, c.recipient, c.cc, c.bcc, c.message_id"
#define TEXTS HEADERS ", c.body, c.structure"
#define FROM_MESSAGE " FROM message AS m"
/* CROSS JOIN: the order of the loops is ours. */
#define FROM_BOTH " FROM message AS m CROSS JOIN content AS c ON c.id = m.content_id"
#define WHERE " WHERE m.key BETWEEN ?1 AND ?2 AND m.is_expunged <= ?3"

/* The narrower ones first. */
static const struct shape {
    unsigned columns;
    const char *sql;
} SHAPES[] = {
    {0, ROW FROM_MESSAGE WHERE},
    {VAULT_COLUMN_SENT, ROW SENT FROM_MESSAGE WHERE},
    {DATE_COLUMNS, ROW DATES FROM_MESSAGE WHERE},
    {LIST_COLUMNS, ROW LIST FROM_BOTH WHERE},
    {DATE_COLUMNS | LIST_COLUMNS, ROW DATES LIST FROM_BOTH WHERE},
    {HEADER_COLUMNS, ROW HEADERS FROM_BOTH WHERE},
    {TEXT_COLUMNS, ROW TEXTS FROM_BOTH WHERE},
    {DATE_COLUMNS | LIST_COLUMNS | TEXT_COLUMNS, ROW DATES LIST TEXTS FROM_BOTH WHERE},
};

#undef ROW
#undef SENT
#undef DATES
#undef LIST
#undef HEADERS
#undef TEXTS
#undef FROM_MESSAGE
#undef FROM_BOTH
#undef WHERE

struct vault_cursor {
    struct vault *vault; /* borrowed */
    sqlite3_stmt *statement;
    unsigned columns;
    int sent, dates, list, texts;     /* where the groups begin in the statement */
    sqlite3_stmt *identity, *preview; /* own; NULL: not asked for */
};

static const struct shape *shape_of(unsigned columns)
{
    const struct shape *shape = SHAPES;

    columns &= DATE_COLUMNS | LIST_COLUMNS | TEXT_COLUMNS;
    while ((columns & ~shape->columns) != 0)
        shape++; /* the last one has all */
    return shape;
}

/* Small rows of their own, looked up by content. */
static enum err prepare_facts(struct vault_cursor *cursor, struct task *task)
{
    struct db *db = cursor->vault->db;

    if ((cursor->columns & VAULT_COLUMN_IDENTITY) != 0)
        TRY(db_prepare(db, task, "SELECT email_id, thread_id FROM identity WHERE content_id = ?1",
                       &cursor->identity));
    if ((cursor->columns & VAULT_COLUMN_PREVIEW) != 0)
        TRY(db_prepare(db, task, "SELECT text FROM preview WHERE content_id = ?1",
                       &cursor->preview));
    return ERR_OK;
}

enum err vault_cursor_open(struct vault *vault, struct task *task, int64_t folder_id,
                           uint32_t first_uid, uint32_t last_uid, unsigned columns,
                           bool is_with_expunged, struct vault_cursor **out_cursor)
{
    CLEANUP(vault_cursor_close) struct vault_cursor *cursor = NULL;
    const struct shape *shape = shape_of(columns);
    sqlite3_stmt *statement;

    TRY(vault_check(vault, task));
    if (vault_folder_get(vault, folder_id) == NULL)
        return fail(task, ERR_NOT_FOUND, "vault: the folder is gone");
    TRY(db_prepare(vault->db, task, shape->sql, &statement));
    db_bind_int(statement, 1, message_key(folder_id, first_uid));
    db_bind_int(statement, 2, message_key(folder_id, last_uid));
    db_bind_int(statement, 3, is_with_expunged ? ROW_GOING : ROW_LIVE);
    cursor = NEW(struct vault_cursor);
    cursor->vault = vault;
    cursor->statement = statement;
    cursor->columns = columns;
    cursor->sent = ROW_COLUMN_COUNT;
    cursor->dates =
        cursor->sent + ((shape->columns & VAULT_COLUMN_SENT) != 0 ? SENT_COLUMN_COUNT : 0);
    cursor->list =
        cursor->dates + ((shape->columns & VAULT_COLUMN_DATES) != 0 ? DATE_COLUMN_COUNT : 0);
    cursor->texts = cursor->list + ((shape->columns & LIST_COLUMNS) != 0 ? LIST_COLUMN_COUNT : 0);
    TRY(prepare_facts(cursor, task));
    *out_cursor = cursor;
    cursor = NULL;
    return ERR_OK;
}

static enum err load_dates(const struct vault_cursor *cursor, struct task *task,
                           struct vault_message *out)
{
    sqlite3_stmt *statement = cursor->statement;

    if (!clock_parse_iso(db_column_text(statement, cursor->dates), &out->internal_date_ms) ||
        !clock_parse_iso(db_column_text(statement, cursor->dates + 2), &out->save_date_ms))
        return fail(task, ERR_CORRUPT, "vault: message %u has no valid date", (unsigned)out->uid);
    out->internal_zone_minutes = (int16_t)db_column_int(statement, cursor->dates + 1);
    return ERR_OK;
}

static void load_content(const struct vault_cursor *cursor, struct vault_message *out)
{
    sqlite3_stmt *statement = cursor->statement;

    if ((cursor->columns & VAULT_COLUMN_ENVELOPE) != 0)
        out->envelope = db_column_text(statement, cursor->list);
    if ((cursor->columns & VAULT_COLUMN_BODYSTRUCTURE) != 0)
        out->bodystructure = db_column_text(statement, cursor->list + 1);
    if ((cursor->columns & VAULT_COLUMN_SEARCH) != 0) {
        out->subject = db_column_text(statement, cursor->texts);
        out->from = db_column_text(statement, cursor->texts + 1);
        out->to = db_column_text(statement, cursor->texts + 2);
        out->cc = db_column_text(statement, cursor->texts + 3);
        out->bcc = db_column_text(statement, cursor->texts + 4);
    }
    if ((cursor->columns & VAULT_COLUMN_BODY) != 0)
        out->body = db_column_text(statement, cursor->texts + 6);
    if ((cursor->columns & VAULT_COLUMN_STRUCTURE) != 0)
        out->structure = db_column_blob(statement, cursor->texts + 7);
    if ((cursor->columns & VAULT_COLUMN_MESSAGE_ID) != 0)
        out->message_id = db_column_text(statement, cursor->texts + 5);
}

static enum err look_up(struct vault_cursor *cursor, struct task *task, sqlite3_stmt *statement,
                        int64_t content_id, bool *out_has_row)
{
    *out_has_row = false;
    if (statement == NULL)
        return ERR_OK;
    sqlite3_reset(statement);
    db_bind_int(statement, 1, content_id);
    return db_step(cursor->vault->db, task, statement, out_has_row);
}

static enum err load_facts(struct vault_cursor *cursor, struct task *task,
                           struct vault_message *out)
{
    bool has_row;

    TRY(look_up(cursor, task, cursor->identity, out->content_id, &has_row));
    if (has_row) {
        out->email_id = db_column_int(cursor->identity, 0);
        out->thread_id = db_column_int(cursor->identity, 1);
    }
    TRY(look_up(cursor, task, cursor->preview, out->content_id, &out->has_preview));
    if (out->has_preview)
        out->preview = db_column_text(cursor->preview, 0);
    return ERR_OK;
}

enum err vault_cursor_next(struct vault_cursor *cursor, struct task *task,
                           struct vault_message *out, bool *out_has_row)
{
    sqlite3_stmt *statement = cursor->statement;
    bool has_row;

    TRY(db_step(cursor->vault->db, task, statement, &has_row));
    *out_has_row = has_row;
    if (!has_row)
        return ERR_OK;
    *out = (struct vault_message){
        .uid = key_uid(db_column_int(statement, 0)),
        .flags = (uint64_t)db_column_int(statement, 1),
        .modseq = (uint64_t)db_column_int(statement, 2),
        .content_id = db_column_int(statement, 3),
        .size_bytes = (uint64_t)db_column_int(statement, 4),
        .sent_day = INT64_MIN,
    };
    if ((cursor->columns & VAULT_COLUMN_SENT) != 0 && !db_column_is_null(statement, cursor->sent))
        out->sent_day = db_column_int(statement, cursor->sent);
    if ((cursor->columns & VAULT_COLUMN_DATES) != 0)
        TRY(load_dates(cursor, task, out));
    load_content(cursor, out);
    return load_facts(cursor, task, out);
}

void vault_cursor_close(struct vault_cursor **cursor)
{
    if (*cursor == NULL)
        return;
    db_release(&(*cursor)->statement);
    db_release(&(*cursor)->identity);
    db_release(&(*cursor)->preview);
    mem_free(cursor);
}
