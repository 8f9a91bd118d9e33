#include "base/clock.h"
#include "base/macros.h"
#include "base/memory.h"
#include "examiner/check_render.h"
#include "message/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static json_t *render(struct str message, const char *envelope)
{
    struct render_request request = {.message = message, .envelope = str_from_c(envelope)};

    return check_render(&request);
}

/* What stands at a path such as "to.1.address", as compact JSON. */
static char *at(json_t *whole, const char *path)
{
    char *copy = mem_copy_text(path, strlen(path)), *text;
    struct str rest = str_from_c(copy), name;
    json_t *value = whole;

    while (str_split(&rest, '.', &name)) {
        uint32_t index;

        copy[name.ptr - copy + (ptrdiff_t)name.len] = '\0';
        value = json_is_array(value) && parse_u32(name, &index) ? json_array_get(value, index)
                                                                : json_object_get(value, name.ptr);
    }
    text = value == NULL ? strdup("absent") : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    mem_free(&copy);
    return text;
}

struct expected {
    const char *path, *json;
};

static void expect(json_t *whole, const struct expected *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *found = at(whole, rows[i].path);

        if (strcmp(found, rows[i].json) != 0)
            fail_msg("%s is %s, not %s", rows[i].path, found, rows[i].json);
        free(found);
    }
    json_decref(whole);
}

static const char ordinary[] =
    "Received: by us; Thu, 26 Nov 2026 10:00:00 +0000\r\n"
    "From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\r\n"
    "To: a@example.com, \"Doe, John\" <\"john doe\"@example.com>, Team: b@example.com;\r\n"
    "Cc: c@example.com\r\n"
    "Subject: =?iso-8859-1?q?Gr=FC=DFe?=\r\n from far\r\n"
    "Date: Thu, 26 Nov 2026 11:00:00 +0100\r\n"
    "Message-ID: <one@example.org>\r\n"
    "In-Reply-To: <zero@example.org>\r\n"
    "References: <minus@example.org> <zero@example.org>\r\n"
    "MIME-Version: 1.0\r\n"
    "Content-Type: multipart/mixed; boundary=M\r\n"
    "\r\n"
    "--M\r\n"
    "Content-Type: multipart/alternative; boundary=A\r\n"
    "\r\n"
    "--A\r\n"
    "Content-Type: text/plain; charset=iso-8859-1\r\n"
    "Content-Transfer-Encoding: quoted-printable\r\n"
    "\r\n"
    "Gr=FC=DFe\r\n\"quoted\" \\ tab\t\r\n"
    "--A\r\n"
    "Content-Type: text/html; charset=utf-8\r\n"
    "\r\n"
    "<p>Gr\xc3\xbc\xc3\x9f"
    "e</p>\r\n"
    "--A--\r\n"
    "--M\r\n"
    "Content-Type: image/png; name=x.png\r\n"
    "Content-ID: <img@example.org>\r\n"
    "Content-Transfer-Encoding: base64\r\n"
    "\r\n"
    "AAEC\r\nAwQ=\r\n"
    "--M\r\n"
    "Content-Type: message/rfc822\r\n"
    "Content-Disposition: attachment; filename*=utf-8''f%C3%BCr.eml\r\n"
    "\r\n"
    "Subject: inner\r\n\r\ninner text\r\n"
    "--M\r\n"
    "Content-Type: text/plain\r\n"
    "\r\n"
    "footer\r\n"
    "--M--\r\n";

static void an_ordinary_message(void **state)
{
    static const struct expected rows[] = {
        {"recipient", "\"me@example.com\""},
        {"auth", "{\"x\":[1,null]}"},
        {"headers.0",
         "{\"name\":\"Received\",\"value\":\"by us; Thu, 26 Nov 2026 10:00:00 +0000\"}"},
        {"headers.4", "{\"name\":\"Subject\",\"value\":\"Gr\xc3\xbc\xc3\x9f"
                      "e from far\"}"},
        {"headers.11", "absent"},
        {"subject", "\"Gr\xc3\xbc\xc3\x9f"
                    "e from far\""},
        {"from", "[{\"name\":\"J\xc3\xbcrgen\",\"address\":\"j@example.org\"}]"},
        {"to.0", "{\"name\":\"\",\"address\":\"a@example.com\"}"},
        {"to.1", "{\"name\":\"Doe, John\",\"address\":\"\\\"john doe\\\"@example.com\"}"},
        {"to.2", "{\"name\":\"\",\"address\":\"b@example.com\"}"},
        {"to.3", "absent"},
        {"cc.0.address", "\"c@example.com\""},
        {"replyTo", "[]"},
        {"date", "\"2026-11-26T10:00:00.000Z\""},
        {"messageId", "\"one@example.org\""},
        {"inReplyTo", "\"zero@example.org\""},
        {"references", "[\"minus@example.org\",\"zero@example.org\"]"},
        {"text", "\"Gr\xc3\xbc\xc3\x9f"
                 "e\\n\\\"quoted\\\" \\\\ tab\\t\\nfooter\""},
        {"html", "\"<p>Gr\xc3\xbc\xc3\x9f"
                 "e</p>\""},
        {"attachments.0",
         "{\"filename\":\"x.png\",\"contentType\":\"image/png\",\"contentId\":\"img@example.org\","
         "\"disposition\":\"inline\",\"content\":\"AAECAwQ=\",\"size\":5}"},
        {"attachments.1.filename", "\"f\xc3\xbcr.eml\""},
        {"attachments.1.contentType", "\"message/rfc822\""},
        {"attachments.1.content", "\"U3ViamVjdDogaW5uZXINCg0KaW5uZXIgdGV4dA==\""},
        {"attachments.1.size", "28"},
        {"attachments.2", "absent"},
        {"raw", "absent"},
    };

    (void)state;
    expect(
        render(str_from_c(ordinary),
               "{\"recipient\":\"me@example.com\",\"auth\":{\"x\":[1,null]},\"subject\":\"no\"}"),
        rows, ARRAY_LEN(rows));
}

static void raw_is_the_message_as_it_came(void **state)
{
    static const struct expected rows[] = {
        {"headers.0.name", "\"Received\""},
        {"raw", "\"U3ViamVjdDogeA0KDQp5\""},
    };
    struct render_request request = {
        .message = STR("Received: x\r\nSubject: x\r\n\r\ny"), .trace_len = 13, .with_raw = true};

    (void)state;
    expect(check_render(&request), rows, ARRAY_LEN(rows));
}

static void nothing_to_see(void **state)
{
    static const struct expected empty[] = {
        {"headers", "[]"},     {"subject", "\"\""}, {"from", "[]"},   {"date", "null"},
        {"messageId", "null"}, {"text", "\"\""},    {"html", "null"}, {"attachments", "[]"},
    };
    static const struct expected garbage[] = {
        {"subject", "\"\xef\xbf\xbd?\\u0001\x7f\""},
        {"date", "null"},
        {"text", "\"\xef\xbf\xbd\xc3\xbf\""},
        {"to.0.address", "\"\\\"a \xef\xbf\xbd\\\"@b.example\""},
    };

    (void)state;
    expect(render(STR(""), ""), empty, ARRAY_LEN(empty));
    expect(render(STR("Subject: =?utf-8?q?=FF?=\0\x01\x7f\r\nDate: never\r\nTo: \"a "
                      "\xff\"@b.example\r\n\r\n\0\xff"),
                  "{}"),
           garbage, ARRAY_LEN(garbage));
}

/* Text beyond the limit is not lost: it is an attachment. */
static void large_text_is_an_attachment(void **state)
{
    static const struct expected rows[] = {
        {"text", "null"},
        {"attachments.0.size", "4194305"},
        {"attachments.0.contentType", "\"text/plain\""},
    };
    CLEANUP(buf_free) struct buf message;

    (void)state;
    buf_init(&message, SIZE_MAX);
    buf_put(&message, STR("Subject: x\r\n\r\n"));
    for (size_t i = 0; i < RENDER_TEXT_MAX + 1; i++)
        buf_put(&message, STR("y"));
    expect(render(buf_str(&message), ""), rows, ARRAY_LEN(rows));
}

/* 50 MB of what is costly: header fields, parts, addresses, controls; linear. */
static void costly_messages(void **state)
{
    static const struct {
        const char *start, *again, *end;
    } rows[] = {
        {"", "a:b\r\n", "\r\n"},
        {"To: ", "a,", "\r\n\r\n"},
        {"To: ", "\"", "\r\n\r\n"},
        {"References: ", "<a>", "\r\n\r\n"},
        {"Subject: ", "=?utf-8?q?=41?= ", "\r\n\r\n"},
        {"Content-Type: multipart/mixed; boundary=x\r\n\r\n", "--x\r\n\r\n\x01\r\n", "--x--\r\n"},
        {"Content-Transfer-Encoding: base64\r\nContent-Type: x/y\r\n\r\n", "AAAA\r\n", ""},
        {"Content-Transfer-Encoding: quoted-printable\r\n\r\n", "=01", ""},
        {"Content-Type: text/plain; charset=utf-16\r\n\r\n", "\xd8", ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(buf_free) struct buf message;
        struct str again = str_from_c(rows[i].again);
        int64_t before_us = clock_processor_us(), used_ms;

        buf_init(&message, SIZE_MAX);
        buf_put(&message, str_from_c(rows[i].start));
        while (message.len < 20 * 1024 * 1024)
            buf_put(&message, again);
        buf_put(&message, str_from_c(rows[i].end));
        json_decref(render(buf_str(&message), ""));
        used_ms = (clock_processor_us() - before_us) / 1000;
        if (used_ms > 10000)
            fail_msg("row %zu took %d ms", i, (int)used_ms);
    }
}

static int setup(void **state)
{
    (void)state;
    message_init_library();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ordinary_message), cmocka_unit_test(raw_is_the_message_as_it_came),
        cmocka_unit_test(nothing_to_see),      cmocka_unit_test(large_text_is_an_attachment),
        cmocka_unit_test(costly_messages),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
