/*
 * A content's sort key from its own row. The addresses are taken from the ENVELOPE's text
 * (message/envelope.c wrote it), so that no column keeps them a second time.
 */
#include "vault/sort_keep.h"

#include "base/ascii.h"
#include "base/buf.h"
#include "base/clock.h"
#include "message/message.h"
#include "message/subject.h"

enum { ADDRESS_FIELDS = VAULT_SORT_FROM | VAULT_SORT_TO | VAULT_SORT_CC };

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

/* As it is compared. */
static struct str folded(struct arena *arena, struct str text)
{
    struct str copy;
    struct buf out;

    buf_init(&out, SIZE_MAX);
    message_fold(str_upto(text, VAULT_SORT_TEXT_MAX), &out);
    copy = arena_copy(arena, str_upto(buf_str(&out), VAULT_SORT_TEXT_MAX));
    buf_free(&out);
    return copy;
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
    if (str_find(name, STR("=?")) < 0 && str_is_utf8(name))
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
        *lists[i].mailbox = folded(arena, address.mailbox);
        if (lists[i].display != NULL)
            *lists[i].display = folded(arena, display_of(arena, &address));
    }
    return true;
}

/* --- The row --- */

enum column {
    COLUMN_SENT,
    COLUMN_SUBJECT,
    COLUMN_BASE_SUBJECT,
    COLUMN_ENVELOPE,
    COLUMN_MESSAGE_ID,
    COLUMN_IN_REPLY_TO,
    COLUMN_REFERENCES,
};

static void read_subject(sqlite3_stmt *statement, struct arena *arena, struct vault_sort_key *key)
{
    struct str subject = db_column_text(statement, COLUMN_SUBJECT);
    struct str base = db_column_text(statement, COLUMN_BASE_SUBJECT);

    key->base_subject = folded(arena, base);
    key->is_reply = subject.len != base.len && subject_is_reply(arena, subject);
}

static struct str last_ancestors(struct str ids)
{
    size_t count = 0;

    for (size_t i = ids.len; i-- > 0;) {
        if (ids.ptr[i] == ' ' && ++count == VAULT_SORT_ANCESTORS_MAX)
            return str_from(ids, i + 1);
    }
    return ids;
}

static void read_ids(sqlite3_stmt *statement, struct arena *arena, struct vault_sort_key *key)
{
    struct str references = db_column_text(statement, COLUMN_REFERENCES);

    key->message_id = arena_copy(arena, db_column_text(statement, COLUMN_MESSAGE_ID));
    key->ancestors =
        arena_copy(arena, references.len > 0 ? last_ancestors(references)
                                             : db_column_text(statement, COLUMN_IN_REPLY_TO));
}

/* All of the row is read, whatever is wanted of it. */
static size_t text_bytes(sqlite3_stmt *statement)
{
    size_t bytes = 0;

    for (int column = COLUMN_SUBJECT; column <= COLUMN_REFERENCES; column++)
        bytes += db_column_text(statement, column).len;
    return bytes;
}

enum err sort_make(struct vault *vault, struct task *task, int64_t content_id, unsigned fields,
                   struct vault_sort_key *key)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct arena *arena = &task->arena;
    bool has_row;

    TRY(db_prepare(vault->db, task,
                   "SELECT sent, subject, base_subject, envelope, message_id, in_reply_to, "
                   "message_references FROM content WHERE id = ?1",
                   &statement));
    db_bind_int(statement, 1, content_id);
    TRY(db_step(vault->db, task, statement, &has_row));
    if (!has_row)
        return fail(task, ERR_NOT_FOUND, "vault: the content was purged");
    key->text_bytes = text_bytes(statement);
    if ((fields & VAULT_SORT_SENT) != 0 && !db_column_is_null(statement, COLUMN_SENT) &&
        !clock_parse_iso(db_column_text(statement, COLUMN_SENT), &key->sent_ms))
        return fail(task, ERR_CORRUPT, "vault: a content has no valid date");
    if ((fields & VAULT_SORT_SUBJECT) != 0)
        read_subject(statement, arena, key);
    if ((fields & ADDRESS_FIELDS) != 0 &&
        !read_envelope(arena, db_column_text(statement, COLUMN_ENVELOPE), fields, key))
        return fail(task, ERR_CORRUPT, "vault: a content has no valid envelope");
    if ((fields & VAULT_SORT_THREAD) != 0)
        read_ids(statement, arena, key);
    return ERR_OK;
}
