/* The vault, folder by folder, message by message, in the order of their UIDs. */
#include "transfer/export.h"

#include "vault/content.h"
#include "vault/maildrop.h"

#include <stdlib.h>

struct source {
    struct vault *vault;
    const struct transfer_export *options;
    const struct transfer_sink *sink;
    struct transfer_totals totals;
    uint64_t total_messages;
    bool is_planning;
    /* Of the folder under way; in its task's arena. */
    bool is_inbox;
    uint32_t uidvalidity;
    struct vault_given_uidl *given;
    size_t given_count;
};

static bool is_in(struct str name, struct str wanted)
{
    return str_equal(name, wanted) ||
           (str_starts_with(name, wanted) && name.len > wanted.len && name.ptr[wanted.len] == '/');
}

static bool is_chosen(const struct transfer_export *options, struct str name)
{
    for (size_t i = 0; i < options->folder_count; i++) {
        if (is_in(name, options->folders[i]))
            return true;
    }
    return options->folder_count == 0;
}

static enum err check_chosen(struct task *task, const struct transfer_export *options,
                             const struct vault_folder *folders, size_t count)
{
    for (size_t i = 0; i < options->folder_count; i++) {
        bool is_there = false;

        for (size_t j = 0; j < count && !is_there; j++)
            is_there = str_equal(folders[j].name, options->folders[i]);
        if (!is_there)
            return fail(task, ERR_NOT_FOUND, "there is no folder of that name");
    }
    return ERR_OK;
}

static size_t keywords_of(const struct vault *vault, uint64_t flags,
                          struct str keywords[static VAULT_KEYWORD_END])
{
    size_t count = 0;

    for (unsigned bit = VAULT_KEYWORD_FIRST; bit < VAULT_KEYWORD_END; bit++) {
        if ((flags >> bit & 1) != 0 && vault_keyword_name(vault, bit).len > 0)
            keywords[count++] = vault_keyword_name(vault, bit);
    }
    return count;
}

static enum err pass_bytes(struct source *source, struct task *task, int64_t content_id)
{
    CLEANUP(vault_content_close) struct vault_content *content = NULL;
    CLEANUP(buf_free) struct buf chunk;
    const struct transfer_sink *sink = source->sink;
    uint64_t offset = 0;

    buf_init(&chunk, SIZE_MAX);
    TRY(vault_content_open(source->vault, task, content_id, &content));
    while (offset < vault_content_size(content)) {
        buf_reset(&chunk);
        TRY(vault_content_read(content, task, offset, TRANSFER_CHUNK_BYTES, &chunk));
        if (chunk.len == 0)
            return fail(task, ERR_CORRUPT, "a message ends before its size");
        TRY((source->is_planning ? sink->plan_bytes : sink->bytes)(sink->owner, task,
                                                                   buf_str(&chunk)));
        offset += chunk.len;
    }
    return ERR_OK;
}

static int compare_uids(const void *a, const void *b)
{
    uint32_t one = ((const struct vault_given_uidl *)a)->uid;
    uint32_t other = ((const struct vault_given_uidl *)b)->uid;

    return one < other ? -1 : one > other;
}

/* What clients of POP3 know it by, so that they know it elsewhere, too. */
static struct str uidl_of(const struct source *source, struct task *task, uint32_t uid)
{
    const struct vault_given_uidl wanted = {.uid = uid};
    const struct vault_given_uidl *given =
        source->given_count == 0
            ? NULL
            : bsearch(&wanted, source->given, source->given_count, sizeof(wanted), compare_uids);
    char own[VAULT_OWN_UIDL_LEN + 1];

    if (!source->is_inbox)
        return STR("");
    if (given != NULL)
        return str_from_c(given->uidl);
    vault_uidl_own(source->uidvalidity, uid, own);
    return arena_copy(&task->arena, str_from_c(own));
}

static enum err pass_message(struct source *source, struct task *task,
                             const struct vault_message *row)
{
    struct str keywords[VAULT_KEYWORD_END];
    const struct transfer_sink *sink = source->sink;
    const struct transfer_message message = {
        .uid = row->uid,
        .flags = row->flags & ((UINT64_C(1) << VAULT_KEYWORD_FIRST) - 1),
        .keywords = keywords,
        .keyword_count = keywords_of(source->vault, row->flags, keywords),
        .date_ms = row->internal_date_ms,
        .zone_minutes = row->internal_zone_minutes,
        .size_bytes = row->size_bytes,
        .uidl = uidl_of(source, task, row->uid),
    };

    if (source->is_planning) {
        TRY(sink->plan_message(sink->owner, task, &message));
        if (sink->plan != TRANSFER_PLAN_BYTES)
            return ERR_OK;
        TRY(pass_bytes(source, task, row->content_id));
        return sink->plan_finish(sink->owner, task);
    }
    TRY(sink->message(sink->owner, task, &message));
    TRY(pass_bytes(source, task, row->content_id));
    TRY(sink->finish(sink->owner, task));
    source->totals.messages++;
    source->totals.bytes += row->size_bytes;
    return ERR_OK;
}

static enum err report(struct source *source, struct task *task)
{
    const struct transfer_events *events = &source->options->events;

    if (events->is_wanted != NULL && !events->is_wanted(events->owner))
        return fail(task, ERR_BUSY, "nobody waits for it any more");
    if (events->on_progress != NULL)
        events->on_progress(events->owner, "messages", source->totals.messages,
                            source->total_messages);
    return ERR_OK;
}

/* A sink that reads them back could not take it. */
static bool is_too_large(const struct source *source, const struct vault_message *row)
{
    return source->sink->left_out != NULL && row->size_bytes > TRANSFER_MESSAGE_BYTES_MAX;
}

static enum err pass_messages(struct source *source, struct task *task, int64_t folder_id,
                              uint32_t first_uid)
{
    CLEANUP(vault_cursor_close) struct vault_cursor *cursor = NULL;

    TRY(vault_cursor_open(source->vault, task, folder_id, first_uid, UINT32_MAX,
                          VAULT_COLUMN_FLAGS | VAULT_COLUMN_DATES | VAULT_COLUMN_SIZE, false,
                          &cursor));
    for (;;) {
        struct vault_message row;
        CLEANUP(task_done) struct task piece;
        bool has_row;
        enum err err;

        task_init(&piece, task->now_ms);
        TRY(vault_cursor_next(cursor, task, &row, &has_row));
        if (!has_row)
            return ERR_OK;
        err = report(source, &piece);
        if (err == ERR_OK)
            err = is_too_large(source, &row) ? source->sink->left_out(source->sink->owner, &piece)
                                             : pass_message(source, &piece, &row);
        if (err != ERR_OK)
            return fail(task, err, "%s", piece.words);
    }
}

static enum err pass_folder(struct source *source, struct task *task,
                            const struct vault_folder *row)
{
    const struct transfer_export *options = source->options;
    const struct transfer_sink *sink = source->sink;
    struct transfer_folder folder = {
        .name = row->name,
        .use = row->use,
        .is_subscribed = row->is_subscribed,
        .is_selectable = row->is_selectable,
        .uidvalidity = row->uidvalidity,
        .uidnext = row->uidnext,
    };
    uint32_t known = 0;

    source->is_inbox = str_equal(row->name, STR("INBOX"));
    source->uidvalidity = row->uidvalidity;
    source->given_count = 0;
    if (source->is_inbox)
        TRY(vault_uidl_given(source->vault, task, row->id, &source->given, &source->given_count));
    /* By its number, which stays when it is renamed. */
    if (options->source.len > 0)
        folder.source =
            arena_printf(&task->arena, "%.*s/%lld", STR_ARG(options->source), (long long)row->id);
    TRY(sink->folder(sink->owner, task, &folder));
    source->totals.folders++;
    if (options->known_uid != NULL)
        known = options->known_uid(options->known_owner, row->uidvalidity);
    if (options->known_uid != NULL && (!row->is_selectable || known == UINT32_MAX))
        return ERR_OK;
    if (sink->plan != TRANSFER_PLAN_NONE) {
        source->is_planning = true;
        TRY(pass_messages(source, task, row->id, known + 1));
        source->is_planning = false;
        TRY(sink->planned(sink->owner, task));
    }
    return pass_messages(source, task, row->id, known + 1);
}

enum err transfer_export(struct vault *vault, struct task *task,
                         const struct transfer_export *options, const struct transfer_sink *sink,
                         struct transfer_totals *out_totals)
{
    struct source source = {.vault = vault, .options = options, .sink = sink};
    struct vault_folder *folders;
    size_t count;

    TRY(vault_folder_list(vault, task, &folders, &count));
    TRY(check_chosen(task, options, folders, count));
    for (size_t i = 0; i < count; i++) {
        if (is_chosen(options, folders[i].name))
            source.total_messages += folders[i].message_count;
    }
    if (sink->total != NULL)
        TRY(sink->total(sink->owner, task, source.total_messages));
    for (size_t i = 0; i < count; i++) {
        if (is_chosen(options, folders[i].name))
            TRY(pass_folder(&source, task, &folders[i]));
    }
    TRY(report(&source, task));
    *out_totals = source.totals;
    return ERR_OK;
}
