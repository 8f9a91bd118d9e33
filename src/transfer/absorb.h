/*
 * A sink of the stream (stream.h): into the vault, in batches that are each one durable transaction
 * together with the memory of what they brought, so an import that was stopped goes on without loss
 * or doubling. Without I/O: bytes in, bytes out, in slices.
 *
 * What came from a source (another server's folder) is remembered as an annotation of the folder,
 * /private/vendor/sealpost/import/<hash of the source>: its UIDVALIDITY and the last UID taken.
 */
#ifndef TRANSFER_ABSORB_H
#define TRANSFER_ABSORB_H

#include "base/buf.h"
#include "transfer/transfer.h"

enum {
    /* What is committed together, and held in memory before. */
    TRANSFER_BATCH_MESSAGES = 64,
    TRANSFER_BATCH_BYTES = 1024 * 1024,
};

struct transfer_absorb_options {
    bool skips_duplicates; /* what a folder has already, byte for byte, is not stored again */
    struct str below;      /* folders go below this one; empty: where they were */
};

struct transfer_absorb;

/* The vault is borrowed. */
struct transfer_absorb *transfer_absorb_new(struct vault *vault,
                                            const struct transfer_absorb_options *options);
void transfer_absorb_free(struct transfer_absorb **absorb);

/* How much may be given to transfer_absorb_input now; 0: step first. */
size_t transfer_absorb_room(const struct transfer_absorb *absorb);
void transfer_absorb_input(struct transfer_absorb *absorb, struct str bytes);
/*
 * Works on what came: one batch, or about 10 ms of something else. *out_more: there is more to do
 * without further input. ERR_INVALID: the stream is none; ERR_LIMIT: over quota (what was committed
 * stays); others of the vault.
 */
MUST_CHECK enum err transfer_absorb_step(struct transfer_absorb *absorb, struct task *task,
                                         bool *out_more);
/* For the other end; taken with buf_consume. */
struct buf *transfer_absorb_output(struct transfer_absorb *absorb);
/* The end of the stream came, and all of it is on disk. */
bool transfer_absorb_is_done(const struct transfer_absorb *absorb);
void transfer_absorb_totals(const struct transfer_absorb *absorb, struct transfer_totals *out);
/* As the feeding end knows it; 0: it does not. */
uint64_t transfer_absorb_expected(const struct transfer_absorb *absorb);

#endif
