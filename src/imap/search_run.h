/*
 * Running a search program over the selected mailbox. Keys are tested in three steps, each more
 * expensive: what the session and the row's flags, dates and sizes tell; the decoded header
 * columns; the message's own text. The search index narrows beforehand which messages are looked
 * at.
 */
#ifndef IMAP_SEARCH_RUN_H
#define IMAP_SEARCH_RUN_H

#include "imap/search.h"

struct imap_session;

/* Goes on with the search; done when the session was not made to give way. */
MUST_CHECK enum err imap_search_run(struct imap_session *s, struct task *task,
                                    struct imap_search_args *search);

#endif
