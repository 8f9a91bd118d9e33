/* The base subject (RFC 5256 §2.1), by which SORT and THREAD compare. */
#ifndef MESSAGE_SUBJECT_H
#define MESSAGE_SUBJECT_H

#include "base/arena.h"
#include "base/str.h"

/* `subject` is decoded UTF-8. Of very long ones only the beginning counts. In the arena. */
struct str subject_base(struct arena *arena, struct str subject);
/* Whether a reply's or forward's mark went on the way to the base subject (RFC 5256 §3,
 * REFERENCES, step 5.B): one of steps 2, 3 and 6 found more than white space. */
bool subject_is_reply(struct arena *arena, struct str subject);

#endif
