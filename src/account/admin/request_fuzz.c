/*
 * Requests of any bytes, against a real database (in a folder of its own, kept for the run). What
 * must hold: every request that does not wait for the store gets exactly one reply, a JSON object
 * with a status; nothing crashes, and no transaction stays open.
 */
#include "account/admin/admin.h"
#include "base/scratch.h"
#include "sqlite/db.h"

#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct account_database *database;
    struct admin *admin;
    struct log log;
    unsigned replies, created;
    struct id mailbox;
    uint64_t courier_ticket, first_question, question_count, job_ticket;
};

static enum err create_mailbox(void *owner, const struct id *mailbox)
{
    struct world *world = owner;

    world->mailbox = *mailbox;
    world->created++;
    return ERR_OK;
}

static enum err remove_mailbox(void *owner, const struct id *mailbox)
{
    (void)owner;
    (void)mailbox;
    return ERR_BUSY;
}

static void nothing_for(void *owner, const struct id *mailbox)
{
    (void)owner;
    (void)mailbox;
}

static void nothing(void *owner)
{
    (void)owner;
}

static void describe(void *owner, json_t *reply)
{
    (void)owner;
    (void)reply;
}

static void on_reply(void *owner, void *client, uint64_t tag, struct str json,
                     bool is_last)
{
    struct world *world = owner;
    json_error_t error;
    json_t *root = json_loadb(json.ptr, json.len, 0, &error);

    (void)client;
    assert(tag == 3);
    if (!is_last) {
        json_decref(root);
        return;
    }
    assert(json_is_string(json_object_get(root, "status")));
    json_decref(root);
    world->replies++;
}

static enum err ask_courier(void *owner, uint64_t ticket, struct str json)
{
    struct world *world = owner;

    (void)json;
    world->courier_ticket = ticket;
    return ERR_OK;
}

static void ask_dns(void *owner, uint64_t ticket, struct str name, enum dns_type type)
{
    struct world *world = owner;

    (void)name;
    (void)type;
    if (world->question_count++ == 0)
        world->first_question = ticket;
}

static enum err make_key(void *owner, struct task *task, enum account_key_algorithm algorithm,
                         struct secret **out_key, struct buf *out_record)
{
    (void)owner;
    (void)task;
    (void)algorithm;
    *out_key = secret_new(32);
    buf_put(out_record, STR("v=DKIM1; p=x"));
    return ERR_OK;
}

static struct str hostname(void *owner)
{
    (void)owner;
    return STR("mail.test");
}

/* Any password is the right one: the mailbox's process is not there. */
static enum err check_owner(void *owner, struct task *task, int64_t mailbox_row,
                            const struct id *mailbox, struct str password,
                            struct secret **out_key)
{
    (void)owner;
    (void)task;
    (void)mailbox_row;
    (void)mailbox;
    (void)password;
    *out_key = secret_new(1);
    return ERR_OK;
}

static enum err start_job(void *owner, struct task *task, uint64_t ticket,
                          const struct admin_job *job)
{
    (void)task;
    (void)job;
    ((struct world *)owner)->job_ticket = ticket;
    return ERR_OK;
}

static void rekey(void *owner, const struct id *mailbox, const struct secret *keys)
{
    (void)owner;
    (void)mailbox;
    (void)keys;
}

static int64_t reset_keep_ms(void *owner)
{
    (void)owner;
    return 5000;
}

static void forget_archivist(void *owner, uint64_t ticket)
{
    (void)owner;
    (void)ticket;
}

static void cancel_job(void *owner, uint64_t ticket)
{
    (void)owner;
    (void)ticket;
}

static const char *bucket_reason(void *owner, struct task *task, struct str place)
{
    (void)owner;
    (void)task;
    return place.len % 2 == 0 ? NULL : "not this one";
}

static struct str smarthost(void *owner, struct task *task)
{
    (void)owner;
    (void)task;
    return STR("smart.host.test");
}

static const char *webhook_reason(void *owner, struct str url)
{
    (void)owner;
    return str_find(url, STR("//10.")) > 0 ? "the target is a private address" : NULL;
}

static bool uses_ipv6(void *owner)
{
    (void)owner;
    return true;
}

static const struct admin_services services = {
    .create_mailbox = create_mailbox,
    .remove_mailbox = remove_mailbox,
    .expel = nothing_for,
    .retire = nothing_for,
    .limits_changed = nothing,
    .ask_courier = ask_courier,
    .ask_archivist = ask_courier,
    .forget_archivist = forget_archivist,
    .bucket_reason = bucket_reason,
    .bucket_changed = nothing_for,
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
    .work_soon = nothing,
    .describe = describe,
    .reply = on_reply,
};

static int open_null(void)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        abort();
    return fd;
}

static void remove_files(const char *folder)
{
    static const char *const names[] = {"a.sqlite", "a.sqlite-wal", "a.sqlite-shm"};
    char path[96];

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(folder);
}

static struct world *open_world(void)
{
    static struct world world;
    static char folder[64];
    static const char demo[] = "{\"command\":\"domain add\",\"arguments\":{\"domain\":\"a.test\"}}";
    static struct account_signing *signing; /* for the run */
    static struct account_buckets *buckets;
    struct secret *host_key, *key;
    struct task task;
    char path[96];

    if (world.admin != NULL)
        return &world;
    secret_init();
    db_init_library();
    world.log = (struct log){.level = LOG_LEVEL_ERROR, .fd = open_null(), .role = "fuzz"};
    scratch_folder_in_memory(folder, sizeof(folder), "admin-fuzz");
    (void)snprintf(path, sizeof(path), "%s/a.sqlite", folder);
    host_key = secret_new(32);
    key = account_database_key(host_key);
    signing = account_signing_new(host_key);
    buckets = account_buckets_new(host_key);
    task_init(&task, 0);
    if (account_database_open(&task, path, key, &world.database) != ERR_OK)
        abort();
    task_done(&task);
    secret_free(&key);
    secret_free(&host_key);
    /* Nothing needs the name from here on. */
    remove_files(folder);
    world.admin = admin_new(world.database, signing, buckets, &services, &world, &world.log);
    admin_request(world.admin, str_from_c(demo), NULL, 0, 1, &world, 3);
    return &world;
}

/* The DNS has nothing; the courier and the archivist say what was asked. One's answer can lead to a
 * question to another. */
static void answer_others(struct world *world, struct str text)
{
    static const struct dns_answer nothing_there = {.status = DNS_NO_DATA};
    uint64_t answered = 0;

    while (world->courier_ticket != 0 || answered < world->question_count) {
        uint64_t ticket = world->courier_ticket;

        world->courier_ticket = 0;
        if (ticket != 0)
            admin_courier_answered(world->admin, ticket, text);
        if (ticket != 0 && world->replies == 0)
            admin_archivist_answered(world->admin, ticket, text);
        if (answered < world->question_count)
            admin_dns_answered(world->admin, world->first_question + answered++, &nothing_there);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world *world = open_world();
    struct task task;

    world->replies = world->created = 0;
    world->courier_ticket = world->question_count = world->job_ticket = 0;
    admin_request(world->admin, str_make(data, size), NULL, 0, 1, world, 3);
    if (world->created > 0) {
        assert(world->replies == 0);
        admin_mailbox_created(world->admin, &world->mailbox, true, 1);
    }
    if (world->job_ticket != 0) {
        admin_job_replied(world->admin, world->job_ticket, WIRE_OK, str_make(data, size), false);
        admin_job_replied(world->admin, world->job_ticket, WIRE_OK, str_make(data, size), true);
    }
    answer_others(world, str_make(data, size));
    for (int i = 0; i < 100 && world->replies == 0; i++)
        admin_work(world->admin, 1);
    assert(world->replies == 1);
    task_init(&task, 1);
    assert(account_begin(world->database, &task) == ERR_OK); /* aborts while one is open */
    account_rollback(world->database);
    task_done(&task);
    return 0;
}
