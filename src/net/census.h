/*
 * How many connections each client has, over all processes of a role on this host; for limits. A
 * client is what ip_client_key makes of its address.
 *
 * The processes share a piece of memory in which each has a row of counters that it alone writes;
 * a client's connections are the sum over the rows. A client has two counters in a row, found by
 * keyed hashes, and the smaller of the two sums counts (a count-min sketch): never less than there
 * are, more only where others share both places. So memory is fixed, and nothing is locked.
 */
#ifndef NET_CENSUS_H
#define NET_CENSUS_H

#include "base/str.h"
#include "base/task.h"

enum { NET_CENSUS_PROCESSES_MAX = 32 };

struct net_census;

/* The shared memory, empty: master makes it, each process of the role gets it. */
MUST_CHECK enum err net_census_make(struct task *task, int *out_fd);
/* A process died: its connections did, too. */
MUST_CHECK enum err net_census_forget(struct task *task, int fd, unsigned index);

/* The process of this index counts. `fd` is borrowed for the call; -1: it counts by itself. */
MUST_CHECK enum err net_census_open(struct task *task, int fd, unsigned index,
                                    struct net_census **out);
void net_census_close(struct net_census **census);
/* Counts one more of `address`; gives how many there are now. */
size_t net_census_add(struct net_census *census, struct str address);
/* One less; the address was added before, by this process. */
void net_census_remove(struct net_census *census, struct str address);
size_t net_census_count(const struct net_census *census, struct str address);

#endif
