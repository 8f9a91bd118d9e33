#include "net/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct arena arena;

static void spellings_of_one_host(void **state)
{
    /* Whatever is written, it is what it stands for. */
    static const struct {
        const char *url, *text;
    } rows[] = {
        {"https://example.com", "https://example.com/"},
        {"HTTPS://EXAMPLE.Com./a?b#c", "https://example.com/a?b"},
        {"http://example.com:80/", "http://example.com/"},
        {"https://example.com:/x", "https://example.com/x"},
        {"https://example.com:8443?q", "https://example.com:8443/?q"},
        {"https://example.com/?a=//b@c", "https://example.com/?a=//b@c"},
        {"https://example.com#@evil/", "https://example.com/"},
        {"https://b\xc3\xbc"
         "cher.example/\xc3\xa4",
         "https://xn--bcher-kva.example/%C3%A4"},
        {"https://127.0.0.1/", "https://127.0.0.1/"},
        {"https://127.1/", "https://127.0.0.1/"},
        {"https://127.0.1/", "https://127.0.0.1/"},
        {"https://2130706433/", "https://127.0.0.1/"},
        {"https://017700000001/", "https://127.0.0.1/"},
        {"https://0177.0.0.01/", "https://127.0.0.1/"},
        {"https://0x7f000001/", "https://127.0.0.1/"},
        {"https://0X7F.0.0.0x1/", "https://127.0.0.1/"},
        {"https://0x7f.1/", "https://127.0.0.1/"},
        {"https://0x/", "https://0.0.0.0/"},
        {"https://0/", "https://0.0.0.0/"},
        {"https://127.0.0.1./", "https://127.0.0.1/"},
        {"https://169.254.43518/", "https://169.254.169.254/"},
        /* full-width digits and dots, circled digits */
        {"https://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1/", "https://127.0.0.1/"},
        {"https://127\xe3\x80\x82"
         "0\xe3\x80\x82"
         "0\xe3\x80\x82"
         "1/",
         "https://127.0.0.1/"},
        {"https://\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1/", "https://127.0.0.1/"},
        {"https://[::1]/", "https://[::1]/"},
        {"https://[0:0::0:1]:444/", "https://[::1]:444/"},
        {"https://[::ffff:127.0.0.1]/", "https://[::ffff:127.0.0.1]/"},
        {"https://[::FFFF:7F00:1]/", "https://[::ffff:127.0.0.1]/"},
        {"https://[64:ff9b::7f00:1]/", "https://[64:ff9b::7f00:1]/"},
        {"https://1.2.3.4.example/", "https://1.2.3.4.example/"},
        {"https://a_b.example/", "https://a_b.example/"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct net_url url;
        const char *reason = net_url_parse(&arena, str_from_c(rows[i].url), &url);
        struct str text;

        if (reason != NULL)
            fail_msg("%s: %s", rows[i].url, reason);
        text = net_url_text(&arena, &url);
        if (!str_equal(text, str_from_c(rows[i].text)))
            fail_msg("%s became %.*s", rows[i].url, STR_ARG(text));
    }
}

static void what_is_no_url(void **state)
{
    static const char *const urls[] = {
        "", "example.com", "//example.com/", "ftp://example.com/", "file:///etc/passwd",
        "gopher://127.0.0.1:25/", "https:", "https:/example.com", "https://", "https:///x",
        "https://user@example.com/", "https://user:password@example.com/",
        "https://good.example\\@evil.example/", "https://good.example\\.evil.example/",
        "https://exa mple.com/", "https://example.com/a b", " https://example.com/",
        "https://example.com/\r\nX: y", "https://example.com/\tx", "https://example.com/\x7f",
        "https://127.0.0.1%00.example.com/", "https://%31%32%37.0.0.1/", "https://ex%61mple.com/",
        "https://example.com:0/", "https://example.com:65536/", "https://example.com:99999999999/",
        "https://example.com:x/", "https://example.com:-1/", "https://example.com:80:80/",
        "https://[::1/", "https://::1/", "https://[::1%25lo]/", "https://[127.0.0.1]/",
        "https://[]/", "https://[::1]x/", "https://x[::1]/", "https://256.0.0.1/",
        "https://1.2.3.4.5/", "https://127.0.0.09/", "https://4294967296/", "https://0x100000000/",
        "https://1.2.3.0x1g/", "https://1..2/", "https://.example.com/", "https://a..b/",
        "https://a.0x/", "https://example.1/", "https://exam!ple.com/", "https://<x>/",
        "https://\xff\xfe/", "https://-\xc2\xad/",
        "https://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example/",
    };
    struct net_url url;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        if (net_url_parse(&arena, str_from_c(urls[i]), &url) == NULL)
            fail_msg("%s was taken as %.*s", urls[i], STR_ARG(net_url_text(&arena, &url)));
    }
}

/* RFC 3986 §5.4.1 and what servers write. */
static void references(void **state)
{
    static const struct {
        const char *base, *reference, *text; /* NULL: refused */
    } rows[] = {
        {"http://a.example/b/c/d?q", "g", "http://a.example/b/c/g"},
        {"http://a.example/b/c/d?q", "./g", "http://a.example/b/c/g"},
        {"http://a.example/b/c/d?q", "g/", "http://a.example/b/c/g/"},
        {"http://a.example/b/c/d?q", "/g", "http://a.example/g"},
        {"http://a.example/b/c/d?q", "//g.example", "http://g.example/"},
        {"http://a.example/b/c/d?q", "?y", "http://a.example/b/c/d?y"},
        {"http://a.example/b/c/d?q", "g?y", "http://a.example/b/c/g?y"},
        {"http://a.example/b/c/d?q", "#s", "http://a.example/b/c/d?q"},
        {"http://a.example/b/c/d?q", "", "http://a.example/b/c/d?q"},
        {"http://a.example/b/c/d?q", ".", "http://a.example/b/c/"},
        {"http://a.example/b/c/d?q", "..", "http://a.example/b/"},
        {"http://a.example/b/c/d?q", "../g", "http://a.example/b/g"},
        {"http://a.example/b/c/d?q", "../../../g", "http://a.example/g"},
        {"http://a.example/b/c/d?q", "/./g/../h", "http://a.example/h"},
        {"http://a.example/b/c/d?q", "g.", "http://a.example/b/c/g."},
        {"http://a.example/b/c/d?q", "..g", "http://a.example/b/c/..g"},
        {"http://a.example/b/c/d?q", "https://x.example/y", "https://x.example/y"},
        {"https://a.example:8443/b", "//127.1/x", "https://127.0.0.1/x"},
        {"https://a.example:8443/b", "/x", "https://a.example:8443/x"},
        {"https://a.example", "  /x ", "https://a.example/x"},
        {"https://a.example/", "javascript:alert(1)", NULL},
        {"https://a.example/", "ftp://a.example/", NULL},
        {"https://a.example/", "http:g", NULL},
        {"https://a.example/", "//user@b.example/", NULL},
        {"https://a.example/", "\\\\b.example\\x", NULL},
        {"https://a.example/", "/a\r\nb", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct net_url base, url;
        const char *reason;
        struct str text;

        assert_null(net_url_parse(&arena, str_from_c(rows[i].base), &base));
        reason = net_url_resolve(&arena, &base, str_from_c(rows[i].reference), &url);
        if ((reason == NULL) != (rows[i].text != NULL))
            fail_msg("%s: %s", rows[i].reference, reason == NULL ? "taken" : reason);
        if (reason != NULL)
            continue;
        text = net_url_text(&arena, &url);
        if (!str_equal(text, str_from_c(rows[i].text)))
            fail_msg("%s became %.*s", rows[i].reference, STR_ARG(text));
    }
}

static int teardown(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spellings_of_one_host),
        cmocka_unit_test(what_is_no_url),
        cmocka_unit_test(references),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
