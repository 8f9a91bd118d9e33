/* What mirror.c and mirror_trial.c share. */
#ifndef BACKUP_MIRROR_INTERNAL_H
#define BACKUP_MIRROR_INTERNAL_H

#include "backup/mirror.h"

struct net_loop *mirrors_loop(const struct backup_mirrors *mirrors);
MUST_CHECK enum err mirrors_open(const struct backup_mirrors *mirrors, struct task *task,
                                 const struct backup_own *own, struct backup_destination **out);

#endif
