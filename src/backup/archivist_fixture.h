/*
 * An archivist whose store, keeper and sealer the test plays, over real channels, and whose
 * destination is a real directory that can be slow to begin, or silent.
 */
#ifndef BACKUP_ARCHIVIST_FIXTURE_H
#define BACKUP_ARCHIVIST_FIXTURE_H

#include "backup/archivist.h"
#include "backup/fixture.h"

enum { FIXTURE_HELD_MAX = 8 };

struct held; /* a put */

/* A destination whose puts begin when they are let go. */
struct holding {
    struct backup_destination base;
    struct backup_destination *inner; /* own */
    struct net_loop *loop;
    bool is_holding, is_silent; /* is_silent: lists are not answered */
    unsigned abandoned;         /* calls */
    enum err abandon_err;       /* of the next one */
    int64_t lost_put_ms;
    struct held *held[FIXTURE_HELD_MAX];
    size_t count;
};

struct peer {
    struct wire_channel *far, *near; /* own */
    size_t answers;
    uint64_t status;
    char words[256], json[8192];
    bool is_last, has_fd;
    uint64_t size_bytes;
};

struct archivist_fixture {
    struct backup_fixture direct; /* the same directory, without an archivist */
    struct archivist *archivist;
    struct holding *holding; /* the archivist's destination, unless it has none */
    struct peer store, keeper, sealer;
    struct id mailbox;
    char root[FIXTURE_ROOT_ROOM];
};

struct archivist_fixture *fixture_begin(bool has_destination);
void fixture_end(struct archivist_fixture *s);

/* From now on puts begin at once, those that were held back first. */
void fixture_let_them_go(struct holding *holding);
/* Until the peer has so many answers. */
void fixture_wait_for(struct archivist_fixture *s, const struct peer *peer, size_t answers);
/* Without waiting for the answer. */
void fixture_send_put(struct peer *from, const struct id *mailbox, const char *name,
                      struct str bytes);
/* An order and its answer's status; what else the answer says is in the peer. */
enum wire_status fixture_order_put(struct archivist_fixture *s, struct peer *from,
                                   const struct id *mailbox, const char *name, struct str bytes);
enum wire_status fixture_order_get(struct archivist_fixture *s, struct peer *from,
                                   const struct id *mailbox, const char *name);
enum wire_status fixture_order_list(struct archivist_fixture *s, struct peer *from,
                                    const struct id *mailbox, const char *prefix,
                                    const char *after);

#endif
