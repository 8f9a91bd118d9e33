#include "backup/merge.h"

#include "base/memory.h"
#include "secret/crypt.h"
#include "vault/content.h"
#include "vault/message.h"

#include <stdlib.h>
#include <string.h>

struct merge {
    struct vault *from, *to; /* borrowed */
    struct merge_options options; /* texts own */
    struct merge_counts counts;
    struct vault_folder *folders; /* own, with their names */
    size_t folder_count, folder_next;
    struct vault_uid_flags *messages; /* own: of the folder that is merged now */
    size_t message_count, message_next;
    int64_t from_id, to_id;
    /* The live folder of that name, where duplicates are left out: first read, then looked up in. */
    struct vault_uid_flags *there; /* own */
    size_t there_count, there_next;
    int64_t there_id;
    unsigned char *digests; /* own: of its messages; sorted when all are read */
    size_t digest_count;
};

static struct str copy_text(struct str text)
{
    return str_make(mem_copy_text(text.ptr == NULL ? "" : text.ptr, text.len), text.len);
}

static void free_text(struct str *text)
{
    char *bytes = (char *)(uintptr_t)text->ptr;

    mem_free(&bytes);
    *text = (struct str){NULL, 0};
}

void merge_free(struct merge **merge_place)
{
    struct merge *merge = *merge_place;

    if (merge == NULL)
        return;
    for (size_t i = 0; i < merge->folder_count; i++)
        free_text(&merge->folders[i].name);
    free_text(&merge->options.into);
    free_text(&merge->options.folder);
    mem_free(&merge->folders);
    mem_free(&merge->messages);
    mem_free(&merge->there);
    mem_free(&merge->digests);
    mem_free(merge_place);
}

enum err merge_begin(struct task *task, struct vault *from, struct vault *to,
                     const struct merge_options *options, struct merge **out_merge)
{
    CLEANUP(merge_free) struct merge *merge = NEW(struct merge);
    struct vault_folder *folders;
    size_t count;

    merge->from = from;
    merge->to = to;
    merge->options = *options;
    merge->options.into = copy_text(options->into);
    merge->options.folder = copy_text(options->folder);
    TRY(vault_folder_list(from, task, &folders, &count));
    merge->folders = NEW_ARRAY(struct vault_folder, count + 1);
    for (size_t i = 0; i < count; i++) {
        if (options->folder.len > 0 && !str_equal(folders[i].name, options->folder))
            continue;
        if (!folders[i].is_selectable)
            continue;
        merge->folders[merge->folder_count] = folders[i];
        merge->folders[merge->folder_count++].name = copy_text(folders[i].name);
        merge->counts.total += folders[i].message_count;
    }
    if (merge->folder_count == 0)
        return fail(task, ERR_NOT_FOUND, "the backup has no such folder");
    *out_merge = merge;
    merge = NULL;
    return ERR_OK;
}

const struct merge_counts *merge_counts(const struct merge *merge)
{
    return &merge->counts;
}

static enum err read_message(struct vault *vault, struct task *task, int64_t content_id,
                             struct buf *out)
{
    CLEANUP(vault_content_close) struct vault_content *content = NULL;

    TRY(vault_content_open(vault, task, content_id, &content));
    return vault_content_read(content, task, 0, (size_t)vault_content_size(content), out);
}

/* A copy that outlives the task's turn. */
static enum err list_messages(struct vault *vault, struct task *task, int64_t folder_id,
                              struct vault_uid_flags **place, size_t *out_count)
{
    struct vault_uid_flags *messages;

    TRY(vault_message_list(vault, task, folder_id, &messages, out_count));
    mem_free(place);
    *place = NEW_ARRAY(struct vault_uid_flags, *out_count + 1);
    if (*out_count > 0)
        memcpy(*place, messages, *out_count * sizeof(*messages));
    return ERR_OK;
}

/* The live folder of that name, if there is one, is read first: a message with each step. */
static enum err begin_reading(struct merge *merge, struct task *task, struct str name)
{
    struct vault_folder folder;
    enum err err = vault_folder_find(merge->to, task, name, &folder);

    merge->digest_count = merge->there_count = merge->there_next = 0;
    if (err == ERR_NOT_FOUND) {
        task_forgive(task);
        return ERR_OK;
    }
    TRY(err);
    merge->there_id = folder.id;
    TRY(list_messages(merge->to, task, folder.id, &merge->there, &merge->there_count));
    mem_free(&merge->digests);
    merge->digests = mem_new(merge->there_count + 1, CRYPT_HASH_BYTES);
    return ERR_OK;
}

static int compare_digests(const void *a, const void *b)
{
    return memcmp(a, b, CRYPT_HASH_BYTES);
}

static enum err read_one(struct merge *merge, struct task *task)
{
    CLEANUP(vault_cursor_close) struct vault_cursor *cursor = NULL;
    CLEANUP(buf_free) struct buf raw;
    uint32_t uid = merge->there[merge->there_next++].uid;
    struct vault_message message;
    bool has_row;

    buf_init(&raw, SIZE_MAX);
    TRY(vault_cursor_open(merge->to, task, merge->there_id, uid, uid, VAULT_COLUMN_FLAGS, false,
                          &cursor));
    TRY(vault_cursor_next(cursor, task, &message, &has_row));
    vault_cursor_close(&cursor);
    if (has_row) { /* else it was expunged meanwhile */
        TRY(read_message(merge->to, task, message.content_id, &raw));
        crypt_digest(buf_str(&raw), merge->digests + merge->digest_count++ * CRYPT_HASH_BYTES);
    }
    if (merge->there_next == merge->there_count)
        qsort(merge->digests, merge->digest_count, CRYPT_HASH_BYTES, compare_digests);
    return ERR_OK;
}

static bool is_there(const struct merge *merge, struct str raw)
{
    unsigned char digest[CRYPT_HASH_BYTES];

    crypt_digest(raw, digest);
    return merge->digest_count > 0 && bsearch(digest, merge->digests, merge->digest_count,
                                              CRYPT_HASH_BYTES, compare_digests) != NULL;
}

static enum err begin_folder(struct merge *merge, struct task *task)
{
    const struct vault_folder *folder = &merge->folders[merge->folder_next++];
    struct str name = merge->options.folder.len > 0
                          ? merge->options.into
                          : arena_printf(&task->arena, "%.*s/%.*s", STR_ARG(merge->options.into),
                                         STR_ARG(folder->name));
    enum err err = vault_folder_create(merge->to, task, name, VAULT_USE_NONE);

    if (err == ERR_EXISTS)
        task_forgive(task);
    else
        TRY(err);
    TRY(vault_folder_id(merge->to, task, name, &merge->to_id));
    merge->from_id = folder->id;
    TRY(list_messages(merge->from, task, folder->id, &merge->messages, &merge->message_count));
    merge->message_next = 0;
    return merge->options.skip_duplicates ? begin_reading(merge, task, folder->name) : ERR_OK;
}

/* Keywords have bits of their own in each mailbox. */
static enum err translate_flags(struct merge *merge, struct task *task, uint64_t flags,
                                uint64_t *out)
{
    *out = flags & ((UINT64_C(1) << VAULT_KEYWORD_FIRST) - 1);
    for (unsigned bit = VAULT_KEYWORD_FIRST; bit < VAULT_KEYWORD_END; bit++) {
        struct str name = vault_keyword_name(merge->from, bit);
        uint64_t there;
        enum err err;

        if ((flags >> bit & 1) == 0 || name.len == 0)
            continue;
        err = vault_keyword_bit(merge->to, task, name, true, *out, &there);
        if (err == ERR_LIMIT) /* all are taken: the message comes without it */
            task_forgive(task);
        else if (err != ERR_OK)
            return err;
        else
            *out |= there;
    }
    return ERR_OK;
}

static enum err merge_message(struct merge *merge, struct task *task, uint32_t uid)
{
    CLEANUP(vault_cursor_close) struct vault_cursor *cursor = NULL;
    CLEANUP(buf_free) struct buf raw;
    struct vault_message message;
    struct vault_append append;
    uint32_t new_uid;
    bool has_row;

    buf_init(&raw, SIZE_MAX);
    TRY(vault_cursor_open(merge->from, task, merge->from_id, uid, uid,
                          VAULT_COLUMN_FLAGS | VAULT_COLUMN_DATES, false, &cursor));
    TRY(vault_cursor_next(cursor, task, &message, &has_row));
    vault_cursor_close(&cursor);
    if (!has_row)
        return ERR_OK;
    TRY(read_message(merge->from, task, message.content_id, &raw));
    if (merge->options.skip_duplicates && is_there(merge, buf_str(&raw))) {
        merge->counts.skipped++;
        return ERR_OK;
    }
    append = (struct vault_append){.raw = buf_str(&raw),
                                   .internal_date_ms = message.internal_date_ms,
                                   .internal_zone_minutes = message.internal_zone_minutes};
    TRY(translate_flags(merge, task, message.flags, &append.flags));
    return vault_message_append(merge->to, task, merge->to_id, &append, &new_uid);
}

enum err merge_step(struct merge *merge, struct task *task, bool *out_more)
{
    *out_more = true;
    if (merge->there_next < merge->there_count)
        return read_one(merge, task);
    if (merge->message_next < merge->message_count) {
        TRY(merge_message(merge, task, merge->messages[merge->message_next].uid));
        merge->message_next++;
        merge->counts.done++;
        return ERR_OK;
    }
    if (merge->folder_next < merge->folder_count)
        return begin_folder(merge, task);
    *out_more = false;
    return ERR_OK;
}
