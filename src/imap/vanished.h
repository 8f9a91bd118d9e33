/* VANISHED (RFC 7162 §3.2.10, RFC 9586 §3) and what a QRESYNC client is told when it comes back.
 */
#ifndef IMAP_VANISHED_H
#define IMAP_VANISHED_H

#include "base/task.h"
#include "imap/set.h"

struct imap_session;

/* "* VANISHED 3,5:7", for what a session knew; nothing for an empty set. */
void imap_write_vanished(struct imap_session *s, const uint32_t *uids, size_t count);

/*
 * "* VANISHED (EARLIER) …": those of `among` (resolved) that vanished after the MODSEQ `since`.
 * What is still in the view is left out. Where the log no longer reaches back so far, every UID
 * above `known_uid` that is not in the view (RFC 7162 §3.2.5.2, §3.2.6).
 */
MUST_CHECK enum err imap_tell_vanished(struct imap_session *s, struct task *task, uint64_t since,
                                       const struct imap_set *among, uint32_t known_uid);

/*
 * Sequence match data (RFC 7162 §3.2.5.2): `numbers` and `uids` name the same messages, in order,
 * as the client knew them. The UID of the last one whose number is still the same; 0: none.
 */
uint32_t imap_match_sequence(const struct imap_session *s, const struct imap_set *numbers,
                             const struct imap_set *uids);

#endif
