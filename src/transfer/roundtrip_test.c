/* Out of one vault in each format, and into another: nothing may differ. */
#include "base/file.h"
#include "base/memory.h"
#include "secret/crypt.h"
#include "transfer/absorb.h"
#include "transfer/export.h"
#include "transfer/read.h"
#include "transfer/stream.h"
#include "transfer/tree.h"
#include "transfer/write.h"
#include "vault/fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { DAY_MS = 24 * 60 * 60 * 1000 };

/* Messages whose bytes a format could spoil. */
static const char *const bodies[] = {
    "Subject: one\r\n\r\nText.\r\n",
    "Subject: quotes\r\n\r\nFrom the beginning\r\n>From there\r\n>>From\r\n>>From x\r\nFrom",
    "Subject: bare\n\nFrom me\nFro\nFromage\n",
    "\r\nNo header at all\r\n",
    "Subject: no end\r\n\r\nlast line",
    "Subject: own\r\nStatus: RO\r\nX-Status: A\r\nX-UID: 99\r\nContent-Length: 3\r\n\r\nabcdef\r\n",
    "From nobody Sun Nov 22 05:00:00 2026\nSubject: from line\n\nx\n\n\n\n",
    "",
    "\n",
    "Subject: mixed\r\n\nbody\r\n\r\nFrom a@b Sun Nov 22 05:00:00 2026\r\n\r\n",
    "From ",
    "F",
    "Subject: nul\r\n\r\na\0b\r\n",
};

static uint32_t append(struct fixture *f, int64_t folder_id, struct str raw, uint64_t flags,
                       int64_t date_ms, int16_t zone)
{
    struct vault_append append = {
        .raw = raw, .flags = flags, .internal_date_ms = date_ms, .internal_zone_minutes = zone};
    uint32_t uid;

    assert_int_equal(vault_message_append(f->vault, &f->task, folder_id, &append, &uid), ERR_OK);
    return uid;
}

static uint64_t keyword(struct fixture *f, const char *name)
{
    uint64_t bit;

    assert_int_equal(vault_keyword_bit(f->vault, &f->task, str_from_c(name), true, 0, &bit),
                     ERR_OK);
    return bit;
}

#define TEN "\xd0\x96\xd0\x96\xd0\x96\xd0\x96\xd0\x96\xd0\x96\xd0\x96\xd0\x96\xd0\x96\xd0\x96"
#define FIFTY "01234567890123456789012345678901234567890123456789"
#define LONG FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY

static void fill(struct fixture *f)
{
    static const char *const names[] = {
        "Work/Plans", "Work/Plans/a.b", "R\xc3\xa4um/\xe2\x82\xac", ".hidden", "a:b?",
        "Work/Plans/a_b",
        /* levels of a Maildir */
        "new", "Work/cur", "cur/new/x", "news",
        /* more than a file's name may have, when encoded; and alike */
        TEN TEN TEN TEN TEN "/" TEN TEN, TEN TEN TEN TEN TEN "/" TEN, LONG "1", LONG "2"};
    uint32_t gone[3], *uids;
    size_t count;
    char text[200];
    char *large = mem_new(300 * 1024, 1);

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_int_equal(vault_folder_create(f->vault, &f->task, str_from_c(names[i]),
                                             VAULT_USE_NONE),
                         ERR_OK);
    assert_int_equal(vault_folder_subscribe(f->vault, &f->task, STR("Work/Plans"), true), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct str raw = i + 1 == ARRAY_LEN(bodies) ? STR("Subject: nul\r\n\r\na\0b\r\n")
                                                    : str_from_c(bodies[i]);
        int64_t folder_id = i % 3 == 0   ? f->inbox
                            : i % 3 == 1 ? fixture_folder_id(f, "Work/Plans")
                                         : fixture_folder_id(f, "R\xc3\xa4um/\xe2\x82\xac");

        append(f, folder_id, raw, i & 31, 1700000000123 + (int64_t)i * 86400000,
               (int16_t)((int)i * 30 - 120));
    }
    for (size_t i = 6; i < ARRAY_LEN(names); i++)
        append(f, fixture_folder_id(f, names[i]), fixture_message(f, names[i]), 0, 951782400000, 0);
    for (unsigned i = 0; i < 30; i++) { /* more keywords than a Maildir has letters */
        snprintf(text, sizeof(text), "$Key%u", i);
        append(f, f->inbox, fixture_message(f, text), keyword(f, text) | keyword(f, "Work") | 1,
               1700000000000 + i, 60);
    }
    memset(large, 'x', 300 * 1024 - 1);
    for (size_t i = 70; i < 300 * 1024; i += 71)
        large[i] = '\n';
    memcpy(large, "Subject: large\n\n", 16);
    append(f, f->archive, str_make(large, 300 * 1024 - 1), 0, 951782400000, 0);
    /* UIDs with holes, and one that is used up at the end. */
    for (size_t i = 0; i < ARRAY_LEN(gone); i++)
        gone[i] = append(f, f->archive, fixture_message(f, "gone"), VAULT_FLAG_DELETED, 0, 0);
    append(f, f->archive, fixture_message(f, "stays"), 0, 951782400000, 0);
    gone[2] = append(f, f->archive, fixture_message(f, "gone"), VAULT_FLAG_DELETED, 0, 0);
    assert_int_equal(vault_message_expunge(f->vault, &f->task, f->archive, NULL, 0, &uids, &count),
                     ERR_OK);
    assert_int_equal(count, 4);
    mem_free(&large);
}

/* --- There and back --- */

static int write_file(struct fixture *f, enum transfer_format format, const struct str *folders,
                      size_t folder_count)
{
    const struct transfer_export options = {.folders = folders, .folder_count = folder_count};
    CLEANUP(transfer_write_free) struct transfer_writer *writer = NULL;
    struct transfer_totals totals;
    int fd;

    assert_int_equal(memfd_new(&f->task, &fd), ERR_OK);
    if (transfer_write_open(&f->task, fd, format, &writer) != ERR_OK ||
        transfer_export(f->vault, &f->task, &options, transfer_write_sink(writer), &totals) !=
            ERR_OK ||
        transfer_write_end(writer, &f->task) != ERR_OK)
        fail_msg("export: %s", f->task.words);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

/* What it is unpacked into has names that file systems take, each once. */
static void check_names(int fd)
{
    CLEANUP(tree_close) struct tree *tree = NULL;
    CLEANUP(task_done) struct task task;
    CLEANUP(buf_free) struct buf seen;
    struct tree_file file;
    bool has_file;

    task_init(&task, 0);
    buf_init(&seen, SIZE_MAX);
    assert_int_equal(tree_open(&task, fd, STR(""), &tree), ERR_OK);
    for (;;) {
        struct str rest, level;

        assert_int_equal(tree_next(tree, &task, &file, &has_file), ERR_OK);
        if (!has_file)
            return;
        level = arena_printf(&task.arena, "\n%.*s\n", STR_ARG(file.path));
        assert_true(str_find(buf_str(&seen), level) < 0);
        buf_put(&seen, level);
        rest = file.path;
        while (str_split(&rest, '/', &level))
            assert_true(level.len <= 255);
    }
}

/* The other end, in a process of its own as in life. */
static pid_t start_feeding(int file_fd, const int pair[2])
{
    pid_t pid = fork();

    if (pid == 0) {
        struct transfer_feed *feed = transfer_feed_new(pair[1]);
        struct transfer_totals totals;
        struct task task;
        enum err err;

        close(pair[0]);
        alarm(60);
        task_init(&task, 0);
        err = transfer_read(&task, file_fd, STR("INBOX"), transfer_feed_sink(feed));
        if (err == ERR_OK)
            err = transfer_feed_end(feed, &task, &totals);
        if (err != ERR_OK)
            (void)fprintf(stderr, "reading: %s\n", task.words);
        _exit(err == ERR_OK ? 0 : 1);
    }
    return pid;
}

static enum err absorb_from(struct fixture *f, int fd, const struct transfer_absorb_options *options,
                            uint64_t stop_after, struct transfer_totals *out)
{
    CLEANUP(transfer_absorb_free) struct transfer_absorb *absorb =
        transfer_absorb_new(f->vault, options);
    char *room = arena_alloc(&f->task.arena, 1 << 16, 1);

    while (!transfer_absorb_is_done(absorb)) {
        struct buf *output = transfer_absorb_output(absorb);
        size_t want = transfer_absorb_room(absorb);
        bool has_more = true;

        while (has_more)
            TRY(transfer_absorb_step(absorb, &f->task, &has_more));
        transfer_absorb_totals(absorb, out);
        if (out->messages >= stop_after)
            return ERR_OK;
        TRY(fd_write_all(&f->task, fd, buf_str(output)));
        buf_consume(output, output->len);
        if (transfer_absorb_is_done(absorb))
            break;
        want = transfer_absorb_room(absorb);
        {
            ssize_t got = read(fd, room, want < 1 << 16 ? want : 1 << 16);

            if (got <= 0)
                return ERR_IO;
            transfer_absorb_input(absorb, str_make(room, (size_t)got));
        }
    }
    transfer_absorb_totals(absorb, out);
    return ERR_OK;
}

static void read_file(struct fixture *f, int fd, bool skips_duplicates, uint64_t stop_after,
                      struct transfer_totals *out)
{
    const struct transfer_absorb_options options = {.skips_duplicates = skips_duplicates};
    int pair[2], status;
    pid_t pid;

    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    pid = start_feeding(fd, pair);
    close(pair[1]);
    if (absorb_from(f, pair[0], &options, stop_after, out) != ERR_OK)
        fail_msg("absorb: %s", f->task.words);
    close(pair[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(stop_after == UINT64_MAX ? status : 0, 0);
}

/* --- Comparing --- */

static const char *keywords_text(struct fixture *f, uint64_t flags)
{
    CLEANUP(buf_free) struct buf out;
    const char *names[64];
    size_t count = 0;

    buf_init(&out, SIZE_MAX);
    for (unsigned bit = VAULT_KEYWORD_FIRST; bit < VAULT_KEYWORD_END; bit++) {
        if ((flags >> bit & 1) != 0)
            names[count++] =
                arena_copy(&f->task.arena, vault_keyword_name(f->vault, bit)).ptr;
    }
    for (size_t i = 0; i < count; i++) /* few: in the order of their names */
        for (size_t j = i + 1; j < count; j++)
            if (strcmp(names[j], names[i]) < 0) {
                const char *swapped = names[i];

                names[i] = names[j];
                names[j] = swapped;
            }
    for (size_t i = 0; i < count; i++)
        buf_putf(&out, " %s", names[i]);
    return arena_copy(&f->task.arena, buf_str(&out)).ptr;
}

static void compare_folder(struct fixture *a, struct fixture *b, const struct vault_folder *folder,
                           bool has_zones)
{
    struct vault_cursor *one, *other;
    struct vault_message left, right;
    struct vault_folder found;
    bool has_left, has_right;

    if (vault_folder_find(b->vault, &b->task, folder->name, &found) != ERR_OK)
        fail_msg("no folder %.*s", STR_ARG(folder->name));
    assert_int_equal(found.use, folder->use);
    assert_int_equal(found.message_count, folder->message_count);
    if (folder->message_count == 0)
        return;
    assert_int_equal(found.uidnext, folder->uidnext);
    assert_int_equal(found.uidvalidity, folder->uidvalidity);
    assert_int_equal(vault_cursor_open(a->vault, &a->task, folder->id, 1, UINT32_MAX,
                                       VAULT_COLUMN_FLAGS | VAULT_COLUMN_DATES, false, &one),
                     ERR_OK);
    assert_int_equal(vault_cursor_open(b->vault, &b->task, found.id, 1, UINT32_MAX,
                                       VAULT_COLUMN_FLAGS | VAULT_COLUMN_DATES, false, &other),
                     ERR_OK);
    for (;;) {
        struct str bytes;

        assert_int_equal(vault_cursor_next(one, &a->task, &left, &has_left), ERR_OK);
        assert_int_equal(vault_cursor_next(other, &b->task, &right, &has_right), ERR_OK);
        assert_int_equal(has_left, has_right);
        if (!has_left)
            break;
        assert_int_equal(left.uid, right.uid);
        assert_int_equal(left.flags & 31, right.flags & 31);
        assert_string_equal(keywords_text(a, left.flags), keywords_text(b, right.flags));
        assert_int_equal(left.internal_date_ms, right.internal_date_ms);
        if (has_zones)
            assert_int_equal(left.internal_zone_minutes, right.internal_zone_minutes);
        bytes = fixture_read(a, folder->id, left.uid);
        if (!str_equal(bytes, fixture_read(b, found.id, right.uid)))
            fail_msg("%.*s, %u: other bytes", STR_ARG(folder->name), left.uid);
    }
    vault_cursor_close(&one);
    vault_cursor_close(&other);
}

static void compare(struct fixture *a, struct fixture *b)
{
    struct vault_folder *folders;
    size_t count;

    assert_int_equal(vault_folder_list(a->vault, &a->task, &folders, &count), ERR_OK);
    for (size_t i = 0; i < count; i++)
        compare_folder(a, b, &folders[i], true);
}

/* One that was made a day later, as any mailbox that a user comes to. */
static void set_up_later(void **state)
{
    struct fixture *f;

    fixture_set_up(state);
    f = *state;
    vault_close(&f->vault);
    unlink(f->path);
    f->task.now_ms += DAY_MS;
    assert_int_equal(vault_create(&f->task, &f->options, f->key, &f->vault), ERR_OK);
    f->inbox = fixture_folder_id(f, "INBOX");
    f->archive = fixture_folder_id(f, "Archive");
}

static void test_round_trip(void **state)
{
    static const enum transfer_format formats[] = {TRANSFER_MBOX, TRANSFER_MAILDIR, TRANSFER_EML,
                                                   TRANSFER_ZIP};
    struct fixture *f = *state;

    fill(f);
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        struct transfer_totals totals, again;
        struct vault_usage usage;
        struct fixture *other;
        void *other_state;
        int fd = write_file(f, formats[i], NULL, 0);

        check_names(fd);
        set_up_later(&other_state);
        other = other_state;
        read_file(other, fd, false, UINT64_MAX, &totals);
        vault_usage(f->vault, &usage);
        assert_int_equal(totals.messages, usage.messages);
        assert_int_equal(totals.bytes, usage.bytes);
        compare(f, other);
        /* Once more: all of it is there. */
        read_file(other, fd, true, UINT64_MAX, &again);
        assert_int_equal(again.messages, 0);
        assert_int_equal(again.skipped, usage.messages);
        compare(f, other);
        close(fd);
        fixture_tear_down(&other_state);
    }
}

static void test_single_mbox(void **state)
{
    const struct str name = STR("INBOX");
    struct fixture *f = *state, *other;
    struct transfer_totals totals;
    struct vault_folder folder;
    void *other_state;
    int fd;

    fill(f);
    fd = write_file(f, TRANSFER_MBOX_SINGLE, &name, 1);
    set_up_later(&other_state);
    other = other_state;
    read_file(other, fd, false, UINT64_MAX, &totals);
    assert_int_equal(vault_folder_find(f->vault, &f->task, name, &folder), ERR_OK);
    compare_folder(f, other, &folder, true);
    close(fd);
    fixture_tear_down(&other_state);
}

/* Stopped in the middle and begun again, with what is there skipped: each message once. */
static void test_interrupted(void **state)
{
    struct fixture *f = *state, *other;
    struct transfer_totals totals, rest;
    struct vault_usage usage;
    void *other_state;
    int fd;

    fill(f);
    /* Twice the same is two messages. */
    append(f, f->inbox, fixture_message(f, "twin"), 0, 0, 0);
    append(f, f->inbox, fixture_message(f, "twin"), 0, 0, 0);
    vault_usage(f->vault, &usage);
    fd = write_file(f, TRANSFER_MAILDIR, NULL, 0);
    set_up_later(&other_state);
    other = other_state;
    read_file(other, fd, true, 20, &totals);
    assert_in_range(totals.messages, 20, usage.messages - 1);
    read_file(other, fd, true, UINT64_MAX, &rest);
    assert_int_equal(rest.skipped, totals.messages);
    assert_int_equal(rest.messages, usage.messages - totals.messages);
    compare(f, other);
    close(fd);
    fixture_tear_down(&other_state);
}

static void test_no_such_folder(void **state)
{
    const struct str name = STR("Nowhere");
    const struct transfer_export options = {.folders = &name, .folder_count = 1};
    CLEANUP(transfer_write_free) struct transfer_writer *writer = NULL;
    struct fixture *f = *state;
    struct transfer_totals totals;

    assert_int_equal(transfer_write_open(&f->task, 1, TRANSFER_EML, &writer), ERR_OK);
    assert_int_equal(transfer_export(f->vault, &f->task, &options, transfer_write_sink(writer),
                                     &totals),
                     ERR_NOT_FOUND);
}

/* A format that wants an index has room for so many; with many long keywords that is soon. */
static void test_more_than_an_index_has_room_for(void **state)
{
    static const enum transfer_format formats[] = {TRANSFER_MAILDIR, TRANSFER_EML, TRANSFER_ZIP};
    struct fixture *f = *state;
    const struct transfer_folder folder = {.name = STR("Work/Plans"), .is_selectable = true};
    struct str keywords[TRANSFER_KEYWORDS_MAX];

    for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
        keywords[i] = arena_printf(&f->task.arena, LONG "%zu", i);
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        CLEANUP(transfer_write_free) struct transfer_writer *writer = NULL;
        CLEANUP(fd_close) int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        const struct transfer_sink *sink;
        enum err err = ERR_OK;
        struct task task;
        uint32_t uid = 0;

        task_init(&task, 0);
        assert_int_equal(transfer_write_open(&task, fd, formats[i], &writer), ERR_OK);
        sink = transfer_write_sink(writer);
        assert_int_equal(sink->folder(sink->owner, &task, &folder), ERR_OK);
        while (err == ERR_OK && uid < 10000) {
            struct transfer_message message = {
                .uid = ++uid, .keywords = keywords, .keyword_count = ARRAY_LEN(keywords)};
            struct task one;

            task_init(&one, 0);
            err = sink->plan_message(sink->owner, &one, &message);
            if (err != ERR_OK)
                (void)(fail)(&task, err, "%s", one.words);
            task_done(&one);
        }
        assert_int_equal(err, ERR_LIMIT);
        assert_in_range(uid, 6000, 9999); /* of 128 MiB */
        assert_non_null(strstr(task.words, "\"Work/Plans\" has more messages than"));
        assert_non_null(strstr(task.words, "mbox"));
        task_done(&task);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_single_mbox, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_interrupted, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_no_such_folder, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_more_than_an_index_has_room_for, fixture_set_up,
                                        fixture_tear_down),
    };

    fixture_init_libraries();
    secret_set_inherited(true);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
