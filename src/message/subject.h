/* The base subject (RFC 5256 §2.1), by which SORT and THREAD compare. */
#ifndef MESSAGE_SUBJECT_H
#define MESSAGE_SUBJECT_H

#include "base/arena.h"
#include "base/str.h"

/* `subject` is decoded UTF-8. Of very long ones only the beginning counts. In the arena. */
struct str subject_base(struct arena *arena, struct str subject);

#endif
