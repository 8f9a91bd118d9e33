/* Bytes come back as they came, whatever they are and however they are kept. */
#include "vault/fixture.h"

#include "base/encode.h"
#include "base/memory.h"
#include "base/random.h"
#include "vault/parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Reads in pieces of `step` from `offset` on, forwards. */
static void check_pieces(struct fixture *f, struct vault_content *content, struct str raw,
                         size_t step)
{
    CLEANUP(buf_free) struct buf out = {0};

    buf_init(&out, SIZE_MAX);
    for (size_t at = 0; at <= raw.len; at += step) {
        size_t before = out.len;

        assert_int_equal(vault_content_read(content, &f->task, at, step, &out), ERR_OK);
        assert_int_equal(out.len - before, at + step <= raw.len ? step : raw.len - at);
    }
    assert_true(str_equal(buf_str(&out), raw));
}

static void check_jumps(struct fixture *f, struct vault_content *content, struct str raw)
{
    CLEANUP(buf_free) struct buf out = {0};

    buf_init(&out, SIZE_MAX);
    for (int i = 0; i < 50; i++) {
        size_t at = random_below((uint32_t)raw.len + 10), len = random_below(5000);

        buf_reset(&out);
        assert_int_equal(vault_content_read(content, &f->task, at, len, &out), ERR_OK);
        assert_true(str_equal(buf_str(&out), str_upto(str_from(raw, at), len)));
    }
}

static void check_round_trip(struct fixture *f, struct str raw)
{
    struct vault_content *content;
    uint32_t uid = fixture_append(f, f->inbox, raw, 0);
    int64_t content_id = fixture_ask(f, "SELECT max(id) FROM content");

    assert_true(str_equal(fixture_read(f, f->inbox, uid), raw));
    assert_int_equal(vault_content_open(f->vault, &f->task, content_id, &content), ERR_OK);
    assert_int_equal(vault_content_size(content), raw.len);
    check_jumps(f, content, raw);
    check_pieces(f, content, raw, 70001);
    if (raw.len < 20000)
        check_pieces(f, content, raw, 7);
    vault_content_close(&content);
}

/* --- Nasty messages --- */

static const struct {
    const char *name;
    struct str raw;
} nasty[] = {
    {"nothing", STR_INIT("")},
    {"one byte", STR_INIT("x")},
    {"a NUL", STR_INIT("\0")},
    {"only a line end", STR_INIT("\r\n")},
    {"bare LF", STR_INIT("Subject: x\n\nbody\n")},
    {"bare CR", STR_INIT("Subject: x\r\rbody\r")},
    {"no header", STR_INIT("\r\nbody")},
    {"no body", STR_INIT("Subject: x\r\n")},
    {"NUL in the header", STR_INIT("Subject: a\0b\r\n\r\nbo\0dy\r\n")},
    {"8-bit header", STR_INIT("Subject: \xff\xfe\xc3\r\n\r\n\x80\x81\r\n")},
    {"no end boundary",
     STR_INIT("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo")},
    {"boundary is missing",
     STR_INIT("Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\none\r\n--b--")},
    {"base64 that is not",
     STR_INIT("Content-Transfer-Encoding: base64\r\n\r\n!!!! this is not base64 ====\r\n")},
};

static void test_nasty(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(nasty); i++) {
        print_message("%s\n", nasty[i].name);
        check_round_trip(f, nasty[i].raw);
    }
}

static void test_random_bytes(void **state)
{
    static const uint32_t sizes[] = {1, 100, 5000, 70000, 256 * 1024, 256 * 1024 + 1, 900000};
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        char *bytes = mem_new(sizes[i], 1);

        random_bytes(bytes, sizes[i]);
        check_round_trip(f, str_make(bytes, sizes[i]));
        for (uint32_t k = 0; k < sizes[i]; k++) /* compressible, and with line ends */
            bytes[k] = "ab\r\n \t=-:"[(unsigned char)bytes[k] % 9];
        check_round_trip(f, str_make(bytes, sizes[i]));
        mem_free(&bytes);
    }
}

/* --- Attachments --- */

enum line_form { LINES_76_CRLF, LINES_76_LF, LINES_72_CRLF, ONE_LINE, LINES_4, LINES_75, FORMS };

static void put_lines(struct buf *out, struct str base64, enum line_form form)
{
    static const size_t lengths[FORMS] = {76, 76, 72, SIZE_MAX, 4, 75};

    while (base64.len > 0) {
        struct str line = str_upto(base64, lengths[form]);

        buf_put(out, line);
        base64 = str_from(base64, line.len);
        if (base64.len > 0)
            buf_put(out, form == LINES_76_LF ? STR("\n") : STR("\r\n"));
    }
}

static void make_message(struct buf *out, struct str attachment, enum line_form form,
                         const char *ending)
{
    CLEANUP(buf_free) struct buf base64 = {0};

    buf_init(&base64, SIZE_MAX);
    assert_int_equal(encode_base64(&base64, attachment), ERR_OK);
    buf_put(out, STR("Subject: x\r\nMIME-Version: 1.0\r\n"
                     "Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n"
                     "--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
                     "--b\r\nContent-Type: application/octet-stream\r\n"
                     "Content-Transfer-Encoding: base64\r\n"
                     "Content-Disposition: attachment; filename=a.bin\r\n\r\n"));
    put_lines(out, buf_str(&base64), form);
    buf_put(out, str_from_c(ending));
    buf_put(out, STR("--b--\r\n"));
}

static void test_attachments_once(void **state)
{
    static const size_t sizes[] = {4096, 4097, 4098, 192 * 1024, 192 * 1024 + 1, 500001};
    static const char *const endings[] = {"\r\n", "\r\n\r\n\r\n", "\n"};
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        char *bytes = mem_new(sizes[i], 1);

        random_bytes(bytes, sizes[i]);
        for (int form = 0; form < FORMS; form++) {
            CLEANUP(buf_free) struct buf raw = {0};

            buf_init(&raw, SIZE_MAX);
            make_message(&raw, str_make(bytes, sizes[i]), (enum line_form)form, endings[form % 3]);
            check_round_trip(f, buf_str(&raw));
        }
        mem_free(&bytes);
    }
    /* Each body once, however its lines are; the form with 75 characters a line is kept as it is.
     */
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM attachment WHERE use_count = 5"),
                     ARRAY_LEN(sizes));
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM attachment WHERE use_count = 1"),
                     ARRAY_LEN(sizes));
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM part WHERE kind = 3"),
                     5 * ARRAY_LEN(sizes));
    fixture_check(f);
}

static void test_attachments_go(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buf_free) struct buf raw = {0};
    char bytes[10000];
    uint32_t uid, *modified, *gone, *out;
    size_t count, gone_count;

    random_bytes(bytes, sizeof(bytes));
    buf_init(&raw, SIZE_MAX);
    make_message(&raw, str_make(bytes, sizeof(bytes)), LINES_76_CRLF, "\r\n");
    uid = fixture_append(f, f->inbox, buf_str(&raw), VAULT_FLAG_DELETED);
    fixture_append(f, f->inbox, buf_str(&raw), 0);
    assert_int_equal(vault_message_expunge(f->vault, &f->task, f->inbox, NULL, 0, &out, &count),
                     ERR_OK);
    fixture_housekeep(f, VAULT_EXPUNGED_GRACE_MS);
    assert_int_equal(fixture_ask(f, "SELECT use_count FROM attachment"), 1);
    assert_true(str_equal(fixture_read(f, f->inbox, uid + 1), buf_str(&raw)));
    uid++;
    assert_int_equal(vault_message_store(f->vault, &f->task, f->inbox, &uid, 1, VAULT_STORE_ADD,
                                         VAULT_FLAG_DELETED, UINT64_MAX, &modified, &count, &gone,
                                         &gone_count),
                     ERR_OK);
    assert_int_equal(vault_message_expunge(f->vault, &f->task, f->inbox, NULL, 0, &out, &count),
                     ERR_OK);
    fixture_housekeep(f, VAULT_EXPUNGED_GRACE_MS);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM attachment"), 0);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM attachment_part"), 0);
}

/* Almost base64: each must be kept as it is. */
static void test_not_quite_base64(void **state)
{
    static const struct {
        const char *name;
        size_t at;      /* which character of the body is changed */
        const char *to; /* into this */
    } rows[] = {
        {"a space in a line", 100, " "},      {"another line end", 76, "\n"},
        {"padding in the middle", 1000, "="}, {"a NUL", 500, "\0"},
        {"a sign of base64url", 300, "_"},    {"an empty line", 154, "\r\n\r\n"},
    };
    struct fixture *f = *state;
    char bytes[6000];

    memset(bytes, 'q', sizeof(bytes));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(buf_free) struct buf raw = {0}, changed = {0};
        struct str good;
        size_t at;

        buf_init(&raw, SIZE_MAX);
        buf_init(&changed, SIZE_MAX);
        make_message(&raw, str_make(bytes, sizeof(bytes)), LINES_76_CRLF, "\r\n");
        good = buf_str(&raw);
        at = (size_t)str_find(good, STR("a.bin\r\n\r\n")) + 9 + rows[i].at;
        buf_put(&changed, str_upto(good, at));
        buf_put(&changed, str_make(rows[i].to, rows[i].to[0] == '\0' ? 1 : strlen(rows[i].to)));
        buf_put(&changed, str_from(good, at + 1));
        check_round_trip(f, buf_str(&changed));
    }
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM part WHERE kind = 3"), 0);
}

static void test_unused_bits(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buf_free) struct buf raw = {0};
    char bytes[6001]; /* one byte more than triples: two characters of padding */
    ptrdiff_t padding;

    memset(bytes, 'q', sizeof(bytes));
    buf_init(&raw, SIZE_MAX);
    make_message(&raw, str_make(bytes, sizeof(bytes)), LINES_76_CRLF, "\r\n");
    padding = str_find(buf_str(&raw), STR("=="));
    assert_true(padding > 0);
    raw.ptr[padding - 1]++; /* decodes to the same byte; is not what an encoder makes */
    check_round_trip(f, buf_str(&raw));
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM part WHERE kind = 3"), 0);
}

static void test_large_plain_attachment(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buf_free) struct buf raw = {0};

    buf_init(&raw, SIZE_MAX);
    buf_put(&raw, STR("Content-Type: application/json\r\n\r\n"));
    for (int i = 0; i < 60000; i++)
        buf_putf(&raw, "{\"n\": %d}\r\n", i);
    check_round_trip(f, buf_str(&raw));
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM part WHERE kind = 2"), 1);
    assert_true(fixture_ask(f, "SELECT sum(length(bytes)) FROM attachment_part") <
                (int64_t)raw.len / 2);
}

static void test_many_parts(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buf_free) struct buf raw = {0};

    buf_init(&raw, SIZE_MAX);
    buf_put(&raw, STR("Content-Type: multipart/mixed; boundary=b\r\n\r\n"));
    for (int i = 0; i < 12000; i++)
        buf_putf(&raw, "--b\r\nContent-Type: text/plain\r\n\r\npart %d\r\n", i);
    check_round_trip(f, buf_str(&raw));
    buf_reset(&raw);
    for (int i = 0; i < 500; i++)
        buf_putf(&raw, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i);
    check_round_trip(f, buf_str(&raw));
}

static void test_purged_while_reading(void **state)
{
    struct fixture *f = *state;
    CLEANUP(vault_content_close) struct vault_content *content = NULL;
    CLEANUP(buf_free) struct buf out = {0}, raw = {0};
    struct vault_content *other;
    uint32_t *uids;
    size_t count;

    buf_init(&raw, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    for (int i = 0; i < 60000; i++)
        buf_putf(&raw, "line %d\r\n", i);
    fixture_append(f, f->inbox, buf_str(&raw), VAULT_FLAG_DELETED);
    assert_int_equal(vault_content_open(f->vault, &f->task, 1, &content), ERR_OK);
    assert_int_equal(vault_content_read(content, &f->task, 0, 10, &out), ERR_OK);
    assert_int_equal(vault_message_expunge(f->vault, &f->task, f->inbox, NULL, 0, &uids, &count),
                     ERR_OK);
    fixture_housekeep(f, VAULT_EXPUNGED_GRACE_MS);
    assert_int_equal(vault_content_read(content, &f->task, 400000, 10, &out), ERR_NOT_FOUND);
    task_forgive(&f->task);
    assert_int_equal(vault_content_open(f->vault, &f->task, 1, &other), ERR_NOT_FOUND);
    task_forgive(&f->task);
}

/* What is short comes with the list of the parts: one statement for most messages. */
static void test_short_parts_come_at_once(void **state)
{
    static const size_t sizes[] = {1, 100, 32 * 1024, 32 * 1024 + 1};
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        CLEANUP(vault_content_close) struct vault_content *content = NULL;
        CLEANUP(buf_free) struct buf raw = {0}, out = {0};
        enum err err;

        buf_init(&raw, SIZE_MAX);
        buf_init(&out, SIZE_MAX);
        while (raw.len < sizes[i])
            buf_put(&raw, STR("\n"));
        check_round_trip(f, buf_str(&raw));
        assert_int_equal(vault_content_open(f->vault, &f->task,
                                            fixture_ask(f, "SELECT max(id) FROM content"), &content),
                         ERR_OK);
        fixture_execute(f, "DELETE FROM part");
        err = vault_content_read(content, &f->task, 0, SIZE_MAX, &out);
        assert_int_equal(err, sizes[i] <= 32 * 1024 ? ERR_OK : ERR_NOT_FOUND);
        task_forgive(&f->task);
        assert_true(err != ERR_OK || str_equal(buf_str(&out), buf_str(&raw)));
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_nasty),
        TEST(test_random_bytes),
        TEST(test_attachments_once),
        TEST(test_attachments_go),
        TEST(test_not_quite_base64),
        TEST(test_unused_bits),
        TEST(test_large_plain_attachment),
        TEST(test_many_parts),
        TEST(test_purged_while_reading),
        TEST(test_short_parts_come_at_once),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
