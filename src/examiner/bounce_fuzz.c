/* Any message. What is read of it is JSON in its bounds, with nothing in it that could be anything
 * but a word: no line breaks, no white space in addresses. */
#include "examiner/bounce.h"

#include "message/structure.h"

#include <assert.h>
#include <jansson.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_word(json_t *object, const char *name, size_t max)
{
    const char *text = json_string_value(json_object_get(object, name));

    if (text != NULL)
        assert(strlen(text) <= max && strpbrk(text, " \t\r\n") == NULL && text[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct message_structure structure;
    struct structure_notes *notes;
    struct arena arena = {NULL};
    struct str message = str_make(data, size), json;
    size_t at;
    json_t *root, *one;

    structure_scan(&arena, message, &structure, &notes);
    json = examiner_read_bounce(&arena, message, &structure);
    if (json.len > 0) {
        root = json_loadb(json.ptr, json.len, 0, NULL);
        assert(root != NULL && json.len <= 64 * 1024);
        check_word(root, "message_id", BOUNCE_ID_MAX);
        check_word(root, "envid", BOUNCE_ID_MAX);
        assert(json_array_size(json_object_get(root, "failed")) > 0);
        json_array_foreach (json_object_get(root, "failed"), at, one) {
            check_word(one, "original", BOUNCE_ADDRESS_MAX);
            check_word(one, "final", BOUNCE_ADDRESS_MAX);
            assert(strncmp(json_string_value(json_object_get(one, "status")), "5.", 2) == 0);
        }
        json_decref(root);
    }
    arena_free(&arena);
    return 0;
}
