#include "dropbox/fixture.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/scratch.h"
#include "dropbox/key.h"
#include "vault/content.h"
#include "vault/message.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

void fixture_init_libraries(void)
{
    secret_init();
    secret_set_inherited(true); /* children go on with our keys here */
    db_init_library();
}

static struct vault_options vault_options(const struct fixture *f)
{
    return (struct vault_options){
        .folder = f->mail, .id = f->mailbox, .limit_bytes = UINT64_MAX, .log = &f->log};
}

void fixture_open_sealing(struct fixture *f)
{
    struct sealing_options options = {
        .drop_root = f->drop_root, .key = f->root_key, .log = &f->log};

    f->sealing = sealing_new(&options);
}

struct dropbox_owner fixture_owner(const struct fixture *f)
{
    return (struct dropbox_owner){.folder = f->drop,
                                  .mailbox = f->mailbox,
                                  .drop_key = f->drop_key,
                                  .vault = f->vault,
                                  .log = &f->log};
}

struct fixture *fixture_new(void)
{
    struct fixture *f = NEW(struct fixture);
    struct vault_options options;
    struct dropbox_owner owner;
    const char *xx;

    scratch_folder_in_memory(f->root, sizeof(f->root), "import-test"); /* kills, not power cuts */
    f->mailbox = id_random();
    xx = f->mailbox.text + ID_TEXT_LEN - 2;
    snprintf(f->drop_root, sizeof(f->drop_root), "%s/drop", f->root);
    snprintf(f->drop, sizeof(f->drop), "%s/%s/%s", f->drop_root, xx, f->mailbox.text);
    snprintf(f->mail, sizeof(f->mail), "%s/mail/%s/%s", f->root, xx, f->mailbox.text);
    task_init(&f->task, 1795322096789);
    f->log = (struct log){.level = LOG_LEVEL_ERROR, .fd = -1, .role = "test"};
    f->root_key = secret_new(CRYPT_KEY_BYTES);
    f->drop_key = dropbox_key(f->root_key, &f->mailbox);
    f->mailbox_key = secret_new(MAILBOX_KEY_BYTES);
    random_bytes(secret_bytes(f->mailbox_key), MAILBOX_KEY_BYTES);
    f->shared =
        mmap(NULL, sizeof(*f->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_int_equal(dir_make(&f->task, AT_FDCWD, f->mail, true), ERR_OK);
    options = vault_options(f);
    assert_int_equal(vault_create(&f->task, &options, f->mailbox_key, &f->vault), ERR_OK);
    owner = fixture_owner(f);
    assert_int_equal(dropbox_renew(&owner, &f->task), ERR_OK);
    fixture_open_sealing(f);
    return f;
}

void fixture_free(struct fixture **fixture)
{
    struct fixture *f = *fixture;
    char command[FIXTURE_ROOT_ROOM + 16];

    sealing_free(&f->sealing);
    vault_close(&f->vault);
    snprintf(command, sizeof(command), "rm -rf %s", f->root);
    assert_int_equal(system(command), 0);
    secret_free(&f->root_key);
    secret_free(&f->drop_key);
    secret_free(&f->mailbox_key);
    munmap(f->shared, sizeof(*f->shared));
    task_done(&f->task);
    mem_free(fixture);
}

int fixture_set_up(void **state)
{
    *state = fixture_new();
    return 0;
}

int fixture_tear_down(void **state)
{
    struct fixture *f = *state;

    fixture_free(&f);
    return 0;
}

void fixture_reopen_vault(struct fixture *f)
{
    struct vault_options options = vault_options(f);

    vault_close(&f->vault);
    task_forgive(&f->task);
    if (vault_open(&f->task, &options, f->mailbox_key, &f->vault) != ERR_OK)
        fail_msg("vault: %s", f->task.words);
}

struct str fixture_message(struct task *task, uint32_t number)
{
    return arena_printf(
        &task->arena, "Received: by us\r\nSubject: number %u.\r\n\r\nbody of %u\r\n%.*s", number,
        number, (int)(number % 7 * 300), "                                        ");
}

enum err fixture_deliver(struct fixture *f, size_t count)
{
    struct dropbox_mail mails[64];
    struct records_totals totals;
    uint32_t first = f->shared->sent;
    struct task task;
    enum err err;

    task_init(&task, f->task.now_ms);
    for (size_t i = 0; i < count; i++) {
        mails[i] = (struct dropbox_mail){.sender = STR("a@x"),
                                         .recipient = STR("b@y"),
                                         .received_ms = f->task.now_ms,
                                         .trace_len = 17};
        mails[i].raw = fixture_message(&task, f->shared->sent++);
    }
    err = sealing_deliver(f->sealing, &task, &f->mailbox, mails, count, &totals);
    for (size_t i = 0; i < count && err == ERR_OK; i++)
        f->shared->is_acknowledged[first + i] = 1;
    task_done(&task);
    return err;
}

enum err fixture_take_over(struct fixture *f, bool is_renewing, uint64_t *out_imported)
{
    struct dropbox_owner owner = fixture_owner(f);
    struct task task;
    enum err err;

    task_init(&task, f->task.now_ms);
    sealing_release(f->sealing, &f->mailbox);
    err = dropbox_import(&owner, &task, out_imported);
    if (err == ERR_OK && is_renewing)
        err = dropbox_renew(&owner, &task);
    task_done(&task);
    return err;
}

enum err fixture_login(const struct dropbox_owner *owner, struct task *task)
{
    uint64_t imported;

    TRY(dropbox_take_over(owner, task, &imported));
    return dropbox_renew_if_due(owner, task, DROPBOX_AGE_AT_LOGIN_MS);
}

static struct buf content_of(struct fixture *f, int64_t content_id)
{
    struct vault_content *content = NULL;
    struct buf bytes;

    buf_init(&bytes, SIZE_MAX);
    assert_int_equal(vault_content_open(f->vault, &f->task, content_id, &content), ERR_OK);
    assert_int_equal(vault_content_read(content, &f->task, 0, SIZE_MAX / 2, &bytes), ERR_OK);
    vault_content_close(&content);
    return bytes;
}

size_t fixture_count(struct fixture *f, struct str name, uint32_t seen[FIXTURE_MAILS_MAX])
{
    struct vault_cursor *cursor = NULL;
    struct vault_folder folder;
    struct vault_message message;
    size_t notices = 0;
    bool has_row;

    assert_int_equal(vault_folder_find(f->vault, &f->task, name, &folder), ERR_OK);
    assert_int_equal(vault_cursor_open(f->vault, &f->task, folder.id, 1, UINT32_MAX,
                                       VAULT_COLUMN_FLAGS, false, &cursor),
                     ERR_OK);
    for (;;) {
        struct buf bytes;
        struct str number;
        ptrdiff_t at;
        uint32_t value;

        assert_int_equal(vault_cursor_next(cursor, &f->task, &message, &has_row), ERR_OK);
        if (!has_row)
            break;
        bytes = content_of(f, message.content_id);
        at = str_find(buf_str(&bytes), STR("Subject: number "));
        if (at < 0) {
            assert_true(str_find(buf_str(&bytes), STR("missing or damaged")) > 0);
            notices++;
        } else {
            number = str_from(buf_str(&bytes), (size_t)at + 16);
            assert_true(parse_u32(str_upto(number, (size_t)str_index(number, '.')), &value));
            assert_true(value < f->shared->sent);
            assert_true(str_equal(buf_str(&bytes), fixture_message(&f->task, value)));
            seen[value]++;
        }
        buf_free(&bytes);
    }
    vault_cursor_close(&cursor);
    return notices;
}

size_t fixture_check(struct fixture *f)
{
    uint32_t *seen = NEW_ARRAY(uint32_t, FIXTURE_MAILS_MAX);
    size_t notices;

    task_forgive(&f->task);
    notices = fixture_count(f, STR("INBOX"), seen);
    for (uint32_t i = 0; i < f->shared->sent; i++)
        if (f->shared->is_acknowledged[i] ? seen[i] != 1 : seen[i] > 1)
            fail_msg("message %u is there %u times", i, seen[i]);
    mem_free(&seen);
    return notices;
}

const char *fixture_path(struct fixture *f, const char *name)
{
    return arena_printf(&f->task.arena, "%s/%s", f->drop, name).ptr;
}

const char *fixture_drop_name(struct fixture *f)
{
    return arena_printf(&f->task.arena, "%s.drop.sqlite", f->mailbox.text).ptr;
}

bool fixture_has_drop_file(struct fixture *f)
{
    return access(fixture_path(f, fixture_drop_name(f)), F_OK) == 0;
}
