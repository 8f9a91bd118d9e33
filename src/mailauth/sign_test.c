/* What we sign, our own verifier takes; that others do too is tests/mailauth's to show. */
#include "mailauth/sign.h"

#include "mailauth/dkim.h"

#include "base/macros.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

static const int64_t now_ms = INT64_C(1795000000000);
static const struct str message =
    STR_INIT("From: Ann <ann@a.test>\r\nTo: bob@b.test\r\nSubject: A  few\r\n words\r\n"
             "X-Other: 1\r\nTo: carl@c.test\r\n\r\nHello  \r\n\r\nthere\r\n\r\n");

struct fixture {
    struct task task;
    struct secret *key;
    struct buf record, out;
    struct str signed_message;
    struct dns_source dns;
    struct str asked;
};

/* A zone with one key in it. */
static void ask(void *owner, struct task *task, struct str name, enum dns_type type,
                struct dns_answer *out)
{
    struct fixture *f = owner;

    assert_int_equal(type, DNS_TYPE_TXT);
    f->asked = name;
    out->status = DNS_OK;
    out->records = ARENA_NEW(&task->arena, struct dns_record);
    out->records->data = buf_str(&f->record);
    out->count = 1;
}

static int end(void **state)
{
    struct fixture *f = *state;

    secret_free(&f->key);
    buf_free(&f->record);
    buf_free(&f->out);
    task_done(&f->task);
    return 0;
}

static void begin(struct fixture *f, enum mailauth_algorithm algorithm)
{
    task_init(&f->task, now_ms);
    buf_init(&f->record, SIZE_MAX);
    buf_init(&f->out, SIZE_MAX);
    f->dns = (struct dns_source){.owner = f, .ask = ask};
    assert_int_equal(mailauth_key_make(&f->task, algorithm, &f->key, &f->record), ERR_OK);
}

static int begin_rsa(void **state)
{
    static struct fixture fixture;

    begin(&fixture, MAILAUTH_RSA_2048);
    *state = &fixture;
    return 0;
}

static int begin_ed25519(void **state)
{
    static struct fixture fixture;

    begin(&fixture, MAILAUTH_ED25519);
    *state = &fixture;
    return 0;
}

static struct str sign(struct fixture *f, struct str text)
{
    struct mailauth_signer signer = {STR("a.test"), STR("s1"), secret_str(f->key), NULL};

    buf_reset(&f->out);
    assert_int_equal(mailauth_sign(&f->task, text, &signer, now_ms, &f->out), ERR_OK);
    return arena_copy(&f->task.arena, buf_str(&f->out));
}

/* Of the first DKIM-Signature. */
static enum mailauth_result verify(struct fixture *f, struct str text)
{
    struct mailauth_lookup lookup = {&f->dns, 0};
    struct mailauth_bodies bodies = {0};
    struct mailauth_fields fields;
    struct mailauth_dkim dkim;

    mailauth_fields_read(&f->task.arena, text, &fields);
    assert_true(str_equal(fields.fields[0].text.name, STR("DKIM-Signature")));
    mailauth_dkim_parse(&f->task.arena, &fields.fields[0].text, MAILAUTH_FORM_DKIM, now_ms, &bodies,
                        &dkim);
    mailauth_bodies_hash(&bodies, fields.body);
    mailauth_dkim_verify(&f->task, &lookup, &fields, &bodies, &dkim);
    return dkim.result;
}

static struct str joined(struct fixture *f, struct str a, struct str b)
{
    return arena_printf(&f->task.arena, "%.*s%.*s", STR_ARG(a), STR_ARG(b));
}

static void it_verifies(void **state)
{
    struct fixture *f = *state;
    struct str field = sign(f, message);

    assert_int_equal(verify(f, joined(f, field, message)), MAILAUTH_PASS);
    assert_true(str_equal(f->asked, STR("s1._domainkey.a.test")));
    assert_int_equal(verify(f, joined(f, field, joined(f, STR("Received: x\r\n"), message))),
                     MAILAUTH_PASS);
    /* A message without a body, and one without a header. */
    assert_int_equal(
        verify(f, joined(f, sign(f, STR("From: a@a.test\r\n\r\n")), STR("From: a@a.test\r\n\r\n"))),
        MAILAUTH_PASS);
}

static void the_field_is_in_form(void **state)
{
    struct fixture *f = *state;
    struct str field = sign(f, message), rest = field, line;

    assert_true(str_ends_with(field, STR("\r\n")));
    assert_true(str_find(field, STR("c=relaxed/relaxed")) > 0);
    assert_true(str_find(field, STR("t=1795000000;")) > 0);
    assert_int_equal(str_find(field, STR(" l=")), -1);
    while (str_split(&rest, '\n', &line))
        assert_true(line.len <= 79);
}

static void nothing_can_be_added(void **state)
{
    static const char *const names[] = {"From", "Subject",  "Date",
                                        "To",   "Reply-To", "Content-Type"};
    struct fixture *f = *state;
    struct str field = sign(f, message);

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct str added = arena_printf(&f->task.arena, "%s: x\r\n", names[i]);

        assert_int_equal(verify(f, joined(f, field, joined(f, added, message))), MAILAUTH_FAIL);
    }
}

static void nothing_can_be_changed(void **state)
{
    struct fixture *f = *state;
    struct str whole = joined(f, sign(f, message), message);
    size_t start = whole.len - message.len;

    for (size_t i = start; i < whole.len; i++) {
        struct str changed = arena_copy(&f->task.arena, whole);
        char c = changed.ptr[i];

        /* Relaxed: white space may change, and the case of a field's name; X-Other is not signed.
         */
        if (c == ' ' || c == '\r' || c == '\n' || c == ':' ||
            (i > 0 && str_find(message, STR("X-Other")) <= (ptrdiff_t)(i - start) &&
             (ptrdiff_t)(i - start) < str_find(message, STR("\r\nTo: carl"))))
            continue;
        ((char *)changed.ptr)[i] ^= 2;
        assert_int_not_equal(verify(f, changed), MAILAUTH_PASS);
    }
}

static void a_record_is_of_its_key(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buf_free) struct buf record;

    buf_init(&record, SIZE_MAX);
    assert_int_equal(mailauth_key_record(&f->task, secret_str(f->key), &record), ERR_OK);
    assert_true(str_equal(buf_str(&record), buf_str(&f->record)));
    buf_reset(&record);
    assert_int_equal(mailauth_key_record(&f->task, STR("no key"), &record), ERR_INVALID);
    assert_int_equal(record.len, 0);
}

static void a_key_that_does_not_read(void **state)
{
    struct fixture *f = *state;
    struct mailauth_signer signer = {STR("a.test"), STR("s1"), STR("no key"), NULL};

    assert_int_equal(mailauth_sign(&f->task, message, &signer, now_ms, &f->out), ERR_INVALID);
    assert_int_equal(f->out.len, 0);
}

static int group_begin(void **state)
{
    (void)state;
    secret_init();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_verifies, begin_rsa, end),
        cmocka_unit_test_setup_teardown(it_verifies, begin_ed25519, end),
        cmocka_unit_test_setup_teardown(the_field_is_in_form, begin_rsa, end),
        cmocka_unit_test_setup_teardown(nothing_can_be_added, begin_ed25519, end),
        cmocka_unit_test_setup_teardown(nothing_can_be_changed, begin_ed25519, end),
        cmocka_unit_test_setup_teardown(a_record_is_of_its_key, begin_rsa, end),
        cmocka_unit_test_setup_teardown(a_record_is_of_its_key, begin_ed25519, end),
        cmocka_unit_test_setup_teardown(a_key_that_does_not_read, begin_rsa, end),
    };

    return cmocka_run_group_tests(tests, group_begin, NULL);
}
