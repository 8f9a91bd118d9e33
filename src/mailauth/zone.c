/* A zone in memory. */
#include "mailauth/zone.h"

#include "base/ascii.h"
#include "base/ip.h"

enum { ALIASES_MAX = 8, PREFERENCE_MAX = 65535 };

static struct str text_of(const json_t *value)
{
    if (!json_is_string(value))
        return (struct str){0};
    return str_make(json_string_value(value), json_string_length(value));
}

static struct str without_dot(struct str name)
{
    if (str_ends_with(name, STR(".")))
        name.len--;
    return name;
}

/* An entry is [type, data…], or "TIMEOUT". */
static struct str type_of(const json_t *entry)
{
    return text_of(json_is_array(entry) ? json_array_get(entry, 0) : entry);
}

/* The data number `i` of an entry, which may be in an array of its own. */
static const json_t *data_of(const json_t *entry, size_t i)
{
    const json_t *first = json_array_get(entry, 1);

    return json_is_array(first) ? json_array_get(first, i) : json_array_get(entry, i + 1);
}

static struct str type_name(enum dns_type type)
{
    switch (type) {
    case DNS_TYPE_A:
        return STR("A");
    case DNS_TYPE_AAAA:
        return STR("AAAA");
    case DNS_TYPE_CNAME:
        return STR("CNAME");
    case DNS_TYPE_PTR:
        return STR("PTR");
    case DNS_TYPE_MX:
        return STR("MX");
    case DNS_TYPE_TXT:
        return STR("TXT");
    case DNS_TYPE_NS:
    case DNS_TYPE_SOA:
    case DNS_TYPE_SRV:
    case DNS_TYPE_TLSA:
        break;
    }
    return STR("");
}

static struct str lower(struct task *task, struct str name)
{
    struct str copy = arena_copy(&task->arena, without_dot(name));

    for (size_t i = 0; i < copy.len; i++)
        ((char *)copy.ptr)[i] = ascii_lower(copy.ptr[i]);
    return copy;
}

/* The records of an answer under way. */
struct records {
    struct task *task;
    struct dns_record *list; /* in the arena */
    size_t count, room;
};

static struct dns_record *add(struct records *records)
{
    if (records->count == records->room)
        records->list = arena_grow(&records->task->arena, records->list, &records->room, 4,
                                   sizeof(*records->list));
    return &records->list[records->count++];
}

static bool add_address(struct records *records, bool is_v6, struct str text)
{
    struct ip_address address;

    if (!ip_address_parse(text, &address) || address.is_v6 != is_v6)
        return false;
    add(records)->data =
        arena_copy(&records->task->arena, str_make(address.bytes, ip_address_len(&address)));
    return true;
}

static bool add_text(struct records *records, const json_t *entry)
{
    CLEANUP(buf_free) struct buf joined;

    buf_init(&joined, SIZE_MAX);
    for (size_t i = 0; data_of(entry, i) != NULL; i++) {
        if (!json_is_string(data_of(entry, i)))
            return false;
        buf_put(&joined, text_of(data_of(entry, i)));
    }
    add(records)->data = arena_copy(&records->task->arena, buf_str(&joined));
    return true;
}

/* preference and name, in two or in one. */
static bool add_exchange(struct records *records, const json_t *entry)
{
    const json_t *first = data_of(entry, 0), *second = data_of(entry, 1);
    struct str name = text_of(second), number = text_of(first);
    struct dns_record *record;
    uint32_t preference;

    if (json_is_integer(first)) {
        if (json_integer_value(first) < 0 || json_integer_value(first) > PREFERENCE_MAX)
            return false;
        preference = (uint32_t)json_integer_value(first);
    } else {
        if (second == NULL) {
            name = number;
            if (!str_split(&name, ' ', &number))
                return false;
        }
        if (!parse_u32(number, &preference) || preference > PREFERENCE_MAX)
            return false;
    }
    if (name.ptr == NULL)
        return false;
    record = add(records);
    record->preference = (uint16_t)preference;
    record->name = lower(records->task, str_trim(name));
    return true;
}

static bool add_each(struct records *records, enum dns_type type, const json_t *entry)
{
    size_t i = 0;

    for (; data_of(entry, i) != NULL; i++) {
        struct str text = text_of(data_of(entry, i));

        if (text.ptr == NULL)
            return false;
        if (type == DNS_TYPE_A || type == DNS_TYPE_AAAA) {
            if (!add_address(records, type == DNS_TYPE_AAAA, text))
                return false;
        } else {
            add(records)->name = lower(records->task, text);
        }
    }
    return i > 0;
}

/* The records of one entry. False: its data are not of its type. */
static bool add_entry(struct records *records, enum dns_type type, const json_t *entry)
{
    if (type == DNS_TYPE_TXT)
        return add_text(records, entry);
    if (type == DNS_TYPE_MX)
        return add_exchange(records, entry);
    return add_each(records, type, entry);
}

/* What one name says to one type. */
struct found {
    bool has_entry;
    bool has_none; /* ["TXT", "NONE"] */
    bool is_late;  /* not answered in time, unless there is an entry */
    bool is_invalid;
};

static struct found collect(const json_t *entries, enum dns_type type, struct str name,
                            struct records *records)
{
    struct found found = {0};

    for (size_t i = 0; i < json_array_size(entries); i++) {
        const json_t *entry = json_array_get(entries, i);
        struct str only = text_of(data_of(entry, 0));
        bool is_single = data_of(entry, 1) == NULL;

        if (str_equal_nocase(type_of(entry), STR("TIMEOUT"))) {
            found.is_late = true;
            continue;
        }
        if (!str_equal_nocase(type_of(entry), name))
            continue;
        if (is_single && str_equal(only, STR("TIMEOUT"))) {
            found.is_late = true;
            continue;
        }
        if (type == DNS_TYPE_TXT && is_single && str_equal(only, STR("NONE"))) {
            found.has_none = true;
            continue;
        }
        found.has_entry = true;
        if (!add_entry(records, type, entry))
            found.is_invalid = true;
    }
    return found;
}

static struct found answer_of(const json_t *entries, enum dns_type type, struct records *records)
{
    struct found found = collect(entries, type, type_name(type), records);

    /* The suites' SPF entries; they stand for TXT only where there is none. */
    if (type == DNS_TYPE_TXT && !found.has_entry && !found.has_none) {
        bool is_late = found.is_late;

        found = collect(entries, type, STR("SPF"), records);
        found.is_late = is_late;
    }
    return found;
}

static const json_t *entries_of(const struct mailauth_zone *zone, struct str name,
                                bool *out_is_above)
{
    json_t *names = (json_t *)(uintptr_t)zone->names; /* iterating does not change it */
    const char *key;
    json_t *entries;

    *out_is_above = false;
    json_object_foreach(names, key, entries)
    {
        struct str this_name = without_dot(str_from_c(key));

        if (str_equal_nocase(this_name, name))
            return entries;
        if (this_name.len > name.len && this_name.ptr[this_name.len - name.len - 1] == '.' &&
            str_equal_nocase(str_from(this_name, this_name.len - name.len), name))
            *out_is_above = true;
    }
    return NULL;
}

static void ask(void *owner, struct task *task, struct str name, enum dns_type type,
                struct dns_answer *out)
{
    const struct mailauth_zone *zone = owner;

    for (unsigned alias = 0; alias < ALIASES_MAX; alias++) {
        struct records records = {.task = task}, aliases = {.task = task};
        const json_t *entries;
        struct found found;
        bool is_above;

        *out = (struct dns_answer){.status = DNS_NO_NAME};
        name = without_dot(name);
        entries = entries_of(zone, name, &is_above);
        if (entries == NULL) {
            out->status = is_above ? DNS_NO_DATA : DNS_NO_NAME;
            return;
        }
        found = answer_of(entries, type, &records);
        out->records = records.list;
        out->count = records.count;
        out->status = records.count > 0                   ? DNS_OK
                      : found.is_late && !found.has_entry ? DNS_FAILED
                                                          : DNS_NO_DATA;
        (void)collect(entries, DNS_TYPE_CNAME, STR("CNAME"), &aliases);
        if (records.count > 0 || aliases.count == 0)
            return;
        name = aliases.list[0].name;
    }
    *out = (struct dns_answer){.status = DNS_FAILED}; /* they go in a circle */
}

struct dns_source mailauth_zone_source(struct mailauth_zone *zone)
{
    return (struct dns_source){.owner = zone, .ask = ask};
}

enum err mailauth_zone_init(struct task *task, const json_t *json, struct mailauth_zone *out)
{
    static const enum dns_type types[] = {DNS_TYPE_A,   DNS_TYPE_AAAA, DNS_TYPE_CNAME,
                                          DNS_TYPE_PTR, DNS_TYPE_MX,   DNS_TYPE_TXT};
    json_t *names = (json_t *)(uintptr_t)json, *entries;
    const char *key;

    if (!json_is_object(json))
        return fail(task, ERR_INVALID, "zone is not an object");
    json_object_foreach(names, key, entries)
    {
        if (!json_is_array(entries))
            return fail(task, ERR_INVALID, "zone: a name without an array");
        for (size_t i = 0; i < json_array_size(entries); i++)
            if (type_of(json_array_get(entries, i)).ptr == NULL)
                return fail(task, ERR_INVALID, "zone: an entry without a type");
        for (size_t i = 0; i < ARRAY_LEN(types); i++) {
            struct records records = {.task = task};

            if (collect(entries, types[i], type_name(types[i]), &records).is_invalid)
                return fail(task, ERR_INVALID, "zone: data that are not of type %.*s",
                            STR_ARG(type_name(types[i])));
        }
    }
    out->names = json;
    return ERR_OK;
}
