/* Reports of other servers: which are read, and what of them. */
#include "examiner/bounce.h"

#include "message/structure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define REPORT(status, original)                                                                   \
    "From: MAILER-DAEMON@far.test\r\nTo: ann@ours.test\r\n"                                        \
    "Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n"          \
    "--b\r\n\r\nIt failed.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n" status         \
    "\r\n--b\r\n" original "\r\n--b--\r\n"
#define HEADERS(id) "Content-Type: text/rfc822-headers\r\n\r\nSubject: x\r\nMessage-ID: " id "\r\n"
#define WHOLE "Content-Type: message/rfc822\r\n\r\nMessage-ID: <1@ours.test>\r\n\r\nText\r\n"
#define MTA "Reporting-MTA: dns; mx.far.test\r\n"
#define BOB                                                                                        \
    "\r\nFinal-Recipient: rfc822; bob@far.test\r\nAction: failed\r\nStatus: 5.1.1\r\n"             \
    "Diagnostic-Code: smtp; 550 5.1.1\r\n no such user\r\n"
#define BOB_JSON                                                                                   \
    "{\"final\":\"bob@far.test\",\"status\":\"5.1.1\",\"words\":\"550 5.1.1 no such user\"}"
#define ID_JSON "\"message_id\":\"<1@ours.test>\""

static const struct {
    const char *rule, *message, *json;
} rows[] = {
    {"with the header", REPORT(MTA BOB, HEADERS("<1@ours.test>")),
     "{\"failed\":[" BOB_JSON "]," ID_JSON "}"},
    {"with the message", REPORT(MTA BOB, WHOLE), "{\"failed\":[" BOB_JSON "]," ID_JSON "}"},
    {"by ENVID alone",
     REPORT(MTA "Original-Envelope-Id: E7\r\n" BOB, "Content-Type: text/plain\r\n\r\nx\r\n"),
     "{\"envid\":\"E7\",\"failed\":[" BOB_JSON "]}"},
    {"the original address",
     REPORT(MTA "\r\nOriginal-Recipient: RFC822;<b@far.test>\r\nFinal-Recipient: rfc822;c@x.test\r\n"
                "Action: Failed\r\nStatus: 5.2.1 (gone)\r\n",
            HEADERS("<1@ours.test>")),
     "{\"failed\":[{\"final\":\"c@x.test\",\"original\":\"b@far.test\",\"status\":\"5.2.1\"}],"
     ID_JSON "}"},
    {"only what failed for good",
     REPORT(MTA "\r\nFinal-Recipient: rfc822;c@x.test\r\nAction: delayed\r\nStatus: 4.4.1\r\n"
                "\r\nFinal-Recipient: rfc822;d@x.test\r\nAction: failed\r\nStatus: 4.4.7\r\n" BOB,
            HEADERS("<1@ours.test>")),
     "{\"failed\":[" BOB_JSON "]," ID_JSON "}"},
    {"a delay only",
     REPORT(MTA "\r\nFinal-Recipient: rfc822;c@x.test\r\nAction: delayed\r\nStatus: 5.4.1\r\n",
            HEADERS("<1@ours.test>")),
     ""},
    {"it does not say which message", REPORT(MTA BOB, HEADERS("none")), ""},
    {"an address that is none",
     REPORT(MTA "\r\nFinal-Recipient: rfc822; a b@x.test\r\nAction: failed\r\nStatus: 5.1.1\r\n",
            HEADERS("<1@ours.test>")),
     ""},
    {"a status that is none",
     REPORT(MTA "\r\nFinal-Recipient: rfc822; b@x.test\r\nAction: failed\r\nStatus: 5.1.\r\n",
            HEADERS("<1@ours.test>")),
     ""},
    {"no report", "Content-Type: text/plain\r\n\r\n" MTA BOB, ""},
    {"nothing at all", "", ""},
    {"empty parts", REPORT("", ""), ""},
};

static struct str read_it(struct arena *arena, struct str message)
{
    struct message_structure structure;
    struct structure_notes *notes;

    structure_scan(arena, message, &structure, &notes);
    return examiner_read_bounce(arena, message, &structure);
}

static void each_report(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct arena arena = {NULL};
        struct str json = read_it(&arena, str_from_c(rows[i].message));

        if (!str_equal(json, str_from_c(rows[i].json)))
            fail_msg("%s: %.*s", rows[i].rule, STR_ARG(json));
        arena_free(&arena);
    }
}

/* Ten thousand recipients: the first fifty count, and it is small. */
static void many_recipients(void **state)
{
    struct arena arena = {NULL};
    struct buf text;
    struct str json;

    (void)state;
    buf_init(&text, SIZE_MAX);
    buf_put(&text, STR("Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n"
                       "Content-Type: message/delivery-status\r\n\r\n" MTA));
    for (unsigned i = 0; i < 10000; i++)
        buf_putf(&text, "\r\nFinal-Recipient: rfc822; b%u@x.test\r\nAction: failed\r\n"
                        "Status: 5.1.1\r\n", i);
    buf_put(&text, STR("\r\n--b\r\n" WHOLE "\r\n--b--\r\n"));
    json = read_it(&arena, buf_str(&text));
    assert_true(str_find(json, STR("b49@x.test")) > 0);
    assert_true(str_find(json, STR("b50@x.test")) < 0);
    buf_free(&text);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_report),
        cmocka_unit_test(many_recipients),
    };

    message_init_library();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
