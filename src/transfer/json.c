/* Folders and messages as JSON objects. */
#include "transfer/json.h"

#include "base/clock.h"
#include "vault/maildrop.h"

static void put_text(json_t *object, const char *name, struct str text)
{
    json_t *value = json_stringn(text.ptr, text.len);

    /* Not UTF-8: the reader takes what is missing for empty. */
    if (value != NULL)
        json_object_set_new(object, name, value);
}

static void put_number(json_t *object, const char *name, int64_t value)
{
    json_object_set_new(object, name, json_integer(value));
}

json_t *transfer_json_folder(const struct transfer_folder *folder)
{
    json_t *object = json_object();

    put_text(object, "folder", folder->name);
    if (folder->use != VAULT_USE_NONE)
        put_text(object, "use", transfer_use_name(folder->use));
    json_object_set_new(object, "subscribed", json_boolean(folder->is_subscribed));
    if (!folder->is_selectable)
        json_object_set_new(object, "selectable", json_false());
    if (folder->uidvalidity != 0)
        put_number(object, "uidvalidity", folder->uidvalidity);
    if (folder->uidnext != 0)
        put_number(object, "uidnext", folder->uidnext);
    if (folder->source.len > 0)
        put_text(object, "source", folder->source);
    return object;
}

json_t *transfer_json_message(const struct transfer_message *message)
{
    json_t *object = json_object(), *flags = json_array();
    char date[CLOCK_ISO_ROOM];

    for (size_t i = 0; i < TRANSFER_FLAG_COUNT; i++) {
        if ((message->flags & transfer_flags[i].flag) != 0)
            json_array_append_new(flags, json_stringn(transfer_flags[i].name.ptr,
                                                      transfer_flags[i].name.len));
    }
    for (size_t i = 0; i < message->keyword_count; i++) {
        json_t *keyword = json_stringn(message->keywords[i].ptr, message->keywords[i].len);

        if (keyword != NULL)
            json_array_append_new(flags, keyword);
    }
    clock_format_iso(message->date_ms, date);
    if (message->uid != 0)
        put_number(object, "uid", message->uid);
    json_object_set_new(object, "flags", flags);
    put_text(object, "date", str_from_c(date));
    put_number(object, "zone", message->zone_minutes);
    if (message->size_bytes != UINT64_MAX)
        put_number(object, "size", (int64_t)message->size_bytes);
    if (message->uidl.len > 0)
        put_text(object, "uidl", message->uidl);
    return object;
}

static struct str text_of(struct task *task, const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    if (!json_is_string(value))
        return STR("");
    return arena_copy(&task->arena, str_make(json_string_value(value), json_string_length(value)));
}

/* 0 when it is missing. */
static enum err read_u32(struct task *task, const json_t *object, const char *name, uint32_t *out)
{
    const json_t *value = json_object_get(object, name);
    json_int_t number = json_integer_value(value);

    if (value != NULL && (!json_is_integer(value) || number < 0 || number > UINT32_MAX))
        return fail(task, ERR_INVALID, "%s is not a number of 32 bits", name);
    *out = (uint32_t)number;
    return ERR_OK;
}

enum err transfer_json_read_folder(struct task *task, const json_t *object,
                                   struct transfer_folder *out)
{
    struct transfer_folder folder = {0};

    folder.name = text_of(task, object, "folder");
    folder.use = transfer_use_named(text_of(task, object, "use"));
    folder.is_subscribed = json_is_true(json_object_get(object, "subscribed"));
    folder.is_selectable = !json_is_false(json_object_get(object, "selectable"));
    folder.source = text_of(task, object, "source");
    TRY(read_u32(task, object, "uidvalidity", &folder.uidvalidity));
    TRY(read_u32(task, object, "uidnext", &folder.uidnext));
    if (folder.name.len == 0 || folder.source.len > TRANSFER_SOURCE_MAX)
        return fail(task, ERR_INVALID, "a folder without a name");
    *out = folder;
    return ERR_OK;
}

static enum err read_flags(struct task *task, const json_t *object, struct transfer_message *out)
{
    const json_t *flags = json_object_get(object, "flags");
    struct str *keywords;
    size_t count = json_array_size(flags);

    if (count > TRANSFER_KEYWORDS_MAX + TRANSFER_FLAG_COUNT)
        return fail(task, ERR_INVALID, "a message with too many flags");
    keywords = ARENA_ARRAY(&task->arena, struct str, count + 1);
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(flags, i);
        struct str name = str_make(json_string_value(value), json_string_length(value));
        uint64_t flag = transfer_flag_named(name);

        out->flags |= flag;
        if (flag == 0 && name.len > 0 && name.len <= VAULT_KEYWORD_NAME_MAX &&
            name.ptr[0] != '\\')
            keywords[out->keyword_count++] = arena_copy(&task->arena, name);
    }
    out->keywords = keywords;
    return ERR_OK;
}

enum err transfer_json_read_message(struct task *task, const json_t *object,
                                    struct transfer_message *out)
{
    struct transfer_message message = {.size_bytes = UINT64_MAX};
    const json_t *size = json_object_get(object, "size"), *zone = json_object_get(object, "zone");
    json_int_t minutes = json_integer_value(zone);

    TRY(read_u32(task, object, "uid", &message.uid));
    TRY(read_flags(task, object, &message));
    if (!clock_parse_iso(text_of(task, object, "date"), &message.date_ms))
        return fail(task, ERR_INVALID, "a message without a date");
    if (minutes < -24 * 60 || minutes > 24 * 60)
        return fail(task, ERR_INVALID, "a time zone that does not exist");
    message.zone_minutes = (int16_t)minutes;
    if (json_is_integer(size) && json_integer_value(size) >= 0)
        message.size_bytes = (uint64_t)json_integer_value(size);
    message.uidl = text_of(task, object, "uidl");
    if (!vault_uidl_is_valid(message.uidl))
        message.uidl = STR("");
    *out = message;
    return ERR_OK;
}
