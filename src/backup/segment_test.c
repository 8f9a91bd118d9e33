/* Segments: what is put is what is read, and no byte can be changed or left out. */
#include "backup/segment.h"

#include "backup/manifest.h"
#include "base/file.h"
#include "secret/hasher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { PAGE = 512 };

static struct secret *key;

/* Two commits: pages 1 and 2, then page 2 again. */
static void make(struct task *task, struct buf *out, struct segment_summary *summary)
{
    struct segment_head head = {
        .mailbox = id_random(), .generation = id_random(), .number = 7, .page_bytes = PAGE};
    CLEANUP(segment_writer_free) struct segment_writer *writer = NULL;
    CLEANUP(fd_close) int fd = -1;
    unsigned char digest[CRYPT_HASH_BYTES], found[CRYPT_HASH_BYTES];
    char page[PAGE];
    uint64_t size;

    memset(page, 'p', sizeof(page));
    assert_int_equal(memfd_new(task, &fd), ERR_OK);
    assert_int_equal(segment_writer_new(task, fd, &head, &writer), ERR_OK);
    for (uint32_t i = 1; i <= 2; i++)
        assert_int_equal(segment_put_page(writer, task, i, str_make(page, PAGE)), ERR_OK);
    assert_int_equal(
        segment_put_commit(writer, task, &(struct segment_commit){2, 1000, 41}), ERR_OK);
    assert_int_equal(segment_put_page(writer, task, 2, str_make(page, PAGE)), ERR_OK);
    assert_int_equal(
        segment_put_commit(writer, task, &(struct segment_commit){2, 2000, 42}), ERR_OK);
    assert_int_equal(segment_finish(writer, task, key, summary, digest, &size), ERR_OK);
    assert_int_equal(fd_read_all(task, fd, SIZE_MAX / 2, out), ERR_OK);
    assert_int_equal(out->len, size);
    hasher_sha256(buf_str(out), found);
    assert_memory_equal(found, digest, sizeof(digest));
}

static enum err check(struct task *task, struct str bytes, struct segment_summary *summary)
{
    CLEANUP(fd_close) int fd = -1;
    struct segment_head head;

    task_forgive(task);
    assert_int_equal(memfd_from(task, bytes, &fd), ERR_OK);
    TRY(segment_check(task, fd, key, &head, summary));
    assert_int_equal(head.number, 7);
    return ERR_OK;
}

static void what_is_put_is_read(void **state)
{
    CLEANUP(buf_free) struct buf bytes = {0};
    struct segment_summary put, found;
    struct task task;

    (void)state;
    task_init(&task, 0);
    buf_init(&bytes, SIZE_MAX);
    make(&task, &bytes, &put);
    assert_int_equal(check(&task, buf_str(&bytes), &found), ERR_OK);
    assert_int_equal(found.commits, 2);
    assert_int_equal(found.frames, 3);
    assert_int_equal(found.first_ms, 1000);
    assert_int_equal(found.last_ms, 2000);
    assert_int_equal(found.change_counter, 42);
    assert_memory_equal(found.mac, put.mac, sizeof(put.mac));
    task_done(&task);
}

/* Made when the MAC was over a BLAKE2b-256; one of them that calls itself new is none. */
static void an_older_one_is_read(void **state)
{
    CLEANUP(buf_free) struct buf bytes = {0};
    unsigned char digest[CRYPT_HASH_BYTES], mac[CRYPT_HASH_BYTES];
    struct segment_summary put, found;
    struct task task;
    struct str body;

    (void)state;
    task_init(&task, 0);
    buf_init(&bytes, SIZE_MAX);
    make(&task, &bytes, &put);
    bytes.ptr[6] = '1';
    body = str_upto(buf_str(&bytes), bytes.len - sizeof(mac));
    assert_int_equal(check(&task, buf_str(&bytes), &found), ERR_CORRUPT);
    crypt_digest(body, digest);
    crypt_hash(secret_str(key), STR("sealpost segment"), str_make(digest, sizeof(digest)), mac);
    memcpy(bytes.ptr + body.len, mac, sizeof(mac));
    assert_int_equal(check(&task, buf_str(&bytes), &found), ERR_OK);
    assert_int_equal(found.commits, 2);
    assert_memory_equal(found.mac, mac, sizeof(mac));
    bytes.ptr[6] = '2';
    assert_int_equal(check(&task, buf_str(&bytes), &found), ERR_CORRUPT);
    task_done(&task);
}

static void put_commits(struct task *task, struct segment_writer *writer, uint32_t count)
{
    char page[PAGE];

    for (uint32_t i = 1; i <= count; i++) {
        const struct segment_commit commit = {.db_pages = count, .time_ms = i, .change_counter = i};

        memset(page, (int)(i & 0xff), sizeof(page));
        assert_int_equal(segment_put_page(writer, task, i, str_make(page, sizeof(page))), ERR_OK);
        assert_int_equal(segment_put_commit(writer, task, &commit), ERR_OK);
    }
}

/* Whatever the steps are, and when it moves, its digest and MAC are those of all its bytes. */
static void a_large_one_is_hashed_in_steps(void **state)
{
    CLEANUP(fd_close) int fd = -1;
    CLEANUP(fd_close) int other = -1;
    CLEANUP(segment_writer_free) struct segment_writer *writer = NULL;
    CLEANUP(buf_free) struct buf bytes = {0};
    struct segment_head head = {
        .mailbox = id_random(), .generation = id_random(), .number = 7, .page_bytes = PAGE};
    struct segment_summary summary, found;
    unsigned char digest[CRYPT_HASH_BYTES], expected[CRYPT_HASH_BYTES];
    uint64_t size, before;
    struct task task;

    (void)state;
    task_init(&task, 0);
    assert_int_equal(memfd_new(&task, &fd), ERR_OK);
    assert_int_equal(memfd_new(&task, &other), ERR_OK);
    assert_int_equal(segment_writer_new(&task, fd, &head, &writer), ERR_OK);
    put_commits(&task, writer, 5000);
    before = segment_unhashed(writer);
    assert_true(before == segment_size(writer) && before > 2 * SEGMENT_HASH_BYTES);
    assert_int_equal(segment_hash_some(writer, &task), ERR_OK);
    assert_int_equal(segment_unhashed(writer), before - SEGMENT_HASH_BYTES);
    assert_int_equal(segment_move(writer, &task, other), ERR_OK);
    put_commits(&task, writer, 5000);
    assert_int_equal(segment_hash_some(writer, &task), ERR_OK);
    assert_int_equal(segment_finish(writer, &task, key, &summary, digest, &size), ERR_OK);
    buf_init(&bytes, SIZE_MAX);
    assert_int_equal(fd_read_all(&task, other, SIZE_MAX / 2, &bytes), ERR_OK);
    assert_int_equal(bytes.len, size);
    hasher_sha256(buf_str(&bytes), expected);
    assert_memory_equal(digest, expected, sizeof(digest));
    assert_int_equal(check(&task, buf_str(&bytes), &found), ERR_OK);
    assert_int_equal(found.commits, 10000);
    task_done(&task);
}

static void no_byte_can_be_changed_or_left_out(void **state)
{
    CLEANUP(buf_free) struct buf bytes = {0};
    struct segment_summary summary;
    struct task task;

    (void)state;
    task_init(&task, 0);
    buf_init(&bytes, SIZE_MAX);
    make(&task, &bytes, &summary);
    for (size_t i = 0; i < bytes.len; i++) {
        bytes.ptr[i] ^= 0x20;
        assert_int_equal(check(&task, buf_str(&bytes), &summary), ERR_CORRUPT);
        bytes.ptr[i] ^= 0x20;
        assert_int_equal(check(&task, str_upto(buf_str(&bytes), i), &summary), ERR_CORRUPT);
    }
    buf_put(&bytes, STR("x"));
    assert_int_equal(check(&task, buf_str(&bytes), &summary), ERR_CORRUPT);
    task_done(&task);
}

static void manifests(void **state)
{
    struct manifest manifest = {.mailbox = id_random(),
                                .time_ms = 1000,
                                .size_bytes = 4096,
                                .epoch = 1,
                                .change_counter = 42,
                                .schema = 5},
                    found;
    CLEANUP(secret_free) struct secret *other = secret_new(CRYPT_KEY_BYTES);
    CLEANUP(buf_free) struct buf json = {0};
    struct task task;

    (void)state;
    task_init(&task, 0);
    buf_init(&json, MANIFEST_BYTES_MAX);
    manifest_write(&manifest, key, &json);
    assert_int_equal(manifest_read(&task, buf_str(&json), key, &found), ERR_OK);
    assert_int_equal(found.change_counter, 42);
    assert_int_equal(found.size_bytes, 4096);
    assert_int_equal(found.digest_kind, HASHER_SHA256);
    assert_false(id_is_set(&found.generation));
    assert_int_equal(manifest_read(&task, buf_str(&json), other, &found), ERR_CORRUPT);
    assert_int_equal(manifest_read(&task, buf_str(&json), NULL, &found), ERR_OK);
    *strstr(json.ptr, "4096") = '5';
    assert_int_equal(manifest_read(&task, buf_str(&json), key, &found), ERR_CORRUPT);
    for (size_t i = 0; i < json.len; i++)
        assert_int_equal(manifest_read(&task, str_upto(buf_str(&json), i), key, &found),
                         ERR_CORRUPT);
    buf_reset(&json);
    manifest.change_counter = INT64_MAX; /* one more than it is none any more */
    manifest_write(&manifest, key, &json);
    assert_int_equal(manifest_read(&task, buf_str(&json), NULL, &found), ERR_CORRUPT);
    task_done(&task);
}

/* Written when the digest was BLAKE2b-256: byte for byte. */
static void older_manifests(void **state)
{
    static const char json[] =
        "{\"mailbox\": \"0123456789abcdef01234567\", \"generation\": \"\", \"time\": "
        "\"1970-01-01T00:00:01.000Z\", \"size\": 4096, \"epoch\": 1, \"change_counter\": 42, "
        "\"schema\": 5, \"commits\": 0, \"verified\": true, "
        "\"digest\": \"c0c6f958a8c3177070dcbc6f9f9ec6585d18db2269017649a65ee208c51ea2c1\", "
        "\"mac\": \"a08a83b106d020912b7b00f710136305f0da1a281ea40edcfe1b74293f11782b\"}\n";
    CLEANUP(buf_free) struct buf renamed = {0};
    unsigned char digest[CRYPT_HASH_BYTES];
    struct manifest found;
    struct task task;
    char *at;

    (void)state;
    task_init(&task, 0);
    buf_init(&renamed, MANIFEST_BYTES_MAX);
    assert_int_equal(manifest_read(&task, str_from_c(json), key, &found), ERR_OK);
    assert_int_equal(found.digest_kind, HASHER_BLAKE2B);
    crypt_digest(STR("the file"), digest);
    assert_memory_equal(found.digest, digest, sizeof(digest));
    /* The same bytes as a digest of the other kind: the MAC is not of that. */
    buf_put(&renamed, str_from_c(json));
    at = strstr(renamed.ptr, "digest");
    memcpy(at, "sha256", 6);
    assert_int_equal(manifest_read(&task, buf_str(&renamed), key, &found), ERR_CORRUPT);
    assert_int_equal(manifest_read(&task, buf_str(&renamed), NULL, &found), ERR_OK);
    assert_int_equal(found.digest_kind, HASHER_SHA256);
    task_done(&task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_is_read),
        cmocka_unit_test(an_older_one_is_read),
        cmocka_unit_test(a_large_one_is_hashed_in_steps),
        cmocka_unit_test(no_byte_can_be_changed_or_left_out),
        cmocka_unit_test(manifests),
        cmocka_unit_test(older_manifests),
    };

    secret_init();
    key = secret_copy(STR("a key of thirty-two bytes ......"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
