/*
 * SORT against a simple model: random messages and criteria, while messages come and go, sessions
 * too, and their keys are made, kept and remembered. THREAD's answers, remembered, against those of a
 * session that remembers nothing. And how much is remembered.
 */
#include "imap/session.h"
#include "imap/engine.h"
#include "imap/sort_criteria.h"
#include "imap/sort_extend.h"
#include "imap/sort_memory.h"
#include "imap/transcript_vault.h"
#include "imap/view.h"

#include "base/memory.h"
#include "message/message.h"
#include "vault/folder.h"
#include "vault/vault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { ROUNDS = 120, SORTS = 8, MAIL_MAX = 600, TEXTS = 6, CRITERIA = 9 };

static const int64_t NOW_MS = INT64_C(1795323600000);
static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "test"};

static uint32_t seed = 99;

static uint32_t random_to(uint32_t bound)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % bound;
}

/* ---- The model ---- */

/* Subjects with what is compared of them; some differ behind their first eight bytes only. */
static const struct {
    const char *subject, *base;
} SUBJECTS[] = {
    {"", ""},
    {"Re: banana", "banana"},
    {"BANANA", "BANANA"},
    {"banana split, a long one", "banana split, a long one"},
    {"Banana split, another", "Banana split, another"},
    {"[list] \xc3\x84rger", "\xc3\x84rger"},
    {"a\xcc\x88rger (fwd)", "a\xcc\x88rger"},
    {"zebra", "zebra"},
};
static const char *const NAMES[] = {"ann",          "Bob",        "bobby.tables",
                                    "bobby.tabled", "zo\xc3\xab", "x"};

struct mail {
    int64_t numbers[CRITERIA]; /* of ARRIVAL, DATE, SIZE */
    struct str texts[CRITERIA];
};

static const char *const WORDS[CRITERIA] = {"ARRIVAL", "CC", "DATE",        "FROM",     "SIZE",
                                            "SUBJECT", "TO", "DISPLAYFROM", "DISPLAYTO"};
enum { ARRIVAL, CC, DATE, FROM, SIZE, SUBJECT, TO, DISPLAYFROM, DISPLAYTO };

struct model {
    struct transcript_vault *home;
    struct imap_group *group; /* what sessions remember together */
    struct imap_session *s;
    struct task task;
    int64_t inbox;
    struct mail mail[MAIL_MAX]; /* by UID - 1 */
    size_t mail_count;
    uint32_t view[MAIL_MAX]; /* the UIDs that the session numbers */
    size_t count;
};

static struct str say_in(struct model *m, struct imap_session *s, const char *text)
{
    struct str output;

    imap_session_input(s, str_from_c(text), NOW_MS);
    while (imap_session_wants(s) == IMAP_WANTS_TURN)
        imap_session_resume(s, NOW_MS);
    output = arena_copy(&m->task.arena, imap_session_output(s));
    imap_session_consume_output(s, SIZE_MAX);
    return output;
}

static struct str say(struct model *m, const char *text)
{
    return say_in(m, m->s, text);
}

static struct imap_session *connect(struct model *m, struct imap_group *group)
{
    struct imap_options options = {.hostname = STR("x"),
                                   .append_limit_bytes = 100000,
                                   .is_secure = true,
                                   .log = &quiet,
                                   .group = group};
    struct imap_session *s =
        imap_session_resume_authenticated(&options, transcript_vault(m->home), STR("L"));

    say_in(m, s, "s SELECT INBOX\r\n");
    return s;
}

static struct str fold(struct model *m, const char *text)
{
    struct str folded;
    struct buf out;

    buf_init(&out, SIZE_MAX);
    message_fold(str_from_c(text), &out);
    folded = arena_copy(&m->task.arena, buf_str(&out));
    buf_free(&out);
    return folded;
}

static void append(struct model *m)
{
    struct mail *mail = &m->mail[m->mail_count++];
    const char *from = NAMES[random_to(TEXTS)], *to = NAMES[random_to(TEXTS)],
               *cc = NAMES[random_to(TEXTS)];
    uint32_t subject = random_to(ARRAY_LEN(SUBJECTS)), day = 1 + random_to(20), uid;
    struct vault_append one = {.internal_date_ms = NOW_MS + (int64_t)random_to(9) * 1000};

    one.raw = arena_printf(&m->task.arena,
                           "From: %s\r\nTo: \"%s!\" <%s@x>\r\nCc: %s@x\r\nSubject: %s\r\n"
                           "Date: %u Jan 1970 00:00:00 +0000\r\n\r\n%.*s\r\n",
                           arena_printf(&m->task.arena, "%s@x", from).ptr, to, to, cc,
                           SUBJECTS[subject].subject, day, (int)random_to(5), "xxxxx");
    mail->numbers[ARRIVAL] = one.internal_date_ms;
    mail->numbers[DATE] = (int64_t)(day - 1) * 86400 * 1000;
    mail->numbers[SIZE] = (int64_t)one.raw.len;
    mail->texts[CC] = fold(m, cc);
    mail->texts[FROM] = fold(m, from);
    mail->texts[SUBJECT] = fold(m, SUBJECTS[subject].base);
    mail->texts[TO] = fold(m, to);
    mail->texts[DISPLAYFROM] = fold(m, arena_printf(&m->task.arena, "%s@x", from).ptr);
    mail->texts[DISPLAYTO] = fold(m, arena_printf(&m->task.arena, "%s!", to).ptr);
    assert_int_equal(
        vault_message_append(transcript_vault(m->home), &m->task, m->inbox, &one, &uid), ERR_OK);
    assert_int_equal(uid, m->mail_count);
}

struct criterion {
    uint32_t what;
    bool is_reverse;
};

static int compare(const struct model *m, const struct criterion *by, size_t count, uint32_t a,
                   uint32_t b)
{
    const struct mail *left = &m->mail[a - 1], *right = &m->mail[b - 1];

    for (size_t i = 0; i < count; i++) {
        int64_t numbers = left->numbers[by[i].what] - right->numbers[by[i].what];
        int order = numbers < 0 ? -1 : numbers > 0;

        if (order == 0)
            order = str_compare(left->texts[by[i].what], right->texts[by[i].what]);
        if (order != 0)
            return by[i].is_reverse ? -order : order;
    }
    return 0;
}

/* A stable sort, the simplest. */
static void insert_sorted(const struct model *m, const struct criterion *by, size_t by_count,
                          uint32_t *uids, size_t count)
{
    for (size_t i = 1; i < count; i++)
        for (size_t k = i; k > 0 && compare(m, by, by_count, uids[k - 1], uids[k]) > 0; k--) {
            uint32_t uid = uids[k];

            uids[k] = uids[k - 1];
            uids[k - 1] = uid;
        }
}

/* ---- Sorting ---- */

static void check_sort(struct model *m, const struct criterion *by, size_t by_count, uint32_t last)
{
    uint32_t expected[MAIL_MAX];
    size_t count = 0;
    struct buf line, answer;

    buf_init(&line, SIZE_MAX);
    buf_init(&answer, SIZE_MAX);
    buf_putf(&line, "a UID SORT (");
    for (size_t i = 0; i < by_count; i++)
        buf_putf(&line, "%s%s%s", i > 0 ? " " : "", by[i].is_reverse ? "REVERSE " : "",
                 WORDS[by[i].what]);
    buf_putf(&line, last == 0 ? ") UTF-8 ALL\r\n%c" : ") UTF-8 UID 1:%u\r\n", last);
    while (count < m->count && (last == 0 || m->view[count] <= last)) {
        expected[count] = m->view[count];
        count++;
    }
    insert_sorted(m, by, by_count, expected, count);
    buf_putf(&answer, "* SORT");
    for (size_t i = 0; i < count; i++)
        buf_putf(&answer, " %u", expected[i]);
    buf_putf(&answer, "\r\n");
    buf_putf(&line, "%c", '\0');
    if (!str_starts_with(say(m, line.ptr), buf_str(&answer)))
        fail_msg("%s", line.ptr);
    buf_free(&line);
    buf_free(&answer);
}

static void sort_somehow(struct model *m)
{
    uint32_t order[CRITERIA];
    struct criterion by[CRITERIA];
    size_t count = 1 + random_to(3);

    for (uint32_t i = 0; i < CRITERIA; i++)
        order[i] = i;
    for (size_t i = 0; i < count; i++) {
        size_t other = i + random_to((uint32_t)(CRITERIA - i));
        uint32_t what = order[other];

        order[other] = order[i];
        order[i] = what;
        by[i] = (struct criterion){what, random_to(2) == 0};
    }
    check_sort(m, by, count, random_to(4) == 0 ? 1 + random_to((uint32_t)m->mail_count) : 0);
}

/* ---- Threading ---- */

/* Twice: what was made, or remembered, is remembered. */
static void check_threads(struct model *m)
{
    static const char *const lines[] = {
        "a THREAD REFERENCES UTF-8 ALL\r\n", "a UID THREAD REFERENCES UTF-8 ALL\r\n",
        "a THREAD ORDEREDSUBJECT UTF-8 ALL\r\n", "a UID THREAD REFS UTF-8 UID 1:50\r\n"};
    struct imap_session *other = connect(m, NULL);

    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct str expected = say_in(m, other, lines[i]);

        for (int time = 0; time < 2; time++)
            if (!str_equal(say(m, lines[i]), expected))
                fail_msg("%s", lines[i]);
    }
    imap_session_free(&other);
}

/* ---- What happens meanwhile ---- */

static void number_all(struct model *m)
{
    say(m, "n NOOP\r\n");
}

static void expunge(struct model *m, size_t index)
{
    struct arena *arena = &m->task.arena;

    say(m, arena_printf(arena, "d UID STORE %u +FLAGS.SILENT (\\Deleted)\r\n", m->view[index]).ptr);
    say(m, "e EXPUNGE\r\n");
    memmove(m->view + index, m->view + index + 1, (m->count - index - 1) * sizeof(*m->view));
    m->count--;
}

static void housekeep(struct model *m)
{
    bool has_more = true;

    while (has_more)
        assert_int_equal(vault_housekeeping(transcript_vault(m->home), &m->task, &has_more),
                         ERR_OK);
}

static void happen(struct model *m)
{
    uint32_t what = random_to(8);

    if (what == 0) {
        for (uint32_t i = 0, count = random_to(5); i <= count && m->mail_count < MAIL_MAX; i++) {
            append(m);
            m->view[m->count++] = (uint32_t)m->mail_count;
        }
        number_all(m);
    } else if (what == 1 && m->count > 20) {
        expunge(m, random_to((uint32_t)m->count));
    } else if (what == 2) {
        housekeep(m);
    } else if (what == 3) {
        imap_session_free(&m->s);
        m->s = connect(m, m->group);
    }
}

static void begin(struct model *m, int count)
{
    struct vault_folder inbox;

    *m = (struct model){.home = transcript_vault_new(&quiet)};
    task_init(&m->task, NOW_MS);
    m->group = imap_group_new(transcript_vault(m->home));
    assert_int_equal(vault_folder_find(transcript_vault(m->home), &m->task, STR("INBOX"), &inbox),
                     ERR_OK);
    m->inbox = inbox.id;
    for (int i = 0; i < count; i++) {
        append(m);
        m->view[m->count++] = (uint32_t)m->mail_count;
    }
    m->s = connect(m, m->group);
}

static void end(struct model *m)
{
    imap_session_free(&m->s);
    imap_group_free(&m->group);
    transcript_vault_free(&m->home);
    task_done(&m->task);
}

static void test_any_order(void **state)
{
    static struct model m;

    (void)state;
    begin(&m, 200);
    for (int round = 0; round < ROUNDS; round++) {
        happen(&m);
        for (int i = 0; i < SORTS; i++)
            sort_somehow(&m);
        if (round % 8 == 0)
            check_threads(&m);
    }
    end(&m);
}

static void come(struct model *m, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        append(m);
        m->view[m->count++] = (uint32_t)m->mail_count;
    }
    number_all(m);
}

/* A few that came are put into all orders that are remembered; if they are many, all is sorted anew, and
 * other orders are forgotten. */
static void test_what_came_is_put_in(void **state)
{
    static const struct criterion by_subject = {SUBJECT, false}, by_date = {DATE, true};
    static struct model m;
    const struct imap_sort_folder *known;

    (void)state;
    begin(&m, 100);
    known = &imap_group_memory(m.group)->folders[0];
    check_sort(&m, &by_subject, 1, 0);
    check_sort(&m, &by_date, 1, 0);
    for (int round = 0; round < 8; round++) {
        come(&m, round == 4 ? IMAP_SORT_EXTEND_MAX : (size_t)round + 1);
        check_sort(&m, &by_date, 1, 0);
        assert_int_equal(known->count, m.count);
        assert_non_null(known->ranks[IMAP_SORT_SUBJECT]);
        check_sort(&m, &by_subject, 1, 0);
        expunge(&m, random_to((uint32_t)m.count));
    }
    come(&m, IMAP_SORT_EXTEND_MAX + 1);
    check_sort(&m, &by_date, 1, 0);
    assert_null(known->ranks[IMAP_SORT_SUBJECT]);
    check_sort(&m, &by_subject, 1, 0);
    end(&m);
}

/* What a sender made long is paid for, too. */
static void test_long_headers_give_way(void **state)
{
    static struct model m;
    struct buf raw;
    uint32_t uid;
    unsigned turns = 0;

    (void)state;
    begin(&m, 0);
    buf_init(&raw, SIZE_MAX);
    buf_put(&raw, STR("References:"));
    for (int i = 0; i < 2500; i++)
        buf_putf(&raw, " <%040d@x>\r\n", i);
    buf_put(&raw, STR("\r\n"));
    for (int i = 0; i < 30; i++) {
        struct vault_append one = {.raw = buf_str(&raw), .internal_date_ms = NOW_MS};

        assert_int_equal(
            vault_message_append(transcript_vault(m.home), &m.task, m.inbox, &one, &uid), ERR_OK);
    }
    say(&m, "n NOOP\r\n");
    imap_session_input(m.s, STR("s SORT (SUBJECT) UTF-8 ALL\r\n"), NOW_MS);
    for (; imap_session_wants(m.s) == IMAP_WANTS_TURN; turns++)
        imap_session_resume(m.s, NOW_MS);
    assert_true(turns >= 3);
    buf_free(&raw);
    end(&m);
}

/* ---- The memory ---- */

static size_t remembered_bytes(const struct imap_sort_memory *memory)
{
    size_t bytes = 0;

    for (size_t f = 0; f < IMAP_SORT_MEMORY_FOLDERS; f++) {
        const struct imap_sort_folder *folder = &memory->folders[f];
        size_t arrays = folder->uids != NULL;

        for (size_t i = 0; i < IMAP_SORT_MEMORY_CRITERIA; i++)
            arrays += folder->ranks[i] != NULL;
        for (size_t i = 0; i < IMAP_SORT_MEMORY_THREADS; i++)
            bytes += folder->threads[i].len;
        bytes += arrays * folder->count * sizeof(uint32_t);
    }
    return bytes;
}

static void make_view(struct imap_view *view, uint32_t first_uid, size_t count)
{
    imap_view_done(view);
    view->uids = mem_room(count * sizeof(*view->uids));
    view->count = view->room = count;
    for (size_t i = 0; i < count; i++)
        view->uids[i] = first_uid + (uint32_t)i;
}

static void test_memory_is_bounded(void **state)
{
    static const size_t counts[] = {1, 1000, 100000, 262144, 262145, 1000000};
    struct imap_sort_memory memory = {0};
    struct imap_view view;
    uint32_t *ranks = NEW_ARRAY(uint32_t, 1000000), *got = NEW_ARRAY(uint32_t, 1000000);

    (void)state;
    imap_view_init(&view);
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        uint32_t all = 0, below = 0;
        bool is_small = counts[i] <= 262144;
        struct str long_answer = str_make((const char *)ranks, 1000000);

        make_view(&view, 1, counts[i]);
        view.folder_id = (int64_t)i;
        for (unsigned c = 0; c < IMAP_SORT_MEMORY_CRITERIA; c++) {
            ranks[0] = c;
            imap_sort_remember(&memory, &view, c, ranks);
            assert_true(remembered_bytes(&memory) <= IMAP_SORT_MEMORY_BYTES);
            assert_int_equal(imap_sort_recall(&memory, &view, c, &all, 1, got, &below), is_small);
            assert_true(!is_small || (got[0] == c && below == counts[i]));
        }
        for (unsigned kind = 0; kind < IMAP_SORT_MEMORY_THREADS; kind++) {
            imap_thread_remember(&memory, &view, kind, long_answer);
            assert_true(remembered_bytes(&memory) <= IMAP_SORT_MEMORY_BYTES);
            assert_int_equal(imap_thread_recall(&memory, &view, kind).len,
                             counts[i] < 1000000 ? long_answer.len : 0);
        }
    }
    imap_view_done(&view);
    imap_sort_forget(&memory);
    assert_int_equal(remembered_bytes(&memory), 0);
    mem_free(&ranks);
    mem_free(&got);
}

/* What went is left out, what came makes it unknown; other messages' ranks are not kept beside. */
static void test_memory_follows_the_view(void **state)
{
    static const uint32_t ranks[] = {3, 2, 1, 0}, found[] = {0, 2}, middle = 1;
    struct imap_sort_memory memory = {0};
    struct imap_view view;
    uint32_t got[2], below;

    (void)state;
    imap_view_init(&view);
    make_view(&view, 10, 4);
    imap_sort_remember(&memory, &view, 0, ranks);
    imap_thread_remember(&memory, &view, 0, STR("* THREAD"));
    assert_true(imap_sort_recall(&memory, &view, 0, found, 2, got, &below));
    assert_true(got[0] == 3 && got[1] == 1);
    assert_false(imap_sort_recall(&memory, &view, 1, found, 2, got, &below));
    assert_true(str_equal(imap_thread_recall(&memory, &view, 0), STR("* THREAD")));
    assert_null(imap_thread_recall(&memory, &view, 1).ptr);
    view.uids[1] = 12; /* 11 went */
    view.uids[2] = 13;
    view.count = 3;
    assert_true(imap_sort_recall(&memory, &view, 0, found, 2, got, &below));
    assert_true(got[0] == 3 && got[1] == 0 && below == 4);
    assert_null(imap_thread_recall(&memory, &view, 0).ptr);
    imap_sort_remember(&memory, &view, 1, ranks);
    assert_false(imap_sort_recall(&memory, &view, 0, found, 2, got, &below));
    view.uids[1] = 11; /* one that is not known, between others */
    assert_false(imap_sort_recall(&memory, &view, 1, &middle, 1, got, &below));
    view.uids[1] = 12;
    view.uids[2] = 14; /* and another came */
    assert_false(imap_sort_recall(&memory, &view, 1, found, 2, got, &below));
    assert_true(imap_sort_recall(&memory, &view, 1, found, 1, got, &below));
    imap_view_done(&view);
    imap_sort_forget(&memory);
}

/* The last few are known; a folder that begins anew is another. */
static void test_memory_is_of_folders(void **state)
{
    static const uint32_t ranks[] = {1, 0}, found[] = {0, 1};
    struct imap_sort_memory memory = {0};
    struct imap_view view;
    uint32_t got[2], below;

    (void)state;
    imap_view_init(&view);
    make_view(&view, 10, 2);
    for (view.folder_id = 0; view.folder_id < IMAP_SORT_MEMORY_FOLDERS; view.folder_id++)
        imap_sort_remember(&memory, &view, 0, ranks);
    view.folder_id = 0; /* is now the one that was asked for last */
    assert_true(imap_sort_recall(&memory, &view, 0, found, 2, got, &below));
    view.folder_id = 100;
    assert_false(imap_sort_recall(&memory, &view, 0, found, 2, got, &below));
    imap_sort_remember(&memory, &view, 0, ranks);
    view.folder_id = 1;
    assert_false(imap_sort_recall(&memory, &view, 0, found, 2, got, &below));
    view.folder_id = 0;
    assert_true(imap_sort_recall(&memory, &view, 0, found, 2, got, &below));
    view.uidvalidity = 2;
    assert_false(imap_sort_recall(&memory, &view, 0, found, 2, got, &below));
    imap_view_done(&view);
    imap_sort_forget(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_what_came_is_put_in),
        cmocka_unit_test(test_long_headers_give_way),
        cmocka_unit_test(test_memory_is_bounded),
        cmocka_unit_test(test_memory_follows_the_view),
        cmocka_unit_test(test_memory_is_of_folders),
    };

    transcript_vault_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
