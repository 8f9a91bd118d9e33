/* Authentication-Results. */
#include "mailauth/results.h"

#include "base/ascii.h"
#include "message/mime.h"

#include <string.h>

enum { VALUE_MAX = 255 };

const char *mailauth_result_name(enum mailauth_result result)
{
    switch (result) {
    case MAILAUTH_NONE:
        return "none";
    case MAILAUTH_PASS:
        return "pass";
    case MAILAUTH_FAIL:
        return "fail";
    case MAILAUTH_SOFTFAIL:
        return "softfail";
    case MAILAUTH_NEUTRAL:
        return "neutral";
    case MAILAUTH_POLICY:
        return "policy";
    case MAILAUTH_TEMPERROR:
        return "temperror";
    case MAILAUTH_PERMERROR:
        return "permerror";
    }
    return "none";
}

static bool is_token_character(char c)
{
    return c > ' ' && c <= '~' && memchr("()<>@,;:\\\"/[]?=", c, 15) == NULL;
}

/* value = token / quoted-string (RFC 2045 §5.1); whatever the peer wrote, it stays within it. */
static void put_value(struct buf *out, struct str value)
{
    bool is_token = value.len > 0;

    value = str_upto(value, VALUE_MAX);
    for (size_t i = 0; i < value.len; i++)
        is_token = is_token && is_token_character(value.ptr[i]);
    if (is_token) {
        buf_put(out, value);
        return;
    }
    buf_put(out, STR("\""));
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];

        if (c == '"' || c == '\\')
            buf_put(out, STR("\\"));
        if (ascii_is_control(c) || ascii_is_8bit(c))
            c = '?';
        buf_put(out, str_make(&c, 1));
    }
    buf_put(out, STR("\""));
}

static void put_property(struct buf *out, const char *name, struct str value)
{
    buf_putf(out, " %s=", name);
    put_value(out, value);
}

static void put_method(struct buf *out, const char *method, enum mailauth_result result)
{
    buf_putf(out, ";\r\n\t%s=%s", method, mailauth_result_name(result));
}

static void put_signatures(struct buf *out, const struct mailauth_verdict *verdict)
{
    if (verdict->signature_count == 0)
        put_method(out, "dkim", MAILAUTH_NONE);
    for (size_t i = 0; i < verdict->signature_count; i++) {
        const struct mailauth_signature *signature = &verdict->signatures[i];

        put_method(out, "dkim", signature->result);
        if (signature->reason != NULL)
            buf_putf(out, " reason=\"%s\"", signature->reason);
        if (signature->domain.len > 0)
            put_property(out, "header.d", signature->domain);
        if (signature->selector.len > 0)
            put_property(out, "header.s", signature->selector);
    }
}

struct str mailauth_results_write(struct arena *arena, const struct mailauth_request *request,
                                  const struct mailauth_verdict *verdict)
{
    static const char *const policies[] = {
        [MAILAUTH_POLICY_NONE] = "none",
        [MAILAUTH_POLICY_QUARANTINE] = "quarantine",
        [MAILAUTH_POLICY_REJECT] = "reject",
        [MAILAUTH_POLICY_UNKNOWN] = "unknown", /* TEMPERROR: not written */
    };
    CLEANUP(buf_free) struct buf out;

    buf_init(&out, SIZE_MAX);
    if (request->authserv.len == 0)
        return STR("");
    buf_put(&out, STR("Authentication-Results: "));
    put_value(&out, request->authserv);
    put_method(&out, "spf", verdict->spf);
    if (verdict->spf_domain.len > 0)
        put_property(&out, request->sender.len > 0 ? "smtp.mailfrom" : "smtp.helo",
                     verdict->spf_domain);
    put_signatures(&out, verdict);
    put_method(&out, "dmarc", verdict->dmarc);
    if (verdict->dmarc == MAILAUTH_FAIL || verdict->dmarc == MAILAUTH_PASS)
        buf_putf(&out, " (p=%s)", policies[verdict->dmarc_published]);
    if (verdict->author_domain.len > 0)
        put_property(&out, "header.from", verdict->author_domain);
    if (verdict->arc != MAILAUTH_NONE) {
        put_method(&out, "arc", verdict->arc);
        if (verdict->arc_domain.len > 0)
            buf_putf(&out, " (sealed by %.*s)", STR_ARG(verdict->arc_domain));
    }
    buf_put(&out, STR("\r\n"));
    return arena_copy(arena, buf_str(&out));
}

/* authres-payload = [CFWS] authserv-id [ CFWS authres-version ] … ; the id a token or quoted. */
static struct str authserv_of(struct arena *arena, struct str value)
{
    size_t i = 0, start, len = 0;
    char *copy;

    mime_skip_cfws(value, &i);
    start = i;
    if (i >= value.len || value.ptr[i] != '"') {
        while (i < value.len && value.ptr[i] != ';' && value.ptr[i] != '(' &&
               !ascii_is_space(value.ptr[i]))
            i++;
        return str_make(value.ptr + start, i - start);
    }
    copy = arena_alloc(arena, value.len - i, 1);
    for (i++; i < value.len && value.ptr[i] != '"'; i++) {
        if (value.ptr[i] == '\\' && i + 1 < value.len)
            i++;
        copy[len++] = value.ptr[i];
    }
    return str_make(copy, len);
}

static bool contains_nocase(struct str text, struct str part)
{
    for (size_t i = 0; part.len > 0 && i + part.len <= text.len; i++)
        if (str_equal_nocase(str_make(text.ptr + i, part.len), part))
            return true;
    return false;
}

bool mailauth_results_is_ours(struct arena *arena, struct str value, struct str authserv)
{
    struct str found = authserv_of(arena, value);

    if (str_equal_nocase(found, authserv))
        return true;
    /* Readers take apart what is not in form in ways of their own: better lost than believed. */
    for (size_t i = 0; i < found.len; i++)
        if (!is_token_character(found.ptr[i]) && found.ptr[i] != ':')
            return contains_nocase(value, authserv);
    return found.len == 0 && contains_nocase(value, authserv);
}

static void add_removal(struct mailauth_verdict *verdict, size_t start, size_t len)
{
    size_t last = verdict->removal_count - 1;

    if (verdict->removal_count > 0 &&
        (verdict->removals[last].start + verdict->removals[last].len == start ||
         verdict->removal_count == MAILAUTH_REMOVALS_MAX)) {
        verdict->removals[last].len = (uint32_t)(start + len - verdict->removals[last].start);
        return;
    }
    verdict->removals[verdict->removal_count].start = (uint32_t)start;
    verdict->removals[verdict->removal_count++].len = (uint32_t)len;
}

void mailauth_results_find(struct arena *arena, const struct mailauth_fields *fields,
                           struct str authserv, struct mailauth_verdict *verdict)
{
    if (authserv.len == 0)
        return;
    for (size_t i = 0; i < fields->count; i++) {
        const struct mailauth_field *field = &fields->fields[i];

        if (field->start + field->text.whole.len <= UINT32_MAX &&
            str_equal_nocase(field->text.name, STR("Authentication-Results")) &&
            mailauth_results_is_ours(arena, field->text.value, authserv))
            add_removal(verdict, field->start, field->text.whole.len);
    }
}
