/* Sections as ranges of bytes, and the stored form of the structure. */
#include "message/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* RFC 3501 §6.4.5's example in small: 1 text, 2 octet-stream, 3 message (3.1 text, 3.2 octets),
 * 4 multipart (4.1 image, 4.2 message (4.2.1 text, 4.2.2 multipart/alternative (…))). */
static const char tree[] =
    "Content-Type: multipart/mixed; boundary=a\r\n\r\n"
    "--a\r\n\r\nT1\r\n"
    "--a\r\nContent-Type: application/octet-stream\r\n\r\nO2\r\n"
    "--a\r\nContent-Type: message/rfc822\r\n\r\n"
    "Subject: three\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    "--b\r\n\r\nT31\r\n--b\r\nContent-Type: application/octet-stream\r\n\r\nO32\r\n--b--\r\n"
    "--a\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"
    "--c\r\nContent-Type: image/gif\r\n\r\nG41\r\n"
    "--c\r\nContent-Type: message/rfc822\r\n\r\nSubject: plain\r\n\r\nT421\r\n--c--\r\n"
    "--a--\r\n";

struct row {
    uint32_t path[4];
    size_t path_len;
    enum message_section section;
    const char *text; /* NULL: no such section */
};

static void check_rows(struct str raw, const struct row *rows, size_t count)
{
    struct message_summary summary;
    struct task task;

    task_init(&task, 0);
    message_parse(&task, raw, &summary);
    for (size_t i = 0; i < count; i++) {
        struct message_range range = {0};
        bool is_there = message_section_range(&summary.structure, rows[i].path, rows[i].path_len,
                                              rows[i].section, &range);

        if (is_there != (rows[i].text != NULL))
            fail_msg("row %zu: %d", i, is_there);
        if (is_there && !str_equal(str_make(raw.ptr + range.start, (size_t)range.len),
                                   str_from_c(rows[i].text)))
            fail_msg("row %zu: %.*s", i, (int)range.len, raw.ptr + range.start);
    }
    task_done(&task);
}

static void test_tree(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {{0}, 0, MESSAGE_SECTION_ALL, tree},
        {{0}, 0, MESSAGE_SECTION_HEADER, "Content-Type: multipart/mixed; boundary=a\r\n\r\n"},
        {{0}, 0, MESSAGE_SECTION_MIME, NULL},
        {{1}, 1, MESSAGE_SECTION_ALL, "T1"},
        {{1}, 1, MESSAGE_SECTION_MIME, "\r\n"},
        {{1}, 1, MESSAGE_SECTION_HEADER, NULL},
        {{1}, 1, MESSAGE_SECTION_TEXT, NULL},
        {{1, 1}, 2, MESSAGE_SECTION_ALL, NULL},
        {{2}, 1, MESSAGE_SECTION_MIME, "Content-Type: application/octet-stream\r\n\r\n"},
        {{3}, 1, MESSAGE_SECTION_MIME, "Content-Type: message/rfc822\r\n\r\n"},
        {{3},
         1,
         MESSAGE_SECTION_HEADER,
         "Subject: three\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"},
        {{3, 1}, 2, MESSAGE_SECTION_ALL, "T31"},
        {{3, 2}, 2, MESSAGE_SECTION_ALL, "O32"},
        {{3, 3}, 2, MESSAGE_SECTION_ALL, NULL},
        {{4}, 1, MESSAGE_SECTION_HEADER, NULL},
        {{4, 1}, 2, MESSAGE_SECTION_ALL, "G41"},
        {{4, 2}, 2, MESSAGE_SECTION_ALL, "Subject: plain\r\n\r\nT421"},
        {{4, 2}, 2, MESSAGE_SECTION_HEADER, "Subject: plain\r\n\r\n"},
        {{4, 2}, 2, MESSAGE_SECTION_TEXT, "T421"},
        {{4, 2, 1}, 3, MESSAGE_SECTION_ALL, "T421"},
        {{4, 2, 1}, 3, MESSAGE_SECTION_MIME, "Subject: plain\r\n\r\n"},
        {{4, 2, 2}, 3, MESSAGE_SECTION_ALL, NULL},
        {{4, 2, 1, 1}, 4, MESSAGE_SECTION_ALL, NULL},
        {{5}, 1, MESSAGE_SECTION_ALL, NULL},
        {{0}, 1, MESSAGE_SECTION_ALL, NULL},
        {{UINT32_MAX}, 1, MESSAGE_SECTION_ALL, NULL},
    };

    check_rows(str_from_c(tree), rows, ARRAY_LEN(rows));
    check_message(str_from_c(tree));
}

static void test_plain(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {{0}, 0, MESSAGE_SECTION_HEADER, "A: b\r\n\r\n"},
        {{0}, 0, MESSAGE_SECTION_TEXT, "x\r\n"},
        {{1}, 1, MESSAGE_SECTION_ALL, "x\r\n"},
        {{1}, 1, MESSAGE_SECTION_MIME, "A: b\r\n\r\n"},
        {{1}, 1, MESSAGE_SECTION_HEADER, NULL},
        {{1, 1}, 2, MESSAGE_SECTION_ALL, NULL},
        {{2}, 1, MESSAGE_SECTION_ALL, NULL},
    };

    check_rows(STR("A: b\r\n\r\nx\r\n"), rows, ARRAY_LEN(rows));
}

static void test_message_at_the_top(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {{1}, 1, MESSAGE_SECTION_ALL, "Subject: in\r\n\r\nx"},
        {{1}, 1, MESSAGE_SECTION_HEADER, "Subject: in\r\n\r\n"},
        {{1}, 1, MESSAGE_SECTION_TEXT, "x"},
        {{1, 1}, 2, MESSAGE_SECTION_ALL, "x"},
        {{1, 1}, 2, MESSAGE_SECTION_HEADER, NULL},
        {{1, 1, 1}, 3, MESSAGE_SECTION_ALL, NULL},
    };

    check_rows(STR("Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nx"), rows,
               ARRAY_LEN(rows));
}

static void test_stored_is_checked(void **state)
{
    (void)state;
    struct message_summary summary;
    struct message_structure structure;
    struct task task;
    struct buf stored;

    task_init(&task, 0);
    buf_init(&stored, SIZE_MAX);
    message_parse(&task, str_from_c(tree), &summary);
    message_structure_encode(&summary.structure, &stored);
    for (size_t i = 0; i < stored.len; i++) {
        char kept = stored.ptr[i];

        assert_int_equal(message_structure_decode(&task, str_upto(buf_str(&stored), i), &structure),
                         ERR_CORRUPT);
        for (unsigned bit = 0; bit < 8; bit++) {
            stored.ptr[i] = (char)(kept ^ (1 << bit));
            check_stored(buf_str(&stored));
        }
        stored.ptr[i] = kept;
    }
    assert_int_equal(message_structure_decode(&task, buf_str(&stored), &structure), ERR_OK);
    /* Compact: the tree has 11 parts. */
    assert_int_equal(structure.part_count, 11);
    assert_true(stored.len < 11 * 40);
    buf_free(&stored);
    task_done(&task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_message_at_the_top),
        cmocka_unit_test(test_stored_is_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
