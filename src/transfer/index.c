/* The lines of an archive's index. */
#include "transfer/index.h"

#include "base/memory.h"
#include "transfer/json.h"

static void put_line(struct buf *out, json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);

    json_decref(object);
    if (text == NULL)
        return;
    buf_put(out, str_from_c(text));
    buf_put(out, STR("\n"));
    mem_free(&text);
}

void transfer_index_folder(struct buf *out, const struct transfer_folder *folder)
{
    put_line(out, transfer_json_folder(folder));
}

void transfer_index_message(struct buf *out, struct str file,
                            const struct transfer_message *message)
{
    json_t *object = transfer_json_message(message);

    json_object_set_new(object, "file", json_stringn(file.ptr, file.len));
    put_line(out, object);
}

enum err transfer_index_parse(struct task *task, struct str line, struct transfer_index_line *out)
{
    struct transfer_index_line found = {0};
    json_t *object;
    enum err err;

    if (line.len > TRANSFER_INDEX_LINE_MAX)
        return fail(task, ERR_INVALID, "a line of the index is too long");
    object = json_loadb(line.ptr, line.len, 0, NULL);
    if (!json_is_object(object)) {
        json_decref(object);
        return fail(task, ERR_INVALID, "a line of the index is not JSON");
    }
    found.is_folder = json_object_get(object, "folder") != NULL;
    if (found.is_folder) {
        err = transfer_json_read_folder(task, object, &found.folder);
    } else {
        const json_t *file = json_object_get(object, "file");

        found.file = arena_copy(&task->arena,
                                str_make(json_string_value(file), json_string_length(file)));
        err = transfer_json_read_message(task, object, &found.message);
    }
    json_decref(object);
    TRY(err);
    *out = found;
    return ERR_OK;
}
