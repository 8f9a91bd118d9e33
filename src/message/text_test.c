/* Decoding, charsets, HTML, searchable text, folding. */
#include "message/charset.h"
#include "message/html.h"
#include "message/message.h"
#include "message/transfer.h"

#include <glib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define BAD "\xef\xbf\xbd"

static void assert_text(const char *rule, struct str found, const char *expected)
{
    if (!str_equal(found, str_from_c(expected)))
        fail_msg("%s:\n  found    %.*s\n  expected %s", rule, STR_ARG(found), expected);
}

static void test_decode(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        enum message_encoding encoding;
        const char *body, *expected;
    } rows[] = {
        {"base64", MESSAGE_ENCODING_BASE64, "SGVs\r\nbG8=\r\n", "Hello"},
        {"base64 without padding", MESSAGE_ENCODING_BASE64, "SGVsbG8", "Hello"},
        {"base64 two together", MESSAGE_ENCODING_BASE64, "SGk=SGk=", "HiHi"},
        {"base64 junk is skipped", MESSAGE_ENCODING_BASE64, "S*G-V_s", "Hel"},
        {"base64 one left", MESSAGE_ENCODING_BASE64, "SGVsb", "Hel"},
        {"base64 nothing", MESSAGE_ENCODING_BASE64, "====\r\n", ""},
        {"quoted-printable", MESSAGE_ENCODING_QUOTED_PRINTABLE, "a=3Db=\r\nc=\nd=e9=  \r\n",
         "a=bcd\xe9"},
        {"quoted-printable errors", MESSAGE_ENCODING_QUOTED_PRINTABLE, "=ZZ =4 =", "=ZZ =4 "},
        {"7bit", MESSAGE_ENCODING_7BIT, "=41", "=41"},
        {"unknown", MESSAGE_ENCODING_OTHER, "=41", "=41"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out;

        buf_init(&out, SIZE_MAX);
        message_decode_body(rows[i].encoding, str_from_c(rows[i].body), &out);
        assert_text(rows[i].rule, buf_str(&out), rows[i].expected);
        buf_free(&out);
    }
    /* The same in two pieces, wherever it is cut. */
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str body = str_from_c(rows[i].body);

        for (size_t cut = 0; cut <= body.len; cut++) {
            struct transfer transfer;
            struct buf out;

            buf_init(&out, SIZE_MAX);
            transfer_init(&transfer, rows[i].encoding);
            transfer_feed(&transfer, str_upto(body, cut), &out);
            transfer_feed(&transfer, str_from(body, cut), &out);
            transfer_end(&transfer, &out);
            assert_text(rows[i].rule, buf_str(&out), rows[i].expected);
            buf_free(&out);
        }
    }
}

static void test_charsets(void **state)
{
    (void)state;
    static const struct {
        const char *charset;
        struct str bytes;
        const char *expected;
    } rows[] = {
        {"utf-8", STR_INIT("\xc3\xa4"), "ä"},
        {"UTF-8", STR_INIT("a\xff\xc3"), "a" BAD BAD},
        {"utf-8", STR_INIT("\xed\xa0\x80\xc0\x80"), BAD BAD BAD BAD BAD},
        {"us-ascii", STR_INIT("a\xe4"), "a" BAD},
        {"us-ascii", STR_INIT("\xc3\xa4"), "ä"},
        {"", STR_INIT("a\0b"), "a" BAD "b"},
        {"iso-8859-1", STR_INIT("\xe4\x80"), "ä€"},
        {"windows-1252", STR_INIT("\x93q\x94"), "“q”"},
        {"iso-8859-2", STR_INIT("\xb3"), "ł"},
        {"iso-8859-15", STR_INIT("\xa4"), "€"},
        {"koi8-r", STR_INIT("\xc1"), "а"},
        {"Windows-1251", STR_INIT("\xe0\x98"), "а" BAD},
        {"iso-8859-8-i", STR_INIT("\xe0"), "א"},
        {"tis-620", STR_INIT("\xa1"), "ก"},
        {"cp437", STR_INIT("\x84\xe1"), "äß"},
        {"viscii", STR_INIT("\xd5"), "ạ"},
        {"gb2312", STR_INIT("\xc4\xe3"), "你"},
        {"big5", STR_INIT("\xa7\x41"), "你"},
        {"shift_jis", STR_INIT("\x93\x8c"), "東"},
        {"iso-2022-jp", STR_INIT("\x1b$BEl\x1b(B"), "東"},
        {"euc-kr", STR_INIT("\xb0\xa1"), "가"},
        {"utf-7", STR_INIT("+AOQ-"), "ä"},
        {"utf-16le", STR_INIT("a\0\xe4\0"), "aä"},
        {"utf-16le", STR_INIT("a\0\0\0"), "a" BAD},
        {"iso-2022-kr", STR_INIT("\x1b$)C\x0e\x30\x21\x0f"), "가"},
        {"hz-gb-2312", STR_INIT("a~~~{Dc~}~\nb ~{DcDc\nDc~{Dc~"), "a~你b 你你\nDc你~"},
        {"utf-32be", STR_INIT("\0\0\0\xe4"), "ä"},
        {"x-", STR_INIT("caf\xc3\xa9"), "café"},
        /* the same charsets by other names */
        {"ISO_8859-1:1987", STR_INIT("\xe4"), "ä"},
        {"csISOLatin1", STR_INIT("\xe4"), "ä"},
        {"iso88591", STR_INIT("\xe4"), "ä"},
        {"cp-1252", STR_INIT("\x80"), "€"},
        {"x-cp1251", STR_INIT("\xe0"), "а"},
        {"KOI8_R", STR_INIT("\xc1"), "а"},
        {"x-euc-jp", STR_INIT("\xc5\xec"), "東"},
        {"cp50221", STR_INIT("\x1b$BEl\x1b(B"), "東"},
        {"MS_Kanji", STR_INIT("\x93\x8c"), "東"},
        {"windows-936", STR_INIT("\xc4\xe3"), "你"},
        {"x-x-big5", STR_INIT("\xa7\x41"), "你"},
        {"KS_C_5601-1989", STR_INIT("\xb0\xa1"), "가"},
        {"utf_8", STR_INIT("\xc3\xa4"), "ä"},
        {"x-none", STR_INIT("\xc3\xa4"), "ä"},
        {"x-none", STR_INIT("a\xe4"), "a" BAD},
        {"utf-8//TRANSLIT", STR_INIT("\xe4"), BAD},
        {"../../x", STR_INIT("\xe4"), BAD},
    };

    message_init_library();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out;

        buf_init(&out, SIZE_MAX);
        charset_to_utf8(str_from_c(rows[i].charset), rows[i].bytes, &out);
        assert_text(rows[i].charset, buf_str(&out), rows[i].expected);
        buf_free(&out);
    }
}

/* A sandboxed process can open nothing: what message_init_library loaded must stay. */
static void test_charsets_without_files(void **state)
{
    (void)state;
    static const struct {
        struct str charset, bytes;
        const char *expected;
    } rows[] = {
        {STR_INIT("gb18030"), STR_INIT("\xc4\xe3"), "你"},
        {STR_INIT("big5"), STR_INIT("\xa7\x41"), "你"},
        {STR_INIT("euc-jp"), STR_INIT("\xc5\xec"), "東"},
        {STR_INIT("iso-2022-jp"), STR_INIT("\x1b$BEl\x1b(B"), "東"},
        {STR_INIT("shift_jis"), STR_INIT("\x93\x8c"), "東"},
        {STR_INIT("euc-kr"), STR_INIT("\xb0\xa1"), "가"},
        {STR_INIT("cp936"), STR_INIT("\xc4\xe3"), "你"},
        {STR_INIT("windows-950"), STR_INIT("\xa7\x41"), "你"},
        {STR_INIT("iso-2022-kr"), STR_INIT("\x1b$)C\x0e\x30\x21\x0f"), "가"},
        {STR_INIT("hz-gb-2312"), STR_INIT("~{Dc~}"), "你"},
        {STR_INIT("iso-2022-jp-1"), STR_INIT("\x1b$BEl\x1b(B"), "東"},
        {STR_INIT("utf-32le"), STR_INIT("\xe4\0\0\0"), "ä"},
        {STR_INIT("utf-7"), STR_INIT("+AOQ-"), "ä"},
        {STR_INIT("utf-16"), STR_INIT("\xff\xfe\xe4\0"), "ä"},
        {STR_INIT("viscii"), STR_INIT("a\xd5"), "a" BAD}, /* not loaded: no failure */
    };
    int status = 0;
    pid_t child;

    message_init_library();
    child = fork();
    if (child == 0) {
        const struct rlimit none = {0, 0};
        int failed = setrlimit(RLIMIT_NOFILE, &none) == 0 ? 0 : 100;

        for (int round = 0; round < 20; round++) {
            for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct buf out;

                buf_init(&out, SIZE_MAX);
                charset_to_utf8(rows[i].charset, rows[i].bytes, &out);
                if (!str_equal(buf_str(&out), str_from_c(rows[i].expected)))
                    failed = (int)i + 1;
                buf_free(&out);
            }
        }
        _exit(failed);
    }
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    assert_int_equal(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0);
}

/* In steps of so many bytes: they must not show. */
static void html_text(struct str html, size_t step, struct buf *out)
{
    struct html_reader reader = {.html = html};

    assert_int_equal(buf_reserve(out, html.len + 1, &reader.room), ERR_OK);
    while (html_reader_step(&reader, step))
        continue;
    buf_commit(out, reader.len);
}

static void test_html(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *html, *expected;
    } rows[] = {
        {"inline tags join", "<p>a<b>b</b>c</p>", "abc"},
        {"others part", "<td>a</td><td>b</td>c<br>d", "a\nb\nc\nd"},
        {"white space is one blank", " a \r\n\t b ", "a b"},
        {"references", "&auml;&#228;&#xE4;&amp;&nbsp;x&lt;", "äää& x<"},
        {"what is none stays", "a & b &unknown; &#xzz; &#9999999999; &",
         "a & b &unknown; &#xzz; &#9999999999; &"},
        {"surrogates and NUL vanish", "a&#xd800;&#0;b", "ab"},
        {"soft hyphen",
         "foot&shy;ball foot\xc2\xad"
         "ball \xc2",
         "football football \xc2"},
        {"references to what is no letter", "&hearts;&rArr;&thetasym;&AMP;", "♥⇒ϑ&"},
        {"no semicolon: Latin-1 alone", "caf&eacute &copy2026 &notit; x&ltb>y &hearts &apos &amp",
         "café ©2026 ¬it; x<b>y &hearts &apos &"},
        {"no semicolon: numbers", "&#233t&#xe9,&#228", "été,ä"},
        {"numbers of controls are windows-1252's", "don&#146;t &#x80;&#129;", "don’t €" BAD},
        {"no-break spaces", "a&nbsp; b\xc2\xa0 c\xc2\xa0", "a b c"},
        {"many zeros", "&#000000000000228;", "ä"},
        {"comments, styles, scripts", "a<!-- x > y -->b<style>c</style><script>d<p></script >e",
         "ab\ne"},
        {"a quoted >", "<a href=\"x>y\">z</a>", "z"},
        {"a quote inside a value", "<p title=don't>a</p> it's b", "a\nit's b"},
        {"a quote inside a name", "<p don't>a</p><p'>b</p><a/it's='>'>c</a>", "a\nb\nc"},
        {"a quote behind a value", "<p a='>'\">b</p><p a='>'c=\">\">d</p>", "b\nd"},
        {"blanks around =", "<p a = '>'>b</p><p a\n=\n\">\">c</p>", "b\nc"},
        {"a quote behind a blank", "<p a '>b</p><p a=b '>c</p>", "b\nc"},
        {"= that begins a name", "<p =\">a</p><p a/=\">b</p><p=\">c</p>", "a\nb\nc"},
        {"/ and = in a value", "<a href=/b=\">c</a><a b=//'>d</a>", "cd"},
        {"no value", "<p a=>b</p><p a= >c</p>'\"", "b\nc\n'\""},
        {"an end tag's quote", "<b>a</b it's>b</b title='>'>c", "abc"},
        {"an open quote", "<a href=\"x>y", "y"},
        {"an open quote before a closed one", "<a b=\"x c='>'>y", "y"},
        {"an open tag", "a<p title=don't b", "a"},
        {"empty comments", "<!-->a<!--->b<!---->c", "abc"},
        {"comments ended by --!>", "a<!-- b --!>c<!----!>d<!-- ---!>e", "acde"},
        {"what ends no comment", "a<!--!>b<!--- --!>c<!---!> --!->  -- > -!> -->d", "acd"},
        {"an open comment", "a<!-- b", "a"},
        {"a comment open at its end", "a<!-- b --!", "a"},
        {"an open script", "a<script>b</scr", "a"},
        {"not a tag", "1 < 2 <3 <> x", "1 < 2 <3 <> x"},
        {"a declaration", "<!DOCTYPE html>a<?xml x?>b", "ab"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str html = str_from_c(rows[i].html);

        for (size_t step = 1; step <= html.len; step++) {
            struct buf out;

            buf_init(&out, SIZE_MAX);
            html_text(html, step, &out);
            assert_text(rows[i].rule, buf_str(&out), rows[i].expected);
            buf_free(&out);
        }
    }
}

/* A link's parameters are not references, unless they say so. */
static void test_html_attribute(void **state)
{
    static const struct {
        const char *value, *expected;
    } rows[] = {
        {"?a=1&copy=2&reg3=4", "?a=1&copy=2&reg3=4"},
        {"?a=1&amp;copy=2&copy;&#233;", "?a=1&copy=2©é"},
        {"caf&eacute", "café"},
        {"a&copy b", "a© b"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char room[100];
        struct html_reader reader = {
            .html = str_from_c(rows[i].value), .room = room, .is_attribute = true};

        while (html_reader_step(&reader, SIZE_MAX))
            continue;
        assert_text(rows[i].value, str_make(room, reader.len), rows[i].expected);
    }
}

static void test_message_text(void **state)
{
    (void)state;
    const struct str raw = STR(
        "Subject: =?utf-8?q?=C3=A4?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        "Content-Type: text/html; charset=iso-8859-1\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n<p>=E4</p>\r\n--b\r\n"
        "Content-Type: image/png; name*=utf-8''%C3%A4.png\r\n\r\nPNG\r\n--b\r\n"
        "Content-Type: message/delivery-status\r\n\r\nStatus: 5.1.1\r\n--b\r\n"
        "Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nbody\r\n--b--\r\n");
    struct message_summary summary;
    struct task task;
    struct buf out;

    task_init(&task, 0);
    buf_init(&out, SIZE_MAX);
    message_parse(&task, raw, &summary);
    message_text(&summary.structure, raw, false, &out);
    assert_text("body", buf_str(&out), "ä\nä.png\nStatus: 5.1.1\nbody\n");
    buf_reset(&out);
    message_text(&summary.structure, raw, true, &out);
    assert_true(str_starts_with(buf_str(&out), STR("Subject: ä\nContent-Type: multipart/mixed;")));
    assert_true(str_find(buf_str(&out), STR("\nSubject: inner\n")) > 0);
    assert_true(str_ends_with(buf_str(&out), STR("\nä\nä.png\nStatus: 5.1.1\nbody\n")));
    buf_free(&out);
    task_done(&task);
}

static struct str repeated(struct buf *out, const char *head, const char *unit, size_t len)
{
    buf_put(out, str_from_c(head));
    while (out->len < len)
        buf_put(out, str_from_c(unit));
    return buf_str(out);
}

/* What a hostile message makes of its bytes, in every stage: steps of 1 KiB are many, each does
 * little, and together they make what is made at once. */
static void test_text_in_steps(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *head, *unit;
    } rows[] = {
        {"words", "Subject: x\r\n\r\n", "word after word "},
        {"header fields", "Subject: x\r\n", "X: y\r\n"},
        {"marks to be ordered", "Content-Type: text/plain; charset=utf-8\r\n\r\n",
         "\xcc\x81\xcc\xa3\xcd\x85"},
        {"letters over 127", "Content-Type: text/plain; charset=utf-8\r\n\r\n", "\xe5\x95\x8a"},
        {"Latin 1", "Content-Type: text/plain; charset=iso-8859-1\r\n\r\n", "\xc4\xd6 "},
        {"bytes of no charset", "\r\n", "\xff\xfe\xe9"},
        {"a converter", "Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n", "\x1b$B0!\x1b(B"},
        {"a converter's errors", "Content-Type: text/plain; charset=gb18030\r\n\r\n", "\xff\xff"},
        {"tags", "Content-Type: text/html\r\n\r\n", "<b>a</b>&eacute;<br>"},
        {"base64",
         "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n"
         "\r\n",
         "PGI+w6Q8L2I+\r\n"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct message_text_maker *maker;
        struct message_summary summary;
        struct buf raw, text, folded;
        struct task task;
        size_t steps = 1;

        task_init(&task, 0);
        buf_init(&raw, SIZE_MAX);
        buf_init(&text, SIZE_MAX);
        buf_init(&folded, SIZE_MAX);
        message_parse(&task, repeated(&raw, rows[i].head, rows[i].unit, 100 * 1000), &summary);
        message_text(&summary.structure, buf_str(&raw), true, &text);
        message_fold(buf_str(&text), &folded);
        maker = message_text_maker_new(&summary.structure, buf_str(&raw), false);
        while (message_text_maker_step(maker, 1024))
            steps++;
        if (!str_equal(message_text_maker_text(maker, true), buf_str(&folded)))
            fail_msg("%s: not the same text", rows[i].rule);
        if (steps < 10)
            fail_msg("%s: %zu steps", rows[i].rule, steps);
        message_text_maker_free(&maker);
        /* Given up in the middle, it leaves nothing behind. */
        maker = message_text_maker_new(&summary.structure, buf_str(&raw), false);
        for (size_t step = 0; step < steps / 2; step++)
            (void)message_text_maker_step(maker, 1024);
        message_text_maker_free(&maker);
        buf_free(&raw);
        buf_free(&text);
        buf_free(&folded);
        task_done(&task);
    }
}

static void test_fold(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } rows[] = {
        {"Hello_World 123", "HELLO_WORLD 123"},
        {"ÄÖ", "A\xcc\x88O\xcc\x88"},
        {"a\xcc\x88", "A\xcc\x88"}, /* both spellings are one */
        {"Straße", "STRAßE"},       /* no simple title case */
        {"Σσς", "ΣΣΣ"},
        {"ı", "I"},
        {"İ", "I\xcc\x87"},
        {"ﬁ", "fi"}, /* decomposed after the case */
        {"ǆ", "Dz\xcc\x8c"},
        {"Ａａ", "AA"}, /* full width */
        {"\xc2\xa0", " "},
        {"Привет, йод", "ПРИВЕТ, И\xcc\x86ОД"},
        {"東京\xef\xbf\xbd", "東京\xef\xbf\xbd"},
        {"が", "か\xe3\x82\x99"},
        {"가", "\xe1\x84\x80\xe1\x85\xa1"},
        {"Ꭰꭰ", "ᎠᎠ"},
        {"a\xff"
         "B\xc3",
         "A\xff"
         "B\xc3"},
        {"\xcc\x81x", "\xcc\x81X"},
        {"Ⅳⅳ", "IVIV"}, /* cases of what is no letter */
        {"Ⓐⓐ", "AA"},
        {"ᾳα\xcd\x85", "Α\xcd\x85Α\xcd\x85"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out;

        buf_init(&out, SIZE_MAX);
        message_fold(str_from_c(rows[i].text), &out);
        assert_text(rows[i].text, buf_str(&out), rows[i].expected);
        buf_free(&out);
    }
}

/* Every character: the quick way gives what Unicode's tables say. */
static void test_fold_all(void **state)
{
    (void)state;
    for (gunichar code = 1; code < 0x20000; code++) {
        bool is_numeral = code >= 0x2170 && code <= 0x217f,
             is_circled = code >= 0x24d0 && code <= 0x24e9;
        gunichar title = is_numeral   ? code - 0x10
                         : is_circled ? code - 0x1a
                                      : g_unichar_totitle(code);
        gunichar decomposed[G_UNICHAR_MAX_DECOMPOSITION_LENGTH];
        gsize count = g_unichar_fully_decompose(title, TRUE, decomposed, G_N_ELEMENTS(decomposed));
        g_autofree char *expected = g_ucs4_to_utf8(decomposed, (glong)count, NULL, NULL, NULL);
        char text[8];
        struct buf out;

        if (code >= 0xd800 && code <= 0xdfff)
            continue;
        buf_init(&out, SIZE_MAX);
        message_fold(str_make(text, (size_t)g_unichar_to_utf8(code, text)), &out);
        if (!str_equal(buf_str(&out), str_from_c(expected)))
            fail_msg("U+%04X: %.*s, not %s", code, STR_ARG(buf_str(&out)), expected);
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_charsets_without_files),
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_charsets),
        cmocka_unit_test(test_html),
        cmocka_unit_test(test_html_attribute),
        cmocka_unit_test(test_message_text),
        cmocka_unit_test(test_text_in_steps),
        cmocka_unit_test(test_fold),
        cmocka_unit_test(test_fold_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
