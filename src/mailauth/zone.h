/*
 * A DNS zone in memory, from JSON: {name: [[type, data…], …], …}. For `sealpost probe` and tests.
 *
 *   A, AAAA, PTR, CNAME   one or more addresses or names
 *   MX                    preference and name
 *   TXT                   the strings of one record, joined
 *   SPF                   as the published suites have it: where a name has no TXT entry, its SPF
 *                         entries are its TXT records; not so beside ["TXT", "NONE"], which is no
 * record TIMEOUT               alone: every type that the name has no entry of is not answered in
 * time; as the data of another type: that type is not
 *
 * Other types are read over. Aliases are followed. A name that is only the end of others exists.
 */
#ifndef MAILAUTH_ZONE_H
#define MAILAUTH_ZONE_H

#include "base/task.h"
#include "dns/source.h"

#include <jansson.h>

struct mailauth_zone {
    const json_t *names; /* borrowed */
};

/* ERR_INVALID: not of that form; the task's words say why. `json` outlives the zone. */
MUST_CHECK enum err mailauth_zone_init(struct task *task, const json_t *json,
                                       struct mailauth_zone *out);
struct dns_source mailauth_zone_source(struct mailauth_zone *zone);

#endif
