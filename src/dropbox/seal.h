/*
 * One sealed record (docs/dropbox.md): header h, then the encrypted payload. Integers are
 * little-endian.
 *
 *   h, version 1:   version 1 ‖ length of h 2 ‖ lane 16 ‖ generation 8 ‖ boot 8 ‖ n 8 ‖
 *                   ephemeral public 32 ‖ nonce 24 ‖ day 4 ‖ padded size 8
 *   payload:        arrival ms 8 ‖ trace length 8 ‖ lengths of sender, recipient, folder, verdicts
 *                   4 each ‖ length of the message 8 ‖ these five ‖ zeros up to the padded size
 *
 * The version byte and the length leave room for a second key exchange beside X25519.
 */
#ifndef DROPBOX_SEAL_H
#define DROPBOX_SEAL_H

#include "dropbox/chain.h"
#include "dropbox/dropbox.h"

enum {
    SEAL_VERSION = 1,
    SEAL_HEADER_BYTES = 111,
    SEAL_PADDED_MIN = 1024,
    SEAL_TEXT_MAX = 64 * 1024,               /* sender, recipient, folder: each */
    SEAL_MESSAGE_MAX = 1024 * 1024 * 1024,   /* far over any configured limit */
};

struct seal_header {
    struct chain_place place;
    uint64_t n;
    unsigned char public[CRYPT_X25519_BYTES]; /* ephemeral */
    unsigned char nonce[CRYPT_NONCE_BYTES];
    uint32_t day; /* since 1970 */
    uint64_t padded_bytes;
};

/* The next of sixteen sizes between two powers of two at least 1 KiB: at most an eighth is added. */
uint64_t seal_padded_size(uint64_t size_bytes);

/*
 * Appends the record of `mail` at the chain's place. The chain is not stepped. ERR_INVALID when the
 * owner's public key is a point of small order (the lane file was tampered with), ERR_LIMIT.
 */
MUST_CHECK enum err seal_record(struct buf *out, struct task *task, const struct chain *chain,
                                const unsigned char owner_public[static CRYPT_X25519_BYTES],
                                const struct dropbox_mail *mail);

/* False unless `record` begins with a whole header and has exactly the length it announces. */
bool seal_header_parse(struct str record, struct seal_header *out);
void seal_header_write(const struct seal_header *header,
                       unsigned char out[static SEAL_HEADER_BYTES]);
/* Names a record: from a hash of its header, whose key and nonce occur once. */
struct id seal_record_id(struct str record);

/*
 * Decrypts a record whose place and n are the chain's. `storage` gets the payload, *out_mail are
 * views into it. ERR_DENIED when it is not as it was sealed, or for another key; ERR_INVALID when
 * what was sealed is no payload.
 */
MUST_CHECK enum err seal_open(struct str record, struct task *task, const struct chain *chain,
                              const struct secret *owner_secret, struct buf *storage,
                              struct dropbox_mail *out_mail);
/* The payload's reader by itself, for the fuzzer. */
MUST_CHECK enum err seal_payload_parse(struct str payload, struct dropbox_mail *out_mail);

#endif
