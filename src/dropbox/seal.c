#include "dropbox/seal.h"

#include "base/encode.h"
#include "base/memory.h"
#include "base/random.h"

#include <string.h>

enum { /* where the fields of h begin */
    AT_LENGTH = 1,
    AT_LANE = 3,
    AT_GENERATION = 19,
    AT_BOOT = 27,
    AT_N = 35,
    AT_PUBLIC = 43,
    AT_NONCE = 75,
    AT_DAY = 99,
    AT_PADDED = 103,
};
_Static_assert(AT_PADDED + 8 == SEAL_HEADER_BYTES, "header layout");

enum { /* and those of the payload's head */
    AT_ARRIVAL = 0,
    AT_TRACE_LEN = 8,
    AT_LENGTHS = 16,
    TEXT_COUNT = 4, /* sender, recipient, folder, verdicts */
    AT_MESSAGE_LEN = AT_LENGTHS + 4 * TEXT_COUNT,
    PAYLOAD_HEAD_BYTES = AT_MESSAGE_LEN + 8,
};

enum { DAY_MS = 24 * 60 * 60 * 1000 };

static void put_u32(unsigned char *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (unsigned char)(value >> (8 * i));
}

static uint32_t get_u32(const unsigned char *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

uint64_t seal_padded_size(uint64_t size_bytes)
{
    uint64_t power = SEAL_PADDED_MIN, step;

    if (size_bytes <= SEAL_PADDED_MIN)
        return SEAL_PADDED_MIN;
    while (power <= size_bytes / 2)
        power *= 2;
    step = power / 8;
    return (size_bytes + step - 1) / step * step;
}

void seal_header_write(const struct seal_header *header,
                       unsigned char out[static SEAL_HEADER_BYTES])
{
    out[0] = SEAL_VERSION;
    out[AT_LENGTH] = SEAL_HEADER_BYTES & 0xff;
    out[AT_LENGTH + 1] = SEAL_HEADER_BYTES >> 8;
    memcpy(out + AT_LANE, header->place.lane, DROPBOX_LANE_BYTES);
    chain_put_u64(out + AT_GENERATION, header->place.generation);
    chain_put_u64(out + AT_BOOT, header->place.boot);
    chain_put_u64(out + AT_N, header->n);
    memcpy(out + AT_PUBLIC, header->public, CRYPT_X25519_BYTES);
    memcpy(out + AT_NONCE, header->nonce, CRYPT_NONCE_BYTES);
    put_u32(out + AT_DAY, header->day);
    chain_put_u64(out + AT_PADDED, header->padded_bytes);
}

bool seal_header_parse(struct str record, struct seal_header *out)
{
    const unsigned char *bytes = (const unsigned char *)record.ptr;

    if (record.len < SEAL_HEADER_BYTES || bytes[0] != SEAL_VERSION ||
        bytes[AT_LENGTH] != SEAL_HEADER_BYTES || bytes[AT_LENGTH + 1] != 0)
        return false;
    memcpy(out->place.lane, bytes + AT_LANE, DROPBOX_LANE_BYTES);
    out->place.generation = chain_get_u64(bytes + AT_GENERATION);
    out->place.boot = chain_get_u64(bytes + AT_BOOT);
    out->n = chain_get_u64(bytes + AT_N);
    memcpy(out->public, bytes + AT_PUBLIC, CRYPT_X25519_BYTES);
    memcpy(out->nonce, bytes + AT_NONCE, CRYPT_NONCE_BYTES);
    out->day = get_u32(bytes + AT_DAY);
    out->padded_bytes = chain_get_u64(bytes + AT_PADDED);
    return out->padded_bytes <= record.len &&
           crypt_stream_len((size_t)out->padded_bytes) == record.len - SEAL_HEADER_BYTES;
}

struct id seal_record_id(struct str record)
{
    static const char hex_digits[] = "0123456789abcdef";
    unsigned char hash[CRYPT_HASH_BYTES];
    struct id id = {{0}};

    crypt_hash(STR(""), STR("record"), str_upto(record, SEAL_HEADER_BYTES), hash);
    for (size_t i = 0; i < ID_BYTES; i++) {
        id.text[2 * i] = hex_digits[hash[i] >> 4];
        id.text[2 * i + 1] = hex_digits[hash[i] & 15];
    }
    return id;
}

/* SK = H(MK_n, "seal", SS ‖ owner_public ‖ h). */
static struct secret *seal_key(const struct chain *chain, const unsigned char *shared,
                               const unsigned char *owner_public, struct str header)
{
    CLEANUP(secret_free) struct secret *message_key = chain_message_key(chain);
    CLEANUP(secret_free)
    struct secret *data = secret_new(2 * CRYPT_X25519_BYTES + SEAL_HEADER_BYTES);
    struct secret *key = secret_new(CRYPT_KEY_BYTES);
    unsigned char *at = secret_bytes(data);

    memcpy(at, shared, CRYPT_X25519_BYTES);
    memcpy(at + CRYPT_X25519_BYTES, owner_public, CRYPT_X25519_BYTES);
    memcpy(at + 2 * CRYPT_X25519_BYTES, header.ptr, SEAL_HEADER_BYTES);
    crypt_hash(secret_str(message_key), STR("seal"), secret_str(data), secret_bytes(key));
    return key;
}

/* The head, the texts, the message and its padding, as views. */
static uint64_t payload_parts(const struct dropbox_mail *mail,
                              unsigned char head[static PAYLOAD_HEAD_BYTES],
                              struct str parts[static TEXT_COUNT + 2])
{
    uint64_t size_bytes = 0;

    parts[0] = str_make(head, PAYLOAD_HEAD_BYTES);
    parts[1] = mail->sender;
    parts[2] = mail->recipient;
    parts[3] = mail->folder;
    parts[4] = STR(""); /* verdicts: those of today are header fields of the message */
    parts[5] = mail->raw;
    chain_put_u64(head + AT_ARRIVAL, (uint64_t)mail->received_ms);
    chain_put_u64(head + AT_TRACE_LEN, mail->trace_len);
    for (size_t i = 0; i < TEXT_COUNT; i++)
        put_u32(head + AT_LENGTHS + 4 * i, (uint32_t)parts[1 + i].len);
    chain_put_u64(head + AT_MESSAGE_LEN, mail->raw.len);
    for (size_t i = 0; i < TEXT_COUNT + 2; i++)
        size_bytes += parts[i].len;
    return size_bytes;
}

/* `parts` has room for one more: the padding. */
static enum err encrypt(struct buf *out, const struct secret *key, struct str nonce,
                        struct str header, struct str *parts, size_t part_count,
                        uint64_t padding_bytes)
{
    size_t before = out->len;
    char *zeros = mem_new((size_t)padding_bytes, 1);
    enum err err;

    parts[part_count] = str_make(zeros, (size_t)padding_bytes);
    err = buf_append(out, header);
    if (err == ERR_OK)
        err = crypt_stream_seal(out, secret_str(key), nonce, header, parts, part_count + 1);
    if (err != ERR_OK)
        buf_truncate(out, before);
    mem_free(&zeros);
    return err;
}

enum err seal_record(struct buf *out, struct task *task, const struct chain *chain,
                     const unsigned char owner_public[static CRYPT_X25519_BYTES],
                     const struct dropbox_mail *mail)
{
    CLEANUP(secret_free) struct secret *ephemeral = NULL;
    CLEANUP(secret_free) struct secret *shared = secret_new(CRYPT_X25519_BYTES);
    CLEANUP(secret_free) struct secret *key = NULL;
    unsigned char h[SEAL_HEADER_BYTES], head[PAYLOAD_HEAD_BYTES];
    struct seal_header header = {.place = chain->place, .n = chain->n};
    struct str parts[TEXT_COUNT + 3];
    uint64_t size_bytes;
    enum err err;

    if (mail->sender.len > SEAL_TEXT_MAX || mail->recipient.len > SEAL_TEXT_MAX ||
        mail->folder.len > SEAL_TEXT_MAX || mail->raw.len > SEAL_MESSAGE_MAX)
        return fail(task, ERR_LIMIT, "too large to be sealed");
    size_bytes = payload_parts(mail, head, parts);
    header.padded_bytes = seal_padded_size(size_bytes);
    header.day = (uint32_t)(task->now_ms < 0 ? 0 : task->now_ms / DAY_MS);
    random_bytes(header.nonce, sizeof(header.nonce));
    ephemeral = crypt_x25519_new(header.public);
    if (crypt_x25519_shared(secret_str(ephemeral), str_make(owner_public, CRYPT_X25519_BYTES),
                            secret_bytes(shared)) != ERR_OK)
        return fail(task, ERR_INVALID, "the lane's public key is of small order");
    seal_header_write(&header, h);
    key = seal_key(chain, secret_bytes(shared), owner_public, str_make(h, sizeof(h)));
    err = encrypt(out, key, str_make(header.nonce, sizeof(header.nonce)), str_make(h, sizeof(h)),
                  parts, TEXT_COUNT + 2, header.padded_bytes - size_bytes);
    mem_wipe(head, sizeof(head)); /* sizes and times of the mail */
    return err == ERR_OK ? ERR_OK : fail(task, err, "no room for a sealed record");
}

enum err seal_payload_parse(struct str payload, struct dropbox_mail *out_mail)
{
    const unsigned char *head = (const unsigned char *)payload.ptr;
    struct str texts[TEXT_COUNT], rest;
    struct dropbox_mail mail = {0};
    uint64_t message_len;

    if (payload.len < PAYLOAD_HEAD_BYTES)
        return ERR_INVALID;
    rest = str_from(payload, PAYLOAD_HEAD_BYTES);
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        uint32_t len = get_u32(head + AT_LENGTHS + 4 * i);

        if (len > SEAL_TEXT_MAX || len > rest.len)
            return ERR_INVALID;
        texts[i] = str_upto(rest, len);
        rest = str_from(rest, len);
    }
    message_len = chain_get_u64(head + AT_MESSAGE_LEN);
    if (message_len > rest.len)
        return ERR_INVALID;
    mail.received_ms = (int64_t)chain_get_u64(head + AT_ARRIVAL);
    mail.trace_len = chain_get_u64(head + AT_TRACE_LEN);
    mail.sender = texts[0];
    mail.recipient = texts[1];
    mail.folder = texts[2];
    mail.raw = str_upto(rest, (size_t)message_len);
    if (mail.trace_len > message_len)
        return ERR_INVALID;
    *out_mail = mail;
    return ERR_OK;
}

enum err seal_open(struct str record, struct task *task, const struct chain *chain,
                   const struct secret *owner_secret, struct buf *storage,
                   struct dropbox_mail *out_mail)
{
    CLEANUP(secret_free) struct secret *shared = secret_new(CRYPT_X25519_BYTES);
    CLEANUP(secret_free) struct secret *key = NULL;
    unsigned char owner_public[CRYPT_X25519_BYTES];
    struct str h = str_upto(record, SEAL_HEADER_BYTES);
    struct seal_header header;
    enum err err;

    if (!seal_header_parse(record, &header))
        return fail(task, ERR_DENIED, "not a record of a known version");
    if (memcmp(header.place.lane, chain->place.lane, DROPBOX_LANE_BYTES) != 0 ||
        header.place.generation != chain->place.generation ||
        header.place.boot != chain->place.boot || header.n != chain->n)
        return fail(task, ERR_DENIED, "a record of another place");
    if (crypt_x25519_shared(secret_str(owner_secret), str_make(header.public, CRYPT_X25519_BYTES),
                            secret_bytes(shared)) != ERR_OK)
        return fail(task, ERR_DENIED, "its public key is of small order");
    crypt_x25519_public(secret_str(owner_secret), owner_public);
    key = seal_key(chain, secret_bytes(shared), owner_public, h);
    err = crypt_stream_open(storage, secret_str(key),
                            str_make(header.nonce, sizeof(header.nonce)), h,
                            (size_t)header.padded_bytes, str_from(record, SEAL_HEADER_BYTES));
    if (err != ERR_OK)
        return fail(task, err, "it does not authenticate");
    err = seal_payload_parse(buf_str(storage), out_mail);
    return err == ERR_OK ? ERR_OK : fail(task, err, "what was sealed is no payload");
}
