/* The identity of a mailbox, user, session …: 12 random bytes, written as 24 hex digits. */
#ifndef BASE_ID_H
#define BASE_ID_H

#include "base/str.h"

enum { ID_BYTES = 12, ID_TEXT_LEN = 24 };

struct id {
    char text[ID_TEXT_LEN + 1]; /* 24 lower-case hex digits and a NUL; all zero bytes: no id */
};

struct id id_random(void);
/* The id of these bytes: for one that is derived, from a digest say. */
struct id id_from_bytes(const unsigned char bytes[static ID_BYTES]);
/* False unless `text` is 24 lower-case hex digits: ids become path names, so nothing else passes. */
bool id_parse(struct str text, struct id *out_id);
bool id_equal(const struct id *a, const struct id *b);
bool id_is_set(const struct id *id);
struct str id_str(const struct id *id);

#endif
