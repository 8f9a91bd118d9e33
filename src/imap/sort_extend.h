/*
 * New mail in a folder whose order is remembered (imap/sort_memory.h): the few messages that came
 * are put into it, each by looking at some fifteen others' keys, instead of reading and comparing
 * all of them again.
 */
#ifndef IMAP_SORT_EXTEND_H
#define IMAP_SORT_EXTEND_H

#include "base/task.h"
#include "imap/view.h"

struct imap_session;

enum {
    IMAP_SORT_EXTEND_MAX = 64
}; /* of more messages that came, nothing is put in: they are sorted anew */

/*
 * All that is remembered of how the view's folder is ordered, is afterwards of the view's messages;
 * or nothing is changed, where nothing is remembered or too much is different. Does not give way:
 * each message that came costs some 50 us for each order remembered, all others together a few ns
 * each. ERR_NOT_FOUND: the folder is gone.
 */
MUST_CHECK enum err imap_sort_extend(struct imap_session *s, struct task *task,
                                     const struct imap_view *view);

#endif
