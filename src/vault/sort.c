/*
 * Sort keys, read from the columns that were made at arrival. The addresses are taken from the
 * ENVELOPE's text (message/envelope.c wrote it), so that no column keeps them a second time.
 */
#include "vault/sort.h"

#include "base/ascii.h"
#include "base/buf.h"
#include "base/clock.h"
#include "message/message.h"
#include "message/subject.h"
#include "vault/state.h"

enum {
    ADDRESS_FIELDS = VAULT_SORT_FROM | VAULT_SORT_TO | VAULT_SORT_CC,
    CONTENT_FIELDS = VAULT_SORT_SENT | VAULT_SORT_SUBJECT | ADDRESS_FIELDS | VAULT_SORT_THREAD,
};

/* The columns are those of `enum column` in all: what SQLite does not read it does not copy. */
#define ROW "SELECT m.key, m.internal_date, m.size_bytes, "
/* CROSS JOIN: the order of the loops is ours. */
#define FROM_BOTH                                                                                  \
    " FROM message AS m CROSS JOIN content AS c ON c.id = m.content_id "                           \
    "WHERE m.key BETWEEN ?1 AND ?2 LIMIT ?3"

/* The narrower ones first; fields of the message's own row are in all. */
static const struct shape {
    unsigned fields; /* of the content */
    const char *sql;
} SHAPES[] = {
    {0, "SELECT key, internal_date, size_bytes FROM message WHERE key BETWEEN ?1 AND ?2 LIMIT ?3"},
    {VAULT_SORT_SENT, ROW "NULL, NULL, c.sent" FROM_BOTH},
    {VAULT_SORT_SENT | ADDRESS_FIELDS, ROW "c.envelope, NULL, c.sent" FROM_BOTH},
    {VAULT_SORT_SENT | VAULT_SORT_SUBJECT,
     ROW "NULL, c.subject, c.sent, NULL, NULL, NULL, c.base_subject" FROM_BOTH},
    {VAULT_SORT_SENT | VAULT_SORT_THREAD,
     ROW "NULL, NULL, c.sent, c.message_id, c.in_reply_to, c.message_references" FROM_BOTH},
    {CONTENT_FIELDS, ROW "c.envelope, c.subject, c.sent, c.message_id, c.in_reply_to, "
                         "c.message_references, c.base_subject" FROM_BOTH},
};

#undef ROW
#undef FROM_BOTH

enum column {
    COLUMN_KEY,
    COLUMN_INTERNAL_DATE,
    COLUMN_SIZE,
    COLUMN_ENVELOPE,
    COLUMN_SUBJECT,
    COLUMN_SENT,
    COLUMN_MESSAGE_ID,
    COLUMN_IN_REPLY_TO,
    COLUMN_REFERENCES,
    COLUMN_BASE_SUBJECT,
};

/* --- Reading an ENVELOPE --- */

/* Takes one character off the front if it is that one. */
static bool take(struct str *text, char c)
{
    if (text->len == 0 || text->ptr[0] != c)
        return false;
    *text = str_from(*text, 1);
    return true;
}

/* quoted = DQUOTE *QUOTED-CHAR DQUOTE (RFC 3501 §9), behind its first quote. */
static bool take_quoted(struct arena *arena, struct str *text, struct str *out)
{
    size_t end = 0, len = 0;
    char *copy;

    while (end < text->len && text->ptr[end] != '"')
        end += text->ptr[end] == '\\' ? 2 : 1;
    if (end >= text->len)
        return false;
    copy = arena_alloc(arena, end + 1, 1);
    for (size_t i = 0; i < end; i++) {
        if (text->ptr[i] == '\\')
            i++;
        copy[len++] = text->ptr[i];
    }
    *out = str_make(copy, len);
    *text = str_from(*text, end + 1);
    return true;
}

/* literal = "{" number "}" CRLF *CHAR8, behind its brace. */
static bool take_literal(struct arena *arena, struct str *text, struct str *out)
{
    ptrdiff_t end = str_index(*text, '}');
    uint32_t len;

    if (end < 0 || !parse_u32(str_upto(*text, (size_t)end), &len) ||
        text->len < (size_t)end + 3 + len)
        return false;
    *out = arena_copy(arena, str_make(text->ptr + end + 3, len));
    *text = str_from(*text, (size_t)end + 3 + len);
    return true;
}

/* nstring = string / nil; a nil gives a view whose ptr is NULL. */
static bool take_nstring(struct arena *arena, struct str *text, struct str *out)
{
    *out = str_make(NULL, 0);
    if (take(text, '"'))
        return take_quoted(arena, text, out);
    if (take(text, '{'))
        return take_literal(arena, text, out);
    if (!str_starts_with(*text, STR("NIL")))
        return false;
    *text = str_from(*text, 3);
    return true;
}

/* Passes over an nstring without a copy. */
static bool skip_nstring(struct str *text)
{
    size_t end = 0;

    if (take(text, '"')) {
        while (end < text->len && text->ptr[end] != '"')
            end += text->ptr[end] == '\\' ? 2 : 1;
        *text = str_from(*text, end + 1);
        return true;
    }
    if (take(text, '{')) {
        ptrdiff_t brace = str_index(*text, '}');
        uint32_t len;

        if (brace < 0 || !parse_u32(str_upto(*text, (size_t)brace), &len))
            return false;
        *text = str_from(*text, (size_t)brace + 3 + len);
        return true;
    }
    if (!str_starts_with(*text, STR("NIL")))
        return false;
    *text = str_from(*text, 3);
    return true;
}

struct first_address {
    struct str name, mailbox, host;
};

/* address = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")" */
static bool take_address(struct arena *arena, struct str *text, struct first_address *out)
{
    return take(text, '(') && take_nstring(arena, text, &out->name) && take(text, ' ') &&
           skip_nstring(text) && take(text, ' ') && take_nstring(arena, text, &out->mailbox) &&
           take(text, ' ') && take_nstring(arena, text, &out->host) && take(text, ')');
}

static bool skip_address(struct str *text)
{
    if (!take(text, '('))
        return false;
    for (int i = 0; i < 4; i++) {
        if ((i > 0 && !take(text, ' ')) || !skip_nstring(text))
            return false;
    }
    return take(text, ')');
}

/* env-from = "(" 1*address ")" / nil. The first address, if `out` wants it; passes over the list.
 */
static bool take_addresses(struct arena *arena, struct str *text, struct first_address *out)
{
    if (!take(text, '('))
        return skip_nstring(text);
    if (out != NULL && !take_address(arena, text, out))
        return false;
    while (!take(text, ')')) {
        if (!skip_address(text))
            return false;
    }
    return true;
}

/* RFC 5957 §3: the decoded display name, else mailbox@host; of a group, its name. */
static struct str display_of(struct arena *arena, const struct first_address *address)
{
    struct str name = address->name.len > 0 ? address->name : str_make(NULL, 0), display;
    struct buf decoded;

    if (name.len == 0 && address->host.ptr == NULL)
        name = address->mailbox;
    if (name.len == 0)
        return arena_printf(arena, "%.*s@%.*s", STR_ARG(address->mailbox), STR_ARG(address->host));
    if (str_find(name, STR("=?")) < 0)
        return name;
    buf_init(&decoded, SIZE_MAX);
    message_header_decode(name, &decoded);
    display = arena_copy(arena, buf_str(&decoded));
    buf_free(&decoded);
    return display;
}

/* envelope = "(" env-date SP env-subject SP env-from SP env-sender SP env-reply-to SP env-to SP
 * env-cc SP … (RFC 3501 §9) */
static bool read_envelope(struct arena *arena, struct str text, unsigned fields,
                          struct vault_sort_key *key)
{
    const struct {
        unsigned field;
        struct str *mailbox, *display;
    } lists[] = {
        {VAULT_SORT_FROM, &key->from, &key->display_from},
        {0, NULL, NULL}, /* sender */
        {0, NULL, NULL}, /* reply-to */
        {VAULT_SORT_TO, &key->to, &key->display_to},
        {VAULT_SORT_CC, &key->cc, NULL},
    };
    unsigned left = fields & ADDRESS_FIELDS;

    if (!take(&text, '(') || !skip_nstring(&text) || !take(&text, ' ') || !skip_nstring(&text))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(lists) && left != 0; i++) {
        struct first_address address = {0};
        bool is_wanted = (fields & lists[i].field) != 0;

        if (!take(&text, ' ') || !take_addresses(arena, &text, is_wanted ? &address : NULL))
            return false;
        left &= ~lists[i].field;
        if (!is_wanted || address.mailbox.ptr == NULL)
            continue;
        *lists[i].mailbox = address.mailbox;
        if (lists[i].display != NULL)
            *lists[i].display = display_of(arena, &address);
    }
    return true;
}

/* --- Rows --- */

static enum err read_content(sqlite3_stmt *statement, struct task *task, unsigned fields,
                             struct vault_sort_key *key)
{
    struct arena *arena = &task->arena;

    if ((fields & VAULT_SORT_SENT) != 0 && !db_column_is_null(statement, COLUMN_SENT) &&
        !clock_parse_iso(db_column_text(statement, COLUMN_SENT), &key->sent_ms))
        return fail(task, ERR_CORRUPT, "vault: a content has no valid date");
    if ((fields & VAULT_SORT_SUBJECT) != 0) {
        struct str subject = db_column_text(statement, COLUMN_SUBJECT);

        key->base_subject = arena_copy(arena, db_column_text(statement, COLUMN_BASE_SUBJECT));
        key->is_reply = subject.len != key->base_subject.len && subject_is_reply(arena, subject);
    }
    if ((fields & ADDRESS_FIELDS) != 0 &&
        !read_envelope(arena, db_column_text(statement, COLUMN_ENVELOPE), fields, key))
        return fail(task, ERR_CORRUPT, "vault: a content has no valid envelope");
    if ((fields & VAULT_SORT_THREAD) != 0) {
        key->message_id = arena_copy(arena, db_column_text(statement, COLUMN_MESSAGE_ID));
        key->in_reply_to = arena_copy(arena, db_column_text(statement, COLUMN_IN_REPLY_TO));
        key->references = arena_copy(arena, db_column_text(statement, COLUMN_REFERENCES));
    }
    return ERR_OK;
}

static enum err read_row(sqlite3_stmt *statement, struct task *task, unsigned fields,
                         struct vault_sort_key *key)
{
    key->uid = key_uid(db_column_int(statement, COLUMN_KEY));
    if ((fields & VAULT_SORT_SIZE) != 0)
        key->size_bytes = (uint64_t)db_column_int(statement, COLUMN_SIZE);
    if ((fields & (VAULT_SORT_ARRIVAL | VAULT_SORT_SENT)) != 0 &&
        !clock_parse_iso(db_column_text(statement, COLUMN_INTERNAL_DATE), &key->arrival_ms))
        return fail(task, ERR_CORRUPT, "vault: message %u has no valid date", (unsigned)key->uid);
    key->sent_ms = key->arrival_ms;
    return (fields & CONTENT_FIELDS) == 0 ? ERR_OK : read_content(statement, task, fields, key);
}

static const char *sql_for(unsigned fields)
{
    const struct shape *shape = SHAPES;

    while ((fields & CONTENT_FIELDS & ~shape->fields) != 0)
        shape++; /* the last one has all */
    return shape->sql;
}

enum err vault_sort_keys(struct vault *vault, struct task *task, int64_t folder_id,
                         uint32_t first_uid, uint32_t last_uid, unsigned fields, size_t max_count,
                         struct vault_sort_key **out_keys, size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct vault_sort_key *keys = ARENA_ARRAY(&task->arena, struct vault_sort_key, max_count);
    size_t count = 0;
    bool has_row;

    TRY(vault_check(vault, task));
    if (vault_folder_get(vault, folder_id) == NULL)
        return fail(task, ERR_NOT_FOUND, "vault: the folder is gone");
    TRY(db_prepare(vault->db, task, sql_for(fields), &statement));
    db_bind_int(statement, 1, message_key(folder_id, first_uid));
    db_bind_int(statement, 2, message_key(folder_id, last_uid));
    db_bind_int(statement, 3, (int64_t)max_count);
    while (count < max_count) {
        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            break;
        TRY(read_row(statement, task, fields, &keys[count]));
        count++;
    }
    *out_keys = keys;
    *out_count = count;
    return ERR_OK;
}
