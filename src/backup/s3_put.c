/*
 * Putting an object: at once, or in parts.
 *
 *   HASHING ──> SENDING ──> (done)                                       up to one part
 *   FINDING ──> COUNTING ──┐
 *      └─────> BEGINNING ──┴─> HASHING <──> SENDING ──> ENDING ──> CHECKING ──> (done)   more
 *                  ^              └──> DROPPING ──┐                   │
 *                  └──────────────────────────────┼───────────────────┘
 *                                                 └──> (done)                   given up
 *
 *   FINDING    is there an upload of this name, which was interrupted?
 *   COUNTING   which parts does the server have of it?
 *   HASHING    the next part, in slices: SHA-256 for the signature, MD5 to compare with what is there,
 *              SHA-256 over all of them for the object's digest, where that is not the same
 *   DROPPING   what is there is of other bytes: begin anew; or ours are not those that were promised: nobody
 *              goes on with it, and it is given up
 *   ENDING     only when the digest of the whole was right
 *   CHECKING   has the server all of it, with its digest? An upload that was gone on with has the digest
 *              that it was begun with: of other bytes, of which only what was sent was the same, it begins anew
 */
#include "backup/s3_internal.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "secret/hasher.h"

#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PART_ROUND = 1024 * 1024,
    MD5_HEX = 32,
};

enum stage {
    STAGE_FINDING,
    STAGE_COUNTING,
    STAGE_BEGINNING,
    STAGE_HASHING,
    STAGE_SENDING,
    STAGE_DROPPING,
    STAGE_ENDING,
    STAGE_CHECKING,
};

struct put_call {
    struct backup_call base;
    struct s3 *s3; /* borrowed */
    struct arena arena;
    struct str name;
    int fd; /* own */
    uint64_t size_bytes, part_bytes;
    unsigned char digest[CRYPT_HASH_BYTES];
    enum stage stage;
    struct str upload_id;    /* empty: in one piece */
    bool is_gone_on_with;    /* the upload was begun by another call */
    struct s3_part *parts;   /* own; S3_PARTS_MAX, what the server has */
    uint32_t part_count, part, highest; /* `part` from 0: the one in work */
    uint64_t hashed;         /* of the part in work */
    char *slice;             /* own; of it; NULL: none was read yet */
    EVP_MD_CTX *sha256, *md5;    /* own; of the part in work */
    struct hasher *hasher; /* own; of the whole; NULL: that is one part */
    unsigned char part_digest[CRYPT_HASH_BYTES];
    char sha256_hex[S3_SHA256_HEX + 1];
    char md5_hex[MD5_HEX + 1];
    struct net_timer *timer;      /* own; the next slice */
    struct s3_exchange *exchange; /* own */
    const char *ending;           /* why it is given up; NULL: it is not */
    backup_on_done on_done;
    void *owner; /* borrowed */
};

static void on_reply(void *owner, const struct s3_reply *reply);

static void put_free(struct put_call *call)
{
    s3_cancel(&call->exchange);
    net_timer_free(&call->timer);
    hasher_free(&call->hasher);
    EVP_MD_CTX_free(call->sha256);
    EVP_MD_CTX_free(call->md5);
    fd_close(&call->fd);
    mem_free(&call->parts);
    mem_free(&call->slice);
    arena_free(&call->arena);
    mem_free(&call);
}

void s3_put_cancel(struct backup_call *base)
{
    put_free(CONTAINER_OF(base, struct put_call, base));
}

static void finish(struct put_call *call, enum err err, const char *words)
{
    struct backup_result result = {.err = err, .words = words, .fd = -1};

    call->on_done(call->owner, &result);
    put_free(call);
}

static void must(int is_done)
{
    if (is_done != 1)
        abort();
}

/* ---- Parts ---- */

static bool is_in_parts(const struct put_call *call)
{
    return call->part_count > 1;
}

static uint64_t part_start(const struct put_call *call)
{
    return (uint64_t)call->part * call->part_bytes;
}

static uint64_t part_len(const struct put_call *call)
{
    uint64_t left = call->size_bytes - part_start(call);

    return left < call->part_bytes ? left : call->part_bytes;
}

static void begin_part(struct put_call *call)
{
    call->stage = STAGE_HASHING;
    call->hashed = 0;
    must(EVP_DigestInit_ex(call->sha256, EVP_sha256(), NULL));
    must(EVP_DigestInit_ex(call->md5, EVP_md5(), NULL));
    net_timer_start(call->timer, 0);
}

static void begin_first(struct put_call *call)
{
    hasher_free(&call->hasher);
    if (is_in_parts(call))
        call->hasher = hasher_new(HASHER_SHA256);
    call->part = 0;
    begin_part(call);
}

static void put_hex(char *out, const unsigned char *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * len] = '\0';
}

static void end_hashes(struct put_call *call)
{
    unsigned char sum[EVP_MAX_MD_SIZE];

    must(EVP_DigestFinal_ex(call->sha256, call->part_digest, NULL));
    put_hex(call->sha256_hex, call->part_digest, sizeof(call->part_digest));
    must(EVP_DigestFinal_ex(call->md5, sum, NULL));
    put_hex(call->md5_hex, sum, MD5_HEX / 2);
}

/* An ETag is the MD5 in quotation marks, unless the server encrypts with keys of its own. */
static bool has_part(const struct put_call *call)
{
    const struct s3_part *part = &call->parts[call->part];
    struct str etag = part->etag;

    if (etag.len >= 2 && etag.ptr[0] == '"' && etag.ptr[etag.len - 1] == '"')
        etag = str_make(etag.ptr + 1, etag.len - 2);
    return part->size_bytes == part_len(call) &&
           str_equal_nocase(etag, str_from_c(call->md5_hex));
}

/* ---- Requests ---- */

static void send_request(struct put_call *call, enum stage stage, struct s3_request *request,
                         const struct buf *query)
{
    call->stage = stage;
    request->query = query == NULL ? STR("") : buf_str(query);
    call->exchange = s3_start(call->s3->client, request, on_reply, call);
}

static void find(struct put_call *call)
{
    call->stage = STAGE_FINDING;
    call->exchange = s3_uploads_ask(call->s3, call->name, on_reply, call);
}

static void count_parts(struct put_call *call)
{
    CLEANUP(buf_free) struct buf query;
    char marker[16];
    struct s3_request request = {
        .method = NET_HTTP_GET, .name = call->name, .response_limit = S3_XML_BODY_MAX};

    buf_init(&query, SIZE_MAX);
    (void)snprintf(marker, sizeof(marker), "%" PRIu32, call->highest);
    if (call->highest > 0)
        s3_query_put(&query, "part-number-marker", str_from_c(marker));
    s3_query_put(&query, "uploadId", call->upload_id);
    send_request(call, STAGE_COUNTING, &request, &query);
}

static void begin_upload(struct put_call *call)
{
    CLEANUP(buf_free) struct buf query;
    char header[S3_DIGEST_HEADER_ROOM];
    struct str headers[1];
    struct s3_request request = {
        .method = NET_HTTP_POST, .name = call->name, .headers = headers, .header_count = 1};

    buf_init(&query, SIZE_MAX);
    s3_digest_header(call->digest, header);
    headers[0] = str_from_c(header);
    s3_query_put(&query, "uploads", STR(""));
    send_request(call, STAGE_BEGINNING, &request, &query);
}

static void drop_upload(struct put_call *call)
{
    call->stage = STAGE_DROPPING;
    call->exchange = s3_upload_drop(call->s3, call->name, call->upload_id, on_reply, call);
}

static void send_part(struct put_call *call)
{
    CLEANUP(buf_free) struct buf query;
    char header[S3_DIGEST_HEADER_ROOM], number[16];
    struct str headers[1];
    struct s3_request request = {.method = NET_HTTP_PUT,
                                 .name = call->name,
                                 .headers = headers,
                                 .sha256 = call->sha256_hex,
                                 .body_fd = call->fd,
                                 .body_start = part_start(call),
                                 .body_len = part_len(call)};

    buf_init(&query, SIZE_MAX);
    if (is_in_parts(call)) {
        (void)snprintf(number, sizeof(number), "%" PRIu32, call->part + 1);
        s3_query_put(&query, "partNumber", str_from_c(number));
        s3_query_put(&query, "uploadId", call->upload_id);
    } else {
        s3_digest_header(call->digest, header);
        headers[0] = str_from_c(header);
        request.header_count = 1;
    }
    send_request(call, STAGE_SENDING, &request, &query);
}

static void end_upload(struct put_call *call)
{
    CLEANUP(buf_free) struct buf query;
    CLEANUP(buf_free) struct buf body;
    unsigned char sum[EVP_MAX_MD_SIZE];
    char sha256_hex[S3_SHA256_HEX + 1];
    struct s3_request request = {
        .method = NET_HTTP_POST, .name = call->name, .sha256 = sha256_hex};

    buf_init(&query, SIZE_MAX);
    buf_init(&body, SIZE_MAX);
    buf_put(&body, STR("<CompleteMultipartUpload>"));
    for (uint32_t i = 0; i < call->part_count; i++)
        buf_putf(&body, "<Part><PartNumber>%" PRIu32 "</PartNumber><ETag>%.*s</ETag></Part>", i + 1,
                 STR_ARG(call->parts[i].etag));
    buf_put(&body, STR("</CompleteMultipartUpload>"));
    must(EVP_Digest(body.ptr, body.len, sum, NULL, EVP_sha256(), NULL));
    put_hex(sha256_hex, sum, S3_SHA256_HEX / 2);
    request.body = buf_str(&body);
    s3_query_put(&query, "uploadId", call->upload_id);
    send_request(call, STAGE_ENDING, &request, &query);
}

static void check_object(struct put_call *call)
{
    struct s3_request request = {.method = NET_HTTP_HEAD, .name = call->name};

    send_request(call, STAGE_CHECKING, &request, NULL);
}

/* ---- Steps ---- */

/* Whether its upload, if there is one, can be dropped or not: the sweep takes what is left. */
static void give_up(struct put_call *call, const char *words)
{
    if (call->upload_id.len == 0) {
        finish(call, ERR_INVALID, words);
        return;
    }
    call->ending = words;
    drop_upload(call);
}

static void next_part(struct put_call *call)
{
    if (++call->part < call->part_count) {
        begin_part(call);
        return;
    }
    if (is_in_parts(call))
        end_upload(call);
    else
        finish(call, ERR_OK, "");
}

static bool is_right_digest(struct put_call *call)
{
    unsigned char digest[CRYPT_HASH_BYTES];

    if (call->hasher != NULL)
        hasher_digest(call->hasher, digest);
    else
        memcpy(digest, call->part_digest, sizeof(digest));
    return memcmp(digest, call->digest, sizeof(digest)) == 0;
}

static void on_hashed(struct put_call *call)
{
    end_hashes(call);
    if (call->part + 1 == call->part_count && !is_right_digest(call)) {
        give_up(call, "the bytes are not those of the digest");
        return;
    }
    if (is_in_parts(call) && call->parts[call->part].etag.len > 0) {
        if (has_part(call))
            next_part(call);
        else
            drop_upload(call);
        return;
    }
    send_part(call);
}

static void on_slice(void *owner)
{
    struct put_call *call = owner;
    uint64_t left = part_len(call) - call->hashed;
    size_t want = left < S3_SLICE_BYTES ? (size_t)left : S3_SLICE_BYTES;
    ssize_t got = 0;

    if (call->slice == NULL) /* of the first part, which is as long as any */
        call->slice = mem_room(want > 0 ? want : 1);
    if (want > 0)
        got = pread(call->fd, call->slice, want, (off_t)(part_start(call) + call->hashed));
    if (got < 0) {
        finish(call, ERR_IO, "its bytes cannot be read");
        return;
    }
    if (got == 0 && want > 0) {
        give_up(call, "shorter than its size");
        return;
    }
    must(EVP_DigestUpdate(call->sha256, call->slice, (size_t)got));
    must(EVP_DigestUpdate(call->md5, call->slice, (size_t)got));
    if (call->hasher != NULL)
        hasher_add(call->hasher, str_make(call->slice, (size_t)got));
    call->hashed += (uint64_t)got;
    if (call->hashed < part_len(call))
        net_timer_start(call->timer, 0);
    else
        on_hashed(call);
}

/* The newest one of just this name. */
static enum err on_found(struct put_call *call, struct task *task, const struct s3_reply *reply)
{
    struct s3_upload *uploads;
    size_t count;
    int64_t newest_ms = INT64_MIN;

    TRY(s3_uploads_read(call->s3, task, call->name, reply->body, &uploads, &count));
    for (size_t i = 0; i < count; i++) {
        if (uploads[i].initiated_ms > newest_ms && str_equal(uploads[i].key, call->name)) {
            newest_ms = uploads[i].initiated_ms;
            call->upload_id = arena_copy(&call->arena, uploads[i].id);
        }
    }
    call->is_gone_on_with = call->upload_id.len > 0;
    if (call->is_gone_on_with)
        count_parts(call);
    else
        begin_upload(call);
    return ERR_OK;
}

static enum err on_counted(struct put_call *call, struct task *task, const struct s3_reply *reply)
{
    uint32_t highest = 0, before = call->highest;
    bool is_last;

    TRY(s3_xml_parts(task, reply->body, before, call->parts, &highest, &is_last));
    for (uint32_t i = before; i < highest; i++)
        call->parts[i].etag = arena_copy(&call->arena, call->parts[i].etag);
    call->highest = highest > before ? highest : before;
    if (highest > call->part_count)
        drop_upload(call);
    else if (!is_last && highest > before)
        count_parts(call);
    else
        begin_first(call);
    return ERR_OK;
}

static enum err on_begun(struct put_call *call, struct task *task, const struct s3_reply *reply)
{
    struct str id;

    TRY(s3_xml_upload_id(task, reply->body, &id));
    call->upload_id = arena_copy(&call->arena, id);
    begin_first(call);
    return ERR_OK;
}

static enum err on_sent(struct put_call *call, struct task *task, const struct s3_reply *reply)
{
    struct str etag = net_http_header(reply->response, "ETag");

    for (size_t i = 0; i < etag.len; i++) {
        if (etag.ptr[i] == '<' || etag.ptr[i] == '&')
            etag.len = 0;
    }
    /* What some gateway says with status 200 while the server is away is no answer of it. */
    if (etag.len == 0 || etag.len > 200)
        return fail(task, ERR_INVALID, "S3: the answer has no ETag, as if another server gave it");
    if (is_in_parts(call))
        call->parts[call->part].etag = arena_copy(&call->arena, etag);
    next_part(call);
    return ERR_OK;
}

static void on_dropped(struct put_call *call)
{
    call->upload_id = STR("");
    call->is_gone_on_with = false;
    call->highest = 0;
    memset(call->parts, 0, S3_PARTS_MAX * sizeof(*call->parts));
    begin_upload(call);
}

static enum err on_checked(struct put_call *call, struct task *task, const struct s3_reply *reply)
{
    char line[S3_DIGEST_HEADER_ROOM];
    uint64_t size_bytes;

    s3_digest_header(call->digest, line);
    if (parse_u64(net_http_header(reply->response, "Content-Length"), &size_bytes) &&
        size_bytes == call->size_bytes &&
        str_equal(net_http_header(reply->response, S3_DIGEST),
                  str_from_c(strchr(line, ' ') + 1))) {
        finish(call, ERR_OK, "");
        return ERR_OK;
    }
    if (!call->is_gone_on_with)
        return fail(task, ERR_INVALID,
                    "S3: the server took it all, and has another size or digest of it");
    on_dropped(call);
    return ERR_OK;
}

static enum err on_success(struct put_call *call, struct task *task, const struct s3_reply *reply)
{
    switch (call->stage) {
    case STAGE_FINDING:
        return on_found(call, task, reply);
    case STAGE_COUNTING:
        return on_counted(call, task, reply);
    case STAGE_BEGINNING:
        return on_begun(call, task, reply);
    case STAGE_SENDING:
        return on_sent(call, task, reply);
    case STAGE_DROPPING:
        on_dropped(call);
        return ERR_OK;
    case STAGE_ENDING:
        TRY(s3_xml_completed(task, reply->body));
        check_object(call);
        return ERR_OK;
    case STAGE_CHECKING:
        return on_checked(call, task, reply);
    case STAGE_HASHING:
        break;
    }
    abort();
}

/* Not every server can list uploads; what is gone meanwhile is begun anew. */
static bool is_forgiven(struct put_call *call, const struct s3_reply *reply)
{
    if (call->stage == STAGE_FINDING && (reply->status == 501 || reply->status == 405)) {
        begin_upload(call);
        return true;
    }
    if ((call->stage == STAGE_COUNTING || call->stage == STAGE_DROPPING) &&
        str_equal(reply->code, STR("NoSuchUpload"))) {
        on_dropped(call);
        return true;
    }
    return false;
}

static void on_reply(void *owner, const struct s3_reply *reply)
{
    struct put_call *call = owner;
    struct task task;
    enum err err = reply->err;

    call->exchange = NULL;
    if (call->ending != NULL) {
        finish(call, ERR_INVALID, call->ending);
        return;
    }
    task_init(&task, clock_now_ms());
    if (err != ERR_OK && is_forgiven(call, reply)) {
        task_done(&task);
        return;
    }
    if (err == ERR_OK)
        err = on_success(call, &task, reply);
    if (err != ERR_OK) {
        bool is_gone = str_equal(reply->code, STR("NoSuchUpload"));

        finish(call, is_gone ? ERR_BUSY : err, reply->err != ERR_OK ? reply->words : task.words);
    }
    task_done(&task);
}

/* ---- The beginning ---- */

static void on_start(void *owner)
{
    struct put_call *call = owner;

    if (call->stage == STAGE_HASHING)
        on_slice(call);
    else
        find(call);
}

static const struct backup_destination_kind put_kind = {.cancel = s3_put_cancel};

/* So large that S3_PARTS_MAX are enough. */
static uint64_t choose_part_bytes(uint64_t least, uint64_t size_bytes)
{
    uint64_t needed = size_bytes / S3_PARTS_MAX + 1;

    needed = (needed + PART_ROUND - 1) / PART_ROUND * PART_ROUND;
    return size_bytes / least < S3_PARTS_MAX ? least : needed;
}

struct backup_call *s3_put(struct backup_destination *destination, const struct backup_put *put,
                           backup_on_done on_done, void *owner)
{
    struct put_call *call = NEW(struct put_call);

    call->base.kind = &put_kind;
    call->s3 = CONTAINER_OF(destination, struct s3, base);
    call->name = arena_copy(&call->arena, put->name);
    call->fd = fcntl(put->fd, F_DUPFD_CLOEXEC, 3);
    call->size_bytes = put->size_bytes;
    memcpy(call->digest, put->digest, sizeof(call->digest));
    call->part_bytes = choose_part_bytes(call->s3->part_bytes, put->size_bytes);
    call->part_count = put->size_bytes == 0
                           ? 1
                           : (uint32_t)((put->size_bytes - 1) / call->part_bytes + 1);
    call->sha256 = EVP_MD_CTX_new();
    call->md5 = EVP_MD_CTX_new();
    must(call->sha256 != NULL && call->md5 != NULL);
    call->on_done = on_done;
    call->owner = owner;
    call->timer = net_timer_new(call->s3->loop, on_start, call);
    if (is_in_parts(call)) {
        call->parts = NEW_ARRAY(struct s3_part, S3_PARTS_MAX);
        net_timer_start(call->timer, 0); /* find */
    } else {
        begin_first(call);
    }
    return &call->base;
}
