#include "base/random.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void random_bytes(void *out, size_t len)
{
    unsigned char *at = out;

    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            abort();
        at += got;
        len -= (size_t)got;
    }
}

uint32_t random_below(uint32_t bound)
{
    /* Values past the last whole multiple of `bound` would favour the small ones. */
    uint32_t unfair = UINT32_MAX - UINT32_MAX % bound;
    uint32_t value;

    do {
        random_bytes(&value, sizeof(value));
    } while (value >= unfair);
    return value % bound;
}
