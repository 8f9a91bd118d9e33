/*
 * The reasons, each in one row: what it is worth, and whether the owner of a mailbox may know better
 * from what he moved. And how they are written into a header and read from it again.
 */
#include "spam/reasons.h"

#include "base/ascii.h"

#include <string.h>

/* Scores in thousandths. Junk begins at 5000, refusal at 15000. */
static const struct spam_reason_row rows[] = {
    {"GTUBE", 1000000, true, "the test text that every scanner knows as spam"},
    {"VIRUS", 1000000, true, "a virus scanner knows it"},
    {"EXECUTABLE", 8000, true, "a program is attached"},
    {"ARCHIVE_EXECUTABLE", 8000, true, "a program is in an archive"},
    {"ARCHIVE_BOMB", 8000, true, "an archive that unpacks without end"},
    {"NAME_LIES", 2000, true, "a program that is named like a document"},
    {"NAME_DOUBLE", 3000, true, "a name that hides its extension behind another"},
    {"NAME_OVERRIDE", 3000, true, "a name that turns the direction of writing"},
    {"NAME_PROGRAM", 3500, true, "a file that Windows would run"},
    {"ARCHIVE_PROGRAM_NAME", 2500, true, "an archive with a file that Windows would run"},
    {"MACRO", 3500, false, "an Office document with macros"},
    {"RISKY_FILE", 3000, false, "a kind of file that hides programs"},
    {"PDF_ACTION", 800, false, "a PDF that runs something"},
    {"SHELL_SCRIPT", 500, false, "a shell script"},
    {"SCRIPT_TEXT", 500, false, "a text file with a script in it"},
    {"ARCHIVE_ENCRYPTED", 1500, false, "an archive that only its password opens"},
    {"ARCHIVE_UNREAD", 300, false, "part of an archive could not be looked at"},
    {"MANY_FILES", 1500, false, "too many files to look at all of them"},
    {"EXPENSIVE", 2000, false, "looking at it took all the time that there was"},
    {"DMARC_QUARANTINE", 5000, true, "the sender's domain disowns it (DMARC)"},
    {"DMARC_REJECT", 10000, true, "the sender's domain wants it refused (DMARC)"},
    {"DMARC_FAIL", 800, false, "not proven to be the sender's, who asks for nothing (DMARC)"},
    {"DMARC_PASS", -500, false, "proven to be the sender's (DMARC)"},
    {"SPF_FAIL", 1500, false, "the sender's domain does not send from there (SPF)"},
    {"SPF_SOFTFAIL", 700, false, "the sender's domain hardly sends from there (SPF)"},
    {"DKIM_FAIL", 300, false, "a signature that does not verify (DKIM)"},
    {"DNSBL", 0, false, "block lists know the peer"},
    {"BAYES", 0, false, "its words are those of spam, or of wanted mail"},
    {"LINK_MISMATCH", 2500, false, "a link shows one place and leads to another"},
    {"LINK_MISMATCH_IP", 5000, true, "a link shows a name and leads to a bare address"},
    {"LINK_USERINFO", 5000, true, "a link with another host's name in front of an @"},
    {"LINK_LOGIN", 1500, false, "a link with a user name in it"},
    {"LINK_IP", 1500, false, "a link to a bare address"},
    {"LINK_MIXED_SCRIPTS", 5000, true, "a link whose name mixes alphabets"},
    {"LINK_HOMOGRAPH", 5000, true, "a link whose name only looks like Latin letters"},
    {"LINK_INLINE", 4000, true, "a link that carries its page or a script in itself"},
    {"LINK_BLOCKED", 6000, true, "the filtering resolver blocks a link's host"},
    {"LINK_NO_HOST", 2000, false, "a link's host is not there, or is blocked"},
    {"PASSWORD_FORM", 4000, true, "a form that asks for a password"},
    {"FROM_HOMOGRAPH", 5000, true, "the sender's domain only looks like another"},
    {"FROM_MIXED_SCRIPTS", 3000, true, "the sender's name mixes alphabets within a word"},
    {"FROM_NAME_ADDRESS", 2000, false, "the sender's name is an address of somebody else"},
    {"REPLY_TO_OTHER", 700, false, "answers go to another domain"},
    {"NO_DATE", 1000, false, "no Date"},
    {"DATE_INVALID", 1000, false, "a Date that is none"},
    {"DATE_FUTURE", 1500, false, "a Date that is still to come"},
    {"DATE_OLD", 700, false, "a Date of long ago"},
    {"NO_MESSAGE_ID", 700, false, "no Message-ID"},
    {"MESSAGE_ID_ODD", 700, false, "a Message-ID that is none"},
    {"NO_FROM", 1000, false, "no sender"},
    {"SEVERAL_FROM", 3000, false, "several From fields"},
    {"NO_RECIPIENT", 500, false, "to nobody"},
    {"MANY_RECIPIENTS", 700, false, "to very many"},
    {"SUBJECT_EMPTY", 300, false, "no subject"},
    {"SUBJECT_CAPITALS", 1000, false, "a subject in capitals"},
    {"SUBJECT_SHOUTS", 500, false, "a subject that shouts"},
    {"SUBJECT_MIXED_SCRIPTS", 2500, false, "a subject that hides its words"},
    {"FALSE_REPLY", 500, false, "an answer to nothing"},
    {"HEADER_RAW_BYTES", 700, false, "a header with undeclared bytes"},
    {"RECEIVED_FORGED", 1500, false, "a way that no server would have noted so"},
    {"HELO_NO_NAME", 800, false, "a peer that greets without a name"},
    {"NO_REVERSE_NAME", 500, false, "a peer whose address has no name"},
    {"DYNAMIC_NAME", 1000, false, "a peer that looks like somebody's home"},
    {"HTML_ONLY", 300, false, "HTML without a text"},
    {"IMAGE_ONLY", 1500, false, "all is in a picture"},
    {"HIDDEN_TEXT", 1500, false, "text that is not to be seen"},
    {"NEEDLESS_BASE64", 800, false, "plain text that is encoded for nothing"},
    {"BODY_MIXED_SCRIPTS", 2500, false, "words that mix alphabets"},
    {"BODY_INVISIBLE", 1500, false, "words with invisible characters in them"},
    {"MANY_PARTS", 1500, false, "very many parts"},
    {"MAILING_LIST", -500, false, "a mailing list, signed"},
};

const struct spam_reason_row *spam_reason_row(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (str_equal(name, str_from_c(rows[i].name)))
            return &rows[i];
    }
    return NULL;
}

size_t spam_reason_count(void)
{
    return ARRAY_LEN(rows);
}

const struct spam_reason_row *spam_reason_at(size_t index)
{
    return &rows[index];
}

/* --- Writing --- */

/* "-0.500" */
static void put_score(struct buf *out, int64_t score)
{
    uint64_t size = score < 0 ? (uint64_t)-score : (uint64_t)score;

    buf_putf(out, "%s%llu.%03llu", score < 0 ? "-" : "", (unsigned long long)(size / 1000),
             (unsigned long long)(size % 1000));
}

static void put_tests(const struct spam_verdict *verdict, struct buf *out)
{
    size_t column = 0;

    for (size_t i = 0; i < verdict->reason_count; i++) {
        const struct spam_reason *reason = &verdict->reasons[i];
        size_t before;

        if (i > 0)
            buf_put(out, STR(","));
        if (i == 0 || column > 50) {
            buf_put(out, i == 0 ? STR("\r\n\ttests=") : STR("\r\n\t"));
            column = 0;
        }
        before = out->len;
        buf_putf(out, "%s=", reason->name);
        put_score(out, reason->score);
        column += out->len - before;
    }
}

void spam_write_fields(const struct spam_verdict *verdict, struct buf *out)
{
    bool is_junk = verdict->score >= SPAM_SCORE_JUNK || verdict->refusal != NULL;

    buf_putf(out, "X-Spam-Status: %s, score=", is_junk ? "Yes" : "No");
    put_score(out, verdict->score);
    buf_put(out, STR(" required="));
    put_score(out, SPAM_SCORE_JUNK);
    put_tests(verdict, out);
    buf_put(out, STR("\r\n"));
    if (verdict->reason_count == 0)
        return;
    buf_put(out, STR("X-Spam-Report:"));
    for (size_t i = 0; i < verdict->reason_count; i++) {
        const struct spam_reason *reason = &verdict->reasons[i];

        buf_put(out, i == 0 ? STR(" ") : STR("\r\n\t"));
        put_score(out, reason->score);
        buf_putf(out, " %s", reason->name);
        if (reason->detail.len > 0)
            buf_putf(out, " (%.*s)", STR_ARG(reason->detail));
    }
    buf_put(out, STR("\r\n"));
}

/* Printable ASCII, and nothing that a comment could trip over. */
static struct str harmless(struct task *task, struct str detail)
{
    char *copy;

    detail = str_upto(detail, SPAM_DETAIL_MAX);
    copy = arena_alloc(&task->arena, detail.len + 1, 1);
    for (size_t i = 0; i < detail.len; i++) {
        char c = detail.ptr[i];

        copy[i] = c >= ' ' && c < 0x7f && c != '(' && c != ')' && c != '\\' ? c : '?';
    }
    return str_make(copy, detail.len);
}

void spam_verdict_add(struct task *task, struct spam_verdict *verdict, const char *name,
                      int64_t score, struct str detail)
{
    struct spam_reason *reason;

    for (size_t i = 0; i < verdict->reason_count; i++) {
        reason = &verdict->reasons[i];
        if (strcmp(reason->name, name) != 0)
            continue;
        if (reason->detail.len == 0)
            reason->detail = harmless(task, detail);
        return;
    }
    if (verdict->reason_count == SPAM_REASONS_MAX)
        return;
    reason = &verdict->reasons[verdict->reason_count++];
    reason->name = name;
    reason->score = score;
    reason->detail = harmless(task, detail);
    verdict->score += score;
}

/* --- Reading --- */

static bool has_hard_test(struct str value)
{
    ptrdiff_t start = str_find(value, STR("tests="));
    struct str rest, test;

    if (start < 0)
        return false;
    rest = str_from(value, (size_t)start + 6);
    while (str_split(&rest, ',', &test)) {
        const struct spam_reason_row *row;
        ptrdiff_t end;

        test = str_trim(test);
        end = str_index(test, '=');
        row = spam_reason_row(end < 0 ? test : str_upto(test, (size_t)end));
        if (row != NULL && row->is_hard)
            return true;
    }
    return false;
}

void spam_read_status(struct str trace, struct spam_status *out)
{
    size_t position = 0;
    struct str value;

    *out = (struct spam_status){.is_there = false};
    if (!message_header_next(trace, STR("X-Spam-Status"), &position, &value))
        return;
    out->is_there = true;
    value = str_trim(value);
    out->is_junk = str_starts_with_nocase(value, STR("Yes"));
    out->is_hard = out->is_junk && has_hard_test(value);
}
