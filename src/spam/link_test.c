/* Links as browsers read them. */
#include "spam/link.h"

#include "message/structure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct task task;

static void test_urls(void **state)
{
    static const struct {
        struct str url, host, userinfo;
        bool is_ip, is_link, is_inline;
    } rows[] = {
        {STR_INIT("http://Example.COM/path"), STR_INIT("example.com"), STR_INIT(""), false, true, false},
        {STR_INIT("HTTPS://example.com:8443?q"), STR_INIT("example.com"), STR_INIT(""), false, true, false},
        {STR_INIT("http:\\\\example.com\\x"), STR_INIT("example.com"), STR_INIT(""), false, true, false},
        {STR_INIT("http:example.com"), STR_INIT("example.com"), STR_INIT(""), false, true, false},
        {STR_INIT("//example.com/x"), STR_INIT("example.com"), STR_INIT(""), false, true, false},
        {STR_INIT("http://www.bank.example@evil.example/"), STR_INIT("evil.example"),
         STR_INIT("www.bank.example"), false, true, false},
        {STR_INIT("http://a@b@evil.example"), STR_INIT("evil.example"), STR_INIT("a@b"), false, true, false},
        {STR_INIT("http://ex%61mple.com/"), STR_INIT("example.com"), STR_INIT(""), false, true, false},
        {STR_INIT("http://example.com./"), STR_INIT("example.com"), STR_INIT(""), false, true, false},
        {STR_INIT("http://192.0.2.1/"), STR_INIT("192.0.2.1"), STR_INIT(""), true, true, false},
        {STR_INIT("http://3221225985/"), STR_INIT("3221225985"), STR_INIT(""), true, true, false},
        {STR_INIT("http://0xC0.0.0x2.1/"), STR_INIT("0xc0.0.0x2.1"), STR_INIT(""), true, true, false},
        {STR_INIT("http://[2001:db8::1]:80/"), STR_INIT("[2001:db8::1]"), STR_INIT(""), true, true, false},
        {STR_INIT("http://1.2.3.example/"), STR_INIT("1.2.3.example"), STR_INIT(""), false, true, false},
        {STR_INIT("mailto:me@example.com"), STR_INIT(""), STR_INIT(""), false, false, false},
        {STR_INIT("#top"), STR_INIT(""), STR_INIT(""), false, false, false},
        {STR_INIT("/path"), STR_INIT(""), STR_INIT(""), false, false, false},
        {STR_INIT("http://"), STR_INIT(""), STR_INIT(""), false, false, false},
        {STR_INIT("JavaScript:alert(1)"), STR_INIT(""), STR_INIT(""), false, true, true},
        {STR_INIT("data:text/html,x"), STR_INIT(""), STR_INIT(""), false, true, true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct spam_link link;
        bool is_link = spam_link_parse(&task, rows[i].url, &link);

        if (is_link != rows[i].is_link ||
            (is_link && (!str_equal(link.host, rows[i].host) || link.is_ip != rows[i].is_ip ||
                         !str_equal(link.userinfo, rows[i].userinfo) ||
                         link.is_inline != rows[i].is_inline)))
            fail_msg("%.*s: %.*s", STR_ARG(rows[i].url), STR_ARG(link.host));
    }
}

static void test_shown(void **state)
{
    static const struct {
        struct str text, host;
    } rows[] = {
        {STR_INIT("www.example.com"), STR_INIT("www.example.com")},
        {STR_INIT(" https://Example.com/a "), STR_INIT("example.com")},
        {STR_INIT("example.com/login"), STR_INIT("example.com")},
        {STR_INIT("click here"), STR_INIT("")},
        {STR_INIT("me@example.com"), STR_INIT("")},
        {STR_INIT("3.14"), STR_INIT("")},
        {STR_INIT("v1.2.3"), STR_INIT("")},
        {STR_INIT("Sign in"), STR_INIT("")},
        {STR_INIT("..."), STR_INIT("")},
        {STR_INIT(""), STR_INIT("")},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str host = spam_link_host_shown(&task, rows[i].text);

        if (!str_equal(host, rows[i].host))
            fail_msg("%.*s: %.*s", STR_ARG(rows[i].text), STR_ARG(host));
    }
}

static size_t find(const char *type, const char *body, struct spam_link **out)
{
    struct str message = arena_printf(
        &task.arena, "Content-Type: text/%s; charset=utf-8\r\n\r\n%s", type, body);
    struct message_structure structure;
    struct structure_notes *notes;
    struct spam_view *view = ARENA_NEW(&task.arena, struct spam_view);
    size_t count;

    structure_scan(&task.arena, message, &structure, &notes);
    spam_view_make(&task, message, &structure, view);
    spam_link_find(&task, view, out, &count);
    return count;
}

static void test_finding(void **state)
{
    struct spam_link *links;

    (void)state;
    assert_int_equal(find("html",
                          "<p>x <A class='b' HREF = 'http://a.example/?x=1&amp;y=2'>the <b>shown</b> "
                          "text</A> <a\nhref=http://b.example/>www.c.example</a> <abbr href=\"http://no/\">"
                          "<form method=post action=\"http://d.example/\">",
                          &links),
                     4);
    assert_true(str_equal(links[0].url, STR("http://a.example/?x=1&y=2")));
    assert_true(str_equal(links[0].shown, STR("the shown text")));
    assert_true(str_equal(links[1].host, STR("b.example")));
    assert_true(str_equal(links[1].shown, STR("www.c.example")));
    assert_true(str_equal(links[2].host, STR("d.example")));
    assert_true(str_equal(links[3].host, STR("www.c.example"))); /* as a text, too */
    assert_int_equal(find("plain", "see http://a.example/x. Or <https://b.example>, www.c.example!", &links), 3);
    assert_true(str_equal(links[0].url, STR("http://a.example/x")));
    assert_true(str_equal(links[1].host, STR("b.example")));
    /* An apostrophe is a quote only where a value begins. */
    assert_int_equal(find("html", "<a title=don't></a><a href=http://a.example/>it's</a>", &links),
                     1);
    assert_true(str_equal(links[0].host, STR("a.example")));
    /* Broken markup ends somewhere. */
    assert_int_equal(find("html", "<a href=\"http://a.example/", &links), 1);
    assert_int_equal(find("html", "<a href", &links), 0);
    assert_int_equal(find("html", "<a", &links), 0);
}

static void test_many(void **state)
{
    size_t len = 1024 * 1024;
    char *body = arena_alloc(&task.arena, len + 1, 1);
    struct spam_link *links;

    (void)state;
    for (size_t i = 0; i + 3 <= len; i += 3)
        memcpy(body + i, "<a ", 3);
    assert_int_equal(find("html", body, &links), 0);
    for (size_t i = 0; i + 16 <= len; i += 16)
        memcpy(body + i, "http://a.example", 16);
    assert_true(find("plain", body, &links) < SPAM_LINKS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_shown),
        cmocka_unit_test(test_finding),
        cmocka_unit_test(test_many),
    };
    int failed;

    message_init_library();
    task_init(&task, 0);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    task_done(&task);
    return failed;
}
