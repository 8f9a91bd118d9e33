/*
 * May a program answer this message (a vacation reply)? RFC 3834 §2 and RFC 5230 §4.6: not one that
 * a program sent, lest two of them talk to each other for ever, and nobody who would not read it.
 * Whether the recipient was addressed in person is for whoever knows his addresses.
 */
#ifndef EXAMINER_REPLY_H
#define EXAMINER_REPLY_H

#include "base/arena.h"
#include "base/str.h"

#include <stdbool.h>

/* `sender` is the envelope's, empty for the null path; `header` the message's. */
bool examiner_may_reply(struct arena *arena, struct str sender, struct str header);

#endif
