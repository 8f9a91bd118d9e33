/*
 * Reads of a database that the kernel does not have in memory: with the first page that is missing, its
 * neighbours are asked for. Of a b-tree pages are read in no order that the kernel could see ahead, yet
 * what was written together lies together; so a search in a cold file waits for some dozen reads of the
 * disk instead of hundreds. What is in memory is read as before.
 */
#ifndef SQLITE_READ_AROUND_H
#define SQLITE_READ_AROUND_H

#include <stdint.h>

/* How many reads of this process found something that was not in memory. */
uint64_t read_around_misses(void);

/* For all connections that are opened from now on, in this process and its children. */
void read_around_init(void);

#endif
