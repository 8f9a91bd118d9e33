/* Archives, made by libarchive, which had no part in reading most of them; and bombs. */
#include "spam/archives.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/memory.h"

#include <archive.h>
#include <archive_entry.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PE_HEAD                                                                                    \
    "MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0\xb8\0\0\0\0\0\0\0\x40\0\0\0\0\0\0\0"                     \
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x40\0\0\0" "PE\0\0\x64\x86"
static const struct str program = STR_INIT(PE_HEAD "rest of it");

struct file {
    const char *name;
    struct str content;
};

enum { ROOM = 32 * 1024 * 1024 };
static char room[ROOM];

/* An archive in a buffer of its own, which the caller frees. */
static struct buf pack(int format, int filter, const struct file *files, size_t count)
{
    struct archive *writer = archive_write_new();
    struct buf out;
    size_t used = 0;

    buf_init(&out, SIZE_MAX);
    assert_int_equal(archive_write_set_format(writer, format), ARCHIVE_OK);
    if (filter != 0)
        assert_int_equal(archive_write_add_filter(writer, filter), ARCHIVE_OK);
    assert_int_equal(archive_write_open_memory(writer, room, sizeof(room), &used), ARCHIVE_OK);
    for (size_t i = 0; i < count; i++) {
        struct archive_entry *entry = archive_entry_new();

        archive_entry_set_pathname(entry, files[i].name);
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_perm(entry, 0644);
        archive_entry_set_size(entry, (la_int64_t)files[i].content.len);
        assert_int_equal(archive_write_header(writer, entry), ARCHIVE_OK);
        assert_int_equal(archive_write_data(writer, files[i].content.ptr, files[i].content.len),
                         files[i].content.len);
        archive_entry_free(entry);
    }
    assert_int_equal(archive_write_close(writer), ARCHIVE_OK);
    archive_write_free(writer);
    buf_put(&out, str_make(room, used));
    return out;
}

static struct spam_archive look(struct str bytes)
{
    struct spam_budget budget;
    struct spam_archive archive;
    enum spam_content kind = spam_content_of(bytes);

    spam_budget_init(&budget);
    spam_archive_init(&archive, &budget);
    assert_true(spam_content_is_archive(kind));
    spam_archive_look(&archive, kind, bytes);
    archive.budget = NULL;
    return archive;
}

static void test_formats(void **state)
{
    static const struct {
        const char *rule;
        int format, filter;
        bool sees_content, sees_name;
    } rows[] = {
        {"zip", ARCHIVE_FORMAT_ZIP, 0, true, true},
        {"tar", ARCHIVE_FORMAT_TAR_USTAR, 0, true, true},
        {"tar of GNU", ARCHIVE_FORMAT_TAR_GNUTAR, 0, true, true},
        {"tar of pax", ARCHIVE_FORMAT_TAR_PAX_INTERCHANGE, 0, true, true},
        {"tar, gzip", ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FILTER_GZIP, true, true},
        {"tar, bzip2", ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FILTER_BZIP2, true, true},
        {"tar, xz", ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FILTER_XZ, true, true},
        {"ISO", ARCHIVE_FORMAT_ISO9660, 0, true, true},
        {"7z: its names", ARCHIVE_FORMAT_7ZIP, 0, false, true},
    };
    const struct file clean[] = {{"a/readme.txt", STR("hello\n")}, {"b.png", STR("\x89PNG")}};
    const struct file content[] = {{"a/readme.txt", STR("hello\n")}, {"b.png", program}};
    const struct file name[] = {{"a/readme.txt", STR("hello\n")}, {"invoice.pdf.exe", STR("x")}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf a = pack(rows[i].format, rows[i].filter, clean, 2);
        struct buf b = pack(rows[i].format, rows[i].filter, content, 2);
        struct buf c = pack(rows[i].format, rows[i].filter, name, 2);
        struct spam_archive found = look(buf_str(&a));

        if (found.program != SPAM_CONTENT_OTHER || found.has_program_name || found.is_bomb ||
            found.is_encrypted || found.is_unread)
            fail_msg("%s: a clean one is not", rows[i].rule);
        if ((look(buf_str(&b)).program == SPAM_CONTENT_PE) != rows[i].sees_content)
            fail_msg("%s: a program", rows[i].rule);
        found = look(buf_str(&c));
        if (found.has_program_name != rows[i].sees_name ||
            found.has_double_name != rows[i].sees_name)
            fail_msg("%s: a name", rows[i].rule);
        buf_free(&a);
        buf_free(&b);
        buf_free(&c);
    }
}

/* By hand, as nothing here writes them: one file, stored, in each. */
static void test_rar_and_cab(void **state)
{
    static const char old_rar[] =
        "Rar!\x1a\x07\0"
        "\0\0\x73\0\0\x0d\0\0\0\0\0\0\0"
        "\0\0\x74\0\x80\x25\0\x07\0\0\0\x07\0\0\0\x02\0\0\0\0\0\0\0\0\x14\x30\x05\0\0\0\0\0"
        "a.exe\x7f" "ELF\x02\x01\x01"
        "\0\0\x7b\0\0\x07\0";
    static const char new_rar[] = "Rar!\x1a\x07\x01\0"
                                  "\0\0\0\0\x03\x01\0\0"
                                  "\0\0\0\0\x0e\x02\x02\x07\0\x07\0\0\0\x05" "a.exe\x7f" "ELF\x02\x01\x01"
                                  "\0\0\0\0\x03\x05\0\0";
    static const char locked_rar[] = "Rar!\x1a\x07\x01\0" "\0\0\0\0\x03\x04\0\0";
    static const char cab[] =
        "MSCF\0\0\0\0\x50\0\0\0\0\0\0\0\x2c\0\0\0\0\0\0\0\x03\x01\x01\0\x01\0\0\0\0\0\0\0"
        "\x42\0\0\0\x01\0\0\0\x05\0\0\0\0\0\0\0\0\0\0\0\0\0\x20\0" "x.pdf.exe";
    struct spam_archive found;

    (void)state;
    found = look(str_make(old_rar, sizeof(old_rar) - 1));
    assert_true(found.has_program_name && found.program == SPAM_CONTENT_ELF && !found.is_unread);
    found = look(str_make(new_rar, sizeof(new_rar) - 1));
    assert_true(found.has_program_name && found.program == SPAM_CONTENT_ELF && !found.is_unread);
    assert_true(look(str_make(locked_rar, sizeof(locked_rar) - 1)).is_encrypted);
    found = look(str_make(cab, sizeof(cab)));
    assert_true(found.has_program_name && found.has_double_name && found.is_unread);
}

/* In one another, each time packed again. */
static struct buf nest(size_t times)
{
    struct file inner = {"program", program};
    struct buf bytes = pack(ARCHIVE_FORMAT_ZIP, 0, &inner, 1);

    for (size_t i = 1; i < times; i++) {
        struct file next = {"inner.zip", buf_str(&bytes)};
        struct buf outer = pack(ARCHIVE_FORMAT_ZIP, 0, &next, 1);

        buf_free(&bytes);
        bytes = outer;
    }
    return bytes;
}

static void test_nesting(void **state)
{
    (void)state;
    for (size_t times = 1; times <= 8; times++) {
        struct buf bytes = nest(times);
        struct spam_archive found = look(buf_str(&bytes));

        assert_int_equal(found.program == SPAM_CONTENT_PE, times <= SPAM_ARCHIVE_DEPTH_MAX);
        assert_int_equal(found.is_bomb, times > SPAM_ARCHIVE_DEPTH_MAX);
        buf_free(&bytes);
    }
}

static void test_bombs(void **state)
{
    size_t len = 300 * 1024 * 1024, log_len = 20 * 1024 * 1024;
    char *zeros = calloc(1, len);
    struct file file = {"zeros", str_make(zeros, len)};
    const int filters[] = {ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_BZIP2, ARCHIVE_FILTER_XZ};
    struct buf bytes = pack(ARCHIVE_FORMAT_ZIP, 0, &file, 1);
    int64_t start_us = clock_processor_us();

    (void)state;
    assert_true(look(buf_str(&bytes)).is_bomb);
    assert_true(clock_processor_us() - start_us < 1000 * 1000);
    buf_free(&bytes);
    for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
        file.content.len = i == 0 ? len : 40 * 1024 * 1024;
        bytes = pack(ARCHIVE_FORMAT_TAR_USTAR, filters[i], &file, 1);
        start_us = clock_processor_us();
        assert_true(look(buf_str(&bytes)).is_bomb);
        assert_true(clock_processor_us() - start_us < 1000 * 1000);
        buf_free(&bytes);
    }
    /* Large and dense is not a bomb: a log, at ten to one. */
    for (size_t i = 0; i < log_len; i++)
        zeros[i] = i % 10 == 0 ? (char)(rand() % 256) : 'x';
    file.content.len = log_len;
    bytes = pack(ARCHIVE_FORMAT_ZIP, 0, &file, 1);
    assert_false(look(buf_str(&bytes)).is_bomb);
    buf_free(&bytes);
    free(zeros);
}

static void test_entries(void **state)
{
    enum { COUNT = SPAM_ARCHIVE_ENTRIES_MAX + 100 };
    struct file *files = NEW_ARRAY(struct file, COUNT);
    struct spam_archive found;
    struct buf bytes;

    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        files[i] = (struct file){"text.txt", STR("hello")};
    bytes = pack(ARCHIVE_FORMAT_ZIP, 0, files, COUNT);
    found = look(buf_str(&bytes));
    assert_true(found.is_unread);
    assert_int_equal(found.entries_left, 0);
    buf_free(&bytes);
    mem_free(&files);
}

/* The same, cut anywhere, and with any byte changed: nothing worse than not knowing. */
static void test_damage(void **state)
{
    const int formats[] = {ARCHIVE_FORMAT_ZIP, ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FORMAT_7ZIP};
    const struct file files[] = {{"a.txt", STR("hello hello hello hello")}, {"b", program}};

    (void)state;
    for (size_t f = 0; f < ARRAY_LEN(formats); f++) {
        struct buf bytes = pack(formats[f], 0, files, 2);

        for (size_t i = 0; i < bytes.len; i++) {
            struct str cut = str_upto(buf_str(&bytes), i);

            if (spam_content_is_archive(spam_content_of(cut)))
                (void)look(cut);
            bytes.ptr[i] ^= 0x55;
            if (spam_content_is_archive(spam_content_of(buf_str(&bytes))))
                (void)look(buf_str(&bytes));
            bytes.ptr[i] ^= 0x55;
        }
        buf_free(&bytes);
    }
}

/* Its bit in the general flags is all that tells. */
static void test_encrypted(void **state)
{
    const struct file file = {"a.txt", STR("hello")};
    struct buf bytes = pack(ARCHIVE_FORMAT_ZIP, 0, &file, 1);
    char *central = memmem(bytes.ptr, bytes.len, "PK\x01\x02", 4);

    (void)state;
    assert_non_null(central);
    central[8] |= 1;
    assert_true(look(buf_str(&bytes)).is_encrypted);
    buf_free(&bytes);
}

/* With something in front of it, as self-extracting ones have; and without its directory. */
static void test_zip_places(void **state)
{
    const struct file file = {"a", program};
    struct buf bytes = pack(ARCHIVE_FORMAT_ZIP, 0, &file, 1), shifted;
    struct spam_budget budget;
    struct spam_archive archive;
    char *central = memmem(bytes.ptr, bytes.len, "PK\x01\x02", 4);

    (void)state;
    buf_init(&shifted, SIZE_MAX);
    buf_put(&shifted, STR("some bytes that are in the way"));
    buf_put(&shifted, buf_str(&bytes));
    spam_budget_init(&budget);
    spam_archive_init(&archive, &budget);
    spam_archive_look(&archive, SPAM_CONTENT_ZIP, buf_str(&shifted));
    assert_int_equal(archive.program, SPAM_CONTENT_PE);
    assert_int_equal(look(str_upto(buf_str(&bytes), (size_t)(central - bytes.ptr))).program,
                     SPAM_CONTENT_PE);
    buf_free(&bytes);
    buf_free(&shifted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats), cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_bombs),   cmocka_unit_test(test_entries),
        cmocka_unit_test(test_damage),  cmocka_unit_test(test_encrypted),
        cmocka_unit_test(test_zip_places), cmocka_unit_test(test_rar_and_cab),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
