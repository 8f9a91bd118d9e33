/*
 * The one error enumeration. A kind exists only if somebody acts on it; the words for the log are
 * kept in the task (base/task.h).
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

enum err {
    ERR_OK = 0,
    ERR_INVALID,   /* the peer's fault: malformed input or arguments */
    ERR_DENIED,    /* not allowed; also "no such user" wherever a peer must not learn which */
    ERR_NOT_FOUND, /* the named thing does not exist */
    ERR_EXISTS,    /* the named thing exists already */
    ERR_LIMIT,     /* a quota, size or count is exceeded */
    ERR_BUSY,      /* worth a retry soon */
    ERR_IO,        /* the disk, the kernel or another process failed; an operator must know */
    ERR_CORRUPT,   /* stored bytes are not what was written; an operator must know */
};

/* "not found" and so on; static storage. */
const char *err_name(enum err err);

#endif
