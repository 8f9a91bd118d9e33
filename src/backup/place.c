#include "backup/place.h"

#include "backup/name.h"

/* What names in a bucket may begin with; shorter than names are, so that both fit into a URL. */
static bool is_prefix(struct str prefix)
{
    return prefix.len == 0 || (prefix.len < 100 && backup_name_is_valid(prefix));
}

static struct str without_slashes(struct str text)
{
    while (text.len > 0 && text.ptr[0] == '/')
        text = str_from(text, 1);
    while (text.len > 0 && text.ptr[text.len - 1] == '/')
        text.len--;
    return text;
}

static const char *parse_s3(struct arena *arena, struct str text, bool has_bucket,
                            struct backup_place *out)
{
    struct str rest, prefix;
    const char *reason = net_url_parse(arena, text, &out->url);

    if (reason != NULL)
        return reason;
    rest = without_slashes(out->url.target);
    out->bucket = STR("");
    if (has_bucket) {
        ptrdiff_t slash = str_index(rest, '/');

        out->bucket = slash < 0 ? rest : str_upto(rest, (size_t)slash);
        rest = slash < 0 ? STR("") : without_slashes(str_from(rest, (size_t)slash));
        if (out->bucket.len > 63 || !backup_name_is_valid(out->bucket))
            return "the URL has no bucket in its path";
    }
    prefix = rest;
    if (!is_prefix(prefix))
        return "the URL's path has more in it than letters, digits, '.', '_' and '-'";
    out->prefix = prefix.len == 0 ? STR("") : arena_printf(arena, "%.*s/", STR_ARG(prefix));
    out->is_s3 = true;
    return NULL;
}

const char *backup_place_parse(struct arena *arena, struct str text, struct backup_place *out)
{
    *out = (struct backup_place){.is_s3 = false};
    if (text.len > 0 && text.ptr[0] == '/') {
        out->path = arena_copy(arena, text);
        return NULL;
    }
    if (str_starts_with(text, STR("s3:")))
        return parse_s3(arena, str_from(text, STR("s3:").len), true, out);
    if (str_starts_with(text, STR("s3-host:")))
        return parse_s3(arena, str_from(text, STR("s3-host:").len), false, out);
    return "neither an absolute path nor \"s3:https://host/bucket\"";
}
