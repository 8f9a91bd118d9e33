/* Which of a server's unfinished uploads are ours: each of them may be dropped. */
#include "backup/s3_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* "key;key;…" of those that were asked for, from a reply with `keys`, at a place as it is set. */
static struct str read_keys(struct task *task, const char *place, const char *prefix,
                            const char *keys)
{
    struct s3_client_options options = {.key_id = STR("id"), .region = STR("here")};
    struct arena copies = {0};
    struct backup_place parsed;
    struct buf body, found;
    struct str rest = str_from_c(keys), key;
    struct s3_upload *uploads = NULL;
    struct s3 s3 = {.part_bytes = 1};
    struct task reading;
    size_t count = 0;

    task_init(&reading, 0);
    assert_null(backup_place_parse(&reading.arena, str_from_c(place), &parsed));
    options.place = &parsed;
    s3.client = s3_client_new(&options);
    buf_init(&body, SIZE_MAX);
    buf_init(&found, SIZE_MAX);
    buf_put(&body, STR("<ListMultipartUploadsResult>"));
    for (size_t i = 1; rest.len > 0 && str_split(&rest, ';', &key); i++)
        buf_putf(&body,
                 "<Upload><Key>%.*s</Key><UploadId>u%zu</UploadId>"
                 "<Initiated>2026-11-21T10:00:00.000Z</Initiated></Upload>",
                 STR_ARG(key), i);
    buf_put(&body, STR("</ListMultipartUploadsResult>"));
    assert_int_equal(
        s3_uploads_read(&s3, &reading, str_from_c(prefix), buf_str(&body), &uploads, &count),
        ERR_OK);
    uploads = s3_uploads_copy(&copies, uploads, count);
    buf_free(&body);
    task_done(&reading);
    for (size_t i = 0; i < count; i++) {
        assert_true(uploads[i].initiated_ms > 0);
        buf_putf(&found, "%.*s=%.*s;", STR_ARG(uploads[i].key), STR_ARG(uploads[i].id));
    }
    key = arena_copy(&task->arena, buf_str(&found));
    buf_free(&found);
    arena_free(&copies);
    s3_client_free(&s3.client);
    return key;
}

static void only_what_was_asked_for(void **state)
{
    static const struct {
        const char *rule, *place, *prefix, *keys, *found;
    } rows[] = {
        {"all of ours", "s3:https://s3.test/bucket", "", "m/a;account/b", "m/a=u1;account/b=u2;"},
        {"without the place's prefix", "s3:https://s3.test/bucket/p", "", "p/m/a", "m/a=u1;"},
        {"another's in the bucket", "s3:https://s3.test/bucket/p", "",
         "m/a;q/m/a;p;p/;pm/a;pp/m/a;P/m/a;q/p/m/a;p/m/b", "m/b=u9;"},
        {"no names of ours", "s3:https://s3.test/bucket/p", "",
         "p/.m/a;p/m/.a;p/m//a;p/m/a/;p//m;p/m/a.digest;p/m/a b;p/m/b", "m/b=u8;"},
        {"of one mailbox", "s3:https://s3.test/bucket/p", "m/",
         "p/m;p/m/;p/mm/a;p/n/m/a;p/m/a;m/a;p/m/full/b", "m/a=u5;m/full/b=u7;"},
        {"of one name, and those that it begins", "s3:https://s3.test/bucket/p", "m/a",
         "p/m/b;p/m/a;p/m/ab;p/m/a", "m/a=u2;m/ab=u3;m/a=u4;"},
        {"none", "s3:https://s3.test/bucket/p", "m/", "", ""},
    };
    struct task task;

    (void)state;
    task_init(&task, 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str found = read_keys(&task, rows[i].place, rows[i].prefix, rows[i].keys);

        if (!str_equal(found, str_from_c(rows[i].found)))
            fail_msg("%s: %.*s", rows[i].rule, STR_ARG(found));
    }
    task_done(&task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_was_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
