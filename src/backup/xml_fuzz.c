/* What an S3 server says: whatever it is, each reader takes it or refuses it; and of what the reader of
 * lists takes, every name is one of ours, in bounds. */
#include "backup/s3_xml.h"
#include "base/memory.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_list(struct task *task, struct str body)
{
    CLEANUP(backup_page_free) struct backup_page *page = backup_page_new(STR(""), STR(""), 3);
    struct str last;
    size_t count;
    const struct backup_object *objects;

    if (s3_xml_list(task, body, STR("p/"), page, &last) != ERR_OK)
        return;
    objects = backup_page_objects(page, &count);
    for (size_t i = 0; i < count; i++) {
        if (!backup_name_is_valid(objects[i].name))
            abort();
    }
    if (count > 3)
        abort();
}

static void read_uploads(struct task *task, struct str body)
{
    struct s3_upload *uploads;
    struct str id;
    size_t count;

    if (s3_xml_uploads(task, body, &uploads, &count) == ERR_OK) {
        for (size_t i = 0; i < count; i++) {
            if (uploads[i].id.len == 0 || uploads[i].key.len > S3_XML_TEXT_MAX)
                abort();
        }
    }
    if (s3_xml_upload_id(task, body, &id) == ERR_OK && id.len == 0)
        abort();
}

static void read_parts(struct task *task, struct str body)
{
    struct s3_part *parts = NEW_ARRAY(struct s3_part, S3_PARTS_MAX);
    uint32_t highest = 0;
    bool is_last;

    if (s3_xml_parts(task, body, 0, parts, &highest, &is_last) == ERR_OK && highest > S3_PARTS_MAX)
        abort();
    mem_free(&parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str body = str_make(data, size);
    struct task task;

    task_init(&task, 0);
    read_list(&task, body);
    read_uploads(&task, body);
    read_parts(&task, body);
    if (s3_xml_error_code(&task, body).len > 64)
        abort();
    if (s3_xml_completed(&task, body) == ERR_OK && size == 0)
        abort();
    task_done(&task);
    return 0;
}
