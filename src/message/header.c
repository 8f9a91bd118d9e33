/* Header blocks; the rules are in header.h. Decoding of values is in words.c. */
#include "message/header.h"

#include "base/ascii.h"
#include "base/memory.h"
#include "message/message.h"
#include "message/words.h"

#include <string.h>

/* The index behind the line that starts at `start`. */
static size_t line_end(struct str text, size_t start)
{
    const char *lf = memchr(text.ptr + start, '\n', text.len - start);

    return lf == NULL ? text.len : (size_t)(lf - text.ptr) + 1;
}

static bool is_empty_line(struct str text, size_t start)
{
    if (text.ptr[start] == '\n')
        return true;
    return text.ptr[start] == '\r' && start + 1 < text.len && text.ptr[start + 1] == '\n';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* A field name is printable ASCII (RFC 5322 §3.6.8); old writers put blanks before the colon. */
static struct str field_name(struct str line)
{
    ptrdiff_t colon = str_index(line, ':');
    size_t len = colon < 0 ? 0 : (size_t)colon;

    while (len > 0 && is_blank(line.ptr[len - 1]))
        len--;
    for (size_t i = 0; i < len; i++) {
        if (ascii_is_control(line.ptr[i]) || line.ptr[i] == ' ')
            return STR("");
    }
    return str_upto(line, len);
}

bool header_field_next(struct str header, size_t *position, struct header_field *out)
{
    size_t start = *position;
    size_t end, value_start, value_end;

    if (start >= header.len || is_empty_line(header, start))
        return false;
    end = line_end(header, start);
    out->name = field_name(str_make(header.ptr + start, end - start));
    while (end < header.len && is_blank(header.ptr[end]))
        end = line_end(header, end);
    out->whole = str_make(header.ptr + start, end - start);
    value_start = 0;
    if (out->name.len > 0)
        value_start = (size_t)str_index(out->whole, ':') + 1;
    value_end = out->whole.len;
    if (value_end > value_start && out->whole.ptr[value_end - 1] == '\n')
        value_end--;
    if (value_end > value_start && out->whole.ptr[value_end - 1] == '\r')
        value_end--;
    out->value = str_make(out->whole.ptr + value_start, value_end - value_start);
    *position = end;
    return true;
}

struct str header_flat(struct arena *arena, struct str value, size_t *budget)
{
    size_t max = *budget;
    char *flat;
    size_t len = 0;

    if (max > HEADER_FIELD_MAX)
        max = HEADER_FIELD_MAX;
    if (max < HEADER_FIELD_MIN)
        max = HEADER_FIELD_MIN;
    value = str_trim(str_upto(str_trim(value), max));
    *budget -= value.len < *budget ? value.len : *budget;
    if (value.len == 0)
        return STR("");
    if (memchr(value.ptr, '\n', value.len) == NULL && memchr(value.ptr, '\0', value.len) == NULL)
        return value;
    flat = arena_alloc(arena, value.len + 1, 1);
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];

        if (c == '\n')
            continue;
        if (c == '\r' && i + 1 < value.len && value.ptr[i + 1] == '\n')
            continue;
        flat[len++] = c == '\0' ? '?' : c;
    }
    return str_make(flat, len);
}

bool message_header_next(struct str header, struct str name, size_t *position,
                         struct str *out_value)
{
    struct header_field field;

    while (header_field_next(header, position, &field)) {
        if (field.name.len == name.len && name.len > 0 && str_equal_nocase(field.name, name)) {
            while (field.value.len > 0 && is_blank(field.value.ptr[0]))
                field.value = str_from(field.value, 1);
            *out_value = field.value;
            return true;
        }
    }
    return false;
}

/*
 * The set of names asked for. A message may have millions of fields and a client may ask for
 * thousands of names, so it is hashed.
 */
struct name_set {
    struct str *slots; /* own; ptr NULL: free */
    size_t mask;
};

static size_t name_hash(struct str name)
{
    size_t hash = 5381;

    for (size_t i = 0; i < name.len; i++)
        hash = hash * 33 + (unsigned char)ascii_lower(name.ptr[i]);
    return hash ^ (hash >> 15);
}

static struct str *name_slot(const struct name_set *set, struct str name)
{
    size_t i = name_hash(name) & set->mask;

    while (set->slots[i].ptr != NULL && !str_equal_nocase(set->slots[i], name))
        i = (i + 1) & set->mask;
    return &set->slots[i];
}

static void name_set_init(struct name_set *set, const struct str *names, size_t count)
{
    size_t room = 8;

    while (room < count * 2)
        room *= 2;
    set->slots = NEW_ARRAY(struct str, room);
    set->mask = room - 1;
    for (size_t i = 0; i < count; i++) {
        if (names[i].len > 0)
            *name_slot(set, names[i]) = names[i];
    }
}

void message_header_fields(struct str header, const struct str *names, size_t name_count,
                           bool is_not, struct buf *out)
{
    struct header_field field;
    struct name_set set;
    size_t position = 0;

    name_set_init(&set, names, name_count);
    while (header_field_next(header, &position, &field)) {
        bool is_named = field.name.len > 0 && name_slot(&set, field.name)->ptr != NULL;

        if (is_named != is_not)
            buf_put(out, field.whole);
    }
    if (position < header.len)
        buf_put(out, str_make(header.ptr + position, line_end(header, position) - position));
    mem_free(&set.slots);
}

void message_header_decode(struct str value, struct buf *out)
{
    struct buf flat;

    value = str_trim(value);
    if (value.len == 0)
        return;
    if (memchr(value.ptr, '\n', value.len) == NULL) {
        words_decode(value, out);
        return;
    }
    buf_init(&flat, SIZE_MAX);
    while (value.len > 0) {
        size_t end = line_end(value, 0);
        struct str line = str_upto(value, end);

        if (str_ends_with(line, STR("\n")))
            line.len--;
        if (str_ends_with(line, STR("\r")))
            line.len--;
        buf_put(&flat, line);
        value = str_from(value, end);
    }
    words_decode(buf_str(&flat), out);
    buf_free(&flat);
}
