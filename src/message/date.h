/* Date: fields (RFC 5322 §3.3, §4.3), read leniently. */
#ifndef MESSAGE_DATE_H
#define MESSAGE_DATE_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * *out_ms is the moment in UTC, *out_day the calendar day as written, zone disregarded, in days
 * since 1970 (RFC 3501 §6.4.4 SENTON). False: no date to be seen in it.
 */
bool date_parse(struct str value, int64_t *out_ms, int64_t *out_day);

#endif
