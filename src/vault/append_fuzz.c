/*
 * Whatever is appended is read back byte for byte, in one piece and in pieces, and again after it
 * was copied and the original purged.
 */
#include "vault/content.h"
#include "vault/search.h"
#include "vault/sort.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/scratch.h"
#include "message/message.h"
#include "secret/crypt.h"
#include "sqlite/db.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One mailbox for the whole run: made at the first input, removed at the end. */
struct mailbox {
    char folder[64];
    struct vault *vault;
    int64_t inbox, archive;
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
    struct vault_folder folder;
    struct secret *key;
    struct task task;

    secret_init();
    message_init_library();
    db_init_library();
    scratch_folder_in_memory(mailbox.folder, sizeof(mailbox.folder), "vault-fuzz");
    task_init(&task, clock_now_ms());
    key = crypt_mailbox_key(STR("password"), salt);
    assert(vault_create(&task, &options, key, &mailbox.vault) == ERR_OK);
    assert(vault_folder_find(mailbox.vault, &task, STR("INBOX"), &folder) == ERR_OK);
    mailbox.inbox = folder.id;
    assert(vault_folder_find(mailbox.vault, &task, STR("Archive"), &folder) == ERR_OK);
    mailbox.archive = folder.id;
    secret_free(&key);
    task_done(&task);
    atexit(remove_mailbox);
}

static void check_bytes(struct task *task, int64_t folder_id, uint32_t uid, struct str raw,
                        size_t step)
{
    struct vault_content *content;
    struct vault_cursor *cursor;
    struct vault_message message;
    struct buf out;
    bool has_row;

    buf_init(&out, SIZE_MAX);
    assert(vault_cursor_open(mailbox.vault, task, folder_id, uid, uid, ~0u, false, &cursor) ==
           ERR_OK);
    assert(vault_cursor_next(cursor, task, &message, &has_row) == ERR_OK && has_row);
    assert(message.size_bytes == raw.len);
    vault_cursor_close(&cursor);
    assert(vault_content_open(mailbox.vault, task, message.content_id, &content) == ERR_OK);
    for (size_t at = 0; at < raw.len; at += step)
        assert(vault_content_read(content, task, at, step, &out) == ERR_OK);
    assert(str_equal(buf_str(&out), raw));
    vault_content_close(&content);
    buf_free(&out);
}

static void expunge(struct task *task, int64_t folder_id, uint32_t uid)
{
    uint32_t *a, *b;
    size_t a_count, b_count;
    bool has_more = true;

    assert(vault_message_store(mailbox.vault, task, folder_id, &uid, 1, VAULT_STORE_ADD,
                               VAULT_FLAG_DELETED, UINT64_MAX, &a, &a_count, &b,
                               &b_count) == ERR_OK);
    assert(vault_message_expunge(mailbox.vault, task, folder_id, NULL, 0, &a, &a_count) == ERR_OK);
    assert(a_count == 1);
    task->now_ms += VAULT_EXPUNGED_GRACE_MS;
    while (has_more)
        assert(vault_housekeeping(mailbox.vault, task, &has_more) == ERR_OK);
}

static bool on_sort_key(void *owner, const struct vault_sort_key *key)
{
    size_t *count = owner;

    assert(key->base_subject.len <= VAULT_SORT_TEXT_MAX && key->from.len <= VAULT_SORT_TEXT_MAX);
    ++*count;
    return true;
}

/* Whatever stands in the text is found in it: by the index, where that is sure of itself. */
static void check_search(struct task *task, int64_t folder_id, struct str raw)
{
    struct message_summary summary;
    struct vault_candidates found;
    struct buf text, folded, key;
    bool has, is_end;
    size_t count = 0;

    buf_init(&text, SIZE_MAX);
    buf_init(&folded, SIZE_MAX);
    buf_init(&key, SIZE_MAX);
    message_parse(task, raw, &summary);
    message_text(&summary.structure, raw, true, &text);
    message_fold(buf_str(&text), &folded);
    if (text.len > 0) {
        struct str part =
            str_upto(str_from(buf_str(&text), raw.len * 7919 % text.len), 1 + raw.len % 150);

        message_fold(part, &key);
        has = str_find(buf_str(&folded), buf_str(&key)) >= 0;
        assert(vault_search_candidates(mailbox.vault, task, folder_id, VAULT_SEARCH_TEXT, STR(""),
                                       part, NULL, 0, &found) == ERR_OK);
        assert(found.count <= 1 && (!has || found.count == 1));
        assert(!found.is_exact || found.open_count == 1 || has == (found.count == 1));
    }
    assert(vault_sort_keys(mailbox.vault, task, folder_id, 1, UINT32_MAX, ~0u, on_sort_key, &count,
                           &is_end) == ERR_OK);
    assert(count == 1 && is_end);
    buf_free(&text);
    buf_free(&folded);
    buf_free(&key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vault_append append = {.raw = str_make(data, size)};
    uint32_t uid, *sources, *targets;
    struct task task;
    size_t count;

    if (mailbox.vault == NULL)
        make_mailbox();
    task_init(&task, clock_now_ms());
    assert(vault_message_append(mailbox.vault, &task, mailbox.inbox, &append, &uid) == ERR_OK);
    check_bytes(&task, mailbox.inbox, uid, append.raw, SIZE_MAX / 2);
    assert(vault_message_copy(mailbox.vault, &task, mailbox.inbox, mailbox.archive, &uid, 1, false,
                              &sources, &targets, &count) == ERR_OK);
    expunge(&task, mailbox.inbox, uid);
    check_bytes(&task, mailbox.archive, targets[0], append.raw, 1 + size % 997);
    check_search(&task, mailbox.archive, append.raw); /* housekeeping put it into the index */
    expunge(&task, mailbox.archive, targets[0]);
    task_done(&task);
    return 0;
}
