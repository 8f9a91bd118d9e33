#include "examiner/check_render.h"

#include "base/encode.h"
#include "base/file.h"
#include "base/macros.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

static struct str text_of(const json_t *value)
{
    assert(json_is_string(value));
    return str_make(json_string_value(value), json_string_length(value));
}

static void check_base64(const json_t *value, struct buf *out)
{
    buf_reset(out);
    assert(decode_base64(out, text_of(value)) == ERR_OK);
}

static void check_members(json_t *whole, const struct render_request *request)
{
    static const char *const arrays[] = {"headers", "from",       "replyTo",    "to",
                                         "cc",      "references", "attachments"};
    static const char *const texts_or_null[] = {"date", "messageId", "inReplyTo", "text", "html"};
    CLEANUP(buf_free) struct buf bytes;
    json_t *item;
    size_t i;

    buf_init(&bytes, SIZE_MAX);
    for (i = 0; i < ARRAY_LEN(arrays); i++)
        assert(json_is_array(json_object_get(whole, arrays[i])));
    for (i = 0; i < ARRAY_LEN(texts_or_null); i++) {
        item = json_object_get(whole, texts_or_null[i]);
        assert(json_is_string(item) || json_is_null(item));
    }
    assert(json_is_string(json_object_get(whole, "subject")));
    assert(json_array_size(json_object_get(whole, "headers")) <= RENDER_FIELDS_MAX);
    json_array_foreach(json_object_get(whole, "attachments"), i, item) {
        check_base64(json_object_get(item, "content"), &bytes);
        assert((json_int_t)bytes.len == json_integer_value(json_object_get(item, "size")));
        assert(json_is_string(json_object_get(item, "contentType")));
    }
    item = json_object_get(whole, "raw");
    assert((item != NULL) == request->with_raw);
    if (item == NULL)
        return;
    check_base64(item, &bytes);
    assert(str_equal(buf_str(&bytes), str_from(request->message, (size_t)request->trace_len)));
}

json_t *check_render(const struct render_request *request)
{
    CLEANUP(fd_close) int fd = -1;
    CLEANUP(buf_free) struct buf text;
    struct task task;
    json_t *whole;

    task_init(&task, 0);
    buf_init(&text, SIZE_MAX);
    assert(memfd_new(&task, &fd) == ERR_OK);
    assert(render_message(&task, request, fd) == ERR_OK);
    assert(fd_read_all(&task, fd, SIZE_MAX, &text) == ERR_OK);
    task_done(&task);
    assert(str_is_utf8(buf_str(&text)));
    whole = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
    assert(json_is_object(whole));
    check_members(whole, request);
    return whole;
}
