/* What is told of a message: ENVELOPE, BODY, BODYSTRUCTURE, the decoded fields, and the limits. */
#include "base/clock.h"
#include "base/memory.h"
#include "message/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void assert_text(const char *rule, struct str found, const char *expected)
{
    if (!str_equal(found, str_from_c(expected)))
        fail_msg("%s:\n  found    %.*s\n  expected %s", rule, STR_ARG(found), expected);
}

static void test_envelope(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *header, *envelope;
    } rows[] = {
        {"nothing there", "", "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"},
        {"all fields, as written",
         "Date: Mon, 7 Feb 1994 21:52:25 -0800 (PST)\r\nSubject: afternoon\r\n"
         "From: Fred <f@b.com>\r\nSender: s@b.com\r\nReply-To: r@b.com\r\nTo: t@b.com\r\n"
         "Cc: c@b.com\r\nBcc: b@b.com\r\nIn-Reply-To: <a@b>\r\nMessage-Id: <c@d>\r\n\r\n",
         "(\"Mon, 7 Feb 1994 21:52:25 -0800 (PST)\" \"afternoon\" "
         "((\"Fred\" NIL \"f\" \"b.com\")) ((NIL NIL \"s\" \"b.com\")) "
         "((NIL NIL \"r\" \"b.com\")) ((NIL NIL \"t\" \"b.com\")) ((NIL NIL \"c\" \"b.com\")) "
         "((NIL NIL \"b\" \"b.com\")) \"<a@b>\" \"<c@d>\")"},
        {"Sender and Reply-To are From by default, also when empty",
         "From: a@b\r\nSender: \r\n\r\n",
         "(NIL NIL ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) "
         "NIL NIL NIL NIL NIL)"},
        {"present but empty is an empty string", "Subject:\r\nMessage-ID: \r\n\r\n",
         "(NIL \"\" NIL NIL NIL NIL NIL NIL NIL \"\")"},
        {"folded lines become one", "Subject: a\r\n b\r\n\tc\r\n\r\n",
         "(NIL \"a b\tc\" NIL NIL NIL NIL NIL NIL NIL NIL)"},
        {"encoded words stay", "Subject: =?utf-8?q?=C3=A4?=\r\n\r\n",
         "(NIL \"=?utf-8?q?=C3=A4?=\" NIL NIL NIL NIL NIL NIL NIL NIL)"},
        {"quotes and backslashes are escaped", "Subject: \"a\\b\"\r\n\r\n",
         "(NIL \"\\\"a\\\\b\\\"\" NIL NIL NIL NIL NIL NIL NIL NIL)"},
        {"8-bit text is a literal", "Subject: \xc3\xa4\r\n\r\n",
         "(NIL {2}\r\n\xc3\xa4 NIL NIL NIL NIL NIL NIL NIL NIL)"},
        {"a bare CR is a literal", "Subject: a\rb\r\n\r\n",
         "(NIL {3}\r\na\rb NIL NIL NIL NIL NIL NIL NIL NIL)"},
        {"groups", "To: A group: a@b, \"C D\" <c@d>;, undisclosed:;\r\n\r\n",
         "(NIL NIL NIL NIL NIL ((NIL NIL \"A group\" NIL)(NIL NIL \"a\" \"b\")"
         "(\"C D\" NIL \"c\" \"d\")(NIL NIL NIL NIL)(NIL NIL \"undisclosed\" NIL)"
         "(NIL NIL NIL NIL)) NIL NIL NIL NIL)"},
        {"an address as a name, its quotes forgotten", "To: a@b <c@d>, e f@g (x) h <i@j>\r\n\r\n",
         "(NIL NIL NIL NIL NIL ((\"a@b\" NIL \"c\" \"d\")(\"e f@g h\" NIL \"i\" \"j\")) NIL NIL "
         "NIL "
         "NIL)"},
        {"two addresses, a comma forgotten", "To: a@b c@d\r\n\r\n",
         "(NIL NIL NIL NIL NIL ((NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\")) NIL NIL NIL NIL)"},
        {"a name, its angles forgotten", "To: Joe Doe joe@x, \"A B\" a . b@x, c .d@x\r\n\r\n",
         "(NIL NIL NIL NIL NIL ((\"Joe Doe\" NIL \"joe\" \"x\")(\"A B\" NIL \"a.b\" \"x\")"
         "(NIL NIL \"c.d\" \"x\")) NIL NIL NIL NIL)"},
        {"a source route", "To: <@a,@b:c@d>\r\n\r\n",
         "(NIL NIL NIL NIL NIL ((NIL \"@a,@b\" \"c\" \"d\")) NIL NIL NIL NIL)"},
        {"a comment serves as name", "To: c@d (Chris \\) Doe)\r\n\r\n",
         "(NIL NIL NIL NIL NIL ((\"Chris ) Doe\" NIL \"c\" \"d\")) NIL NIL NIL NIL)"},
        {"dots in a phrase, quotes in a local part", "To: J. R. Q <\"a b\".c@[192.0.2.1]>\r\n\r\n",
         "(NIL NIL NIL NIL NIL ((\"J. R. Q\" NIL \"a b.c\" \"[192.0.2.1]\")) NIL NIL NIL NIL)"},
        {"no host is an empty one: NIL means a group", "To: root, <x>\r\n\r\n",
         "(NIL NIL NIL NIL NIL ((NIL NIL \"root\" \"\")(NIL NIL \"x\" \"\")) NIL NIL NIL NIL)"},
        {"several fields of one name", "To: a@b\r\nTo: c@d\r\nSubject: 1\r\nSubject: 2\r\n\r\n",
         "(NIL \"1\" NIL NIL NIL ((NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\")) NIL NIL NIL NIL)"},
        {"only commas", "To: , ,,\r\nCc: \r\n\r\n", "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"},
        {"an open angle ends at a comma", "To: <a@b, c@d\r\n\r\n",
         "(NIL NIL NIL NIL NIL ((NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\")) NIL NIL NIL NIL)"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct message_summary summary;
        struct task task;

        task_init(&task, 0);
        message_parse(&task, str_from_c(rows[i].header), &summary);
        assert_text(rows[i].rule, summary.envelope, rows[i].envelope);
        check_message(str_from_c(rows[i].header));
        task_done(&task);
    }
}

static void test_nul_in_envelope(void **state)
{
    (void)state;
    struct message_summary summary;
    struct task task;

    task_init(&task, 0);
    message_parse(&task, STR("Subject: a\0b\r\nTo: \0@\0\r\n\r\n"), &summary);
    assert_text("NUL becomes '?'", summary.envelope,
                "(NIL \"a?b\" NIL NIL NIL ((NIL NIL \"?\" \"?\")) NIL NIL NIL NIL)");
    task_done(&task);
}

#define LEAF "(\"charset\" \"us-ascii\") NIL NIL \"7bit\" "

static const struct {
    const char *rule, *message, *body, *bodystructure;
} structures[] = {
    {"empty message", "", "(\"text\" \"plain\" " LEAF "0 0)",
     "(\"text\" \"plain\" " LEAF "0 0 NIL NIL NIL NIL)"},
    {"no header", "\r\nab\r\n", "(\"text\" \"plain\" " LEAF "4 1)",
     "(\"text\" \"plain\" " LEAF "4 1 NIL NIL NIL NIL)"},
    {"bytes and line breaks as stored", "a: b\n\n1\n2\n3", "(\"text\" \"plain\" " LEAF "5 2)",
     "(\"text\" \"plain\" " LEAF "5 2 NIL NIL NIL NIL)"},
    {"a leaf with everything",
     "Content-Type: Image/PNG; NAME=\"a \\\"b\"; x=y (c)\r\nContent-ID: <i@d>\r\n"
     "Content-Description: it\r\nContent-Transfer-Encoding: BASE64\r\n"
     "Content-MD5: abc=\r\nContent-Disposition: Attachment; filename*=utf-8''%C3%A4\r\n"
     "Content-Language: en, de\r\nContent-Location: http://x/\r\n\r\nAAAA",
     "(\"image\" \"png\" (\"NAME\" \"a \\\"b\" \"x\" \"y\") \"<i@d>\" \"it\" \"base64\" 4)",
     "(\"image\" \"png\" (\"NAME\" \"a \\\"b\" \"x\" \"y\") \"<i@d>\" \"it\" \"base64\" 4 "
     "\"abc=\" (\"Attachment\" (\"filename*\" \"utf-8''%C3%A4\")) (\"en\" \"de\") "
     "\"http://x/\")"},
    {"no type is text/plain", "Content-Type: text\r\n\r\n", "(\"text\" \"plain\" " LEAF "0 0)",
     "(\"text\" \"plain\" " LEAF "0 0 NIL NIL NIL NIL)"},
    {"a multipart; the line break before a boundary is the boundary's",
     "Content-Type: multipart/mixed; boundary=b\r\n\r\npre\r\n--b\r\n\r\none\r\n--b \r\n"
     "Content-Type: text/html; charset=utf-8\r\n\r\ntwo\r\n\r\n--b--\r\npost\r\n",
     "((\"text\" \"plain\" " LEAF "3 0)"
     "(\"text\" \"html\" (\"charset\" \"utf-8\") NIL NIL \"7bit\" 5 1) \"mixed\")",
     "((\"text\" \"plain\" " LEAF "3 0 NIL NIL NIL NIL)"
     "(\"text\" \"html\" (\"charset\" \"utf-8\") NIL NIL \"7bit\" 5 1 NIL NIL NIL NIL) "
     "\"mixed\" (\"boundary\" \"b\") NIL NIL NIL)"},
    {"an embedded message",
     "Content-Type: message/rfc822\r\n\r\nSubject: in\r\nFrom: a@b\r\n\r\nx\r\n",
     "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 29 (NIL \"in\" ((NIL NIL \"a\" \"b\")) "
     "((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) NIL NIL NIL NIL NIL) "
     "(\"text\" \"plain\" " LEAF "3 1) 4)",
     "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 29 (NIL \"in\" ((NIL NIL \"a\" \"b\")) "
     "((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) NIL NIL NIL NIL NIL) "
     "(\"text\" \"plain\" " LEAF "3 1 NIL NIL NIL NIL) 4 NIL NIL NIL NIL)"},
    {"in a digest a part is a message",
     "Content-Type: multipart/digest; boundary=b\r\n\r\n"
     "--b\r\n\r\nSubject: s\r\n\r\n--b--\r\n",
     "((\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 14 "
     "(NIL \"s\" NIL NIL NIL NIL NIL NIL NIL NIL) (\"text\" \"plain\" " LEAF "0 0) 2) "
     "\"digest\")",
     NULL},
    {"a boundary that never occurs: the text is readable",
     "Content-Type: multipart/mixed; boundary=b\r\n\r\ntext\r\n",
     "(\"text\" \"plain\" " LEAF "6 1)", NULL},
    {"no boundary at all", "Content-Type: multipart/mixed\r\n\r\n--\r\n",
     "(\"text\" \"plain\" " LEAF "4 1)", NULL},
    {"an encoded message is opaque",
     "Content-Type: message/rfc822\r\n"
     "Content-Transfer-Encoding: base64\r\n\r\nAA==",
     "(\"application\" \"octet-stream\" NIL NIL NIL \"base64\" 4)", NULL},
    {"the outer boundary ends the inner multipart",
     "Content-Type: multipart/mixed; boundary=a"
     "\r\n\r\n--a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--a--",
     "(((\"text\" \"plain\" " LEAF "1 0) \"mixed\") \"mixed\")", NULL},
    {"the same boundary inside: the innermost has it",
     "Content-Type: multipart/mixed; "
     "boundary=a\r\n\r\n--a\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\nx"
     "\r\n--a--\r\n--a--\r\n",
     "(((\"text\" \"plain\" " LEAF "1 0) \"mixed\") \"mixed\")", NULL},
    {"a boundary that begins like another",
     "Content-Type: multipart/mixed; boundary=a\r\n\r\n"
     "--ab\r\n--a\r\n\r\nx\r\n--ab--\r\n--a--x\r\n--a--",
     "((\"text\" \"plain\" " LEAF "17 2) \"mixed\")", NULL},
    {"a boundary in a part's header",
     "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n"
     "Content-Type: text/css\r\n--a--\r\n",
     "((\"text\" \"css\" " LEAF "0 0) \"mixed\")", NULL},
    {"cut in the middle", "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\nx\r\n--a",
     "((\"text\" \"plain\" " LEAF "1 0)(\"text\" \"plain\" " LEAF "0 0) \"mixed\")", NULL},
    {"an unknown encoding is told", "Content-Transfer-Encoding: x-uu\r\n\r\n",
     "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"x-uu\" 0 0)", NULL},
    {"pieces, RFC 2231 \xc2\xa7"
     "3",
     "Content-Type: a/b; n*1=\"b c\"; x=y; n*0=\"a \"; n*2=d\r\n\r\n",
     "(\"a\" \"b\" (\"x\" \"y\" \"n\" \"a b cd\") NIL NIL \"7bit\" 0)", NULL},
    {"encoded pieces", "Content-Type: a/b; n*0*=utf-8'en'%41; n*1=\"c %\"; n*2*=%20d\r\n\r\n",
     "(\"a\" \"b\" (\"n*\" \"utf-8'en'%41c%20%25%20d\") NIL NIL \"7bit\" 0)", NULL},
    {"encoded behind the first piece", "Content-Type: a/b; n*0=\"a'\"; n*1*=%41\r\n\r\n",
     "(\"a\" \"b\" (\"n*\" \"''a%27%41\") NIL NIL \"7bit\" 0)", NULL},
    {"not in pieces, encoded", "Content-Type: a/b; n*=utf-8''%41\r\n\r\n",
     "(\"a\" \"b\" (\"n*\" \"utf-8''%41\") NIL NIL \"7bit\" 0)", NULL},
    {"encoded, and in pieces", "Content-Type: a/b; n*=utf-8''%41; n*1=c; n*0=b\r\n\r\n",
     "(\"a\" \"b\" (\"n*\" \"utf-8''%41\" \"n\" \"bc\") NIL NIL \"7bit\" 0)", NULL},
    {"pieces that do not follow", "Content-Type: a/b; n*2=c; n*0=a; m*1=x; n*0=z; *0=s\r\n\r\n",
     "(\"a\" \"b\" (\"n*2\" \"c\" \"n\" \"a\" \"m*1\" \"x\" \"*0\" \"s\") NIL NIL \"7bit\" 0)",
     NULL},
    {"pieces of many", "Content-Type: a/b; a*0=a; b*0=b; c*0=c; d*0=d; e*0=e; a*1=f; e*1=g\r\n\r\n",
     "(\"a\" \"b\" (\"a\" \"af\" \"b\" \"b\" \"c\" \"c\" \"d\" \"d\" \"e*0\" \"e\" \"e*1\" \"g\") "
     "NIL NIL "
     "\"7bit\" 0)",
     NULL},
    {"a charset in pieces", "Content-Type: text/plain; charset*0=utf; charset*1=-8\r\n\r\n",
     "(\"text\" \"plain\" (\"charset\" \"utf-8\") NIL NIL \"7bit\" 0 0)", NULL},
    {"pieces of a disposition",
     "Content-Disposition: attachment; filename*0=a; filename*1=.txt\r\n\r\n",
     "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0)",
     "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0 NIL (\"attachment\" "
     "(\"filename\" \"a.txt\")) NIL NIL)"},
    {"quotes forgotten", "Content-Type: a/b; name=my file.pdf; x=\"open\r\n\r\n",
     "(\"a\" \"b\" (\"name\" \"my file.pdf\" \"x\" \"open\") NIL NIL \"7bit\" 0)", NULL},
};

static void test_bodystructure(void **state)
{
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(structures); i++) {
        struct message_summary summary;
        struct task task;

        task_init(&task, 0);
        message_parse(&task, str_from_c(structures[i].message), &summary);
        assert_text(structures[i].rule, summary.body, structures[i].body);
        if (structures[i].bodystructure != NULL)
            assert_text(structures[i].rule, summary.bodystructure, structures[i].bodystructure);
        check_message(str_from_c(structures[i].message));
        task_done(&task);
    }
}

static void test_decoded_fields(void **state)
{
    (void)state;
    struct message_summary summary;
    struct task task;

    task_init(&task, 0);
    message_parse(&task,
                  STR("Received: 1\r\nReceived: 2\r\nFrom: =?utf-8?q?J=C3=B6rg?= <j@x>\r\n"
                      "To: list: a@b, =?iso-8859-1?q?=E4?= <c@d>;, e@f\r\n"
                      "Subject: Re: [l] =?utf-8?b?w6Q=?=\r\n =?utf-8?b?w6Q=?= x\r\n"
                      "Date: Wed, 31 Dec 1969 23:30:00 -0100\r\n"
                      "Message-ID: <one@x>\r\nIn-Reply-To: your <two@x> of today\r\n"
                      "References: <a@x>\r\n <b@x> junk <c@x>\r\n"
                      "Content-Type: text/plain; charset=koi8-r; name=\"=?utf-8?q?=C3=A4?=\"\r\n"
                      "Content-Disposition: attachment\r\n\r\n"),
                  &summary);
    assert_text("from", summary.from, "Jörg <j@x>");
    assert_text("to", summary.to, "list: a@b, ä <c@d>;, e@f");
    assert_text("subject", summary.subject, "Re: [l] ää x");
    assert_text("base subject", summary.base_subject, "ää x");
    assert_text("message id", summary.message_id, "one@x");
    assert_text("in reply to", summary.in_reply_to, "two@x");
    assert_text("references", summary.references, "a@x b@x c@x");
    assert_text("charset", summary.structure.parts[0].charset, "koi8-r");
    assert_text("file name", summary.structure.parts[0].filename, "ä");
    assert_true(summary.structure.parts[0].is_attachment);
    assert_int_equal(summary.received_count, 2);
    assert_true(summary.sent_is_known);
    assert_int_equal(summary.sent_ms, 30 * 60 * 1000);
    assert_int_equal(summary.sent_day, -1);
    task_done(&task);
}

/* One parameter, in all the ways of RFC 2231 §3 and §4, and in several at once. */
static void test_file_names(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *params, *name;
    } rows[] = {
        {"plain, the first", "name=a; name=b", "a"},
        {"encoded", "name*=iso-8859-1'en'%E4", "ä"},
        {"pieces, in any order", "name*1=b; name*2*=%C3%A4; name*0=a", "abä"},
        {"the first piece has the charset", "name*0*=iso-8859-1''%E4; name*1=b", "äb"},
        {"up to the one that is missing", "name*0=a; name*2=c", "a"},
        {"a piece comes twice", "name*0=a; name*0=b; name*1=c; name*1*=d", "ac"},
        {"before the plain one", "name=p; name*0=a", "a"},
        {"the plain one, without a first piece", "name=p; name*1=b", "p"},
        {"encoded, then pieces", "name*=''e; name*0=a; name*1=b", "eb"},
        {"pieces, then encoded", "name*0=a; name*1=b; name*=''e", "ab"},
        {"encoded twice", "name*=''e; name*=''f", "e"},
        {"of another name", "named=a; names*0=b; nam*0=c; NAME*0=d; name**=x; name*1000=y", "d"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct message_summary summary;
        struct task task;

        task_init(&task, 0);
        message_parse(&task,
                      arena_printf(&task.arena, "Content-Type: a/b; %s\r\n\r\n", rows[i].params),
                      &summary);
        assert_text(rows[i].rule, summary.structure.parts[0].filename, rows[i].name);
        task_done(&task);
    }
}

/* 10,000 parts with long fields: what is kept stays far below what came. */
static void test_budget(void **state)
{
    (void)state;
    struct message_summary summary;
    struct task task;
    struct buf raw;

    buf_init(&raw, SIZE_MAX);
    buf_put(&raw, STR("Content-Type: multipart/digest; boundary=b\r\n\r\n"));
    for (int i = 0; i < 4000; i++)
        buf_putf(&raw, "--b\r\nContent-Description: %04000d\r\n\r\nSubject: %04000d\r\n\r\n", i, i);
    task_init(&task, 0);
    message_parse(&task, buf_str(&raw), &summary);
    assert_true(raw.len > 32000000);
    assert_true(summary.bodystructure.len < 14000000);
    assert_true(check_is_list(summary.bodystructure));
    buf_free(&raw);
    task_done(&task);
}

static void repeat(struct buf *out, const char *text, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buf_put(out, str_from_c(text));
}

static void test_budget_of_addresses(void **state)
{
    (void)state;
    static const char *const repeated[] = {"From: a@b\r\n", "To: a,b,c,d,e,f,g,h\r\n", "Cc:\r\n"};

    for (size_t i = 0; i < ARRAY_LEN(repeated); i++) {
        struct message_summary summary;
        struct task task;
        struct buf raw;

        buf_init(&raw, SIZE_MAX);
        buf_put(&raw, STR("From: x@y\r\n"));
        repeat(&raw, repeated[i], 500000);
        buf_put(&raw, STR("Bcc: last@example.org, one@more\r\n"));
        task_init(&task, 0);
        message_parse(&task, buf_str(&raw), &summary);
        /* Sender and Reply-To are From's, too. */
        assert_in_range(summary.envelope.len, 50, 6000000);
        assert_true(check_is_list(summary.envelope));
        assert_true(str_starts_with(summary.from, STR("x@y")));
        assert_text("bcc", summary.bcc, "last@example.org, one@more");
        buf_free(&raw);
        task_done(&task);
    }
}

/* Hostile shapes of several megabytes: no crash, the limits hold, and the time is linear. */
static void test_limits(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *begin, *repeated;
        size_t count;
        uint32_t parts_max;
    } rows[] = {
        {"nested multiparts", "", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n",
         100000, MESSAGE_PARTS_MAX},
        {"nested messages", "", "Content-Type: message/rfc822\r\n\r\n", 100000,
         MESSAGE_DEPTH_MAX + 1},
        {"many parts", "Content-Type: multipart/mixed; boundary=b\r\n\r\n", "--b\r\n\r\nx\r\n",
         100000, MESSAGE_PARTS_MAX},
        {"many fields", "", "X: y\r\n", 1000000, 1},
        {"a long line", "Subject: ", "x", 10000000, 1},
        {"a long folded field", "To: ", "\r\n a@b,", 1000000, 1},
        {"commas", "To: ", ",", 5000000, 1},
        {"open comments", "To: ", "(", 5000000, 1},
        {"open quotes", "Content-Type: text/plain", "; a=\"", 1000000, 1},
        {"parameters", "Content-Type: text/plain", ";a*0*=b", 1000000, 1},
        {"half encoded words", "Subject: ", "=?a?q?", 1000000, 1},
        {"blobs", "Subject: ", "[a]", 1000000, 1},
        {"message ids", "References: ", "<", 5000000, 1},
        {"open tags", "Content-Type: text/html\r\n\r\n", "<a \"<!-", 1000000, 1},
        {"marks", "Content-Type: text/plain; charset=utf-8\r\n\r\n", "\xcc\x81\xcc\x96", 500000, 1},
        {"not this charset", "Content-Type: text/plain; charset=utf-7\r\n\r\n", "\xff\xfe", 1000000,
         1},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t start = clock_monotonic_ms();
        struct message_summary summary;
        struct task task;
        struct buf raw;

        buf_init(&raw, SIZE_MAX);
        buf_put(&raw, str_from_c(rows[i].begin));
        repeat(&raw, rows[i].repeated, rows[i].count);
        task_init(&task, 0);
        message_parse(&task, buf_str(&raw), &summary);
        if (summary.structure.part_count > rows[i].parts_max)
            fail_msg("%s: %u parts", rows[i].rule, summary.structure.part_count);
        task_done(&task);
        check_message(buf_str(&raw));
        buf_free(&raw);
        /* Sanitizers and busy machines included; quadratic would be hours. */
        if (clock_monotonic_ms() - start > 30000)
            fail_msg("%s: took %ld ms", rows[i].rule, (long)(clock_monotonic_ms() - start));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_envelope),      cmocka_unit_test(test_nul_in_envelope),
        cmocka_unit_test(test_bodystructure), cmocka_unit_test(test_decoded_fields),
        cmocka_unit_test(test_file_names),    cmocka_unit_test(test_limits),
        cmocka_unit_test(test_budget),        cmocka_unit_test(test_budget_of_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
