/* Inside src/spam: the table of reasons. */
#ifndef SPAM_REASONS_H
#define SPAM_REASONS_H

#include "spam/spam.h"

enum { SPAM_DETAIL_MAX = 100 };

struct spam_reason_row {
    const char *name;
    int64_t score; /* thousandths; 0: depends */
    bool is_hard;  /* spam_status.is_hard */
    const char *words;
};

/* NULL: there is none of that name. */
const struct spam_reason_row *spam_reason_row(struct str name);
size_t spam_reason_count(void);
const struct spam_reason_row *spam_reason_at(size_t index);

#endif
