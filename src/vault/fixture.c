#include "vault/fixture.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/scratch.h"
#include "message/message.h"
#include "secret/crypt.h"
#include "vault/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

void fixture_init_libraries(void)
{
    secret_init();
    message_init_library();
    db_init_library();
}

int fixture_set_up(void **state)
{
    struct fixture *f = NEW(struct fixture);
    unsigned char salt[MAILBOX_SALT_BYTES];

    scratch_folder_in_memory(f->folder, sizeof(f->folder), "vault-test");
    random_bytes(salt, sizeof(salt));
    f->key = crypt_mailbox_key(STR("correct horse"), salt);
    f->log = (struct log){.level = LOG_LEVEL_ERROR, .fd = -1, .role = "test"};
    f->options = (struct vault_options){
        .folder = f->folder, .id = id_random(), .limit_bytes = UINT64_MAX, .log = &f->log};
    snprintf(f->path, sizeof(f->path), "%s/%s.sqlite", f->folder, f->options.id.text);
    task_init(&f->task, clock_now_ms());
    if (vault_create(&f->task, &f->options, f->key, &f->vault) != ERR_OK)
        fail_msg("create: %s", f->task.words);
    f->inbox = fixture_folder_id(f, "INBOX");
    f->archive = fixture_folder_id(f, "Archive");
    *state = f;
    return 0;
}

int fixture_tear_down(void **state)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    struct fixture *f = *state;
    char path[160];

    if (f->vault != NULL)
        fixture_check(f);
    vault_close(&f->vault);
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        snprintf(path, sizeof(path), "%s%s", f->path, suffixes[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(f->folder), 0);
    secret_free(&f->key);
    task_done(&f->task);
    mem_free(&f);
    return 0;
}

void fixture_reopen(struct fixture *f)
{
    struct vault_usage usage;

    vault_usage(f->vault, &usage);
    vault_close(&f->vault);
    f->options.epoch_seen = usage.epoch;
    f->options.change_counter_seen = usage.change_counter;
    if (vault_open(&f->task, &f->options, f->key, &f->vault) != ERR_OK)
        fail_msg("open: %s", f->task.words);
    assert_false(vault_was_rolled_back(f->vault));
}

int64_t fixture_ask(struct fixture *f, const char *sql)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row = false;

    if (db_prepare(f->vault->db, &f->task, sql, &statement) != ERR_OK ||
        db_step(f->vault->db, &f->task, statement, &has_row) != ERR_OK)
        fail_msg("%s: %s", sql, f->task.words);
    return has_row ? db_column_int(statement, 0) : -1;
}

void fixture_execute(struct fixture *f, const char *sql)
{
    if (db_execute(f->vault->db, &f->task, sql) != ERR_OK)
        fail_msg("%s: %s", sql, f->task.words);
}

/* Each query counts what should not be. */
static const char *const faults[] = {
    "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
    "SELECT count(*) FROM folder AS f WHERE message_count <> (SELECT count(*) FROM message "
    "WHERE key >> 32 = f.id AND is_expunged = 0)",
    "SELECT count(*) FROM folder AS f WHERE unseen_count <> (SELECT count(*) FROM message "
    "WHERE key >> 32 = f.id AND is_expunged = 0 AND flags & 1 = 0)",
    "SELECT count(*) FROM folder AS f WHERE deleted_count <> (SELECT count(*) FROM message "
    "WHERE key >> 32 = f.id AND is_expunged = 0 AND flags & 8 <> 0)",
    "SELECT count(*) FROM folder AS f WHERE size_bytes <> (SELECT coalesce(sum(size_bytes), 0) "
    "FROM message WHERE key >> 32 = f.id AND is_expunged = 0)",
    "SELECT count(*) FROM folder AS f WHERE highest_modseq < (SELECT max(modseq) FROM message "
    "WHERE key >> 32 = f.id AND is_expunged = 0)",
    "SELECT count(*) FROM folder AS f WHERE uidnext <= (SELECT max(key & 4294967295) FROM message "
    "WHERE key >> 32 = f.id)",
    "SELECT count(*) FROM mailbox WHERE message_count <> (SELECT sum(message_count) FROM folder) "
    "OR size_bytes <> (SELECT sum(size_bytes) FROM folder)",
    "SELECT count(*) FROM content AS c WHERE (SELECT count(*) FROM message WHERE content_id = c.id)"
    " + (SELECT count(*) FROM hidden WHERE content_id = c.id) <> 1 + coalesce((SELECT extra FROM content_share WHERE content_id = c.id), 0)",
    "SELECT count(*) FROM message WHERE content_id NOT IN (SELECT id FROM content)",
    "SELECT count(*) FROM content_share WHERE content_id NOT IN (SELECT id FROM content)",
    "SELECT count(*) FROM part WHERE key >> 24 NOT IN (SELECT id FROM content)",
    "SELECT count(*) FROM attachment AS a WHERE use_count <> (SELECT count(*) FROM part "
    "WHERE attachment_id = a.id)",
    "SELECT count(*) FROM part WHERE attachment_id > 0 AND attachment_id NOT IN "
    "(SELECT id FROM attachment)",
    "SELECT count(*) FROM attachment_part WHERE key >> 24 NOT IN (SELECT id FROM attachment)",
    "SELECT count(*) FROM hidden WHERE content_id NOT IN (SELECT id FROM content)",
    "SELECT count(*) FROM mailbox WHERE hidden_count <> (SELECT count(*) FROM hidden) "
    "OR hidden_bytes <> (SELECT coalesce(sum(size_bytes), 0) FROM hidden)",
    "SELECT count(*) FROM message WHERE is_expunged > 0 AND NOT EXISTS (SELECT 1 FROM purge "
    "WHERE key BETWEEN first_key AND last_key)",
    "SELECT count(*) FROM identity WHERE content_id NOT IN (SELECT id FROM content)",
    "SELECT count(*) FROM thread_reference WHERE thread_id NOT IN (SELECT thread_id FROM identity)",
    "SELECT count(*) FROM metadata WHERE folder_id <> 0 AND folder_id NOT IN "
    "(SELECT id FROM folder)",
    /* A name that cannot be selected has folders below it. */
    "SELECT count(*) FROM folder AS a WHERE NOT is_selectable AND NOT EXISTS (SELECT 1 FROM folder "
    "AS b WHERE substr(b.name, 1, length(a.name) + 1) = a.name || '/')",
    "SELECT count(*) FROM preview WHERE content_id NOT IN (SELECT id FROM content)",
    "SELECT count(*) FROM sort_key WHERE content_id NOT IN (SELECT id FROM content)",
    /* Live segments do not overlap, and every indexed content lies in one. */
    "SELECT count(*) FROM word_segment AS a JOIN word_segment AS b ON a.id < b.id AND a.state = 1 "
    "AND b.state = 1 AND a.first_content_id <= b.last_content_id "
    "AND b.first_content_id <= a.last_content_id",
    "SELECT count(*) FROM content AS c WHERE id <= (SELECT max(last_content_id) FROM word_segment "
    "WHERE "
    "state = 1) AND NOT EXISTS (SELECT 1 FROM word_segment WHERE state = 1 AND c.id BETWEEN "
    "first_content_id "
    "AND last_content_id)",
    "SELECT count(*) FROM word_terms WHERE key >> 24 NOT IN (SELECT id FROM word_segment)",
    "SELECT count(*) FROM word_postings WHERE key >> 24 NOT IN (SELECT id FROM word_segment)",
    "SELECT count(*) FROM word_gone WHERE content_id IN (SELECT id FROM content)",
    "SELECT count(*) FROM unindexed WHERE content_id NOT IN (SELECT id FROM content)",
    "SELECT count(*) FROM message AS m WHERE sent_day IS NOT (SELECT sent_day FROM content "
    "WHERE id = m.content_id)",
    "SELECT count(*) FROM mailbox WHERE next_content_id <= (SELECT max(id) FROM content)",
};

void fixture_check(struct fixture *f)
{
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        if (fixture_ask(f, faults[i]) != 0)
            fail_msg("%lld: %s", (long long)fixture_ask(f, faults[i]), faults[i]);
    }
}

int64_t fixture_folder_id(struct fixture *f, const char *name)
{
    struct vault_folder folder;

    if (vault_folder_find(f->vault, &f->task, str_from_c(name), &folder) != ERR_OK)
        fail_msg("no folder %s", name);
    return folder.id;
}

struct str fixture_message(struct fixture *f, const char *subject)
{
    return arena_printf(&f->task.arena,
                        "From: Ann <ann@example.org>\r\nTo: Bob <bob@example.com>\r\n"
                        "Subject: %s\r\nDate: Sun, 22 Nov 2026 05:00:00 +0100\r\n\r\n"
                        "The text of %s.\r\n",
                        subject, subject);
}

uint32_t fixture_append(struct fixture *f, int64_t folder_id, struct str raw, uint64_t flags)
{
    struct vault_append append = {.raw = raw,
                                  .flags = flags,
                                  .internal_date_ms = 1763787600123,
                                  .internal_zone_minutes = -90};
    uint32_t uid;

    if (vault_message_append(f->vault, &f->task, folder_id, &append, &uid) != ERR_OK)
        fail_msg("append: %s", f->task.words);
    return uid;
}

struct str fixture_read(struct fixture *f, int64_t folder_id, uint32_t uid)
{
    CLEANUP(vault_content_close) struct vault_content *content = NULL;
    CLEANUP(buf_free) struct buf out = {0};
    struct vault_cursor *cursor;
    struct vault_message message;
    bool has_row;

    buf_init(&out, SIZE_MAX);
    assert_int_equal(vault_cursor_open(f->vault, &f->task, folder_id, uid, uid, 0, true, &cursor),
                     ERR_OK);
    assert_int_equal(vault_cursor_next(cursor, &f->task, &message, &has_row), ERR_OK);
    assert_true(has_row);
    vault_cursor_close(&cursor);
    if (vault_content_open(f->vault, &f->task, message.content_id, &content) != ERR_OK ||
        vault_content_read(content, &f->task, 0, SIZE_MAX, &out) != ERR_OK)
        fail_msg("read: %s", f->task.words);
    assert_int_equal(vault_content_size(content), message.size_bytes);
    return arena_copy(&f->task.arena, buf_str(&out));
}

const char *fixture_uids(struct fixture *f, int64_t folder_id)
{
    CLEANUP(buf_free) struct buf out = {0};
    struct vault_uid_flags *messages;
    size_t count;

    buf_init(&out, SIZE_MAX);
    assert_int_equal(vault_message_list(f->vault, &f->task, folder_id, &messages, &count), ERR_OK);
    for (size_t i = 0; i < count; i++)
        buf_putf(&out, "%s%u", i > 0 ? " " : "", messages[i].uid);
    return arena_copy(&f->task.arena, buf_str(&out)).ptr;
}

void fixture_housekeep(struct fixture *f, int64_t ms)
{
    int64_t now_ms = f->task.now_ms;
    bool has_more = true;

    f->task.now_ms += ms;
    for (int i = 0; has_more && i < 10000; i++)
        assert_int_equal(vault_housekeeping(f->vault, &f->task, &has_more), ERR_OK);
    assert_false(has_more);
    f->task.now_ms = now_ms;
}
