/* The beginning of a text, part by part. */
#include "message/preview.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *preview_of(struct task *task, struct str raw)
{
    struct message_summary summary;
    const struct message_part *part;
    struct str text;
    struct buf out;

    buf_init(&out, SIZE_MAX);
    message_parse(task, raw, &summary);
    for (unsigned choice = 0;
         out.len == 0 && (part = message_preview_part(&summary.structure, choice)) != NULL;
         choice++)
        message_preview(
            part, str_upto(str_from(raw, (size_t)part->body_start), (size_t)part->body_len), &out);
    text = arena_copy(&task->arena, buf_str(&out));
    buf_free(&out);
    return text.ptr;
}

static const struct {
    const char *name, *raw, *preview;
} ROWS[] = {
    {"plain", "A: b\r\n\r\nHello,\r\n\r\n  dear\tBob.\r\n", "Hello, dear Bob."},
    {"nothing", "A: b\r\n\r\n", ""},
    {"no text", "Content-Type: image/png\r\n\r\nabc", ""},
    {"quotes are left out", "A: b\r\n\r\n> I said\r\n> this\r\nNo.\r\n>again\r\n", "No."},
    {"a quote that is not at a line's beginning", "A: b\r\n\r\na > b\r\n", "a > b"},
    {"quoted-printable",
     "Content-Type: text/plain; charset=iso-8859-1\r\n"
     "Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe=\r\n!\r\n",
     "Gr\xc3\xbc\xc3\x9f"
     "e!"},
    {"html",
     "Content-Type: text/html\r\n\r\n<style>p {color: red}</style><p>One</p><p>&nbsp;two &amp;"
     "</p>",
     "One two &"},
    {"what has no width",
     "Content-Type: text/html; charset=utf-8\r\n\r\nHi&#847;&zwnj;&nbsp;&#8199;&#65279; there",
     "Hi there"},
    {"plain before html, wherever it stands",
     "Content-Type: multipart/alternative; boundary=x\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\n"
     "<b>html</b>\r\n--x\r\nContent-Type: text/plain\r\n\r\nplain\r\n--x--\r\n",
     "plain"},
    {"html where plain is empty",
     "Content-Type: multipart/alternative; boundary=x\r\n\r\n--x\r\nContent-Type: "
     "text/plain\r\n\r\n"
     " \r\n--x\r\nContent-Type: text/html\r\n\r\n<b>html</b>\r\n--x--\r\n",
     "html"},
    {"not an attachment, nor a forwarded message",
     "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n"
     "Content-Disposition: attachment\r\n\r\nattached\r\n"
     "--x\r\nContent-Type: message/rfc822\r\n\r\nA: b\r\n\r\ninner\r\n"
     "--x\r\n\r\nmine\r\n--x--\r\n",
     "mine"},
    {"bad UTF-8", "Content-Type: text/plain; charset=utf-8\r\n\r\na\xff\xc3(b\r\n", "a(b"},
};

static void test_previews(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        struct task task;

        task_init(&task, 0);
        if (strcmp(preview_of(&task, str_from_c(ROWS[i].raw)), ROWS[i].preview) != 0)
            fail_msg("%s: \"%s\"", ROWS[i].name, preview_of(&task, str_from_c(ROWS[i].raw)));
        task_done(&task);
    }
}

/* Two hundred characters, whatever their length in bytes. */
static void test_length(void **state)
{
    struct task task;
    const char *preview;
    struct buf raw;

    (void)state;
    task_init(&task, 0);
    buf_init(&raw, SIZE_MAX);
    buf_put(&raw, STR("Content-Type: text/plain; charset=utf-8\r\n\r\n"));
    for (size_t i = 0; i < 300; i++)
        buf_put(&raw, STR("\xe2\x82\xac"));
    preview = preview_of(&task, buf_str(&raw));
    assert_int_equal(strlen(preview), 600);
    assert_true(str_is_utf8(str_from_c(preview)));
    buf_reset(&raw);
    buf_put(&raw, STR("A: b\r\n\r\n"));
    for (size_t i = 0; i < 300; i++)
        buf_put(&raw, STR("ab \r\n"));
    assert_int_equal(strlen(preview_of(&task, buf_str(&raw))), 200);
    buf_free(&raw);
    task_done(&task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_previews),
        cmocka_unit_test(test_length),
    };

    message_init_library();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
