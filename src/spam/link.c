#include "spam/link.h"

#include "base/ascii.h"
#include "message/html.h"

#include <string.h>

enum { TAG_BYTES_MAX = 4096 };

/* --- One URL --- */

static struct str lower(struct task *task, struct str text)
{
    char *copy = arena_alloc(&task->arena, text.len + 1, 1);

    for (size_t i = 0; i < text.len; i++)
        copy[i] = ascii_lower(text.ptr[i]);
    return str_make(copy, text.len);
}

static int hex_digit(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* %41 is A; what is no such escape stays. */
static struct str without_escapes(struct task *task, struct str text)
{
    char *copy;
    size_t len = 0;

    if (str_index(text, '%') < 0)
        return text;
    copy = arena_alloc(&task->arena, text.len + 1, 1);
    for (size_t i = 0; i < text.len; i++) {
        int high = i + 2 < text.len && text.ptr[i] == '%' ? hex_digit(text.ptr[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(text.ptr[i + 2]) : -1;

        copy[len++] = low >= 0 ? (char)(high * 16 + low) : text.ptr[i];
        i += low >= 0 ? 2 : 0;
    }
    return str_make(copy, len);
}

bool spam_link_is_ip(struct str host)
{
    struct str rest = host, label;
    size_t labels = 0;

    if (host.len > 2 && host.ptr[0] == '[')
        return true;
    while (str_split(&rest, '.', &label)) {
        bool is_hex = label.len > 2 && label.ptr[0] == '0' && ascii_lower(label.ptr[1]) == 'x';

        if (label.len == 0 || ++labels > 4)
            return false;
        for (size_t i = is_hex ? 2 : 0; i < label.len; i++) {
            if (is_hex ? hex_digit(label.ptr[i]) < 0 : !ascii_is_digit(label.ptr[i]))
                return false;
        }
    }
    return labels > 0;
}

/* authority = [ userinfo "@" ] host [ ":" port ]  (RFC 3986 §3.2) */
static bool parse_authority(struct task *task, struct str authority, struct spam_link *out)
{
    ptrdiff_t at = str_last_index(authority, '@'), colon;
    struct str host;

    if (at >= 0) {
        out->userinfo = without_escapes(task, str_upto(authority, (size_t)at));
        authority = str_from(authority, (size_t)at + 1);
    }
    host = authority;
    if (host.len > 0 && host.ptr[0] == '[') {
        ptrdiff_t end = str_index(host, ']');

        host = end < 0 ? host : str_upto(host, (size_t)end + 1);
    } else {
        colon = str_index(host, ':');
        host = colon < 0 ? host : str_upto(host, (size_t)colon);
    }
    host = lower(task, without_escapes(task, host));
    while (host.len > 0 && host.ptr[host.len - 1] == '.')
        host.len--;
    out->host = str_upto(host, 253);
    out->is_ip = spam_link_is_ip(out->host);
    return out->host.len > 0;
}

static bool is_slash(char c)
{
    return c == '/' || c == '\\';
}

bool spam_link_parse(struct task *task, struct str url, struct spam_link *out)
{
    static const struct str inline_schemes[] = {STR_INIT("data:"), STR_INIT("javascript:"),
                                                STR_INIT("vbscript:")};
    size_t start, end;

    *out = (struct spam_link){.url = url};
    for (size_t i = 0; i < ARRAY_LEN(inline_schemes); i++)
        out->is_inline |= str_starts_with_nocase(url, inline_schemes[i]);
    if (out->is_inline)
        return true;
    if (str_starts_with_nocase(url, STR("http:")))
        start = 5;
    else if (str_starts_with_nocase(url, STR("https:")))
        start = 6;
    else if (url.len > 2 && is_slash(url.ptr[0]) && is_slash(url.ptr[1]))
        start = 0;
    else
        return false;
    while (start < url.len && is_slash(url.ptr[start]))
        start++;
    end = start;
    while (end < url.len && !is_slash(url.ptr[end]) && url.ptr[end] != '?' && url.ptr[end] != '#')
        end++;
    return parse_authority(task, str_from(str_upto(url, end), start), out);
}

struct str spam_link_host_shown(struct task *task, struct str text)
{
    struct spam_link link;
    struct str last, rest, label;
    size_t labels = 0;

    text = str_trim(text);
    for (size_t i = 0; i < text.len; i++) {
        if (ascii_is_space(text.ptr[i]) || ascii_is_control(text.ptr[i]) || text.ptr[i] == '<')
            return STR("");
    }
    if (!spam_link_parse(task, text, &link)) {
        size_t end = 0;

        while (end < text.len && text.ptr[end] != '/' && text.ptr[end] != '?' &&
               text.ptr[end] != '#')
            end++;
        if (str_index(str_upto(text, end), '@') >= 0)
            return STR("");
        if (!parse_authority(task, str_upto(text, end), &link))
            return STR("");
    }
    rest = link.host;
    last = rest;
    while (str_split(&rest, '.', &label)) {
        if (label.len == 0)
            return STR("");
        labels++;
        last = label;
    }
    if (labels < 2 || last.len < 2)
        return STR("");
    for (size_t i = 0; i < last.len; i++) {
        if (!ascii_is_alpha(last.ptr[i]) && !ascii_is_8bit(last.ptr[i]) &&
            !str_starts_with(last, STR("xn--")))
            return STR("");
    }
    return link.host;
}

/* --- In HTML --- */

/* An attribute's value without character references and without white space around it; in URLs
 * browsers drop line breaks and tabs, too. */
static struct str attribute_text(struct task *task, struct str value)
{
    struct html_reader reader = {.html = value, .is_attribute = true};
    size_t len = 0;

    if (value.len == 0)
        return STR("");
    reader.room = arena_alloc(&task->arena, value.len + 1, 1);
    while (html_reader_step(&reader, SIZE_MAX))
        continue;
    for (size_t i = 0; i < reader.len; i++) {
        if (reader.room[i] != '\r' && reader.room[i] != '\n' && reader.room[i] != '\t')
            reader.room[len++] = reader.room[i];
    }
    return str_trim(str_make(reader.room, len));
}

/* The value of an attribute in the text of a tag. */
static bool attribute(struct str tag, struct str name, struct str *out)
{
    for (size_t i = 1; i + name.len < tag.len; i++) {
        size_t at = i + name.len;
        char quote;

        if (!ascii_is_space(tag.ptr[i - 1]) && tag.ptr[i - 1] != '"' && tag.ptr[i - 1] != '\'' &&
            tag.ptr[i - 1] != '/')
            continue;
        if (!str_starts_with_nocase(str_from(tag, i), name))
            continue;
        while (at < tag.len && ascii_is_space(tag.ptr[at]))
            at++;
        if (at == tag.len || tag.ptr[at] != '=')
            continue;
        at++;
        while (at < tag.len && ascii_is_space(tag.ptr[at]))
            at++;
        quote = at < tag.len ? tag.ptr[at] : '\0';
        i = at;
        if (quote == '"' || quote == '\'') {
            ptrdiff_t end = str_index(str_from(tag, at + 1), quote);

            *out = end < 0 ? str_from(tag, at + 1)
                           : str_upto(str_from(tag, at + 1), (size_t)end);
            return true;
        }
        while (at < tag.len && !ascii_is_space(tag.ptr[at]))
            at++;
        *out = str_from(str_upto(tag, at), i);
        return true;
    }
    return false;
}

struct finder {
    struct task *task;
    struct spam_link *links;
    size_t count;
};

static void add(struct finder *finder, struct str url, struct str shown)
{
    struct spam_link *link = &finder->links[finder->count];

    if (finder->count == SPAM_LINKS_MAX || url.len == 0)
        return;
    if (!spam_link_parse(finder->task, str_upto(url, SPAM_LINK_URL_MAX), link))
        return;
    link->shown = shown;
    for (size_t i = 0; i < finder->count; i++) {
        if (str_equal(finder->links[i].url, link->url) &&
            str_equal(finder->links[i].shown, shown))
            return;
    }
    finder->count++;
}

static struct str shown_text(struct finder *finder, struct str html, size_t start)
{
    struct str rest = str_upto(str_from(html, start), 4 * SPAM_LINK_SHOWN_MAX);
    size_t end = 0;

    while (end + 2 < rest.len &&
           !(rest.ptr[end] == '<' && rest.ptr[end + 1] == '/' &&
             ascii_lower(rest.ptr[end + 2]) == 'a' &&
             (end + 3 == rest.len || !ascii_is_alnum(rest.ptr[end + 3]))))
        end++;
    return str_upto(str_trim(attribute_text(finder->task, str_upto(rest, end))),
                    SPAM_LINK_SHOWN_MAX);
}

static void find_in_html(struct finder *finder, struct str html)
{
    static const struct {
        struct str name, attribute;
        bool has_text;
    } tags[] = {
        {STR_INIT("a"), STR_INIT("href"), true},
        {STR_INIT("area"), STR_INIT("href"), false},
        {STR_INIT("form"), STR_INIT("action"), false},
        {STR_INIT("base"), STR_INIT("href"), false},
        {STR_INIT("meta"), STR_INIT("url"), false},
    };

    for (size_t i = 0; i < html.len && finder->count < SPAM_LINKS_MAX; i++) {
        struct str rest = str_from(html, i + 1);

        if (html.ptr[i] != '<')
            continue;
        for (size_t k = 0; k < ARRAY_LEN(tags); k++) {
            size_t end;
            struct str value;

            if (!str_starts_with_nocase(rest, tags[k].name) || rest.len == tags[k].name.len ||
                ascii_is_alnum(rest.ptr[tags[k].name.len]))
                continue;
            end = i + 1 + html_tag_end(str_upto(rest, TAG_BYTES_MAX));
            if (attribute(str_from(str_upto(html, end), i + 1), tags[k].attribute, &value))
                add(finder, attribute_text(finder->task, value),
                    tags[k].has_text ? shown_text(finder, html, end + 1) : STR(""));
            i = end;
            break;
        }
    }
}

/* --- In text --- */

static bool ends_url(char c)
{
    return ascii_is_space(c) || ascii_is_control(c) || c == '<' || c == '>' || c == '"' ||
           c == ')' || c == ']' || c == '|';
}

static void find_in_text(struct finder *finder, struct str text)
{
    for (size_t i = 0; i + 4 < text.len && finder->count < SPAM_LINKS_MAX; i++) {
        struct str rest = str_from(text, i);
        bool is_www;
        size_t end = 0;

        if (i > 0 && ascii_is_alnum(text.ptr[i - 1]))
            continue;
        is_www = str_starts_with_nocase(rest, STR("www."));
        if (!is_www && !str_starts_with_nocase(rest, STR("http://")) &&
            !str_starts_with_nocase(rest, STR("https://")))
            continue;
        while (end < rest.len && end < SPAM_LINK_URL_MAX && !ends_url(rest.ptr[end]))
            end++;
        i += end;
        while (end > 0 && (rest.ptr[end - 1] == '.' || rest.ptr[end - 1] == ','))
            end--;
        rest = str_upto(rest, end);
        if (is_www)
            rest = arena_printf(&finder->task->arena, "http://%.*s", STR_ARG(rest));
        add(finder, rest, STR(""));
    }
}

void spam_link_find(struct task *task, const struct spam_view *view, struct spam_link **out_links,
                    size_t *out_count)
{
    struct finder finder = {.task = task};

    finder.links = ARENA_ARRAY(&task->arena, struct spam_link, SPAM_LINKS_MAX + 1);
    for (size_t i = 0; i < view->text_count; i++) {
        if (view->texts[i].is_html)
            find_in_html(&finder, view->texts[i].source);
        find_in_text(&finder, view->texts[i].text);
    }
    *out_links = finder.links;
    *out_count = finder.count;
}
