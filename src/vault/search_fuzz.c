/* Any key, in any field: an answer, and never an error. The first byte says which field. */
#include "vault/search.h"

#include "base/clock.h"
#include "base/memory.h"
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
    struct vault_append append = {
        .raw =
            STR("From: Ann <ann@example.org>\r\nSubject: Green apples\r\n\r\nThe quick fox\r\n")};
    struct vault_folder folder;
    struct secret *key;
    struct task task;
    uint32_t uid;

    secret_init();
    message_init_library();
    db_init_library();
    snprintf(mailbox.folder, sizeof(mailbox.folder), "/tmp/vault-fuzz-XXXXXX");
    assert(mkdtemp(mailbox.folder) != NULL);
    task_init(&task, clock_now_ms());
    key = crypt_mailbox_key(STR("password"), salt);
    assert(vault_create(&task, &options, key, &mailbox.vault) == ERR_OK);
    assert(vault_folder_find(mailbox.vault, &task, STR("INBOX"), &folder) == ERR_OK);
    mailbox.inbox = folder.id;
    assert(vault_message_append(mailbox.vault, &task, folder.id, &append, &uid) == ERR_OK);
    secret_free(&key);
    task_done(&task);
    atexit(remove_mailbox);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct task task;
    struct vault_candidates found;

    if (size == 0)
        return 0;
    if (mailbox.vault == NULL)
        make_mailbox();
    task_init(&task, clock_now_ms());
    assert(vault_search_candidates(mailbox.vault, &task, mailbox.inbox,
                                   (enum vault_search_field)(data[0] % (VAULT_SEARCH_HEADER + 1)),
                                   STR("Subject"), str_make(data + 1, size - 1), &found) == ERR_OK);
    assert(found.count <= 1);
    task_done(&task);
    return 0;
}
