#include "vault/maildrop.h"

#include "vault/rows.h"
#include "vault/uidl.h"

#include <string.h>

/* --- The list --- */

static enum err read_given(struct vault *vault, struct task *task, const struct folder *folder,
                           struct vault_given_uidl **out_given, size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct vault_given_uidl *given = NULL;
    size_t count = 0, room = 0;
    bool has_row;

    TRY(db_prepare(vault->db, task, "SELECT key, uidl FROM given_uidl WHERE key BETWEEN ?1 AND ?2",
                   &statement));
    db_bind_int(statement, 1, message_key(folder->id, 1));
    db_bind_int(statement, 2, message_key(folder->id, UINT32_MAX));
    for (;;) {
        struct str uidl;

        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            break;
        uidl = db_column_text(statement, 1);
        if (!vault_uidl_is_valid(uidl) || uidl_has_own_shape(uidl, folder->uidvalidity))
            continue;
        if (count == room)
            given = arena_grow(&task->arena, given, &room, 16, sizeof(*given));
        given[count++] = (struct vault_given_uidl){.uid = key_uid(db_column_int(statement, 0)),
                                                   .uidl = arena_copy(&task->arena, uidl).ptr};
    }
    *out_given = given;
    *out_count = count;
    return ERR_OK;
}

/* A file that somebody brought along may be of a version that had none. */
static enum err has_given(struct vault *vault, struct task *task, bool *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task, "SELECT 1 FROM sqlite_schema WHERE name = 'given_uidl'",
                   &statement));
    return db_step(vault->db, task, statement, out);
}

enum err vault_uidl_given(struct vault *vault, struct task *task, int64_t folder_id,
                          struct vault_given_uidl **out_given, size_t *out_count)
{
    const struct folder *folder = vault_folder_get(vault, folder_id);
    bool has_any;

    *out_given = NULL;
    *out_count = 0;
    TRY(has_given(vault, task, &has_any));
    return folder == NULL || !has_any ? ERR_OK
                                      : read_given(vault, task, folder, out_given, out_count);
}

/* Merges the given unique-ids, by UID as the messages are, into the list. */
static enum err load_given(struct vault *vault, struct task *task, const struct folder *folder,
                           struct vault_maildrop_message *messages, size_t count)
{
    struct vault_given_uidl *given;
    size_t given_count, i = 0;

    TRY(read_given(vault, task, folder, &given, &given_count));
    for (size_t g = 0; g < given_count; g++) {
        while (i < count && messages[i].uid < given[g].uid)
            i++;
        if (i < count && messages[i].uid == given[g].uid)
            messages[i].given_uidl = given[g].uidl;
    }
    return ERR_OK;
}

enum err vault_maildrop_list(struct vault *vault, struct task *task, int64_t folder_id,
                             struct vault_maildrop_message **out_messages, size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct vault_maildrop_message *messages;
    const struct folder *folder;
    size_t count = 0;
    bool has_row;

    TRY(vault_check(vault, task));
    folder = vault_folder_get(vault, folder_id);
    if (folder == NULL)
        return fail(task, ERR_NOT_FOUND, "vault: the folder is gone");
    messages = ARENA_ARRAY(&task->arena, struct vault_maildrop_message, folder->message_count + 1);
    TRY(rows_read(vault, task, ROWS_LIVE(", content_id, size_bytes, line_end_octets"), folder_id,
                  ALL_UIDS, &statement));
    for (;;) {
        struct vault_maildrop_message *message = &messages[count];

        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            break;
        if (count == folder->message_count)
            return fail(task, ERR_CORRUPT, "vault: a folder has more messages than it counted");
        message->uid = key_uid(db_column_int(statement, 0));
        message->content_id = db_column_int(statement, 1);
        message->size_bytes = (uint64_t)db_column_int(statement, 2);
        message->octets = db_column_is_null(statement, 3)
                              ? VAULT_OCTETS_UNKNOWN
                              : message->size_bytes + (uint64_t)db_column_int(statement, 3);
        count++;
    }
    TRY(load_given(vault, task, folder, messages, count));
    *out_messages = messages;
    *out_count = count;
    return ERR_OK;
}

/* --- Octets --- */

void vault_line_ends_add(struct vault_line_ends *ends, struct str bytes)
{
    const char *at = bytes.ptr, *end = bytes.ptr + bytes.len;
    char last = ends->last;

    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));

        if (newline == NULL)
            break;
        ends->missing_octets += (newline == bytes.ptr ? last : newline[-1]) != '\r';
        at = newline + 1;
    }
    if (bytes.len > 0) {
        ends->last = bytes.ptr[bytes.len - 1];
        ends->has_begun = true;
    }
}

uint64_t vault_line_ends_octets(const struct vault_line_ends *ends)
{
    return ends->missing_octets + (ends->has_begun && ends->last != '\n' ? 2 : 0);
}

static enum err note_in_change(struct vault *vault, struct task *task, int64_t folder_id,
                               const struct vault_maildrop_message *messages, size_t count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task,
                   "UPDATE message SET line_end_octets = ?2 "
                   "WHERE key = ?1 AND line_end_octets IS NULL",
                   &statement));
    vault_touch_quietly(vault);
    for (size_t i = 0; i < count; i++) {
        if (messages[i].octets == VAULT_OCTETS_UNKNOWN)
            continue;
        db_bind_int(statement, 1, message_key(folder_id, messages[i].uid));
        db_bind_int(statement, 2, (int64_t)(messages[i].octets - messages[i].size_bytes));
        TRY(db_run(vault->db, task, statement));
    }
    return ERR_OK;
}

enum err vault_maildrop_note_octets(struct vault *vault, struct task *task, int64_t folder_id,
                                    const struct vault_maildrop_message *messages, size_t count)
{
    TRY(vault_write_begin(vault, task));
    return vault_write_end(vault, task, note_in_change(vault, task, folder_id, messages, count),
                           VAULT_RELAXED);
}
