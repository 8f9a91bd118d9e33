#include "mailbox/backup_peer.h"

void backup_peer_be_patient(struct backup_peer *peer)
{
    peer->looked_ms = peer->silent_ms = peer->put_ms = peer->all_ms = 0;
    peer->is_given_up = false;
}

void backup_peer_answered(struct backup_peer *peer, bool is_put, bool is_good, int64_t now_ms)
{
    peer->is_refusing = !is_good;
    if (is_good)
        peer->good_ms = now_ms;
    peer->silent_ms = 0;
    if (is_put)
        peer->put_ms = 0;
}

bool backup_peer_is_there(const struct backup_peer *peer, int64_t now_ms)
{
    return !peer->is_refusing && peer->good_ms != 0 &&
           now_ms - peer->good_ms < BACKUP_PEER_KNOWN_MS;
}

static int64_t time_for(uint64_t bytes)
{
    uint64_t seconds = bytes / BACKUP_PEER_BYTES_PER_S;

    return seconds >= BACKUP_PEER_MOST_MS / 1000 ? BACKUP_PEER_MOST_MS : (int64_t)seconds * 1000;
}

bool backup_peer_is_too_slow(struct backup_peer *peer, bool is_ours, uint64_t bytes, int64_t now_ms)
{
    int64_t since_ms = peer->looked_ms == 0 ? 0 : now_ms - peer->looked_ms;

    peer->looked_ms = now_ms;
    if (since_ms > BACKUP_PEER_LOOK_MS) /* somebody was there meanwhile, with a command or mail */
        since_ms = BACKUP_PEER_LOOK_MS;
    if (!is_ours) {
        peer->silent_ms += since_ms;
        peer->put_ms += since_ms;
        peer->all_ms += since_ms;
    }
    peer->is_given_up |= peer->silent_ms >= BACKUP_PEER_SILENT_MS ||
                         peer->put_ms >= BACKUP_PEER_SILENT_MS + time_for(bytes) ||
                         peer->all_ms >= BACKUP_PEER_MOST_MS;
    return peer->is_given_up;
}

bool backup_peer_should_be_asked(const struct backup_peer *peer)
{
    return peer->silent_ms >= BACKUP_PEER_ASK_MS;
}
