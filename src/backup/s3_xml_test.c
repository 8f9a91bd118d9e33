#include "backup/s3_xml.h"

#include "base/buf.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void error_codes(void **state)
{
    static const struct {
        const char *rule, *body, *code;
    } cases[] = {
        {"plain", "<Error><Code>NoSuchKey</Code></Error>", "NoSuchKey"},
        {"with a namespace", "<Error xmlns='x'><Message>m</Message><Code>A1</Code></Error>", "A1"},
        {"not for a log", "<Error><Code>a\nb</Code></Error>", ""},
        {"not at its place", "<Code>NoSuchKey</Code>", ""},
        {"no XML", "<html><body>502", ""},
        {"nothing", "", ""},
        {"entities", "<!DOCTYPE x [<!ENTITY a 'b'>]><Error><Code>&a;</Code></Error>", ""},
        {"cut", "<Error><Code>NoSuchKey</Code>", ""},
    };
    struct task task;

    (void)state;
    task_init(&task, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str code = s3_xml_error_code(&task, str_from_c(cases[i].body));

        if (!str_equal(code, str_from_c(cases[i].code)))
            fail_msg("%s: %.*s", cases[i].rule, STR_ARG(code));
    }
    task_done(&task);
}

static const char list_text[] =
    "<ListBucketResult><IsTruncated>%s</IsTruncated>"
    "<Contents><Key>p/m/a</Key><LastModified>2026-11-21T10:00:00.000Z</LastModified><Size>%s</Size>"
    "</Contents><Contents><Key>p/.x</Key><Size>1</Size></Contents>"
    "<Contents><Key>q/m/b</Key><Size>1</Size></Contents>"
    "<Contents><Key>p/m/c</Key><LastModified>2026-11-21T10:00:00Z</LastModified><Size>2</Size>"
    "</Contents></ListBucketResult>";

static enum err read_list(struct task *task, const char *truncated, const char *size,
                          struct backup_page *page)
{
    char text[1024];
    struct str last;

    (void)snprintf(text, sizeof(text), list_text, truncated, size);
    return s3_xml_list(task, str_from_c(text), STR("p/"), page, &last);
}

static void lists(void **state)
{
    CLEANUP(backup_page_free) struct backup_page *page = backup_page_new(STR(""), STR(""), 10);
    const struct backup_object *objects;
    struct task task;
    size_t count;

    (void)state;
    task_init(&task, 0);
    assert_int_equal(read_list(&task, "true", "12345678901", page), ERR_OK);
    objects = backup_page_objects(page, &count);
    assert_int_equal(count, 2);
    assert_true(str_equal(objects[0].name, STR("m/a")));
    assert_true(objects[0].size_bytes == 12345678901);
    assert_true(objects[0].modified_ms == objects[1].modified_ms);
    assert_true(backup_page_is_cut(page));
    assert_int_equal(read_list(&task, "maybe", "1", page), ERR_INVALID);
    assert_int_equal(read_list(&task, "true", "-1", page), ERR_INVALID);
    task_done(&task);
}

static void what_is_too_much_is_refused(void **state)
{
    CLEANUP(buf_free) struct buf deep, wide;
    struct task task;
    struct str id;

    (void)state;
    task_init(&task, 0);
    buf_init(&deep, SIZE_MAX);
    buf_init(&wide, SIZE_MAX);
    for (int i = 0; i < S3_XML_DEPTH_MAX + 1; i++)
        buf_put(&deep, STR("<a>"));
    for (int i = 0; i < S3_XML_DEPTH_MAX + 1; i++)
        buf_put(&deep, STR("</a>"));
    assert_int_equal(s3_xml_upload_id(&task, buf_str(&deep), &id), ERR_INVALID);
    assert_non_null(strstr(task.words, "too deep"));
    buf_put(&wide, STR("<InitiateMultipartUploadResult><UploadId>"));
    for (int i = 0; i < S3_XML_TEXT_MAX + 1; i++)
        buf_put(&wide, STR("a"));
    buf_put(&wide, STR("</UploadId></InitiateMultipartUploadResult>"));
    assert_int_equal(s3_xml_upload_id(&task, buf_str(&wide), &id), ERR_INVALID);
    assert_int_equal(s3_xml_upload_id(&task, STR("<x/>"), &id), ERR_INVALID);
    assert_int_equal(s3_xml_completed(&task, STR("<x/>")), ERR_INVALID);
    assert_int_equal(s3_xml_completed(&task, STR("<Error><Code>SlowDown</Code></Error>")), ERR_BUSY);
    assert_int_equal(s3_xml_completed(&task, STR("<CompleteMultipartUploadResult/>")), ERR_OK);
    task_done(&task);
}

static void parts(void **state)
{
    struct s3_part *at = NEW_ARRAY(struct s3_part, S3_PARTS_MAX);
    struct task task;
    uint32_t highest = 0;
    bool is_last = true;

    (void)state;
    task_init(&task, 0);
    assert_int_equal(
        s3_xml_parts(&task,
                     STR("<ListPartsResult><IsTruncated>true</IsTruncated><Part><PartNumber>2"
                         "</PartNumber><ETag>&quot;e&quot;</ETag><Size>5</Size></Part>"
                         "</ListPartsResult>"),
                     0, at, &highest, &is_last),
        ERR_OK);
    assert_int_equal(highest, 2);
    assert_false(is_last);
    assert_true(str_equal(at[1].etag, STR("\"e\"")));
    assert_int_equal(at[1].size_bytes, 5);
    assert_int_equal(s3_xml_parts(&task,
                                  STR("<ListPartsResult><Part><PartNumber>10001</PartNumber>"
                                      "</Part></ListPartsResult>"),
                                  0, at, &highest, &is_last),
                     ERR_INVALID);
    /* What was not asked for leaves what is there, whose texts the caller has copied. */
    assert_int_equal(s3_xml_parts(&task,
                                  STR("<ListPartsResult><Part><PartNumber>2</PartNumber><ETag>x"
                                      "</ETag></Part></ListPartsResult>"),
                                  2, at, &highest, &is_last),
                     ERR_OK);
    assert_true(str_equal(at[1].etag, STR("\"e\"")));
    mem_free(&at);
    task_done(&task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_codes),
        cmocka_unit_test(lists),
        cmocka_unit_test(what_is_too_much_is_refused),
        cmocka_unit_test(parts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
