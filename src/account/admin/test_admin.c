#include "account/admin/test_admin.h"

#include "account/login.h"
#include "account/slot.h"
#include "base/buf.h"
#include "base/scratch.h"
#include "secret/crypt.h"
#include "sqlite/db.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char long_key[] =
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA"
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA"
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA";

/* --- the store and the client --------------------------------------------------------------- */

static enum err create_mailbox(void *owner, const struct id *mailbox)
{
    struct test_admin *f = owner;

    f->created = *mailbox;
    f->create_count++;
    return f->is_store_down ? ERR_BUSY : ERR_OK;
}

static enum err remove_mailbox(void *owner, const struct id *mailbox)
{
    struct test_admin *f = owner;

    f->removed = *mailbox;
    f->remove_count++;
    return f->is_store_down ? ERR_BUSY : ERR_OK;
}

static void expel(void *owner, const struct id *mailbox)
{
    ((struct test_admin *)owner)->expelled = *mailbox;
}

static void retire(void *owner, const struct id *mailbox)
{
    ((struct test_admin *)owner)->retired = *mailbox;
}

static void limits_changed(void *owner)
{
    ((struct test_admin *)owner)->limits_count++;
}

static void describe(void *owner, json_t *reply)
{
    (void)owner;
    json_object_set_new(reply, "sessions", json_integer(0));
}

static void on_reply(void *owner, void *client, uint64_t tag, struct str json,
                     bool is_last)
{
    struct test_admin *f = owner;
    json_error_t error;

    (void)client;
    f->is_last = is_last;
    assert_int_equal(tag, 7);
    json_decref(f->answer);
    f->answer = json_loadb(json.ptr, json.len, 0, &error);
    assert_non_null(f->answer);
}

static void work_soon(void *owner)
{
    ((struct test_admin *)owner)->has_work = true;
}

static enum err ask_courier(void *owner, uint64_t ticket, struct str json)
{
    struct test_admin *f = owner;

    f->courier_ticket = ticket;
    (void)snprintf(f->courier_json, sizeof(f->courier_json), "%.*s", STR_ARG(json));
    return f->is_courier_down ? ERR_BUSY : ERR_OK;
}

static void forget_archivist(void *owner, uint64_t ticket)
{
    struct test_admin *f = owner;

    f->forgotten_ticket = ticket;
}

static void ask_dns(void *owner, uint64_t ticket, struct str name, enum dns_type type)
{
    struct test_admin *f = owner;

    assert_true(f->question_count < ARRAY_LEN(f->questions));
    f->questions[f->question_count].ticket = ticket;
    f->questions[f->question_count].type = type;
    (void)snprintf(f->questions[f->question_count].name, sizeof(f->questions[0].name), "%.*s",
                   STR_ARG(name));
    f->question_count++;
}

/* mailauth makes real ones (role/keeper_mail_test.c); here any bytes do, as long as they differ. */
static enum err make_key(void *owner, struct task *task, enum account_key_algorithm algorithm,
                         struct secret **out_key, struct buf *out_record)
{
    struct test_admin *f = owner;

    (void)task;
    *out_key = secret_new(48);
    f->key_count++;
    secret_bytes(*out_key)[0] = (unsigned char)f->key_count;
    buf_putf(out_record, "v=DKIM1; k=%s; p=%s%d",
             algorithm == ACCOUNT_KEY_RSA ? "rsa" : "ed25519",
             algorithm == ACCOUNT_KEY_RSA ? long_key : "", f->key_count);
    return ERR_OK;
}

static enum err check_owner(void *owner, struct task *task, int64_t mailbox_row,
                            const struct id *mailbox, struct str password,
                            struct secret **out_key)
{
    struct test_admin *f = owner;

    return account_slot_unlock(f->database, task, mailbox_row, mailbox, password, out_key, NULL);
}

static enum err start_job(void *owner, struct task *task, uint64_t ticket,
                          const struct admin_job *job)
{
    struct test_admin *f = owner;

    (void)task;
    f->job_ticket = ticket;
    f->job_fd_count = job->fd_count;
    secret_free(&f->job_key);
    f->job_key = account_keys_first(job->key);
    (void)snprintf(f->job_kind, sizeof(f->job_kind), "%.*s", STR_ARG(job->kind));
    (void)snprintf(f->job_json, sizeof(f->job_json), "%.*s", STR_ARG(job->json));
    return f->is_store_down ? ERR_BUSY : ERR_OK;
}

static void rekey(void *owner, const struct id *mailbox, const struct secret *keys)
{
    struct test_admin *f = owner;

    f->rekeyed = *mailbox;
    secret_free(&f->keys);
    f->keys = secret_copy(secret_str(keys));
}

static int64_t reset_keep_ms(void *owner)
{
    (void)owner;
    return 5000;
}

static void cancel_job(void *owner, uint64_t ticket)
{
    ((struct test_admin *)owner)->cancelled_ticket = ticket;
}

static struct str hostname(void *owner)
{
    (void)owner;
    return STR("mail.host.test");
}

/* role/ reads places as the archivist does (backup/place.h). */
static const char *bucket_reason(void *owner, struct task *task, struct str place)
{
    (void)owner;
    (void)task;
    return str_starts_with(place, STR("s3:")) ? NULL : "it is not S3";
}

static void bucket_changed(void *owner, const struct id *mailbox)
{
    struct test_admin *f = owner;

    f->bucket_of = *mailbox;
    f->bucket_changes++;
}

static struct str smarthost(void *owner, struct task *task)
{
    const struct test_admin *f = owner;

    (void)task;
    return str_from_c(f->smarthost == NULL ? "" : f->smarthost);
}

/* net/target.h has the real one; this host knows one thing of it. */
static const char *webhook_reason(void *owner, struct str url)
{
    (void)owner;
    return str_find(url, STR("//10.")) > 0 ? "the target is a private address" : NULL;
}

static bool uses_ipv6(void *owner)
{
    return !((struct test_admin *)owner)->is_without_ipv6;
}

static const struct admin_services services = {
    .create_mailbox = create_mailbox,
    .remove_mailbox = remove_mailbox,
    .expel = expel,
    .retire = retire,
    .limits_changed = limits_changed,
    .ask_courier = ask_courier,
    .ask_archivist = ask_courier,
    .forget_archivist = forget_archivist,
    .bucket_reason = bucket_reason,
    .bucket_changed = bucket_changed,
    .ask_dns = ask_dns,
    .make_key = make_key,
    .check_owner = check_owner,
    .start_job = start_job,
    .cancel_job = cancel_job,
    .rekey = rekey,
    .reset_keep_ms = reset_keep_ms,
    .hostname = hostname,
    .smarthost = smarthost,
    .webhook_reason = webhook_reason,
    .uses_ipv6 = uses_ipv6,
    .work_soon = work_soon,
    .describe = describe,
    .reply = on_reply,
};

int test_admin_set_up(void **state)
{
    struct test_admin *f = calloc(1, sizeof(*f));
    char path[96];
    struct task task;

    scratch_folder_in_memory(f->folder, sizeof(f->folder), "admin-test");
    (void)snprintf(path, sizeof(path), "%s/account.sqlite", f->folder);
    f->log = (struct log){.level = LOG_LEVEL_ERROR, .fd = STDERR_FILENO, .role = "test"};
    f->host_key = secret_new(32);
    f->key = account_database_key(f->host_key);
    task_init(&task, TEST_ADMIN_NOW_MS);
    assert_int_equal(account_database_open(&task, path, f->key, &f->database), ERR_OK);
    task_done(&task);
    f->signing = account_signing_new(f->host_key);
    f->buckets = account_buckets_new(f->host_key);
    f->admin = admin_new(f->database, f->signing, f->buckets, &services, f, &f->log);
    *state = f;
    return 0;
}

int test_admin_tear_down(void **state)
{
    struct test_admin *f = *state;
    char command[128];

    admin_free(&f->admin);
    account_signing_free(&f->signing);
    account_buckets_free(&f->buckets);
    account_database_close(&f->database);
    secret_free(&f->host_key);
    secret_free(&f->key);
    secret_free(&f->keys);
    secret_free(&f->job_key);
    json_decref(f->answer);
    (void)snprintf(command, sizeof(command), "rm -r '%s'", f->folder);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

const char *test_admin_ask(struct test_admin *f, const char *json)
{
    char *text = strdup(json);

    for (char *at = text; *at != '\0'; at++)
        *at = *at == '\'' ? '"' : *at;
    json_decref(f->answer);
    f->answer = NULL;
    f->created = f->removed = (struct id){0};
    admin_request(f->admin, str_from_c(text), f->fds, f->fd_count, TEST_ADMIN_NOW_MS, f, 7);
    while (f->has_work) {
        f->has_work = false;
        f->portion_count++;
        admin_work(f->admin, TEST_ADMIN_NOW_MS);
    }
    if (id_is_set(&f->created) && !f->does_not_answer && !f->is_store_down) {
        assert_null(f->answer);
        assert_non_null(admin_new_key(f->admin, &f->created));
        admin_mailbox_created(f->admin, &f->created, true, TEST_ADMIN_NOW_MS);
        assert_null(admin_new_key(f->admin, &f->created));
    }
    if (id_is_set(&f->removed) && !f->does_not_answer && !f->is_store_down)
        admin_mailbox_removed(f->admin, &f->removed, true, TEST_ADMIN_NOW_MS);
    free(text);
    return f->answer == NULL ? "(none)"
                             : json_string_value(json_object_get(f->answer, "status"));
}

const char *test_admin_member(const struct test_admin *f, const char *name)
{
    const char *text = json_string_value(json_object_get(f->answer, name));

    return text == NULL ? "" : text;
}

void test_admin_add_demo(struct test_admin *f)
{
    assert_string_equal(
        test_admin_ask(f, "{'command':'domain add','arguments':{'domain':'demo.test'}}"), "ok");
    assert_string_equal(
        test_admin_ask(f, "{'command':'alias add','arguments':{'address':'you@demo.test'}}"), "ok");
}
