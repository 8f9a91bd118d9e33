/*
 * Lists of tags, "v=1; a=rsa-sha256; …" (RFC 6376 §3.2): signatures, keys and DMARC records.
 */
#ifndef MAILAUTH_TAGS_H
#define MAILAUTH_TAGS_H

#include "base/arena.h"
#include "base/str.h"

#include <stdbool.h>

enum { MAILAUTH_TAGS_MAX = 64 };

struct mailauth_tag {
    struct str name;
    struct str value; /* trimmed; white space within is as it was */
};

struct mailauth_tags {
    struct mailauth_tag tags[MAILAUTH_TAGS_MAX]; /* views of the text */
    size_t count;
};

/*
 * False: not a list, a name twice, or more than MAILAUTH_TAGS_MAX. `is_lax` reads over empty
 * entries and what is no tag, as readers of DMARC records do.
 */
bool mailauth_tags_parse(struct str text, bool is_lax, struct mailauth_tags *out);

/* The value, ptr NULL when there is none such. Names compare exactly (RFC 6376 §3.2). */
struct str mailauth_tag(const struct mailauth_tags *tags, struct str name);

/* Without any white space; a view, or in the arena. */
struct str mailauth_squeeze(struct arena *arena, struct str value);
/* base64 with white space anywhere, padding or not, decoded in the arena. False: it is none. */
bool mailauth_base64(struct arena *arena, struct str value, struct str *out);

/* Is `word` one of the entries of a list that `separator` divides? Case does not count. */
bool mailauth_list_has(struct str list, char separator, struct str word);

#endif
