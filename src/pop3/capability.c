#include "pop3/capability.h"

#include "pop3/engine.h"

const struct pop3_capability pop3_capabilities[] = {
    {STR_INIT("TOP"), 0, "RFC 2449 §6.1"},
    {STR_INIT("USER"), POP3_CAP_IF_SECURE, "RFC 2449 §6.2"},
    {STR_INIT("SASL PLAIN"), POP3_CAP_IF_SECURE, "RFC 5034 §3"},
    {STR_INIT("RESP-CODES"), 0, "RFC 2449 §6.4"},
    {STR_INIT("AUTH-RESP-CODE"), 0, "RFC 3206 §6"},
    {STR_INIT("PIPELINING"), 0, "RFC 2449 §6.6"},
    {STR_INIT("EXPIRE NEVER"), 0, "RFC 2449 §6.7"},
    {STR_INIT("UIDL"), 0, "RFC 2449 §6.8"},
    {STR_INIT("STLS"), POP3_CAP_IF_NO_TLS, "RFC 2595 §4"},
    /* Without USER, which promises SASLprep of names and passwords (§2.2). */
    {STR_INIT("UTF8"), 0, "RFC 6856 §2"},
    /* No version: it helps nobody but an attacker. */
    {STR_INIT("IMPLEMENTATION Sealpost"), POP3_CAP_LOGGED_IN, "RFC 2449 §6.9"},
};
const size_t pop3_capability_count = ARRAY_LEN(pop3_capabilities);

void pop3_write_capabilities(const struct pop3_session *s, struct buf *out)
{
    for (size_t i = 0; i < pop3_capability_count; i++) {
        unsigned flags = pop3_capabilities[i].flags;

        if (((flags & POP3_CAP_IF_SECURE) != 0 && !s->options.is_secure) ||
            ((flags & POP3_CAP_IF_NO_TLS) != 0 && s->options.is_tls) ||
            ((flags & POP3_CAP_LOGGED_IN) != 0 && s->state == POP3_STATE_AUTHORIZATION))
            continue;
        buf_put(out, pop3_capabilities[i].line);
        buf_put(out, STR("\r\n"));
    }
}
