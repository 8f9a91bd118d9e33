/*
 * What a view remembers of its messages is what their rows say: of planes and columns against plain
 * arrays, and of SEARCH against a model, while two sessions change flags, expunge, append, idle and
 * sleep.
 */
#include "imap/facts.h"

#include "base/memory.h"
#include "imap/hibernate.h"
#include "imap/session.h"
#include "imap/transcript_vault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const int64_t NOW_MS = INT64_C(1795323600000);
static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "test"};

static uint32_t seed = 20261126;

static uint32_t random_to(uint32_t bound)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % bound;
}

/* ---- Planes and columns ---- */

enum { PLAIN_MAX = 700 };

struct plain {
    uint64_t flags[PLAIN_MAX];
    int32_t days[PLAIN_MAX];
    size_t count, days_known;
};

static void check_facts(const struct imap_facts *facts, const struct plain *plain)
{
    uint64_t flags = (uint64_t)random_to(UINT32_MAX) << random_to(32);
    int64_t day = (int64_t)random_to(40) - 20;

    for (size_t i = 0; i < plain->count; i++) {
        uint64_t found = imap_facts_with_flags(facts, flags, i / 64) >> (i % 64) & 1;

        assert_int_equal(found, (plain->flags[i] & flags) != 0);
    }
    assert_int_equal(imap_facts_known(facts, IMAP_COLUMN_DAY), plain->days_known);
    assert_int_equal(imap_facts_have(facts, IMAP_COLUMN_DAY), plain->days_known == plain->count);
    for (size_t i = 0; i < plain->days_known; i++) {
        uint64_t from = imap_facts_from(facts, IMAP_COLUMN_DAY, day, i / 64) >> (i % 64) & 1;
        uint64_t to = imap_facts_to(facts, IMAP_COLUMN_DAY, day, i / 64) >> (i % 64) & 1;

        assert_int_equal(from, plain->days[i] >= day);
        assert_int_equal(to, plain->days[i] <= day);
    }
}

static void remove_some(struct imap_facts *facts, struct plain *plain)
{
    size_t indexes[PLAIN_MAX], count = 0, kept = 0, known = 0;
    uint32_t rarity = 1 + random_to(200);

    for (size_t i = 0; i < plain->count; i++) {
        if (random_to(rarity) == 0) {
            indexes[count++] = i;
            continue;
        }
        plain->flags[kept] = plain->flags[i];
        plain->days[kept++] = plain->days[i];
        known += i < plain->days_known;
    }
    plain->count = kept;
    plain->days_known = known;
    imap_facts_remove(facts, indexes, count);
}

/* New flags for some neighbours, which may be none. */
static void set_some(struct imap_facts *facts, struct plain *plain)
{
    static struct vault_uid_flags now[PLAIN_MAX];
    size_t index = random_to((uint32_t)plain->count + 1);
    size_t count = random_to((uint32_t)(plain->count - index) + 1);

    for (size_t i = 0; i < count; i++) {
        now[i].flags = plain->flags[index + i] = UINT64_C(1) << random_to(6) | random_to(4);
    }
    imap_facts_set_run(facts, index, now, count);
}

static void test_planes_and_columns(void **state)
{
    (void)state;
    static struct plain plain;

    for (int round = 0; round < 60; round++) {
        struct imap_facts *facts = imap_facts_new();

        plain.count = plain.days_known = 0;
        for (int step = 0; step < 400; step++) {
            uint64_t flags =
                UINT64_C(1) << random_to(round % 2 == 0 ? 6 : 63) | UINT64_C(1) << random_to(4);

            if (random_to(3) > 0 && plain.count < PLAIN_MAX) {
                flags = random_to(2) == 0 ? 0 : flags;
                imap_facts_add(facts, flags);
                plain.flags[plain.count++] = flags;
            } else if (plain.count > 0) {
                size_t index = random_to((uint32_t)plain.count);

                imap_facts_set_flags(facts, index, flags);
                plain.flags[index] = flags;
            }
            if (random_to(20) == 0)
                set_some(facts, &plain);
            if (random_to(4) > 0 && plain.days_known < plain.count) {
                int32_t day = random_to(10) == 0 ? INT32_MIN : (int32_t)random_to(40) - 20;

                imap_facts_put(facts, IMAP_COLUMN_DAY, day);
                plain.days[plain.days_known++] = day;
            }
            if (random_to(60) == 0)
                remove_some(facts, &plain);
            if (random_to(150) == 0)
                imap_facts_rest(facts); /* they are few */
            if (random_to(20) == 0)
                check_facts(facts, &plain);
        }
        imap_facts_free(&facts);
    }
}

/* ---- Two sessions ---- */

enum { MAILS_MAX = 6000, FLAGS = 7, DEPTH = 3, FIRST_DAY = 20454 /* 2026-01-01 */ };

static const char *const FLAG_NAMES[FLAGS] = {"\\Seen",  "\\Answered", "\\Flagged", "\\Deleted",
                                              "\\Draft", "$one",       "$two"};
static const char *const FLAG_KEYS[FLAGS] = {"SEEN",  "ANSWERED",     "FLAGGED",     "DELETED",
                                             "DRAFT", "KEYWORD $one", "KEYWORD $two"};

struct mail {
    uint32_t uid;
    unsigned flags;    /* 1 << number in FLAG_NAMES */
    int day, sent_day; /* from FIRST_DAY; sent -1: no date */
    size_t size;
    struct str subject, body; /* in the pair's arena */
    bool is_gone, is_new;     /* the watched session has not been told */
};

struct pair {
    struct transcript_vault *home;
    struct imap_session *watched, *other;
    struct mail mails[MAILS_MAX];
    size_t count;
    uint32_t next_uid;
    struct arena arena;
    struct task task; /* of one round */
};

static struct imap_options options(void)
{
    return (struct imap_options){
        .hostname = STR("x"), .append_limit_bytes = 100000, .is_secure = true, .log = &quiet};
}

static struct str say(struct imap_session *s, struct task *task, struct str text)
{
    struct str output;
    struct buf all;

    buf_init(&all, SIZE_MAX);
    imap_session_input(s, text, NOW_MS);
    for (;;) {
        buf_put(&all, imap_session_output(s));
        imap_session_consume_output(s, SIZE_MAX);
        if (imap_session_wants(s) != IMAP_WANTS_TURN && imap_session_wants(s) != IMAP_WANTS_ROOM)
            break;
        imap_session_resume(s, NOW_MS);
    }
    output = arena_copy(&task->arena, buf_str(&all));
    buf_free(&all);
    return output;
}

static void must(struct imap_session *s, struct task *task, struct str command)
{
    struct str text = arena_printf(&task->arena, "x %.*s\r\n", STR_ARG(command));
    struct str answer = say(s, task, text);

    if (str_find(answer, STR("x OK")) < 0)
        fail_msg("%.*s: %.*s", STR_ARG(command), STR_ARG(answer));
}

static struct imap_session *connect(struct pair *pair)
{
    struct imap_options how = options();
    struct imap_session *s =
        imap_session_resume_authenticated(&how, transcript_vault(pair->home), STR("L"));

    must(s, &pair->task, STR("SELECT INBOX"));
    return s;
}

/* Some of three words, in their order. */
static struct str random_text(struct arena *arena)
{
    static const char *const WORDS[] = {"alpha", "beta", "gamma"};
    struct str text = STR("");

    for (int i = 0; i < 3; i++)
        if (random_to(3) > 0)
            text =
                arena_printf(arena, "%.*s%s%s", STR_ARG(text), text.len > 0 ? " " : "", WORDS[i]);
    return text;
}

static void append(struct pair *pair, struct imap_session *s)
{
    struct mail *mail = &pair->mails[pair->count++];
    struct str date = STR(""), raw;

    *mail = (struct mail){.uid = pair->next_uid++, .flags = 1u << random_to(FLAGS), .is_new = true};
    mail->day = (int)random_to(28);
    mail->sent_day = random_to(5) == 0 ? -1 : (int)random_to(28);
    if (mail->sent_day >= 0)
        date = arena_printf(&pair->task.arena, "Date: %d Jan 2026 23:30:00 -0500\r\n",
                            mail->sent_day + 1);
    mail->subject = random_text(&pair->arena);
    mail->body = random_text(&pair->arena);
    raw = arena_printf(&pair->task.arena, "%.*sSubject: %.*s\r\n\r\n%.*s%*s", STR_ARG(date),
                       STR_ARG(mail->subject), STR_ARG(mail->body), (int)random_to(90), "");
    mail->size = raw.len;
    must(s, &pair->task,
         arena_printf(
             &pair->task.arena, "APPEND INBOX (%s) \"%02d-Jan-2026 00:30:00 +0300\" {%zu+}\r\n%.*s",
             FLAG_NAMES[__builtin_ctz(mail->flags)], mail->day + 1, raw.len, STR_ARG(raw)));
}

/* ---- Keys ---- */

static struct str random_key(struct arena *arena, int depth)
{
    static const char *const DAYS[] = {"BEFORE",     "ON",     "SINCE",
                                       "SENTBEFORE", "SENTON", "SENTSINCE"};
    static const char *const FIELDS[] = {"SUBJECT", "BODY", "HEADER Subject", "HEADER X-Other"};
    static const char *const TEXTS[] = {"alpha", "beta", "lph", "alpha beta", "a ga", "zeta"};
    enum { TEXT_KINDS = 2 };
    uint32_t kind = random_to((depth == 0 ? 4 : 8) + TEXT_KINDS);
    struct str left, right;

    if (kind < TEXT_KINDS)
        return arena_printf(arena, "%s \"%s\"", FIELDS[random_to(4)], TEXTS[random_to(6)]);
    kind -= TEXT_KINDS;
    if (kind < 2)
        return arena_printf(arena, "%s%s", random_to(3) == 0 ? "NOT " : "",
                            FLAG_KEYS[random_to(FLAGS)]);
    if (kind == 2)
        return arena_printf(arena, "%s %u-Jan-2026", DAYS[random_to(6)], 1 + random_to(28));
    if (kind == 3)
        return arena_printf(arena, "%s %u", random_to(2) == 0 ? "LARGER" : "SMALLER",
                            random_to(200));
    left = random_key(arena, depth - 1);
    right = random_key(arena, depth - 1);
    if (kind == 4)
        return arena_printf(arena, "NOT (%.*s)", STR_ARG(left));
    if (kind == 5)
        return arena_printf(arena, "OR %.*s %.*s", STR_ARG(left), STR_ARG(right));
    return arena_printf(arena, "(%.*s %.*s)", STR_ARG(left), STR_ARG(right));
}

static bool take(struct str *rest, const char *word)
{
    if (!str_starts_with(*rest, str_from_c(word)))
        return false;
    *rest = str_from(*rest, strlen(word));
    return true;
}

static int take_number(struct str *rest)
{
    int number = 0;

    while (rest->len > 0 && rest->ptr[0] >= '0' && rest->ptr[0] <= '9') {
        number = number * 10 + (rest->ptr[0] - '0');
        *rest = str_from(*rest, 1);
    }
    return number;
}

static int take_day(struct str *rest)
{
    int day = take_number(rest) - 1;

    assert_true(take(rest, "-Jan-2026"));
    return day;
}

static struct str take_quoted(struct str *rest)
{
    ptrdiff_t end;
    struct str text;

    assert_true(take(rest, "\""));
    end = str_index(*rest, '"');
    assert_true(end > 0);
    text = str_upto(*rest, (size_t)end);
    *rest = str_from(*rest, (size_t)end + 1);
    return text;
}

/* Reads one key off the front, as random_key writes them. */
static bool matches(const struct mail *mail, struct str *rest)
{
    /* 23:30 at -0500 is the day that it says; so is 00:30 at +0300 */
    int sent = mail->sent_day;
    bool left, right;

    if (take(rest, "NOT "))
        return !matches(mail, rest);
    if (take(rest, "OR ")) {
        left = matches(mail, rest);
        take(rest, " ");
        right = matches(mail, rest);
        return left || right;
    }
    if (take(rest, "(")) {
        left = matches(mail, rest);
        while (take(rest, " ")) {
            right = matches(mail, rest);
            left = left && right;
        }
        assert_true(take(rest, ")"));
        return left;
    }
    for (int i = 0; i < FLAGS; i++)
        if (take(rest, FLAG_KEYS[i]))
            return (mail->flags >> i & 1) != 0;
    if (take(rest, "SUBJECT ") || take(rest, "HEADER Subject "))
        return str_find(mail->subject, take_quoted(rest)) >= 0;
    if (take(rest, "HEADER X-Other ")) /* no message has it */
        return take_quoted(rest).len == 0;
    if (take(rest, "BODY "))
        return str_find(mail->body, take_quoted(rest)) >= 0;
    if (take(rest, "BEFORE "))
        return mail->day < take_day(rest);
    if (take(rest, "ON "))
        return mail->day == take_day(rest);
    if (take(rest, "SINCE "))
        return mail->day >= take_day(rest);
    if (take(rest, "SENTBEFORE "))
        return (sent < take_day(rest)) & (sent >= 0);
    if (take(rest, "SENTON "))
        return (sent == take_day(rest)) & (sent >= 0);
    if (take(rest, "SENTSINCE "))
        return (sent >= take_day(rest)) & (sent >= 0);
    if (take(rest, "LARGER "))
        return mail->size > (size_t)take_number(rest);
    if (take(rest, "SMALLER "))
        return mail->size < (size_t)take_number(rest);
    fail_msg("a key that is none: %.*s", STR_ARG(*rest));
    return false;
}

/* The watched session ended a command that tells what is new, and what was expunged if it may. */
static void told(struct pair *pair, bool may_expunge)
{
    size_t kept = 0;

    for (size_t i = 0; i < pair->count; i++) {
        struct mail *mail = &pair->mails[i];

        if (!mail->is_gone || (!may_expunge && !mail->is_new)) {
            mail->is_new = false;
            pair->mails[kept++] = *mail;
        }
    }
    pair->count = kept;
}

static void check_search(struct pair *pair)
{
    struct arena *arena = &pair->task.arena;
    struct str key, answer;
    struct buf expected;
    unsigned number = 0;

    key = random_key(arena, DEPTH);
    buf_init(&expected, SIZE_MAX);
    buf_put(&expected, STR("* SEARCH"));
    for (size_t i = 0; i < pair->count; i++) {
        struct str rest = key;

        if (pair->mails[i].is_new)
            continue;
        number++;
        if (matches(&pair->mails[i], &rest))
            buf_putf(&expected, " %u", number);
    }
    buf_put(&expected, STR("\r\n"));
    answer =
        say(pair->watched, &pair->task, arena_printf(arena, "c SEARCH %.*s\r\n", STR_ARG(key)));
    if (!str_starts_with(answer, buf_str(&expected)))
        fail_msg("%.*s: expected %.*s, not %.*s", STR_ARG(key), (int)expected.len, expected.ptr,
                 STR_ARG(answer));
    buf_free(&expected);
    told(pair, false); /* EXISTS comes with SEARCH's answer */
}

/* RFC 3501 §6.4.4: NEW is "(RECENT UNSEEN)". */
static void check_new(struct pair *pair)
{
    struct str one = say(pair->watched, &pair->task, STR("n SEARCH NEW\r\n"));
    struct str two = say(pair->watched, &pair->task, STR("n SEARCH RECENT UNSEEN\r\n"));

    if (!str_equal(one, two))
        fail_msg("NEW is %.*s, not %.*s", STR_ARG(one), STR_ARG(two));
}

/* ---- What happens ---- */

static void tell_all(struct pair *pair, struct str command)
{
    must(pair->watched, &pair->task, command);
    told(pair, true);
}

static void store(struct pair *pair, struct imap_session *s)
{
    size_t first = random_to((uint32_t)pair->count), last = first;
    unsigned flag = random_to(FLAGS), bit = 1u << flag;
    bool adds = random_to(2) == 0;

    if (random_to(3) == 0)
        last = first + random_to((uint32_t)(pair->count - first));
    must(s, &pair->task,
         arena_printf(&pair->task.arena, "UID STORE %u:%u %sFLAGS%s (%s)", pair->mails[first].uid,
                      pair->mails[last].uid, adds ? "+" : "-", random_to(2) == 0 ? ".SILENT" : "",
                      FLAG_NAMES[flag]));
    for (size_t i = first; i <= last; i++)
        if (!pair->mails[i].is_gone && (s == pair->other || !pair->mails[i].is_new))
            pair->mails[i].flags = adds ? pair->mails[i].flags | bit : pair->mails[i].flags & ~bit;
    if (s == pair->watched)
        told(pair, true);
}

/* The watched session sets \Seen without STORE. */
static void fetch(struct pair *pair)
{
    struct mail *mail = &pair->mails[random_to((uint32_t)pair->count)];

    if (mail->is_gone || mail->is_new)
        return;
    must(pair->watched, &pair->task,
         arena_printf(&pair->task.arena, "UID FETCH %u BODY[]", mail->uid));
    mail->flags |= 1;
    told(pair, true);
}

static void expunge(struct pair *pair)
{
    unsigned deleted = 1u << 3, left = 5;

    must(pair->other, &pair->task, STR("UID STORE 1:* -FLAGS.SILENT (\\Deleted)"));
    for (size_t i = 0; i < pair->count; i++)
        if (!pair->mails[i].is_gone)
            pair->mails[i].flags &= ~deleted;
    for (size_t i = 0; i < pair->count; i++) {
        if (pair->mails[i].is_gone || left == 0 || random_to(20) > 0)
            continue;
        left--;
        must(pair->other, &pair->task,
             arena_printf(&pair->task.arena, "UID STORE %u +FLAGS.SILENT (\\Deleted)",
                          pair->mails[i].uid));
        pair->mails[i].flags |= deleted;
        pair->mails[i].is_gone = true;
    }
    must(pair->other, &pair->task, STR("EXPUNGE"));
}

/* More changes than the vault remembers one by one. */
static void store_much(struct pair *pair)
{
    struct mail *mail = &pair->mails[0];

    for (int i = 0; i < 300; i++) {
        must(pair->other, &pair->task,
             arena_printf(&pair->task.arena, "UID STORE %u FLAGS.SILENT (%s)", mail->uid,
                          FLAG_NAMES[i % FLAGS]));
        mail->flags = 1u << i % FLAGS;
    }
}

static void idle(struct pair *pair)
{
    say(pair->watched, &pair->task, STR("i IDLE\r\n"));
    store(pair, pair->other);
    say(pair->watched, &pair->task, STR("DONE\r\n"));
    tell_all(pair, STR("NOOP"));
}

static void sleep_and_wake(struct pair *pair)
{
    struct imap_options how = options();
    struct buf state;

    tell_all(pair, STR("SELECT INBOX")); /* with few ranges of \\Recent */
    assert_true(imap_session_can_hibernate(pair->watched));
    buf_init(&state, SIZE_MAX);
    imap_session_hibernate(pair->watched, &state);
    imap_session_free(&pair->watched);
    store(pair, pair->other);
    expunge(pair);
    append(pair, pair->other);
    assert_int_equal(imap_session_resume_hibernated(&how, transcript_vault(pair->home), &pair->task,
                                                    buf_str(&state), &pair->watched),
                     ERR_OK);
    buf_free(&state);
}

static void make_index(struct pair *pair)
{
    bool has_more = true;

    while (has_more)
        assert_int_equal(vault_housekeeping(transcript_vault(pair->home), &pair->task, &has_more),
                         ERR_OK);
}

static void append_own(struct pair *pair)
{
    append(pair, pair->watched);
    must(pair->other, &pair->task, STR("NOOP")); /* so that it knows all that it changes */
    told(pair, true);
}

static void happen(struct pair *pair, int round)
{
    uint32_t what = random_to(17);

    if (what < 5)
        store(pair, pair->other);
    else if (what < 7)
        store(pair, pair->watched);
    else if (what < 9)
        fetch(pair);
    else if (what < 11 && pair->count > 60)
        expunge(pair);
    else if (what < 12)
        append(pair, pair->other);
    else if (what < 14)
        append_own(pair);
    else if (what == 14)
        idle(pair);
    else if (what == 15)
        sleep_and_wake(pair);
    else
        make_index(pair);
    if (round % 100 == 50 && !pair->mails[0].is_gone)
        store_much(pair);
    if (round % 100 == 51)
        fetch(pair);
}

static struct pair *pair_new(size_t count)
{
    struct pair *pair = NEW(struct pair);

    task_init(&pair->task, NOW_MS);
    pair->home = transcript_vault_new(&quiet);
    pair->next_uid = 1;
    pair->other = connect(pair);
    while (pair->count < count)
        append(pair, pair->other);
    pair->watched = connect(pair);
    tell_all(pair, STR("NOOP"));
    return pair;
}

static void pair_free(struct pair **pair)
{
    imap_session_free(&(*pair)->watched);
    imap_session_free(&(*pair)->other);
    task_done(&(*pair)->task);
    arena_free(&(*pair)->arena);
    transcript_vault_free(&(*pair)->home);
    mem_free(pair);
}

static void test_two_sessions(void **state)
{
    (void)state;
    struct pair *pair = pair_new(150);

    for (int round = 0; round < 300; round++) {
        for (uint32_t events = random_to(4); events < 4; events++)
            happen(pair, round);
        check_search(pair);
        if (random_to(2) == 0)
            tell_all(pair, random_to(2) == 0 ? STR("NOOP") : STR("UID SEARCH ALL"));
        check_search(pair);
        check_new(pair);
        task_done(&pair->task);
        task_init(&pair->task, NOW_MS);
    }
    pair_free(&pair);
}

/* A search that takes several turns, while others change what it reads. */
static void test_changes_between_turns(void **state)
{
    (void)state;
    struct pair *pair = pair_new(560);

    /* So many that reading their columns, which are gone with each SELECT, takes more than one turn. */
    for (int i = 0; i < 3; i++) {
        size_t count = pair->count;

        must(pair->other, &pair->task, STR("COPY 1:* INBOX"));
        for (size_t k = 0; k < count; k++) {
            pair->mails[pair->count] = pair->mails[k];
            pair->mails[pair->count++].uid = pair->next_uid++;
        }
    }
    tell_all(pair, STR("NOOP"));
    for (int round = 0; round < 10; round++) {
        struct str many = STR("SENTSINCE 1-Jan-2026 SINCE 2-Jan-2026 LARGER 30");
        unsigned turns = 0;

        say(pair->watched, &pair->task, STR("i SELECT INBOX\r\n"));
        for (int i = 0; i < 9; i++)
            many = arena_printf(&pair->task.arena, "OR (%.*s) SEEN", STR_ARG(many));
        for (int i = 0; i < 900; i++) /* so that each step costs more */
            many = arena_printf(&pair->task.arena, "%.*s ALL", STR_ARG(many));
        imap_session_input(pair->watched,
                           arena_printf(&pair->task.arena, "m SEARCH %.*s\r\n", STR_ARG(many)),
                           NOW_MS);
        while (imap_session_wants(pair->watched) == IMAP_WANTS_TURN) {
            if (turns++ < 2)
                store(pair, pair->other);
            if (turns == 1 && round % 5 == 0)
                expunge(pair);
            imap_session_resume(pair->watched, NOW_MS);
        }
        assert_true(turns > 0);
        imap_session_consume_output(pair->watched, SIZE_MAX);
        check_search(pair);
        tell_all(pair, STR("NOOP"));
        check_search(pair);
        task_done(&pair->task);
        task_init(&pair->task, NOW_MS);
    }
    pair_free(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_planes_and_columns),
        cmocka_unit_test(test_two_sessions),
        cmocka_unit_test(test_changes_between_turns),
    };

    transcript_vault_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
