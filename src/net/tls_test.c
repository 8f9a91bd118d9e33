#include "net/tls.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/macros.h"
#include "net/certificate.h"
#include "net/tls_internal.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct pair_of_pem {
    struct buf certificate, key;
};

static void make(struct task *task, struct str hostname, struct pair_of_pem *out)
{
    buf_init(&out->certificate, SIZE_MAX);
    buf_init(&out->key, SIZE_MAX);
    assert_int_equal(net_certificate_make(task, hostname, clock_now_ms(), &out->certificate,
                                          &out->key),
                     ERR_OK);
}

static void done(struct pair_of_pem *pem)
{
    buf_free(&pem->certificate);
    buf_free(&pem->key);
}

static void our_certificate_names_the_host(void **state)
{
    static const struct {
        const char *hostname;
        const char *name;
        int matches;
    } rows[] = {
        {"mail.example.org", "mail.example.org", 1},
        {"mail.example.org", "localhost", 1},
        {"mail.example.org", "example.org", 0},
        {"localhost", "localhost", 1},
        {"a-name-of-more-than-sixty-four-characters.with-labels.of-some-length.example.org",
         "a-name-of-more-than-sixty-four-characters.with-labels.of-some-length.example.org", 1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pair_of_pem pem;
        struct task task;
        X509 *certificate;
        BIO *bio;

        task_init(&task, 0);
        make(&task, str_from_c(rows[i].hostname), &pem);
        bio = BIO_new_mem_buf(pem.certificate.ptr, (int)pem.certificate.len);
        certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        assert_non_null(certificate);
        assert_int_equal(X509_check_host(certificate, rows[i].name, 0, 0, NULL), rows[i].matches);
        assert_int_equal(X509_check_ip_asc(certificate, "127.0.0.1", 0), 1);
        assert_int_equal(X509_cmp_current_time(X509_get0_notAfter(certificate)), 1); /* later */
        X509_free(certificate);
        BIO_free(bio);
        done(&pem);
        task_done(&task);
    }
}

static void what_does_not_fit_is_refused_in_words(void **state)
{
    struct pair_of_pem one, other;
    struct net_tls *tls = NULL;
    SSL_CTX *before;
    struct task task;

    (void)state;
    task_init(&task, 0);
    make(&task, STR("one.test"), &one);
    make(&task, STR("other.test"), &other);
    assert_int_equal(net_tls_new(&task, STR("rubbish"), buf_str(&one.key), &tls), ERR_INVALID);
    assert_true(str_find(str_from_c(task.words), STR("no PEM certificate")) >= 0);
    task_forgive(&task);
    assert_int_equal(net_tls_new(&task, buf_str(&one.certificate), STR(""), &tls), ERR_INVALID);
    assert_true(str_find(str_from_c(task.words), STR("no unencrypted PEM key")) >= 0);
    task_forgive(&task);
    assert_int_equal(net_tls_new(&task, buf_str(&one.certificate), buf_str(&other.key), &tls),
                     ERR_INVALID);
    assert_true(str_find(str_from_c(task.words), STR("does not belong")) >= 0);
    task_forgive(&task);
    assert_int_equal(net_tls_new(&task, buf_str(&one.certificate), buf_str(&one.key), &tls),
                     ERR_OK);
    /* A reload that fails leaves the old one. */
    before = net_tls_context(tls);
    assert_int_equal(net_tls_replace(tls, &task, buf_str(&other.certificate), buf_str(&one.key)),
                     ERR_INVALID);
    task_forgive(&task);
    assert_ptr_equal(net_tls_context(tls), before);
    assert_int_equal(net_tls_replace(tls, &task, buf_str(&other.certificate), buf_str(&other.key)),
                     ERR_OK);
    net_tls_free(&tls);
    done(&one);
    done(&other);
    task_done(&task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_certificate_names_the_host),
        cmocka_unit_test(what_does_not_fit_is_refused_in_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
