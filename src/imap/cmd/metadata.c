/*
 * GETMETADATA and SETMETADATA (RFC 5464), METADATA of LIST (RFC 9590), and the news that others'
 * changes are for a client that enabled them.
 *
 * An answer is written entry by entry, in turns where it is long. An entry that was asked for by
 * its name and does not exist is told as NIL.
 */
#include "imap/metadata.h"

#include "base/ascii.h"
#include "imap/engine.h"
#include "imap/write.h"

enum {
    ENTRIES_MAX = 200, /* in one command; what is beyond is read past */
    ENTRY_UNITS = 20,
    BYTES_PER_UNIT = 256,
    COMPARED_PER_UNIT = 64, /* names */
};

/* The special use as an annotation (RFC 6154 §4): to be read. */
static const struct str SPECIAL_USE = STR_INIT("/private/specialuse");
static const struct str ADMIN = STR_INIT("/shared/admin");

/* ---- Parsing ---- */

/* "any number of components starting at 2, unless they fall under the vendor namespaces …, in which
 * case they have at least 4" (RFC 5464 §3.2) */
static bool has_enough_components(struct str entry)
{
    struct str below = str_from(entry, 1), component;
    size_t count = 0;
    bool is_vendor = false;

    while (str_split(&below, '/', &component)) {
        is_vendor |= count == 1 && str_equal(component, STR("vendor"));
        count++;
    }
    return count >= (is_vendor ? 4u : 2u);
}

/*
 * entry = astring; slash-separated, "/private" or "/shared" first, ASCII, without wildcards
 * (RFC 5464 §3.2). Case does not matter: lower case is what is kept. With a DEPTH it is where the
 * search begins, which may be higher than an entry can be.
 */
static enum err parse_entry(struct imap_parser *parser, enum vault_metadata_depth depth,
                            struct str *out)
{
    struct str name;
    char *lower;

    TRY(imap_parse_astring(parser, &name));
    if (name.len > VAULT_METADATA_NAME_MAX)
        return imap_expected(parser, "a shorter entry name");
    lower = arena_alloc(&parser->task->arena, name.len + 1, 1);
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if (ascii_is_control(c) || ascii_is_8bit(c) || c == '*' || c == '%' ||
            (c == '/' && (i + 1 == name.len || name.ptr[i + 1] == '/')))
            return imap_expected(parser, "an entry name");
        lower[i] = ascii_lower(c);
    }
    *out = str_make(lower, name.len);
    if (!str_equal(*out, STR("/private")) && !str_equal(*out, STR("/shared")) &&
        !str_starts_with(*out, STR("/private/")) && !str_starts_with(*out, STR("/shared/")))
        return imap_expected(parser, "an entry below /private or /shared");
    if (depth == VAULT_METADATA_EXACT && !has_enough_components(*out))
        return imap_expected(parser, "a longer entry name");
    return ERR_OK;
}

static bool is_named(const struct imap_metadata_names *names, struct str entry)
{
    for (size_t i = 0; i < names->count; i++)
        if (str_equal(names->entries[i], entry))
            return true;
    return false;
}

/* entries = entry / "(" entry *(SP entry) ")" */
enum err imap_parse_metadata_entries(struct imap_parser *parser, enum vault_metadata_depth depth,
                                     struct imap_metadata_names *out)
{
    bool is_list = imap_take(parser, '(');

    if (out->entries == NULL)
        out->entries = ARENA_ARRAY(&parser->task->arena, struct str, ENTRIES_MAX);
    do {
        struct str entry;

        TRY(parse_entry(parser, depth, &entry));
        if (out->is_too_many || is_named(out, entry))
            continue;
        if (out->count == ENTRIES_MAX)
            out->is_too_many = true;
        else
            out->entries[out->count++] = entry;
    } while (is_list && imap_take(parser, ' '));
    return is_list ? imap_parse_byte(parser, ')') : ERR_OK;
}

/* "(" getmetadata-option *(SP getmetadata-option) ")" */
static enum err parse_options(struct imap_parser *parser, struct imap_metadata_args *metadata)
{
    TRY(imap_parse_byte(parser, '('));
    do {
        if (imap_take_word(parser, STR("MAXSIZE"))) {
            TRY(imap_parse_space(parser));
            TRY(imap_parse_number(parser, &metadata->max_size));
            metadata->has_max_size = true;
        } else if (imap_take_word(parser, STR("DEPTH"))) {
            TRY(imap_parse_space(parser));
            if (imap_take_word(parser, STR("0")))
                metadata->depth = VAULT_METADATA_EXACT;
            else if (imap_take_word(parser, STR("1")))
                metadata->depth = VAULT_METADATA_CHILDREN;
            else if (imap_take_word(parser, STR("infinity")))
                metadata->depth = VAULT_METADATA_ALL_BELOW;
            else
                return imap_expected(parser, "0, 1 or infinity");
        } else {
            return imap_expected(parser, "MAXSIZE or DEPTH");
        }
    } while (imap_take(parser, ' '));
    return imap_parse_byte(parser, ')');
}

static bool is_at_options(const struct imap_parser *parser)
{
    return str_starts_with_nocase(parser->rest, STR("(MAXSIZE ")) ||
           str_starts_with_nocase(parser->rest, STR("(DEPTH "));
}

/* getmetadata = "GETMETADATA" [SP getmetadata-options] SP mailbox SP entries. Some clients, and the
 * drafts that they follow, have the options behind the mailbox. */
IMAP_PARSE(getmetadata)
{
    struct imap_metadata_args *metadata = &args->metadata;

    TRY(imap_parse_space(parser));
    if (imap_at(parser, '(')) {
        TRY(parse_options(parser, metadata));
        TRY(imap_parse_space(parser));
    }
    TRY(imap_parse_mailbox(parser, &metadata->name));
    TRY(imap_parse_space(parser));
    if (is_at_options(parser)) {
        TRY(parse_options(parser, metadata));
        TRY(imap_parse_space(parser));
    }
    return imap_parse_metadata_entries(parser, metadata->depth, &metadata->names);
}

/* value = nstring / literal8 */
static enum err parse_value(struct imap_parser *parser, struct str *out)
{
    if (imap_at(parser, '~'))
        return imap_parse_literal8(parser, out);
    TRY(imap_parse_nstring(parser, out));
    return ERR_OK;
}

/* setmetadata = "SETMETADATA" SP mailbox SP "(" entry SP value *(SP entry SP value) ")" */
IMAP_PARSE(setmetadata)
{
    struct imap_metadata_args *metadata = &args->metadata;

    TRY(imap_parse_space(parser));
    TRY(imap_parse_mailbox(parser, &metadata->name));
    TRY(imap_parse_space(parser));
    TRY(imap_parse_byte(parser, '('));
    metadata->changes = ARENA_ARRAY(&parser->task->arena, struct vault_metadata, ENTRIES_MAX);
    do {
        struct vault_metadata change;

        TRY(parse_entry(parser, VAULT_METADATA_EXACT, &change.entry));
        TRY(imap_parse_space(parser));
        TRY(parse_value(parser, &change.value));
        if (metadata->change_count == ENTRIES_MAX)
            metadata->is_too_many = true;
        else
            metadata->changes[metadata->change_count++] = change;
    } while (imap_take(parser, ' '));
    return imap_parse_byte(parser, ')');
}

/* ---- Reading ---- */

/* "" is the server, for a client: the mailbox as a whole. Those that are \Noselect have annotations
 * too (RFC 5464 §4.1). */
static enum err find(struct imap_session *s, struct task *task, struct str name,
                     struct vault_folder *out)
{
    *out = (struct vault_folder){.id = 0};
    if (name.len == 0)
        return ERR_OK;
    return vault_folder_find(s->vault, task, name, out);
}

static void write_value(struct imap_session *s, struct str value)
{
    if (value.ptr == NULL) {
        buf_put(&s->out, STR("NIL"));
    } else if (str_index(value, '\0') >= 0) {
        buf_put(&s->out, STR("~{"));
        imap_write_number(&s->out, value.len);
        buf_put(&s->out, STR("}\r\n"));
        buf_put(&s->out, value);
    } else {
        imap_write_string(&s->out, value);
    }
}

static void write_entry(struct imap_session *s, const struct vault_folder *folder, bool *is_open,
                        const struct vault_metadata *entry)
{
    if (!*is_open) {
        buf_put(&s->out, STR("* METADATA "));
        imap_write_mailbox(&s->out, folder->name, imap_names_are_utf8(s));
    }
    buf_put(&s->out, *is_open ? STR(" ") : STR(" ("));
    *is_open = true;
    imap_write_astring(&s->out, entry->entry);
    buf_put(&s->out, STR(" "));
    write_value(s, entry->value);
    imap_spend(s, ENTRY_UNITS + entry->value.len / BYTES_PER_UNIT);
}

static void close_answer(struct imap_session *s, bool *is_open)
{
    if (*is_open)
        buf_put(&s->out, STR(")\r\n"));
    *is_open = false;
}

/* One of the `count` entries that were asked for before had it, too. */
static bool is_answered(const struct imap_metadata_names *names, size_t count,
                        enum vault_metadata_depth depth, struct str entry)
{
    for (size_t i = 0; i < count; i++)
        if (vault_metadata_is_below(entry, names->entries[i], depth))
            return true;
    return false;
}

/* An entry that there is, once, unless its value is larger than the client wants. `asked`: which of
 * the entries that were asked for it is found by. */
static void offer_entry(struct imap_session *s, const struct vault_folder *folder,
                        const struct imap_metadata_args *metadata, size_t asked, bool *is_open,
                        uint64_t *longest, const struct vault_metadata *entry)
{
    if (is_answered(&metadata->names, asked, metadata->depth, entry->entry))
        return;
    if (!metadata->has_max_size || entry->value.len <= metadata->max_size)
        write_entry(s, folder, is_open, entry);
    else if (entry->value.len > *longest)
        *longest = entry->value.len;
}

/* One entry that was asked for, with what is below it. */
static enum err write_entries(struct imap_session *s, const struct vault_folder *folder,
                              const struct imap_metadata_args *metadata, size_t asked,
                              bool *is_open, uint64_t *longest)
{
    struct str entry = metadata->names.entries[asked];
    const struct vault_metadata nothing = {entry, {NULL, 0}},
                                use = {SPECIAL_USE, imap_use_name(folder->use)};
    bool has_use = folder->use != VAULT_USE_NONE &&
                   vault_metadata_is_below(SPECIAL_USE, entry, metadata->depth);
    struct vault_metadata *found;
    enum err err = ERR_OK;
    struct task task; /* its own: what is read does not add up */
    size_t count;

    if (has_use)
        offer_entry(s, folder, metadata, asked, is_open, longest, &use);
    task_init(&task, s->now_ms);
    err = vault_metadata_get(s->vault, &task, folder->id, entry, metadata->depth, &found, &count);
    if (err == ERR_OK)
        imap_spend(s, count * (1 + asked / COMPARED_PER_UNIT));
    for (size_t i = 0; err == ERR_OK && i < count; i++)
        offer_entry(s, folder, metadata, asked, is_open, longest, &found[i]);
    if (err == ERR_OK && count == 0 && !has_use && metadata->depth == VAULT_METADATA_EXACT)
        write_entry(s, folder, is_open, &nothing);
    if (err != ERR_OK)
        log_failure(s->options.log, "reading annotations", &task);
    task_done(&task);
    return err;
}

enum err imap_write_metadata(struct imap_session *s, const struct vault_folder *folder,
                             const struct imap_metadata_names *names)
{
    struct imap_metadata_args metadata = {.depth = VAULT_METADATA_EXACT, .names = *names};
    uint64_t longest = 0;
    bool is_open = false;
    enum err err = ERR_OK;

    for (size_t i = 0; i < names->count && err == ERR_OK; i++)
        err = write_entries(s, folder, &metadata, i, &is_open, &longest);
    close_answer(s, &is_open);
    return err;
}

IMAP_COMMAND(getmetadata)
{
    struct imap_metadata_args *metadata = &args->metadata;
    enum err err = ERR_OK;

    if (metadata->names.is_too_many)
        return imap_refuse(s, task, IMAP_REFUSAL_METADATA_ENTRIES);
    if (!metadata->is_started)
        TRY(find(s, task, metadata->name, &metadata->folder));
    metadata->is_started = true;
    while (metadata->next < metadata->names.count && err == ERR_OK) {
        if (imap_must_give_way(s)) {
            imap_give_way(s);
            return ERR_OK;
        }
        err = write_entries(s, &metadata->folder, metadata, metadata->next++, &metadata->is_open,
                            &metadata->longest);
    }
    close_answer(s, &metadata->is_open);
    if (err != ERR_OK)
        return fail(task, err, "the annotations could not be read");
    /* RFC 5464 §4.2.1 */
    if (metadata->longest > 0)
        s->code = arena_printf(&task->arena, "METADATA LONGENTRIES %llu",
                               (unsigned long long)metadata->longest);
    return ERR_OK;
}

/* ---- Writing ---- */

IMAP_COMMAND(setmetadata)
{
    struct imap_metadata_args *metadata = &args->metadata;
    enum err err;

    if (metadata->is_too_many) /* RFC 5464 §4.3: TOOMANY */
        return fail(task, ERR_LIMIT, "more than %d entries in one command", ENTRIES_MAX);
    TRY(find(s, task, metadata->name, &metadata->folder));
    for (size_t i = 0; i < metadata->change_count; i++) {
        if (metadata->changes[i].value.len > VAULT_METADATA_VALUE_MAX)
            return imap_refuse(s, task, IMAP_REFUSAL_METADATA_SIZE);
        if (str_equal(metadata->changes[i].entry, SPECIAL_USE))
            return imap_refuse(s, task, IMAP_REFUSAL_USE);
        if (metadata->folder.id == 0 && str_equal(metadata->changes[i].entry, ADMIN))
            return fail(task, ERR_DENIED, "the entry is read-only");
    }
    s->is_own_metadata = true; /* its own change is no news */
    err = vault_metadata_set(s->vault, task, metadata->folder.id, metadata->changes,
                             metadata->change_count);
    s->is_own_metadata = false;
    return err;
}

/* ---- News ---- */

void imap_metadata_heard(struct imap_session *s, int64_t folder_id, struct str entry)
{
    struct vault_folder folder = {.id = 0};
    struct task task;
    enum err err = ERR_OK;

    if ((!imap_has(s, IMAP_EXT_METADATA) && s->notify == NULL) || s->is_own_metadata ||
        s->metadata_news.len > IMAP_METADATA_NEWS_MAX)
        return;
    task_init(&task, s->now_ms);
    if (folder_id != 0)
        err = vault_folder_by_id(s->vault, &task, folder_id, &folder);
    if (err == ERR_OK && (imap_has(s, IMAP_EXT_METADATA) ||
                          imap_notify_wants_metadata(
                              s, &folder))) { /* metadata-resp without values (RFC 5464 §4.4.2) */
        buf_put(&s->metadata_news, STR("* METADATA "));
        imap_write_mailbox(&s->metadata_news, folder.name, imap_names_are_utf8(s));
        buf_put(&s->metadata_news, STR(" "));
        imap_write_astring(&s->metadata_news, entry);
        buf_put(&s->metadata_news, STR("\r\n"));
    }
    task_done(&task);
}

void imap_metadata_tell(struct imap_session *s)
{
    if (s->metadata_news.len == 0 || s->state == IMAP_STATE_LOGOUT) /* BYE is the last word */
        return;
    buf_put(&s->out, buf_str(&s->metadata_news));
    buf_free(&s->metadata_news);
}
