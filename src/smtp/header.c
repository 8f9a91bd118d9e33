/* Fields, found without copying and looked up in one table; then the address lists of a few. */
#include "smtp/header.h"

#include "base/ascii.h"
#include "base/macros.h"
#include "base/task.h"
#include "smtp/address.h"

#include <string.h>

size_t smtp_header_len(struct str text)
{
    ptrdiff_t at;

    if (str_starts_with(text, STR("\r\n")))
        return 2;
    at = str_find(text, STR("\r\n\r\n"));
    return at < 0 ? text.len : (size_t)at + 4;
}

/*
 * Blanks before the colon are dropped (RFC 5322 §4.5.8). A line that is no field is passed over:
 * some readers go on behind it, so what follows counts.
 */
bool smtp_header_next(struct str header, size_t *position, struct smtp_field *out)
{
    while (*position < header.len) {
        struct str rest = str_from(header, *position), line;
        size_t len = 0, start = *position;
        ptrdiff_t colon, end;

        do {
            end = str_index(str_from(rest, len), '\n');
            len = end < 0 ? rest.len : len + (size_t)end + 1;
        } while (len < rest.len && (rest.ptr[len] == ' ' || rest.ptr[len] == '\t'));
        line = str_upto(rest, len);
        *position += len;
        if (str_trim(line).len == 0)
            return false;
        colon = str_index(line, ':');
        if (colon > 0) {
            *out = (struct smtp_field){
                .name = str_trim(str_upto(line, (size_t)colon)),
                .value = str_from(line, (size_t)colon + 1),
                .start = start,
                .end = *position,
            };
            return true;
        }
    }
    return false;
}

void smtp_header_line(struct str header, struct str name, struct buf *out)
{
    struct smtp_field field;
    size_t position = 0;

    while (smtp_header_next(header, &position, &field)) {
        struct str value = str_trim(field.value);

        if (!str_equal_nocase(field.name, name))
            continue;
        for (size_t i = 0; i < value.len; i++) {
            char c = value.ptr[i];

            if (c != '\r' && c != '\n')
                buf_put(out, c == '\t' ? STR(" ") : str_make(&c, 1));
        }
        return;
    }
}

/* ---- what the fields tell ---- */

static void see_received(struct smtp_header *header, struct str value)
{
    (void)value;
    header->received_count++;
}

static void see_date(struct smtp_header *header, struct str value)
{
    (void)value;
    header->has_date = true;
}

static void see_message_id(struct smtp_header *header, struct str value)
{
    (void)value;
    header->has_message_id = true;
}

static void see_copy(struct smtp_header *header, struct str value)
{
    header->is_copy_wanted |= str_equal_nocase(str_trim(value), STR("Sent"));
}

/* auto-submitted-field (RFC 3834 §5): "no", parameters and comments may follow. */
static void see_auto_submitted(struct smtp_header *header, struct str value)
{
    struct str word = str_trim(value);

    header->is_automatic |= !str_starts_with_nocase(word, STR("no")) ||
                            (word.len > 2 && ascii_is_alnum(word.ptr[2])) ||
                            (word.len > 2 && word.ptr[2] == '-');
}

static void see_precedence(struct smtp_header *header, struct str value)
{
    struct str word = str_trim(value);

    header->is_automatic |= str_equal_nocase(word, STR("bulk")) ||
                            str_equal_nocase(word, STR("list")) ||
                            str_equal_nocase(word, STR("junk"));
}

static void see_list(struct smtp_header *header, struct str value)
{
    (void)value;
    header->is_automatic = true;
}

enum fate { KEPT, OWN, REMOVED }; /* of a field in a message from one of our users */

/* Every field that means something here. */
static const struct {
    struct str name;
    void (*see)(struct smtp_header *header, struct str value); /* NULL: its value does not matter */
    enum fate fate;
} fields[] = {
    {STR_INIT("Received"), see_received, KEPT},
    {STR_INIT("Date"), see_date, KEPT},
    {STR_INIT("Message-ID"), see_message_id, KEPT},
    {STR_INIT("Auto-Submitted"), see_auto_submitted, KEPT},
    {STR_INIT("Precedence"), see_precedence, KEPT},
    {STR_INIT("List-Id"), see_list, KEPT},
    {STR_INIT("List-Unsubscribe"), see_list, KEPT},
    {STR_INIT("List-Post"), see_list, KEPT},
    {STR_INIT("X-Sealpost-Copy"), see_copy, REMOVED},
    /* RFC 5322 §3.6.3: whom the others are not to see. */
    {STR_INIT("Bcc"), NULL, OWN},
    {STR_INIT("Resent-Bcc"), NULL, OWN},
    /* Webmail and relays before us write the user's address and login here. */
    {STR_INIT("X-Originating-IP"), NULL, REMOVED},
    {STR_INIT("X-Originating-Client"), NULL, REMOVED},
    {STR_INIT("X-Client-IP"), NULL, REMOVED},
    {STR_INIT("X-Real-IP"), NULL, REMOVED},
    {STR_INIT("X-Remote-IP"), NULL, REMOVED},
    {STR_INIT("X-Sender-IP"), NULL, REMOVED},
    {STR_INIT("X-Source-IP"), NULL, REMOVED},
    {STR_INIT("X-Forwarded-For"), NULL, REMOVED},
    {STR_INIT("X-Authenticated-User"), NULL, REMOVED},
    {STR_INIT("X-Authenticated-Sender"), NULL, REMOVED},
};

static size_t field_index(struct str name)
{
    size_t i = 0;

    while (i < ARRAY_LEN(fields) && !str_equal_nocase(name, fields[i].name))
        i++;
    return i;
}

void smtp_header_scan(struct str text, struct smtp_header *out)
{
    struct str header = str_upto(text, smtp_header_len(text));
    struct smtp_field field;
    size_t position = 0;

    *out = (struct smtp_header){0};
    while (smtp_header_next(header, &position, &field)) {
        size_t i = field_index(field.name);

        if (i < ARRAY_LEN(fields) && fields[i].see != NULL)
            fields[i].see(out, field.value);
    }
}

static enum err add_range(struct smtp_ranges *ranges, size_t start, size_t end, bool is_own)
{
    struct smtp_range *last = ranges->count == 0 ? NULL : &ranges->at[ranges->count - 1];

    if (end > UINT32_MAX)
        return ERR_LIMIT;
    if (last != NULL && last->is_own == is_own && (size_t)last->start + last->len == start) {
        last->len += (uint32_t)(end - start);
        return ERR_OK;
    }
    if (ranges->count == SMTP_RANGES_MAX)
        return ERR_LIMIT;
    ranges->at[ranges->count++] = (struct smtp_range){
        .start = (uint32_t)start, .len = (uint32_t)(end - start), .is_own = is_own};
    return ERR_OK;
}

enum err smtp_header_private(struct str text, struct smtp_ranges *out)
{
    struct str header = str_upto(text, smtp_header_len(text));
    struct smtp_field field;
    size_t position = 0;

    out->count = 0;
    while (smtp_header_next(header, &position, &field)) {
        size_t i = field_index(field.name);

        if (i < ARRAY_LEN(fields) && fields[i].fate != KEPT)
            TRY(add_range(out, field.start, field.end, fields[i].fate == OWN));
    }
    return ERR_OK;
}

/* One mailbox of a list as it is read: the text outside of brackets, and what was in them. */
struct mailbox {
    char *bare; /* room for the whole field's text, in the arena */
    size_t bare_len;
    struct str angle;
    bool has_angle;
};

static enum err add(struct arena *arena, struct str text, struct smtp_authors *out)
{
    struct smtp_address address;

    if (smtp_address_parse(arena, str_trim(text), &address) != SMTP_ADDRESS_OK)
        return ERR_INVALID;
    if (out->count == SMTP_AUTHORS_MAX)
        return ERR_LIMIT;
    out->addresses[out->count++] = address.text;
    return ERR_OK;
}

/* A separator was met. Behind an <address> nothing but comments may stand. */
static enum err finish_mailbox(struct arena *arena, struct mailbox *mailbox,
                               struct smtp_authors *out)
{
    struct str bare = str_trim(str_make(mailbox->bare, mailbox->bare_len));
    struct str text = mailbox->has_angle ? mailbox->angle : bare;

    mailbox->bare_len = 0;
    if (mailbox->has_angle) {
        mailbox->has_angle = false;
        if (bare.len > 0)
            return ERR_INVALID;
        text = str_trim(text);
        if (text.len > 0 && text.ptr[0] == '@') { /* a source route (RFC 5322 §4.4) */
            struct str route;

            str_split(&text, ':', &route);
            if (text.ptr == NULL)
                return ERR_INVALID;
        }
        return add(arena, text, out);
    }
    return text.len == 0 ? ERR_OK : add(arena, text, out);
}

/* The length of what opens at the front, up to `close`; 0 when it does not close. */
static size_t bracketed_len(struct str text, char close)
{
    bool is_quoted = false;

    for (size_t i = 1; i < text.len; i++) {
        if (text.ptr[i] == '\\' && (is_quoted || close == '"'))
            i++;
        else if (text.ptr[i] == close && !is_quoted)
            return i + 1;
        else if (text.ptr[i] == '"' && close == '>')
            is_quoted = !is_quoted;
    }
    return 0;
}

/* comment = "(" *([FWS] ccontent) [FWS] ")", which nests to any depth. */
static size_t comment_len(struct str text)
{
    size_t depth = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\\')
            i++;
        else if (text.ptr[i] == '(')
            depth++;
        else if (text.ptr[i] == ')' && --depth == 0)
            return i + 1;
    }
    return 0;
}

/* address-list = (mailbox / group) *("," (mailbox / group)), with the obsolete empty elements. */
static enum err read_list(struct arena *arena, struct str value, struct smtp_authors *out)
{
    struct mailbox mailbox = {.bare = arena_alloc(arena, value.len + 1, 1)};
    size_t i = 0;

    while (i < value.len) {
        struct str rest = str_from(value, i);
        size_t len = 1;

        switch (rest.ptr[0]) {
        case '(':
            len = comment_len(rest);
            break;
        case '<':
            len = bracketed_len(rest, '>');
            if (len == 0 || mailbox.has_angle)
                return ERR_INVALID;
            mailbox.angle = str_make(rest.ptr + 1, len - 2);
            mailbox.has_angle = true;
            mailbox.bare_len = 0; /* it was the display name */
            break;
        case ':': /* the name of a group ends */
            if (mailbox.has_angle)
                return ERR_INVALID;
            mailbox.bare_len = 0;
            break;
        case ',':
        case ';':
            TRY(finish_mailbox(arena, &mailbox, out));
            break;
        case '"':
        case '[':
            len = bracketed_len(rest, rest.ptr[0] == '"' ? '"' : ']');
            memcpy(mailbox.bare + mailbox.bare_len, rest.ptr, len);
            mailbox.bare_len += len;
            break;
        default:
            mailbox.bare[mailbox.bare_len++] = rest.ptr[0];
        }
        if (len == 0)
            return ERR_INVALID;
        i += len;
    }
    return finish_mailbox(arena, &mailbox, out);
}

enum err smtp_header_authors(struct arena *arena, struct str text, struct smtp_authors *out)
{
    struct str header = str_upto(text, smtp_header_len(text));
    struct smtp_field field;
    size_t position = 0;

    out->count = 0;
    while (smtp_header_next(header, &position, &field)) {
        if (str_equal_nocase(field.name, STR("From")) ||
            str_equal_nocase(field.name, STR("Sender")))
            TRY(read_list(arena, field.value, out));
    }
    return ERR_OK;
}
