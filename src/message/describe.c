/*
 * Tells what message_parse finds in the files named on standard input, one a line: for comparison
 * with an independent reader (tests/corpus/compare.py). For each file a line with the number of
 * parts, then for each part a line: kind type/subtype header-start header-length body-start
 * body-length lines; then subject, From and To, each as one line of hexadecimal UTF-8.
 */
#include "base/encode.h"
#include "base/file.h"
#include "message/message.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_hex(struct str text)
{
    struct buf hex;

    buf_init(&hex, SIZE_MAX);
    if (encode_hex(&hex, text) != ERR_OK)
        abort();
    printf("%.*s\n", STR_ARG(buf_str(&hex)));
    buf_free(&hex);
}

static void describe(struct str raw)
{
    struct message_summary summary;
    struct task task;

    task_init(&task, 0);
    message_parse(&task, raw, &summary);
    printf("%" PRIu32 "\n", summary.structure.part_count);
    for (uint32_t i = 0; i < summary.structure.part_count; i++) {
        const struct message_part *part = &summary.structure.parts[i];

        printf("%d %.*s/%.*s %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu32 "\n",
               (int)part->kind, STR_ARG(part->type), STR_ARG(part->subtype), part->header_start,
               part->header_len, part->body_start, part->body_len, part->body_lines);
    }
    put_hex(summary.subject);
    put_hex(summary.from);
    put_hex(summary.to);
    task_done(&task);
}

int main(void)
{
    char path[4096];

    message_init_library();
    while (fgets(path, sizeof(path), stdin) != NULL) {
        struct buf raw;
        struct task task;

        path[strcspn(path, "\n")] = 0;
        task_init(&task, 0);
        buf_init(&raw, SIZE_MAX);
        if (file_read(&task, AT_FDCWD, path, SIZE_MAX, &raw) != ERR_OK) {
            fprintf(stderr, "%s: %s\n", path, task.words);
            return 1;
        }
        describe(buf_str(&raw));
        buf_free(&raw);
        task_done(&task);
    }
    return 0;
}
