/* Tells the operator, once, that secrets of this process could go to swap. */
#ifndef ROLE_SWAP_H
#define ROLE_SWAP_H

#include "base/log.h"

#include <stdbool.h>

/* Cheap; to be called after more secrets were taken in. *has_warned is the caller's memory of it. */
void swap_warn_once(const struct log *log, bool *has_warned);

#endif
