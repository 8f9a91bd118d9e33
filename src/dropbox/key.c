#include "dropbox/key.h"

#include "secret/crypt.h"

#include <string.h>

struct secret *dropbox_key(const struct secret *root, const struct id *mailbox)
{
    struct secret *key = secret_new(MAILBOX_KEY_BYTES);
    unsigned char salt[CRYPT_HASH_BYTES];

    crypt_hash(secret_str(root), STR("drop-key"), id_str(mailbox), secret_bytes(key));
    /* A salt is no secret: it stands at the head of the file. */
    crypt_hash(secret_str(root), STR("drop-salt"), id_str(mailbox), salt);
    memcpy(secret_bytes(key) + CRYPT_KEY_BYTES, salt, MAILBOX_SALT_BYTES);
    return key;
}
