#include "scanner/scan.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "scanner/clamd.h"
#include "scanner/rspamd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <unistd.h>

enum { WARNING_EVERY_MS = 60 * 1000 };

TAILQ_HEAD(scans, scan);

struct scanner {
    struct scanner_options options;
    struct scans scans;  /* own */
    int64_t warned_ms;   /* monotonic; 0: never */
    unsigned unanswered; /* since then */
};

struct scan {
    struct scanner *scanner; /* borrowed */
    struct task task;        /* texts of the result */
    struct scan_result result;
    int fd;        /* own */
    void *message; /* own, mapped; NULL: not */
    size_t message_len;
    struct clamd_scan *clamd;     /* own; NULL: answered, or there is none */
    struct net_http_call *rspamd; /* own; likewise */
    struct net_timer *timer;      /* own; for what is answered without asking */
    scan_on_done on_done;
    void *owner; /* borrowed */
    TAILQ_ENTRY(scan) in_scans;
};

static void scan_free(struct scan *scan)
{
    TAILQ_REMOVE(&scan->scanner->scans, scan, in_scans);
    clamd_scan_cancel(&scan->clamd);
    net_http_cancel(&scan->rspamd);
    net_timer_free(&scan->timer);
    if (scan->message != NULL)
        munmap(scan->message, scan->message_len);
    fd_close(&scan->fd);
    task_done(&scan->task);
    mem_free(&scan);
}

void scan_cancel(struct scan **scan)
{
    struct scan *gone = *scan;

    *scan = NULL;
    if (gone != NULL)
        scan_free(gone);
}

static void finish_if_complete(struct scan *scan)
{
    if (scan->clamd != NULL || scan->rspamd != NULL)
        return;
    scan->on_done(scan->owner, &scan->result);
    scan_free(scan);
}

/* A daemon that is away is away for every message: a line in a minute says so. */
static void note_unanswered(struct scan *scan, const char *who, const char *words)
{
    struct scanner *scanner = scan->scanner;
    int64_t now_ms = clock_monotonic_ms();

    scan->result.is_complete = false;
    scanner->unanswered++;
    if (scanner->warned_ms != 0 && now_ms - scanner->warned_ms < WARNING_EVERY_MS)
        return;
    log_warning(scanner->options.log, "a message was not scanned by=%s reason=%s messages=%u", who,
                words, scanner->unanswered);
    scanner->warned_ms = now_ms;
    scanner->unanswered = 0;
}

static void on_clamd(void *owner, const struct clamd_reply *reply)
{
    struct scan *scan = owner;

    scan->clamd = NULL;
    switch (reply->outcome) {
    case CLAMD_CLEAN:
        break;
    case CLAMD_VIRUS:
        scan->result.is_virus = true;
        scan->result.name = arena_copy(&scan->task.arena, reply->name);
        break;
    case CLAMD_NOT_SCANNED:
        note_unanswered(scan, "clamd", reply->words);
        break;
    }
    finish_if_complete(scan);
}

static void on_rspamd(void *owner, const struct net_http_response *response)
{
    struct scan *scan = owner;
    struct rspamd_reply reply;

    scan->rspamd = NULL;
    if (response->err != ERR_OK) {
        note_unanswered(scan, "rspamd", response->words);
    } else if (response->status != 200) {
        note_unanswered(scan, "rspamd", "its status is not 200");
    } else if (rspamd_reply_parse(&scan->task, response->body, &reply) != ERR_OK) {
        note_unanswered(scan, "rspamd", scan->task.words);
    } else {
        scan->result.score = reply.score;
        scan->result.symbols = reply.symbols;
    }
    finish_if_complete(scan);
}

static void ask_rspamd(struct scan *scan, const struct scan_request *request)
{
    const struct scanner_options *options = &scan->scanner->options;
    ptrdiff_t colon = str_last_index(options->rspamd, ':');
    struct str address = str_upto(options->rspamd, colon < 0 ? 0 : (size_t)colon);
    struct str headers[RSPAMD_HEADERS];
    struct net_http_request http = {
        .url = arena_printf(&scan->task.arena, "http://%.*s/checkv2", STR_ARG(options->rspamd)),
        .method = NET_HTTP_POST,
        .headers = headers,
        .body_fd = scan->fd,
        .has_body_fd = true,
        .response_limit = RSPAMD_REPLY_MAX,
        .timeout_ms = SCAN_TIMEOUT_MS,
        .connect_timeout_ms = SCAN_TIMEOUT_MS / 2,
    };

    if (str_starts_with(address, STR("[")) && str_ends_with(address, STR("]")))
        address = str_upto(str_from(address, 1), address.len - 2);
    http.address = address;
    http.header_count = rspamd_headers(&scan->task, request->client, request->reverse_name,
                                       request->helo, request->sender, headers);
    scan->rspamd = net_http_start(options->http, &http, on_rspamd, scan);
}

static void on_time(void *owner)
{
    struct scan *scan = owner;

    finish_if_complete(scan);
}

/* What is not sealed could shrink under our feet. */
static bool map_message(struct scan *scan, int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);
    off_t size = lseek(fd, 0, SEEK_END);
    void *mapped;

    if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || (seals & F_SEAL_WRITE) == 0 || size < 0)
        return false;
    scan->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (size == 0 || scan->fd < 0)
        return scan->fd >= 0;
    mapped = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, scan->fd, 0);
    if (mapped == MAP_FAILED)
        return false;
    scan->message = mapped;
    scan->message_len = (size_t)size;
    return true;
}

struct scan *scan_start(struct scanner *scanner, const struct scan_request *request,
                        scan_on_done on_done, void *owner)
{
    const struct scanner_options *options = &scanner->options;
    struct scan *scan = NEW(struct scan);

    scan->scanner = scanner;
    scan->on_done = on_done;
    scan->owner = owner;
    scan->fd = -1;
    scan->result.is_complete = true;
    task_init(&scan->task, clock_now_ms());
    TAILQ_INSERT_TAIL(&scanner->scans, scan, in_scans);
    if (!map_message(scan, request->fd)) {
        note_unanswered(scan, "scanner", "the message could not be mapped");
    } else {
        if (options->clamd_len > 0)
            scan->clamd = clamd_scan_start(
                options->loop, &options->clamd, options->clamd_len,
                str_make(scan->message == NULL ? "" : scan->message, scan->message_len),
                SCAN_TIMEOUT_MS, on_clamd, scan);
        if (options->rspamd.len > 0)
            ask_rspamd(scan, request);
    }
    if (scan->clamd == NULL && scan->rspamd == NULL) {
        scan->timer = net_timer_new(options->loop, on_time, scan);
        net_timer_start(scan->timer, 0);
    }
    return scan;
}

struct scanner *scanner_new(const struct scanner_options *options)
{
    struct scanner *scanner = NEW(struct scanner);

    scanner->options = *options;
    TAILQ_INIT(&scanner->scans);
    return scanner;
}

void scanner_free(struct scanner **scanner)
{
    struct scan *scan;

    if (*scanner == NULL)
        return;
    while ((scan = TAILQ_FIRST(&(*scanner)->scans)) != NULL)
        scan_free(scan);
    mem_free(scanner);
}
