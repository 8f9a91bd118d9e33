/*
 * What rspamd says of a message: its normal worker's HTTP protocol, POST /checkv2 (rspamd's
 * "Protocol" page). The reply is JSON:
 *
 *   {"is_skipped": false, "score": 5.2, "required_score": 15, "action": "add header",
 *    "symbols": {"NAME": {"name": "NAME", "score": 1.5, …}, …}, …}
 *
 * is_skipped says only that its rules were not gone through, be it that its settings say so (the
 * score is 0 then) or that GTUBE was enough.
 */
#ifndef SCANNER_RSPAMD_H
#define SCANNER_RSPAMD_H

#include "base/task.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    RSPAMD_REPLY_MAX = 1024 * 1024,
    RSPAMD_REFUSE = 15000, /* thousandths: where our score has rspamd's own threshold */
    RSPAMD_SCORE_LARGEST = 1000 * 1000,
    RSPAMD_SYMBOLS_NAMED = 8,
    RSPAMD_SYMBOL_MAX = 64,
    RSPAMD_HEADERS = 5,
};

struct rspamd_reply {
    int64_t score;      /* in thousandths, scaled so that its required_score is RSPAMD_REFUSE */
    struct str symbols; /* the weightiest: "NAME NAME"; in the task's arena */
};

/* ERR_INVALID: not such a reply. */
MUST_CHECK enum err rspamd_reply_parse(struct task *task, struct str body,
                                       struct rspamd_reply *out);

/* The header lines that tell of the envelope; `name` is the client's confirmed one. Texts in the
 * task's arena. */
size_t rspamd_headers(struct task *task, struct str client, struct str name, struct str helo,
                      struct str sender, struct str out[static RSPAMD_HEADERS]);

#endif
