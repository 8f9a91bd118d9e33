/* Answers as text. */
#include "cli/render.h"

#include "base/memory.h"

#include <string.h>

static struct str text_of(const json_t *value)
{
    return str_make(json_string_value(value), json_string_length(value));
}

static bool is_size(const char *name)
{
    static const char *const sizes[] = {"quota", "used", "waiting", "used_bytes", "mail_bytes"};

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        if (strcmp(name, sizes[i]) == 0)
            return true;
    }
    return false;
}

static void put_size(struct buf *out, json_int_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    uint64_t tenths = (uint64_t)bytes * 10;

    if (bytes > INT64_MAX / 20) {
        buf_putf(out, "%lld B", (long long)bytes);
        return;
    }
    while (tenths >= 10240 && unit + 1 < ARRAY_LEN(units)) {
        tenths /= 1024;
        unit++;
    }
    if (unit == 0 || tenths % 10 == 0)
        buf_putf(out, "%llu %s", (unsigned long long)tenths / 10, units[unit]);
    else
        buf_putf(out, "%llu.%llu %s", (unsigned long long)tenths / 10,
                 (unsigned long long)tenths % 10, units[unit]);
}

static void put_scalar(struct buf *out, const char *name, const json_t *value)
{
    if (json_is_string(value))
        buf_put(out, text_of(value));
    else if (json_is_integer(value) && is_size(name))
        put_size(out, json_integer_value(value));
    else if (json_is_integer(value))
        buf_putf(out, "%lld", (long long)json_integer_value(value));
    else if (json_is_boolean(value))
        buf_putf(out, "%s", json_is_true(value) ? "yes" : "no");
    else if (json_is_null(value))
        buf_putf(out, "%s", strcmp(name, "quota") == 0 ? "none" : "-");
}

static void put_value(struct buf *out, const char *name, const json_t *value)
{
    if (!json_is_array(value)) {
        put_scalar(out, name, value);
        return;
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        buf_putf(out, "%s", i == 0 ? "" : ", ");
        put_scalar(out, name, json_array_get(value, i));
    }
}

/* What stands elsewhere, or has a structure that only JSON shows. */
static bool is_left_out(const char *name, const json_t *value)
{
    return strcmp(name, "status") == 0 || strcmp(name, "message") == 0 ||
           strcmp(name, "hint") == 0 || strcmp(name, "confirm") == 0 || json_is_object(value) ||
           json_is_object(json_array_get(value, 0));
}

/* "recovery_key" as "recovery key:", in a column. */
static void put_name(struct buf *out, const char *name, size_t width)
{
    size_t len = strlen(name);

    buf_putf(out, "  ");
    for (size_t i = 0; i < len; i++)
        buf_putf(out, "%c", name[i] == '_' ? ' ' : name[i]);
    buf_putf(out, ":%*s", (int)(width - len + 2), "");
}

static void put_json(struct buf *out, const json_t *value, size_t flags)
{
    char *text = json_dumps(value, flags);

    if (text == NULL)
        return;
    buf_put(out, str_from_c(text));
    mem_wipe(text, strlen(text));
    mem_free(&text);
}

void cli_render_answer(struct buf *out, const json_t *answer, bool is_json)
{
    const json_t *message = json_object_get(answer, "message");
    const json_t *hint = json_object_get(answer, "hint");
    size_t width = 0;
    const char *name;
    json_t *value;

    if (is_json) {
        put_json(out, answer, JSON_INDENT(2));
        buf_putf(out, "\n");
        return;
    }
    if (json_is_string(message))
        buf_putf(out, "%s\n", json_string_value(message));
    /* jansson's iteration takes no const object, and changes none. */
    json_object_foreach((json_t *)(uintptr_t)answer, name, value)
    {
        if (!is_left_out(name, value) && strlen(name) > width)
            width = strlen(name);
    }
    json_object_foreach((json_t *)(uintptr_t)answer, name, value)
    {
        if (is_left_out(name, value))
            continue;
        put_name(out, name, width);
        put_value(out, name, value);
        buf_putf(out, "\n");
    }
    if (json_is_string(hint))
        buf_putf(out, "%s\n", json_string_value(hint));
}

void cli_render_failure(struct buf *out, const json_t *answer)
{
    const json_t *message = json_object_get(answer, "message");
    const json_t *hint = json_object_get(answer, "hint");

    buf_putf(out, "sealpost: %s\n",
             json_is_string(message) ? json_string_value(message) : "It did not work.");
    if (json_is_string(hint))
        buf_putf(out, "%s\n", json_string_value(hint));
}

/* How many characters a terminal shows: bytes that do not continue one. */
static int shown_width(struct str text)
{
    int width = 0;

    for (size_t i = 0; i < text.len; i++)
        width += ((unsigned char)text.ptr[i] & 0xc0) != 0x80;
    return width;
}

/* The column's name as a C string, as the members' functions want it. */
struct column {
    char name[32];
};

static struct column column_of(struct str word)
{
    struct column column = {{0}};

    word = str_upto(word, sizeof(column.name) - 1);
    memcpy(column.name, word.ptr, word.len);
    return column;
}

static int cell_width(const json_t *item, const char *name)
{
    CLEANUP(buf_free) struct buf cell;

    buf_init(&cell, SIZE_MAX);
    put_value(&cell, name, json_object_get(item, name));
    return shown_width(buf_str(&cell));
}

static void measure(struct cli_render_list *list, const json_t *items)
{
    struct str rest = str_from_c(list->command->columns), word;
    size_t column = 0;

    while (rest.ptr != NULL && str_split(&rest, ' ', &word) && column < ARRAY_LEN(list->widths)) {
        struct column name = column_of(word);

        list->widths[column] = (int)word.len;
        for (size_t i = 0; i < json_array_size(items); i++) {
            int width = cell_width(json_array_get(items, i), name.name);

            if (width > list->widths[column])
                list->widths[column] = width;
        }
        column++;
    }
}

/* One row: of `item`, or of the columns' names when it is NULL. */
static void put_row(const struct cli_render_list *list, struct buf *out, const json_t *item)
{
    struct str rest = str_from_c(list->command->columns), word;
    size_t column = 0;

    while (rest.ptr != NULL && str_split(&rest, ' ', &word) && column < ARRAY_LEN(list->widths)) {
        struct column name = column_of(word);
        size_t before = out->len;
        int width;

        if (item == NULL)
            for (size_t i = 0; i < word.len; i++)
                buf_putf(out, "%c", word.ptr[i] == '_' ? ' ' : word.ptr[i]);
        else
            put_value(out, name.name, json_object_get(item, name.name));
        width = shown_width(str_from(buf_str(out), before));
        if (rest.ptr != NULL && width < list->widths[column])
            buf_putf(out, "%*s", list->widths[column] - width, "");
        buf_putf(out, rest.ptr != NULL ? "  " : "\n");
        column++;
    }
}

void cli_render_list_page(struct cli_render_list *list, struct buf *out, const json_t *answer)
{
    const json_t *items = json_object_get(answer, "items");

    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);

        if (list->is_json) {
            buf_putf(out, "%s", list->item_count == 0 ? "[\n" : ",\n");
            put_json(out, item, JSON_COMPACT);
        } else {
            if (list->item_count == 0) {
                measure(list, items);
                put_row(list, out, NULL);
            }
            put_row(list, out, item);
        }
        list->item_count++;
    }
}

void cli_render_list_end(struct cli_render_list *list, struct buf *out)
{
    if (list->is_json)
        buf_putf(out, "%s", list->item_count == 0 ? "[]\n" : "\n]\n");
    else if (list->item_count == 0)
        buf_putf(out, "There are none.\n");
}

int cli_render_exit_code(const json_t *answer)
{
    const json_t *status = json_object_get(answer, "status");

    for (size_t i = 0; json_is_string(status) && i < admin_status_count; i++) {
        if (str_equal(text_of(status), str_from_c(admin_statuses[i].name)))
            return admin_statuses[i].exit_code;
    }
    return ADMIN_EXIT_FAILED;
}
