/*
 * The primitives against published vectors: RFC 7748, draft-irtf-cfrg-xchacha, BLAKE2's reference
 * values; and where there are none (our labels, 64,007 rounds), against Python's hashlib.
 */
#include "secret/crypt.h"

#include "base/encode.h"
#include "base/memory.h"
#include "base/random.h"
#include "secret/courier.h"
#include "secret/hasher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_hex(struct str bytes, const char *expected)
{
    struct buf hex;

    buf_init(&hex, SIZE_MAX);
    assert_int_equal(encode_hex(&hex, bytes), ERR_OK);
    assert_int_equal(hex.len, strlen(expected));
    assert_memory_equal(hex.ptr, expected, hex.len);
    buf_free(&hex);
}

static struct str from_hex(struct buf *buf, const char *hex)
{
    buf_init(buf, SIZE_MAX);
    assert_int_equal(decode_hex(buf, str_from_c(hex)), ERR_OK);
    return buf_str(buf);
}

static void counting(unsigned char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (unsigned char)i;
}

static void test_hash(void **state)
{
    (void)state;
    unsigned char out[CRYPT_HASH_BYTES], key[64], data[256];

    counting(key, sizeof(key));
    counting(data, sizeof(data));
    crypt_digest(STR(""), out);
    assert_hex(str_make(out, 32), "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    crypt_digest(STR("abc"), out);
    assert_hex(str_make(out, 32), "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");

    /* hashlib.blake2b(struct.pack('<Q', len(label)) + label + data, key=key, digest_size=32) */
    crypt_hash(STR(""), STR(""), STR(""), out);
    assert_hex(str_make(out, 32), "81e47a19e6b29b0a65b9591762ce5143ed30d0261e5d24a3201752506b20f15c");
    crypt_hash(str_make(key, 32), STR("mk"), STR("\7\0\0\0\0\0\0\0"), out);
    assert_hex(str_make(out, 32), "a51b9083f347293b4acbff43bd133b73054beae1088ec3e8ba3a5c4c3c2c875d");
    crypt_hash(str_make(key, 64), STR("chain"), str_make(data, 256), out);
    assert_hex(str_make(out, 32), "1cb655029dadf509cb056df0be7b37f38bc42c6a755bc3cf3fec51784b802a48");
}

/* In pieces, and asked in between, as at once. SHA-256: the examples of FIPS 180-4. */
static void test_hasher(void **state)
{
    (void)state;
    static const struct {
        enum hasher_kind kind;
        const char *empty, *abc;
    } rows[] = {
        {HASHER_SHA256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
         "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {HASHER_BLAKE2B, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8",
         "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"},
    };
    unsigned char out[CRYPT_HASH_BYTES];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct hasher *hasher = hasher_new(rows[i].kind);

        hasher_digest(hasher, out);
        assert_hex(str_make(out, 32), rows[i].empty);
        hasher_add(hasher, STR("ab"));
        hasher_digest(hasher, out);
        hasher_add(hasher, STR("c"));
        hasher_digest(hasher, out);
        assert_hex(str_make(out, 32), rows[i].abc);
        hasher_digest(hasher, out);
        assert_hex(str_make(out, 32), rows[i].abc);
        hasher_free(&hasher);
    }
    hasher_sha256(STR("abc"), out);
    assert_hex(str_make(out, 32), rows[0].abc);
}

/* draft-irtf-cfrg-xchacha-03, A.3.1. */
static void test_xchacha20_poly1305_vector(void **state)
{
    (void)state;
    struct buf key, nonce, associated, sealed, out, long_form;
    struct str plain = STR("Ladies and Gentlemen of the class of '99: If I could offer you only one "
                           "tip for the future, sunscreen would be it.");

    from_hex(&key, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
    from_hex(&nonce, "404142434445464748494a4b4c4d4e4f5051525354555657");
    from_hex(&associated, "50515253c0c1c2c3c4c5c6c7");
    from_hex(&sealed, "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4a"
                      "a6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b9"
                      "82c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812f615c68b13b52e"
                      "c0875924c1c7987947deafd8780acf49");
    buf_init(&out, SIZE_MAX);
    assert_int_equal(crypt_stream_seal(&out, buf_str(&key), buf_str(&nonce), buf_str(&associated),
                                       &plain, 1),
                     ERR_OK);
    assert_true(str_equal(buf_str(&out), buf_str(&sealed)));

    buf_init(&long_form, SIZE_MAX);
    buf_put(&long_form, buf_str(&nonce));
    buf_put(&long_form, buf_str(&sealed));
    buf_reset(&out);
    assert_int_equal(
        crypt_open(&out, buf_str(&key), buf_str(&associated), buf_str(&long_form)), ERR_OK);
    assert_true(str_equal(buf_str(&out), plain));
    buf_free(&key);
    buf_free(&nonce);
    buf_free(&associated);
    buf_free(&sealed);
    buf_free(&out);
    buf_free(&long_form);
}

/* RFC 7748 §5.2 and §6.1. */
static void test_x25519_vectors(void **state)
{
    (void)state;
    static const struct {
        const char *secret, *public, *shared;
    } rows[] = {
        {"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
         "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
         "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
        {"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
         "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
         "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"},
        {"77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
         "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
         "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"},
    };
    unsigned char out[32], again[32], public_a[32], public_b[32];
    struct secret *a, *b;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf secret, public;

        assert_int_equal(crypt_x25519_shared(from_hex(&secret, rows[i].secret),
                                             from_hex(&public, rows[i].public), out),
                         ERR_OK);
        assert_hex(str_make(out, 32), rows[i].shared);
        buf_free(&secret);
        buf_free(&public);
    }
    a = crypt_x25519_new(public_a);
    b = crypt_x25519_new(public_b);
    assert_int_equal(crypt_x25519_shared(secret_str(a), str_make(public_b, 32), out), ERR_OK);
    assert_int_equal(crypt_x25519_shared(secret_str(b), str_make(public_a, 32), again), ERR_OK);
    assert_memory_equal(out, again, 32);
    secret_free(&a);
    secret_free(&b);
}

/* RFC 7748 §6.1: points of small order give zero, which both sides must refuse. */
static void test_x25519_refuses_all_zero(void **state)
{
    (void)state;
    static const char *const small_order[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    };
    unsigned char out[32], public[32];
    struct secret *secret = crypt_x25519_new(public);

    for (size_t i = 0; i < ARRAY_LEN(small_order); i++) {
        struct buf point;

        assert_int_equal(crypt_x25519_shared(secret_str(secret), from_hex(&point, small_order[i]),
                                             out),
                         ERR_INVALID);
        buf_free(&point);
    }
    assert_int_equal(crypt_x25519_shared(secret_str(secret), STR("short"), out), ERR_INVALID);
    secret_free(&secret);
}

/* hashlib.pbkdf2_hmac('sha256', password, salt, 64007, 32) */
static void test_mailbox_key(void **state)
{
    (void)state;
    unsigned char salt[MAILBOX_SALT_BYTES];
    struct secret *key;

    counting(salt, sizeof(salt));
    key = crypt_mailbox_key(STR("password"), salt);
    assert_hex(secret_str(key), "223752a541d69bd21312fa07c041297433911e7229cfff9643727291444c3a08"
                                "000102030405060708090a0b0c0d0e0f");
    secret_free(&key);
    memset(salt, 0xff, sizeof(salt));
    key = crypt_mailbox_key(STR("x'00'\0\xff"), salt); /* any byte counts */
    assert_hex(secret_str(key), "b7e74c91f5ee46ac8899f4a52bd528e81bb8680032a191a8a91e9ae0a7c38545"
                                "ffffffffffffffffffffffffffffffff");
    secret_free(&key);
}

static void test_seal_opens_only_as_it_was(void **state)
{
    (void)state;
    unsigned char key[32];
    struct buf sealed, again, out;

    counting(key, sizeof(key));
    buf_init(&sealed, SIZE_MAX);
    buf_init(&again, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    assert_int_equal(crypt_seal(&sealed, str_make(key, 32), STR("slot 1"), STR("text")), ERR_OK);
    assert_int_equal(crypt_seal(&again, str_make(key, 32), STR("slot 1"), STR("text")), ERR_OK);
    assert_int_equal(sealed.len, 4 + CRYPT_SEAL_OVERHEAD);
    assert_false(str_equal(buf_str(&sealed), buf_str(&again))); /* another nonce */
    assert_int_equal(crypt_open(&out, str_make(key, 32), STR("slot 1"), buf_str(&sealed)), ERR_OK);
    assert_true(str_equal(buf_str(&out), STR("text")));
    buf_reset(&out);

    assert_int_equal(crypt_open(&out, str_make(key, 32), STR("slot 2"), buf_str(&sealed)),
                     ERR_DENIED);
    for (size_t i = 0; i < sealed.len; i++) {
        sealed.ptr[i] ^= 1;
        assert_int_equal(crypt_open(&out, str_make(key, 32), STR("slot 1"), buf_str(&sealed)),
                         ERR_DENIED);
        sealed.ptr[i] ^= 1;
        assert_int_equal(crypt_open(&out, str_make(key, 32), STR("slot 1"),
                                    str_upto(buf_str(&sealed), i)),
                         ERR_DENIED);
    }
    key[31] ^= 1;
    assert_int_equal(crypt_open(&out, str_make(key, 32), STR("slot 1"), buf_str(&sealed)),
                     ERR_DENIED);
    assert_int_equal(out.len, 0);
    buf_free(&sealed);
    buf_free(&again);
    buf_free(&out);
}

static void test_stream_round_trips(void **state)
{
    (void)state;
    static const size_t lens[] = {0,     1,      65535,  65536,  65537,
                                  65552, 131071, 131072, 131073, 1000000};
    unsigned char key[32], nonce[24];

    random_bytes(key, sizeof(key));
    random_bytes(nonce, sizeof(nonce));
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        struct str k = str_make(key, 32), v = str_make(nonce, 24), plain, parts[4];
        unsigned char *bytes = mem_new(lens[i], 1);
        struct buf sealed, out;

        random_bytes(bytes, lens[i]);
        plain = str_make(bytes, lens[i]);
        buf_init(&sealed, SIZE_MAX);
        buf_init(&out, SIZE_MAX);
        parts[0] = str_upto(plain, 7);
        parts[1] = str_upto(str_from(plain, 7), 65536 - 7);
        parts[2] = STR("");
        parts[3] = str_from(plain, 65536);
        assert_int_equal(crypt_stream_seal(&sealed, k, v, STR("h"), parts, 4), ERR_OK);
        assert_int_equal(sealed.len, crypt_stream_len(lens[i]));
        assert_int_equal(crypt_stream_open(&out, k, v, STR("h"), lens[i], buf_str(&sealed)),
                         ERR_OK);
        assert_true(str_equal(buf_str(&out), plain));
        buf_reset(&out);

        assert_int_equal(crypt_stream_open(&out, k, v, STR("g"), lens[i], buf_str(&sealed)),
                         ERR_DENIED);
        assert_int_equal(crypt_stream_open(&out, k, v, STR("h"), lens[i] + 1, buf_str(&sealed)),
                         ERR_DENIED);
        assert_int_equal(crypt_stream_open(&out, k, v, STR("h"), SIZE_MAX, buf_str(&sealed)),
                         ERR_DENIED);
        sealed.ptr[sealed.len - 1] ^= 1;
        assert_int_equal(crypt_stream_open(&out, k, v, STR("h"), lens[i], buf_str(&sealed)),
                         ERR_DENIED);
        sealed.ptr[sealed.len - 1] ^= 1;
        assert_int_equal(out.len, 0);
        buf_free(&out);
        buf_free(&sealed);
        mem_free(&bytes);
    }
}

/* Whole chunks cut off the end are noticed: the last one is marked. */
static void test_stream_cannot_be_shortened(void **state)
{
    (void)state;
    unsigned char key[32] = {1}, nonce[24] = {2};
    struct str k = str_make(key, 32), v = str_make(nonce, 24), plain;
    unsigned char *bytes = mem_new(4 * CRYPT_CHUNK_BYTES, 1);
    struct buf sealed, out;

    buf_init(&sealed, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    plain = str_make(bytes, 4 * CRYPT_CHUNK_BYTES);
    assert_int_equal(crypt_stream_seal(&sealed, k, v, STR(""), &plain, 1), ERR_OK);
    for (size_t chunks = 1; chunks < 4; chunks++) {
        size_t plain_len = chunks * CRYPT_CHUNK_BYTES;

        assert_int_equal(crypt_stream_open(&out, k, v, STR(""), plain_len,
                                           str_upto(buf_str(&sealed), crypt_stream_len(plain_len))),
                         ERR_DENIED);
    }
    buf_free(&sealed);
    buf_free(&out);
    mem_free(&bytes);
}

static void test_slot(void **state)
{
    (void)state;
    CLEANUP(secret_free) struct secret *key = secret_new(MAILBOX_KEY_BYTES);
    CLEANUP(secret_free) struct secret *opened = NULL;
    struct buf sealed;

    counting(secret_bytes(key), MAILBOX_KEY_BYTES);
    buf_init(&sealed, SIZE_MAX);
    assert_int_equal(crypt_slot_seal(&sealed, STR("pw"), STR("box 1"), key), ERR_OK);
    assert_int_equal(crypt_slot_open(buf_str(&sealed), STR("pw"), STR("box 2"), &opened),
                     ERR_DENIED);
    assert_int_equal(crypt_slot_open(buf_str(&sealed), STR("pW"), STR("box 1"), &opened),
                     ERR_DENIED);
    assert_int_equal(crypt_slot_open(buf_str(&sealed), STR(""), STR("box 1"), &opened), ERR_DENIED);
    assert_int_equal(crypt_slot_open(STR(""), STR("pw"), STR("box 1"), &opened), ERR_DENIED);
    assert_null(opened);
    assert_int_equal(crypt_slot_open(buf_str(&sealed), STR("pw"), STR("box 1"), &opened), ERR_OK);
    assert_true(secret_equal(secret_str(opened), secret_str(key)));
    buf_free(&sealed);
}

static void test_derive_separates_purposes(void **state)
{
    (void)state;
    struct secret *host_key = secret_new(32);
    struct secret *a = crypt_derive(host_key, STR("drop-root"), STR(""));
    struct secret *b = crypt_derive(host_key, STR("drop-roo"), STR("t"));
    struct secret *c = crypt_derive(host_key, STR("drop-root"), STR(""));

    assert_false(secret_equal(secret_str(a), secret_str(b)));
    assert_true(secret_equal(secret_str(a), secret_str(c)));
    secret_free(&host_key);
    secret_free(&a);
    secret_free(&b);
    secret_free(&c);
}

/* Both sides derive the same, and no two of them are one key. */
static void test_courier_keys(void **state)
{
    (void)state;
    struct secret *host_key = secret_new(32);
    struct secret *a = courier_key(host_key), *b = courier_key(host_key);
    struct secret *srs_a = courier_srs_key(a), *srs_b = courier_srs_key(b);

    assert_int_equal(secret_len(a), CRYPT_KEY_BYTES);
    assert_true(secret_equal(secret_str(a), secret_str(b)));
    assert_true(secret_equal(secret_str(srs_a), secret_str(srs_b)));
    assert_false(secret_equal(secret_str(a), secret_str(srs_a)));
    assert_false(secret_equal(secret_str(a), secret_str(host_key)));
    secret_free(&host_key);
    secret_free(&a);
    secret_free(&b);
    secret_free(&srs_a);
    secret_free(&srs_b);
}

/* Another key for a slot whose password is not there. Neither half of its means is enough. */
static void test_slot_without_its_password(void **state)
{
    (void)state;
    CLEANUP(secret_free) struct secret *key = secret_new(MAILBOX_KEY_BYTES);
    CLEANUP(secret_free) struct secret *secret = crypt_slot_x25519(STR("pw"), STR("box 1"));
    CLEANUP(secret_free) struct secret *wrapping = crypt_slot_wrapping(STR("pw"), STR("box 1"));
    CLEANUP(secret_free) struct secret *other = crypt_slot_wrapping(STR("pw"), STR("box 2"));
    CLEANUP(secret_free) struct secret *opened = NULL;
    unsigned char public_key[CRYPT_X25519_BYTES], small_order[CRYPT_X25519_BYTES] = {0};
    struct str public_text = str_make(public_key, sizeof(public_key));
    struct buf sealed, wrong;

    counting(secret_bytes(key), MAILBOX_KEY_BYTES);
    crypt_x25519_public(secret_str(secret), public_key);
    buf_init(&sealed, SIZE_MAX);
    buf_init(&wrong, SIZE_MAX);
    assert_int_equal(crypt_slot_seal_to(&sealed, public_text, wrapping, STR("box 1"), key), ERR_OK);
    assert_int_equal(sealed.len, MAILBOX_KEY_BYTES + CRYPT_SEAL_OVERHEAD + CRYPT_X25519_BYTES);
    assert_int_equal(crypt_slot_open_to(buf_str(&sealed), STR("pw"), STR("box 1"), &opened), ERR_OK);
    assert_true(secret_equal(secret_str(opened), secret_str(key)));
    secret_free(&opened);
    assert_int_equal(crypt_slot_open_to(buf_str(&sealed), STR("pW"), STR("box 1"), &opened),
                     ERR_DENIED);
    assert_int_equal(crypt_slot_open_to(buf_str(&sealed), STR("pw"), STR("box 2"), &opened),
                     ERR_DENIED);
    assert_int_equal(crypt_slot_open(buf_str(&sealed), STR("pw"), STR("box 1"), &opened),
                     ERR_DENIED);
    /* The right point, but another wrapping key. */
    assert_int_equal(crypt_slot_seal_to(&wrong, public_text, other, STR("box 1"), key), ERR_OK);
    assert_int_equal(crypt_slot_open_to(buf_str(&wrong), STR("pw"), STR("box 1"), &opened),
                     ERR_DENIED);
    for (size_t i = 0; i < sealed.len; i++) {
        sealed.ptr[i] ^= 1;
        assert_int_equal(crypt_slot_open_to(buf_str(&sealed), STR("pw"), STR("box 1"), &opened),
                         ERR_DENIED);
        sealed.ptr[i] ^= 1;
        assert_int_equal(crypt_slot_open_to(str_upto(buf_str(&sealed), i), STR("pw"),
                                            STR("box 1"), &opened),
                         ERR_DENIED);
    }
    assert_int_equal(crypt_slot_seal_to(&wrong, str_make(small_order, sizeof(small_order)),
                                        wrapping, STR("box 1"), key),
                     ERR_INVALID);
    assert_int_equal(crypt_slot_seal_to(&wrong, STR("short"), wrapping, STR("box 1"), key),
                     ERR_INVALID);
    buf_free(&sealed);
    buf_free(&wrong);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_hasher),
        cmocka_unit_test(test_xchacha20_poly1305_vector),
        cmocka_unit_test(test_x25519_vectors),
        cmocka_unit_test(test_x25519_refuses_all_zero),
        cmocka_unit_test(test_mailbox_key),
        cmocka_unit_test(test_seal_opens_only_as_it_was),
        cmocka_unit_test(test_stream_round_trips),
        cmocka_unit_test(test_stream_cannot_be_shortened),
        cmocka_unit_test(test_slot),
        cmocka_unit_test(test_slot_without_its_password),
        cmocka_unit_test(test_derive_separates_purposes),
        cmocka_unit_test(test_courier_keys),
    };

    secret_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
