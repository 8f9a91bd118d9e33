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
    {STR_INIT("IMAP4rev2"), ALWAYS, "RFC 9051"},
    {STR_INIT("SASL-IR"), BEFORE, "RFC 4959"},
    /* One or the other (RFC 7888 §5): who has not logged in has no use for more than 4096 octets,
     * and whoever has saves a round trip for each message that he stores. */
    {STR_INIT("LITERAL-"), BEFORE, "RFC 7888 §5"},
    {STR_INIT("LITERAL+"), AFTER, "RFC 7888"},
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
    {STR_INIT("ESEARCH"), AFTER, "RFC 4731"},
    {STR_INIT("WITHIN"), AFTER, "RFC 5032"},
    {STR_INIT("SEARCHRES"), AFTER, "RFC 5182"},
    {STR_INIT("SORT"), AFTER, "RFC 5256"},
    {STR_INIT("THREAD=ORDEREDSUBJECT"), AFTER, "RFC 5256"},
    {STR_INIT("THREAD=REFERENCES"), AFTER, "RFC 5256"},
    {STR_INIT("THREAD=REFS"), AFTER, "draft-ietf-morg-inthread"},
    {STR_INIT("I18NLEVEL=1"), AFTER, "RFC 5255 §4"},
    {STR_INIT("LIST-EXTENDED"), AFTER, "RFC 5258"},
    {STR_INIT("ESORT"), AFTER, "RFC 5267"},
    {STR_INIT("LIST-STATUS"), AFTER, "RFC 5819"},
    {STR_INIT("SORT=DISPLAY"), AFTER, "RFC 5957"},
    {STR_INIT("SPECIAL-USE"), AFTER, "RFC 6154"},
    {STR_INIT("CREATE-SPECIAL-USE"), AFTER, "RFC 6154 §3"},
    {STR_INIT("STATUS=SIZE"), AFTER, "RFC 8438"},
    {STR_INIT("METADATA"), AFTER, "RFC 5464"},
    {STR_INIT("LIST-METADATA"), AFTER, "RFC 9590"},
    {STR_INIT("OBJECTID"), AFTER, "RFC 8474"},
    {STR_INIT("SAVEDATE"), AFTER, "RFC 8514"},
    {STR_INIT("PREVIEW"), AFTER, "RFC 8970"},
    {STR_INIT("BINARY"), AFTER, "RFC 3516"},
    {STR_INIT("MULTIAPPEND"), AFTER, "RFC 3502"},
    {STR_INIT("REPLACE"), AFTER, "RFC 8508"},
    {STR_INIT("COMPRESS=DEFLATE"), AFTER, "RFC 4978"},
    {STR_INIT("NOTIFY"), AFTER, "RFC 5465"},
    {STR_INIT("INPROGRESS"), AFTER, "RFC 9585"},
    {STR_INIT("CONDSTORE"), AFTER, "RFC 7162"},
    {STR_INIT("QRESYNC"), AFTER, "RFC 7162"},
    {STR_INIT("SEARCH=FUZZY"), AFTER, "RFC 6203"},
    {STR_INIT("MULTISEARCH"), AFTER, "RFC 7377"},
    {STR_INIT("APPENDLIMIT"), AFTER | IMAP_CAP_WITH_APPEND_LIMIT, "RFC 7889"},
    {STR_INIT("QUOTA"), AFTER, "RFC 9208"},
    {STR_INIT("XREGEX"), AFTER, "docs/xregex.md"},
    {STR_INIT("QUOTA=RES-STORAGE"), AFTER, "RFC 9208 §5.1"},
    {STR_INIT("QUOTA=RES-MESSAGE"), AFTER, "RFC 9208 §5.2"},
    {STR_INIT("PARTIAL"), AFTER, "RFC 9394"},
    {STR_INIT("UIDONLY"), AFTER, "RFC 9586"},
    {STR_INIT("UTF8=ACCEPT"), AFTER, "RFC 6855"},
    {STR_INIT("MESSAGELIMIT"), AFTER | IMAP_CAP_WITH_MESSAGE_LIMIT, "RFC 9738"},
};
const size_t imap_capability_count = ARRAY_LEN(imap_capabilities);

static bool is_announced(const struct imap_session *s, unsigned flags)
{
    if ((flags & IMAP_CAP_WITH_MESSAGE_LIMIT) != 0 && s->options.message_limit == 0)
        return false;
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

bool imap_capability_is_known(struct str name)
{
    for (size_t i = 0; i < imap_capability_count; i++)
        if (str_equal_nocase(imap_capabilities[i].name, name))
            return true;
    return false;
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
        if ((imap_capabilities[i].flags & IMAP_CAP_WITH_MESSAGE_LIMIT) != 0) {
            buf_put(out, STR("="));
            imap_write_number(out, s->options.message_limit);
        }
    }
}
