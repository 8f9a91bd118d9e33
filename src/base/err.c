#include "base/err.h"

const char *err_name(enum err err)
{
    switch (err) {
    case ERR_OK:
        return "ok";
    case ERR_INVALID:
        return "invalid";
    case ERR_DENIED:
        return "denied";
    case ERR_NOT_FOUND:
        return "not found";
    case ERR_EXISTS:
        return "exists";
    case ERR_LIMIT:
        return "limit exceeded";
    case ERR_BUSY:
        return "busy";
    case ERR_IO:
        return "input/output error";
    case ERR_CORRUPT:
        return "corrupt";
    }
    return "unknown error";
}
