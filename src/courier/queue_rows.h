/* What the files of the queue share: queue.c, recipient.c, memory.c. */
#ifndef COURIER_QUEUE_ROWS_H
#define COURIER_QUEUE_ROWS_H

#include "base/clock.h"
#include "courier/queue.h"
#include "sqlite/db.h"

struct queue {
    struct db *db;              /* own; NULL: could not be opened again */
    char *path;                 /* own */
    struct secret *root;        /* own */
    struct secret *content_key; /* own */
};

/* ISO 8601, as all times are stored: they compare as text. */
struct queue_time {
    char text[CLOCK_ISO_ROOM];
};
struct str queue_time(int64_t ms, struct queue_time *room);
MUST_CHECK enum err queue_column_time(struct task *task, sqlite3_stmt *statement, int column,
                                      int64_t *out_ms);
struct str queue_column_text(struct task *task, sqlite3_stmt *statement, int column);
uint64_t queue_column_size(sqlite3_stmt *statement, int column);

#endif
