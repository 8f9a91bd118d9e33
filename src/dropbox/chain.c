#include "dropbox/chain.h"

#include "base/memory.h"

#include <string.h>

enum { PLACE_BYTES = DROPBOX_LANE_BYTES + 8 + 8 };

void chain_put_u64(unsigned char *out, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        out[i] = (unsigned char)(value >> (8 * i));
}

uint64_t chain_get_u64(const unsigned char *bytes)
{
    uint64_t value = 0;

    for (int i = 7; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

static void from_place(const struct chain_place *place, struct str label,
                       const struct secret *boot_key, struct secret *out)
{
    unsigned char data[PLACE_BYTES];

    memcpy(data, place->lane, DROPBOX_LANE_BYTES);
    chain_put_u64(data + DROPBOX_LANE_BYTES, place->generation);
    chain_put_u64(data + DROPBOX_LANE_BYTES + 8, place->boot);
    crypt_hash(secret_str(boot_key), label, str_make(data, sizeof(data)), secret_bytes(out));
}

static void from_number(const struct chain *chain, struct str label, struct secret *out)
{
    unsigned char data[8];

    chain_put_u64(data, chain->n);
    crypt_hash(secret_str(chain->key), label, str_make(data, sizeof(data)), secret_bytes(out));
}

void chain_start(struct chain *chain, const struct chain_place *place,
                 const struct secret *boot_key)
{
    chain_done(chain);
    chain->place = *place;
    chain->key = secret_new(CRYPT_KEY_BYTES);
    from_place(place, STR("chain"), boot_key, chain->key);
}

void chain_done(struct chain *chain)
{
    secret_free(&chain->key);
    *chain = (struct chain){0};
}

void chain_next_boot(const struct chain_place *place, const struct secret *boot_key,
                     struct secret *out)
{
    /* The hash has read its key before it writes its result. */
    from_place(place, STR("boot"), boot_key, out);
}

struct secret *chain_message_key(const struct chain *chain)
{
    struct secret *key = secret_new(CRYPT_KEY_BYTES);

    from_number(chain, STR("mk"), key);
    return key;
}

void chain_step(struct chain *chain)
{
    from_number(chain, STR("ck"), chain->key);
    chain->n++;
}

void chain_copy(struct chain *to, const struct chain *from)
{
    struct secret *key = from->key == NULL ? NULL : secret_copy(secret_str(from->key));

    chain_done(to);
    *to = *from;
    to->key = key;
}
