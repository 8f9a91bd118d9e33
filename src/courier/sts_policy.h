/* What a domain says with MTA-STS (RFC 8461): its DNS record and its policy. All bytes are foreign.
 */
#ifndef COURIER_STS_POLICY_H
#define COURIER_STS_POLICY_H

#include "base/task.h"

#include <stdbool.h>

enum {
    COURIER_STS_TEXT_MAX = 64 * 1024, /* §3.3 */
    COURIER_STS_MX_MAX = 100,         /* further patterns are not looked at */
    COURIER_STS_AGE_MAX_S = 31557600, /* §3.2 */
    COURIER_STS_ID_MAX = 32,
};

enum courier_sts_mode { COURIER_STS_NONE, COURIER_STS_TESTING, COURIER_STS_ENFORCE };

struct courier_sts_policy {
    enum courier_sts_mode mode;
    uint64_t max_age_s;
    struct str *mx; /* in the arena; as written */
    size_t mx_count;
};

/* "v=STSv1; id=…;" (§3.1). False: it is none, or malformed. *out_id is a view of `text`. */
bool courier_sts_record_parse(struct str text, struct str *out_id);
/* §3.2. ERR_INVALID with words. Texts are in the arena. */
MUST_CHECK enum err courier_sts_policy_parse(struct task *task, struct arena *arena,
                                             struct str text, struct courier_sts_policy *out);
/* Is `host` one of those that the policy names (§4.1)? */
bool courier_sts_policy_has(const struct courier_sts_policy *policy, struct str host);

#endif
