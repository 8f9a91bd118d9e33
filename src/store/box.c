#include "store/box.h"

#include <assert.h>

static const unsigned next_states[] = {
    [BOX_NEW] = BIT(BOX_RELEASING) | BIT(BOX_STARTING) | BIT(BOX_REMOVING),
    [BOX_RELEASING] = BIT(BOX_STARTING) | BIT(BOX_REMOVING),
    [BOX_STARTING] = BIT(BOX_LIVE) | BIT(BOX_ENDING),
    [BOX_LIVE] = BIT(BOX_ENDING),
    [BOX_ENDING] = BIT(BOX_RELEASING) | BIT(BOX_DORMANT) | BIT(BOX_REMOVING),
    [BOX_DORMANT] = BIT(BOX_RELEASING) | BIT(BOX_REMOVING),
    [BOX_REMOVING] = 0,
};

static const char *const state_names[] = {
    [BOX_NEW] = "new",           [BOX_RELEASING] = "releasing", [BOX_STARTING] = "starting",
    [BOX_LIVE] = "live",         [BOX_ENDING] = "ending",       [BOX_DORMANT] = "dormant",
    [BOX_REMOVING] = "removing",
};

void store_box_enter(struct store_box *box, enum box_state next, const struct log *log)
{
    assert(next_states[box->state] & BIT(next));
    log_debug(log, "%s -> %s mailbox=%s", state_names[box->state], state_names[next],
              box->id.text);
    box->state = next;
}

bool store_box_queue(struct store_box *box, struct store_request *request)
{
    if (box->waiting_count >= STORE_QUEUE_MAX)
        return false;
    request->next = NULL;
    if (box->last == NULL)
        box->first = request;
    else
        box->last->next = request;
    box->last = request;
    box->waiting_count++;
    return true;
}

struct store_request *store_box_next(struct store_box *box)
{
    struct store_request *request = box->first;

    if (request == NULL)
        return NULL;
    box->first = request->next;
    if (box->first == NULL)
        box->last = NULL;
    request->next = NULL;
    box->waiting_count--;
    return request;
}

bool store_box_awaits_process(const struct store_box *box)
{
    for (const struct store_request *request = box->first; request != NULL; request = request->next)
        if (request->type == WIRE_SESSION_OPEN || request->type == WIRE_JOB)
            return true;
    return false;
}
