#include "courier/asks.h"

#include "base/memory.h"

#include <search.h>
#include <stdlib.h>

struct asks_entry {
    uint64_t tag;
    enum wire_role peer;
    enum wire_type reply; /* the type that answers it: the one behind it in the table */
    asks_on_answer on_answer;
    void *owner; /* borrowed */
};

struct asks {
    void *by_tag; /* tsearch */
    size_t count;
    uint64_t last_tag;
    struct wire_channel *peers[WIRE_ROLE_COUNT]; /* borrowed */
};

static int compare(const void *a, const void *b)
{
    const struct asks_entry *left = a, *right = b;

    return left->tag < right->tag ? -1 : left->tag > right->tag;
}

struct asks *asks_new(void)
{
    return NEW(struct asks);
}

static void forget(struct asks *asks, struct asks_entry *entry)
{
    tdelete(entry, &asks->by_tag, compare);
    asks->count--;
    mem_free(&entry);
}

void asks_free(struct asks **asks)
{
    if (*asks == NULL)
        return;
    while ((*asks)->by_tag != NULL)
        forget(*asks, *(struct asks_entry **)(*asks)->by_tag);
    mem_free(asks);
}

struct lost {
    struct asks_entry **entries;
    size_t count;
    enum wire_role peer;
};

static void collect(const void *node, VISIT which, void *closure)
{
    struct asks_entry *entry = *(struct asks_entry *const *)node;
    struct lost *lost = closure;

    if ((which == postorder || which == leaf) && entry->peer == lost->peer)
        lost->entries[lost->count++] = entry;
}

void asks_set_peer(struct asks *asks, enum wire_role peer, struct wire_channel *channel)
{
    struct lost lost = {.entries = NEW_ARRAY(struct asks_entry *, asks->count + 1), .peer = peer};

    asks->peers[peer] = channel;
    twalk_r(asks->by_tag, collect, &lost);
    for (size_t i = 0; i < lost.count; i++) {
        struct asks_entry entry = *lost.entries[i];

        forget(asks, lost.entries[i]);
        entry.on_answer(entry.owner, NULL);
    }
    mem_free(&lost.entries);
}

struct asks_entry *asks_send(struct asks *asks, enum wire_role peer, enum wire_type type,
                             const void *body, int fd, asks_on_answer on_answer, void *owner)
{
    struct wire_channel *channel = asks->peers[peer];
    struct asks_entry *entry;

    if (channel == NULL ||
        wire_send(channel, type, asks->last_tag + 1, body, &fd, fd < 0 ? 0 : 1) != ERR_OK)
        return NULL;
    entry = NEW(struct asks_entry);
    *entry = (struct asks_entry){++asks->last_tag, peer, type + 1, on_answer, owner};
    if (tsearch(entry, &asks->by_tag, compare) == NULL)
        abort();
    asks->count++;
    return entry;
}

bool asks_answer(struct asks *asks, struct wire_message *message)
{
    struct asks_entry key = {.tag = message->tag};
    struct asks_entry *const *found = tfind(&key, &asks->by_tag, compare);
    struct asks_entry entry;

    if (found == NULL || (*found)->reply != message->type)
        return false;
    entry = **found;
    forget(asks, *found);
    entry.on_answer(entry.owner, message);
    return true;
}

void asks_cancel(struct asks *asks, struct asks_entry **entry)
{
    if (*entry != NULL)
        forget(asks, *entry);
    *entry = NULL;
}
