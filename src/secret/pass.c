#include "secret/pass.h"

#include <string.h>

struct secret *pass_key(const struct secret *mailbox_key)
{
    return crypt_derive(mailbox_key, STR("session-pass"), STR(""));
}

void pass_make(const struct secret *key, const struct id *session, uint64_t service,
               unsigned char out[static PASS_BYTES])
{
    unsigned char data[ID_TEXT_LEN + sizeof(service)];

    memcpy(data, session->text, ID_TEXT_LEN);
    memcpy(data + ID_TEXT_LEN, &service, sizeof(service));
    crypt_hash(secret_str(key), STR("session"), str_make(data, sizeof(data)), out);
}

void pass_key_check(const struct secret *mailbox_key, unsigned char out[static PASS_BYTES])
{
    CLEANUP(secret_free) struct secret *key = crypt_derive(mailbox_key, STR("key-check"), STR(""));

    crypt_hash(secret_str(key), STR("check"), STR(""), out);
}

bool pass_is_valid(const struct secret *key, const struct id *session, uint64_t service,
                   struct str pass)
{
    unsigned char expected[PASS_BYTES];

    pass_make(key, session, service, expected);
    return secret_equal(str_make(expected, sizeof(expected)), pass);
}
