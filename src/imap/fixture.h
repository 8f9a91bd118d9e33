/* For tests of sessions: a mailbox of its own for each case, two clients in it, and what they say.
 */
#ifndef IMAP_FIXTURE_H
#define IMAP_FIXTURE_H

#include "imap/engine.h"
#include "imap/transcript_vault.h"

#define FIXTURE_NOW_MS INT64_C(1795323600000)

struct fixture {
    struct log log;
    struct transcript_vault *home;  /* own */
    struct vault *vault;            /* of home */
    struct imap_session *s, *other; /* own; logged in, without a group */
    struct task task;
    struct buf out, command, message; /* empty; the case's */
};

/* cmocka's setup and teardown. */
int fixture_set_up(void **state);
int fixture_tear_down(void **state);

/* One more, logged in. `group` may be NULL. */
struct imap_session *fixture_connect(struct fixture *f, struct imap_group *group);
void fixture_say(struct imap_session *s, const char *text);
/* All that comes until the session waits for input, taken a piece at a time; `out_highest`, unless
 * NULL: the most that waited to be taken. */
void fixture_hear(struct imap_session *s, struct buf *out, size_t piece, size_t *out_highest);
/* Says and hears to the end; something was OK. */
void fixture_converse(struct imap_session *s, const char *text);
/* Whether this is in what waits to be taken, and in what `out` has. */
bool fixture_said(const struct imap_session *s, const char *text);
bool fixture_heard(const struct fixture *f, const char *text);
/* Into INBOX, at least `size` bytes, which `message` gets. */
void fixture_append_large(struct imap_session *s, struct buf *message, size_t size);

#endif
