/*
 * Any key, in any field: an answer, and never an error; in BODY, FROM and SUBJECT (by HEADER, too)
 * the one that the texts give. The first byte says which field.
 */
#include "vault/search.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/scratch.h"
#include "message/message.h"
#include "secret/crypt.h"
#include "sqlite/db.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct mailbox {
    char folder[64];
    struct vault *vault;
    int64_t inbox;
};

static struct mailbox mailbox;

/* As they come out of message_text: each with a line end. */
static const struct str bodies[] = {
    STR_INIT("The quick fox\r\n\n"),
    STR_INIT("caf\xc3\xa9-zo\xc3\xab 12ab, \xe4\xb8\xad\xe6\x96\x87\xe6\x96\x87 foxes\r\n\n"),
    STR_INIT("\xf0\x9f\x98\x80\xe2\x80\x93quickly \xce\xa3\xce\xb1\xcf\x82 stra\xc3\x9f"
             "e\r\n\n"),
};

/* Of all of them. */
#define FROM "Zo\xc3\xab-X <ann.b-@example.org>"
#define SUBJECT                                                                                    \
    "Green_apples a.--b\xc3\x9f, \xe4\xb8\xad.c and "                                              \
    "long.0123456789-long.0123456789-long.0123456789-long.0123456789-long.0123456789-"             \
    "long.0123456789-long.0123456789-long.0123456789-long.0123456789-long.0123456789-"             \
    "long.0123456789-long.0123456789-long.0123456789-long.0123456789-long.0123456789-"

static void remove_mailbox(void)
{
    char command[128];

    vault_close(&mailbox.vault);
    snprintf(command, sizeof(command), "rm -r '%s'", mailbox.folder);
    if (system(command) != 0)
        abort();
}

static void make_mailbox(void)
{
    static struct log log = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "fuzz"};
    unsigned char salt[MAILBOX_SALT_BYTES] = {0};
    struct vault_options options = {
        .folder = mailbox.folder, .id = id_random(), .limit_bytes = UINT64_MAX, .log = &log};
    struct vault_folder folder;
    struct secret *key;
    struct task task;
    bool has_more = true;
    uint32_t uid;

    secret_init();
    message_init_library();
    db_init_library();
    scratch_folder_in_memory(mailbox.folder, sizeof(mailbox.folder), "vault-fuzz");
    task_init(&task, clock_now_ms());
    key = crypt_mailbox_key(STR("password"), salt);
    assert(vault_create(&task, &options, key, &mailbox.vault) == ERR_OK);
    assert(vault_folder_find(mailbox.vault, &task, STR("INBOX"), &folder) == ERR_OK);
    mailbox.inbox = folder.id;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct str raw = arena_printf(&task.arena,
                                      "From: " FROM "\r\nSubject: " SUBJECT "\r\n"
                                      "Content-Type: text/plain; charset=utf-8\r\n\r\n%.*s",
                                      (int)bodies[i].len - 1, bodies[i].ptr);
        struct vault_append append = {.raw = raw};

        assert(vault_message_append(mailbox.vault, &task, folder.id, &append, &uid) == ERR_OK);
        assert(vault_housekeeping(mailbox.vault, &task, &has_more) == ERR_OK);
    }
    while (has_more)
        assert(vault_housekeeping(mailbox.vault, &task, &has_more) == ERR_OK);
    secret_free(&key);
    task_done(&task);
    atexit(remove_mailbox);
}

/* Against the texts themselves. */
static void check(enum vault_search_field field, struct str key,
                  const struct vault_candidates *found)
{
    struct buf folded_key;

    buf_init(&folded_key, SIZE_MAX);
    message_fold(key, &folded_key);
    for (uint32_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct buf folded;
        bool has, is_found = false;

        buf_init(&folded, SIZE_MAX);
        message_fold(field == VAULT_SEARCH_BODY   ? bodies[i]
                     : field == VAULT_SEARCH_FROM ? STR(FROM)
                                                  : STR(SUBJECT),
                     &folded);
        has = str_find(buf_str(&folded), buf_str(&folded_key)) >= 0;
        for (size_t k = 0; k < found->count; k++)
            is_found = is_found || found->uids[k] == i + 1;
        assert(!has || is_found);
        assert(!found->is_exact || has == is_found);
        buf_free(&folded);
    }
    buf_free(&folded_key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vault_candidates found;
    enum vault_search_field field;
    struct task task;
    struct str key;

    if (size == 0)
        return 0;
    if (mailbox.vault == NULL)
        make_mailbox();
    field = (enum vault_search_field)(data[0] % (VAULT_SEARCH_HEADER + 1));
    key = str_make(data + 1, size - 1);
    task_init(&task, clock_now_ms());
    assert(vault_search_candidates(mailbox.vault, &task, mailbox.inbox, field, STR("Subject"), key,
                                   NULL, 0, &found) == ERR_OK);
    assert(found.count <= ARRAY_LEN(bodies) && found.open_count == 0);
    if (field == VAULT_SEARCH_BODY || field == VAULT_SEARCH_FROM || field == VAULT_SEARCH_SUBJECT ||
        field == VAULT_SEARCH_HEADER)
        check(field, key, &found);
    task_done(&task);
    return 0;
}
