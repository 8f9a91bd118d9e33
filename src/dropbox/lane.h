/*
 * The lane file at the sealer: <drop folder>/lanes/<lane as 32 hex digits>, two preallocated slots,
 * each {magic, generation, boot, boot key, X25519 public, checksum}. Not SQLite, whose log and free
 * pages keep old states. Never in a backup, snapshot or replica.
 *
 * A change is written so that at every moment one slot is whole, and afterwards only the new one
 * is there:
 *
 *   1. the other slot is written    a crash here: the old slot stands, or both (the higher wins)
 *   2. fdatasync                    both stand; the new one wins, its chain was never used
 *   3. the old slot is zeroed       the new one stands
 *   4. fdatasync                    from here on the disk cannot derive the old boot's chain
 */
#ifndef DROPBOX_LANE_H
#define DROPBOX_LANE_H

#include "base/task.h"
#include "dropbox/chain.h"

enum {
    LANE_SLOT_COUNT = 2,
    LANE_SLOT_STRIDE = 4096, /* a block each, so that writing one never touches the other */
    LANE_SLOT_BYTES = 120,
    LANE_FILE_BYTES = LANE_SLOT_COUNT * LANE_SLOT_STRIDE,
    LANE_NAME_ROOM = 2 * DROPBOX_LANE_BYTES + 1,
};

/* An open lane file and its newest valid slot. */
struct lane {
    int fd;                   /* own; -1: none */
    int slot;                 /* where the newest is; -1: no slot is valid */
    struct chain_place place; /* its generation and boot; zero where there is none */
    unsigned char public[CRYPT_X25519_BYTES];
    struct secret *boot_key; /* own; NULL where there is none */
};

/*
 * The first lane (by name) below <drop_folder>/lanes that has a valid slot; where none has one, the
 * first. ERR_NOT_FOUND when there is no lane: this mailbox does not exist, or its
 * drop folder was lost. ERR_IO.
 */
MUST_CHECK enum err lane_open(struct task *task, const char *drop_folder, struct lane *out);
/* Makes a lane of a random name with two empty slots, durably, and opens it. */
MUST_CHECK enum err lane_create(struct task *task, const char *drop_folder, struct lane *out);
void lane_close(struct lane *lane);

/*
 * Writes {generation, boot, boot key, public} durably and wipes what was there before: the four
 * steps above. On any error nothing that follows from the new slot may be used; open it again.
 */
MUST_CHECK enum err lane_write(struct lane *lane, struct task *task, uint64_t generation,
                               uint64_t boot, const struct secret *boot_key,
                               const unsigned char public[static CRYPT_X25519_BYTES]);
/*
 * The first message of a boot: starts the newest slot's chain, after the next boot's key took its
 * place on the disk and its own key was wiped there and here. ERR_CORRUPT without a valid slot: the owner must log in and renew it.
 */
MUST_CHECK enum err lane_take_boot(struct lane *lane, struct task *task, struct chain *out_chain);

/* One slot's bytes, for the reader's tests: false unless whole and of this lane. */
bool lane_slot_decode(const unsigned char bytes[static LANE_SLOT_BYTES],
                      const unsigned char name[static DROPBOX_LANE_BYTES], struct lane *out);

#endif
