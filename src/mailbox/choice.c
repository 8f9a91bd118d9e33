#include "mailbox/choice.h"

#include "base/clock.h"
#include "base/memory.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

void mailbox_choice_init(struct mailbox_choice *choice, int64_t at_ms, struct str from)
{
    *choice = (struct mailbox_choice){
        .at_ms = at_ms, .from = from, .next_generation_ms = INT64_MAX, .unreadable_ms = INT64_MIN};
}

void mailbox_choice_done(struct mailbox_choice *choice)
{
    mem_free(&choice->generations);
}

/* --- What there is --- */

static void note_full(struct mailbox_choice *choice, struct str name)
{
    uint64_t counter = 0;
    int64_t ms;

    if (!str_ends_with(name, STR(".json")) || name.len >= MAILBOX_CHOICE_NAME_ROOM ||
        name.len < 10 || !backup_stamp_parse(str_from(name, 5), &ms))
        return;
    name = str_upto(name, name.len - 5);
    if (choice->from.len > 0
            ? !str_equal(name, choice->from) && !str_equal(str_from(name, 5), choice->from)
            : ms > choice->at_ms)
        return;
    if (name.len <= 5 + BACKUP_STAMP_LEN ||
        !parse_u64(str_from(name, 5 + BACKUP_STAMP_LEN + 1), &counter))
        counter = 0;
    /* Of all, the one that has most, whatever a clock said. */
    if (choice->at_ms == INT64_MAX && counter < choice->full_counter)
        return;
    choice->full_counter = counter;
    choice->full_ms = ms;
    snprintf(choice->full, sizeof(choice->full), "%.*s", STR_ARG(name));
}

static void note_base(struct mailbox_choice *choice, struct str name)
{
    struct id id;

    if (!str_ends_with(name, STR(".json")) || name.len != 5 + ID_TEXT_LEN + 5 ||
        !id_parse(str_upto(str_from(name, 5), ID_TEXT_LEN), &id))
        return;
    if (choice->generation_count == choice->generation_room) {
        choice->generation_room = choice->generation_room == 0 ? 64 : 2 * choice->generation_room;
        choice->generations =
            mem_resize(choice->generations, choice->generation_room, sizeof(*choice->generations));
    }
    choice->generations[choice->generation_count++] = (struct mailbox_choice_generation){.id = id};
}

enum err mailbox_choice_list(struct mailbox_choice *choice, struct task *task, struct str json,
                             bool is_full, bool is_last)
{
    char before[MAILBOX_CHOICE_LISTED_ROOM];
    json_t *objects = json_loadb(json.ptr, json.len, 0, NULL);
    json_t *object;
    size_t i;

    memcpy(before, choice->last_listed, sizeof(before));
    json_array_foreach(objects, i, object)
    {
        const char *name = json_string_value(json_object_get(object, "name"));

        if (name == NULL)
            continue;
        snprintf(choice->last_listed, sizeof(choice->last_listed), "%s", name);
        if (is_full)
            note_full(choice, str_from_c(name));
        else
            note_base(choice, str_from_c(name));
    }
    json_decref(objects);
    if (!is_last && str_compare(str_from_c(choice->last_listed), str_from_c(before)) <= 0)
        return fail(task, ERR_CORRUPT, "the destination's list does not go on after \"%s\"",
                    before);
    if (choice->generation_count > MAILBOX_CHOICE_GENERATIONS_MAX)
        return fail(task, ERR_LIMIT, "the destination has too many logs");
    return ERR_OK;
}

struct mailbox_choice_generation *mailbox_choice_next(struct mailbox_choice *choice)
{
    if (choice->generation_next == choice->generation_count)
        return NULL;
    return &choice->generations[choice->generation_next++];
}

bool mailbox_choice_is_manifest(const struct id *mailbox, struct str text,
                                const struct secret *mac_key, struct manifest *out)
{
    struct task aside; /* a failure is forgotten */
    bool is_one;

    task_init(&aside, 0);
    is_one =
        manifest_read(&aside, text, mac_key, out) == ERR_OK && id_equal(&out->mailbox, mailbox);
    task_done(&aside);
    return is_one;
}

/* One that makes no sense is no reason to give up on others, but is told where it may have been the
 * one. */
void mailbox_choice_manifest(struct mailbox_choice *choice,
                             struct mailbox_choice_generation *generation, const struct id *mailbox,
                             struct str text, const struct secret *mac_key)
{
    struct manifest manifest, ours;
    int64_t claimed_ms = choice->at_ms; /* of one that says nothing */

    if (mailbox_choice_is_manifest(mailbox, text, NULL, &manifest)) {
        claimed_ms = manifest.time_ms;
        generation->is_known = id_equal(&manifest.generation, &generation->id);
    }
    if (!generation->is_known) {
        if (claimed_ms <= choice->at_ms && claimed_ms > choice->unreadable_ms)
            choice->unreadable_ms = claimed_ms;
        return;
    }
    generation->is_ours = mailbox_choice_is_manifest(mailbox, text, mac_key, &ours);
    generation->time_ms = manifest.time_ms;
    generation->epoch = manifest.epoch;
    generation->change_counter = manifest.change_counter;
    if (manifest.time_ms > choice->at_ms && manifest.time_ms < choice->next_generation_ms)
        choice->next_generation_ms = manifest.time_ms;
}

/* --- Which one --- */

static bool is_newer(const struct mailbox_choice *choice,
                     const struct mailbox_choice_generation *one,
                     const struct mailbox_choice_generation *other)
{
    if (choice->at_ms != INT64_MAX)
        return one->time_ms > other->time_ms;
    if (one->epoch != other->epoch)
        return one->epoch > other->epoch;
    return one->change_counter != other->change_counter
               ? one->change_counter > other->change_counter
               : one->time_ms > other->time_ms;
}

static struct mailbox_choice_generation newest(const struct mailbox_choice *choice, bool is_any)
{
    struct mailbox_choice_generation found = {.is_known = false};

    for (size_t i = 0; i < choice->generation_count; i++) {
        const struct mailbox_choice_generation *each = &choice->generations[i];

        if (each->is_known && (each->is_ours || is_any) && !each->is_unusable &&
            each->time_ms <= choice->at_ms && (!found.is_known || is_newer(choice, each, &found)))
            found = *each;
    }
    return found;
}

enum err mailbox_choice_choose(struct mailbox_choice *choice, struct task *task, bool is_any)
{
    choice->chosen = newest(choice, is_any);
    if (!choice->chosen.is_known && choice->full[0] == '\0')
        choice->chosen = newest(choice, true);
    if (!choice->chosen.is_known && choice->full[0] == '\0')
        return fail(task, ERR_NOT_FOUND, "there is no such backup");
    return ERR_OK;
}

bool mailbox_choice_discard(struct mailbox_choice *choice, bool is_any)
{
    const int64_t time_ms = choice->chosen.time_ms;

    for (size_t i = 0; i < choice->generation_count; i++) {
        if (id_equal(&choice->generations[i].id, &choice->chosen.id))
            choice->generations[i].is_unusable = true;
    }
    if (!newest(choice, is_any).is_known && choice->full[0] == '\0')
        return false;
    choice->has_discarded = true;
    if (time_ms < choice->next_generation_ms)
        choice->next_generation_ms = time_ms;
    return true;
}

/* One under another key, later than the chosen one. */
static bool is_later_elsewhere(const struct mailbox_choice *choice,
                               struct mailbox_choice_generation *out)
{
    *out = newest(choice, true);
    if (!out->is_known || out->is_ours)
        return false;
    return choice->chosen.is_known ? is_newer(choice, out, &choice->chosen)
                                   : out->time_ms > choice->full_ms;
}

struct str mailbox_choice_gap(const struct mailbox_choice *choice, struct task *task,
                              int64_t reached_ms, bool is_reached, bool is_any)
{
    char reached[CLOCK_ISO_ROOM], next[CLOCK_ISO_ROOM];
    bool has_log = id_is_set(&choice->chosen.id);
    struct mailbox_choice_generation other;

    if (!is_any && is_later_elsewhere(choice, &other)) {
        clock_format_iso(other.time_ms, next);
        return arena_printf(&task->arena,
                            "A later part of the log, base/%s, from %s on, cannot be read: it is "
                            "under another password, or was altered. --backup-password-file FILE "
                            "takes that password.",
                            other.id.text, next);
    }
    if (choice->next_generation_ms != INT64_MAX && !is_reached &&
        choice->next_generation_ms >= reached_ms && (has_log || choice->has_discarded)) {
        clock_format_iso(reached_ms, reached);
        clock_format_iso(choice->next_generation_ms, next);
        return arena_printf(&task->arena,
                            "The log ends at %s, and the next begins at %s: what was committed "
                            "between the two is in neither.",
                            reached, next);
    }
    if (choice->unreadable_ms > (has_log ? choice->chosen.time_ms : reached_ms))
        return STR("A later part of the log cannot be read: it was altered.");
    return STR("");
}

void mailbox_choice_name(const struct mailbox_choice *choice, const char *suffix,
                         char out[static MAILBOX_CHOICE_NAME_ROOM])
{
    if (id_is_set(&choice->chosen.id))
        snprintf(out, MAILBOX_CHOICE_NAME_ROOM, "base/%s%s", choice->chosen.id.text, suffix);
    else
        snprintf(out, MAILBOX_CHOICE_NAME_ROOM, "%.100s%s", choice->full, suffix);
}
