#include "account/fixture.h"

#include "account/lists.h"
#include "account/pattern.h"
#include "base/scratch.h"
#include "secret/crypt.h"
#include "sqlite/db.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void fixture_init_libraries(void)
{
    secret_init();
    db_init_library();
}

static bool is_return(struct str local)
{
    return str_starts_with_nocase(local, STR("back="));
}

static enum err go_back(void *owner, struct task *task, struct str local, struct buf *out)
{
    (void)owner;
    (void)task;
    if (!str_equal(local, STR("BACK=Good"))) /* letters' case counts */
        return ERR_DENIED;
    buf_put(out, STR("sender@elsewhere.test"));
    return ERR_OK;
}

static const struct account_return back = {NULL, is_return, go_back};

void fixture_open(struct fixture *f)
{
    OK(account_database_open(&f->task, f->path, f->key, &f->database));
    f->router = account_router_new(f->database, f->host_key, &back, &f->settings);
}

void fixture_close(struct fixture *f)
{
    account_router_free(&f->router);
    account_database_close(&f->database);
}

/* A user with home.test and one mailbox, one@home.test. */
static void fill(struct fixture *f)
{
    OK(account_begin(f->database, &f->task));
    OK(account_user_add(f->database, &f->task, STR("u"), ACCOUNT_UNLIMITED, &f->user));
    OK(account_domain_add(f->database, &f->task, STR("home.test"), f->user, ACCOUNT_UNLIMITED));
    OK(account_domain_row(f->database, &f->task, STR("home.test"), &f->home));
    f->mailbox_id = id_random();
    OK(account_mailbox_add(f->database, &f->task, &f->mailbox_id, f->user, f->home,
                           ACCOUNT_UNLIMITED, &f->mailbox));
    OK(account_mailbox_activate(f->database, &f->task, f->mailbox));
    OK(account_alias_add(f->database, &f->task, f->home, STR("one"), f->mailbox));
    OK(account_commit(f->database, &f->task));
}

int fixture_set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    scratch_folder_in_memory(f->folder, sizeof(f->folder), "router-test");
    (void)snprintf(f->path, sizeof(f->path), "%s/account.sqlite", f->folder);
    task_init(&f->task, FIXTURE_NOW_MS);
    f->host_key = secret_new(32);
    f->key = account_database_key(f->host_key);
    f->asked = (struct wire_recipient){.sender = STR("peer@elsewhere.test"),
                                       .client = STR("192.0.2.7"),
                                       .helo = STR("mail.elsewhere.test")};
    fixture_open(f);
    fill(f);
    *state = f;
    return 0;
}

int fixture_tear_down(void **state)
{
    struct fixture *f = *state;
    char command[128];

    fixture_close(f);
    secret_free(&f->host_key);
    secret_free(&f->key);
    task_done(&f->task);
    (void)snprintf(command, sizeof(command), "rm -r '%s'", f->folder);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

enum wire_status fixture_ask(struct fixture *f, const char *address)
{
    f->asked.address = str_from_c(address);
    OK(account_router_recipient(f->router, &f->task, &f->asked, f->task.now_ms, &f->reply));
    return (enum wire_status)f->reply.status;
}

void fixture_set(struct fixture *f, const struct account_router_settings *settings)
{
    f->settings = *settings;
    account_router_set(f->router, settings);
}

int64_t fixture_add_alias(struct fixture *f, const char *local, bool has_mailbox)
{
    struct account_alias alias;
    bool is_pattern = account_pattern_is_one(str_from_c(local));
    int64_t mailbox = has_mailbox ? f->mailbox : 0;

    OK(account_begin(f->database, &f->task));
    if (is_pattern) {
        OK(account_alias_add_pattern(f->database, &f->task, f->home, str_from_c(local), mailbox));
        OK(account_alias_find_pattern(f->database, &f->task, f->home, str_from_c(local), &alias));
    } else {
        OK(account_alias_add(f->database, &f->task, f->home, str_from_c(local), mailbox));
        OK(account_alias_find(f->database, &f->task, f->home, str_from_c(local), &alias));
    }
    OK(account_commit(f->database, &f->task));
    return alias.row;
}

void fixture_add_target(struct fixture *f, int64_t alias, const char *text)
{
    struct account_target_row row = {.kind = ACCOUNT_TARGET_FORWARD, .text = str_from_c(text)};

    OK(account_begin(f->database, &f->task));
    OK(account_target_add(f->database, &f->task, alias, &row));
    OK(account_commit(f->database, &f->task));
}

void fixture_put_entry(struct fixture *f, int64_t domain, int64_t alias, bool is_allowed,
                       const char *text)
{
    const struct account_list_scope scope = {domain, alias};
    struct account_list_entry entry = {.verdict =
                                           is_allowed ? ACCOUNT_LIST_ALLOW : ACCOUNT_LIST_DENY};

    OK(account_lists_parse(&f->task, str_from_c(text), &entry.kind, &entry.value));
    OK(account_begin(f->database, &f->task));
    OK(account_list_set(f->database, &f->task, &scope, &entry));
    OK(account_commit(f->database, &f->task));
}
