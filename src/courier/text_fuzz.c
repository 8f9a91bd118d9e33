/*
 * Foreign headers on their way into reports and automatic replies: whatever is in them, what we
 * write has whole lines, none too long for SMTP, and ends its header where it should.
 */
#include "courier/reply.h"
#include "courier/report.h"
#include "courier/signing.h"
#include "courier/trace.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All lines end in CRLF and are short; fields come first, then an empty line. */
static void check_lines(struct str text)
{
    struct str line;
    bool is_header = true;

    while (text.len > 0) {
        ptrdiff_t end = str_index(text, '\n');

        assert(end > 0 && text.ptr[end - 1] == '\r');
        line = str_upto(text, (size_t)end - 1);
        text = str_from(text, (size_t)end + 1);
        assert(str_index(line, '\r') < 0 && str_index(line, '\0') < 0);
        assert(line.len <= 998);
        if (line.len == 0)
            is_header = false;
        else if (is_header)
            assert(line.ptr[0] == ' ' || line.ptr[0] == '\t' || str_index(line, ':') > 0);
    }
    assert(!is_header);
}

static void write_reply(struct str message)
{
    struct reply reply = {.from = STR("me@us.test"),
                          .to = STR("pal@x.test"),
                          .text = STR("away"),
                          .name = STR("abc"),
                          .message = message};
    struct buf out;

    buf_init(&out, SIZE_MAX);
    reply_write(&reply, &out);
    check_lines(buf_str(&out));
    buf_free(&out);
}

static void write_report(struct str message)
{
    struct report_recipient recipient = {.address = STR("b@x.test"),
                                         .orcpt = str_upto(message, 100),
                                         .status = STR("5.0.0"),
                                         .words = message,
                                         .remote = STR("mx.test")};
    struct report report = {.hostname = STR("us.test"),
                            .from = STR("postmaster@us.test"),
                            .to = STR("a@us.test"),
                            .name = STR("abc"),
                            .envid = message,
                            .message = STR("Subject: s\r\n\r\n"),
                            .recipients = &recipient,
                            .recipient_count = 1};
    struct report_text text;
    struct buf out;

    buf_init(&out, SIZE_MAX);
    report_write(&report, &out, &text);
    check_lines(buf_str(&out));
    report.message = message;
    report_write(&report, &out, &text);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str message = str_make(data, size), value;
    struct task task;
    struct buf out;

    task_init(&task, 0);
    buf_init(&out, SIZE_MAX);
    trace_put_received(&out, message);
    assert(out.len <= message.len);
    assert(trace_header(message).len <= message.len);
    assert(trace_without_return_path(message).len <= message.len);
    (void)trace_field(message, STR("Subject"), &value);
    (void)trace_was_delivered_to(message, STR("me@us.test"));
    (void)reply_is_addressed_to(message, STR("me@us.test"));
    value = signing_domain_of(&task, message);
    for (size_t i = 0; i < value.len; i++)
        assert(value.ptr[i] != '@' && value.ptr[i] != ' ' && value.ptr[i] != '\n');
    write_reply(message);
    write_report(message);
    buf_free(&out);
    task_done(&task);
    return 0;
}
