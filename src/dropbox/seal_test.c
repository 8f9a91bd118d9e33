/*
 * Records: the derivations against vectors.txt (made by tests/dropbox/opener.py, another hand's
 * implementation), round trips, and that nothing opens which is not as it was sealed.
 */
#include "dropbox/seal.h"

#include "base/encode.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "dropbox/key.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct buf vectors_file;

/* The value of a line `name hex`. The caller frees it. */
static struct buf vector(const char *name)
{
    struct str rest = buf_str(&vectors_file), line;
    struct buf value;

    buf_init(&value, SIZE_MAX);
    while (str_split(&rest, '\n', &line)) {
        struct str key;

        if (str_split(&line, ' ', &key) && str_equal(key, str_from_c(name))) {
            assert_int_equal(decode_hex(&value, line), ERR_OK);
            return value;
        }
    }
    fail_msg("no vector %s", name);
    return value;
}

static struct secret *secret_vector(const char *name)
{
    struct buf value = vector(name);
    struct secret *secret = secret_copy(buf_str(&value));

    buf_free(&value);
    return secret;
}

static void assert_vector(const char *name, struct str got)
{
    struct buf value = vector(name);

    if (!str_equal(buf_str(&value), got))
        fail_msg("%s differs", name);
    buf_free(&value);
}

static struct chain_place place_of_vectors(uint64_t boot)
{
    struct chain_place place = {.generation = 7, .boot = boot};
    struct buf lane = vector("lane");

    memcpy(place.lane, lane.ptr, DROPBOX_LANE_BYTES);
    buf_free(&lane);
    return place;
}

static void test_chain_vectors(void **state)
{
    (void)state;
    struct secret *boot_key = secret_vector("boot_key_1"), *next = secret_new(CRYPT_KEY_BYTES);
    struct chain_place place = place_of_vectors(1);
    struct chain chain = {.key = NULL};
    struct secret *message_key;

    chain_next_boot(&place, boot_key, next);
    assert_vector("boot_key_2", secret_str(next));
    place.boot = 2;
    chain_start(&chain, &place, next);
    assert_vector("ck_0", secret_str(chain.key));
    chain_next_boot(&place, next, next);
    assert_vector("boot_key_3", secret_str(next));
    message_key = chain_message_key(&chain);
    assert_vector("mk_0", secret_str(message_key));
    secret_free(&message_key);
    chain_step(&chain);
    assert_vector("ck_1", secret_str(chain.key));
    message_key = chain_message_key(&chain);
    assert_vector("mk_1", secret_str(message_key));
    secret_free(&message_key);
    secret_free(&next);
    secret_free(&boot_key);
    chain_done(&chain);
}

/* What opener.py sealed, at boot 2 and n 1, opens here. */
static void test_record_vector(void **state)
{
    (void)state;
    struct secret *boot_key = secret_vector("boot_key_2"), *owner = secret_vector("owner_secret");
    struct buf record = vector("record"), message = vector("message"), storage;
    struct chain_place place = place_of_vectors(2);
    struct chain chain = {.key = NULL};
    unsigned char public[CRYPT_X25519_BYTES], h[SEAL_HEADER_BYTES];
    struct seal_header header;
    struct dropbox_mail mail;
    struct task task;

    task_init(&task, 0);
    buf_init(&storage, SIZE_MAX);
    crypt_x25519_public(secret_str(owner), public);
    assert_vector("owner_public", str_make(public, sizeof(public)));
    assert_true(seal_header_parse(buf_str(&record), &header));
    seal_header_write(&header, h);
    assert_vector("header", str_make(h, sizeof(h)));
    assert_vector("ephemeral_public", str_make(header.public, sizeof(header.public)));
    assert_true(header.day == 20779 && header.padded_bytes == 1024);

    chain_start(&chain, &place, boot_key);
    chain_step(&chain);
    assert_int_equal(seal_open(buf_str(&record), &task, &chain, owner, &storage, &mail), ERR_OK);
    assert_true(str_equal(mail.raw, buf_str(&message)));
    assert_true(str_equal(mail.sender, STR("a@example.org")));
    assert_true(str_equal(mail.recipient, STR("b@demo.test")));
    assert_true(str_equal(mail.folder, STR("Junk")));
    assert_true(mail.received_ms == 1795322096789 && mail.trace_len == 17);
    buf_free(&storage);
    buf_free(&record);
    buf_free(&message);
    chain_done(&chain);
    secret_free(&boot_key);
    secret_free(&owner);
    task_done(&task);
}

static void test_drop_key_vector(void **state)
{
    (void)state;
    struct secret *root = secret_vector("drop_root"), *key;
    struct id mailbox;

    assert_true(id_parse(STR("0123456789abcdef01234567"), &mailbox));
    key = dropbox_key(root, &mailbox);
    assert_vector("drop_key", secret_str(key));
    secret_free(&key);
    secret_free(&root);
}

static void test_padding(void **state)
{
    (void)state;
    static const struct {
        uint64_t size, padded;
    } rows[] = {
        {0, 1024},       {1, 1024},         {1024, 1024},       {1025, 1152},
        {1152, 1152},    {1153, 1280},      {2047, 2048},       {2048, 2048},
        {2049, 2304},    {65536, 65536},    {65537, 73728},     {1000000, 1048576},
        {1048576, 1048576}, {1048577, 1179648}, {52428800, 54525952},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_true(seal_padded_size(rows[i].size) == rows[i].padded);
    for (uint64_t size = 1024; size < 100000; size += 7)
        assert_true(seal_padded_size(size) >= size && seal_padded_size(size) <= size + size / 8);
}

struct pair {
    struct chain chain;
    struct secret *owner;
    unsigned char public[CRYPT_X25519_BYTES];
    struct task task;
};

static void pair_init(struct pair *pair)
{
    struct secret *boot_key = secret_new(CRYPT_KEY_BYTES);
    struct chain_place place = {.generation = 3, .boot = 1};

    memset(pair, 0, sizeof(*pair));
    random_bytes(secret_bytes(boot_key), CRYPT_KEY_BYTES);
    random_bytes(place.lane, sizeof(place.lane));
    chain_start(&pair->chain, &place, boot_key);
    pair->owner = crypt_x25519_new(pair->public);
    task_init(&pair->task, 1795322096789);
    secret_free(&boot_key);
}

static void pair_done(struct pair *pair)
{
    chain_done(&pair->chain);
    secret_free(&pair->owner);
    task_done(&pair->task);
}

static void test_round_trips(void **state)
{
    (void)state;
    static const size_t lens[] = {0, 1, 900, 5000, 60000, 65000, 65536, 70000, 1000000};
    struct pair pair;

    pair_init(&pair);
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        unsigned char *raw = mem_new(lens[i], 1);
        struct dropbox_mail mail = {.sender = STR("s"), .recipient = STR("rcpt"),
                                    .received_ms = -1, .trace_len = lens[i] / 2}, out;
        struct buf record, storage;

        random_bytes(raw, lens[i]);
        mail.raw = str_make(raw, lens[i]);
        buf_init(&record, SIZE_MAX);
        buf_init(&storage, SIZE_MAX);
        assert_int_equal(seal_record(&record, &pair.task, &pair.chain, pair.public, &mail), ERR_OK);
        assert_true(str_find(buf_str(&record), STR("rcpt")) < 0);
        assert_int_equal(seal_open(buf_str(&record), &pair.task, &pair.chain, pair.owner, &storage,
                                   &out),
                         ERR_OK);
        assert_true(str_equal(out.raw, mail.raw) && str_equal(out.sender, mail.sender));
        assert_true(str_equal(out.recipient, mail.recipient) && out.folder.len == 0);
        assert_true(out.received_ms == -1 && out.trace_len == mail.trace_len);
        chain_step(&pair.chain);
        buf_reset(&storage); /* the next message's key does not open this one */
        assert_int_equal(seal_open(buf_str(&record), &pair.task, &pair.chain, pair.owner, &storage,
                                   &out),
                         ERR_DENIED);
        task_forgive(&pair.task);
        buf_free(&record);
        buf_free(&storage);
        mem_free(&raw);
    }
    pair_done(&pair);
}

/* No bit of a record may be another: header, text, tag or length. */
static void test_a_changed_record_does_not_open(void **state)
{
    (void)state;
    struct dropbox_mail mail = {.sender = STR("s"), .recipient = STR("r"), .raw = STR("text")}, out;
    struct secret *other_owner;
    unsigned char other_public[CRYPT_X25519_BYTES];
    struct buf record, storage;
    struct pair pair;

    pair_init(&pair);
    buf_init(&record, SIZE_MAX);
    buf_init(&storage, SIZE_MAX);
    assert_int_equal(seal_record(&record, &pair.task, &pair.chain, pair.public, &mail), ERR_OK);
    for (size_t i = 0; i < record.len; i++) {
        record.ptr[i] ^= 1;
        assert_int_equal(seal_open(buf_str(&record), &pair.task, &pair.chain, pair.owner, &storage,
                                   &out),
                         ERR_DENIED);
        record.ptr[i] ^= 1;
    }
    for (size_t len = 0; len < record.len; len += 11)
        assert_int_equal(seal_open(str_upto(buf_str(&record), len), &pair.task, &pair.chain,
                                   pair.owner, &storage, &out),
                         ERR_DENIED);
    other_owner = crypt_x25519_new(other_public);
    assert_int_equal(seal_open(buf_str(&record), &pair.task, &pair.chain, other_owner, &storage,
                               &out),
                     ERR_DENIED);
    assert_int_equal(storage.len, 0);
    assert_int_equal(seal_open(buf_str(&record), &pair.task, &pair.chain, pair.owner, &storage,
                               &out),
                     ERR_OK);
    secret_free(&other_owner);
    buf_free(&record);
    buf_free(&storage);
    pair_done(&pair);
}

/* A lane file that names a point of small order would make the secret zero: refused. */
static void test_small_order_is_refused(void **state)
{
    (void)state;
    struct dropbox_mail mail = {.raw = STR("text")};
    unsigned char zero[CRYPT_X25519_BYTES] = {0};
    struct buf record;
    struct pair pair;

    pair_init(&pair);
    buf_init(&record, SIZE_MAX);
    assert_int_equal(seal_record(&record, &pair.task, &pair.chain, zero, &mail), ERR_INVALID);
    assert_int_equal(record.len, 0);
    buf_free(&record);
    pair_done(&pair);
}

static void test_payload_lengths(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t at;
        unsigned char value;
        enum err err;
    } rows[] = {
        {"as it is", 0, 0, ERR_OK},
        {"trace longer than the message", 8, 5, ERR_INVALID},
        {"sender past the end", 17, 16, ERR_INVALID},
        {"folder over the limit", 26, 2, ERR_INVALID},
        {"message past the end", 33, 4, ERR_INVALID},
        {"message of 2^56", 39, 1, ERR_INVALID},
    };
    struct dropbox_mail out;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char payload[1024] = {0};

        payload[32] = 4; /* a message of four bytes */
        payload[rows[i].at] = (char)rows[i].value;
        if (seal_payload_parse(str_make(payload, sizeof(payload)), &out) != rows[i].err)
            fail_msg("%s", rows[i].name);
    }
    assert_int_equal(seal_payload_parse(STR("short"), &out), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain_vectors),
        cmocka_unit_test(test_record_vector),
        cmocka_unit_test(test_drop_key_vector),
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_a_changed_record_does_not_open),
        cmocka_unit_test(test_small_order_is_refused),
        cmocka_unit_test(test_payload_lengths),
    };
    char path[4096];
    struct task task;

    secret_init();
    task_init(&task, 0);
    buf_init(&vectors_file, 1 << 20);
    snprintf(path, sizeof(path), "%s/tests/dropbox/vectors.txt",
             getenv("SEALPOST_SOURCE") != NULL ? getenv("SEALPOST_SOURCE") : ".");
    if (file_read(&task, AT_FDCWD, path, 1 << 20, &vectors_file) != ERR_OK) {
        fprintf(stderr, "%s\n", task.words);
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
