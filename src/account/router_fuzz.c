/*
 * RECIPIENT as any peer can have it asked: an address, a line break, a sender, a line break, a client,
 * against a domain with aliases of every kind, patterns, lists and greylisting. What must hold: it is
 * answered; mail that is accepted goes somewhere, unless the alias is set to throw it away; routes are
 * an array of objects whose addresses have no line break; and no words break a reply's line.
 */
#include "account/lists.h"
#include "account/router.h"
#include "base/scratch.h"
#include "sqlite/db.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct account_router_settings settings = {
    .greylist = true, .greylist_delay_ms = 1000, .client_limit = 1000000, .sender_limit = 1000000};

struct world {
    struct account_database *database;
    struct account_router *router;
    int64_t home, mailbox;
    int64_t now_ms;
};

static void must(enum err err)
{
    if (err != ERR_OK)
        abort();
}

/* `mailbox` 0: none; `target` NULL: none. */
static void add_alias(struct world *world, struct task *task, const char *local, int64_t mailbox,
                      const char *target)
{
    struct account_target_row row = {.kind = ACCOUNT_TARGET_FORWARD, .text = str_from_c(target)};
    struct str name = str_from_c(local);
    struct account_alias alias;

    if (account_pattern_is_one(name)) {
        must(account_alias_add_pattern(world->database, task, world->home, name, mailbox));
        must(account_alias_find_pattern(world->database, task, world->home, name, &alias));
    } else {
        must(account_alias_add(world->database, task, world->home, name, mailbox));
        must(account_alias_find(world->database, task, world->home, name, &alias));
    }
    if (target != NULL)
        must(account_target_add(world->database, task, alias.row, &row));
}

static void add_entry(struct world *world, struct task *task, enum account_list_verdict verdict,
                      const char *text)
{
    const struct account_list_scope host = {0, 0};
    struct account_list_entry entry = {.verdict = verdict};

    must(account_lists_parse(task, str_from_c(text), &entry.kind, &entry.value));
    must(account_list_set(world->database, task, &host, &entry));
}

static void fill(struct world *world, struct task *task)
{
    struct id id = id_random();
    int64_t user;

    must(account_begin(world->database, task));
    must(account_user_add(world->database, task, STR("u"), ACCOUNT_UNLIMITED, &user));
    must(account_domain_add(world->database, task, STR("a.test"), user, ACCOUNT_UNLIMITED));
    must(account_domain_row(world->database, task, STR("a.test"), &world->home));
    must(account_mailbox_add(world->database, task, &id, user, world->home, ACCOUNT_UNLIMITED,
                             &world->mailbox));
    must(account_mailbox_activate(world->database, task, world->mailbox));
    add_alias(world, task, "one", world->mailbox, NULL);
    add_alias(world, task, "both", world->mailbox, "@b.test");
    add_alias(world, task, "fwd", 0, "mail.b.test:25");
    add_alias(world, task, "/^s-(.+)$/", 0, "$1@");
    add_alias(world, task, "/^d-([^.]*)[.](.*)$/", 0, "$2@$1.test");
    add_alias(world, task, "/^(?:(?:x+)+)+$/", world->mailbox, NULL);
    add_entry(world, task, ACCOUNT_LIST_ALLOW, "good@spam.test");
    add_entry(world, task, ACCOUNT_LIST_DENY, "spam.test");
    add_entry(world, task, ACCOUNT_LIST_ALLOW, "192.0.2.0/24");
    add_entry(world, task, ACCOUNT_LIST_DENY, "2001:db8::/32");
    must(account_commit(world->database, task));
}

/* In a folder of its own, whose names go at once. */
static struct world *open_world(void)
{
    static struct world world;
    static char folder[64];
    static const char *const ends[] = {"", "-wal", "-shm"};
    struct secret *host_key, *key;
    struct task task;
    char path[96];

    if (world.router != NULL)
        return &world;
    secret_init();
    db_init_library();
    scratch_folder_in_memory(folder, sizeof(folder), "router-fuzz");
    (void)snprintf(path, sizeof(path), "%s/a.sqlite", folder);
    host_key = secret_new(32);
    key = account_database_key(host_key);
    world.now_ms = 1000000;
    task_init(&task, world.now_ms);
    must(account_database_open(&task, path, key, &world.database));
    fill(&world, &task);
    world.router = account_router_new(world.database, host_key, NULL, &settings);
    task_done(&task);
    secret_free(&key);
    secret_free(&host_key);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        (void)snprintf(path, sizeof(path), "%s/a.sqlite%s", folder, ends[i]);
        (void)unlink(path);
    }
    (void)rmdir(folder);
    return &world;
}

static struct str take_line(struct str *rest)
{
    struct str line = STR("");

    if (rest->ptr == NULL || !str_split(rest, '\n', &line))
        return STR("");
    return line;
}

static void check_routes(struct str routes)
{
    json_error_t error;
    json_t *json = json_loadb(routes.ptr, routes.len, 0, &error);

    assert(json_array_size(json) > 0);
    for (size_t i = 0; i < json_array_size(json); i++) {
        const json_t *to = json_object_get(json_array_get(json, i), "to");
        struct str text = str_make(json_string_value(to), json_string_length(to));

        assert(text.len > 0 && str_index(text, '@') > 0);
        assert(str_index(text, '\r') < 0 && str_index(text, '\n') < 0);
    }
    json_decref(json);
}

static void check(const struct wire_recipient_reply *reply)
{
    assert(reply->status < WIRE_DEFERRED + 1);
    assert(str_index(reply->words, '\r') < 0 && str_index(reply->words, '\n') < 0);
    if (reply->status == WIRE_OK)
        assert(reply->has_mailbox || reply->routes.len > 0);
    if (reply->routes.len > 0)
        check_routes(reply->routes);
    assert(reply->status != WIRE_DEFERRED || reply->reply_code / 100 == 4);
    assert(reply->status != WIRE_REFUSED || reply->reply_code / 100 == 5);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world *world = open_world();
    struct str rest = str_make(data, size);
    struct wire_recipient asked = {.size_bytes = size};
    struct wire_recipient_reply reply;
    struct task task;

    asked.address = take_line(&rest);
    asked.sender = take_line(&rest);
    asked.client = rest.ptr == NULL ? STR("") : rest;
    world->now_ms += 600;
    task_init(&task, world->now_ms);
    must(account_router_recipient(world->router, &task, &asked, world->now_ms, &reply));
    check(&reply);
    task_done(&task);
    return 0;
}
