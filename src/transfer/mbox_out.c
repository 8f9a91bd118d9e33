/* Writing one message as mbox has it, however its bytes are cut. */
#include "transfer/mbox.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/memory.h"
#include "vault/message.h"

#include <inttypes.h>

struct mbox_out {
    enum err (*emit)(void *owner, struct task *task, struct str bytes);
    void *owner;
    struct buf head; /* own; what comes before the message, with LF at the line ends */
    bool has_begun;  /* the message's first bytes came, and the head went */
    bool is_at_quotes; /* the line so far is nothing but '>' */
    size_t matched;    /* of "From ", held back */
    char last;
};

static const struct str from_word = STR_INIT("From ");

struct mbox_out *mbox_out_new(enum err (*emit)(void *owner, struct task *task, struct str bytes),
                              void *owner)
{
    struct mbox_out *out = NEW(struct mbox_out);

    out->emit = emit;
    out->owner = owner;
    buf_init(&out->head, SIZE_MAX);
    return out;
}

void mbox_out_free(struct mbox_out **out)
{
    if (*out != NULL)
        buf_free(&(*out)->head);
    mem_free(out);
}

/* asctime's form, which mbox has (RFC 4155 appendix A), in UTC. */
static void put_from_line(struct buf *out, int64_t date_ms)
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct clock_date date;

    clock_split(date_ms, &date);
    if (date.year < 1 || date.year > 9999) /* which no reader would know for a date */
        clock_split(0, &date);
    buf_putf(out, "From MAILER-DAEMON %s %s %2d %02d:%02d:%02d %04d\n", days[date.weekday],
             months[date.month - 1], date.day, date.hour, date.minute, date.second, date.year);
}

enum err mbox_out_begin(struct mbox_out *out, struct task *task,
                        const struct transfer_folder *folder,
                        const struct transfer_message *message)
{
    char date[CLOCK_ISO_ROOM];

    (void)task;
    clock_format_iso(message->date_ms, date);
    buf_reset(&out->head);
    put_from_line(&out->head, message->date_ms);
    buf_putf(&out->head, TRANSFER_MBOX_MARK "1 lines=%u size=%" PRIu64 " date=%s zone=%d\n",
             5u + (folder != NULL) + (message->uidl.len > 0), message->size_bytes, date,
             message->zone_minutes);
    if (folder != NULL)
        buf_putf(&out->head, "X-IMAPbase: %" PRIu32 " %" PRIu32 "\n", folder->uidvalidity,
                 folder->uidnext - (folder->uidnext > 0));
    buf_putf(&out->head, "X-UID: %" PRIu32 "\n", message->uid);
    if (message->uidl.len > 0)
        buf_putf(&out->head, "X-UIDL: %.*s\n", STR_ARG(message->uidl));
    buf_putf(&out->head, "Status: %sO\n", (message->flags & VAULT_FLAG_SEEN) != 0 ? "R" : "");
    buf_putf(&out->head, "X-Status: %s%s%s%s\n",
             (message->flags & VAULT_FLAG_ANSWERED) != 0 ? "A" : "",
             (message->flags & VAULT_FLAG_DELETED) != 0 ? "D" : "",
             (message->flags & VAULT_FLAG_FLAGGED) != 0 ? "F" : "",
             (message->flags & VAULT_FLAG_DRAFT) != 0 ? "T" : "");
    buf_put(&out->head, STR("X-Keywords:"));
    for (size_t i = 0; i < message->keyword_count; i++)
        buf_putf(&out->head, " %.*s", STR_ARG(message->keywords[i]));
    buf_put(&out->head, STR("\n"));
    out->has_begun = false;
    out->is_at_quotes = true;
    out->matched = 0;
    out->last = '\n';
    return ERR_OK;
}

/* Our fields end as the message's own lines do; the "From " line is the file's, not the message's. */
static enum err emit_head(struct mbox_out *out, struct task *task, bool is_crlf)
{
    struct str rest = buf_str(&out->head), line;
    bool is_first = true;

    out->has_begun = true;
    while (str_split(&rest, '\n', &line) && rest.ptr != NULL) {
        TRY(out->emit(out->owner, task, line));
        TRY(out->emit(out->owner, task, is_crlf && !is_first ? STR("\r\n") : STR("\n")));
        is_first = false;
    }
    return ERR_OK;
}

static bool begins_with_crlf_line(struct str bytes)
{
    ptrdiff_t end = str_index(bytes, '\n');

    return end > 0 && bytes.ptr[end - 1] == '\r';
}

/* What was held back for "From " is something else. */
static enum err release(struct mbox_out *out, struct task *task)
{
    size_t matched = out->matched;

    out->matched = 0;
    out->is_at_quotes = false;
    return matched > 0 ? out->emit(out->owner, task, str_upto(from_word, matched)) : ERR_OK;
}

enum err mbox_out_bytes(struct mbox_out *out, struct task *task, struct str bytes)
{
    size_t start = 0;

    if (bytes.len == 0)
        return ERR_OK;
    if (!out->has_begun)
        TRY(emit_head(out, task, begins_with_crlf_line(bytes)));
    for (size_t i = 0; i < bytes.len; i++) {
        char c = bytes.ptr[i];

        if (out->is_at_quotes && c == from_word.ptr[out->matched]) {
            if (i > start)
                TRY(out->emit(out->owner, task, str_make(bytes.ptr + start, i - start)));
            start = i + 1;
            if (++out->matched == from_word.len) {
                TRY(out->emit(out->owner, task, STR(">")));
                TRY(release(out, task));
            }
            continue;
        }
        if (out->matched > 0)
            TRY(release(out, task));
        if (c == '\n') {
            out->is_at_quotes = true;
        } else if (out->is_at_quotes && c != '>') {
            out->is_at_quotes = false;
        }
        /* Nothing to look for before the next line. */
        if (!out->is_at_quotes) {
            ptrdiff_t end = str_index(str_from(bytes, i), '\n');

            i = end < 0 ? bytes.len - 1 : i + (size_t)end - 1;
        }
    }
    out->last = bytes.ptr[bytes.len - 1];
    return start < bytes.len ? out->emit(out->owner, task, str_from(bytes, start)) : ERR_OK;
}

enum err mbox_out_finish(struct mbox_out *out, struct task *task)
{
    if (!out->has_begun)
        TRY(emit_head(out, task, false));
    if (out->matched > 0)
        TRY(release(out, task));
    return out->emit(out->owner, task, out->last == '\n' ? STR("\n") : STR("\n\n"));
}
