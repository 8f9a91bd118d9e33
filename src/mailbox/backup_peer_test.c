/* For how long a destination is waited for when nobody else is there. */
#include "mailbox/backup_peer.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { SECOND = 1000, STEP_MS = 200 };
#define MB (UINT64_C(1024) * 1024)

struct row {
    const char *name;
    uint64_t bytes;
    int64_t answers_ms; /* something beside is answered so often; 0: never */
    int64_t puts_ms;    /* an object is taken so often; 0: never */
    int64_t ours_ms;    /* of the beginning: a copy is made */
    int64_t wanted_ms;  /* until it is given up */
};

static const struct row rows[] = {
    {"one that is silent", 1000 * MB, 0, 0, 0, 30 * SECOND},
    {"a copy is made first", 1000 * MB, 0, 0, 100 * SECOND, 130 * SECOND},
    {"it answers, but does not take it", 0, 5 * SECOND, 0, 0, 30 * SECOND},
    {"the time that so much may take", 20 * MB, 5 * SECOND, 0, 0, 110 * SECOND},
    {"not for ever, however much it is", 100000 * MB, 5 * SECOND, 0, 0, 600 * SECOND},
    {"one object after the other", 0, 0, 20 * SECOND, 0, 600 * SECOND},
};

static int64_t give_up_time(const struct row *row)
{
    struct backup_peer peer = {0};
    int64_t start_ms = 5000, now_ms = start_ms;

    while (!backup_peer_is_too_slow(&peer, now_ms - start_ms <= row->ours_ms, row->bytes, now_ms)) {
        now_ms += STEP_MS;
        assert_true(now_ms - start_ms < 3600 * SECOND);
        if (row->answers_ms > 0 && (now_ms - start_ms) % row->answers_ms == 0)
            backup_peer_answered(&peer, false, true, now_ms);
        if (row->puts_ms > 0 && (now_ms - start_ms) % row->puts_ms == 0)
            backup_peer_answered(&peer, true, true, now_ms);
    }
    return now_ms - start_ms;
}

static void each_is_given_up_in_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t found_ms = give_up_time(&rows[i]);

        if (found_ms != rows[i].wanted_ms)
            fail_msg("%s: after %lld ms", rows[i].name, (long long)found_ms);
    }
}

/* What of a long time between two looks was for others is not its delay. */
static void only_looks_count(void **state)
{
    struct backup_peer peer = {0};
    int64_t now_ms = 1000;

    (void)state;
    assert_false(backup_peer_is_too_slow(&peer, false, 0, now_ms));
    now_ms += 2 * BACKUP_PEER_MOST_MS;
    backup_peer_answered(&peer, true, true, now_ms);
    assert_false(backup_peer_is_too_slow(&peer, false, 0, now_ms));
    for (int64_t end_ms = now_ms + BACKUP_PEER_SILENT_MS - 2 * BACKUP_PEER_LOOK_MS;
         now_ms < end_ms;)
        assert_false(backup_peer_is_too_slow(&peer, false, 0, now_ms += STEP_MS));
    assert_true(peer.silent_ms >= BACKUP_PEER_ASK_MS);
}

static bool is_too_slow_after(struct backup_peer *peer, int64_t wait_ms, int64_t *now_ms)
{
    bool is_it = false;

    for (int64_t end_ms = *now_ms + wait_ms; !is_it && *now_ms < end_ms;)
        is_it = backup_peer_is_too_slow(peer, false, 0, *now_ms += STEP_MS);
    return is_it;
}

/* A session that comes begins it anew; without one it stays given up, whatever is answered. */
static void it_begins_anew_for_somebody(void **state)
{
    struct backup_peer peer = {0};
    int64_t now_ms = 1000;

    (void)state;
    assert_false(backup_peer_is_too_slow(&peer, false, 0, now_ms));
    assert_false(backup_peer_should_be_asked(&peer));
    assert_false(is_too_slow_after(&peer, BACKUP_PEER_ASK_MS, &now_ms));
    assert_true(backup_peer_should_be_asked(&peer));
    assert_true(is_too_slow_after(&peer, BACKUP_PEER_SILENT_MS, &now_ms));
    backup_peer_answered(&peer, true, true, now_ms);
    assert_true(backup_peer_is_too_slow(&peer, false, 0, now_ms));
    backup_peer_be_patient(&peer);
    assert_false(backup_peer_is_too_slow(&peer, false, 0, now_ms += BACKUP_PEER_MOST_MS));
    assert_false(backup_peer_is_too_slow(&peer, false, 0, now_ms + 1));
}

static void it_is_there_for_a_while_behind_a_good_answer(void **state)
{
    struct backup_peer peer = {0};
    int64_t now_ms = 1000;

    (void)state;
    assert_false(backup_peer_is_there(&peer, now_ms));
    backup_peer_answered(&peer, false, true, now_ms);
    assert_true(backup_peer_is_there(&peer, now_ms + BACKUP_PEER_KNOWN_MS - 1));
    assert_false(backup_peer_is_there(&peer, now_ms + BACKUP_PEER_KNOWN_MS));
    backup_peer_answered(&peer, true, false, now_ms + 1);
    assert_false(backup_peer_is_there(&peer, now_ms + 2));
    assert_true(peer.is_refusing);
    backup_peer_answered(&peer, true, true, now_ms + 3);
    assert_true(backup_peer_is_there(&peer, now_ms + 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_given_up_in_time),
        cmocka_unit_test(only_looks_count),
        cmocka_unit_test(it_begins_anew_for_somebody),
        cmocka_unit_test(it_is_there_for_a_while_behind_a_good_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
