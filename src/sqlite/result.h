/* What SQLite and the system say went wrong, as our errors: for sqlite/db.c, whose db_fail has the words. */
#ifndef SQLITE_RESULT_H
#define SQLITE_RESULT_H

#include "base/err.h"

#include <sqlite3.h>

/* ERR_LIMIT where there is no room for it, else `otherwise`. */
enum err result_system(int system_errno, enum err otherwise);
/* Of an extended result code. Aborts when it was memory. */
enum err result_err(sqlite3 *handle, int code);

#endif
