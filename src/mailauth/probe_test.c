/* The whole of the folder through its outside; tests/mailauth has the suites. */
#include "mailauth/probe.h"

#include "base/encode.h"
#include "base/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>

enum { MESSAGE_MAX = 64 * 1024 };

#define ZONE                                                                                       \
    "\"zone\": {\"a.test\": [[\"TXT\", \"v=spf1 ip4:192.0.2.0/24 include:b.test -all\"]],"         \
    " \"b.test\": [[\"TXT\", \"v=spf1 ip6:2001:db8::/32 ?all\"]],"                                 \
    " \"c.test\": [[\"TXT\", \"v=spf1 include:d.test -all\"]],"                                    \
    " \"e.test\": [[\"TXT\", \"v=spf1 -all exp=x.e.test\"]],"                                      \
    " \"x.e.test\": [[\"TXT\", \"%{i} is not of %{o}\"]],"                                         \
    " \"_dmarc.a.test\": [[\"TXT\", \"v=DMARC1; p=reject\"]],"                                     \
    " \"late.test\": [[\"TIMEOUT\"]]}"
#define SPF(ip, helo, sender)                                                                      \
    "{\"op\": \"spf\", \"ip\": \"" ip "\", \"helo\": \"" helo "\", \"mailfrom\": \"" sender        \
    "\", " ZONE "}"
/* From: a@a.test, and no more. */
#define MESSAGE(sender)                                                                            \
    "{\"op\": \"message\", \"ip\": \"192.0.2.1\", \"helo\": \"h.test\", \"mailfrom\": \"" sender   \
    "\", \"message\": \"RnJvbTogYUBhLnRlc3QNCg0K\", \"now\": 1795000000, " ZONE "}"

static const struct {
    const char *line, *answer;
} lines[] = {
    {SPF("192.0.2.1", "h.test", "x@a.test"), "{\"spf\":\"pass\"}"},
    {SPF("::ffff:192.0.2.1", "h.test", "x@a.test"), "{\"spf\":\"pass\"}"},
    {SPF("2001:db8::1", "h.test", "x@a.test"), "{\"spf\":\"pass\"}"},
    {SPF("192.0.3.1", "h.test", "x@a.test"), "{\"spf\":\"fail\"}"},
    {SPF("192.0.3.1", "a.test", ""), "{\"spf\":\"fail\"}"},
    {SPF("192.0.3.1", "h.test", "x@b.test"), "{\"spf\":\"neutral\"}"},
    {SPF("192.0.3.1", "h.test", "x@c.test"), "{\"spf\":\"permerror\"}"},
    {SPF("192.0.3.1", "h.test", "x@late.test"), "{\"spf\":\"temperror\"}"},
    {SPF("192.0.3.1", "h.test", "x@none.test"), "{\"spf\":\"none\"}"},
    {SPF("192.0.3.1", "h.test", "x@[192.0.3.1]"), "{\"spf\":\"none\"}"},
    {SPF("192.0.3", "h.test", "x@a.test"), "{\"spf\":\"none\"}"},
    {"{\"op\": \"spf\", \"explain\": true, \"ip\": \"192.0.3.1\", \"mailfrom\": \"x@e.test\", " ZONE
     "}",
     "{\"spf\":\"fail\",\"explanation\":\"192.0.3.1 is not of e.test\"}"},
    {MESSAGE("x@a.test"), "{\"spf\":\"pass\",\"dkim\":[],\"dmarc\":\"pass\",\"policy\":\"reject\","
                          "\"arc\":\"none\"}"},
    {MESSAGE("x@b.test"), "{\"spf\":\"neutral\",\"dkim\":[],\"dmarc\":\"fail\",\"policy\":"
                          "\"reject\",\"arc\":\"none\"}"},
    {"x", "{\"error\":\"not a JSON object\"}"},
    {"{\"op\": \"x\"}", "{\"error\":\"no such op\"}"},
    {"{\"op\": \"spf\"}", "{\"error\":\"zone is missing\"}"},
    {"{\"op\": \"spf\", \"ip\": [], \"zone\": {}}", "{\"error\":\"ip is not a text\"}"},
};

static void assert_answer(const char *line, const struct buf *out, const char *answer)
{
    struct str got = buf_str(out);

    assert_true(str_ends_with(got, STR("\n")));
    got.len--;
    if (!str_equal(got, str_from_c(answer)))
        fail_msg("%.*s, not %s, for %s", STR_ARG(got), answer, line);
}

static void each_line_has_its_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct task task;
        struct buf out;

        task_init(&task, 0);
        buf_init(&out, SIZE_MAX);
        mailauth_probe_line(&task, str_from_c(lines[i].line), &out);
        assert_answer(lines[i].line, &out, lines[i].answer);
        buf_free(&out);
        task_done(&task);
    }
}

static void input_is_read_to_its_end(void **state)
{
    static const char text[] = "x\n\n  \n{\"op\": \"x\"}\nlast";
    int in[2], out[2];
    struct task task;
    struct buf got;

    (void)state;
    task_init(&task, 0);
    buf_init(&got, SIZE_MAX);
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    assert_int_equal(write(in[1], text, sizeof(text) - 1), sizeof(text) - 1);
    close(in[1]);
    assert_int_equal(mailauth_probe(in[0], out[1]), ERR_OK);
    close(out[1]);
    assert_int_equal(fd_read_all(&task, out[0], SIZE_MAX, &got), ERR_OK);
    assert_true(str_equal(buf_str(&got), STR("{\"error\":\"not a JSON object\"}\n"
                                             "{\"error\":\"no such op\"}\n"
                                             "{\"error\":\"not a JSON object\"}\n")));
    close(in[0]);
    close(out[0]);
    buf_free(&got);
    task_done(&task);
}

/* RFC 8463 appendix A.3: both algorithms. */
static void the_message_of_the_rfc(void **state)
{
    static const char zone[] =
        "{\"brisbane._domainkey.football.example.com\": [[\"TXT\", \"v=DKIM1; k=ed25519;"
        " p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"]],"
        " \"test._domainkey.football.example.com\": [[\"TXT\", \"v=DKIM1; k=rsa;"
        " p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2j"
        "LQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9Pzo"
        "xZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB\"]]}";
    const char *source = getenv("SEALPOST_SOURCE");
    struct buf message, line, out;
    struct task task;

    (void)state;
    task_init(&task, 0);
    buf_init(&message, SIZE_MAX);
    buf_init(&line, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    assert_non_null(source);
    assert_int_equal(
        file_read(&task, AT_FDCWD,
                  arena_printf(&task.arena, "%s/tests/mailauth/vectors/rfc8463.eml", source).ptr,
                  MESSAGE_MAX, &message),
        ERR_OK);
    buf_put(&line, STR("{\"op\": \"message\", \"now\": 1795000000, \"message\": \""));
    assert_int_equal(encode_base64(&line, buf_str(&message)), ERR_OK);
    buf_putf(&line, "\", \"zone\": %s}", zone);
    mailauth_probe_line(&task, buf_str(&line), &out);
    assert_answer("the message", &out,
                  "{\"spf\":\"none\",\"dkim\":[{\"d\":\"football.example.com\",\"s\":\"brisbane\","
                  "\"result\":\"pass\"},{\"d\":\"football.example.com\",\"s\":\"test\",\"result\":"
                  "\"pass\"}],\"dmarc\":\"none\",\"policy\":\"none\",\"arc\":\"none\"}");
    buf_free(&message);
    buf_free(&line);
    buf_free(&out);
    task_done(&task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_line_has_its_answer),
        cmocka_unit_test(input_is_read_to_its_end),
        cmocka_unit_test(the_message_of_the_rfc),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
