/*
 *   SENDING ──> READING ──> done         any ──> done: finish, which frees the scan
 *
 *   SENDING -> READING   send_more, when the last byte went, or clamd takes no more
 *   While SENDING a reply is read, too: clamd may have seen enough.
 */
#include "scanner/clamd.h"

#include "base/ascii.h"
#include "base/file.h"
#include "base/macros.h"
#include "base/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CHUNK_MAX = 256 * 1024, LENGTH_BYTES = 4, CHUNKS_PER_TURN = 16 };

static const char command[] = "zINSTREAM"; /* with its NUL */

struct clamd_scan {
    int fd;                  /* own */
    struct net_watch *watch; /* own; NULL: there is no connection */
    struct net_timer *timer; /* own */
    struct str message;      /* borrowed */
    size_t offset;           /* of the chunk that is being sent */
    size_t sent;             /* of the chunk, its length before it included */
    bool is_sent, is_begun;  /* all of it; the command */
    char reply[CLAMD_REPLY_MAX];
    size_t reply_len;
    clamd_on_done on_done;
    void *owner; /* borrowed */
};

void clamd_scan_cancel(struct clamd_scan **scan)
{
    if (*scan == NULL)
        return;
    net_watch_free(&(*scan)->watch);
    net_timer_free(&(*scan)->timer);
    fd_close(&(*scan)->fd);
    mem_free(scan);
}

static void finish(struct clamd_scan *scan, const struct clamd_reply *reply)
{
    scan->on_done(scan->owner, reply);
    clamd_scan_cancel(&scan);
}

static void finish_unscanned(struct clamd_scan *scan, const char *words)
{
    struct clamd_reply reply = {.outcome = CLAMD_NOT_SCANNED, .words = words};

    finish(scan, &reply);
}

/* ---- The reply ---- */

/* What names of signatures are made of; they end in the peer's reply and in the log. */
static bool is_name(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= ' ' || ascii_is_control(text.ptr[i]) || ascii_is_8bit(text.ptr[i]))
            return false;
    }
    return text.len > 0 && text.len <= CLAMD_NAME_MAX;
}

void clamd_reply_parse(struct str reply, struct clamd_reply *out)
{
    *out = (struct clamd_reply){.outcome = CLAMD_NOT_SCANNED, .words = "its reply makes no sense"};
    if (reply.len == 0 || reply.ptr[reply.len - 1] != '\0' ||
        memchr(reply.ptr, '\0', reply.len - 1) != NULL)
        return;
    reply.len--;
    if (str_ends_with(reply, STR("ERROR"))) {
        out->words = str_find(reply, STR("size limit")) >= 0 ? "the message is larger than it takes"
                                                             : "it said ERROR";
        return;
    }
    if (!str_starts_with(reply, STR("stream: ")))
        return;
    reply = str_from(reply, sizeof("stream: ") - 1);
    if (str_equal(reply, STR("OK"))) {
        out->outcome = CLAMD_CLEAN;
    } else if (str_ends_with(reply, STR(" FOUND"))) {
        reply = str_upto(reply, reply.len - (sizeof(" FOUND") - 1));
        if (!is_name(reply))
            return;
        out->outcome = CLAMD_VIRUS;
        out->name = reply;
    }
}

static void on_readable(void *owner)
{
    struct clamd_scan *scan = owner;
    ssize_t got = recv(scan->fd, scan->reply + scan->reply_len,
                       sizeof(scan->reply) - scan->reply_len, MSG_DONTWAIT);
    struct clamd_reply reply;

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        finish_unscanned(scan, "it closed the connection");
        return;
    }
    scan->reply_len += (size_t)got;
    if (scan->reply[scan->reply_len - 1] == '\0') {
        clamd_reply_parse(str_make(scan->reply, scan->reply_len), &reply);
        finish(scan, &reply);
    } else if (scan->reply_len == sizeof(scan->reply)) {
        finish_unscanned(scan, "its reply is too long");
    }
}

/* ---- The message ---- */

/* Of the chunk at `offset`: what is left, in two pieces. An empty one ends the stream. */
static size_t chunk_rest(const struct clamd_scan *scan, unsigned char length[LENGTH_BYTES],
                         struct iovec out[2])
{
    size_t len = scan->message.len - scan->offset;
    struct str data;

    if (len > CHUNK_MAX)
        len = CHUNK_MAX;
    for (size_t i = 0; i < LENGTH_BYTES; i++)
        length[i] = (unsigned char)(len >> (8 * (LENGTH_BYTES - 1 - i)));
    data = str_make(scan->message.ptr + scan->offset, len);
    out[0] = (struct iovec){.iov_base = length, .iov_len = LENGTH_BYTES};
    if (scan->sent < LENGTH_BYTES) {
        out[0].iov_base = length + scan->sent;
        out[0].iov_len -= scan->sent;
    } else {
        out[0].iov_len = 0;
        data = str_from(data, scan->sent - LENGTH_BYTES);
    }
    out[1] = (struct iovec){.iov_base = (void *)(uintptr_t)data.ptr, .iov_len = data.len};
    return len;
}

enum progress { PROGRESS, PROGRESS_LATER, PROGRESS_ENDED };

static enum progress send_pieces(struct clamd_scan *scan, struct iovec *pieces, size_t *out_sent)
{
    struct msghdr header = {.msg_iov = pieces, .msg_iovlen = 2};
    ssize_t put = sendmsg(scan->fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (put < 0 && (errno == EAGAIN || errno == EINTR))
        return PROGRESS_LATER;
    if (put < 0)
        return PROGRESS_ENDED;
    *out_sent = (size_t)put;
    return PROGRESS;
}

static enum progress send_command(struct clamd_scan *scan)
{
    struct iovec pieces[2] = {{.iov_base = (void *)(uintptr_t)(command + scan->sent),
                               .iov_len = sizeof(command) - scan->sent}};
    size_t put = 0;
    enum progress progress = send_pieces(scan, pieces, &put);

    scan->sent += put;
    if (scan->sent == sizeof(command)) {
        scan->is_begun = true;
        scan->sent = 0;
    }
    return progress;
}

static enum progress send_chunk(struct clamd_scan *scan)
{
    unsigned char length[LENGTH_BYTES];
    struct iovec pieces[2];
    size_t len = chunk_rest(scan, length, pieces), put = 0;
    enum progress progress = send_pieces(scan, pieces, &put);

    scan->sent += put;
    if (scan->sent == LENGTH_BYTES + len) {
        scan->offset += len;
        scan->sent = 0;
        scan->is_sent = len == 0;
    }
    return progress;
}

static void on_writable(void *owner)
{
    struct clamd_scan *scan = owner;
    enum progress progress = PROGRESS;

    for (int turn = 0; turn < CHUNKS_PER_TURN && progress == PROGRESS && !scan->is_sent; turn++)
        progress = scan->is_begun ? send_chunk(scan) : send_command(scan);
    /* When it takes no more, what it said before is still to be read. */
    if (progress == PROGRESS_ENDED || scan->is_sent)
        net_watch_want(scan->watch, true, false);
}

static void on_time(void *owner)
{
    struct clamd_scan *scan = owner;

    finish_unscanned(scan,
                     scan->watch == NULL ? "it cannot be reached" : "it did not answer in time");
}

struct clamd_scan *clamd_scan_start(struct net_loop *loop, const struct sockaddr_storage *address,
                                    socklen_t address_len, struct str message, int64_t timeout_ms,
                                    clamd_on_done on_done, void *owner)
{
    struct clamd_scan *scan = NEW(struct clamd_scan);

    scan->message = message;
    scan->on_done = on_done;
    scan->owner = owner;
    scan->timer = net_timer_new(loop, on_time, scan);
    scan->fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (scan->fd < 0 || (connect(scan->fd, (const struct sockaddr *)address, address_len) != 0 &&
                         errno != EINPROGRESS && errno != EAGAIN)) {
        net_timer_start(scan->timer, 0); /* answers later, as always */
        return scan;
    }
    scan->watch = net_watch_new(loop, scan->fd, on_readable, on_writable, scan);
    net_watch_want(scan->watch, true, true);
    net_timer_start(scan->timer, timeout_ms);
    return scan;
}
