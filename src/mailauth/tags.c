/* Lists of tags. */
#include "mailauth/tags.h"

#include "base/ascii.h"
#include "base/encode.h"

#include <string.h>

/* tag-name = ALPHA *(ALPHA / DIGIT / "_") */
static bool is_name(struct str name)
{
    if (name.len == 0 || !ascii_is_alpha(name.ptr[0]))
        return false;
    for (size_t i = 1; i < name.len; i++)
        if (!ascii_is_alnum(name.ptr[i]) && name.ptr[i] != '_')
            return false;
    return true;
}

/*
 * tag-list = tag-spec *( ";" tag-spec ) [ ";" ]
 * tag-spec = [FWS] tag-name [FWS] "=" [FWS] tag-value [FWS]
 */
bool mailauth_tags_parse(struct str text, bool is_lax, struct mailauth_tags *out)
{
    struct str rest = text, spec;

    out->count = 0;
    while (str_split(&rest, ';', &spec)) {
        ptrdiff_t equals = str_index(spec, '=');
        struct str name = str_trim(str_upto(spec, equals < 0 ? 0 : (size_t)equals));

        if (equals < 0 && rest.ptr == NULL && str_trim(spec).len == 0)
            break; /* behind the last ";" */
        if (!is_name(name)) {
            if (is_lax)
                continue;
            return false;
        }
        if (mailauth_tag(out, name).ptr != NULL || out->count == MAILAUTH_TAGS_MAX)
            return false;
        out->tags[out->count].name = name;
        out->tags[out->count++].value = str_trim(str_from(spec, (size_t)equals + 1));
    }
    return out->count > 0;
}

struct str mailauth_tag(const struct mailauth_tags *tags, struct str name)
{
    for (size_t i = 0; i < tags->count; i++)
        if (str_equal(tags->tags[i].name, name))
            return tags->tags[i].value;
    return (struct str){0};
}

struct str mailauth_squeeze(struct arena *arena, struct str value)
{
    size_t len = 0;
    char *copy;

    for (size_t i = 0; i < value.len; i++)
        len += !ascii_is_space(value.ptr[i]);
    if (len == value.len)
        return value;
    copy = arena_alloc(arena, len + 1, 1);
    len = 0;
    for (size_t i = 0; i < value.len; i++)
        if (!ascii_is_space(value.ptr[i]))
            copy[len++] = value.ptr[i];
    return str_make(copy, len);
}

bool mailauth_base64(struct arena *arena, struct str value, struct str *out)
{
    CLEANUP(buf_free) struct buf padded, bytes;

    buf_init(&padded, SIZE_MAX);
    buf_init(&bytes, SIZE_MAX);
    buf_put(&padded, mailauth_squeeze(arena, value));
    while (padded.len % 4 != 0)
        buf_put(&padded, STR("="));
    if (decode_base64(&bytes, buf_str(&padded)) != ERR_OK)
        return false;
    *out = arena_copy(arena, buf_str(&bytes));
    return true;
}

bool mailauth_list_has(struct str list, char separator, struct str word)
{
    struct str entry;

    while (str_split(&list, separator, &entry))
        if (str_equal_nocase(str_trim(entry), word))
            return true;
    return false;
}
