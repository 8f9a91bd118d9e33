#include "imap/room.h"

#include "imap/engine.h"

/* Several messages of the usual limit (50 MB) at a time; some thirty folders of the largest size of
 * which anything is remembered (facts.h); two such folders being put in order, or hundreds of small ones. */
static const uint64_t LIMITS[] = {
    [IMAP_ROOM_MESSAGES] = 256 * 1024 * 1024,
    [IMAP_ROOM_VIEWS] = 8 * 1024 * 1024,
    [IMAP_ROOM_ORDERS] = 512 * 1024,
};

void imap_room_init(struct imap_room *room)
{
    for (size_t i = 0; i < IMAP_ROOM_COUNT; i++) {
        room->used[i] = 0;
        room->limits[i] = LIMITS[i];
    }
}

void imap_room_note(struct imap_session *s, enum imap_room_kind kind, uint64_t amount)
{
    s->taken[kind] += amount;
    imap_group_room(s->group)->used[kind] += amount;
}

bool imap_room_take(struct imap_session *s, enum imap_room_kind kind, uint64_t amount)
{
    const struct imap_room *room = imap_group_room(s->group);
    bool is_alone = room->used[kind] == s->taken[kind];

    if (!is_alone &&
        (room->used[kind] >= room->limits[kind] || amount > room->limits[kind] - room->used[kind]))
        return false;
    imap_room_note(s, kind, amount);
    return true;
}

void imap_room_give_back(struct imap_session *s, enum imap_room_kind kind)
{
    if (s->taken[kind] == 0)
        return;
    imap_group_room(s->group)->used[kind] -= s->taken[kind];
    s->taken[kind] = 0;
}
