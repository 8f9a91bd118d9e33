/* Inside src/spam: one judgement under way, and what its parts share. */
#ifndef SPAM_SCAN_H
#define SPAM_SCAN_H

#include "spam/budget.h"
#include "spam/spam.h"
#include "spam/view.h"

struct spam_scan {
    struct task *task;
    const struct spam_request *request;
    struct spam_budget budget;
    struct spam_view view;
    struct spam_verdict *verdict;
};

/* Adds a reason by its row in the table of report.c, which has its score; once: a second time only
 * replaces a detail that was empty. `detail` may be any bytes; what is not printable ASCII is shown
 * as '?', and it is cut to SPAM_DETAIL_MAX. */
void scan_add(struct spam_scan *scan, const char *name, struct str detail);
/* The same with a score of its own. */
void scan_add_score(struct spam_scan *scan, const char *name, int64_t score, struct str detail);

void scan_rules(struct spam_scan *scan);       /* rules.c */
void scan_phishing(struct spam_scan *scan);    /* phishing.c */
void scan_attachments(struct spam_scan *scan); /* attachment.c */

/* script.c: how a word mixes alphabets. */
struct scan_words {
    size_t mixed;     /* words with letters of alphabets that no language mixes */
    size_t invisible; /* characters that are not seen */
    struct str first_mixed;
};
/* Linear; counts on. */
void scan_words_count(struct str utf8, struct scan_words *words);
/* A host name's label in UTF-8: all its letters look like ASCII ones, and one is none. */
bool scan_label_is_lookalike(struct str label);

#endif
