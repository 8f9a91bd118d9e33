/*
 * Foreign bytes as a record, a lane slot and a payload: none crashes, none opens, and what parses
 * is written the same again.
 */
#include "dropbox/lane.h"
#include "dropbox/seal.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* Keys that no input knows; the place is the input's, so that it gets as far as decryption. */
static void try_to_open(struct str record, const struct seal_header *header)
{
    static struct secret *boot_key, *owner;
    struct chain chain = {.key = NULL};
    struct dropbox_mail mail;
    struct buf storage;
    struct task task;

    if (boot_key == NULL) {
        unsigned char public[CRYPT_X25519_BYTES];

        secret_init();
        owner = crypt_x25519_new(public);
        boot_key = secret_copy(secret_str(owner));
    }
    task_init(&task, 0);
    buf_init(&storage, SIZE_MAX);
    chain_start(&chain, &header->place, boot_key);
    chain.n = header->n;
    must(seal_open(record, &task, &chain, owner, &storage, &mail) == ERR_DENIED);
    must(storage.len == 0);
    chain_done(&chain);
    buf_free(&storage);
    task_done(&task);
}

static void try_slot(const uint8_t *data, size_t size)
{
    struct lane lane = {.fd = -1};

    /* The name is the input's too; it takes BLAKE2b to make a checksum that fits. */
    if (size < LANE_SLOT_BYTES + DROPBOX_LANE_BYTES)
        return;
    (void)lane_slot_decode(data, data + LANE_SLOT_BYTES, &lane);
    lane_close(&lane);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = str_make(data, size);
    unsigned char again[SEAL_HEADER_BYTES];
    struct seal_header header;
    struct dropbox_mail mail;

    if (seal_header_parse(bytes, &header)) {
        seal_header_write(&header, again);
        must(memcmp(again, data, sizeof(again)) == 0);
        try_to_open(bytes, &header);
    }
    (void)seal_record_id(bytes);
    if (seal_payload_parse(bytes, &mail) == ERR_OK) {
        must(mail.trace_len <= mail.raw.len && mail.raw.len <= size);
        must(mail.raw.ptr >= bytes.ptr && mail.raw.ptr + mail.raw.len <= bytes.ptr + size);
    }
    try_slot(data, size);
    return 0;
}
