/* Flags between the wire and the vault's 64-bit sets (RFC 3501 §2.3.2). */
#ifndef IMAP_FLAGS_H
#define IMAP_FLAGS_H

#include "base/buf.h"
#include "imap/parse.h"
#include "vault/message.h"

struct imap_session;

enum { IMAP_KEYWORDS_MAX = VAULT_KEYWORD_END - VAULT_KEYWORD_FIRST };

/* Flags as a client named them: keywords get their bits when the command runs. */
struct imap_flags {
    uint64_t system;
    struct str *keywords; /* borrowed from the command */
    size_t keyword_count;
};

/* flag-list = "(" [flag *(SP flag)] ")"; with `may_be_bare` also flag *(SP flag). */
MUST_CHECK enum err imap_parse_flags(struct imap_parser *parser, bool may_be_bare,
                                     struct imap_flags *out);
/* The bits, which stay these keywords' until the command ends; keywords are made when `may_create`,
 * else unknown ones are left out. ERR_LIMIT: no more keywords fit, or a name is too long. */
MUST_CHECK enum err imap_flags_bits(struct imap_session *s, struct task *task,
                                    const struct imap_flags *flags, bool may_create,
                                    uint64_t *out_bits);
/* "(\Seen $Junk)". */
void imap_write_flags(struct buf *out, const struct vault *vault, uint64_t flags, bool is_recent);
/* The system flag's bit, 0: there is none such. */
uint64_t imap_system_flag(struct str name);

#endif
