#include "imap/fixture.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

int fixture_set_up(void **state)
{
    struct fixture *f = NEW(struct fixture);

    f->log = (struct log){.level = LOG_LEVEL_ERROR, .fd = 2, .role = "test"};
    f->home = transcript_vault_new(&f->log);
    f->vault = transcript_vault(f->home);
    f->s = fixture_connect(f, NULL);
    f->other = fixture_connect(f, NULL);
    task_init(&f->task, FIXTURE_NOW_MS);
    buf_init(&f->out, SIZE_MAX);
    buf_init(&f->command, SIZE_MAX);
    buf_init(&f->message, SIZE_MAX);
    *state = f;
    return 0;
}

int fixture_tear_down(void **state)
{
    struct fixture *f = *state;

    buf_free(&f->out);
    buf_free(&f->command);
    buf_free(&f->message);
    task_done(&f->task);
    imap_session_free(&f->s);
    imap_session_free(&f->other);
    transcript_vault_free(&f->home);
    mem_free(&f);
    return 0;
}

struct imap_session *fixture_connect(struct fixture *f, struct imap_group *group)
{
    struct imap_options options = {.hostname = STR("mail.example"),
                                   .append_limit_bytes = 50000000,
                                   .is_secure = true,
                                   .is_tls = true,
                                   .log = &f->log,
                                   .group = group};
    struct imap_session *s = imap_session_resume_authenticated(&options, f->vault, STR("L"));

    imap_session_consume_output(s, SIZE_MAX);
    return s;
}

void fixture_say(struct imap_session *s, const char *text)
{
    imap_session_input(s, str_from_c(text), FIXTURE_NOW_MS);
}

void fixture_hear(struct imap_session *s, struct buf *out, size_t piece, size_t *out_highest)
{
    for (;;) {
        struct str output = imap_session_output(s);
        enum imap_want want;

        if (out_highest != NULL && output.len > *out_highest)
            *out_highest = output.len;
        output = str_upto(output, piece);
        buf_put(out, output);
        imap_session_consume_output(s, output.len);
        want = imap_session_wants(s);
        if (want == IMAP_WANTS_TURN || want == IMAP_WANTS_ROOM)
            imap_session_resume(s, FIXTURE_NOW_MS);
        else if (imap_session_output(s).len == 0)
            return;
    }
}

void fixture_converse(struct imap_session *s, const char *text)
{
    struct buf out;

    buf_init(&out, SIZE_MAX);
    fixture_say(s, text);
    fixture_hear(s, &out, SIZE_MAX, NULL);
    assert_true(str_find(buf_str(&out), STR(" OK ")) >= 0);
    buf_free(&out);
}

bool fixture_said(const struct imap_session *s, const char *text)
{
    return str_find(imap_session_output(s), str_from_c(text)) >= 0;
}

bool fixture_heard(const struct fixture *f, const char *text)
{
    return str_find(buf_str(&f->out), str_from_c(text)) >= 0;
}

void fixture_append_large(struct imap_session *s, struct buf *message, size_t size)
{
    struct buf command;

    buf_put(message, STR("Subject: large\r\n\r\n"));
    for (uint32_t i = 0; message->len < size; i++)
        buf_putf(message, "line %u of a large message %u\r\n", i, i * 2654435761u);
    buf_init(&command, SIZE_MAX);
    buf_putf(&command, "a APPEND INBOX {%zu+}\r\n", message->len);
    buf_put(&command, buf_str(message));
    buf_put(&command, STR("\r\n"));
    imap_session_input(s, buf_str(&command), FIXTURE_NOW_MS);
    buf_reset(&command);
    fixture_hear(s, &command, SIZE_MAX, NULL);
    buf_free(&command);
}
