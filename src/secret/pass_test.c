/* What the keeper gives a mailbox's process through others: they can neither read nor make it. */
#include "secret/pass.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct secret *key_of(unsigned char byte)
{
    unsigned char bytes[MAILBOX_KEY_BYTES];
    CLEANUP(secret_free) struct secret *mailbox_key = NULL;

    memset(bytes, byte, sizeof(bytes));
    mailbox_key = secret_copy(str_make(bytes, sizeof(bytes)));
    return pass_key(mailbox_key);
}

static void a_sealed_password(void **state)
{
    CLEANUP(secret_free) struct secret *ours = key_of(1);
    CLEANUP(secret_free) struct secret *others = key_of(2);
    CLEANUP(secret_free) struct secret *found = NULL;
    CLEANUP(buf_free) struct buf text;
    CLEANUP(buf_free) struct buf again;
    struct str password = STR("a password of an earlier time"), purpose = STR("backup-password");

    (void)state;
    buf_init(&text, SIZE_MAX);
    buf_init(&again, SIZE_MAX);
    assert_int_equal(pass_seal(&text, ours, purpose, password), ERR_OK);
    assert_int_equal(str_find(buf_str(&text), password), -1);
    assert_int_equal(pass_open(ours, purpose, buf_str(&text), &found), ERR_OK);
    assert_true(str_equal(secret_str(found), password));
    secret_free(&found);
    /* Nobody sees that it is the same again. */
    assert_int_equal(pass_seal(&again, ours, purpose, password), ERR_OK);
    assert_false(str_equal(buf_str(&text), buf_str(&again)));
    assert_int_equal(pass_open(others, purpose, buf_str(&text), &found), ERR_DENIED);
    assert_int_equal(pass_open(ours, STR("password"), buf_str(&text), &found), ERR_DENIED);
    for (size_t i = 0; i < text.len; i++) {
        char was = text.ptr[i];

        text.ptr[i] = was == 'A' ? 'B' : 'A';
        assert_int_equal(pass_open(ours, purpose, buf_str(&text), &found), ERR_DENIED);
        text.ptr[i] = was;
        assert_int_equal(pass_open(ours, purpose, str_upto(buf_str(&text), i), &found), ERR_DENIED);
    }
    assert_int_equal(pass_open(ours, purpose, STR("not base64!"), &found), ERR_DENIED);
    assert_null(found);
}

static void a_pass_is_for_one_session(void **state)
{
    CLEANUP(secret_free) struct secret *ours = key_of(1);
    CLEANUP(secret_free) struct secret *others = key_of(2);
    struct id session = id_random(), other = id_random();
    unsigned char pass[PASS_BYTES];

    (void)state;
    pass_make(ours, &session, 1, 7, pass);
    assert_true(pass_is_valid(ours, &session, 1, 6, str_make(pass, sizeof(pass))));
    assert_false(pass_is_valid(ours, &session, 2, 6, str_make(pass, sizeof(pass))));
    assert_false(pass_is_valid(ours, &other, 1, 6, str_make(pass, sizeof(pass))));
    assert_false(pass_is_valid(others, &session, 1, 6, str_make(pass, sizeof(pass))));
    assert_false(pass_is_valid(ours, &session, 1, 6, str_make(pass, sizeof(pass) - 1)));
    assert_false(pass_is_valid(ours, &session, 1, 6, STR("")));
}

/* Not behind the end of all sessions, whatever serial it is given. */
static void a_pass_is_of_its_time(void **state)
{
    CLEANUP(secret_free) struct secret *ours = key_of(1);
    struct id session = id_random();
    unsigned char pass[PASS_BYTES];
    uint64_t later = 9;

    (void)state;
    pass_make(ours, &session, 1, 7, pass);
    assert_false(pass_is_valid(ours, &session, 1, 7, str_make(pass, sizeof(pass))));
    assert_false(pass_is_valid(ours, &session, 1, 8, str_make(pass, sizeof(pass))));
    memcpy(pass, &later, sizeof(later));
    assert_false(pass_is_valid(ours, &session, 1, 8, str_make(pass, sizeof(pass))));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sealed_password),
        cmocka_unit_test(a_pass_is_for_one_session),
        cmocka_unit_test(a_pass_is_of_its_time),
    };

    secret_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
