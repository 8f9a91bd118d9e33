/* A mailbox file, in (file_in.h). */
#include "transfer/file_in.h"

#include "secret/crypt.h"
#include "sqlite/db.h"
#include "transfer/export.h"
#include "vault/foreign.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

bool transfer_file_is_one(int fd)
{
    return db_file_kind(fd) != DB_FILE_OTHER;
}

/* The salt is where other databases have SQLite's name. */
static enum err derive_key(struct task *task, int fd, struct str password, struct secret **out_key)
{
    unsigned char salt[MAILBOX_SALT_BYTES];

    if (db_file_kind(fd) != DB_FILE_ENCRYPTED)
        return fail(task, ERR_INVALID,
                    "that is a database, but not encrypted: no mailbox of Sealpost");
    if (pread(fd, salt, sizeof(salt), 0) != (ssize_t)sizeof(salt))
        return fail(task, ERR_IO, "it cannot be read: %s", strerror(errno));
    *out_key = crypt_mailbox_key(password, salt);
    return ERR_OK;
}

static enum err open_file(struct task *task, int fd, const struct secret *key, struct id *out_id,
                          struct vault **out_vault)
{
    struct str words;
    enum err err = vault_open_foreign(task, fd, key, out_id, out_vault);

    if (err == ERR_OK)
        return ERR_OK;
    words = arena_copy(&task->arena, str_from_c(task->words));
    task_forgive(task);
    switch (err) {
    case ERR_DENIED:
        return fail(task, err,
                    "that is not the file's password (or the file's beginning is damaged)");
    case ERR_INVALID:
        return fail(task, err, "that is no mailbox that this Sealpost can read: %.*s",
                    STR_ARG(words));
    case ERR_CORRUPT:
    case ERR_LIMIT:
        return fail(task, err,
                    "the file is damaged, or not what it seems to be; nothing was taken: "
                    "%.*s",
                    STR_ARG(words));
    case ERR_OK:
    case ERR_NOT_FOUND:
    case ERR_EXISTS:
    case ERR_BUSY:
    case ERR_IO:
        break;
    }
    return fail(task, err, "the file cannot be read: %.*s", STR_ARG(words));
}

static uint32_t known_uid(void *owner, uint32_t uidvalidity)
{
    const struct transfer_feed *feed = owner;

    return transfer_feed_known_uidvalidity(feed) == uidvalidity ? transfer_feed_known_uid(feed) : 0;
}

enum err transfer_file_in(struct task *task, int fd, struct str password,
                          struct transfer_feed *feed)
{
    CLEANUP(secret_free) struct secret *key = NULL;
    CLEANUP(vault_close) struct vault *vault = NULL;
    struct transfer_export options = {.known_uid = known_uid, .known_owner = feed};
    struct transfer_totals totals;
    struct id id;

    db_init_library();
    TRY(derive_key(task, fd, password, &key));
    TRY(open_file(task, fd, key, &id, &vault));
    options.source = arena_printf(&task->arena, "mailbox:%s", id.text);
    return transfer_export(vault, task, &options, transfer_feed_sink(feed), &totals);
}
