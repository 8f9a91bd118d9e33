/* A message's way out of this process: into a sealed memfd, trace first, for the store. */
#ifndef SMTP_SERVER_HANDOVER_H
#define SMTP_SERVER_HANDOVER_H

#include "base/task.h"
#include "smtp/server/session.h"

/* The caller owns the descriptor. ERR_IO when there is no memory or descriptor for it now. */
MUST_CHECK enum err smtp_handover(struct task *task, const struct smtp_delivery *delivery,
                                  int *out_fd);

#endif
