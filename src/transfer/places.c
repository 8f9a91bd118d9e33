/* The folders of a tree of files, and what is known of their messages. */
#include "transfer/places.h"

#include "base/memory.h"
#include "transfer/names.h"
#include "transfer/uidl.h"
#include "vault/maildrop.h"

#include <stdlib.h>
#include <string.h>

/* --- What a file is --- */

static const struct {
    struct str name;
    enum place_kind kind;
} known_files[] = {
    {STR_INIT(TRANSFER_INDEX_NAME), PLACE_INDEX},
    {STR_INIT("dovecot-uidlist"), PLACE_UIDS},
    {STR_INIT("dovecot-keywords"), PLACE_KEYWORDS},
    {STR_INIT("courierpop3dsizelist"), PLACE_COURIER},
    {STR_INIT("subscriptions"), PLACE_SUBSCRIPTIONS},
    {STR_INIT("maildirfolder"), PLACE_SIGN},
};

static struct str parent_of(struct str path)
{
    ptrdiff_t slash = str_last_index(path, '/');

    return slash < 0 ? STR("") : str_upto(path, (size_t)slash);
}

static struct str last_of(struct str path)
{
    return str_from(path, (size_t)(str_last_index(path, '/') + 1));
}

enum place_kind place_kind_of(struct str path, struct str *out_folder, struct str *out_file)
{
    struct str folder = parent_of(path), file = last_of(path), inner = last_of(folder);

    *out_folder = folder;
    *out_file = file;
    for (size_t i = 0; i < ARRAY_LEN(known_files); i++) {
        if (str_equal(file, known_files[i].name))
            return known_files[i].kind;
    }
    if (str_equal(inner, STR("cur")) || str_equal(inner, STR("new"))) {
        *out_folder = parent_of(folder);
        return file.len == 0 || file.ptr[0] == '.' ? PLACE_NOTHING : PLACE_MAILDIR;
    }
    if (str_ends_with(file, STR(".eml")))
        return PLACE_EML;
    if (str_ends_with(file, STR(".mbox")) && file.len > 5) {
        *out_folder = str_upto(path, path.len - 5);
        return PLACE_MBOX;
    }
    if (str_ends_with(file, STR(".mbox.json")) && file.len > 10) {
        *out_folder = str_upto(path, path.len - 10);
        return PLACE_INDEX;
    }
    return PLACE_NOTHING;
}

/* --- The places --- */

void places_init(struct places *places, int64_t now_ms)
{
    *places = (struct places){0};
    task_init(&places->task, now_ms);
}

void places_done(struct places *places)
{
    for (size_t i = 0; i < places->count; i++) {
        mem_free(&places->sorted[i]->rows);
        mem_free(&places->sorted[i]);
    }
    mem_free(&places->sorted);
    task_done(&places->task);
}

static size_t position_of(const struct places *places, struct str path)
{
    size_t low = 0, high = places->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (str_compare(places->sorted[middle]->path, path) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void insert(struct places *places, size_t position, struct place *place)
{
    if (places->count == places->room) {
        places->room = places->room * 2 + 16;
        places->sorted = mem_resize(places->sorted, places->room, sizeof(struct place *));
    }
    memmove(places->sorted + position + 1, places->sorted + position,
            (places->count - position) * sizeof(struct place *));
    places->sorted[position] = place;
    place->number = places->count++;
}

/* The Maildir that is nearest to the top holds the others. */
static void note_root(struct places *places, const struct place *place)
{
    struct str root = place->path;

    if (!place->is_maildir)
        return;
    if (str_starts_with(last_of(root), STR(".")))
        root = parent_of(root);
    if (!places->has_root || root.len < places->root.len)
        places->root = root;
    places->has_root = true;
}

enum err places_get(struct places *places, struct task *task, struct str path, bool is_maildir,
                    struct place **out)
{
    size_t position;
    struct place *place = places->last;

    if (place == NULL || !str_equal(place->path, path)) {
        position = position_of(places, path);
        place = position < places->count ? places->sorted[position] : NULL;
        if (place == NULL || !str_equal(place->path, path)) {
            if (places->count == PLACES_MAX)
                return fail(task, ERR_LIMIT, "there are too many folders");
            place = NEW(struct place);
            place->path = arena_copy(&places->task.arena, path);
            insert(places, position, place);
        }
        places->last = place;
    }
    if (is_maildir && !place->is_maildir) {
        place->is_maildir = true;
        note_root(places, place);
    }
    *out = place;
    return ERR_OK;
}

/* --- What they learn --- */

static int compare_rows(const void *a, const void *b)
{
    return str_compare(((const struct place_row *)a)->file, ((const struct place_row *)b)->file);
}

static void learn_line(struct places *places, struct place *place, struct str line)
{
    struct transfer_index_line found;

    if (transfer_index_parse(&places->task, line, &found) != ERR_OK) {
        task_forgive(&places->task);
        return;
    }
    if (found.is_folder) {
        place->folder = found.folder;
        place->folder.source = STR("");
        place->has_folder = true;
        return;
    }
    if (place->row_count == place->row_room) {
        place->row_room = place->row_room * 2 + 64;
        place->rows = mem_resize(place->rows, place->row_room, sizeof(*place->rows));
    }
    place->rows[place->row_count++] = (struct place_row){found.file, found.message};
}

static void learn_index(struct places *places, struct place *place, struct str content)
{
    struct str rest = content, line;

    if (place->row_count > 0)
        return; /* a second one */
    while (str_split(&rest, '\n', &line)) {
        if (line.len > 0)
            learn_line(places, place, line);
    }
    if (place->row_count > 1)
        qsort(place->rows, place->row_count, sizeof(*place->rows), compare_rows);
}

void places_learn(struct places *places, struct place *place, enum place_kind kind,
                  struct str content)
{
    struct arena *arena = &places->task.arena;

    switch (kind) {
    case PLACE_INDEX:
        learn_index(places, place, content);
        return;
    case PLACE_UIDS:
        (void)maildir_parse_uids(arena, arena_copy(arena, content), &place->uids);
        return;
    case PLACE_KEYWORDS:
        maildir_parse_keywords(arena_copy(arena, content), place->keywords);
        return;
    case PLACE_COURIER:
        (void)maildir_parse_courier(arena, arena_copy(arena, content), &place->courier);
        return;
    case PLACE_SUBSCRIPTIONS:
        maildir_parse_subscriptions(arena, content, &places->subscribed,
                                    &places->subscribed_count);
        return;
    case PLACE_NOTHING:
    case PLACE_MAILDIR:
    case PLACE_EML:
    case PLACE_MBOX:
    case PLACE_SIGN:
        return;
    }
}

/* --- What is known --- */

static struct str maildir_name(const struct places *places, struct task *task,
                               const struct place *place)
{
    struct str path = place->path, rest;

    if (str_starts_with(last_of(path), STR(".")))
        return transfer_maildir_name(&task->arena, last_of(path));
    if (!str_starts_with(path, places->root))
        return STR("INBOX");
    rest = str_from(path, places->root.len);
    if (str_starts_with(rest, STR("/")))
        rest = str_from(rest, 1);
    return rest.len == 0 ? STR("INBOX") : transfer_path_name(&task->arena, rest);
}

void places_folder(const struct places *places, struct task *task, const struct place *place,
                   struct str fallback, struct transfer_folder *out)
{
    struct transfer_folder folder = {.is_selectable = true};

    if (place->has_folder) {
        folder = place->folder;
    } else {
        folder.name = place->is_maildir ? maildir_name(places, task, place)
                                        : transfer_path_name(&task->arena, place->path);
        if (folder.name.len == 0)
            folder.name = fallback;
        folder.use = transfer_use_guess(folder.name);
        folder.uidvalidity = place->uids.uidvalidity;
        folder.uidnext = place->uids.uidnext;
        if (place->uids.count > 0)
            folder.uidl_template = transfer_uidl_template(STR("dovecot"));
        for (size_t i = 0; place->is_maildir && i < places->subscribed_count; i++)
            folder.is_subscribed = folder.is_subscribed ||
                                   str_equal(places->subscribed[i], folder.name);
    }
    *out = folder;
}

/* Of whom Dovecot knows, Courier's list is of an earlier time. */
static void add_uids(const struct place *place, struct str base, struct transfer_message *message)
{
    const struct maildir_uid *dovecot = maildir_uid_of(&place->uids, base);
    const struct maildir_uid *courier = maildir_uid_of(&place->courier, base);

    if (dovecot != NULL) {
        message->uid = dovecot->uid;
        message->uidl = dovecot->uidl;
    } else if (courier != NULL) {
        message->uidl = courier->uidl;
    }
    if (!vault_uidl_is_valid(message->uidl))
        message->uidl = STR("");
}

uint64_t places_missing(const struct places *places)
{
    uint64_t missing = 0;

    for (size_t i = 0; i < places->count; i++)
        missing += places->sorted[i]->row_count - places->sorted[i]->taken;
    return missing;
}

void places_message(const struct place *place, struct task *task, enum place_kind kind,
                    struct str file, int64_t mtime_ms, struct transfer_message *out)
{
    const struct place_row wanted = {.file = file};
    const struct place_row *row =
        place->row_count == 0 ? NULL
                              : bsearch(&wanted, place->rows, place->row_count,
                                        sizeof(*place->rows), compare_rows);
    struct transfer_message message = {.date_ms = mtime_ms, .size_bytes = UINT64_MAX};

    if (row != NULL) {
        message = row->message;
    } else if (kind == PLACE_MAILDIR) {
        struct str *keywords = ARENA_ARRAY(&task->arena, struct str, MAILDIR_KEYWORDS);

        add_uids(place, maildir_base(file), &message);
        message.flags = maildir_flags(file, place->keywords, keywords, &message.keyword_count);
        message.keywords = keywords;
        if (mtime_ms == 0)
            message.date_ms = maildir_time(file);
    }
    *out = message;
}
