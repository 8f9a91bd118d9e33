/*
 * Whatever the order in which keys are looked at, and whatever the index spares: trees of keys over
 * messages that are hard to read, compared with a look at every message. Enough messages that all
 * ways of narrowing are taken.
 */
#include "imap/session.h"
#include "imap/transcript_vault.h"

#include "base/macros.h"
#include "message/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MESSAGES = 1300, TREES = 500, DEPTH = 4 };

static const int64_t NOW_MS = INT64_C(1795323600000); /* 2026-11-22T05:00:00Z */
static const int64_t DAY_MS = 86400000;
static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "test"};

/* Some are parts of others, some are in every message, some in hardly any. */
static const char *const WORDS[] = {
    "alpha",
    "alphabet",
    "beta",
    "bet",
    "gamma-ray",
    "the",
    "the",
    "the",
    "of",
    "of",
    "Stra\303\237e",
    "STRASSE",
    "\xc3\xa4rger",
    "\xc3\x84rger",
    "na\xc3\xafve",
    "rare7",
    "x-y_z",
    "10.5",
    "user@host.example",
    "caf\xc3\xa9",
};

static uint32_t seed = 4711;

static uint32_t random_to(uint32_t bound)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % bound;
}

static struct str random_word(void)
{
    /* "rare7" is rarer than its share. */
    uint32_t at = random_to(ARRAY_LEN(WORDS));

    return str_from_c(at == 15 && random_to(20) != 0 ? WORDS[0] : WORDS[at]);
}

static struct str random_words(struct arena *arena, uint32_t count)
{
    struct str text = random_word();

    for (uint32_t i = 1; i < count; i++) {
        struct str word = random_word();

        text = arena_printf(arena, "%.*s%s%.*s", STR_ARG(text), random_to(6) == 0 ? ", " : " ",
                            STR_ARG(word));
    }
    return text;
}

/* =?utf-8?Q?…?=, every byte of it. */
static struct str encoded_word(struct arena *arena, struct str text)
{
    struct str out = STR("=?utf-8?Q?");

    for (size_t i = 0; i < text.len; i++)
        out = arena_printf(arena, "%.*s=%02X", STR_ARG(out), (unsigned)(unsigned char)text.ptr[i]);
    return arena_printf(arena, "%.*s?=", STR_ARG(out));
}

static struct str header_text(struct arena *arena, struct str text)
{
    switch (random_to(3)) {
    case 0:
        return encoded_word(arena, text);
    case 1:
        return arena_printf(arena, "%.*s\r\n and", STR_ARG(text)); /* folded */
    default:
        return text;
    }
}

/* One entity: its header fields, an empty line, its body. */
static struct str random_body(struct arena *arena)
{
    struct str text = random_words(arena, 4 + random_to(12)), word = random_word();

    switch (random_to(5)) {
    case 0:
        return arena_printf(arena,
                            "Content-Type: text/html; charset=utf-8\r\n\r\n<p>%.*s</p>"
                            "<script>alpha</script> t<b>h</b>e &auml;rger\r\n",
                            STR_ARG(text));
    case 1:
        return arena_printf(arena, "Content-Type: text/plain; charset=iso-8859-1\r\n"
                                   "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
                                   "=C4rger al=\r\npha na=EFve\r\n");
    case 2:
        return arena_printf(arena,
                            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"
                            "%.*s\r\n--b\r\nContent-Type: application/x; "
                            "name=\"%.*s.bin\"\r\nContent-Disposition: attachment\r\n\r\n"
                            "alphabet\r\n--b--\r\n",
                            STR_ARG(text), STR_ARG(word));
    case 3:
        return arena_printf(arena,
                            "Content-Type: message/rfc822\r\n\r\nSubject: %.*s\r\n\r\n"
                            "%.*s\r\n",
                            STR_ARG(word), STR_ARG(text));
    default:
        return arena_printf(arena, "Content-Type: text/plain; charset=utf-8\r\n\r\n%.*s\r\n",
                            STR_ARG(text));
    }
}

struct text {
    struct str subject, from, to, label, body, all; /* folded */
    struct str plain_subject;
    bool has_label;
    unsigned flags; /* 1 seen, 2 flagged */
    int64_t day, sent_day;
    bool has_sent_day;
    size_t size;
};

static struct str fold(struct arena *arena, struct str text)
{
    struct str folded;
    struct buf out;

    buf_init(&out, SIZE_MAX);
    message_fold(text, &out);
    folded = arena_copy(arena, buf_str(&out));
    buf_free(&out);
    return folded;
}

static struct str say(struct imap_session *s, struct arena *arena, struct str text)
{
    struct str output;

    imap_session_input(s, text, NOW_MS);
    while (imap_session_wants(s) == IMAP_WANTS_TURN)
        imap_session_resume(s, NOW_MS);
    output = arena_copy(arena, imap_session_output(s));
    imap_session_consume_output(s, SIZE_MAX);
    return output;
}

static struct str whole_text(struct task *task, const struct message_summary *summary,
                             struct str raw, bool with_headers)
{
    struct str text;
    struct buf out;

    buf_init(&out, SIZE_MAX);
    message_text(&summary->structure, raw, with_headers, &out);
    text = fold(&task->arena, buf_str(&out));
    buf_free(&out);
    return text;
}

static struct str make_message(struct arena *arena, struct text *text, struct str label)
{
    struct str date = STR(""), from = encoded_word(arena, random_word()), to = random_word();
    struct str subject = header_text(arena, random_words(arena, 3)), body = random_body(arena);

    text->has_sent_day = random_to(8) != 0;
    if (text->has_sent_day)
        date = arena_printf(arena, "Date: Mon, %u Jan 2026 23:30:00 -0500\r\n",
                            1 + (unsigned)random_to(28));
    return arena_printf(arena,
                        "From: %.*s <a%u@example.org>\r\nTo: \"%.*s\" <b@example.net>\r\n"
                        "Subject: %.*s\r\n%.*s%.*sMIME-Version: 1.0\r\n%.*s",
                        STR_ARG(from), random_to(5), STR_ARG(to), STR_ARG(subject), STR_ARG(date),
                        STR_ARG(label), STR_ARG(body));
}

static void append(struct imap_session *s, struct task *task, struct text *text)
{
    struct arena *arena = &task->arena;
    struct str label = random_to(3) == 0 ? random_words(arena, 2) : STR(""), raw, answer;
    struct message_summary summary;
    uint32_t day = 1 + random_to(28);

    text->has_label = label.len > 0;
    text->label = fold(arena, label);
    if (label.len > 0) {
        struct str word = encoded_word(arena, label);

        label = arena_printf(arena, "X-Label: %.*s\r\n", STR_ARG(word));
    }
    raw = make_message(arena, text, label);
    message_parse(task, raw, &summary);
    text->plain_subject = summary.subject;
    text->subject = fold(arena, summary.subject);
    text->from = fold(arena, summary.from);
    text->to = fold(arena, summary.to);
    text->body = whole_text(task, &summary, raw, false);
    text->all = whole_text(task, &summary, raw, true);
    text->sent_day = summary.sent_day;
    assert_true(text->has_sent_day == summary.sent_is_known);
    text->size = raw.len;
    /* Flags that a few have, or nearly all. */
    text->flags = (random_to(50) != 0 ? 1u : 0u) | (random_to(60) == 0 ? 2u : 0u);
    text->day = INT64_C(20454) + day - 1; /* 2026-01-01 */
    answer = say(s, arena,
                 arena_printf(arena,
                              "a APPEND INBOX (%s%s) \"%02u-Jan-2026 12:00:00 +0000\" "
                              "{%zu+}\r\n%.*s\r\n",
                              text->flags & 1 ? "\\Seen" : "",
                              text->flags == 2  ? "\\Flagged"
                              : text->flags & 2 ? " \\Flagged"
                                                : "",
                              day, raw.len, STR_ARG(raw)));
    if (!str_starts_with(answer, STR("a OK")))
        fail_msg("%.*s: %.*s", STR_ARG(raw), STR_ARG(answer));
}

/* ---- Trees ---- */

enum kind {
    AND,
    OR,
    NOT,
    SEEN,
    FLAGGED,
    ABSENT, /* a flag that none has */
    NUMBERS,
    UIDS,
    SINCE,
    SENTBEFORE,
    LARGER,
    SUBJECT,
    FROM,
    TO,
    BODY,
    TEXT,
    LABEL,
    REGEX,
    FUZZY,
    KINDS,
};

struct tree {
    enum kind kind;
    struct tree *left, *right;
    uint32_t number;
    struct str key;
};

static struct str random_key(struct arena *arena)
{
    struct str key = random_words(arena, random_to(4) == 0 ? 2 : 1);
    size_t start, end;

    if (random_to(3) != 0)
        return key;
    start = random_to((uint32_t)key.len);
    end = start + 1 + random_to((uint32_t)key.len);
    while (start < key.len && ((unsigned char)key.ptr[start] & 0xc0) == 0x80)
        start++;
    while (end < key.len && ((unsigned char)key.ptr[end] & 0xc0) == 0x80)
        end++;
    key = str_trim(str_from(str_upto(key, end), start));
    return key.len > 0 ? key : STR("e");
}

static struct tree *random_tree(struct arena *arena, int depth)
{
    struct tree *tree = ARENA_NEW(arena, struct tree);

    tree->kind = (enum kind)random_to(depth == 0 ? KINDS : KINDS + 6);
    if (tree->kind >= KINDS || (depth == 0 && tree->kind <= NOT))
        tree->kind = depth == 0 ? SEEN : AND;
    if (tree->kind <= NOT) {
        tree->left = random_tree(arena, depth - 1);
        tree->right = random_tree(arena, depth - 1);
    }
    tree->number = random_to(MESSAGES);
    tree->key = random_key(arena);
    if (tree->kind == REGEX) /* plain letters: what they match is plain, too */
        tree->key = str_from_c(WORDS[random_to(4)]);
    return tree;
}

static struct str literal(struct arena *arena, const char *name, struct str key)
{
    return arena_printf(arena, "%s {%zu+}\r\n%.*s", name, key.len, STR_ARG(key));
}

static struct str write_tree(struct arena *arena, const struct tree *tree)
{
    struct str left = tree->left == NULL ? STR("") : write_tree(arena, tree->left);
    struct str right = tree->right == NULL ? STR("") : write_tree(arena, tree->right);

    switch (tree->kind) {
    case AND:
        return arena_printf(arena, "(%.*s %.*s)", STR_ARG(left), STR_ARG(right));
    case OR:
        return arena_printf(arena, "OR %.*s %.*s", STR_ARG(left), STR_ARG(right));
    case NOT:
        return arena_printf(arena, "NOT %.*s", STR_ARG(left));
    case SEEN:
        return STR("SEEN");
    case FLAGGED:
        return STR("FLAGGED");
    case ABSENT:
        return tree->number % 2 == 0 ? STR("DRAFT") : STR("KEYWORD $Nobody");
    case NUMBERS:
        return arena_printf(arena, "%u:%u", tree->number / 2 + 1, tree->number + 1);
    case UIDS:
        return arena_printf(arena, "UID %u:*", tree->number + 1);
    case SINCE:
        return arena_printf(arena, "SINCE %u-Jan-2026", tree->number % 28 + 1);
    case SENTBEFORE:
        return arena_printf(arena, "SENTBEFORE %u-Jan-2026", tree->number % 28 + 1);
    case LARGER:
        return arena_printf(arena, "LARGER %u", 200 + tree->number % 300);
    case SUBJECT:
        return literal(arena, "SUBJECT", tree->key);
    case FROM:
        return literal(arena, "FROM", tree->key);
    case TO:
        return literal(arena, "TO", tree->key);
    case BODY:
        return literal(arena, "BODY", tree->key);
    case TEXT:
        return literal(arena, "TEXT", tree->key);
    case LABEL:
        return literal(arena, "HEADER x-label", tree->key);
    case REGEX:
        return literal(arena, "REGEX SUBJECT", tree->key);
    case FUZZY:
        return literal(arena, "FUZZY BODY", tree->key);
    case KINDS:
        break;
    }
    return STR("ALL");
}

static bool has(struct arena *arena, struct str text, struct str key)
{
    return str_find(text, fold(arena, key)) >= 0;
}

static bool is_letter(char c)
{
    return (unsigned char)c >= 0x80 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9');
}

static bool has_all_words(struct arena *arena, struct str text, struct str key)
{
    size_t start = 0, words = 0;

    for (size_t i = 0; i <= key.len; i++) {
        if (i < key.len && is_letter(key.ptr[i]))
            continue;
        if (i > start) {
            words++;
            if (!has(arena, text, str_from(str_upto(key, i), start)))
                return false;
        }
        start = i + 1;
    }
    return words > 0 || has(arena, text, key);
}

static bool matches(struct arena *arena, const struct tree *tree, const struct text *text,
                    uint32_t number)
{
    switch (tree->kind) {
    case AND:
        return matches(arena, tree->left, text, number) &&
               matches(arena, tree->right, text, number);
    case OR:
        return matches(arena, tree->left, text, number) ||
               matches(arena, tree->right, text, number);
    case NOT:
        return !matches(arena, tree->left, text, number);
    case SEEN:
        return (text->flags & 1) != 0;
    case FLAGGED:
        return (text->flags & 2) != 0;
    case ABSENT:
        return false;
    case NUMBERS:
        return number >= tree->number / 2 + 1 && number <= tree->number + 1;
    case UIDS:
        return number >= tree->number + 1;
    case SINCE:
        return text->day >= 20454 + tree->number % 28;
    case SENTBEFORE:
        return text->has_sent_day && text->sent_day < 20454 + tree->number % 28;
    case LARGER:
        return text->size > 200 + tree->number % 300;
    case SUBJECT:
        return has(arena, text->subject, tree->key);
    case FROM:
        return has(arena, text->from, tree->key);
    case TO:
        return has(arena, text->to, tree->key);
    case BODY:
        return has(arena, text->body, tree->key);
    case TEXT:
        return has(arena, text->all, tree->key);
    case LABEL:
        return text->has_label && has(arena, text->label, tree->key);
    case REGEX:
        return has(arena, text->subject, tree->key);
    case FUZZY:
        return has_all_words(arena, text->body, tree->key);
    case KINDS:
        break;
    }
    return true;
}

static void check_tree(struct imap_session *s, const struct text *texts)
{
    struct arena arena = {0};
    const struct tree *tree = random_tree(&arena, DEPTH);
    struct str written = write_tree(&arena, tree), answer;
    struct buf expected;

    buf_init(&expected, SIZE_MAX);
    buf_put(&expected, STR("* SEARCH"));
    for (uint32_t i = 0; i < MESSAGES; i++)
        if (matches(&arena, tree, &texts[i], i + 1))
            buf_putf(&expected, " %u", i + 1);
    buf_put(&expected, STR("\r\n"));
    answer = say(s, &arena, arena_printf(&arena, "c SEARCH %.*s\r\n", STR_ARG(written)));
    if (!str_starts_with(answer, buf_str(&expected)))
        fail_msg("%.*s: expected %.*s, not %.*s", STR_ARG(written), (int)expected.len, expected.ptr,
                 STR_ARG(answer));
    buf_free(&expected);
    arena_free(&arena);
}

static void test_trees(void **state)
{
    (void)state;
    struct transcript_vault *home = transcript_vault_new(&quiet);
    struct imap_options options = {
        .hostname = STR("x"), .append_limit_bytes = 100000, .is_secure = true, .log = &quiet};
    struct imap_session *s =
        imap_session_resume_authenticated(&options, transcript_vault(home), STR("L"));
    static struct text texts[MESSAGES];
    struct task task;

    assert_int_equal(INT64_C(20454) * DAY_MS, INT64_C(1767225600000));
    task_init(&task, NOW_MS);
    say(s, &task.arena, STR("z NOOP\r\n")); /* with the login's answer before it */
    for (size_t i = 0; i < MESSAGES; i++)
        append(s, &task, &texts[i]);
    say(s, &task.arena, STR("b SELECT INBOX\r\n"));
    for (int is_indexed = 0; is_indexed < 2; is_indexed++) {
        bool has_more = true;

        for (size_t i = 0; i < TREES / 2; i++)
            check_tree(s, texts);
        while (is_indexed == 0 && has_more)
            assert_int_equal(vault_housekeeping(transcript_vault(home), &task, &has_more), ERR_OK);
    }
    imap_session_free(&s);
    task_done(&task);
    transcript_vault_free(&home);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_trees)};

    transcript_vault_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
