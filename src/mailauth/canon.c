/* Canonicalization; canon.h says which. */
#include "mailauth/canon.h"

#include "base/ascii.h"
#include "base/memory.h"

#include <stdlib.h>

static void must(int is_done)
{
    if (is_done != 1)
        abort(); /* out of memory, or a crypto library without SHA-256 */
}

EVP_MD_CTX *mailauth_digest_new(void)
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();

    must(digest != NULL);
    must(EVP_DigestInit_ex(digest, EVP_sha256(), NULL));
    return digest;
}

EVP_MD_CTX *mailauth_digest_copy(const EVP_MD_CTX *digest)
{
    EVP_MD_CTX *copy = EVP_MD_CTX_new();

    must(copy != NULL);
    must(EVP_MD_CTX_copy_ex(copy, digest));
    return copy;
}

void mailauth_digest_free(EVP_MD_CTX **digest)
{
    EVP_MD_CTX_free(*digest);
    *digest = NULL;
}

void mailauth_digest_end(EVP_MD_CTX **digest, unsigned char out[static MAILAUTH_DIGEST_BYTES])
{
    must(EVP_DigestFinal_ex(*digest, out, NULL));
    mailauth_digest_free(digest);
}

static void add(EVP_MD_CTX *digest, struct str bytes)
{
    if (bytes.len > 0)
        must(EVP_DigestUpdate(digest, bytes.ptr, bytes.len));
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The relaxed form of a field's value, which may come in pieces (§3.4.2). */
struct relaxed_value {
    EVP_MD_CTX *digest;
    bool is_begun;  /* something other than white space was there */
    bool has_blank; /* white space since */
};

static void relaxed_value_add(struct relaxed_value *value, struct str text)
{
    size_t i = 0;

    while (i < text.len) {
        size_t start = i;

        while (i < text.len && !ascii_is_space(text.ptr[i]))
            i++;
        if (i > start) {
            if (value->has_blank && value->is_begun)
                add(value->digest, STR(" "));
            add(value->digest, str_make(text.ptr + start, i - start));
            value->is_begun = true;
            value->has_blank = false;
        }
        for (; i < text.len && ascii_is_space(text.ptr[i]); i++)
            value->has_blank = value->has_blank || is_blank(text.ptr[i]);
    }
}

/* "name:" of the relaxed form. */
static void relaxed_name(EVP_MD_CTX *digest, struct str name)
{
    char lower[64];

    while (name.len > 0) {
        size_t len = name.len < sizeof(lower) ? name.len : sizeof(lower);

        for (size_t i = 0; i < len; i++)
            lower[i] = ascii_lower(name.ptr[i]);
        add(digest, str_make(lower, len));
        name = str_from(name, len);
    }
    add(digest, STR(":"));
}

/* The field in two pieces, between which something was left out. */
static void field_in_pieces(EVP_MD_CTX *digest, enum mailauth_canon canon,
                            const struct header_field *field, size_t hole_start, size_t hole_end)
{
    struct str before = str_upto(field->value, hole_start);
    struct str after = str_from(field->value, hole_end);
    struct relaxed_value value = {.digest = digest};

    switch (canon) {
    case MAILAUTH_SIMPLE:
        add(digest, str_make(field->whole.ptr, (size_t)(field->value.ptr - field->whole.ptr)));
        add(digest, before);
        add(digest, after);
        return;
    case MAILAUTH_RELAXED:
        relaxed_name(digest, field->name);
        relaxed_value_add(&value, before);
        relaxed_value_add(&value, after);
        return;
    case MAILAUTH_CANON_COUNT:
        break;
    }
    abort();
}

void mailauth_canon_field(EVP_MD_CTX *digest, enum mailauth_canon canon,
                          const struct header_field *field)
{
    field_in_pieces(digest, canon, field, field->value.len, field->value.len);
    add(digest, STR("\r\n"));
}

/* Where the value of the tag b= is, white space around it included. */
static void find_b(struct str value, size_t *out_start, size_t *out_end)
{
    struct str rest = value, spec;

    while (str_split(&rest, ';', &spec)) {
        ptrdiff_t equals = str_index(spec, '=');

        if (equals >= 0 && str_equal(str_trim(str_upto(spec, (size_t)equals)), STR("b"))) {
            *out_start = (size_t)(spec.ptr - value.ptr) + (size_t)equals + 1;
            *out_end = (size_t)(spec.ptr - value.ptr) + spec.len;
            return;
        }
    }
    *out_start = *out_end = value.len;
}

void mailauth_canon_signature(EVP_MD_CTX *digest, enum mailauth_canon canon,
                              const struct header_field *field)
{
    size_t start, end;

    find_b(field->value, &start, &end);
    field_in_pieces(digest, canon, field, start, end);
}

/* Where a canonical body goes: into one hash, of which copies end where a limit is. */
struct body_sink {
    EVP_MD_CTX *digest;
    struct mailauth_body_hash *hash;
    size_t order[MAILAUTH_BODY_LIMITS_MAX]; /* the parts by their limit */
    size_t next;                            /* in `order` */
};

static void sink_init(struct body_sink *sink, struct mailauth_body_hash *hash)
{
    *sink = (struct body_sink){.digest = mailauth_digest_new(), .hash = hash};
    for (size_t i = 0; i < hash->part_count; i++) {
        size_t at = i;

        for (; at > 0 && hash->parts[sink->order[at - 1]].limit > hash->parts[i].limit; at--)
            sink->order[at] = sink->order[at - 1];
        sink->order[at] = i;
        hash->parts[i].is_there = false;
    }
    hash->len = 0;
}

/* Those whose limit is where we are. */
static void sink_checkpoint(struct body_sink *sink)
{
    struct mailauth_body_hash *hash = sink->hash;

    for (; sink->next < hash->part_count; sink->next++) {
        size_t i = sink->order[sink->next];
        EVP_MD_CTX *copy;

        if (hash->parts[i].limit != hash->len)
            return;
        copy = mailauth_digest_copy(sink->digest);
        mailauth_digest_end(&copy, hash->parts[i].digest);
        hash->parts[i].is_there = true;
    }
}

static void sink_add(struct body_sink *sink, struct str bytes)
{
    struct mailauth_body_hash *hash = sink->hash;

    while (sink->next < hash->part_count) {
        uint64_t room = hash->parts[sink->order[sink->next]].limit - hash->len;

        if (bytes.len < room)
            break;
        add(sink->digest, str_upto(bytes, (size_t)room));
        hash->len += room;
        bytes = str_from(bytes, (size_t)room);
        sink_checkpoint(sink);
    }
    add(sink->digest, bytes);
    hash->len += bytes.len;
}

/* Empty lines at the end count as one CRLF, which is there even in an empty body (§3.4.3). */
static void simple_body(struct body_sink *sink, struct str body)
{
    while (str_ends_with(body, STR("\r\n")))
        body.len -= 2;
    sink_add(sink, body);
    sink_add(sink, STR("\r\n"));
}

/* The length of the run at the front that the relaxed form leaves as it is. */
static size_t plain_run(struct str text)
{
    size_t i = 0;

    while (i < text.len && !is_blank(text.ptr[i]) &&
           !(text.ptr[i] == '\r' && i + 1 < text.len && text.ptr[i + 1] == '\n'))
        i++;
    return i;
}

/*
 * White space at a line's end goes, other runs of it become one space, empty lines at the end go; a
 * last line that is not ended is ended (§3.4.4). Line ends wait until something follows.
 */
static void relaxed_body(struct body_sink *sink, struct str body)
{
    size_t waiting_ends = 0;
    bool has_blank = false, is_begun = false;

    while (body.len > 0) {
        size_t run = plain_run(body);

        if (run > 0) {
            for (; waiting_ends > 0; waiting_ends--)
                sink_add(sink, STR("\r\n"));
            if (has_blank)
                sink_add(sink, STR(" "));
            sink_add(sink, str_upto(body, run));
            has_blank = false;
            is_begun = true;
        } else if (is_blank(body.ptr[0])) {
            has_blank = true;
            run = 1;
        } else {
            has_blank = false;
            waiting_ends++;
            run = 2;
        }
        body = str_from(body, run);
    }
    if (is_begun)
        sink_add(sink, STR("\r\n"));
}

void mailauth_canon_body(enum mailauth_canon canon, struct str body,
                         struct mailauth_body_hash *hash)
{
    struct body_sink sink;

    sink_init(&sink, hash);
    sink_checkpoint(&sink);
    if (canon == MAILAUTH_SIMPLE)
        simple_body(&sink, body);
    else
        relaxed_body(&sink, body);
    mailauth_digest_end(&sink.digest, hash->whole);
}
