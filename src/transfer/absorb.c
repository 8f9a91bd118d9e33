/*
 * The stream into the vault.
 *
 *   input ──> frames ──> the batch (in memory) ──> commit: messages, and the source's last UID
 *
 * F and Z are barriers: what came before them is committed first. Quota and folders are checked when
 * a batch is committed; what it refuses stops the import, with all before it kept.
 */
#include "transfer/absorb.h"

#include "base/clock.h"
#include "base/encode.h"
#include "base/memory.h"
#include "secret/crypt.h"
#include "transfer/duplicates.h"
#include "transfer/json.h"
#include "transfer/names.h"
#include "transfer/stream.h"
#include "vault/maildrop.h"
#include "vault/metadata.h"

#include <inttypes.h>

enum {
    INPUT_MAX = 2 * (TRANSFER_FRAME_HEAD + TRANSFER_FRAME_MAX),
    SLICE_MS = 10,
};

struct pending {
    struct transfer_message message; /* its text in `task` */
    struct task task;
    struct buf raw; /* own */
};

struct transfer_absorb {
    struct vault *vault; /* borrowed */
    bool skips_duplicates;
    struct str below; /* own */
    struct buf input, output; /* own */
    struct pending batch[TRANSFER_BATCH_MESSAGES]; /* those up to `count` are in use */
    size_t count, batch_bytes;
    bool has_message; /* the one behind the batch's last is coming */
    bool must_commit;
    /* The folder under way; 0: none yet. */
    int64_t folder_id;
    bool is_inbox;
    uint32_t uidvalidity, uidnext; /* of the source, as far as it has them */
    char entry[128];      /* of its annotation; empty: it has no name */
    uint32_t last_uid;    /* of the source, in this batch */
    struct duplicates *duplicates; /* own; NULL: not asked for */
    uint64_t expected, sent;
    struct transfer_totals totals;
    bool is_done;
};

struct transfer_absorb *transfer_absorb_new(struct vault *vault,
                                            const struct transfer_absorb_options *options)
{
    struct transfer_absorb *absorb = NEW(struct transfer_absorb);

    absorb->vault = vault;
    absorb->skips_duplicates = options->skips_duplicates;
    absorb->below =
        str_make(mem_copy_text(options->below.ptr, options->below.len), options->below.len);
    buf_init(&absorb->input, SIZE_MAX);
    buf_init(&absorb->output, SIZE_MAX);
    return absorb;
}

static void forget_pending(struct pending *pending)
{
    buf_free(&pending->raw);
    task_done(&pending->task);
    *pending = (struct pending){0};
}

void transfer_absorb_free(struct transfer_absorb **absorb)
{
    struct transfer_absorb *old = *absorb;

    if (old == NULL)
        return;
    for (size_t i = 0; i < old->count + old->has_message; i++)
        forget_pending(&old->batch[i]);
    duplicates_free(&old->duplicates);
    buf_free(&old->input);
    buf_free(&old->output);
    mem_free(&old->below.ptr);
    mem_free(absorb);
}

size_t transfer_absorb_room(const struct transfer_absorb *absorb)
{
    return absorb->input.len >= INPUT_MAX ? 0 : INPUT_MAX - absorb->input.len;
}

void transfer_absorb_input(struct transfer_absorb *absorb, struct str bytes)
{
    buf_put(&absorb->input, bytes);
}

struct buf *transfer_absorb_output(struct transfer_absorb *absorb)
{
    return &absorb->output;
}

bool transfer_absorb_is_done(const struct transfer_absorb *absorb)
{
    return absorb->is_done;
}

void transfer_absorb_totals(const struct transfer_absorb *absorb, struct transfer_totals *out)
{
    *out = absorb->totals;
}

uint64_t transfer_absorb_expected(const struct transfer_absorb *absorb)
{
    return absorb->expected;
}

static void put_json(struct transfer_absorb *absorb, char kind, json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);

    transfer_frame_put(&absorb->output, kind, str_from_c(text));
    json_decref(object);
    mem_free(&text);
}

static void put_number(json_t *object, const char *name, uint64_t value)
{
    json_object_set_new(object, name, json_integer((json_int_t)value));
}

/* --- Folders --- */

/* The folder that has this use already, whatever its name. */
static enum err find_by_use(struct transfer_absorb *absorb, struct task *task,
                            enum vault_special_use use, struct str *out_name)
{
    struct vault_folder *folders;
    size_t count;

    TRY(vault_folder_list(absorb->vault, task, &folders, &count));
    for (size_t i = 0; i < count; i++) {
        if (folders[i].use == use && folders[i].is_selectable)
            *out_name = folders[i].name;
    }
    return ERR_OK;
}

/* What a source calls Sent goes into our Sent; everything else where it was. */
static enum err choose_name(struct transfer_absorb *absorb, struct task *task,
                            struct transfer_folder *folder)
{
    folder->name = transfer_clean_name(&task->arena, folder->name);
    if (folder->use == VAULT_USE_ALL || folder->use == VAULT_USE_FLAGGED)
        folder->use = VAULT_USE_NONE; /* views that we do not have (RFC 6154) */
    if (absorb->below.len > 0) {
        folder->use = VAULT_USE_NONE;
        /* Once more: together they may be too long, or too deep. */
        folder->name = transfer_clean_name(
            &task->arena,
            arena_printf(&task->arena, "%.*s/%.*s", STR_ARG(absorb->below), STR_ARG(folder->name)));
    } else if (folder->use != VAULT_USE_NONE) {
        TRY(find_by_use(absorb, task, folder->use, &folder->name));
    }
    if (folder->name.len == 0)
        return fail(task, ERR_INVALID, "a folder whose name has nothing that a name may have");
    return ERR_OK;
}

static enum err make_folder(struct transfer_absorb *absorb, struct task *task,
                            const struct transfer_folder *folder)
{
    enum err err = vault_folder_id(absorb->vault, task, folder->name, &absorb->folder_id);

    absorb->folder_id = err == ERR_OK ? absorb->folder_id : 0;
    if (err == ERR_NOT_FOUND && folder->is_selectable) {
        task_forgive(task);
        TRY(vault_folder_create(absorb->vault, task, folder->name,
                                vault_folder_has_use(absorb->vault, folder->use)
                                    ? VAULT_USE_NONE
                                    : folder->use));
        err = vault_folder_id(absorb->vault, task, folder->name, &absorb->folder_id);
    }
    if (!folder->is_selectable && err == ERR_NOT_FOUND) {
        task_forgive(task);
        err = ERR_OK;
    }
    TRY(err);
    if (folder->is_subscribed)
        TRY(vault_folder_subscribe(absorb->vault, task, folder->name, true));
    return ERR_OK;
}

static enum err read_known(struct transfer_absorb *absorb, struct task *task,
                           const struct transfer_folder *folder, uint32_t *out_uidvalidity,
                           uint32_t *out_uid)
{
    unsigned char digest[CRYPT_HASH_BYTES];
    CLEANUP(buf_free) struct buf hex = {0};
    struct vault_metadata *found;
    struct str rest, part;
    size_t count;

    absorb->entry[0] = 0;
    if (folder->source.len == 0 || absorb->folder_id == 0)
        return ERR_OK;
    buf_init(&hex, SIZE_MAX);
    crypt_digest(folder->source, digest);
    TRY(encode_hex(&hex, str_make(digest, 16)));
    (void)snprintf(absorb->entry, sizeof(absorb->entry), "/private/vendor/sealpost/import/%.*s",
                   STR_ARG(buf_str(&hex)));
    TRY(vault_metadata_get(absorb->vault, task, absorb->folder_id, str_from_c(absorb->entry),
                           VAULT_METADATA_EXACT, &found, &count));
    if (count == 0)
        return ERR_OK;
    rest = found[0].value;
    /* A client may have written something else there: then nothing is known. */
    if (!str_split(&rest, ' ', &part) || !parse_u32(part, out_uidvalidity) ||
        !parse_u32(rest, out_uid))
        *out_uidvalidity = *out_uid = 0;
    return ERR_OK;
}

/* Also those UIDs of the source are used up that its expunged messages had. */
static enum err end_folder(struct transfer_absorb *absorb, struct task *task)
{
    enum err err;

    if (absorb->folder_id == 0 || absorb->uidvalidity == 0 || absorb->uidnext == 0)
        return ERR_OK;
    err = vault_folder_adopt(absorb->vault, task, absorb->folder_id, absorb->uidvalidity,
                             absorb->uidnext);
    if (err != ERR_EXISTS)
        return err;
    task_forgive(task);
    return ERR_OK;
}

static enum err begin_folder(struct transfer_absorb *absorb, struct task *task, struct str content)
{
    json_t *object = json_loadb(content.ptr, content.len, 0, NULL), *answer;
    struct transfer_folder folder;
    uint32_t known_uidvalidity = 0, known_uid = 0;
    enum err err = transfer_json_read_folder(task, object, &folder);

    json_decref(object);
    TRY(err);
    TRY(end_folder(absorb, task));
    TRY(choose_name(absorb, task, &folder));
    TRY(make_folder(absorb, task, &folder));
    TRY(read_known(absorb, task, &folder, &known_uidvalidity, &known_uid));
    absorb->is_inbox = str_equal_nocase(folder.name, STR("INBOX"));
    absorb->uidvalidity = folder.uidvalidity;
    absorb->uidnext = folder.uidnext;
    absorb->last_uid = 0;
    absorb->totals.folders++;
    duplicates_free(&absorb->duplicates);
    if (absorb->skips_duplicates && absorb->folder_id != 0)
        absorb->duplicates = duplicates_new(absorb->vault, absorb->folder_id);
    answer = json_object();
    put_number(answer, "uidvalidity", known_uidvalidity);
    put_number(answer, "uid", known_uid);
    put_json(absorb, 'K', answer);
    return ERR_OK;
}

/* --- Messages --- */

static enum err begin_message(struct transfer_absorb *absorb, struct task *task, struct str content)
{
    struct pending *pending = &absorb->batch[absorb->count];
    json_t *object;
    enum err err;

    if (absorb->has_message || absorb->folder_id == 0)
        return fail(task, ERR_INVALID, "a message without a folder, or inside another");
    *pending = (struct pending){0};
    task_init(&pending->task, task->now_ms);
    buf_init(&pending->raw, TRANSFER_MESSAGE_BYTES_MAX);
    absorb->has_message = true;
    object = json_loadb(content.ptr, content.len, 0, NULL);
    err = transfer_json_read_message(&pending->task, object, &pending->message);
    json_decref(object);
    return err == ERR_OK ? ERR_OK : fail(task, err, "%s", pending->task.words);
}

static enum err add_bytes(struct transfer_absorb *absorb, struct task *task, struct str content)
{
    if (!absorb->has_message)
        return fail(task, ERR_INVALID, "bytes of no message");
    if (buf_append(&absorb->batch[absorb->count].raw, content) != ERR_OK)
        return fail(task, ERR_INVALID, "a message is larger than allowed");
    return ERR_OK;
}

static enum err end_message(struct transfer_absorb *absorb, struct task *task)
{
    const struct pending *pending = &absorb->batch[absorb->count];

    if (!absorb->has_message)
        return fail(task, ERR_INVALID, "the end of no message");
    if (pending->message.size_bytes != UINT64_MAX &&
        pending->message.size_bytes != pending->raw.len)
        return fail(task, ERR_INVALID, "a message is not as long as it was said to be");
    absorb->has_message = false;
    absorb->count++;
    absorb->batch_bytes += pending->raw.len;
    absorb->must_commit = absorb->count == TRANSFER_BATCH_MESSAGES ||
                          absorb->batch_bytes >= TRANSFER_BATCH_BYTES;
    return ERR_OK;
}

static enum err flags_of(struct transfer_absorb *absorb, struct task *task,
                         const struct transfer_message *message, uint64_t *out_flags)
{
    *out_flags = message->flags;
    for (size_t i = 0; i < message->keyword_count; i++) {
        uint64_t bit;
        enum err err =
            vault_keyword_bit(absorb->vault, task, message->keywords[i], true, *out_flags, &bit);

        /* Its 58 keywords are taken: the message comes without this one. */
        if (err == ERR_LIMIT && !vault_is_broken(absorb->vault))
            task_forgive(task);
        else if (err != ERR_OK)
            return err;
        else
            *out_flags |= bit;
    }
    return ERR_OK;
}

/* Nothing where it is the one that the server makes of a message that kept its UID. */
static struct str uidl_of(const struct transfer_absorb *absorb,
                          const struct transfer_message *message, bool has_kept_uid)
{
    char own[VAULT_OWN_UIDL_LEN + 1];

    vault_uidl_own(absorb->uidvalidity, message->uid, own);
    if (!absorb->is_inbox || (has_kept_uid && str_equal(message->uidl, str_from_c(own))))
        return STR("");
    return message->uidl;
}

static enum err store(struct transfer_absorb *absorb, struct task *task, struct pending *pending)
{
    const struct transfer_message *message = &pending->message;
    struct vault_append append = {
        .raw = pending->raw.len > 0 ? buf_str(&pending->raw) : STR(""),
        .internal_date_ms = message->date_ms,
        .internal_zone_minutes = message->zone_minutes,
    };
    bool has_kept_uid = false;
    uint32_t uid;

    if (absorb->duplicates != NULL && duplicates_take(absorb->duplicates, append.raw)) {
        absorb->totals.skipped++;
        return ERR_OK;
    }
    TRY(flags_of(absorb, task, message, &append.flags));
    if (message->uid != 0 && absorb->uidvalidity != 0) {
        enum err err = vault_folder_adopt(absorb->vault, task, absorb->folder_id,
                                          absorb->uidvalidity, message->uid);

        if (err == ERR_EXISTS)
            task_forgive(task); /* it gets another UID */
        else
            TRY(err);
        has_kept_uid = err == ERR_OK;
    }
    append.uidl = uidl_of(absorb, message, has_kept_uid);
    TRY(vault_message_append(absorb->vault, task, absorb->folder_id, &append, &uid));
    absorb->totals.messages++;
    absorb->totals.bytes += append.raw.len;
    return ERR_OK;
}

static enum err remember(struct transfer_absorb *absorb, struct task *task)
{
    struct vault_metadata entry = {.entry = str_from_c(absorb->entry)};

    if (absorb->entry[0] == 0 || absorb->last_uid == 0)
        return ERR_OK;
    entry.value = arena_printf(&task->arena, "%" PRIu32 " %" PRIu32, absorb->uidvalidity,
                               absorb->last_uid);
    return vault_metadata_set(absorb->vault, task, absorb->folder_id, &entry, 1);
}

static enum err store_batch(struct transfer_absorb *absorb, struct task *task)
{
    for (size_t i = 0; i < absorb->count; i++) {
        CLEANUP(task_done) struct task piece;
        enum err err;

        task_init(&piece, task->now_ms);
        err = store(absorb, &piece, &absorb->batch[i]);
        if (err != ERR_OK) {
            (void)fail(task, err, "%s", piece.words);
            return vault_is_broken(absorb->vault) || remember(absorb, &piece) == ERR_OK ? err
                                                                                        : ERR_IO;
        }
        if (absorb->batch[i].message.uid > absorb->last_uid)
            absorb->last_uid = absorb->batch[i].message.uid;
    }
    return remember(absorb, task);
}

/* All of it, or up to what was refused: that is committed, too, and counted. */
static enum err commit(struct transfer_absorb *absorb, struct task *task)
{
    struct transfer_totals before = absorb->totals;
    enum err err;

    if (absorb->count > 0) {
        TRY(vault_batch_begin(absorb->vault, task));
        err = store_batch(absorb, task);
        if (vault_batch_end(absorb->vault, task) != ERR_OK) {
            absorb->totals = before;
            return err != ERR_OK ? err : task->err;
        }
        TRY(err);
    }
    for (size_t i = 0; i < absorb->count; i++)
        forget_pending(&absorb->batch[i]);
    absorb->count = 0;
    absorb->batch_bytes = 0;
    absorb->must_commit = false;
    return ERR_OK;
}

/* --- Steps --- */

static enum err read_total(struct transfer_absorb *absorb, struct task *task, struct str content,
                           const char *name, uint64_t *out)
{
    json_t *object = json_loadb(content.ptr, content.len, 0, NULL);
    const json_t *value = json_object_get(object, name);
    bool is_number = json_is_integer(value) && json_integer_value(value) >= 0;

    (void)absorb;
    *out = is_number ? (uint64_t)json_integer_value(value) : 0;
    json_decref(object);
    return is_number ? ERR_OK : fail(task, ERR_INVALID, "a frame without its number");
}

static enum err finish(struct transfer_absorb *absorb, struct task *task)
{
    json_t *answer;

    TRY(end_folder(absorb, task));
    answer = json_object();
    put_number(answer, "folders", absorb->totals.folders);
    put_number(answer, "messages", absorb->totals.messages);
    put_number(answer, "bytes", absorb->totals.bytes);
    put_number(answer, "skipped", absorb->totals.skipped);
    put_number(answer, "left_out", absorb->totals.left_out);
    put_json(absorb, 'R', answer);
    absorb->is_done = true;
    return ERR_OK;
}

static enum err take_frame(struct transfer_absorb *absorb, struct task *task, char kind,
                           struct str content)
{
    switch (kind) {
    case 'F':
        return begin_folder(absorb, task, content);
    case 'M':
        return begin_message(absorb, task, content);
    case 'D':
        return add_bytes(absorb, task, content);
    case 'E':
        return end_message(absorb, task);
    case 'X':
        absorb->totals.left_out++;
        return ERR_OK;
    case 'P':
        return read_total(absorb, task, content, "total", &absorb->expected);
    case 'Z':
        TRY(read_total(absorb, task, content, "messages", &absorb->sent));
        if (absorb->sent != absorb->totals.messages + absorb->totals.skipped)
            return fail(task, ERR_INVALID, "other messages arrived than were sent");
        return finish(absorb, task);
    default: /* not an enum: any byte */
        return fail(task, ERR_INVALID, "a frame that is not for this end");
    }
}

/* Is the batch ready to be committed: do we know of each of its messages whether it is here? */
static enum err prepare(struct transfer_absorb *absorb, struct task *task, bool *out_more)
{
    *out_more = false;
    if (absorb->duplicates == NULL)
        return ERR_OK;
    for (size_t i = 0; i < absorb->count && !*out_more; i++)
        TRY(duplicates_prepare(absorb->duplicates, task, absorb->batch[i].raw.len, out_more));
    return ERR_OK;
}

enum err transfer_absorb_step(struct transfer_absorb *absorb, struct task *task, bool *out_more)
{
    int64_t began_ms = clock_monotonic_ms();

    *out_more = true;
    if (absorb->must_commit) {
        bool has_more;

        TRY(prepare(absorb, task, &has_more));
        return has_more ? ERR_OK : commit(absorb, task);
    }
    while (!absorb->is_done) {
        struct str content;
        bool is_whole;
        size_t len;
        char kind;

        TRY(transfer_frame_parse(task, buf_str(&absorb->input), &is_whole, &kind, &content, &len));
        if (!is_whole)
            break;
        if ((kind == 'F' || kind == 'Z') && absorb->has_message)
            return fail(task, ERR_INVALID, "a message without an end");
        if ((kind == 'F' || kind == 'Z') && absorb->count > 0) {
            absorb->must_commit = true;
            return ERR_OK;
        }
        TRY(take_frame(absorb, task, kind, content));
        buf_consume(&absorb->input, len);
        if (absorb->must_commit || kind == 'F' || clock_monotonic_ms() - began_ms >= SLICE_MS)
            return ERR_OK;
    }
    *out_more = false;
    return ERR_OK;
}
