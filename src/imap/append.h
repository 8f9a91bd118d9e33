/* What APPEND and REPLACE share. */
#ifndef IMAP_APPEND_H
#define IMAP_APPEND_H

#include "imap/engine.h"

/* append-message = append-opts SP append-data (RFC 3502 §6.3.11), from its first space on. */
MUST_CHECK enum err imap_parse_append_message(struct imap_parser *parser,
                                              struct imap_append_message *out);
/* Refuses what is empty or too large, makes the keywords, and fills what the vault is to append. */
MUST_CHECK enum err imap_append_prepare(struct imap_session *s, struct task *task,
                                        const struct imap_append_message *message,
                                        struct vault_append *out);

#endif
