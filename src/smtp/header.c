/* Fields, found without copying; then the address lists of the few that matter. */
#include "smtp/header.h"

#include "base/ascii.h"
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
 * The next field at *position: its name, blanks before the colon dropped (RFC 5322 §4.5.8), and its
 * folded value. A line that is no field is passed over: some readers go on behind it, so what
 * follows counts. False at the end.
 */
static bool next_field(struct str header, size_t *position, struct str *out_name,
                       struct str *out_value)
{
    while (*position < header.len) {
        struct str rest = str_from(header, *position), line;
        size_t len = 0;
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
            *out_name = str_trim(str_upto(line, (size_t)colon));
            *out_value = str_from(line, (size_t)colon + 1);
            return true;
        }
    }
    return false;
}

void smtp_header_scan(struct str text, struct smtp_header *out)
{
    struct str header = str_upto(text, smtp_header_len(text)), name, value;
    size_t position = 0;

    *out = (struct smtp_header){0};
    while (next_field(header, &position, &name, &value)) {
        if (str_equal_nocase(name, STR("Received")))
            out->received_count++;
        else if (str_equal_nocase(name, STR("Date")))
            out->has_date = true;
        else if (str_equal_nocase(name, STR("Message-ID")))
            out->has_message_id = true;
    }
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
    struct str header = str_upto(text, smtp_header_len(text)), name, value;
    size_t position = 0;

    out->count = 0;
    while (next_field(header, &position, &name, &value)) {
        if (str_equal_nocase(name, STR("From")) || str_equal_nocase(name, STR("Sender")))
            TRY(read_list(arena, value, out));
    }
    return ERR_OK;
}
