/* The files of FETCH among themselves. */
#ifndef IMAP_CMD_FETCH_H
#define IMAP_CMD_FETCH_H

#include "imap/engine.h"

/* fetch_section.c */
/*
 * Before a byte of the answer is written, so that a message that cannot be read spoils nothing.
 * ERR_INVALID: BINARY of an encoding that nobody knows, noted in `fetch`.
 */
MUST_CHECK enum err imap_fetch_open_message(struct imap_session *s, struct task *task,
                                            struct imap_fetch_args *fetch,
                                            const struct vault_message *row, unsigned columns);
/* Until the message is written, or it is time to give way (the phase tells which). */
MUST_CHECK enum err imap_fetch_write_sections(struct imap_session *s, struct task *task,
                                              struct imap_fetch_args *fetch);
void imap_fetch_end_message(struct imap_session *s, struct imap_fetch_args *fetch);

/* fetch_facts.c: EMAILID, THREADID, SAVEDATE, PREVIEW */
/* Of a whole command, before it begins. *out_done false: give way and ask again. */
MUST_CHECK enum err imap_fetch_prepare_facts(struct imap_session *s, struct task *task,
                                             const struct imap_fetch_args *fetch, bool *out_done);
/* Of one message, before a byte of its answer is written. */
MUST_CHECK enum err imap_fetch_read_facts(struct imap_session *s, struct task *task,
                                          struct imap_fetch_args *fetch,
                                          const struct vault_message *row);
/* Appends " NAME value" for each, without the space for the first item of the answer. */
void imap_fetch_write_facts(struct imap_session *s, const struct imap_fetch_args *fetch,
                            const struct vault_message *row, bool *is_first);

#endif
