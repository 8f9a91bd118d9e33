#include "backup/manifest.h"

#include "base/clock.h"
#include "base/encode.h"

#include <assert.h>
#include <jansson.h>
#include <string.h>

enum { FIELDS_MAX = 1024 };

/* No mailbox comes near it, and it can be counted on from. Who has not the key that a manifest was
 * made with takes its numbers on trust. */
static const json_int_t NUMBER_MAX = INT64_C(1) << 62;

/* What the MAC is over: every field, in this order. */
static void put_fields(const struct manifest *manifest, struct buf *out)
{
    buf_putf(out, "%s %s %lld %llu ", manifest->mailbox.text,
             id_is_set(&manifest->generation) ? manifest->generation.text : "full",
             (long long)manifest->time_ms, (unsigned long long)manifest->size_bytes);
    if (manifest->digest_kind == HASHER_SHA256)
        buf_put(out, STR("sha256:"));
    if (encode_hex(out, str_make(manifest->digest, sizeof(manifest->digest))) != ERR_OK)
        buf_truncate(out, 0);
    buf_putf(out, " %llu %llu %llu %llu", (unsigned long long)manifest->epoch,
             (unsigned long long)manifest->change_counter, (unsigned long long)manifest->schema,
             (unsigned long long)manifest->commits);
}

static void make_mac(const struct manifest *manifest, const struct secret *key,
                     unsigned char out[CRYPT_HASH_BYTES])
{
    CLEANUP(buf_free) struct buf fields = {0};

    buf_init(&fields, FIELDS_MAX);
    put_fields(manifest, &fields);
    crypt_hash(secret_str(key), STR("sealpost manifest"), buf_str(&fields), out);
}

static void put_hex(struct buf *out, const unsigned char *bytes)
{
    if (encode_hex(out, str_make(bytes, CRYPT_HASH_BYTES)) != ERR_OK)
        buf_truncate(out, 0);
}

void manifest_write(const struct manifest *manifest, const struct secret *key, struct buf *out)
{
    unsigned char mac[CRYPT_HASH_BYTES];
    char time[CLOCK_ISO_ROOM];

    assert(manifest->digest_kind == HASHER_SHA256);
    make_mac(manifest, key, mac);
    clock_format_iso(manifest->time_ms, time);
    buf_putf(out, "{\"mailbox\": \"%s\", \"generation\": \"%s\", \"time\": \"%s\", \"size\": %llu, ",
             manifest->mailbox.text, manifest->generation.text, time,
             (unsigned long long)manifest->size_bytes);
    buf_putf(out, "\"epoch\": %llu, \"change_counter\": %llu, \"schema\": %llu, ",
             (unsigned long long)manifest->epoch, (unsigned long long)manifest->change_counter,
             (unsigned long long)manifest->schema);
    buf_putf(out, "\"commits\": %llu, \"verified\": %s, \"sha256\": \"",
             (unsigned long long)manifest->commits,
             id_is_set(&manifest->generation) ? "false" : "true");
    put_hex(out, manifest->digest);
    buf_putf(out, "\", \"mac\": \"");
    put_hex(out, mac);
    buf_putf(out, "\"}\n");
}

static struct str text_of(const json_t *root, const char *name)
{
    const json_t *value = json_object_get(root, name);

    return json_is_string(value) ? str_make(json_string_value(value), json_string_length(value))
                                 : STR("");
}

static bool number_of(const json_t *root, const char *name, uint64_t *out)
{
    const json_t *value = json_object_get(root, name);

    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        json_integer_value(value) > NUMBER_MAX)
        return false;
    *out = (uint64_t)json_integer_value(value);
    return true;
}

static bool hash_of(const json_t *root, const char *name, unsigned char out[CRYPT_HASH_BYTES])
{
    CLEANUP(buf_free) struct buf bytes = {0};

    buf_init(&bytes, CRYPT_HASH_BYTES);
    if (decode_hex(&bytes, text_of(root, name)) != ERR_OK || bytes.len != CRYPT_HASH_BYTES)
        return false;
    memcpy(out, bytes.ptr, CRYPT_HASH_BYTES);
    return true;
}

static bool digest_of(const json_t *root, struct manifest *out)
{
    bool is_old = json_object_get(root, "sha256") == NULL;

    out->digest_kind = is_old ? HASHER_BLAKE2B : HASHER_SHA256;
    return hash_of(root, is_old ? "digest" : "sha256", out->digest);
}

static bool read_fields(const json_t *root, struct manifest *out, unsigned char mac[CRYPT_HASH_BYTES])
{
    struct str generation = text_of(root, "generation");

    memset(out, 0, sizeof(*out));
    return id_parse(text_of(root, "mailbox"), &out->mailbox) &&
           (generation.len == 0 || id_parse(generation, &out->generation)) &&
           clock_parse_iso(text_of(root, "time"), &out->time_ms) &&
           number_of(root, "size", &out->size_bytes) && number_of(root, "epoch", &out->epoch) &&
           number_of(root, "change_counter", &out->change_counter) &&
           number_of(root, "schema", &out->schema) && number_of(root, "commits", &out->commits) &&
           digest_of(root, out) && hash_of(root, "mac", mac);
}

enum err manifest_read(struct task *task, struct str json, const struct secret *key,
                       struct manifest *out)
{
    unsigned char mac[CRYPT_HASH_BYTES], expected[CRYPT_HASH_BYTES];
    json_t *root = json.len > MANIFEST_BYTES_MAX ? NULL : json_loadb(json.ptr, json.len, 0, NULL);
    bool is_read = root != NULL && read_fields(root, out, mac);

    json_decref(root);
    if (!is_read)
        return fail(task, ERR_CORRUPT, "backup: its manifest makes no sense");
    if (key == NULL)
        return ERR_OK;
    make_mac(out, key, expected);
    if (!secret_equal(str_make(mac, sizeof(mac)), str_make(expected, sizeof(expected))))
        return fail(task, ERR_CORRUPT,
                    "backup: its manifest was altered, or made with another password's key");
    return ERR_OK;
}
