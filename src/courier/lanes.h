/*
 * Turns. A lane is a destination (a domain, a route's host, a webhook's server) with something
 * waiting for it; here is when its next is due and how much of it is under way. The lane that has
 * been due longest has the next turn and goes behind the others that are due, so that a destination
 * with a hundred thousand waiting messages delays nobody else. A lane that has all it may have
 * under way gets no turn until something of it ends.
 *
 * In memory, one small entry a destination; the queue itself is in courier/queue.h.
 */
#ifndef COURIER_LANES_H
#define COURIER_LANES_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct lanes;

/* `most_active`: how many attempts of one lane may be under way. */
struct lanes *lanes_new(unsigned most_active);
void lanes_free(struct lanes **lanes);
/* Each lane learns of it with its next change. */
void lanes_set_most(struct lanes *lanes, unsigned most_active);
/* Forgets all lanes, what is under way among it. */
void lanes_clear(struct lanes *lanes);

/* Something of it is due at `due_ms`: earlier than what was known, or no news. */
void lanes_wait(struct lanes *lanes, struct str lane, int64_t due_ms);
/* Its next is due then; INT64_MAX: never. */
void lanes_set_due(struct lanes *lanes, struct str lane, int64_t due_ms);
/* An attempt began, or ended. */
void lanes_begin(struct lanes *lanes, struct str lane);
void lanes_end(struct lanes *lanes, struct str lane);

/* Whose turn it is; false: nobody's. The view holds until the lane's next change. The lane's due
 * time becomes `now_ms`, that is behind all that were due; the caller sets what it really is. */
bool lanes_next(struct lanes *lanes, int64_t now_ms, struct str *out_lane);
/* When the first turn will be, lanes that are full left out; INT64_MAX: none is waited for. */
int64_t lanes_first_due(const struct lanes *lanes);
/* Lanes with anything waiting or under way. */
size_t lanes_count(const struct lanes *lanes);

#endif
