#include "sqlite/result.h"

#include <errno.h>
#include <stdlib.h>

enum err result_system(int system_errno, enum err otherwise)
{
    if (system_errno == ENOSPC || system_errno == EDQUOT || system_errno == EFBIG)
        return ERR_LIMIT;
    return otherwise;
}

enum err result_err(sqlite3 *handle, int code)
{
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_BUSY;
    case SQLITE_FULL:
    case SQLITE_TOOBIG:
        return ERR_LIMIT;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
        return ERR_CORRUPT;
    case SQLITE_CONSTRAINT:
        if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY ||
            code == SQLITE_CONSTRAINT_ROWID)
            return ERR_EXISTS;
        return ERR_INVALID;
    case SQLITE_CANTOPEN:
        if (sqlite3_system_errno(handle) == ENOENT)
            return ERR_NOT_FOUND;
        return result_system(sqlite3_system_errno(handle), ERR_IO);
    case SQLITE_IOERR:
        if (code == SQLITE_IOERR_CORRUPTFS || code == SQLITE_IOERR_DATA)
            return ERR_CORRUPT;
        return result_system(sqlite3_system_errno(handle), ERR_IO);
    case SQLITE_NOMEM:
        abort();
    default:
        return ERR_IO;
    }
}
