#include "transfer/uidl.h"

#include "base/ascii.h"
#include "base/buf.h"
#include "base/macros.h"
#include "vault/maildrop.h"

enum { WIDTH_MAX = 16 };

static const struct {
    struct str name, greets, template;
} servers[] = {
    {STR_INIT("dovecot"), STR_INIT("Dovecot"), STR_INIT("%08Xu%08Xv")},
    {STR_INIT("cyrus"), STR_INIT("Cyrus"), STR_INIT("%v.%u")},
    {STR_INIT("sealpost"), STR_INIT("Sealpost"), STR_INIT("%08Xv%08Xu")},
};

/* Behind the "%": [0 width] [X] letter. Its length goes to *out_len; false: it is none. */
static bool put_number(struct str text, uint32_t uid, uint32_t uidvalidity, struct buf *out,
                       size_t *out_len)
{
    size_t at = 0;
    int width = 0;
    bool is_hex;
    uint32_t number;

    if (text.len > 0 && text.ptr[0] == '0') {
        for (at = 1; at < text.len && ascii_is_digit(text.ptr[at]) && width < WIDTH_MAX; at++)
            width = width * 10 + (text.ptr[at] - '0');
    }
    is_hex = at < text.len && text.ptr[at] == 'X';
    at += is_hex;
    if (at == text.len || width > WIDTH_MAX || (text.ptr[at] != 'u' && text.ptr[at] != 'v'))
        return false;
    number = text.ptr[at] == 'u' ? uid : uidvalidity;
    if (number == 0)
        return false;
    if (is_hex)
        buf_putf(out, "%0*x", width, (unsigned)number);
    else
        buf_putf(out, "%0*u", width, (unsigned)number);
    *out_len = at + 1;
    return true;
}

static bool make(struct str template, uint32_t uid, uint32_t uidvalidity, struct buf *out)
{
    bool has_uid = false;

    for (size_t i = 0; i < template.len && out->len <= VAULT_UIDL_MAX; i++) {
        size_t len = 0;

        if (template.ptr[i] != '%') {
            buf_put(out, str_make(template.ptr + i, 1));
        } else if (put_number(str_from(template, i + 1), uid, uidvalidity, out, &len)) {
            i += len;
            has_uid = has_uid || template.ptr[i] == 'u';
        } else {
            return false;
        }
    }
    return has_uid && vault_uidl_is_valid(buf_str(out));
}

struct str transfer_uidl_make(struct arena *arena, struct str template, uint32_t uid,
                              uint32_t uidvalidity)
{
    CLEANUP(buf_free) struct buf out;

    buf_init(&out, SIZE_MAX);
    return make(template, uid, uidvalidity, &out) ? arena_copy(arena, buf_str(&out)) : STR("");
}

struct str transfer_uidl_template(struct str text)
{
    CLEANUP(buf_free) struct buf out;

    buf_init(&out, SIZE_MAX);
    for (size_t i = 0; i < ARRAY_LEN(servers); i++) {
        if (str_equal_nocase(text, servers[i].name))
            return servers[i].template;
    }
    return make(text, UINT32_MAX, UINT32_MAX, &out) ? text : STR("");
}

struct str transfer_uidl_template_of_greeting(struct str greeting)
{
    for (size_t i = 0; i < ARRAY_LEN(servers); i++) {
        if (str_find(greeting, servers[i].greets) >= 0)
            return servers[i].template;
    }
    return STR("");
}
