#include "net/certificate.h"

#include "base/random.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <time.h>

enum { VALID_DAYS = 3650 };

static void bio_free(BIO **bio)
{
    BIO_free(*bio);
    *bio = NULL;
}

static void certificate_free(X509 **certificate)
{
    X509_free(*certificate);
    *certificate = NULL;
}

static void key_free(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
    *key = NULL;
}

static bool add_extension(X509 *certificate, int kind, const char *value)
{
    X509_EXTENSION *extension;
    X509V3_CTX context;
    bool is_added;

    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, kind, value);
    is_added = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return is_added;
}

static bool set_serial(X509 *certificate)
{
    uint64_t serial;

    random_bytes(&serial, sizeof(serial));
    return ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial >> 1) == 1;
}

static bool set_names(X509 *certificate, struct task *task, struct str hostname)
{
    struct str names = arena_printf(&task->arena, "%s%.*s%sDNS:localhost,IP:127.0.0.1,IP:::1",
                                    str_equal(hostname, STR("localhost")) ? "" : "DNS:",
                                    str_equal(hostname, STR("localhost")) ? 0 : (int)hostname.len,
                                    hostname.ptr,
                                    str_equal(hostname, STR("localhost")) ? "" : ",");
    X509_NAME *name = X509_get_subject_name(certificate);
    /* A common name holds 64 bytes; what counts are the alternative names. */
    struct str common = hostname.len <= 64 ? hostname : STR("Sealpost");

    return X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                      (const unsigned char *)common.ptr, (int)common.len, -1,
                                      0) == 1 &&
           X509_set_issuer_name(certificate, name) == 1 &&
           add_extension(certificate, NID_subject_alt_name, names.ptr);
}

static bool fill(X509 *certificate, EVP_PKEY *key, struct task *task, struct str hostname,
                 int64_t now_ms)
{
    time_t now = (time_t)(now_ms / 1000);

    return X509_set_version(certificate, 2) == 1 && set_serial(certificate) &&
           X509_time_adj_ex(X509_getm_notBefore(certificate), -1, 0, &now) != NULL &&
           X509_time_adj_ex(X509_getm_notAfter(certificate), VALID_DAYS, 0, &now) != NULL &&
           set_names(certificate, task, hostname) && X509_set_pubkey(certificate, key) == 1 &&
           add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(certificate, NID_key_usage, "critical,digitalSignature") &&
           add_extension(certificate, NID_ext_key_usage, "serverAuth") &&
           X509_sign(certificate, key, EVP_sha256()) > 0;
}

static enum err take_bytes(BIO *bio, struct buf *out)
{
    char *bytes;
    long len = BIO_get_mem_data(bio, &bytes);

    return buf_append(out, str_make(bytes, (size_t)len));
}

enum err net_certificate_make(struct task *task, struct str hostname, int64_t now_ms,
                              struct buf *out_certificate, struct buf *out_key)
{
    CLEANUP(key_free) EVP_PKEY *key = EVP_EC_gen("P-256");
    CLEANUP(certificate_free) X509 *certificate = X509_new();
    CLEANUP(bio_free) BIO *certificate_bio = BIO_new(BIO_s_mem());
    CLEANUP(bio_free) BIO *key_bio = BIO_new(BIO_s_secmem());

    if (key == NULL || certificate == NULL || certificate_bio == NULL || key_bio == NULL ||
        !fill(certificate, key, task, hostname, now_ms) ||
        PEM_write_bio_X509(certificate_bio, certificate) != 1 ||
        PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) != 1) {
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());

        ERR_clear_error();
        return fail(task, ERR_IO, "making a certificate: %s",
                    reason == NULL ? "unknown reason" : reason);
    }
    TRY(take_bytes(certificate_bio, out_certificate));
    return take_bytes(key_bio, out_key);
}
