#include "backup/report.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"

#include <stdio.h>
#include <string.h>

enum { MANIFEST_MAX = 64 * 1024, NAME_ROOM = BACKUP_NAME_MAX + 1, LOOKS_MAX = 4 };

/* The series of a mailbox, in the order in which they are shown. */
static const struct {
    const char *folder, *kind;
    bool is_detail, has_manifest;
} series[] = {
    {"full/", "full", false, true},
    {"drop/", "drop", true, false},
    {"base/", "log", true, false},
};

struct backup_report {
    struct backup_destination *destination; /* borrowed */
    const json_t *mailboxes;                /* borrowed */
    bool has_details;
    size_t mailbox, series;
    json_t *items;       /* own */
    json_t *found;       /* own; the items of this series: full ones wait for their manifests */
    size_t next_manifest;
    char listed[NAME_ROOM];   /* the last manifest of the list, without .json */
    unsigned looks;           /* at this series, since what was listed was let go meanwhile */
    struct backup_call *call; /* own */
    void (*on_done)(void *owner, json_t *items, const char *words);
    void *owner; /* borrowed */
};

static void next_series(struct backup_report *report);

static void report_free(struct backup_report **pointer)
{
    struct backup_report *report = *pointer;

    backup_cancel(&report->call);
    json_decref(report->items);
    json_decref(report->found);
    mem_free(pointer);
}

void backup_report_cancel(struct backup_report **report)
{
    if (*report != NULL)
        report_free(report);
}

static void finish(struct backup_report *report, const char *words)
{
    json_t *items = words == NULL ? report->items : NULL;

    if (items != NULL)
        report->items = NULL;
    report->on_done(report->owner, items, words);
    report_free(&report);
}

static const char *text_of(const struct backup_report *report, const char *member)
{
    const char *text =
        json_string_value(json_object_get(json_array_get(report->mailboxes, report->mailbox),
                                          member));

    return text == NULL ? "" : text;
}

static void list(struct backup_report *report, struct str after);

/* ---- Manifests ---- */

/* It was listed and is not there any more: the list is an old one (backup/prune.h). */
static bool look_again(struct backup_report *report, const json_t *item)
{
    if (!json_is_true(json_object_get(item, "listed")) || report->looks + 1 >= LOOKS_MAX)
        return false;
    report->looks++;
    report->next_manifest = 0;
    json_array_clear(report->found);
    list(report, STR(""));
    return true;
}

static void on_manifest(void *owner, struct backup_result *result)
{
    struct backup_report *report = owner;
    json_t *item = json_array_get(report->found, report->next_manifest++);
    CLEANUP(buf_free) struct buf text = {0};
    struct task task;
    json_t *manifest = NULL;

    report->call = NULL;
    if (result->err == ERR_NOT_FOUND && look_again(report, item))
        return;
    (void)json_object_del(item, "listed");
    task_init(&task, clock_now_ms());
    buf_init(&text, MANIFEST_MAX + 16384);
    if (result->err == ERR_OK &&
        fd_read_all(&task, result->fd, MANIFEST_MAX, &text) == ERR_OK && text.len > 0)
        manifest = json_loadb(text.ptr, text.len, 0, NULL);
    json_object_set_new(item, "verified",
                        json_string(json_is_true(json_object_get(manifest, "verified")) ? "yes"
                                    : result->err == ERR_CORRUPT                        ? "damaged"
                                                                                        : "no"));
    json_decref(manifest);
    task_done(&task);
    next_series(report);
}

/* The manifest of the item at next_manifest: false when there are no more. */
static bool ask_manifest(struct backup_report *report)
{
    const json_t *item = json_array_get(report->found, report->next_manifest);
    const char *shown = json_string_value(json_object_get(item, "name"));
    size_t len = shown == NULL ? 0 : strlen(shown);
    char name[NAME_ROOM + 32];

    if (!series[report->series].has_manifest || len < strlen(".sqlite"))
        return false;
    (void)snprintf(name, sizeof(name), "%s/%.*s.json", text_of(report, "mailbox"),
                   (int)(len - strlen(".sqlite")), shown);
    report->call =
        backup_get(report->destination, str_from_c(name), on_manifest, report);
    return true;
}

/* ---- Lists ---- */

static void add_item(struct backup_report *report, const struct backup_object *object)
{
    struct str name = str_from(object->name, strlen(text_of(report, "mailbox")) + 1);
    struct str stamp = str_from(name, strlen(series[report->series].folder));
    char time[CLOCK_ISO_ROOM];
    int64_t ms = object->modified_ms;
    json_t *item;

    if (str_ends_with(name, STR(".json")))
        (void)snprintf(report->listed, sizeof(report->listed), "%.*s",
                       STR_ARG(str_upto(object->name, object->name.len - strlen(".json"))));
    if (!str_ends_with(name, STR(".sqlite")))
        return;
    (void)backup_stamp_parse(stamp, &ms);
    clock_format_iso(ms, time);
    if (!report->has_details)
        json_array_clear(report->found); /* the newest only */
    item = json_pack("{s:s, s:s, s:s, s:I, s:s%}", "address", text_of(report, "address"), "time",
                     time, "kind", series[report->series].kind, "size",
                     (json_int_t)object->size_bytes, "name", name.ptr, name.len);
    /* Names are sorted: its manifest came right before it. */
    if (series[report->series].has_manifest &&
        str_equal(str_upto(object->name, object->name.len - strlen(".sqlite")),
                  str_from_c(report->listed)))
        json_object_set_new(item, "listed", json_true());
    json_array_append_new(report->found, item);
}

static void on_listed(void *owner, struct backup_result *result);

static void list(struct backup_report *report, struct str after)
{
    char prefix[NAME_ROOM];

    (void)snprintf(prefix, sizeof(prefix), "%s/%s", text_of(report, "mailbox"),
                   series[report->series].folder);
    report->call = backup_list(report->destination, str_from_c(prefix), after, BACKUP_PAGE_MAX,
                               on_listed, report);
}

static void on_listed(void *owner, struct backup_result *result)
{
    struct backup_report *report = owner;

    report->call = NULL;
    if (result->err != ERR_OK) {
        finish(report, result->words);
        return;
    }
    for (size_t i = 0; i < result->object_count; i++)
        add_item(report, &result->objects[i]);
    if (!result->is_last && result->object_count > 0) {
        list(report, result->objects[result->object_count - 1].name);
        return;
    }
    if (json_array_size(report->found) == 0 && !report->has_details)
        json_array_append_new(report->items, json_pack("{s:s, s:n, s:s, s:n, s:s, s:s}", "address",
                                                       text_of(report, "address"), "time", "kind",
                                                       "none", "size", "verified", "", "name", ""));
    next_series(report);
}

/* ---- The order of all this ---- */

static void next_series(struct backup_report *report)
{
    if (report->next_manifest < json_array_size(report->found) && ask_manifest(report))
        return;
    json_array_extend(report->items, report->found);
    json_array_clear(report->found);
    report->next_manifest = 0;
    report->looks = 0;
    do {
        if (++report->series == ARRAY_LEN(series)) {
            report->series = 0;
            report->mailbox++;
        }
    } while (series[report->series].is_detail && !report->has_details);
    if (report->mailbox < json_array_size(report->mailboxes))
        list(report, STR(""));
    else
        finish(report, NULL);
}

struct backup_report *backup_report_start(struct backup_destination *destination,
                                          const json_t *mailboxes, bool has_details,
                                          void (*on_done)(void *owner, json_t *items,
                                                          const char *words),
                                          void *owner)
{
    struct backup_report *report = NEW(struct backup_report);

    report->destination = destination;
    report->mailboxes = mailboxes;
    report->has_details = has_details;
    report->items = json_array();
    report->found = json_array();
    report->on_done = on_done;
    report->owner = owner;
    list(report, STR(""));
    return report;
}
