/*
 * The list of a folder: UIDs, flags and MODSEQs, for each SELECT. The last one is kept, since a
 * mail program selects a folder with several connections, and again and again: what changed since
 * is known (change.h) and read alone. What comes of it has the number of messages that the folder
 * counts, or the folder is read. STORE goes by it, too, and enters what it changed.
 *
 * Where all rows are read for a SELECT, what a search would read them for again is noted on the
 * way: which contents they have (folder_contents.h), and their days, for which the list has room.
 * It is a third of the reading, and not done where a search is no more likely than before.
 */
#include "vault/message.h"

#include "base/memory.h"
#include "sqlite/read_around.h"
#include "vault/ahead.h"
#include "vault/folder_contents.h"
#include "vault/index.h"
#include "vault/rows.h"

#include <string.h>

enum {
    KEPT_MAX = 65536, /* messages: 1.5 MB */
    /* Finding a range in the table takes as long as reading so many rows in order. */
    RANGE_ROWS = 16,
    AHEAD_MIN = 500, /* messages: a dozen pages */
};

struct kept_list {
    int64_t folder_id;
    uint64_t modseq; /* all changes up to it are in the list, and no later one */
    struct vault_uid_flags *messages; /* own; ascending */
    size_t count;
    bool has_days;
};

void message_list_forget(struct vault *vault)
{
    if (vault->kept_list == NULL)
        return;
    mem_free(&vault->kept_list->messages);
    mem_free(&vault->kept_list);
}

/* Being made, in the task's arena. */
struct list {
    struct vault_uid_flags *messages;
    size_t count, room;
    bool has_days;
    bool is_noting; /* the contents, too */
};

/* Between changes only: what is read within one may be undone. */
static bool may_keep(const struct vault *vault)
{
    return vault->batch == VAULT_BATCH_NONE && !vault->is_writing;
}

enum { STATE_COLUMN = 3, CONTENT_COLUMN, DAY_COLUMN }; /* where the list has days */

static int32_t sent_day_of(sqlite3_stmt *statement, int column)
{
    int64_t day = db_column_int(statement, column);

    if (day < INT32_MIN || (day == 0 && db_column_is_null(statement, column)))
        return INT32_MIN;
    return day > INT32_MAX ? INT32_MAX : (int32_t)day;
}

/* Appends the messages of a range of UIDs; *out_fits: there were not more than there is room for. */
static enum err read_range(struct vault *vault, struct task *task, int64_t folder_id,
                           struct vault_uid_range range, struct list *list, bool *out_fits)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    *out_fits = true;
    TRY(rows_read(vault, task,
                  list->has_days ? ROWS_ALL(", flags, modseq, is_expunged, content_id, sent_day")
                                 : ROWS_LIVE(", flags, modseq"),
                  folder_id, range, &statement));
    for (;;) {
        uint32_t uid;

        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            return ERR_OK;
        uid = key_uid(db_column_int(statement, 0));
        if (list->is_noting)
            folder_contents_add(vault, uid, db_column_int(statement, CONTENT_COLUMN));
        if (list->has_days && db_column_int(statement, STATE_COLUMN) != ROW_LIVE)
            continue;
        if (list->count == list->room) {
            *out_fits = false;
            return ERR_OK;
        }
        list->messages[list->count++] = (struct vault_uid_flags){
            .uid = uid,
            .sent_day = list->has_days ? sent_day_of(statement, DAY_COLUMN) : INT32_MIN,
            .flags = (uint64_t)db_column_int(statement, 1),
            .modseq = (uint64_t)db_column_int(statement, 2),
        };
    }
}

/* Of a file that was not used for long the rows are asked for, and what a search begins with, which
 * comes while they are read. Where not even opening it missed a page, none of them will be missing.
 */
static void ask_ahead(struct vault *vault, const struct folder *folder, int64_t now_ms,
                      bool is_for_search)
{
    struct db_keys rows = {message_key(folder->id, 1), message_key(folder->id, UINT32_MAX)};
    struct task aside;
    bool is_cold;

    if (folder->message_count < AHEAD_MIN || read_around_misses() == 0)
        return;
    task_init(&aside, now_ms); /* its memory is free before the list takes some */
    ahead_of_rows(vault, &aside, "message", &rows, 1, AHEAD_PAGE, &is_cold);
    if (is_cold && is_for_search)
        index_ask_ahead(vault, &aside);
    task_done(&aside);
}

/* All messages of the folder. */
static enum err read_folder(struct vault *vault, struct task *task, const struct folder *folder,
                            bool is_for_search, struct list *list)
{
    bool fits = true;
    enum err err;

    ask_ahead(vault, folder, task->now_ms, is_for_search);
    list->count = 0;
    list->has_days = is_for_search;
    list->is_noting = is_for_search && may_keep(vault);
    if (list->is_noting)
        folder_contents_begin(vault, folder);
    err = read_range(vault, task, folder->id, ALL_UIDS, list, &fits);
    if (err == ERR_OK && !fits)
        err = fail(task, ERR_CORRUPT, "vault: a folder has more messages than it counted");
    if (list->is_noting && err == ERR_OK)
        folder_contents_rest(vault);
    else if (list->is_noting)
        folder_contents_forget(vault);
    return err;
}

/* ---- From the list that was kept ---- */

/* The UIDs that later changes touched, ascending and joined. Gives how many ranges. */
static size_t changed_ranges(const struct vault *vault, const struct kept_list *kept,
                             struct vault_uid_range out[static VAULT_CHANGES_KEPT])
{
    size_t known =
        vault->change_count < VAULT_CHANGES_KEPT ? vault->change_count : VAULT_CHANGES_KEPT;
    size_t count = 0;

    for (size_t i = 0; i < known; i++) {
        const struct change *change = &vault->changes[i];

        if (change->folder_id == kept->folder_id && change->modseq > kept->modseq &&
            change->last_uid != 0)
            out[count++] = (struct vault_uid_range){change->first_uid, change->last_uid};
    }
    rows_join(out, &count);
    return count;
}

static bool is_cheaper(const struct vault_uid_range *ranges, size_t range_count, size_t kept_count)
{
    uint64_t rows = 0;

    for (size_t i = 0; i < range_count; i++)
        rows += RANGE_ROWS + (uint64_t)(ranges[i].last - ranges[i].first);
    return rows <= RANGE_ROWS + kept_count / 2;
}

struct vanished {
    struct vault_uid_range *ranges;
    size_t count, at;
};

/* Asked for ascending UIDs. */
static bool has_vanished(struct vanished *vanished, uint32_t uid)
{
    while (vanished->at < vanished->count && vanished->ranges[vanished->at].last < uid)
        vanished->at++;
    return vanished->at < vanished->count && vanished->ranges[vanished->at].first <= uid;
}

/* The kept messages below this UID, from *at on. */
static bool take_kept(const struct kept_list *kept, size_t *at, uint64_t below,
                      struct vanished *vanished, struct list *list)
{
    for (; *at < kept->count && kept->messages[*at].uid < below; ++*at) {
        if (has_vanished(vanished, kept->messages[*at].uid))
            continue;
        if (list->count == list->room)
            return false;
        list->messages[list->count++] = kept->messages[*at];
    }
    return true;
}

static enum err update(struct vault *vault, struct task *task, const struct folder *folder,
                       struct list *list, bool *out_is_done)
{
    const struct kept_list *kept = vault->kept_list;
    struct vault_uid_range ranges[VAULT_CHANGES_KEPT];
    size_t range_count = changed_ranges(vault, kept, ranges), at = 0;
    struct vanished vanished = {0};
    bool is_known, fits = true;

    if (!is_cheaper(ranges, range_count, kept->count))
        return ERR_OK;
    list->has_days = kept->has_days;
    TRY(vault_vanished_since(vault, task, folder->id, kept->modseq, &is_known, &vanished.ranges,
                             &vanished.count));
    if (!is_known)
        return ERR_OK;
    for (size_t i = 0; i < range_count; i++) {
        if (!take_kept(kept, &at, ranges[i].first, &vanished, list))
            return ERR_OK;
        while (at < kept->count && kept->messages[at].uid <= ranges[i].last)
            at++;
        TRY(read_range(vault, task, folder->id, ranges[i], list, &fits));
        if (!fits)
            return ERR_OK;
    }
    *out_is_done = take_kept(kept, &at, (uint64_t)UINT32_MAX + 1, &vanished, list) &&
                   list->count == folder->message_count;
    return ERR_OK;
}

/* ---- The list ---- */

static bool has_kept(const struct vault *vault, const struct folder *folder)
{
    return may_keep(vault) && vault->kept_list != NULL &&
           vault->kept_list->folder_id == folder->id &&
           vault->kept_list->modseq >= vault->changes_floor;
}

static void keep(struct vault *vault, const struct folder *folder, const struct list *list)
{
    struct kept_list *kept;

    message_list_forget(vault);
    if (list->count == 0 || list->count > KEPT_MAX)
        return;
    kept = NEW(struct kept_list);
    kept->folder_id = folder->id;
    kept->modseq = folder->highest_modseq;
    kept->count = list->count;
    kept->has_days = list->has_days;
    kept->messages = mem_room(list->count * sizeof(*list->messages));
    memcpy(kept->messages, list->messages, list->count * sizeof(*list->messages));
    vault->kept_list = kept;
}

const struct vault_uid_flags *message_list_current(const struct vault *vault, const struct folder *folder,
                                                   size_t *out_count)
{
    const struct kept_list *kept = vault->kept_list;

    if (kept == NULL || kept->folder_id != folder->id || kept->modseq != folder->highest_modseq ||
        kept->count != folder->message_count)
        return NULL;
    *out_count = kept->count;
    return kept->messages;
}

size_t message_list_at(const struct vault_uid_flags *messages, size_t count, uint32_t uid)
{
    size_t first = 0, behind = count;

    while (first < behind) {
        size_t middle = first + (behind - first) / 2;

        if (messages[middle].uid < uid)
            first = middle + 1;
        else
            behind = middle;
    }
    return first;
}

void message_list_enter(struct vault *vault, const struct folder *folder, uint64_t since,
                        const struct vault_uid_flags *now, size_t count)
{
    struct kept_list *kept = vault->kept_list;
    size_t at;

    if (count == 0 || !may_keep(vault) || kept == NULL || kept->folder_id != folder->id ||
        kept->modseq != since)
        return;
    at = message_list_at(kept->messages, kept->count, now[0].uid);
    for (size_t i = 0; i < count; i++) {
        while (at < kept->count && kept->messages[at].uid < now[i].uid)
            at++;
        if (at == kept->count || kept->messages[at].uid != now[i].uid) {
            message_list_forget(vault);
            return;
        }
        kept->messages[at].flags = now[i].flags;
        kept->messages[at].modseq = now[i].modseq;
    }
    kept->modseq = folder->highest_modseq;
}

static enum err make_list(struct vault *vault, struct task *task, int64_t folder_id,
                          bool is_for_search, struct vault_uid_flags **out_messages,
                          size_t *out_count)
{
    const struct folder *folder;
    struct list list = {0};
    bool is_done = false;

    TRY(vault_check(vault, task));
    folder = vault_folder_get(vault, folder_id);
    if (folder == NULL)
        return fail(task, ERR_NOT_FOUND, "vault: the folder is gone");
    list.room = (size_t)folder->message_count;
    list.messages = ARENA_ARRAY(&task->arena, struct vault_uid_flags, list.room + 1);
    if (has_kept(vault, folder))
        TRY(update(vault, task, folder, &list, &is_done));
    if (!is_done)
        TRY(read_folder(vault, task, folder, is_for_search, &list));
    if (may_keep(vault))
        keep(vault, folder, &list);
    *out_messages = list.messages;
    *out_count = list.count;
    return ERR_OK;
}

enum err vault_message_list(struct vault *vault, struct task *task, int64_t folder_id,
                            struct vault_uid_flags **out_messages, size_t *out_count)
{
    return make_list(vault, task, folder_id, false, out_messages, out_count);
}

enum err vault_message_list_selected(struct vault *vault, struct task *task, int64_t folder_id,
                                     struct vault_uid_flags **out_messages, size_t *out_count)
{
    return make_list(vault, task, folder_id, true, out_messages, out_count);
}

bool vault_message_sent_day(const struct vault *vault, int64_t folder_id, uint32_t uid, size_t *at,
                            int32_t *out_day)
{
    const struct kept_list *kept = vault->kept_list;

    if (kept == NULL || kept->folder_id != folder_id || !kept->has_days)
        return false;
    while (*at < kept->count && kept->messages[*at].uid < uid)
        ++*at;
    if (*at == kept->count || kept->messages[*at].uid != uid)
        return false;
    *out_day = kept->messages[*at].sent_day;
    return true;
}
