/* Verdicts, made with the real judgements and a zone in memory. */
#include "examiner/examine.h"

#include "mailauth/zone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char zone_text[] =
    "{\"strict.example\": [[\"TXT\", \"v=spf1 ip4:192.0.2.1 -all\"], [\"MX\", 10, \"mx.strict.example\"]],"
    " \"_dmarc.strict.example\": [[\"TXT\", \"v=DMARC1; p=reject\"]],"
    " \"soft.example\": [[\"TXT\", \"v=spf1 ip4:192.0.2.1 -all\"]],"
    " \"_dmarc.soft.example\": [[\"TXT\", \"v=DMARC1; p=quarantine\"]],"
    " \"none.example\": [[\"TXT\", \"v=spf1 ip4:192.0.2.1 -all\"]],"
    " \"slow.example\": [[\"TIMEOUT\"]],"
    " \"half.example\": [[\"TXT\", \"v=spf1 ip4:192.0.2.1 -all\"]],"
    " \"m.half.example\": [[\"TXT\", \"v=spf1 ip4:192.0.2.1 -all\"]],"
    " \"_dmarc.half.example\": [[\"TIMEOUT\"]],"
    " \"open.example\": [[\"TIMEOUT\"]],"
    " \"_dmarc.open.example\": [[\"TXT\", \"v=DMARC1; p=none\"]],"
    " \"shut.example\": [[\"TIMEOUT\"]],"
    " \"_dmarc.shut.example\": [[\"TXT\", \"v=DMARC1; p=reject\"]],"
    " \"_dmarc.slow.example\": [[\"TIMEOUT\"]],"
    " \"s._domainkey.list.example\": [[\"TXT\", \"v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCfJQ4SDMnzfd26onoyK9KhL4"
    "M3UgOiBLH2IY80nSnGAuThnK8q9eLoNyObxnTisDUzIEBFViyDLeUhk7ACo0k2/eSCeNL9x3fFwRcMC3"
    "iMWf+vDAxq7+/hdzpkcin2Qp69r5/ma7h8SWH6Mo/jOgGvXxcTQiO8nxXJ2XF3QNgnvQIDAQAB\"]],"
    " \"list.example\": [[\"TXT\", \"v=spf1 ip4:192.0.2.9 -all\"]]}";

#define HEADER(from)                                                                               \
    "From: Anna <anna@" from ">\r\nTo: me@here.example\r\nSubject: Lunch\r\n"                      \
    "Date: Thu, 26 Nov 2026 09:59:00 +0000\r\nMessage-ID: <1@" from ">\r\n"                        \
    "MIME-Version: 1.0\r\n"
#define PLAIN(from) HEADER(from) "\r\nShall we meet at noon?\r\n"

static struct examiner_scan the_scan;
static unsigned scans_awaited;

static void give_scan(void *owner, struct task *task, struct examiner_scan *out)
{
    (void)owner;
    (void)task;
    scans_awaited++;
    *out = the_scan;
}

static const struct {
    const char *rule, *client, *sender, *message;
    struct examiner_scan scan;
    bool has_scanner, needs_scan, keeps_rejected, is_trusted;
    enum examiner_action action;
    const char *words; /* a part of them */
    bool is_authenticated, may_reply, is_spam;
} rows[] = {
    {.rule = "proven by SPF and DMARC", .client = "192.0.2.1", .sender = "anna@strict.example",
     .message = PLAIN("strict.example"), .action = EXAMINER_ACCEPT, .is_authenticated = true,
     .may_reply = true},
    {.rule = "SPF alone, the same domain", .client = "192.0.2.1", .sender = "anna@none.example",
     .message = PLAIN("none.example"), .action = EXAMINER_ACCEPT, .is_authenticated = true,
     .may_reply = true},
    {.rule = "SPF of another domain proves nothing", .client = "192.0.2.9",
     .sender = "anna@list.example", .message = PLAIN("none.example"), .action = EXAMINER_ACCEPT,
     .may_reply = true},
    {.rule = "a bounce is not answered", .client = "192.0.2.1", .sender = "",
     .message = PLAIN("strict.example"), .action = EXAMINER_REJECT, .words = "DMARC"},
    {.rule = "DMARC reject", .client = "192.0.2.66", .sender = "anna@strict.example",
     .message = PLAIN("strict.example"), .action = EXAMINER_REJECT,
     .words = "(DMARC) of strict.example"},
    {.rule = "DMARC reject, not honoured", .client = "192.0.2.66", .sender = "anna@strict.example",
     .message = PLAIN("strict.example"), .keeps_rejected = true, .action = EXAMINER_JUNK},
    {.rule = "DMARC quarantine", .client = "192.0.2.66", .sender = "anna@soft.example",
     .message = PLAIN("soft.example"), .action = EXAMINER_JUNK},
    {.rule = "the DNS fails", .client = "192.0.2.66", .sender = "anna@slow.example",
     .message = PLAIN("slow.example"), .action = EXAMINER_DEFER, .words = "DNS failed"},
    {.rule = "the policy cannot be read, but SPF passes", .client = "192.0.2.1",
     .sender = "anna@half.example", .message = PLAIN("half.example"), .action = EXAMINER_ACCEPT,
     .may_reply = true},
    {.rule = "the same, of another name of the organization", .client = "192.0.2.1",
     .sender = "anna@m.half.example", .message = PLAIN("half.example"), .action = EXAMINER_ACCEPT,
     .may_reply = true},
    {.rule = "the same, of another organization", .client = "192.0.2.9",
     .sender = "anna@list.example", .message = PLAIN("half.example"), .action = EXAMINER_DEFER,
     .words = "DNS failed"},
    {.rule = "SPF cannot be read, but the policy asks for nothing", .client = "192.0.2.66",
     .sender = "anna@open.example", .message = PLAIN("open.example"), .action = EXAMINER_ACCEPT,
     .may_reply = true},
    {.rule = "SPF cannot be read, and the policy would refuse", .client = "192.0.2.66",
     .sender = "anna@shut.example", .message = PLAIN("shut.example"), .action = EXAMINER_DEFER,
     .words = "DNS failed"},
    {.rule = "the DNS would fail, but the client is trusted", .client = "127.0.0.1",
     .sender = "anna@slow.example", .message = PLAIN("slow.example"), .is_trusted = true,
     .action = EXAMINER_ACCEPT, .may_reply = true},
    {.rule = "the DNS fails, but it is a virus", .client = "192.0.2.66",
     .sender = "anna@slow.example", .message = PLAIN("slow.example"), .has_scanner = true,
     .scan = {.is_virus = true, .name = STR_INIT("Eicar\r\nX\xff")}, .action = EXAMINER_REJECT,
     .words = "a virus was found: Eicar??X?"},
    {.rule = "a virus", .client = "192.0.2.1", .sender = "anna@strict.example",
     .message = PLAIN("strict.example"), .has_scanner = true,
     .scan = {.is_virus = true, .name = STR_INIT("Win.Test")}, .action = EXAMINER_REJECT,
     .words = "Win.Test", .is_authenticated = true},
    {.rule = "rspamd would refuse it", .client = "192.0.2.1", .sender = "anna@none.example",
     .message = PLAIN("none.example"), .has_scanner = true, .scan = {.score = 15000},
     .action = EXAMINER_REJECT, .words = "spam", .is_authenticated = true, .is_spam = true},
    {.rule = "rspamd, much but not so much", .client = "192.0.2.1", .sender = "anna@none.example",
     .message = PLAIN("none.example"), .has_scanner = true, .scan = {.score = 14999},
     .action = EXAMINER_JUNK, .is_authenticated = true},
    {.rule = "rspamd, a little", .client = "192.0.2.1", .sender = "anna@none.example",
     .message = PLAIN("none.example"), .has_scanner = true, .scan = {.score = 1000},
     .action = EXAMINER_ACCEPT, .is_authenticated = true, .may_reply = true},
    {.rule = "rspamd cannot save what is forged", .client = "192.0.2.66",
     .sender = "anna@strict.example", .message = PLAIN("strict.example"), .has_scanner = true,
     .scan = {.score = -1000000}, .action = EXAMINER_REJECT, .words = "DMARC"},
    {.rule = "the scanner is away", .client = "192.0.2.1", .sender = "anna@none.example",
     .message = PLAIN("none.example"), .has_scanner = true, .scan = {.is_failed = true},
     .action = EXAMINER_ACCEPT, .is_authenticated = true, .may_reply = true},
    {.rule = "the scanner is away, but needed", .client = "192.0.2.1",
     .sender = "anna@none.example", .message = PLAIN("none.example"), .has_scanner = true,
     .needs_scan = true, .scan = {.is_failed = true}, .action = EXAMINER_DEFER,
     .words = "scanned", .is_authenticated = true},
    {.rule = "there is no scanner", .client = "192.0.2.1", .sender = "anna@none.example",
     .message = PLAIN("none.example"), .needs_scan = true, .action = EXAMINER_ACCEPT,
     .is_authenticated = true, .may_reply = true},
    {.rule = "GTUBE", .client = "192.0.2.1", .sender = "anna@none.example",
     .message = HEADER("none.example") "\r\nXJS*C4JDBQADN1.NSBN3*2IDNEN*"
                                       "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n",
     .action = EXAMINER_REJECT, .words = "spam", .is_authenticated = true, .is_spam = true},
    {.rule = "a program", .client = "192.0.2.1", .sender = "anna@none.example",
     .message = HEADER("none.example")
         "Content-Type: application/pdf; name=invoice.pdf\r\n"
         "Content-Transfer-Encoding: base64\r\n\r\n"
         "f0VMRgIBAQAAAAAAAAAAAAIAPgABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n",
     .action = EXAMINER_REJECT, .words = "program", .is_authenticated = true},
    {.rule = "a list's mail is not answered", .client = "192.0.2.1", .sender = "anna@none.example",
     .message = HEADER("none.example") "List-Id: <x.none.example>\r\n\r\nhello\r\n",
     .action = EXAMINER_ACCEPT, .is_authenticated = true},
    {.rule = "nothing at all", .client = "192.0.2.1", .sender = "", .message = "",
     .action = EXAMINER_ACCEPT},
};

static void check_row(size_t i, const struct dns_source *dns)
{
    struct examiner_request request = {.message = str_from_c(rows[i].message),
                                       .client = str_from_c(rows[i].client),
                                       .helo = STR("mail.peer.example"),
                                       .sender = str_from_c(rows[i].sender),
                                       .reverse_name = STR("mail.peer.example"),
                                       .is_trusted = rows[i].is_trusted,
                                       .now_ms = INT64_C(1795687200000)};
    struct examiner_tools tools = {.dns = dns,
                                   .await_scan = rows[i].has_scanner ? give_scan : NULL,
                                   .authserv = STR("here.example"),
                                   .rejects_by_dmarc = !rows[i].keeps_rejected,
                                   .needs_scan = rows[i].needs_scan};
    unsigned before = scans_awaited;
    struct examiner_result result;
    struct task task;

    task_init(&task, request.now_ms);
    the_scan = rows[i].scan;
    examiner_examine(&task, &request, &tools, &result);
    if (result.action != rows[i].action)
        fail_msg("%s: %d (%.*s), %lld\n%.*s", rows[i].rule, (int)result.action,
                 STR_ARG(result.words), (long long)result.score, STR_ARG(result.fields));
    if (rows[i].words != NULL && str_find(result.words, str_from_c(rows[i].words)) < 0)
        fail_msg("%s: %.*s", rows[i].rule, STR_ARG(result.words));
    if (result.is_authenticated != rows[i].is_authenticated ||
        result.may_reply != rows[i].may_reply || result.is_spam != rows[i].is_spam)
        fail_msg("%s: authenticated %d, answered %d, spam %d", rows[i].rule,
                 (int)result.is_authenticated, (int)result.may_reply, (int)result.is_spam);
    assert_true(rows[i].is_trusted ||
                str_starts_with(result.fields, STR("Authentication-Results: here.example")));
    assert_true(str_find(result.fields, STR("X-Spam-Status: ")) >= 0);
    assert_true(str_ends_with(result.fields, STR("\r\n")));
    assert_int_equal(scans_awaited - before, rows[i].has_scanner);
    task_done(&task);
}

static void each_verdict(void **state)
{
    const struct dns_source *dns = *state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check_row(i, dns);
}

/* Anna wrote it to a list, which sealed it (made with Python's dkim), changed nothing, and sent it on:
 * SPF is the list's, and Anna's domain signs nothing. */
static const char sealed_by_a_list[] =
    "ARC-Seal: i=1; cv=none; a=rsa-sha256; d=list.example; s=s; t=1795687000;\r\n"
    " b=hsV9JpQ7jyICvLMBhNkOoLu7s93xTmaUktm2V6Xsng2v4OzQK3KChSOq4dEBxmgaKhRkh\r\n"
    " FPo82mXwj06ZEkKnbLT4ms0FxSX1vIbvGVgjshXc2ooSuQznSztRQIORYrWqvz4gU1/7Rwp\r\n"
    " uz63vjaYOoZrJZo3JvAKul7eYIKK7+w=\r\n"
    "ARC-Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
    " d=list.example; s=s; t=1795687000; h=from : to : subject : date :\r\n"
    " message-id : mime-version;\r\n"
    " bh=XrWooXKpvNsgnysWEUtc1OBpy8ZUJ6/Fatk7BTn/SQI=;\r\n"
    " b=IsNd0QLq9NJhTmvqzX3Gf0/KbNuNdLzSv7KgiKqj4+V30J2jKOsIQ4JNT1TJ4jE9pl/BX\r\n"
    " MiPFUOgabELztNh5CKJYoDpi62G68jvaHDOQha9vw8aBM16gtpZ4SF8CxaAM8tn39ZGWtkw\r\n"
    " eTZOrnjhl1u0PDUv+oSzbmo5x0uQfYw=\r\n"
    "ARC-Authentication-Results: i=1; list.example; spf=pass smtp.mailfrom=anna@strict.example;\r\n"
    "  dmarc=pass header.from=strict.example\r\n"
    "From: Anna <anna@strict.example>\r\n"
    "To: me@here.example\r\n"
    "Subject: Lunch\r\n"
    "Date: Thu, 26 Nov 2026 09:59:00 +0000\r\n"
    "Message-ID: <1@strict.example>\r\n"
    "MIME-Version: 1.0\r\n"
    "\r\n"
    "Shall we meet at noon?\r\n";

static void a_seal_excuses_where_it_is_trusted(void **state)
{
    static const struct str trust[] = {STR_INIT("other.example"), STR_INIT("LIST.example"),
                                       STR_INIT("")};
    CLEANUP(buf_free) struct buf altered;
    struct examiner_request request = {.message = str_from_c(sealed_by_a_list),
                                       .client = STR("192.0.2.9"),
                                       .sender = STR("list-bounces@list.example"),
                                       .now_ms = INT64_C(1795687200000)};
    struct examiner_tools tools = {
        .dns = *state, .authserv = STR("here.example"), .rejects_by_dmarc = true};
    struct examiner_result result;
    struct task task;

    task_init(&task, request.now_ms);
    examiner_examine(&task, &request, &tools, &result);
    assert_int_equal(result.action, EXAMINER_REJECT);
    tools.arc_trust = trust;
    tools.arc_trust_count = 1;
    examiner_examine(&task, &request, &tools, &result);
    assert_int_equal(result.action, EXAMINER_REJECT);
    tools.arc_trust_count = ARRAY_LEN(trust);
    examiner_examine(&task, &request, &tools, &result);
    assert_int_equal(result.action, EXAMINER_ACCEPT);
    assert_true(str_find(result.fields, STR("arc=pass")) > 0);
    assert_false(result.is_authenticated);
    /* Altered behind the list: the seal holds no more. */
    buf_init(&altered, SIZE_MAX);
    buf_put(&altered, request.message);
    buf_put(&altered, STR("Send me your password.\r\n"));
    request.message = buf_str(&altered);
    examiner_examine(&task, &request, &tools, &result);
    assert_int_equal(result.action, EXAMINER_REJECT);
    task_done(&task);
}

/* A client without a name is a sign; that the DNS does not tell its name is none. */
static void only_the_nameless_have_no_name(void **state)
{
    struct examiner_request request = {.message = STR("Subject: x\r\n" PLAIN("none.example")),
                                       .client = STR("192.0.2.1"),
                                       .sender = STR("anna@none.example")};
    struct examiner_tools tools = {.dns = *state, .authserv = STR("here.example")};
    struct examiner_result result;
    struct task task;

    task_init(&task, 0);
    examiner_examine(&task, &request, &tools, &result);
    assert_true(str_find(result.fields, STR("NO_REVERSE_NAME")) < 0);
    request.is_nameless = true;
    examiner_examine(&task, &request, &tools, &result);
    assert_true(str_find(result.fields, STR("NO_REVERSE_NAME")) > 0);
    request.is_trusted = true;
    examiner_examine(&task, &request, &tools, &result);
    assert_true(str_find(result.fields, STR("NO_REVERSE_NAME")) < 0);
    task_done(&task);
}

/* What claims to be ours but came from outside is named for removal, byte for byte. */
static void forged_results_are_removed(void **state)
{
    static const char message[] = "Subject: x\r\nAuthentication-Results: here.example;\r\n dmarc=pass\r\n"
                                  "Authentication-Results: other.example; dmarc=pass\r\n" PLAIN(
                                      "none.example");
    static const unsigned char expected[] = {12, 0, 0, 0, 52, 0, 0, 0};
    struct examiner_request request = {
        .message = STR(""), .client = STR("192.0.2.1"), .sender = STR("anna@none.example")};
    struct examiner_tools tools = {.dns = *state, .authserv = STR("here.example")};
    struct examiner_result result;
    struct task task;

    request.message = str_from_c(message);
    task_init(&task, 0);
    examiner_examine(&task, &request, &tools, &result);
    assert_int_equal(result.removals.len, sizeof(expected));
    assert_memory_equal(result.removals.ptr, expected, sizeof(expected));
    assert_true(str_starts_with(str_from(request.message, 12 + 52), STR("Authentication-Results: o")));
    task_done(&task);
}

static json_t *zone_json;
static struct mailauth_zone zone;
static struct dns_source source;

static int setup(void **state)
{
    struct task task;

    message_init_library();
    task_init(&task, 0);
    zone_json = json_loads(zone_text, 0, NULL);
    if (mailauth_zone_init(&task, zone_json, &zone) != ERR_OK)
        return -1;
    source = mailauth_zone_source(&zone);
    *state = &source;
    task_done(&task);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    json_decref(zone_json);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_verdict),
        cmocka_unit_test(a_seal_excuses_where_it_is_trusted),
        cmocka_unit_test(only_the_nameless_have_no_name),
        cmocka_unit_test(forged_results_are_removed),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
