/* Whole messages: which reasons they give, what is written of them, and what hostile ones cost. */
#include "spam/reasons.h"
#include "spam/spam.h"

#include "base/clock.h"
#include "base/encode.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW INT64_C(1795600000000) /* 25 Nov 2026 */
#define HEAD                                                                                       \
    "From: Ann <ann@example.org>\r\nTo: me@example.net\r\nSubject: the minutes\r\n"                  \
    "Date: Wed, 25 Nov 2026 09:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n"
#define HTML HEAD "MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
#define FILE_PART(name, body)                                                                      \
    HEAD "Content-Type: application/octet-stream\r\n"                                              \
         "Content-Disposition: attachment; filename=\"" name "\"\r\n\r\n" body

static struct task task;

static void judge_with(struct str message, struct spam_request *request, struct spam_verdict *out)
{
    struct message_summary summary;

    message_parse(&task, message, &summary);
    request->message = message;
    request->structure = &summary.structure;
    request->now_ms = NOW;
    spam_judge(&task, request, out);
}

static void judge(struct str message, struct spam_verdict *out)
{
    struct spam_request request = {.list_score = 0};

    judge_with(message, &request, out);
}

static bool has(const struct spam_verdict *verdict, const char *name)
{
    for (size_t i = 0; i < verdict->reason_count; i++) {
        if (strcmp(verdict->reasons[i].name, name) == 0)
            return true;
    }
    return false;
}

static const char *names(const struct spam_verdict *verdict)
{
    struct buf text;
    const char *result;

    buf_init(&text, SIZE_MAX);
    for (size_t i = 0; i < verdict->reason_count; i++)
        buf_putf(&text, "%s ", verdict->reasons[i].name);
    result = arena_copy(&task.arena, buf_str(&text)).ptr;
    buf_free(&text);
    return result;
}

/* One message for a reason, and it alone (with what cannot be avoided beside it). */
static const struct {
    const char *reason; /* NULL: none at all */
    struct str message;
} signs[] = {
    {NULL, STR_INIT(HEAD "\r\nDear me, here they are.\r\n")},
    {"NO_DATE", STR_INIT("From: a@b.example\r\nTo: c@d.example\r\nSubject: x\r\nMessage-ID: <1@b>\r\n\r\nx")},
    {"DATE_INVALID", STR_INIT("Date: soon\r\n\r\n")},
    {"DATE_FUTURE", STR_INIT("Date: Wed, 25 Nov 2037 09:00:00 +0000\r\n\r\n")},
    {"DATE_OLD", STR_INIT("Date: Wed, 25 Nov 2020 09:00:00 +0000\r\n\r\n")},
    {"NO_MESSAGE_ID", STR_INIT("\r\n")},
    {"MESSAGE_ID_ODD", STR_INIT("Message-ID: 12345\r\n\r\n")},
    {"NO_FROM", STR_INIT("Subject: x\r\n\r\n")},
    {"SEVERAL_FROM", STR_INIT("From: a@b\r\nFrom: c@d\r\n\r\n")},
    {"NO_RECIPIENT", STR_INIT("From: a@b\r\n\r\n")},
    {"SUBJECT_EMPTY", STR_INIT("Subject:\r\n\r\n")},
    {"SUBJECT_CAPITALS", STR_INIT("Subject: BUY THIS WATCH NOW\r\n\r\n")},
    {"SUBJECT_SHOUTS", STR_INIT("Subject: now!!\r\n\r\n")},
    {"SUBJECT_MIXED_SCRIPTS", STR_INIT("Subject: =?utf-8?q?P=D0=B0yment?=\r\n\r\n")},
    {"FALSE_REPLY", STR_INIT("Subject: Re: our talk\r\n\r\n")},
    {"HEADER_RAW_BYTES", STR_INIT("Subject: caf\xe9\r\n\r\n")},
    {"RECEIVED_FORGED", STR_INIT("Received: from a by b\r\n\r\n")},
    {"HTML_ONLY", STR_INIT(HTML "<p>hello</p>")},
    {"IMAGE_ONLY", STR_INIT(HTML "<img src=\"http://a.example/x.png\">")},
    {"HIDDEN_TEXT", STR_INIT(HTML "<p style='font-size:0'>a</p><p style='font-size:0'>b</p>"
                                  "<p style='font-size:0'>c</p>")},
    {"NEEDLESS_BASE64", STR_INIT(HEAD "Content-Transfer-Encoding: base64\r\n\r\n"
        "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh"
        "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh\r\n")},
    {"BODY_MIXED_SCRIPTS", STR_INIT(HTML "chе\xd0\xb0p wаtсhеs fоr yоu")},
    {"BODY_INVISIBLE", STR_INIT(HTML "ch\xe2\x80\x8b" "eap w\xe2\x80\x8b" "atches f\xe2\x80\x8b" "or y\xe2\x80\x8b" "ou")},
    {"LINK_MISMATCH", STR_INIT(HTML "<a href=\"http://evil.example/\">www.bank.test</a>")},
    {"LINK_MISMATCH_IP", STR_INIT(HTML "<a href=\"http://192.0.2.1/\">https://www.bank.test/</a>")},
    {"LINK_USERINFO", STR_INIT(HTML "<a href=\"http://www.bank.test@evil.example/\">sign in</a>")},
    {"LINK_LOGIN", STR_INIT(HTML "<a href=\"http://me@host.example/\">files</a>")},
    {"LINK_IP", STR_INIT(HTML "<a href=\"http://192.0.2.1/\">here</a>")},
    {"LINK_MIXED_SCRIPTS", STR_INIT(HTML "<a href=\"http://www.p\xd0\xb0ypal.com/\">here</a>")},
    {"LINK_HOMOGRAPH", STR_INIT(HTML "<a href=\"http://www.xn--80ak6aa92e.com/\">here</a>")},
    {"LINK_INLINE", STR_INIT(HTML "<a href=\"data:text/html;base64,PGgxPg==\">here</a>")},
    {"PASSWORD_FORM", STR_INIT(HTML "<form action=\"http://x.example/\"><input type=password name=p></form>")},
    {"FROM_HOMOGRAPH", STR_INIT("From: x@xn--80ak6aa92e.com\r\n\r\n")},
    {"FROM_MIXED_SCRIPTS", STR_INIT("From: =?utf-8?q?P=D0=B0yPal?= <x@y.example>\r\n\r\n")},
    {"FROM_NAME_ADDRESS", STR_INIT("From: \"service@bank.test\" <x@evil.example>\r\n\r\n")},
    {"REPLY_TO_OTHER", STR_INIT("From: a@b.example\r\nReply-To: c@other.test\r\n\r\n")},
    {"NAME_DOUBLE", STR_INIT(FILE_PART("invoice.pdf.exe", "x"))},
    {"NAME_OVERRIDE", STR_INIT(HEAD "Content-Type: image/png\r\nContent-Disposition: attachment; "
                                    "filename*=utf-8''photo%E2%80%AEgnp.exe\r\n\r\nx")},
    {"NAME_PROGRAM", STR_INIT(FILE_PART("setup.exe", "not really"))},
    {"SHELL_SCRIPT", STR_INIT(FILE_PART("install", "#!/bin/sh\necho\n"))},
    {"SCRIPT_TEXT", STR_INIT(FILE_PART("howto.txt", "Use CreateObject(\"WScript.Shell\") for that."))},
    {"RISKY_FILE", STR_INIT(FILE_PART("letter.doc", "{\\rtf1{\\objdata 01}}"))},
    {"PDF_ACTION", STR_INIT(FILE_PART("x.pdf", "%PDF-1.4\n/JavaScript"))},
    {"MACRO", STR_INIT(FILE_PART("x.doc", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
                                          "_\0V\0B\0A\0_\0P\0R\0O\0J\0E\0C\0T\0"))},
    {"EXECUTABLE", STR_INIT(FILE_PART("invoice.pdf", "\x7f" "ELF\x02\x01\x01"))},
    {"NAME_LIES", STR_INIT(FILE_PART("invoice.pdf", "\x7f" "ELF\x02\x01\x01"))},
    {"GTUBE", STR_INIT(HEAD "\r\nXJS*C4JDBQADN1.NSBN3*2IDNEN*" "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n")},
};

static void test_signs(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(signs); i++) {
        struct spam_verdict verdict;

        judge(signs[i].message, &verdict);
        if (signs[i].reason == NULL ? verdict.reason_count > 0 : !has(&verdict, signs[i].reason))
            fail_msg("%s: %s", signs[i].reason == NULL ? "nothing" : signs[i].reason,
                     names(&verdict));
    }
}

/* What looks like a sign and is none. */
static void test_innocence(void **state)
{
    static const struct {
        const char *not;
        struct str message;
    } rows[] = {
        {"LINK_MISMATCH", STR_INIT(HTML "<a href=\"http://www.shop.example.com/x\">example.com</a>")},
        {"LINK_MISMATCH", STR_INIT(HTML "<a href=\"http://click.example.org/x\">Read more</a>")},
        {"LINK_HOMOGRAPH", STR_INIT(HTML "<a href=\"http://b\xc3\xbc" "cher.example/\">B\xc3\xbc" "cher</a>")},
        {"LINK_MIXED_SCRIPTS", STR_INIT(HTML "<a href=\"http://\xd0\xbf\xd1\x80\xd0\xb8\xd0\xbc\xd0\xb5\xd1\x80.example/\">x</a>")},
        {"FROM_NAME_ADDRESS", STR_INIT("From: \"ann@example.org\" <ann@mail.example.org>\r\n\r\n")},
        {"REPLY_TO_OTHER", STR_INIT("From: a@b.example\r\nReply-To: c@other.test\r\nList-Id: <l.b.example>\r\n\r\n")},
        {"RECEIVED_FORGED", STR_INIT("Received: from a by b with ESMTP;\r\n\tWed, 25 Nov 2026 08:00:00 +0000 (UTC)\r\n\r\n")},
        {"HIDDEN_TEXT", STR_INIT(HTML "<div style=\"display:none;font-size:1px\">preview</div>text")},
        {"FALSE_REPLY", STR_INIT("Subject: Re: x\r\nIn-Reply-To: <1@b>\r\n\r\n")},
        {"BODY_MIXED_SCRIPTS", STR_INIT(HTML "\xd0\xa1\xd0\xbf\xd0\xb0\xd1\x81\xd0\xb8\xd0\xb1\xd0\xbe, Ann, SIM-\xd0\xba\xd0\xb0\xd1\x80\xd1\x82\xd0\xb0")},
        {"EXECUTABLE", STR_INIT(FILE_PART("tool.py", "#!/usr/bin/python3\nprint(1)\n"))},
        {"EXECUTABLE", STR_INIT(HEAD "\r\n@echo off\r\n")}, /* the letter itself is no file */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct spam_verdict verdict;

        judge(rows[i].message, &verdict);
        if (has(&verdict, rows[i].not) || verdict.refusal != NULL)
            fail_msg("%s: %s", rows[i].not, names(&verdict));
    }
}

/* --- What others found --- */

static void test_authentication(void **state)
{
    static const struct {
        enum mailauth_result spf, dmarc;
        enum mailauth_policy policy;
        const char *reason;
        bool is_junk;
    } rows[] = {
        {MAILAUTH_PASS, MAILAUTH_PASS, MAILAUTH_POLICY_NONE, "DMARC_PASS", false},
        {MAILAUTH_FAIL, MAILAUTH_NONE, MAILAUTH_POLICY_NONE, "SPF_FAIL", false},
        {MAILAUTH_SOFTFAIL, MAILAUTH_NONE, MAILAUTH_POLICY_NONE, "SPF_SOFTFAIL", false},
        {MAILAUTH_NONE, MAILAUTH_FAIL, MAILAUTH_POLICY_NONE, "DMARC_FAIL", false},
        {MAILAUTH_NONE, MAILAUTH_FAIL, MAILAUTH_POLICY_QUARANTINE, "DMARC_QUARANTINE", true},
        {MAILAUTH_NONE, MAILAUTH_FAIL, MAILAUTH_POLICY_REJECT, "DMARC_REJECT", true},
    };
    struct str message = STR(HEAD "\r\nhello\r\n");

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct mailauth_verdict auth = {.spf = rows[i].spf,
                                        .dmarc = rows[i].dmarc,
                                        .dmarc_policy = rows[i].policy,
                                        .author_domain = STR("example.org")};
        struct spam_request request = {.auth = &auth};
        struct spam_verdict verdict;

        judge_with(message, &request, &verdict);
        if (!has(&verdict, rows[i].reason) || (verdict.score >= SPAM_SCORE_JUNK) != rows[i].is_junk)
            fail_msg("%s: %s", rows[i].reason, names(&verdict));
    }
}

/* The shared model counts when it has learned enough of both. */
static void test_model(void **state)
{
    static const struct {
        unsigned learned;
        int64_t least, most; /* of the score of BAYES for spam; 0, 0: it is not there */
    } rows[] = {{SPAM_MODEL_LEARNED_MIN - 1, 0, 0}, {SPAM_MODEL_LEARNED_MIN, 4000, 5000}};
    struct str spam = STR(HEAD "\r\ncasino jackpot bonus winner roulette\r\n");
    struct str ham = STR(HEAD "\r\nthe choir meets tomorrow evening\r\n");

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct spam_trainer *trainer = spam_trainer_new(NULL);
        struct spam_model *model = NULL;
        struct spam_request request = {.list_score = 0};
        struct spam_verdict verdict;
        struct buf bytes;

        for (unsigned k = 0; k < rows[i].learned * 2; k++) {
            struct message_summary summary;
            struct spam_tokens tokens;
            struct str message = k % 2 == 0 ? spam : ham;

            message_parse(&task, message, &summary);
            spam_tokenize(&task, message, &summary.structure, &tokens);
            assert_int_equal(spam_trainer_learn(trainer, &task, &tokens, k % 2 == 0), ERR_OK);
        }
        buf_init(&bytes, SIZE_MAX);
        spam_trainer_write(trainer, &bytes);
        assert_int_equal(spam_model_read(&task, buf_str(&bytes), &model), ERR_OK);
        request.model = model;
        judge_with(spam, &request, &verdict);
        assert_int_equal(has(&verdict, "BAYES"), rows[i].most > 0);
        assert_true(verdict.score >= rows[i].least && verdict.score <= rows[i].most);
        judge_with(ham, &request, &verdict);
        assert_true(verdict.score <= 0);
        spam_model_close(&model);
        spam_trainer_free(&trainer);
        buf_free(&bytes);
    }
}

/* A filtering resolver: one host is blocked, one is not there. */
static void answer(void *owner, struct task *for_task, struct str name, enum dns_type type,
                   struct dns_answer *out)
{
    size_t *asked = owner;

    (*asked)++;
    assert_int_equal(type, DNS_TYPE_A);
    *out = (struct dns_answer){.status = DNS_OK, .count = 1};
    out->records = ARENA_NEW(&for_task->arena, struct dns_record);
    out->records[0].data = str_equal(name, STR("bad.example")) ? STR("\0\0\0\0") : STR("\xc0\0\2\1");
    if (str_equal(name, STR("gone.example")))
        *out = (struct dns_answer){.status = DNS_NO_NAME};
}

static void test_link_check(void **state)
{
    size_t asked = 0;
    const struct dns_source source = {.owner = &asked, .ask = answer};
    struct spam_request request = {.link_check = &source};
    struct spam_verdict verdict;
    struct buf many;

    (void)state;
    judge_with(STR(HTML "<a href=\"http://good.example/\">x</a><a href=\"http://good.example/2\">x</a>"),
               &request, &verdict);
    assert_int_equal(asked, 1);
    assert_false(has(&verdict, "LINK_BLOCKED") || has(&verdict, "LINK_NO_HOST"));
    judge_with(STR(HTML "<a href=\"http://bad.example/\">x</a> http://gone.example/"), &request, &verdict);
    assert_true(has(&verdict, "LINK_BLOCKED") && has(&verdict, "LINK_NO_HOST"));
    /* A hundred hosts are not asked for. */
    buf_init(&many, SIZE_MAX);
    buf_put(&many, STR(HTML));
    for (int i = 0; i < 100; i++)
        buf_putf(&many, "<a href=\"http://h%d.example/\">x</a>", i);
    asked = 0;
    judge_with(buf_str(&many), &request, &verdict);
    assert_true(asked <= 12);
    buf_free(&many);
}

/* --- The report --- */

static void test_report(void **state)
{
    static const char *const statuses[] = {
        "X-Spam-Status: Yes, score=1\r\n", "X-Spam-Status: No, score=1 tests=GTUBE=1\r\n",
        "X-Spam-Status:\r\n Yes\r\n", "X-Spam-Status: Yes tests=NO_DATE=1,\r\n\tGTUBE=1\r\n"};
    struct spam_verdict verdict = {.score = 0};
    struct spam_status status;
    struct buf out;

    (void)state;
    buf_init(&out, SIZE_MAX);
    spam_write_fields(&verdict, &out);
    assert_true(str_equal(buf_str(&out),
                          STR("X-Spam-Status: No, score=0.000 required=5.000\r\n")));
    spam_read_status(buf_str(&out), &status);
    assert_true(status.is_there && !status.is_junk && !status.is_hard);
    for (size_t i = 0; i < spam_reason_count(); i++)
        spam_verdict_add(&task, &verdict, spam_reason_at(i)->name, spam_reason_at(i)->score,
                         STR("a detail\r\nwith (bytes) \xff that \\ may not be there, and so long that it "
                             "has to be cut somewhere before its end, which is here at the very last"));
    assert_int_equal(verdict.reason_count, SPAM_REASONS_MAX);
    buf_reset(&out);
    spam_write_fields(&verdict, &out);
    for (size_t i = 0, column = 0; i < out.len; i++) {
        char c = out.ptr[i];

        assert_true((c >= ' ' && c < 0x7f) || c == '\r' || c == '\n' || c == '\t');
        column = c == '\n' ? 0 : column + 1;
        assert_true(column < 200);
        if (c == '\n' && i + 1 < out.len)
            assert_true(out.ptr[i + 1] == '\t' || out.ptr[i + 1] == 'X');
    }
    spam_read_status(buf_str(&out), &status);
    assert_true(status.is_there && status.is_junk && status.is_hard);
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        spam_read_status(str_from_c(statuses[i]), &status);
        assert_true(status.is_there);
        assert_int_equal(status.is_junk, i != 1);
        assert_int_equal(status.is_hard, i == 3);
    }
    spam_read_status(STR("Received: x\r\n"), &status);
    assert_false(status.is_there);
    buf_free(&out);
}

/* --- What it may cost --- */

enum { HOSTILE = 48 * 1024 * 1024 };

static void repeat(struct buf *out, const char *text, size_t upto)
{
    struct str piece = str_from_c(text);

    while (out->len + piece.len <= upto)
        buf_put(out, piece);
}

static void base64_part(struct buf *out, const char *name, struct str bytes)
{
    buf_putf(out, "--b\r\nContent-Type: application/zip; name=\"%s\"\r\n"
                  "Content-Transfer-Encoding: base64\r\n\r\n", name);
    assert_int_equal(encode_base64(out, bytes), ERR_OK);
    buf_put(out, STR("\r\n"));
}

static void make_hostile(size_t which, struct buf *out)
{
    char number[200];

    buf_put(out, STR("From: a@b.example\r\nSubject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n"));
    if (which == 0) { /* 10,000 parts, each a script */
        buf_put(out, STR("\r\n"));
        for (int i = 0; i < 10000; i++) {
            snprintf(number, sizeof(number), "--b\r\nContent-Type: application/x\r\n\r\n");
            buf_put(out, str_from_c(number));
            repeat(out, "x = x + 1;\n", out->len + 4000);
            buf_put(out, STR("\r\n"));
        }
    } else if (which == 1) { /* a header of 48 MB */
        repeat(out, "Received: from a by b; Wed, 25 Nov 2026 08:00:00 +0000\r\n", HOSTILE);
    } else if (which == 2) { /* HTML of nothing but beginnings of links */
        buf_put(out, STR("\r\n--b\r\nContent-Type: text/html\r\n\r\n"));
        repeat(out, "<a href=\"http://\xd0\xb0\xd1\x80.example/", HOSTILE);
    } else if (which == 3) { /* a text without spaces, of accents */
        buf_put(out, STR("\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"));
        repeat(out, "\xef\xb7\xba", HOSTILE); /* one that decomposes into 18 */
    } else if (which == 4) { /* many zips of many entries */
        struct buf zip;

        buf_init(&zip, SIZE_MAX);
        for (int i = 0; i < 1000; i++)
            buf_put(&zip, STR("PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0a.exe"));
        buf_put(out, STR("\r\n"));
        while (out->len < HOSTILE)
            base64_part(out, "a.zip", buf_str(&zip));
        buf_free(&zip);
    } else if (which == 5) { /* one OLE document of macro-like bytes */
        buf_put(out, STR("\r\n--b\r\nContent-Type: application/msword; name=a.doc\r\n\r\n"));
        buf_put(out, STR("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"));
        repeat(out, "_\x01V", HOSTILE);
    } else if (which == 6) { /* nested to the limit, with an address list without end */
        buf_put(out, STR("To: "));
        repeat(out, "(((((\"a,", out->len + 4 * 1024 * 1024);
        buf_put(out, STR("\r\n\r\n"));
        for (int i = 0; i < 5000; i++) {
            snprintf(number, sizeof(number),
                     "--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n", i - 1, i);
            buf_put(out, str_from_c(number));
        }
    } else { /* an ISO image of rubbish */
        buf_put(out, STR("\r\n--b\r\nContent-Type: application/x; name=a.iso\r\n\r\n"));
        for (size_t i = 0, start = out->len; out->len < 8 * 1024 * 1024; i++) {
            buf_put(out, out->len - start == 32769 ? STR("CD001\x01") : STR("\x01"));
            (void)i;
        }
    }
}

static void test_hostile(void **state)
{
    (void)state;
    for (size_t which = 0; which < 8; which++) {
        struct spam_request request = {.now_ms = NOW};
        struct message_summary summary;
        struct spam_verdict verdict;
        struct task judging;
        struct buf message;
        int64_t start_us, cost_us;

        buf_init(&message, SIZE_MAX);
        make_hostile(which, &message);
        task_init(&judging, NOW);
        message_parse(&judging, buf_str(&message), &summary);
        request.message = buf_str(&message);
        request.structure = &summary.structure;
        start_us = clock_processor_us();
        spam_judge(&judging, &request, &verdict);
        cost_us = clock_processor_us() - start_us;
        print_message("hostile %zu: %lld ms, score %lld\n", which, (long long)(cost_us / 1000),
                      (long long)verdict.score);
        /* Sanitizers take their time, too. */
        assert_true(cost_us < 2000 * 1000 * (getenv("ASAN_OPTIONS") != NULL ? 5 : 1));
        task_done(&judging);
        buf_free(&message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signs),      cmocka_unit_test(test_innocence),
        cmocka_unit_test(test_authentication), cmocka_unit_test(test_link_check),
        cmocka_unit_test(test_report), cmocka_unit_test(test_model),     cmocka_unit_test(test_hostile),
    };
    int failed;

    message_init_library();
    task_init(&task, NOW);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    task_done(&task);
    return failed;
}
