/* Any bytes, however they are cut: the same messages; and what is written is read again as it was. */
#include "base/buf.h"
#include "secret/crypt.h"
#include "transfer/mbox.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LIMIT = 1 << 16 };

struct seen {
    struct buf text; /* own */
    struct buf out;  /* own; written again */
    struct mbox_out *writer;
    bool is_writing;
};

static enum err emit(void *owner, struct task *task, struct str bytes)
{
    (void)task;
    buf_put(owner, bytes);
    return ERR_OK;
}

static enum err on_message(void *owner, struct task *task, const struct mbox_message *message)
{
    struct seen *seen = owner;

    assert(message->raw.len <= LIMIT && message->message.size_bytes == message->raw.len);
    buf_putf(&seen->text, "%u %llu %lld %zu\n", message->message.uid,
             (unsigned long long)message->message.flags, (long long)message->message.date_ms,
             message->message.keyword_count);
    buf_put(&seen->text, message->raw);
    if (!seen->is_writing)
        return ERR_OK;
    assert(mbox_out_begin(seen->writer, task, NULL, &message->message) == ERR_OK);
    for (size_t i = 0; i < message->raw.len; i += 7)
        assert(mbox_out_bytes(seen->writer, task, str_upto(str_from(message->raw, i), 7)) ==
               ERR_OK);
    assert(mbox_out_finish(seen->writer, task) == ERR_OK);
    return ERR_OK;
}

static enum err on_left_out(void *owner, struct task *task)
{
    struct seen *seen = owner;

    (void)task;
    buf_put(&seen->text, STR("X"));
    return ERR_OK;
}

static enum err read_all(struct seen *seen, struct str bytes, size_t piece)
{
    const struct mbox_in_events events = {on_message, on_left_out, seen};
    CLEANUP(mbox_in_free) struct mbox_in *in = mbox_in_new(&events, LIMIT);
    CLEANUP(task_done) struct task task;
    enum err err = ERR_OK;

    task_init(&task, 0);
    for (size_t i = 0; i < bytes.len && err == ERR_OK; i += piece)
        err = mbox_in_bytes(in, &task, str_upto(str_from(bytes, i), piece));
    return err == ERR_OK ? mbox_in_end(in, &task) : err;
}

static void init(struct seen *seen, bool is_writing)
{
    *seen = (struct seen){.is_writing = is_writing};
    buf_init(&seen->text, SIZE_MAX);
    buf_init(&seen->out, SIZE_MAX);
    seen->writer = mbox_out_new(emit, &seen->out);
}

static void done(struct seen *seen)
{
    buf_free(&seen->text);
    buf_free(&seen->out);
    mbox_out_free(&seen->writer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen whole, cut, again;
    enum err err;

    init(&whole, true);
    init(&cut, false);
    init(&again, false);
    err = read_all(&whole, str_make(data, size), size + 1);
    assert(read_all(&cut, str_make(data, size), 3) == err);
    assert(str_equal(buf_str(&whole.text), buf_str(&cut.text)));
    if (err == ERR_OK && str_index(buf_str(&whole.text), 'X') < 0) {
        assert(read_all(&again, buf_str(&whole.out), 64) == ERR_OK);
        assert(str_equal(buf_str(&whole.text), buf_str(&again.text)));
    }
    done(&whole);
    done(&cut);
    done(&again);
    return 0;
}
