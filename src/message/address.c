/*
 * Address lists. Words are gathered until a special character tells what they were: a phrase
 * before '<', a local part before '@', a group's name before ':'.
 *
 * Not GMime's parser: ENVELOPE wants names with their encoded words undecoded (RFC 3501 §7.4.2),
 * and GMime keeps them only decoded.
 */
#include "message/address.h"

#include "base/ascii.h"
#include "base/buf.h"
#include "message/mime.h"

#include <string.h>

struct parser {
    struct arena *arena;
    struct str text;
    size_t i;
    /* What was gathered since the last ',', as a phrase (words joined by one space) and as an
     * address (joined by nothing). Both have room for the whole text. */
    char *phrase, *joined;
    size_t phrase_len, joined_len;
    /* Where the last word begins, if other words are before it and no dot binds them; else 0. */
    size_t phrase_last, joined_last;
    bool has_words;
    struct str comment; /* the last one seen; ptr NULL: none */
    struct str plain;   /* the words of the last address, if it was no angle-addr */
    bool is_in_group;
    struct address_list *list;
};

static bool is_special(char c)
{
    return memchr("<>,;:@()\"[]", c, 11) != NULL;
}

static struct address *add(struct parser *p, enum address_kind kind)
{
    struct address *address;

    if (p->list->count == p->list->room)
        p->list->addresses = arena_grow(p->arena, p->list->addresses, &p->list->room, 4,
                                        sizeof(*p->list->addresses));
    address = &p->list->addresses[p->list->count++];
    address->kind = kind;
    address->mailbox = STR("");
    return address;
}

/* ccontent: text, quoted pairs, nested comments; gives what is between the outer parentheses. */
static struct str comment(struct parser *p)
{
    size_t start = p->i + 1;
    size_t depth = 0;

    for (; p->i < p->text.len; p->i++) {
        char c = p->text.ptr[p->i];

        if (c == '\\' && p->i + 1 < p->text.len) {
            p->i++;
        } else if (c == '(') {
            depth++;
        } else if (c == ')' && --depth == 0) {
            p->i++;
            return str_make(p->text.ptr + start, p->i - 1 - start);
        }
    }
    return str_make(p->text.ptr + start, p->text.len - start);
}

static void skip_cfws(struct parser *p)
{
    while (p->i < p->text.len) {
        if (p->text.ptr[p->i] == '(')
            p->comment = comment(p);
        else if (ascii_is_space(p->text.ptr[p->i]))
            p->i++;
        else
            return;
    }
}

static bool begins_with_dot(struct str part)
{
    return part.len > 0 && part.ptr[0] == '.';
}

/* Adds to both forms; `begins_word` puts a space before it in the phrase. */
static void gather(struct parser *p, struct str part, bool begins_word)
{
    if (begins_word && p->joined_len > 0 && p->joined[p->joined_len - 1] != '.' &&
        !begins_with_dot(part)) {
        p->phrase_last = p->phrase_len;
        p->joined_last = p->joined_len;
    }
    if (begins_word && p->phrase_len > 0)
        p->phrase[p->phrase_len++] = ' ';
    if (part.len > 0) {
        memcpy(p->phrase + p->phrase_len, part.ptr, part.len);
        memcpy(p->joined + p->joined_len, part.ptr, part.len);
    }
    p->phrase_len += part.len;
    p->joined_len += part.len;
    p->has_words = true;
}

/* quoted-string, from its quote on, without quotes and backslashes. */
static void gather_quoted(struct parser *p, bool begins_word)
{
    p->i++;
    gather(p, STR(""), begins_word);
    while (p->i < p->text.len && p->text.ptr[p->i] != '"') {
        if (p->text.ptr[p->i] == '\\' && p->i + 1 < p->text.len)
            p->i++;
        gather(p, str_make(p->text.ptr + p->i, 1), false);
        p->i++;
    }
    if (p->i < p->text.len)
        p->i++;
}

static void gather_atom(struct parser *p, bool begins_word)
{
    size_t start = p->i;

    while (p->i < p->text.len && !is_special(p->text.ptr[p->i]) &&
           !ascii_is_space(p->text.ptr[p->i]))
        p->i++;
    gather(p, str_make(p->text.ptr + start, p->i - start), begins_word);
}

static void forget_words(struct parser *p)
{
    p->phrase_len = p->joined_len = p->phrase_last = p->joined_last = 0;
    p->has_words = false;
}

static struct str take_phrase(struct parser *p)
{
    struct str phrase = {0};

    if (p->has_words)
        phrase = arena_copy(p->arena, str_make(p->phrase, p->phrase_len));
    forget_words(p);
    return phrase;
}

static struct str take_joined(struct parser *p)
{
    struct str joined = arena_copy(p->arena, str_make(p->joined, p->joined_len));

    forget_words(p);
    return joined;
}

/* domain = dot-atom / domain-literal / obs-domain; up to whatever cannot belong to it. */
static struct str domain(struct parser *p)
{
    char *copy = p->joined; /* free: the local part was taken */
    size_t len = 0;

    for (;;) {
        size_t before = p->i;
        char c;

        skip_cfws(p);
        if (p->i >= p->text.len)
            break;
        c = p->text.ptr[p->i];
        /* Blanks are allowed around dots only: behind them is another word. */
        if (p->i > before && len > 0 && c != '.' && copy[len - 1] != '.')
            break;
        if (c == '[') {
            while (p->i < p->text.len && p->text.ptr[p->i] != ']')
                copy[len++] = p->text.ptr[p->i++];
            if (p->i < p->text.len)
                copy[len++] = p->text.ptr[p->i++];
        } else if (is_special(c)) {
            break;
        } else {
            copy[len++] = c;
            p->i++;
        }
    }
    return arena_copy(p->arena, str_make(copy, len));
}

/* obs-route = 1*("@" domain [","]) ":"                                  (RFC 5322 §4.4) */
static struct str route(struct parser *p)
{
    size_t start = p->i;
    size_t colon = start;

    while (colon < p->text.len && memchr(":<>\"", p->text.ptr[colon], 4) == NULL)
        colon++;
    if (colon >= p->text.len || p->text.ptr[colon] != ':')
        return (struct str){0};
    p->i = colon + 1;
    return str_trim(str_make(p->text.ptr + start, colon - start));
}

/*
 * The name of an angle-addr: the words before it. An address right before it is meant as such, too:
 * *out_host is then its host, else without a ptr.
 */
static struct str take_name(struct parser *p, size_t count_before, struct str *out_host)
{
    CLEANUP(buf_free) struct buf name = {0};

    *out_host = (struct str){0};
    if (p->plain.ptr == NULL || p->list->count != count_before + 1)
        return take_phrase(p);
    *out_host = p->list->addresses[count_before].host;
    buf_init(&name, SIZE_MAX);
    buf_put(&name, p->plain);
    buf_put(&name, STR("@"));
    buf_put(&name, *out_host);
    if (p->has_words) {
        buf_put(&name, STR(" "));
        buf_put(&name, take_phrase(p));
    }
    p->list->count--;
    return arena_copy(p->arena, buf_str(&name));
}

/* angle-addr = "<" [obs-route] addr-spec ">" */
static void angle_address(struct parser *p, size_t count_before)
{
    struct str host_of_name, name = take_name(p, count_before, &host_of_name);
    struct address *address = add(p, ADDRESS_MAILBOX);
    bool has_at = false;

    address->name = name;
    p->plain = (struct str){0};
    p->i++;
    skip_cfws(p);
    if (p->i < p->text.len && p->text.ptr[p->i] == '@')
        address->route = route(p);
    while (p->i < p->text.len) {
        char c;

        skip_cfws(p);
        if (p->i >= p->text.len)
            break;
        c = p->text.ptr[p->i];
        if (c == '>') {
            p->i++;
            break;
        }
        if (c == ',' && has_at)
            break;
        if (c == '@' && !has_at) {
            has_at = true;
            p->i++;
            address->mailbox = take_joined(p);
            address->host = domain(p);
        } else if (c == '"') {
            gather_quoted(p, false);
        } else if (is_special(c)) {
            gather(p, str_make(&c, 1), false);
            p->i++;
        } else {
            gather_atom(p, false);
        }
    }
    if (!has_at)
        address->mailbox = take_joined(p);
    if (address->host.ptr == NULL)
        address->host = STR("");
    if (host_of_name.ptr != NULL && !str_equal_nocase(host_of_name, address->host))
        address->name_host = host_of_name;
    forget_words(p);
}

/* addr-spec without angles, at its '@'. Words before it are a name whose writer forgot the angles.
 */
static void plain_address(struct parser *p)
{
    struct address *address = add(p, ADDRESS_MAILBOX);
    size_t last = p->joined_last;

    p->i++;
    p->plain = arena_copy(p->arena, str_make(p->phrase, p->phrase_len));
    if (last > 0)
        address->name = str_upto(p->plain, p->phrase_last);
    address->mailbox = str_from(take_joined(p), last);
    address->host = domain(p);
}

static struct str without_escapes(struct arena *arena, struct str text)
{
    char *copy;
    size_t len = 0;

    if (str_index(text, '\\') < 0)
        return text;
    copy = arena_alloc(arena, text.len, 1);
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\\' && i + 1 < text.len)
            i++;
        copy[len++] = text.ptr[i];
    }
    return str_make(copy, len);
}

/* The end of what stands between two commas. */
static void end_address(struct parser *p, size_t count_before)
{
    struct address *last;

    if (p->list->count == count_before) {
        if (!p->has_words)
            return;
        last = add(p, ADDRESS_MAILBOX);
        last->mailbox = take_joined(p);
        last->host = STR("");
    }
    last = &p->list->addresses[p->list->count - 1];
    if (last->name.ptr == NULL && p->comment.len > 0)
        last->name = without_escapes(p->arena, p->comment);
    forget_words(p);
    p->comment = p->plain = (struct str){0};
}

static void parse_list(struct parser *p)
{
    size_t count_before = p->list->count;

    for (;;) {
        bool is_apart = p->i > 0 && ascii_is_space(p->text.ptr[p->i - 1]);
        char c;

        skip_cfws(p);
        is_apart =
            is_apart ||
            (p->i > 0 && (ascii_is_space(p->text.ptr[p->i - 1]) || p->text.ptr[p->i - 1] == ')'));
        if (p->i >= p->text.len)
            break;
        c = p->text.ptr[p->i];
        if (c == '<') {
            angle_address(p, count_before);
        } else if (c == '@') {
            plain_address(p);
        } else if (c == ',' || c == ';') {
            p->i++;
            end_address(p, count_before);
            if (c == ';' && p->is_in_group) {
                add(p, ADDRESS_GROUP_END);
                p->is_in_group = false;
            }
            count_before = p->list->count;
        } else if (c == ':' && !p->is_in_group && p->list->count == count_before) {
            struct str name = take_phrase(p);

            p->i++;
            add(p, ADDRESS_GROUP_START)->mailbox = name.ptr == NULL ? STR("") : name;
            p->is_in_group = true;
            p->comment = (struct str){0};
            count_before = p->list->count;
        } else if (c == '"') {
            gather_quoted(p, is_apart || p->text.ptr[p->i == 0 ? 0 : p->i - 1] != '.');
        } else if (is_special(c)) {
            gather(p, str_make(&c, 1), false);
            p->i++;
        } else {
            gather_atom(p, is_apart);
        }
    }
    end_address(p, count_before);
    if (p->is_in_group)
        add(p, ADDRESS_GROUP_END);
}

void address_parse(struct arena *arena, struct str flat, struct address_list *list)
{
    struct parser p = {.arena = arena, .text = flat, .list = list};

    /* Every byte is gathered once, with at most one space before it. */
    p.phrase = arena_alloc(arena, flat.len * 2 + 1, 1);
    p.joined = arena_alloc(arena, flat.len * 2 + 1, 1);
    parse_list(&p);
}
