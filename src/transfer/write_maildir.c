/*
 * Maildir++ as Dovecot keeps it: INBOX in the root, other folders as ".Work.Plans", flags in file
 * names, keywords by letters (dovecot-keywords), UIDs in dovecot-uidlist; and our index, which says
 * what this form cannot: milliseconds, time zones, more than 26 keywords, special uses.
 */
#include "transfer/writer.h"

#include "base/encode.h"
#include "base/memory.h"
#include "secret/crypt.h"
#include "transfer/index.h"
#include "transfer/names.h"

#include <inttypes.h>

static const char inbox_path[] = "Maildir"; /* everything is below this one folder */

/* Two names that this form cannot tell apart get two paths. */
static struct str choose_path(struct transfer_writer *writer, struct str name)
{
    struct str folder = transfer_maildir(&writer->task.arena, name);
    struct str path = folder;

    for (unsigned i = 2; str_find(buf_str(&writer->paths),
                                  arena_printf(&writer->task.arena, "\n%.*s\n", STR_ARG(path))) >=
                         0;
         i++)
        path = arena_printf(&writer->task.arena, "%.*s_%u", STR_ARG(folder), i);
    buf_putf(&writer->paths, "\n%.*s\n", STR_ARG(path));
    return path;
}

static enum err take_folder(void *owner, struct task *task, const struct transfer_folder *folder)
{
    static const char *const subfolders[] = {"cur", "new", "tmp"};
    struct transfer_writer *writer = owner;
    struct str path;

    writer_take_folder(writer, folder);
    path = choose_path(writer, folder->name);
    writer->path = path.len == 0
                       ? str_from_c(inbox_path)
                       : arena_printf(&writer->task.arena, "%s/%.*s", inbox_path, STR_ARG(path));
    if (folder->is_subscribed)
        buf_putf(&writer->subscribed, "%.*s\n",
                 STR_ARG(path.len > 0 ? str_from(path, 1) : STR("INBOX")));
    transfer_index_folder(&writer->index, folder);
    for (size_t i = 0; i < ARRAY_LEN(subfolders); i++)
        TRY(pack_folder(writer->pack, task,
                        arena_printf(&task->arena, "%.*s/%s", STR_ARG(writer->path),
                                     subfolders[i])));
    if (path.len > 0)
        TRY(pack_small(writer->pack, task,
                       arena_printf(&task->arena, "%.*s/maildirfolder", STR_ARG(writer->path)),
                       STR("")));
    return ERR_OK;
}

/* The letter of a keyword, or 0: this folder has 26 others. */
static char letter_of(struct transfer_writer *writer, struct str keyword)
{
    for (size_t i = 0; i < writer->keyword_count; i++) {
        if (str_equal_nocase(writer->keywords[i], keyword))
            return (char)('a' + (char)i);
    }
    if (writer->keyword_count == ARRAY_LEN(writer->keywords))
        return 0;
    writer->keywords[writer->keyword_count++] = arena_copy(&writer->task.arena, keyword);
    return (char)('a' + (char)(writer->keyword_count - 1));
}

/* The same for every call with the same message, so that it need not be kept. */
static struct str base_of(struct task *task, const struct transfer_message *message)
{
    int64_t seconds = message->date_ms / 1000 - (message->date_ms % 1000 < 0);

    return arena_printf(&task->arena, "%" PRId64 ".M%" PRId64 "P%" PRIu32 ".sealpost,S=%" PRIu64,
                        seconds, (message->date_ms - seconds * 1000) * 1000, message->uid,
                        message->size_bytes);
}

static struct str flags_of(struct transfer_writer *writer, struct task *task,
                           const struct transfer_message *message)
{
    static const char order[] = "DFRST"; /* the letters are in the order of ASCII */
    CLEANUP(buf_free) struct buf out;
    bool has[26] = {false};

    buf_init(&out, SIZE_MAX);
    for (size_t i = 0; i < sizeof(order) - 1; i++) {
        for (size_t j = 0; j < TRANSFER_FLAG_COUNT; j++) {
            if (transfer_flags[j].maildir == order[i] &&
                (message->flags & transfer_flags[j].flag) != 0)
                buf_put(&out, str_make(&order[i], 1));
        }
    }
    for (size_t i = 0; i < message->keyword_count; i++) {
        char letter = letter_of(writer, message->keywords[i]);

        if (letter != 0)
            has[letter - 'a'] = true;
    }
    for (size_t i = 0; i < ARRAY_LEN(has); i++) {
        if (has[i])
            buf_putf(&out, "%c", (char)('a' + (char)i));
    }
    return arena_copy(&task->arena, buf_str(&out));
}

static struct str file_of(struct transfer_writer *writer, struct task *task,
                          const struct transfer_message *message)
{
    return arena_printf(&task->arena, "%.*s:2,%.*s", STR_ARG(base_of(task, message)),
                        STR_ARG(flags_of(writer, task, message)));
}

static enum err plan_message(void *owner, struct task *task, const struct transfer_message *message)
{
    struct transfer_writer *writer = owner;

    TRY(writer_check_index(writer, task));
    transfer_index_message(&writer->index, file_of(writer, task, message), message);
    buf_putf(&writer->uids, "%" PRIu32 " ", message->uid);
    if (message->uidl.len > 0)
        buf_putf(&writer->uids, "P%.*s ", STR_ARG(message->uidl));
    buf_putf(&writer->uids, ":%.*s\n", STR_ARG(base_of(task, message)));
    return ERR_OK;
}

static enum err planned(void *owner, struct task *task)
{
    struct transfer_writer *writer = owner;
    CLEANUP(buf_free) struct buf list, keywords;
    unsigned char digest[CRYPT_HASH_BYTES];

    buf_init(&list, SIZE_MAX);
    buf_init(&keywords, SIZE_MAX);
    TRY(writer_put_index(writer, task));
    /* The folder's identity: 32 digits; ours has none, so one that stays the same is made. */
    crypt_digest(arena_printf(&task->arena, "%" PRIu32 "/%.*s", writer->folder.uidvalidity,
                              STR_ARG(writer->folder.name)),
                 digest);
    buf_putf(&list, "3 V%" PRIu32 " N%" PRIu32 " G", writer->folder.uidvalidity,
             writer->folder.uidnext);
    TRY(encode_hex(&list, str_make(digest, 16)));
    buf_put(&list, STR("\n"));
    buf_put(&list, buf_str(&writer->uids));
    TRY(pack_small(writer->pack, task,
                   arena_printf(&task->arena, "%.*s/dovecot-uidlist", STR_ARG(writer->path)),
                   buf_str(&list)));
    for (size_t i = 0; i < writer->keyword_count; i++)
        buf_putf(&keywords, "%zu %.*s\n", i, STR_ARG(writer->keywords[i]));
    return pack_small(writer->pack, task,
                      arena_printf(&task->arena, "%.*s/dovecot-keywords", STR_ARG(writer->path)),
                      buf_str(&keywords));
}

static enum err take_message(void *owner, struct task *task, const struct transfer_message *message)
{
    struct transfer_writer *writer = owner;
    struct str path = arena_printf(&task->arena, "%.*s/cur/%.*s", STR_ARG(writer->path),
                                   STR_ARG(file_of(writer, task, message)));

    return pack_file(writer->pack, task, path, message->size_bytes, message->date_ms);
}

void writer_init_maildir(struct transfer_writer *writer)
{
    writer->sink.folder = take_folder;
    writer->sink.plan = TRANSFER_PLAN_ROWS;
    writer->sink.plan_message = plan_message;
    writer->sink.planned = planned;
    writer->sink.message = take_message;
    writer->sink.bytes = writer_bytes;
    writer->sink.finish = writer_finish;
}

enum err writer_end_maildir(struct transfer_writer *writer, struct task *task)
{
    return pack_small(writer->pack, task,
                      arena_printf(&task->arena, "%s/subscriptions", inbox_path),
                      buf_str(&writer->subscribed));
}
