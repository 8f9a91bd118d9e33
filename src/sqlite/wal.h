/*
 * The write-ahead log's file, with fewer calls: SQLite writes each frame of a commit with two (its
 * header, its page); here they are held and written with one, which ends with the frame that
 * commits. That call's error is the one SQLite gets, before it takes the commit as done.
 *
 * Held is only what continues the log and is not committed yet. Whatever else is asked of the file
 * (reading, syncing, its size) writes first what is held, so nobody can tell the difference.
 */
#ifndef SQLITE_WAL_H
#define SQLITE_WAL_H

#include <sqlite3.h>

struct wal_file;

/* Takes the file's methods over until SQLite closes it. NULL: it is not a log that is open. */
struct wal_file *wal_file_new(sqlite3_file *file);
/* After SQLite closed the file. */
void wal_file_free(struct wal_file **wal);

#endif
