#include "secret/pass.h"

#include "base/encode.h"
#include "base/memory.h"

#include <string.h>

struct secret *pass_key(const struct secret *mailbox_key)
{
    return crypt_derive(mailbox_key, STR("session-pass"), STR(""));
}

/* The serial, and a keyed hash of session, service and serial. */
void pass_make(const struct secret *key, const struct id *session, uint64_t service,
               uint64_t serial, unsigned char out[static PASS_BYTES])
{
    unsigned char data[ID_TEXT_LEN + sizeof(service) + sizeof(serial)];

    memcpy(data, session->text, ID_TEXT_LEN);
    memcpy(data + ID_TEXT_LEN, &service, sizeof(service));
    memcpy(data + ID_TEXT_LEN + sizeof(service), &serial, sizeof(serial));
    memcpy(out, &serial, sizeof(serial));
    crypt_hash(secret_str(key), STR("session"), str_make(data, sizeof(data)),
               out + sizeof(serial));
}

void pass_key_check(const struct secret *mailbox_key, unsigned char out[static PASS_CHECK_BYTES])
{
    CLEANUP(secret_free) struct secret *key = crypt_derive(mailbox_key, STR("key-check"), STR(""));

    crypt_hash(secret_str(key), STR("check"), STR(""), out);
}

bool pass_is_valid(const struct secret *key, const struct id *session, uint64_t service,
                   uint64_t since, struct str pass)
{
    unsigned char expected[PASS_BYTES];
    uint64_t serial;

    if (pass.len != PASS_BYTES)
        return false;
    memcpy(&serial, pass.ptr, sizeof(serial));
    pass_make(key, session, service, serial, expected);
    return serial > since && secret_equal(str_make(expected, sizeof(expected)), pass);
}

enum err pass_seal(struct buf *out, const struct secret *key, struct str purpose,
                   struct str password)
{
    CLEANUP(secret_free)
    struct secret *sealing = crypt_derive(key, STR("sealed-password"), purpose);
    CLEANUP(buf_free) struct buf sealed;

    buf_init(&sealed, SIZE_MAX);
    TRY(crypt_seal(&sealed, secret_str(sealing), purpose, password));
    return encode_base64(out, buf_str(&sealed));
}

enum err pass_open(const struct secret *key, struct str purpose, struct str text,
                   struct secret **out_password)
{
    CLEANUP(secret_free)
    struct secret *sealing = crypt_derive(key, STR("sealed-password"), purpose);
    CLEANUP(buf_free) struct buf sealed;
    CLEANUP(buf_free) struct buf plain;

    buf_init(&sealed, SECRET_LEN_MAX);
    buf_init(&plain, SECRET_LEN_MAX);
    if (decode_base64(&sealed, text) != ERR_OK)
        return ERR_DENIED;
    TRY(crypt_open(&plain, secret_str(sealing), purpose, buf_str(&sealed)));
    if (plain.len == 0)
        return ERR_DENIED;
    *out_password = secret_copy(buf_str(&plain));
    mem_wipe(plain.ptr, plain.len);
    return ERR_OK;
}
