/* Frames, and the end that writes them. */
#include "transfer/stream.h"

#include "base/file.h"
#include "base/memory.h"
#include "transfer/json.h"
#include "transfer/uidl.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct transfer_feed {
    struct transfer_sink sink;
    int fd;
    struct buf out;   /* own; gathered frames */
    struct buf in;    /* own; of an answer */
    uint32_t known_uidvalidity, known_uid;
    uint64_t messages;
    struct str uidl_template; /* borrowed; the owner's word, empty: he said none */
    /* Of the folder under way. */
    struct buf folder_template; /* own; empty: its messages get none */
    uint32_t uidvalidity;
};

void transfer_frame_put(struct buf *out, char kind, struct str content)
{
    char head[TRANSFER_FRAME_HEAD] = {kind};

    for (unsigned i = 0; i < 4; i++)
        head[1 + i] = (char)(content.len >> (8 * i) & 0xff);
    buf_put(out, str_make(head, sizeof(head)));
    buf_put(out, content);
}

enum err transfer_frame_parse(struct task *task, struct str bytes, bool *out_is_whole,
                              char *out_kind, struct str *out_content, size_t *out_len)
{
    size_t len = 0;

    *out_is_whole = false;
    if (bytes.len < TRANSFER_FRAME_HEAD)
        return ERR_OK;
    if (str_index(STR("FMDEXPZKR"), bytes.ptr[0]) < 0)
        return fail(task, ERR_INVALID, "a frame of no known kind");
    for (unsigned i = 0; i < 4; i++)
        len |= (size_t)(unsigned char)bytes.ptr[1 + i] << (8 * i);
    if (len > TRANSFER_FRAME_MAX)
        return fail(task, ERR_INVALID, "a frame is too long");
    if (bytes.len - TRANSFER_FRAME_HEAD < len)
        return ERR_OK;
    *out_is_whole = true;
    *out_kind = bytes.ptr[0];
    *out_content = str_make(bytes.ptr + TRANSFER_FRAME_HEAD, len);
    *out_len = TRANSFER_FRAME_HEAD + len;
    return ERR_OK;
}

/* --- Feeding --- */

static enum err flush(struct transfer_feed *feed, struct task *task)
{
    struct str rest = buf_str(&feed->out);

    while (rest.len > 0) {
        ssize_t sent = send(feed->fd, rest.ptr, rest.len, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return fail(task, ERR_IO, "the service stopped the import");
        rest = str_from(rest, (size_t)sent);
    }
    buf_reset(&feed->out);
    return ERR_OK;
}

static enum err put(struct transfer_feed *feed, struct task *task, char kind, struct str content)
{
    transfer_frame_put(&feed->out, kind, content);
    return feed->out.len < TRANSFER_CHUNK_BYTES ? ERR_OK : flush(feed, task);
}

static enum err put_json(struct transfer_feed *feed, struct task *task, char kind, json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    enum err err;

    json_decref(object);
    if (text == NULL)
        return fail(task, ERR_INVALID, "not UTF-8");
    err = put(feed, task, kind, str_from_c(text));
    mem_free(&text);
    return err;
}

/* Waits for an answer of this kind; *out_object is the caller's. */
static enum err await(struct transfer_feed *feed, struct task *task, char kind, json_t **out_object)
{
    TRY(flush(feed, task));
    buf_reset(&feed->in);
    for (;;) {
        struct str content;
        bool is_whole;
        char found, *room;
        size_t len;
        ssize_t got;

        TRY(transfer_frame_parse(task, buf_str(&feed->in), &is_whole, &found, &content, &len));
        if (is_whole) {
            *out_object = found == kind ? json_loadb(content.ptr, content.len, 0, NULL) : NULL;
            if (*out_object == NULL)
                return fail(task, ERR_IO, "the service answered something else");
            return ERR_OK;
        }
        TRY(buf_reserve(&feed->in, 16 * 1024, &room));
        got = recv(feed->fd, room, 16 * 1024, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return fail(task, ERR_IO, "the service stopped the import");
        buf_commit(&feed->in, (size_t)got);
    }
}

/* Only in INBOX, which is what POP3 has. */
static void note_template(struct transfer_feed *feed, const struct transfer_folder *folder)
{
    buf_reset(&feed->folder_template);
    feed->uidvalidity = folder->uidvalidity;
    if (str_equal_nocase(folder->name, STR("INBOX")))
        buf_put(&feed->folder_template,
                feed->uidl_template.len > 0 ? feed->uidl_template : folder->uidl_template);
}

static enum err feed_folder(void *owner, struct task *task, const struct transfer_folder *folder)
{
    struct transfer_feed *feed = owner;
    json_t *answer = NULL;

    note_template(feed, folder);
    TRY(put_json(feed, task, 'F', transfer_json_folder(folder)));
    TRY(await(feed, task, 'K', &answer));
    feed->known_uidvalidity =
        (uint32_t)json_integer_value(json_object_get(answer, "uidvalidity"));
    feed->known_uid = (uint32_t)json_integer_value(json_object_get(answer, "uid"));
    json_decref(answer);
    return ERR_OK;
}

static enum err feed_message(void *owner, struct task *task, const struct transfer_message *message)
{
    const struct transfer_feed *feed = owner;
    struct transfer_message whole = *message;

    if (whole.uidl.len == 0 && feed->folder_template.len > 0)
        whole.uidl = transfer_uidl_make(&task->arena, buf_str(&feed->folder_template), message->uid,
                                        feed->uidvalidity);
    return put_json(owner, task, 'M', transfer_json_message(&whole));
}

static enum err feed_bytes(void *owner, struct task *task, struct str bytes)
{
    while (bytes.len > 0) {
        size_t len = bytes.len < TRANSFER_CHUNK_BYTES ? bytes.len : TRANSFER_CHUNK_BYTES;

        TRY(put(owner, task, 'D', str_upto(bytes, len)));
        bytes = str_from(bytes, len);
    }
    return ERR_OK;
}

static enum err feed_finish(void *owner, struct task *task)
{
    struct transfer_feed *feed = owner;

    feed->messages++;
    return put(feed, task, 'E', STR(""));
}

static enum err feed_left_out(void *owner, struct task *task)
{
    return put(owner, task, 'X', STR(""));
}

static enum err feed_total(void *owner, struct task *task, uint64_t messages)
{
    json_t *object = json_object();

    json_object_set_new(object, "total", json_integer((json_int_t)messages));
    return put_json(owner, task, 'P', object);
}

struct transfer_feed *transfer_feed_new(int fd)
{
    struct transfer_feed *feed = NEW(struct transfer_feed);

    feed->fd = fd;
    feed->sink = (struct transfer_sink){
        .folder = feed_folder,
        .message = feed_message,
        .bytes = feed_bytes,
        .finish = feed_finish,
        .left_out = feed_left_out,
        .total = feed_total,
        .plan = TRANSFER_PLAN_NONE,
        .owner = feed,
    };
    buf_init(&feed->out, SIZE_MAX);
    buf_init(&feed->folder_template, SIZE_MAX);
    buf_init(&feed->in, TRANSFER_FRAME_HEAD + TRANSFER_FRAME_MAX + 16 * 1024);
    return feed;
}

void transfer_feed_free(struct transfer_feed **feed)
{
    if (*feed != NULL) {
        buf_free(&(*feed)->out);
        buf_free(&(*feed)->in);
        buf_free(&(*feed)->folder_template);
    }
    mem_free(feed);
}

const struct transfer_sink *transfer_feed_sink(const struct transfer_feed *feed)
{
    return &feed->sink;
}

void transfer_feed_set_uidl(struct transfer_feed *feed, struct str uidl_template)
{
    feed->uidl_template = uidl_template;
}

uint32_t transfer_feed_known_uidvalidity(const struct transfer_feed *feed)
{
    return feed->known_uidvalidity;
}

uint32_t transfer_feed_known_uid(const struct transfer_feed *feed)
{
    return feed->known_uid;
}

static uint64_t number_of(const json_t *object, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(object, name));

    return value < 0 ? 0 : (uint64_t)value;
}

enum err transfer_feed_end(struct transfer_feed *feed, struct task *task,
                           struct transfer_totals *out_totals)
{
    json_t *object = json_object(), *answer = NULL;
    struct transfer_totals totals;

    json_object_set_new(object, "messages", json_integer((json_int_t)feed->messages));
    TRY(put_json(feed, task, 'Z', object));
    TRY(await(feed, task, 'R', &answer));
    totals = (struct transfer_totals){
        .folders = number_of(answer, "folders"),
        .messages = number_of(answer, "messages"),
        .bytes = number_of(answer, "bytes"),
        .skipped = number_of(answer, "skipped"),
        .left_out = number_of(answer, "left_out"),
    };
    json_decref(answer);
    if (totals.messages + totals.skipped != feed->messages)
        return fail(task, ERR_CORRUPT, "what arrived is not what was sent");
    *out_totals = totals;
    return ERR_OK;
}
