#include "imap/capability.h"

#include "imap/engine.h"
#include "imap/write.h"

enum {
    BEFORE = IMAP_CAP_BEFORE_LOGIN,
    AFTER = IMAP_CAP_AFTER_LOGIN,
    ALWAYS = BEFORE | AFTER,
};

const struct imap_capability imap_capabilities[] = {
    {STR_INIT("IMAP4rev1"), ALWAYS, "RFC 3501"},
    {STR_INIT("SASL-IR"), BEFORE, "RFC 4959"},
    {STR_INIT("LITERAL+"), ALWAYS, "RFC 7888"},
    {STR_INIT("ID"), ALWAYS, "RFC 2971"},
    {STR_INIT("ENABLE"), ALWAYS, "RFC 5161"},
    {STR_INIT("STARTTLS"), BEFORE | IMAP_CAP_IF_NO_TLS, "RFC 3501 §6.2.1"},
    {STR_INIT("LOGINDISABLED"), BEFORE | IMAP_CAP_IF_PLAIN, "RFC 3501 §6.2.3"},
    {STR_INIT("AUTH=PLAIN"), BEFORE | IMAP_CAP_IF_SECURE, "RFC 4616"},
    {STR_INIT("AUTH=LOGIN"), BEFORE | IMAP_CAP_IF_SECURE, "draft-murchison-sasl-login"},
    {STR_INIT("NAMESPACE"), AFTER, "RFC 2342"},
    {STR_INIT("CHILDREN"), AFTER, "RFC 3348"},
    {STR_INIT("UNSELECT"), AFTER, "RFC 3691"},
    {STR_INIT("UIDPLUS"), AFTER, "RFC 4315"},
    {STR_INIT("MOVE"), AFTER, "RFC 6851"},
    {STR_INIT("IDLE"), AFTER, "RFC 2177"},
    {STR_INIT("LIST-EXTENDED"), AFTER, "RFC 5258"},
    {STR_INIT("LIST-STATUS"), AFTER, "RFC 5819"},
    {STR_INIT("SPECIAL-USE"), AFTER, "RFC 6154"},
    {STR_INIT("CONDSTORE"), AFTER, "RFC 7162"},
    {STR_INIT("APPENDLIMIT"), AFTER | IMAP_CAP_WITH_APPEND_LIMIT, "RFC 7889"},
    {STR_INIT("QUOTA"), AFTER, "RFC 9208"},
    {STR_INIT("QUOTA=RES-STORAGE"), AFTER, "RFC 9208 §5.1"},
};
const size_t imap_capability_count = ARRAY_LEN(imap_capabilities);

static bool is_announced(const struct imap_session *s, unsigned flags)
{
    if (s->state != IMAP_STATE_NOT_AUTH)
        return (flags & IMAP_CAP_AFTER_LOGIN) != 0;
    if ((flags & IMAP_CAP_IF_PLAIN) != 0 && s->options.is_secure)
        return false;
    if ((flags & IMAP_CAP_IF_SECURE) != 0 && !s->options.is_secure)
        return false;
    if ((flags & IMAP_CAP_IF_NO_TLS) != 0 && s->options.is_tls)
        return false;
    return (flags & IMAP_CAP_BEFORE_LOGIN) != 0;
}

void imap_write_capabilities(const struct imap_session *s, struct buf *out)
{
    buf_put(out, STR("CAPABILITY"));
    for (size_t i = 0; i < imap_capability_count; i++) {
        if (!is_announced(s, imap_capabilities[i].flags))
            continue;
        buf_put(out, STR(" "));
        buf_put(out, imap_capabilities[i].name);
        if ((imap_capabilities[i].flags & IMAP_CAP_WITH_APPEND_LIMIT) != 0) {
            buf_put(out, STR("="));
            imap_write_number(out, s->options.append_limit_bytes);
        }
    }
}
