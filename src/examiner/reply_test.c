#include "examiner/reply.h"

#include "base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct {
    const char *rule, *sender, *header;
    bool may_reply;
} rows[] = {
    {"a person", "anna@example.org", "From: Anna <anna@example.org>\r\nSubject: Hello\r\n\r\n", true},
    {"no header at all", "anna@example.org", "\r\n", true},
    {"the null path", "", "From: anna@example.org\r\n\r\n", false},
    {"a bounce's sender", "MAILER-DAEMON@example.org", "\r\n", false},
    {"noreply", "noreply@example.org", "\r\n", false},
    {"no-reply", "No-Reply@example.org", "\r\n", false},
    {"no.reply with more", "shop.no_reply+17@example.org", "\r\n", false},
    {"do-not-reply", "do-not-reply@example.org", "\r\n", false},
    {"owner-", "owner-list@example.org", "\r\n", false},
    {"-request", "list-request@example.org", "\r\n", false},
    {"-bounces", "list-bounces@example.org", "\r\n", false},
    {"VERP", "bounces+me=example.org@lists.example", "\r\n", false},
    {"a name that only looks so", "norepley@example.org", "\r\n", true},
    {"a person called Owner", "owner@example.org", "\r\n", true},
    {"a rewritten sender", "SRS0=abcd=AB=example.org=anna@forward.example", "\r\n", true},
    {"a tagged sender", "prvs=1234567890=anna@example.org", "\r\n", true},
    {"from a program by its From", "x@example.org", "From: Shop <no-reply@example.org>\r\n\r\n", false},
    {"answers are not wanted", "x@example.org", "Reply-To: noreply@example.org\r\n\r\n", false},
    {"Auto-Submitted: no", "x@example.org", "Auto-Submitted: no\r\n\r\n", true},
    {"with a comment", "x@example.org", "Auto-Submitted: (human) NO (really)\r\n\r\n", true},
    {"Auto-Submitted: auto-replied", "x@example.org", "auto-submitted: auto-replied\r\n\r\n", false},
    {"auto-generated", "x@example.org", "Auto-Submitted: auto-generated; x=y\r\n\r\n", false},
    {"folded", "x@example.org", "Auto-Submitted:\r\n auto-notified\r\n\r\n", false},
    {"an unknown word", "x@example.org", "Auto-Submitted: nothing\r\n\r\n", false},
    {"List-Id", "x@example.org", "List-Id: <list.example.org>\r\n\r\n", false},
    {"List-Unsubscribe", "x@example.org", "LIST-UNSUBSCRIBE: <mailto:x@example.org>\r\n\r\n", false},
    {"List-Nothing", "x@example.org", "List-Nothing: x\r\n\r\n", true},
    {"Precedence: bulk", "x@example.org", "Precedence: bulk\r\n\r\n", false},
    {"Precedence: list", "x@example.org", "Precedence:  List \r\n\r\n", false},
    {"Precedence: first-class", "x@example.org", "Precedence: first-class\r\n\r\n", true},
    {"Exchange: All", "x@example.org", "X-Auto-Response-Suppress: All\r\n\r\n", false},
    {"Exchange: a list", "x@example.org", "X-Auto-Response-Suppress: DR, RN, OOF\r\n\r\n", false},
    {"Exchange: reports only", "x@example.org", "X-Auto-Response-Suppress: DR, RN, NRN\r\n\r\n", true},
    {"a report", "x@example.org", "Content-Type: multipart/report; report-type=x\r\n\r\n", false},
    {"not a report", "x@example.org", "Content-Type: multipart/mixed\r\n\r\n", true},
    {"marked as spam", "x@example.org", "X-Spam-Flag: YES\r\n\r\n", false},
    {"not spam", "x@example.org", "X-Spam-Flag: NO\r\n\r\n", true},
    {"a null path in the header", "x@example.org", "Return-Path: <>\r\n\r\n", false},
    {"the body does not count", "x@example.org", "Subject: x\r\n\r\nList-Id: <x>\r\n", true},
};

static void each_rule(void **state)
{
    struct arena arena = {NULL};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (examiner_may_reply(&arena, str_from_c(rows[i].sender), str_from_c(rows[i].header)) !=
            rows[i].may_reply)
            fail_msg("%s", rows[i].rule);
    }
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_rule)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
