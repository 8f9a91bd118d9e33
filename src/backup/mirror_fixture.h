/*
 * Owners' own destinations beside the host's: two directories, of which the owner's fails on
 * demand, never answers ("hangs" is its secret), or late ("slow").
 */
#ifndef BACKUP_MIRROR_FIXTURE_H
#define BACKUP_MIRROR_FIXTURE_H

#include "backup/fixture.h"
#include "backup/mirrored.h"

struct mirror_fixture {
    struct backup_fixture host, own, both; /* the first two directly */
    struct backup_destination *whole;
    struct backup_mirrors *mirrors;
    struct id mailbox;
    enum err down;                 /* what the owner's answers with */
    bool is_silent;                /* it does not answer */
    int opened, asked, deny_after; /* deny_after > 0: the so-many-th call fails */
    int64_t delay_ms;              /* slow ones answer so late */
    unsigned slow_answers;
    char seen_secret[32];
    char root[FIXTURE_ROOT_ROOM], own_folder[FIXTURE_ROOT_ROOM + 20];
};

/* cmocka's setup and teardown of a test whose *state is one of these. */
int fixture_set_up(void **state);
int fixture_tear_down(void **state);
#define FIXTURE_TEST(function)                                                                     \
    cmocka_unit_test_setup_teardown(function, fixture_set_up, fixture_tear_down)

/* The mailbox's own destination; an empty place: none. */
void fixture_set_place(struct mirror_fixture *s, const char *place, const char *secret);
/* "<mailbox>/<inner>", until three more were asked for. */
const char *fixture_name_of(const struct mirror_fixture *s, const char *inner);
/* As the archivist does: the host has it, then the mirrors hear of it. */
void fixture_come(struct mirror_fixture *s, const char *inner, size_t size, unsigned seed);
/* How it is with the mailbox's own destination, as backup_mirrors_describe says it. */
void fixture_assert_state(struct mirror_fixture *s, const char *expected);
bool fixture_is_in_state(const struct mirror_fixture *s, const char *expected);
/* Until it is so; a state that never comes fails the test. */
void fixture_settle(struct mirror_fixture *s, const char *expected);
/* Both have the same objects. */
void fixture_assert_same_lists(struct mirror_fixture *s);

#endif
