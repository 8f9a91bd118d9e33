/* The world of the administrator's tests: a real database; store, courier and resolver are played. */
#ifndef ACCOUNT_ADMIN_TEST_ADMIN_H
#define ACCOUNT_ADMIN_TEST_ADMIN_H

#include "account/admin/dns_check.h"

enum { TEST_ADMIN_NOW_MS = 1000000 };

struct test_admin {
    char folder[64];
    struct secret *host_key, *key;
    struct account_database *database;
    struct admin *admin;
    struct log log;
    json_t *answer; /* the last; own */
    struct id created, removed, expelled, retired;
    int create_count, remove_count, limits_count;
    bool is_store_down, does_not_answer, has_work;
    int portion_count;
    struct account_signing *signing;
    struct account_buckets *buckets;
    struct id bucket_of; /* the last that changed */
    int bucket_changes;
    int key_count;
    bool is_courier_down;
    int fds[2]; /* that go with the next request */
    size_t fd_count;
    uint64_t job_ticket, cancelled_ticket;
    char job_kind[32], job_json[256];
    struct secret *job_key; /* own; of the last job's mailbox */
    size_t job_fd_count;
    struct id rekeyed;
    struct secret *keys; /* own; with which the last re-encryption was asked for */
    bool is_last; /* of the last answer */
    uint64_t courier_ticket, forgotten_ticket;
    char courier_json[512];
    struct {
        uint64_t ticket;
        enum dns_type type;
        char name[128];
    } questions[ADMIN_CHECK_ASKED_MAX];
    size_t question_count;
    const char *smarthost;
    bool is_without_ipv6;
};

int test_admin_set_up(void **state);
int test_admin_tear_down(void **state);
/* Sends and plays the store; gives the status, "(none)" while it waits. Single quotes in `json` stand
 * for double ones. */
const char *test_admin_ask(struct test_admin *f, const char *json);
/* A text of the last answer; empty when it has none of that name. */
const char *test_admin_member(const struct test_admin *f, const char *name);
/* demo.test with you@demo.test. */
void test_admin_add_demo(struct test_admin *f);

#define TEST(function)                                                                             \
    cmocka_unit_test_setup_teardown(function, test_admin_set_up, test_admin_tear_down)

#endif
