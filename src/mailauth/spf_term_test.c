#include "mailauth/spf_macro.h"
#include "mailauth/spf_term.h"

#include "base/arena.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

static const struct {
    struct str text;
    bool is_valid;
    enum spf_term_kind kind;
    enum mailauth_result qualifier;
    struct str domain;
    unsigned bits4, bits6;
} terms[] = {
    {STR_INIT("all"), true, SPF_ALL, MAILAUTH_PASS, STR_INIT(""), 0, 0},
    {STR_INIT("-ALL"), true, SPF_ALL, MAILAUTH_FAIL, STR_INIT(""), 0, 0},
    {STR_INIT("~a"), true, SPF_A, MAILAUTH_SOFTFAIL, STR_INIT(""), 32, 128},
    {STR_INIT("?a:b.c/24//64"), true, SPF_A, MAILAUTH_NEUTRAL, STR_INIT("b.c"), 24, 64},
    {STR_INIT("mx//0"), true, SPF_MX, MAILAUTH_PASS, STR_INIT(""), 32, 0},
    {STR_INIT("mx:b/c.d/8"), true, SPF_MX, MAILAUTH_PASS, STR_INIT("b/c.d"), 8, 128},
    {STR_INIT("ptr:b.c"), true, SPF_PTR, MAILAUTH_PASS, STR_INIT("b.c"), 0, 0},
    {STR_INIT("ip4:1.2.3.4/31"), true, SPF_IP4, MAILAUTH_PASS, STR_INIT(""), 31, 0},
    {STR_INIT("ip6:::1"), true, SPF_IP6, MAILAUTH_PASS, STR_INIT(""), 0, 128},
    {STR_INIT("include:%{d}"), true, SPF_INCLUDE, MAILAUTH_PASS, STR_INIT("%{d}"), 0, 0},
    {STR_INIT("exists:%{l1r-}.x.b.c"), true, SPF_EXISTS, MAILAUTH_PASS, STR_INIT("%{l1r-}.x.b.c"),
     0, 0},
    {STR_INIT("redirect=b.c"), true, SPF_REDIRECT, MAILAUTH_NONE, STR_INIT("b.c"), 0, 0},
    {STR_INIT("exp=b.c"), true, SPF_EXP, MAILAUTH_NONE, STR_INIT("b.c"), 0, 0},
    {STR_INIT("x-y.z="), true, SPF_UNKNOWN_MODIFIER, MAILAUTH_NONE, STR_INIT(""), 0, 0},
    {STR_INIT("--all"), false, 0, 0, STR_INIT(""), 0, 0},
    {STR_INIT("a:b.c/33"), false, 0, 0, STR_INIT(""), 0, 0},
    {STR_INIT("a:b.c/024"), false, 0, 0, STR_INIT(""), 0, 0},
    {STR_INIT("a:b"), false, 0, 0, STR_INIT(""), 0, 0},
    {STR_INIT("a/24/64"), false, 0, 0, STR_INIT(""), 0, 0},
    {STR_INIT("ip4:1.2.3"), false, 0, 0, STR_INIT(""), 0, 0},
    {STR_INIT("ip4:01.2.3.4"), false, 0, 0, STR_INIT(""), 0, 0},
    {STR_INIT("ip6:1.2.3.4"), false, 0, 0, STR_INIT(""), 0, 0},
    {STR_INIT("include"), false, 0, 0, STR_INIT(""), 0, 0},
    {STR_INIT("exists:%{x}.b.c"), false, 0, 0, STR_INIT(""), 0, 0},
    {STR_INIT("exists:%{d0}.b.c"), false, 0, 0, STR_INIT(""), 0, 0},
    {STR_INIT("exists:%{t}.b.c"), false, 0, 0, STR_INIT(""), 0, 0},
    {STR_INIT("redirect="), false, 0, 0, STR_INIT(""), 0, 0},
    {STR_INIT("-redirect=b.c"), false, 0, 0, STR_INIT(""), 0, 0},
    {STR_INIT("mail"), false, 0, 0, STR_INIT(""), 0, 0},
};

static void terms_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(terms); i++) {
        struct str rest = terms[i].text;
        struct spf_term term;
        enum err err = spf_term_next(&rest, &term);

        if (err != (terms[i].is_valid ? ERR_OK : ERR_INVALID))
            fail_msg("%.*s", STR_ARG(terms[i].text));
        if (terms[i].is_valid &&
            (term.kind != terms[i].kind || term.qualifier != terms[i].qualifier ||
             !str_equal(term.domain, terms[i].domain) || term.bits4 != terms[i].bits4 ||
             term.bits6 != terms[i].bits6))
            fail_msg("%.*s is something else", STR_ARG(terms[i].text));
        assert_true(!terms[i].is_valid || spf_term_next(&rest, &term) == ERR_NOT_FOUND);
    }
}

static void records(void **state)
{
    struct str rest;

    (void)state;
    assert_true(spf_record_is_one(STR("V=SPF1"), &rest) && rest.len == 0);
    assert_true(spf_record_is_one(STR("v=spf1 -all"), &rest) && spf_terms_are_valid(rest));
    assert_false(spf_record_is_one(STR("v=spf10"), &rest));
    assert_false(spf_record_is_one(STR("v=spf1\t-all"), &rest));
    assert_false(spf_terms_are_valid(STR(" -all redirect=a.b redirect=a.b")));
    assert_false(spf_terms_are_valid(STR(" -all\r\n")));
    assert_true(spf_terms_are_valid(STR("   a   mx  ")));
}

static struct str confirmed(void *owner)
{
    (void)owner;
    return STR("p.q");
}

/* RFC 7208 §7.4. */
static const struct {
    struct str text, expansion;
} expansions[] = {
    {STR_INIT("%{s}"), STR_INIT("strong-bad@email.example.com")},
    {STR_INIT("%{o}"), STR_INIT("email.example.com")},
    {STR_INIT("%{d4}"), STR_INIT("email.example.com")},
    {STR_INIT("%{d2}"), STR_INIT("example.com")},
    {STR_INIT("%{d1}"), STR_INIT("com")},
    {STR_INIT("%{dr}"), STR_INIT("com.example.email")},
    {STR_INIT("%{d2r}"), STR_INIT("example.email")},
    {STR_INIT("%{l}"), STR_INIT("strong-bad")},
    {STR_INIT("%{l-}"), STR_INIT("strong.bad")},
    {STR_INIT("%{lr}"), STR_INIT("strong-bad")},
    {STR_INIT("%{lr-}"), STR_INIT("bad.strong")},
    {STR_INIT("%{l1r-}"), STR_INIT("strong")},
    {STR_INIT("%{ir}.%{v}._spf.%{d2}"), STR_INIT("3.2.0.192.in-addr._spf.example.com")},
    {STR_INIT("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}"),
     STR_INIT("bad.strong.lp.3.2.0.192.in-addr._spf.example.com")},
    {STR_INIT("%{S}"), STR_INIT("strong-bad%40email.example.com")},
    {STR_INIT("%{p}%%%_%-%{c}%{r}%{t}"), STR_INIT("p.q% %20192.0.2.3r.x1795000000")},
    {STR_INIT("%{d4294967296}"), STR_INIT("email.example.com")},
};

static void macros_expand(void **state)
{
    struct arena arena = {NULL};
    struct spf_macros macros = {.local = STR("strong-bad"),
                                .sender_domain = STR("email.example.com"),
                                .domain = STR("email.example.com"),
                                .helo = STR("h.x"),
                                .address = STR("192.0.2.3"),
                                .labels = STR("192.0.2.3"),
                                .family = STR("in-addr"),
                                .receiver = STR("r.x"),
                                .now_s = 1795000000,
                                .confirmed_name = confirmed};
    struct buf out;

    (void)state;
    macros.parts = ARENA_ARRAY(&arena, struct str, SPF_VALUE_MAX + 1);
    buf_init(&out, SPF_EXPANSION_MAX);
    for (size_t i = 0; i < ARRAY_LEN(expansions); i++) {
        buf_reset(&out);
        assert_true(spf_macro_is_valid(expansions[i].text, true));
        assert_int_equal(spf_macro_expand(&macros, expansions[i].text, &out), ERR_OK);
        if (!str_equal(buf_str(&out), expansions[i].expansion))
            fail_msg("%.*s is %.*s", STR_ARG(expansions[i].text), STR_ARG(buf_str(&out)));
    }
    buf_free(&out);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terms_are_read),
        cmocka_unit_test(records),
        cmocka_unit_test(macros_expand),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
