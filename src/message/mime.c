/* Structured MIME fields; the rules are in mime.h. */
#include "message/mime.h"

#include "base/ascii.h"
#include "message/charset.h"
#include "message/words.h"

#include <string.h>

enum {
    TYPE_MAX = 100,     /* RFC 6838 §4.2 allows 127 each; beyond is no type */
    SEGMENTS_MAX = 200, /* pieces of one parameter, RFC 2231 §3 */
};

/* token = 1*<any CHAR except SPACE, CTLs, or tspecials>                     (RFC 2045 §5.1) */
static bool is_token_char(char c)
{
    return !ascii_is_control(c) && !ascii_is_8bit(c) && c != ' ' &&
           memchr("()<>@,;:\\\"/[]?=", c, 15) == NULL;
}

void mime_skip_cfws(struct str text, size_t *position)
{
    size_t depth = 0;
    size_t i = *position;

    for (; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '(') {
            depth++;
        } else if (depth > 0 && c == ')') {
            depth--;
        } else if (depth > 0 && c == '\\') {
            if (i + 1 < text.len)
                i++;
        } else if (depth == 0 && !ascii_is_space(c)) {
            break;
        }
    }
    *position = i;
}

struct str mime_token(struct str flat, size_t *out_position)
{
    size_t start = 0;
    size_t end;

    mime_skip_cfws(flat, &start);
    end = start;
    while (end < flat.len && is_token_char(flat.ptr[end]))
        end++;
    *out_position = end;
    return str_make(flat.ptr + start, end - start);
}

static struct str lower_copy(struct arena *arena, struct str text)
{
    char *copy = arena_alloc(arena, text.len + 1, 1);

    for (size_t i = 0; i < text.len; i++)
        copy[i] = ascii_lower(text.ptr[i]);
    return str_make(copy, text.len);
}

bool mime_type(struct arena *arena, struct str flat, struct str *out_type, struct str *out_subtype,
               size_t *out_position)
{
    size_t position;
    struct str type = mime_token(flat, &position);
    struct str rest, subtype;
    size_t rest_position;

    mime_skip_cfws(flat, &position);
    if (type.len == 0 || position >= flat.len || flat.ptr[position] != '/')
        return false;
    rest = str_from(flat, position + 1);
    subtype = mime_token(rest, &rest_position);
    if (subtype.len == 0 || type.len > TYPE_MAX || subtype.len > TYPE_MAX)
        return false;
    *out_type = lower_copy(arena, type);
    *out_subtype = lower_copy(arena, subtype);
    *out_position = position + 1 + rest_position;
    return true;
}

/* A quoted string, from the quote on; *position moves behind it. An open end is taken. */
static struct str quoted_value(struct arena *arena, struct str flat, size_t *position)
{
    size_t start = *position + 1;
    size_t end = start;
    bool has_escape = false;
    char *copy;
    size_t len = 0;

    while (end < flat.len && flat.ptr[end] != '"') {
        if (flat.ptr[end] == '\\' && end + 1 < flat.len) {
            has_escape = true;
            end++;
        }
        end++;
    }
    *position = end < flat.len ? end + 1 : end;
    if (!has_escape)
        return str_make(flat.ptr + start, end - start);
    copy = arena_alloc(arena, end - start, 1);
    for (size_t i = start; i < end; i++) {
        if (flat.ptr[i] == '\\' && i + 1 < end)
            i++;
        copy[len++] = flat.ptr[i];
    }
    return str_make(copy, len);
}

/* A value without quotes. It ends at a blank or ';', unless more follows that is no comment: then
 * somebody forgot the quotes, and it is all up to the ';'. */
static struct str bare_value(struct str flat, size_t *position)
{
    size_t start = *position;
    size_t end = start;
    size_t after;

    while (end < flat.len && flat.ptr[end] != ';' && !ascii_is_space(flat.ptr[end]) &&
           flat.ptr[end] != '(')
        end++;
    after = end;
    mime_skip_cfws(flat, &after);
    if (after < flat.len && flat.ptr[after] != ';') {
        const char *semicolon = memchr(flat.ptr + after, ';', flat.len - after);

        end = semicolon == NULL ? flat.len : (size_t)(semicolon - flat.ptr);
        after = end;
    }
    *position = after;
    return str_trim(str_make(flat.ptr + start, end - start));
}

/* Moves behind the next ';' that is in no quoted string. */
static bool skip_to_param(struct str flat, size_t *position)
{
    bool is_quoted = false;
    size_t i = *position;

    for (; i < flat.len; i++) {
        char c = flat.ptr[i];

        if (c == '"')
            is_quoted = !is_quoted;
        else if (c == '\\' && is_quoted)
            i++;
        else if (c == ';' && !is_quoted)
            break;
    }
    *position = i < flat.len ? i + 1 : flat.len;
    return i < flat.len;
}

bool mime_param_next(struct arena *arena, struct str flat, size_t *position, struct mime_param *out)
{
    mime_skip_cfws(flat, position);
    while (skip_to_param(flat, position)) {
        size_t start, end;

        mime_skip_cfws(flat, position);
        start = end = *position;
        while (end < flat.len && is_token_char(flat.ptr[end]))
            end++;
        *position = end;
        mime_skip_cfws(flat, position);
        if (end == start || *position >= flat.len || flat.ptr[*position] != '=')
            continue;
        *position += 1;
        mime_skip_cfws(flat, position);
        out->name = str_make(flat.ptr + start, end - start);
        if (*position < flat.len && flat.ptr[*position] == '"')
            out->value = quoted_value(arena, flat, position);
        else
            out->value = bare_value(flat, position);
        return true;
    }
    return false;
}

static int hex_value(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void decode_percent(struct str text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '%' && i + 2 < text.len && hex_value(text.ptr[i + 1]) >= 0 &&
            hex_value(text.ptr[i + 2]) >= 0) {
            c = (char)(hex_value(text.ptr[i + 1]) * 16 + hex_value(text.ptr[i + 2]));
            i += 2;
        }
        buf_put(out, str_make(&c, 1));
    }
}

/* Takes charset'language' off the front of an extended value (RFC 2231 §4). */
static struct str take_charset(struct str *value)
{
    ptrdiff_t first = str_index(*value, '\'');
    ptrdiff_t second = first < 0 ? -1 : str_index(str_from(*value, (size_t)first + 1), '\'');
    struct str charset = STR("utf-8");

    if (second < 0)
        return charset;
    if (first > 0)
        charset = str_upto(*value, (size_t)first);
    *value = str_from(*value, (size_t)(first + 1 + second + 1));
    return charset;
}

struct segment {
    struct str value; /* ptr NULL: missing */
    bool is_extended;
};

/* name*3* : the piece's number, or false. */
static bool segment_number(struct str suffix, uint32_t *out_number, bool *out_is_extended)
{
    *out_is_extended = str_ends_with(suffix, STR("*"));
    if (*out_is_extended)
        suffix.len--;
    return suffix.len > 0 && suffix.len < 6 && parse_u32(suffix, out_number) &&
           *out_number < SEGMENTS_MAX;
}

/* What there is of one parameter, whichever way it was written. Of what comes twice, the first. */
struct pieces {
    struct str plain; /* "name"; ptr NULL: missing */
    struct str whole; /* "name*", where no "name*0" came before it; ptr NULL: missing */
    bool is_any;      /* else `segments` is not set, and there is no `whole` */
    struct segment segments[SEGMENTS_MAX]; /* "name*0", "name*1*" … by number */
};

static void gather(struct arena *arena, struct str flat, size_t position, struct str name,
                   struct pieces *out)
{
    struct mime_param param;

    out->plain = out->whole = (struct str){NULL, 0};
    out->is_any = false;
    while (mime_param_next(arena, flat, &position, &param)) {
        struct str suffix = str_from(param.name, name.len);
        uint32_t number = 0;
        bool is_extended = true;

        if (!str_starts_with_nocase(param.name, name))
            continue;
        if (suffix.len == 0) {
            if (out->plain.ptr == NULL)
                out->plain = param.value;
            continue;
        }
        if (suffix.ptr[0] != '*')
            continue;
        if (suffix.len > 1 && !segment_number(str_from(suffix, 1), &number, &is_extended))
            continue;
        if (!out->is_any) /* not before: nearly all parameters are plain */
            memset(out->segments, 0, sizeof(out->segments));
        out->is_any = true;
        if (out->segments[number].value.ptr != NULL)
            continue;
        if (suffix.len > 1)
            out->segments[number] = (struct segment){param.value, is_extended};
        else if (out->whole.ptr == NULL)
            out->whole = param.value;
    }
}

static void join_segments(const struct segment *segments, struct buf *out)
{
    struct str charset = STR("utf-8");
    struct buf bytes;

    buf_init(&bytes, SIZE_MAX);
    for (size_t i = 0; i < SEGMENTS_MAX && segments[i].value.ptr != NULL; i++) {
        struct str value = segments[i].value;

        if (i == 0 && segments[i].is_extended)
            charset = take_charset(&value);
        if (segments[i].is_extended)
            decode_percent(value, &bytes);
        else
            buf_put(&bytes, value);
    }
    charset_to_utf8(charset, buf_str(&bytes), out);
    buf_free(&bytes);
}

bool mime_param_decoded(struct arena *arena, struct str flat, size_t position, struct str name,
                        struct buf *out)
{
    struct pieces pieces;

    gather(arena, flat, position, name, &pieces);
    if (pieces.whole.ptr != NULL)
        pieces.segments[0] = (struct segment){pieces.whole, true};
    if (pieces.is_any && pieces.segments[0].value.ptr != NULL) {
        join_segments(pieces.segments, out);
        return true;
    }
    if (pieces.plain.ptr == NULL)
        return false;
    words_decode(pieces.plain, out);
    return true;
}

/* ---- Joined ---- */

/* Whether it is the piece of a parameter. */
static bool is_piece(const struct mime_param *param, struct str *out_name, uint32_t *out_number,
                     bool *out_is_extended)
{
    ptrdiff_t star = str_index(param->name, '*');

    if (star <= 0)
        return false;
    *out_name = str_upto(param->name, (size_t)star);
    return segment_number(str_from(param->name, (size_t)star + 1), out_number, out_is_extended);
}

/* attribute-char stays, anything else is "%" 2HEXDIG                            (RFC 2231 §7) */
static void encode_percent(struct str text, struct buf *out)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];
        char encoded[] = {'%', digits[byte >> 4], digits[byte & 15]};

        if (is_token_char(text.ptr[i]) && memchr("*'%", byte, 3) == NULL)
            buf_put(out, str_make(text.ptr + i, 1));
        else
            buf_put(out, str_make(encoded, sizeof(encoded)));
    }
}

static struct str join_encoded(struct arena *arena, const struct segment *segments, size_t count,
                               bool is_encoded)
{
    CLEANUP(buf_free) struct buf whole = {0};

    buf_init(&whole, SIZE_MAX);
    if (is_encoded && !segments[0].is_extended)
        buf_put(&whole, STR("''")); /* of no charset, of no language */
    for (size_t i = 0; i < count; i++) {
        if (is_encoded && !segments[i].is_extended)
            encode_percent(segments[i].value, &whole);
        else
            buf_put(&whole, segments[i].value);
    }
    return arena_copy(arena, buf_str(&whole));
}

/* How many pieces of this name follow on each other; none: *out is not touched. */
static size_t join(struct arena *arena, const struct mime_params *params, struct str name,
                   struct mime_param *out)
{
    struct pieces pieces;
    bool is_encoded = false;
    size_t count = 0;

    gather(arena, params->flat, params->begin, name, &pieces);
    while (pieces.is_any && count < SEGMENTS_MAX && pieces.segments[count].value.ptr != NULL)
        is_encoded |= pieces.segments[count++].is_extended;
    if (count == 0)
        return 0;
    out->name = str_make(name.ptr, name.len + is_encoded); /* "name*0" goes on with the star */
    out->value = join_encoded(arena, pieces.segments, count, is_encoded);
    return count;
}

void mime_params_init(struct mime_params *params, struct str flat, size_t position)
{
    *params = (struct mime_params){.flat = flat, .begin = position, .position = position};
}

bool mime_params_next(struct arena *arena, struct mime_params *params, struct mime_param *out)
{
    while (mime_param_next(arena, params->flat, &params->position, out)) {
        size_t known = 0;
        bool is_extended;
        uint32_t number;
        struct str name;

        if (!is_piece(out, &name, &number, &is_extended))
            return true;
        while (known < params->joined_count && !str_equal_nocase(params->joined[known].name, name))
            known++;
        if (known == MIME_JOINED_MAX)
            return true;
        if (known == params->joined_count) {
            params->joined[known].name = name;
            params->joined[known].pieces = join(arena, params, name, &params->joined[known].whole);
            params->joined_count++;
        }
        if (number >= params->joined[known].pieces)
            return true;
        if (number == 0 && !params->joined[known].is_told) {
            params->joined[known].is_told = true;
            *out = params->joined[known].whole;
            return true;
        }
    }
    return false;
}
