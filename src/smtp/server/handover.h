/* A message's way out of this process: in sealed memfds, for the examiner, the store and the courier. */
#ifndef SMTP_SERVER_HANDOVER_H
#define SMTP_SERVER_HANDOVER_H

#include "base/task.h"
#include "smtp/server/session.h"

/* The content alone, as it came. The caller owns the descriptor. ERR_IO when there is no memory or
 * descriptor for it now. */
MUST_CHECK enum err smtp_handover_content(struct task *task, const struct smtp_content *content,
                                          int *out_fd);

/*
 * The trace, and the content without what is to be left out; with_own: with that of it that its
 * author may see. The content is taken from `content_fd` (smtp_handover_content's) unless it is -1.
 * The caller owns *out_fd.
 */
MUST_CHECK enum err smtp_handover(struct task *task, const struct smtp_delivery *delivery,
                                  int content_fd, bool with_own, int *out_fd);
/* How long such a message is. */
uint64_t smtp_handover_size(const struct smtp_delivery *delivery, bool with_own);

#endif
