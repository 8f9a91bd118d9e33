#include "backup/s3_xml.h"

#include "base/ascii.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/memory.h"

#include <expat.h>
#include <string.h>

/* One document, while it is read. */
struct reading {
    XML_Parser parser; /* own */
    struct task *task; /* borrowed */
    const char *fault; /* static; NULL: none yet */
    struct buf path;   /* "ListBucketResult/Contents/Key" */
    struct buf text;   /* of the element that is open */
    unsigned depth;
    /* A leaf, or an element that ends: its path and the text in it. */
    void (*on_element)(struct reading *reading, struct str path, struct str text);
    void *owner; /* borrowed */
};

static void stop(struct reading *reading, const char *fault)
{
    if (reading->fault == NULL)
        reading->fault = fault;
    (void)XML_StopParser(reading->parser, XML_FALSE);
}

static void XMLCALL on_start(void *owner, const XML_Char *name, const XML_Char **attributes)
{
    struct reading *reading = owner;

    (void)attributes;
    if (++reading->depth > S3_XML_DEPTH_MAX ||
        (reading->path.len > 0 && buf_append_byte(&reading->path, '/') != ERR_OK) ||
        buf_append(&reading->path, str_from_c(name)) != ERR_OK)
        stop(reading, "elements too deep");
    buf_reset(&reading->text);
}

static void XMLCALL on_end(void *owner, const XML_Char *name)
{
    struct reading *reading = owner;
    size_t name_len = strlen(name);

    if (reading->fault != NULL)
        return;
    reading->on_element(reading, buf_str(&reading->path), str_trim(buf_str(&reading->text)));
    buf_reset(&reading->text);
    reading->depth--;
    buf_truncate(&reading->path,
                 reading->path.len > name_len ? reading->path.len - name_len - 1 : 0);
}

static void XMLCALL on_text(void *owner, const XML_Char *bytes, int len)
{
    struct reading *reading = owner;

    if (reading->fault == NULL &&
        buf_append(&reading->text, str_make(bytes, (size_t)len)) != ERR_OK)
        stop(reading, "a text too long");
}

static void XMLCALL on_doctype(void *owner, const XML_Char *name, const XML_Char *system,
                               const XML_Char *public, int has_internal_subset)
{
    (void)name;
    (void)system;
    (void)public;
    (void)has_internal_subset;
    stop(owner, "a document type");
}

static enum err read_all(struct task *task, struct str body,
                         void (*on_element)(struct reading *reading, struct str path,
                                            struct str text),
                         void *owner)
{
    struct reading reading = {.task = task, .on_element = on_element, .owner = owner};
    enum XML_Status status;

    if (body.len == 0 || body.len > S3_XML_BODY_MAX)
        return fail(task, ERR_INVALID, "S3: no XML where some was expected");
    reading.parser = XML_ParserCreate("UTF-8");
    if (reading.parser == NULL)
        return fail(task, ERR_BUSY, "S3: no memory for XML");
    buf_init(&reading.path, 1024);
    buf_init(&reading.text, S3_XML_TEXT_MAX);
    XML_SetUserData(reading.parser, &reading);
    XML_SetElementHandler(reading.parser, on_start, on_end);
    XML_SetCharacterDataHandler(reading.parser, on_text);
    XML_SetStartDoctypeDeclHandler(reading.parser, on_doctype);
    status = XML_Parse(reading.parser, body.ptr, (int)body.len, XML_TRUE);
    if (status != XML_STATUS_OK && reading.fault == NULL)
        reading.fault = "not well-formed";
    XML_ParserFree(reading.parser);
    buf_free(&reading.path);
    buf_free(&reading.text);
    return reading.fault == NULL ? ERR_OK
                                 : fail(task, ERR_INVALID, "S3: XML with %s", reading.fault);
}

static struct str keep(struct reading *reading, struct str text)
{
    return arena_copy(&reading->task->arena, text);
}

/* "true" or "false". */
static bool read_flag(struct reading *reading, struct str text)
{
    if (str_equal(text, STR("true")))
        return true;
    if (!str_equal(text, STR("false")))
        stop(reading, "a flag that is none");
    return false;
}

/* ISO 8601 with or without milliseconds. */
static int64_t read_time(struct reading *reading, struct str text)
{
    char room[CLOCK_ISO_ROOM + 4];
    int64_t ms = 0;

    if (text.len == 20 && text.ptr[19] == 'Z') {
        memcpy(room, text.ptr, 19);
        memcpy(room + 19, ".000Z", 5);
        text = str_make(room, 24);
    }
    if (!clock_parse_iso(text, &ms))
        stop(reading, "a time that is none");
    return ms;
}

static uint64_t read_number(struct reading *reading, struct str text)
{
    uint64_t value = 0;

    if (!parse_u64(text, &value))
        stop(reading, "a number that is none");
    return value;
}

/* ---- Listing objects ---- */

struct listing {
    struct backup_page *page;
    struct str root;
    struct str key, last_key; /* in the task's arena */
    uint64_t size_bytes;
    int64_t modified_ms;
    bool is_root, is_truncated;
};

static void list_element(struct reading *reading, struct str path, struct str text)
{
    struct listing *listing = reading->owner;

    if (str_equal(path, STR("ListBucketResult"))) {
        listing->is_root = true;
    } else if (str_equal(path, STR("ListBucketResult/IsTruncated"))) {
        listing->is_truncated = read_flag(reading, text);
    } else if (str_equal(path, STR("ListBucketResult/Contents/Key"))) {
        listing->key = keep(reading, text);
    } else if (str_equal(path, STR("ListBucketResult/Contents/Size"))) {
        listing->size_bytes = read_number(reading, text);
    } else if (str_equal(path, STR("ListBucketResult/Contents/LastModified"))) {
        listing->modified_ms = read_time(reading, text);
    } else if (str_equal(path, STR("ListBucketResult/Contents"))) {
        listing->last_key = listing->key;
        /* What others keep there is none of ours. */
        if (str_starts_with(listing->key, listing->root) &&
            backup_name_is_valid(str_from(listing->key, listing->root.len)))
            backup_page_add(listing->page, str_from(listing->key, listing->root.len),
                            listing->size_bytes, listing->modified_ms);
        listing->key = STR("");
        listing->size_bytes = 0;
        listing->modified_ms = 0;
    }
}

enum err s3_xml_list(struct task *task, struct str body, struct str root,
                     struct backup_page *page, struct str *out_last_key)
{
    struct listing listing = {.page = page, .root = root, .key = STR(""), .last_key = STR("")};

    TRY(read_all(task, body, list_element, &listing));
    if (!listing.is_root)
        return fail(task, ERR_INVALID, "S3: no list of objects");
    if (listing.is_truncated)
        backup_page_set_cut(page);
    *out_last_key = listing.last_key;
    return ERR_OK;
}

/* ---- Uploads in parts ---- */

struct texts {
    struct str text;
    bool is_root;
};

static void upload_id_element(struct reading *reading, struct str path, struct str text)
{
    struct texts *texts = reading->owner;

    if (str_equal(path, STR("InitiateMultipartUploadResult/UploadId")))
        texts->text = keep(reading, text);
}

enum err s3_xml_upload_id(struct task *task, struct str body, struct str *out_id)
{
    struct texts texts = {.text = STR("")};

    TRY(read_all(task, body, upload_id_element, &texts));
    if (texts.text.len == 0)
        return fail(task, ERR_INVALID, "S3: no upload was begun");
    *out_id = texts.text;
    return ERR_OK;
}

struct uploads {
    struct s3_upload *at; /* in the task's arena */
    size_t count;
    struct s3_upload next;
    bool is_root;
};

static void upload_element(struct reading *reading, struct str path, struct str text)
{
    struct uploads *uploads = reading->owner;

    if (str_equal(path, STR("ListMultipartUploadsResult"))) {
        uploads->is_root = true;
    } else if (str_equal(path, STR("ListMultipartUploadsResult/Upload/Key"))) {
        uploads->next.key = keep(reading, text);
    } else if (str_equal(path, STR("ListMultipartUploadsResult/Upload/UploadId"))) {
        uploads->next.id = keep(reading, text);
    } else if (str_equal(path, STR("ListMultipartUploadsResult/Upload/Initiated"))) {
        uploads->next.initiated_ms = read_time(reading, text);
    } else if (str_equal(path, STR("ListMultipartUploadsResult/Upload"))) {
        if (uploads->next.key.len == 0 || uploads->next.id.len == 0)
            stop(reading, "an upload without a name");
        else if (uploads->count < S3_UPLOADS_MAX)
            uploads->at[uploads->count++] = uploads->next;
        uploads->next = (struct s3_upload){.initiated_ms = 0};
    }
}

enum err s3_xml_uploads(struct task *task, struct str body, struct s3_upload **out,
                        size_t *out_count)
{
    struct uploads uploads = {
        .at = ARENA_ARRAY(&task->arena, struct s3_upload, S3_UPLOADS_MAX)};

    TRY(read_all(task, body, upload_element, &uploads));
    if (!uploads.is_root)
        return fail(task, ERR_INVALID, "S3: no list of uploads");
    *out = uploads.at;
    *out_count = uploads.count;
    return ERR_OK;
}

struct parts {
    struct s3_part *at;
    uint32_t after;
    struct s3_part next;
    uint64_t number;
    uint32_t highest;
    bool is_root, is_truncated;
};

static void part_element(struct reading *reading, struct str path, struct str text)
{
    struct parts *parts = reading->owner;

    if (str_equal(path, STR("ListPartsResult"))) {
        parts->is_root = true;
    } else if (str_equal(path, STR("ListPartsResult/IsTruncated"))) {
        parts->is_truncated = read_flag(reading, text);
    } else if (str_equal(path, STR("ListPartsResult/Part/PartNumber"))) {
        parts->number = read_number(reading, text);
    } else if (str_equal(path, STR("ListPartsResult/Part/ETag"))) {
        parts->next.etag = keep(reading, text);
    } else if (str_equal(path, STR("ListPartsResult/Part/Size"))) {
        parts->next.size_bytes = read_number(reading, text);
    } else if (str_equal(path, STR("ListPartsResult/Part"))) {
        if (parts->number < 1 || parts->number > S3_PARTS_MAX) {
            stop(reading, "a part that cannot be");
            return;
        }
        if (parts->number > parts->after)
            parts->at[parts->number - 1] = parts->next;
        if (parts->number > parts->highest)
            parts->highest = (uint32_t)parts->number;
        parts->next = (struct s3_part){.size_bytes = 0};
        parts->number = 0;
    }
}

enum err s3_xml_parts(struct task *task, struct str body, uint32_t after, struct s3_part *parts_at,
                      uint32_t *out_highest, bool *out_is_last)
{
    struct parts parts = {.at = parts_at, .after = after};

    TRY(read_all(task, body, part_element, &parts));
    if (!parts.is_root)
        return fail(task, ERR_INVALID, "S3: no list of parts");
    *out_highest = parts.highest;
    *out_is_last = !parts.is_truncated;
    return ERR_OK;
}

static void completed_element(struct reading *reading, struct str path, struct str text)
{
    struct texts *texts = reading->owner;

    (void)text;
    if (str_equal(path, STR("CompleteMultipartUploadResult")))
        texts->is_root = true;
}

enum err s3_xml_completed(struct task *task, struct str body)
{
    struct texts texts = {.is_root = false};
    struct str code = s3_xml_error_code(task, body);

    if (code.len > 0)
        return fail(task, ERR_BUSY, "S3: the upload could not be ended: %.*s", STR_ARG(code));
    TRY(read_all(task, body, completed_element, &texts));
    return texts.is_root ? ERR_OK : fail(task, ERR_INVALID, "S3: no end of an upload");
}

/* ---- Errors ---- */

static void error_element(struct reading *reading, struct str path, struct str text)
{
    struct texts *texts = reading->owner;

    if (!str_equal(path, STR("Error/Code")) || text.len > 64)
        return;
    for (size_t i = 0; i < text.len; i++) {
        if (!ascii_is_alnum(text.ptr[i]))
            return;
    }
    texts->text = keep(reading, text);
}

struct str s3_xml_error_code(struct task *task, struct str body)
{
    struct texts texts = {.text = STR("")};
    struct task inner;
    struct str code = STR("");

    task_init(&inner, task->now_ms);
    if (read_all(&inner, body, error_element, &texts) == ERR_OK)
        code = arena_copy(&task->arena, texts.text);
    task_done(&inner);
    return code;
}
