/*
 * The drop box from end to end, with a real mailbox file: sealed, taken over, renewed; under kills,
 * failing calls and tampering. Every acknowledged message is in the mailbox exactly once.
 */
#include "dropbox/dropbox.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "dropbox/damaged.h"
#include "dropbox/faults.h"
#include "dropbox/key.h"
#include "dropbox/lane.h"
#include "dropbox/sealing.h"
#include "vault/content.h"
#include "vault/dropkeys.h"
#include "vault/message.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROOT_ROOM = 256, PATH_ROOM = 1024, MAILS_MAX = 8000 };

struct fixture {
    char root[ROOT_ROOM], drop_root[ROOT_ROOM + 8], drop[PATH_ROOM], mail[PATH_ROOM];
    struct id mailbox;
    struct task task;
    struct log log;
    struct secret *root_key, *drop_key, *mailbox_key;
    struct sealing *sealing;
    struct vault *vault;
    struct shared { /* with children */
        uint32_t sent;
        unsigned char is_acknowledged[MAILS_MAX];
    } *shared;
};

static struct vault_options vault_options(const struct fixture *f)
{
    return (struct vault_options){.folder = f->mail, .id = f->mailbox, .limit_bytes = UINT64_MAX,
                                  .log = &f->log};
}

static void open_sealing(struct fixture *f)
{
    struct sealing_options options = {.drop_root = f->drop_root, .key = f->root_key,
                                      .log = &f->log};

    f->sealing = sealing_new(&options);
}

static struct dropbox_owner owner_of(const struct fixture *f)
{
    return (struct dropbox_owner){.folder = f->drop, .mailbox = f->mailbox,
                                  .drop_key = f->drop_key, .vault = f->vault, .log = &f->log};
}

static void set_up(struct fixture *f)
{
    struct vault_options options;
    struct dropbox_owner owner;
    const char *xx;

    memset(f, 0, sizeof(*f));
    snprintf(f->root, sizeof(f->root), "%s/import-test-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"); /* kills, not power cuts */
    assert_non_null(mkdtemp(f->root));
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
    f->shared = mmap(NULL, sizeof(*f->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                     -1, 0);
    assert_int_equal(dir_make(&f->task, AT_FDCWD, f->mail, true), ERR_OK);
    options = vault_options(f);
    assert_int_equal(vault_create(&f->task, &options, f->mailbox_key, &f->vault), ERR_OK);
    owner = owner_of(f);
    assert_int_equal(dropbox_renew(&owner, &f->task), ERR_OK);
    open_sealing(f);
}

static void tear_down(struct fixture *f)
{
    char command[ROOT_ROOM + 16];

    sealing_free(&f->sealing);
    vault_close(&f->vault);
    snprintf(command, sizeof(command), "rm -rf %s", f->root);
    assert_int_equal(system(command), 0);
    secret_free(&f->root_key);
    secret_free(&f->drop_key);
    secret_free(&f->mailbox_key);
    munmap(f->shared, sizeof(*f->shared));
    task_done(&f->task);
}

static void reopen_vault(struct fixture *f)
{
    struct vault_options options = vault_options(f);

    vault_close(&f->vault);
    task_forgive(&f->task);
    if (vault_open(&f->task, &options, f->mailbox_key, &f->vault) != ERR_OK)
        fail_msg("vault: %s", f->task.words);
}

/* Message `number`, unlike any other. */
static struct str message_text(struct task *task, uint32_t number)
{
    return arena_printf(&task->arena,
                        "Received: by us\r\nSubject: number %u.\r\n\r\nbody of %u\r\n%.*s", number,
                        number, (int)(number % 7 * 300), "                                        ");
}

static enum err deliver(struct fixture *f, size_t count)
{
    struct dropbox_mail mails[64];
    struct records_totals totals;
    uint32_t first = f->shared->sent;
    struct task task;
    enum err err;

    task_init(&task, f->task.now_ms);
    for (size_t i = 0; i < count; i++) {
        mails[i] = (struct dropbox_mail){.sender = STR("a@x"), .recipient = STR("b@y"),
                                         .received_ms = f->task.now_ms, .trace_len = 17};
        mails[i].raw = message_text(&task, f->shared->sent++);
    }
    err = sealing_deliver(f->sealing, &task, &f->mailbox, mails, count, &totals);
    for (size_t i = 0; i < count && err == ERR_OK; i++)
        f->shared->is_acknowledged[first + i] = 1;
    task_done(&task);
    return err;
}

/* As at a login: the sealer lets go, the mail is taken over, the lane renewed. */
static enum err take_over(struct fixture *f, bool is_renewing, uint64_t *out_imported)
{
    struct dropbox_owner owner = owner_of(f);
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

/* How often each number is in a folder; gives the messages that are notices. */
static size_t count_folder(struct fixture *f, struct str name, uint32_t seen[MAILS_MAX])
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
            assert_true(str_equal(buf_str(&bytes), message_text(&f->task, value)));
            seen[value]++;
        }
        buf_free(&bytes);
    }
    vault_cursor_close(&cursor);
    return notices;
}

/* Every acknowledged message once in INBOX, others at most once; gives the notices. */
static size_t check(struct fixture *f)
{
    uint32_t *seen = NEW_ARRAY(uint32_t, MAILS_MAX);
    size_t notices;

    task_forgive(&f->task);
    notices = count_folder(f, STR("INBOX"), seen);
    for (uint32_t i = 0; i < f->shared->sent; i++)
        if (f->shared->is_acknowledged[i] ? seen[i] != 1 : seen[i] > 1)
            fail_msg("message %u is there %u times", i, seen[i]);
    mem_free(&seen);
    return notices;
}

static bool has_drop_file(const struct fixture *f)
{
    char path[PATH_ROOM * 2];

    snprintf(path, sizeof(path), "%s/%s.drop.sqlite", f->drop, f->mailbox.text);
    return access(path, F_OK) == 0;
}

static void test_waiting_mail_is_taken_over(void **state)
{
    (void)state;
    struct fixture f;
    uint64_t imported = 7;

    set_up(&f);
    assert_int_equal(take_over(&f, false, &imported), ERR_OK);
    assert_true(imported == 0);
    for (int login = 0; login < 4; login++) {
        assert_int_equal(deliver(&f, 1), ERR_OK);
        assert_int_equal(deliver(&f, 5), ERR_OK);
        sealing_free(&f.sealing); /* another boot */
        open_sealing(&f);
        assert_int_equal(deliver(&f, 2), ERR_OK);
        assert_true(has_drop_file(&f));
        assert_int_equal(take_over(&f, login != 2, &imported), ERR_OK);
        assert_true(imported == 8);
        assert_false(has_drop_file(&f));
        assert_true(check(&f) == 0);
    }
    /* More than one batch. */
    for (int i = 0; i < 5; i++)
        assert_int_equal(deliver(&f, 40), ERR_OK);
    assert_int_equal(take_over(&f, true, &imported), ERR_OK);
    assert_true(imported == 200 && check(&f) == 0);
    reopen_vault(&f);
    assert_true(check(&f) == 0);
    tear_down(&f);
}

static void test_folders_and_retransmissions(void **state)
{
    (void)state;
    struct records_totals totals;
    struct dropbox_mail mails[4] = {{.folder = STR("Junk")}, {.folder = STR("no such folder")},
                                    {.folder = STR("")}, {.folder = STR("../x//")}};
    uint32_t *seen = NEW_ARRAY(uint32_t, MAILS_MAX);
    struct fixture f;
    uint64_t imported;

    set_up(&f);
    for (uint32_t i = 0; i < 4; i++) {
        mails[i].raw = message_text(&f.task, i);
        mails[i].trace_len = 17;
        mails[i].received_ms = f.task.now_ms;
    }
    f.shared->sent = 4;
    for (int again = 0; again < 2; again++)
        assert_int_equal(sealing_deliver(f.sealing, &f.task, &f.mailbox, mails, 4, &totals),
                         ERR_OK);
    assert_int_equal(take_over(&f, true, &imported), ERR_OK);
    (void)count_folder(&f, STR("Junk"), seen);
    assert_true(seen[0] == 1 && seen[1] == 0);
    (void)count_folder(&f, STR("INBOX"), seen);
    assert_true(seen[0] == 1 && seen[1] == 1 && seen[2] == 1 && seen[3] == 1);
    mem_free(&seen);
    tear_down(&f);
}

/* The old root goes when nothing needs it any more. */
static void test_old_roots_are_forgotten(void **state)
{
    (void)state;
    struct dropbox_owner owner;
    struct vault_lane_root root = {.generation = 0};
    struct fixture f;
    struct lane lane;
    uint64_t imported;

    set_up(&f);
    owner = owner_of(&f);
    assert_int_equal(deliver(&f, 3), ERR_OK);
    sealing_release(f.sealing, &f.mailbox);
    assert_int_equal(dropbox_renew(&owner, &f.task), ERR_OK); /* with records waiting */
    assert_int_equal(lane_open(&f.task, f.drop, &lane), ERR_OK);
    assert_true(lane.place.generation == 2 && lane.place.boot == 1);
    assert_int_equal(vault_lane_root_get(f.vault, &f.task, lane.place.lane, 1, &root), ERR_OK);
    vault_lane_root_done(&root);
    assert_int_equal(deliver(&f, 3), ERR_OK);
    assert_int_equal(take_over(&f, true, &imported), ERR_OK);
    assert_true(imported == 6 && check(&f) == 0);
    for (uint64_t generation = 1; generation <= 2; generation++)
        assert_int_equal(vault_lane_root_get(f.vault, &f.task, lane.place.lane, generation, &root),
                         ERR_NOT_FOUND);
    task_forgive(&f.task);
    assert_int_equal(vault_lane_root_get(f.vault, &f.task, lane.place.lane, 3, &root), ERR_OK);
    vault_lane_root_done(&root);
    lane_close(&lane);
    tear_down(&f);
}

static uint64_t generation_after(struct fixture *f, enum err (*turn)(const struct dropbox_owner *,
                                                                     struct task *))
{
    struct dropbox_owner owner = owner_of(f);
    uint64_t generation;
    struct lane lane;

    assert_int_equal(turn(&owner, &f->task), ERR_OK);
    assert_int_equal(lane_open(&f->task, f->drop, &lane), ERR_OK);
    generation = lane.place.generation;
    lane_close(&lane);
    return generation;
}

static enum err login(const struct dropbox_owner *owner, struct task *task)
{
    uint64_t imported;

    TRY(dropbox_take_over(owner, task, &imported));
    return dropbox_renew_if_due(owner, task, DROPBOX_AGE_AT_LOGIN_MS);
}

static enum err stay(const struct dropbox_owner *owner, struct task *task)
{
    return dropbox_renew_if_due(owner, task, DROPBOX_AGE_IN_SESSION_MS);
}

/* At a login at most hourly, in a session daily; and a clock that is wrong holds nothing off. */
static void test_when_a_generation_is_due(void **state)
{
    (void)state;
    static const int64_t hour = 60 * 60 * 1000, day = 24 * hour;
    struct fixture f;

    set_up(&f);
    assert_int_equal(generation_after(&f, login), 1);
    f.task.now_ms += hour - 1;
    assert_int_equal(generation_after(&f, login), 1);
    f.task.now_ms += 1;
    assert_int_equal(generation_after(&f, stay), 1);
    assert_int_equal(generation_after(&f, login), 2);
    f.task.now_ms += day - 1;
    assert_int_equal(generation_after(&f, stay), 2);
    f.task.now_ms += 1;
    assert_int_equal(generation_after(&f, stay), 3);
    f.task.now_ms -= 1; /* from the future */
    assert_int_equal(generation_after(&f, login), 4);
    f.task.now_ms -= 100 * day;
    assert_int_equal(generation_after(&f, stay), 5);
    assert_int_equal(generation_after(&f, login), 5);

    /* With mail in between, which is taken over all the same; another boot, the same generation. */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(deliver(&f, 2), ERR_OK);
        sealing_release(f.sealing, &f.mailbox);
        assert_int_equal(generation_after(&f, login), 5);
        assert_true(check(&f) == 0 && !has_drop_file(&f));
    }
    tear_down(&f);
}

/* Of root and lane file one may be ahead after a failure; the next login makes them meet. */
static void test_a_renewal_that_failed(void **state)
{
    (void)state;
    struct fixture f;
    size_t failed = 0;

    set_up(&f);
    for (long at = 1; at <= 16; at++) {
        struct dropbox_owner owner = owner_of(&f);
        uint64_t generation;
        struct lane lane;

        faults_set(FAULTS_EIO, at, true);
        failed += dropbox_renew(&owner, &f.task) != ERR_OK;
        faults_clear();
        reopen_vault(&f);
        owner = owner_of(&f);
        assert_int_equal(deliver(&f, 1), ERR_OK);
        sealing_release(f.sealing, &f.mailbox);
        assert_int_equal(login(&owner, &f.task), ERR_OK);
        assert_int_equal(lane_open(&f.task, f.drop, &lane), ERR_OK);
        assert_int_equal(vault_lane_generation(f.vault, &f.task, lane.place.lane, &generation),
                         ERR_OK);
        assert_true(lane.slot >= 0 && lane.place.generation == generation);
        lane_close(&lane);
        assert_true(check(&f) == 0);
    }
    assert_true(failed > 4);
    tear_down(&f);
}

/* Where nothing waits and nothing is due, a login writes and syncs nothing. */
static void test_an_empty_drop_box_costs_nothing(void **state)
{
    (void)state;
    struct fixture f;
    struct dropbox_owner owner;

    set_up(&f);
    reopen_vault(&f);
    faults_clear();
    owner = owner_of(&f);
    assert_int_equal(login(&owner, &f.task), ERR_OK);
    assert_int_equal(faults_seen(), 0);
    tear_down(&f);
}

/* --- Tampering, by somebody with the host key --- */

static void tamper(struct fixture *f, const char *sql)
{
    char path[PATH_ROOM * 2];
    struct db *db = NULL;

    sealing_release(f->sealing, &f->mailbox);
    snprintf(path, sizeof(path), "%s/%s.drop.sqlite", f->drop, f->mailbox.text);
    assert_int_equal(db_open(&f->task, path, DB_OPEN, f->drop_key, &db), ERR_OK);
    if (db_execute(db, &f->task, sql) != ERR_OK)
        fail_msg("%s: %s", sql, f->task.words);
    db_close(&db);
}

static void test_what_does_not_open_is_kept_and_told(void **state)
{
    (void)state;
    static const struct {
        const char *name, *sql;
        uint32_t lost_first, lost_count; /* not in INBOX afterwards */
        size_t notices;
    } rows[] = {
        {"a changed byte",
         "UPDATE record SET sealed = cast(substr(sealed, 1, 300) || "
         "CASE substr(sealed, 301, 1) WHEN x'00' THEN x'01' ELSE x'00' END || "
         "substr(sealed, 302) AS BLOB) WHERE n = 3", 3, 1, 1},
        {"a changed header",
         "UPDATE record SET sealed = cast(substr(sealed, 1, 101) || "
         "CASE substr(sealed, 102, 1) WHEN x'ff' THEN x'00' ELSE x'ff' END || "
         "substr(sealed, 103) AS BLOB) WHERE n = 2", 2, 1, 1},
        {"a record cut short", "UPDATE record SET sealed = substr(sealed, 1, 50) WHERE n = 4", 4, 1,
         2}, /* and with it the place is empty */
        {"no record at all", "UPDATE record SET sealed = x'' WHERE n = 5", 5, 1, 1},
        {"columns that say otherwise", "UPDATE record SET n = 77 WHERE n = 5", 5, 1, 1},
        {"one in the middle is gone", "DELETE FROM record WHERE n = 2", 2, 1, 1},
        {"three in the middle are gone", "DELETE FROM record WHERE n IN (1, 2, 3)", 1, 3, 1},
        {"the first are gone", "DELETE FROM record WHERE n < 2", 0, 2, 1},
        {"the first, with a mark that they were taken",
         "DELETE FROM record WHERE n < 2; INSERT INTO taken SELECT lane, generation, boot, 2, "
         "zeroblob(32) FROM record LIMIT 1", 0, 2, 1},
        {"of an unknown generation",
         "UPDATE record SET generation = 9, sealed = cast(substr(sealed, 1, 19) || x'09' || "
         "substr(sealed, 21) AS BLOB) WHERE n = 5", 5, 1, 1},
        {"of a far boot",
         "UPDATE record SET boot = 281474976710657, sealed = cast(substr(sealed, 1, 33) || x'01' || "
         "substr(sealed, 35) AS BLOB) WHERE n = 5", 5, 1, 1},
        {"of a far n",
         "UPDATE record SET n = 281474976710661, sealed = cast(substr(sealed, 1, 41) || x'01' || "
         "substr(sealed, 43) AS BLOB) WHERE n = 5", 5, 1, 1},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture f;
        uint64_t imported;
        size_t notices;

        set_up(&f);
        assert_int_equal(deliver(&f, 6), ERR_OK);
        tamper(&f, rows[i].sql);
        for (uint32_t n = 0; n < rows[i].lost_count; n++)
            f.shared->is_acknowledged[rows[i].lost_first + n] = 0;
        assert_int_equal(take_over(&f, true, &imported), ERR_OK);
        assert_true(imported == 6 - rows[i].lost_count);
        notices = check(&f);
        if (notices != rows[i].notices)
            fail_msg("%s: %zu notices", rows[i].name, notices);
        assert_false(has_drop_file(&f));
        assert_int_equal(deliver(&f, 2), ERR_OK); /* and mail goes on */
        assert_int_equal(take_over(&f, true, &imported), ERR_OK);
        assert_true(imported == 2 && check(&f) == rows[i].notices);
        tear_down(&f);
    }
}

/* A record that comes back after it was imported is known, and only deleted. */
static void test_replayed_records_are_not_stored_twice(void **state)
{
    (void)state;
    char command[PATH_ROOM * 4];
    struct fixture f;
    uint64_t imported;

    set_up(&f);
    assert_int_equal(deliver(&f, 5), ERR_OK);
    sealing_release(f.sealing, &f.mailbox);
    snprintf(command, sizeof(command), "cp -r %s %s/copy", f.drop, f.root);
    assert_int_equal(system(command), 0);
    assert_int_equal(take_over(&f, false, &imported), ERR_OK);
    snprintf(command, sizeof(command), "cp %s/copy/*.sqlite %s/", f.root, f.drop);
    assert_int_equal(system(command), 0);
    assert_int_equal(take_over(&f, true, &imported), ERR_OK);
    assert_true(imported == 0 && check(&f) == 0);
    assert_false(has_drop_file(&f));
    tear_down(&f);
}

/* --- Damaged files --- */

/* Changes one byte of the drop file, or of the one set aside; the second time it is as it was. */
static void flip_byte(struct fixture *f, const char *name, off_t at)
{
    char path[PATH_ROOM * 2];
    unsigned char byte;
    int fd;

    snprintf(path, sizeof(path), "%s/%s", f->drop, name);
    fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x5a;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    (void)close(fd);
}

static const char *drop_name(struct fixture *f)
{
    return arena_printf(&f->task.arena, "%s.drop.sqlite", f->mailbox.text).ptr;
}

/* The one file that was set aside; NULL: none. */
static const char *damaged_name(struct fixture *f)
{
    const char **names;
    size_t count;

    assert_int_equal(damaged_list(&f->task, f->drop, &f->mailbox, &names, &count), ERR_OK);
    assert_true(count <= 1);
    return count == 1 ? names[0] : NULL;
}

static void set_acknowledged(struct fixture *f, uint32_t first, uint32_t count, bool is)
{
    for (uint32_t i = 0; i < count; i++)
        f->shared->is_acknowledged[first + i] = is;
}

/* A file that does not open blocks no mail, is kept, told of once, and taken over when it opens. */
static void test_a_damaged_file_is_set_aside(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        off_t at;
        bool sealer_first; /* new mail finds the damage, else the owner does */
    } rows[] = {
        {"the salt", 3, true},           {"the salt, at the login", 3, false},
        {"the page size", 16, true},     {"the page size, at the login", 16, false},
        {"the first page", 200, true},   {"the first page, at the login", 200, false},
        {"a page inside", 5 * 4096 + 100, true},
        {"a page inside, at the login", 5 * 4096 + 100, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture f;
        uint64_t imported = 0, rescued;
        size_t notices;

        set_up(&f);
        assert_int_equal(deliver(&f, 20), ERR_OK);
        sealing_release(f.sealing, &f.mailbox);
        flip_byte(&f, drop_name(&f), rows[i].at);
        if (rows[i].sealer_first) {
            assert_int_equal(deliver(&f, 2), ERR_OK);
            assert_int_equal(deliver(&f, 1), ERR_OK);
        }
        set_acknowledged(&f, 0, 20, false);
        f.task.now_ms += DROPBOX_AGE_AT_LOGIN_MS;
        assert_int_equal(take_over(&f, true, &imported), ERR_OK);
        rescued = imported - (rows[i].sealer_first ? 3 : 0);
        assert_true(rescued < 20);
        assert_non_null(damaged_name(&f));
        assert_false(has_drop_file(&f));
        notices = check(&f);
        if (notices != 1)
            fail_msg("%s: %zu notices", rows[i].name, notices);
        for (int login = 0; login < 3; login++) { /* renewed, and not told again */
            assert_int_equal(deliver(&f, 1), ERR_OK);
            f.task.now_ms += DROPBOX_AGE_AT_LOGIN_MS;
            assert_int_equal(take_over(&f, true, &imported), ERR_OK);
            assert_true(imported == 1 && check(&f) == 1);
        }
        flip_byte(&f, damaged_name(&f), rows[i].at); /* mended */
        set_acknowledged(&f, 0, 20, true);
        assert_int_equal(take_over(&f, true, &imported), ERR_OK);
        assert_true(imported == 20 - rescued && check(&f) == 1);
        assert_null(damaged_name(&f));
        tear_down(&f);
    }
}

/* Damage that opening does not meet, in the index: one delivery fails, the next finds a new file. */
static void test_damage_that_a_delivery_meets(void **state)
{
    (void)state;
    static const off_t in_index = 2 * 4096 + 100;
    struct fixture f;
    uint64_t imported;

    set_up(&f);
    assert_int_equal(deliver(&f, 20), ERR_OK);
    sealing_release(f.sealing, &f.mailbox);
    flip_byte(&f, drop_name(&f), in_index);
    assert_int_equal(deliver(&f, 2), ERR_IO);
    assert_int_equal(deliver(&f, 2), ERR_OK);
    assert_non_null(damaged_name(&f));
    flip_byte(&f, damaged_name(&f), in_index);
    assert_int_equal(take_over(&f, true, &imported), ERR_OK);
    assert_true(imported == 22 && check(&f) == 0);
    tear_down(&f);
}

/* --- Crashes --- */

/* What a child does: mail, and a login. */
static int run_cycle(struct fixture *f)
{
    uint64_t imported;

    if (deliver(f, 1) != ERR_OK || deliver(f, 3) != ERR_OK ||
        take_over(f, true, &imported) != ERR_OK)
        return 2;
    return 0;
}

static void test_kill_at_every_call(void **state)
{
    (void)state;
    struct fixture f;
    long at;

    set_up(&f);
    vault_close(&f.vault);
    for (at = 1; at <= 400; at++) {
        uint64_t imported;
        int status;
        pid_t child;

        sealing_free(&f.sealing);
        child = fork();
        if (child == 0) {
            open_sealing(&f);
            reopen_vault(&f);
            faults_set(FAULTS_KILL, at, false);
            _exit(run_cycle(&f));
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) || status == 0);
        open_sealing(&f);
        reopen_vault(&f);
        if (take_over(&f, true, &imported) != ERR_OK)
            fail_msg("a login after a kill at call %ld", at);
        assert_true(check(&f) == 0);
        vault_close(&f.vault);
        if (status == 0)
            break;
    }
    print_message("%ld calls\n", at - 1);
    assert_true(at > 40 && at < 400);
    tear_down(&f);
}

/* Taken over in part, the rest of a boot is imported later without a false alarm. */
static void test_kill_between_batches(void **state)
{
    (void)state;
    size_t partial = 0;
    struct fixture f;

    set_up(&f);
    for (long at = 5; at < 125; at += 5) { /* a batch makes few calls */
        uint64_t imported;
        int status;
        pid_t child;

        for (int i = 0; i < 4; i++)
            assert_int_equal(deliver(&f, 40), ERR_OK);
        sealing_free(&f.sealing);
        vault_close(&f.vault);
        child = fork();
        if (child == 0) {
            open_sealing(&f);
            reopen_vault(&f);
            faults_set(FAULTS_KILL, at, false);
            _exit(take_over(&f, false, &imported) == ERR_OK ? 0 : 2);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) || status == 0);
        open_sealing(&f);
        reopen_vault(&f);
        assert_int_equal(deliver(&f, 1), ERR_OK); /* another boot behind it */
        assert_int_equal(take_over(&f, false, &imported), ERR_OK);
        partial += imported > 1 && imported < 161;
        assert_true(check(&f) == 0);
    }
    assert_true(partial > 0);
    tear_down(&f);
}

/* --- A sealer that knows nothing of the owner's process --- */

/* A process of its own that delivers and releases when told to by one byte, and says how it went. */
struct other {
    pid_t pid;
    int fd;
    enum err at_hook;
};

static void serve_orders(struct fixture *f, int fd)
{
    unsigned char order;

    open_sealing(f);
    while (recv(fd, &order, 1, 0) == 1) {
        enum err err = ERR_OK;

        if (order == 'd')
            err = deliver(f, 1);
        else
            sealing_release(f->sealing, &f->mailbox);
        if (send(fd, &err, sizeof(err), 0) != sizeof(err))
            break;
    }
    _exit(0);
}

static void start_other(struct fixture *f, struct other *other)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    other->pid = fork();
    if (other->pid == 0) {
        (void)close(ends[0]);
        serve_orders(f, ends[1]);
    }
    (void)close(ends[1]);
    other->fd = ends[0];
}

static void stop_other(struct other *other)
{
    int status;

    (void)close(other->fd);
    assert_int_equal(waitpid(other->pid, &status, 0), other->pid);
    assert_int_equal(status, 0);
}

static enum err tell_other(const struct other *other, char order)
{
    enum err err;

    assert_int_equal(send(other->fd, &order, 1, 0), 1);
    assert_int_equal(recv(other->fd, &err, sizeof(err), 0), sizeof(err));
    return err;
}

static void deliver_meanwhile(void *owner)
{
    struct other *other = owner;

    other->at_hook = tell_other(other, 'd');
}

/*
 * A store died and its successor routes mail to the sealer, while the former mailbox process still
 * takes over: at each of its calls in turn. What the sealer acknowledges then is not lost.
 */
static void test_mail_that_comes_while_it_is_taken_over(void **state)
{
    (void)state;
    struct fixture f;
    struct other other;
    long at;

    set_up(&f);
    sealing_release(f.sealing, &f.mailbox);
    start_other(&f, &other);
    for (at = 1; at <= 200; at++) {
        struct dropbox_owner owner = owner_of(&f);
        uint64_t imported;
        long seen;

        assert_int_equal(tell_other(&other, 'd'), ERR_OK);
        assert_int_equal(tell_other(&other, 'r'), ERR_OK);
        other.at_hook = ERR_OK;
        f.task.now_ms += DROPBOX_AGE_AT_LOGIN_MS; /* so that the lane is renewed, too */
        faults_set_hook(deliver_meanwhile, &other, at);
        assert_int_equal(login(&owner, &f.task), ERR_OK);
        seen = faults_seen();
        faults_clear();
        assert_int_equal(other.at_hook, seen >= at ? ERR_BUSY : ERR_OK);
        assert_int_equal(tell_other(&other, 'r'), ERR_OK);
        assert_int_equal(take_over(&f, true, &imported), ERR_OK);
        assert_true(check(&f) == 0);
        if (seen < at)
            break;
    }
    print_message("%ld calls\n", at - 1);
    assert_true(at > 10 && at < 200);
    stop_other(&other);
    tear_down(&f);
}

/* A chain that goes on over a closed file notices that the owner was there and renewed the lane. */
static void test_a_chain_outlived_by_its_lane(void **state)
{
    (void)state;
    struct fixture f;

    set_up(&f);
    for (int round = 0; round < 3; round++) {
        struct dropbox_owner owner = owner_of(&f);
        uint64_t imported;

        assert_int_equal(deliver(&f, 1), ERR_OK);
        faults_set(FAULTS_EIO, 1, false); /* closes the file and keeps the chain */
        assert_int_not_equal(deliver(&f, 1), ERR_OK);
        faults_clear();
        f.task.now_ms += DROPBOX_AGE_AT_LOGIN_MS;
        assert_int_equal(login(&owner, &f.task), ERR_OK);
        assert_int_equal(deliver(&f, 2), ERR_OK);
        sealing_release(f.sealing, &f.mailbox);
        assert_int_equal(dropbox_take_over(&owner, &f.task, &imported), ERR_OK);
        assert_true(imported == 2 && check(&f) == 0);
    }
    tear_down(&f);
}

/* A call fails, once or for a while: an error or success, and later all is there. */
static void test_failing_calls(void **state)
{
    (void)state;
    static const struct {
        enum faults_kind kind;
        bool is_lasting;
    } rows[] = {
        {FAULTS_EIO, false}, {FAULTS_EIO, true}, {FAULTS_ENOSPC, false}, {FAULTS_ENOSPC, true}};

    for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
        struct fixture f;
        uint64_t imported;

        set_up(&f);
        for (long at = 1; at <= 60; at++) {
            assert_int_equal(deliver(&f, 2), ERR_OK);
            sealing_release(f.sealing, &f.mailbox);
            faults_set(rows[row].kind, at, rows[row].is_lasting);
            (void)!take_over(&f, true, &imported);
            faults_clear();
            if (vault_is_broken(f.vault) || at % 10 == 0)
                reopen_vault(&f);
            task_forgive(&f.task);
        }
        reopen_vault(&f);
        assert_int_equal(take_over(&f, true, &imported), ERR_OK);
        assert_true(check(&f) == 0);
        tear_down(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waiting_mail_is_taken_over),
        cmocka_unit_test(test_folders_and_retransmissions),
        cmocka_unit_test(test_old_roots_are_forgotten),
        cmocka_unit_test(test_when_a_generation_is_due),
        cmocka_unit_test(test_a_renewal_that_failed),
        cmocka_unit_test(test_an_empty_drop_box_costs_nothing),
        cmocka_unit_test(test_what_does_not_open_is_kept_and_told),
        cmocka_unit_test(test_replayed_records_are_not_stored_twice),
        cmocka_unit_test(test_a_damaged_file_is_set_aside),
        cmocka_unit_test(test_damage_that_a_delivery_meets),
        cmocka_unit_test(test_kill_at_every_call),
        cmocka_unit_test(test_kill_between_batches),
        cmocka_unit_test(test_mail_that_comes_while_it_is_taken_over),
        cmocka_unit_test(test_a_chain_outlived_by_its_lane),
        cmocka_unit_test(test_failing_calls),
    };

    secret_init();
    secret_set_inherited(true); /* children go on with our keys here */
    db_init_library();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
