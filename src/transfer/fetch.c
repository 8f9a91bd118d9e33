/*
 *   greeting ─ STARTTLS ─ LOGIN ─ LIST, LSUB ─ for each folder: EXAMINE ─ UID SEARCH ─ UID FETCH …
 *
 * Messages come in batches of UIDs, of which first the sizes are asked for, so that one that is too
 * large is left out without being sent.
 */
#include "transfer/fetch.h"

#include "base/clock.h"
#include "base/memory.h"
#include "imap/client/response.h"
#include "imap/use.h"
#include "imap/utf7.h"
#include "transfer/names.h"
#include "transfer/uidl.h"
#include "vault/message.h"

#include <inttypes.h>
#include <stdlib.h>

enum { BATCH_UIDS = 50, ANSWER_MAX = TRANSFER_MESSAGE_BYTES_MAX + 64 * 1024 * 1024, ROOM = 65536 };

struct remote_folder {
    struct str encoded; /* as the server writes it */
    struct transfer_folder folder;
    bool is_view; /* of messages that are in other folders as well: mostly (RFC 6154) */
};

struct fetch {
    const struct transfer_line *line;
    const struct transfer_server *server;
    struct transfer_feed *feed;
    const struct transfer_sink *sink;
    struct task task;  /* own; names of folders */
    struct buf input;  /* own */
    struct imap_response_scanner scanner;
    uint32_t tag_number;
    struct remote_folder *folders; /* in the task */
    size_t folder_count;
    /* The folder under way. */
    struct str name;
    uint32_t uidvalidity, uidnext;
    uint32_t *uids; /* own; ascending */
    size_t uid_count, uid_room;
    uint64_t *sizes; /* own; of those of the batch, by their place in it */
    const uint32_t *batch;
    size_t batch_count;
    struct transfer_fetched fetched;
    struct str uidl_template; /* uidl.h; the server's */
};

/* --- One response, one command --- */

typedef enum err (*on_response)(struct fetch *fetch, struct task *task,
                                const struct imap_response *response);

static enum err next_response(struct fetch *fetch, struct task *task, struct imap_response *out,
                              size_t *out_len)
{
    for (;;) {
        char *room;
        size_t len;

        TRY(imap_response_scan(&fetch->scanner, task, buf_str(&fetch->input), ANSWER_MAX, &len));
        if (len > 0) {
            fetch->scanner = (struct imap_response_scanner){0};
            *out_len = len;
            return imap_response_parse(task, str_upto(buf_str(&fetch->input), len), out);
        }
        TRY(buf_reserve(&fetch->input, ROOM, &room));
        TRY(fetch->line->read(fetch->line->owner, task, room, ROOM, &len));
        if (len == 0)
            return fail(task, ERR_BUSY, "the server hung up");
        buf_commit(&fetch->input, len);
    }
}

/* Until the tagged response; *out_is_ok: it was OK. */
static enum err await(struct fetch *fetch, struct task *task, struct str tag, on_response function,
                      bool *out_is_ok)
{
    for (;;) {
        CLEANUP(task_done) struct task piece;
        struct imap_response response;
        size_t len = 0;
        enum err err;
        bool is_last = false;

        task_init(&piece, task->now_ms);
        err = next_response(fetch, &piece, &response, &len);
        if (err == ERR_OK && imap_response_is(&response, 0, STR("BYE")))
            err = fail(&piece, ERR_BUSY, "the server hung up");
        if (err == ERR_OK && str_equal(response.tag, tag)) {
            is_last = true;
            *out_is_ok = imap_response_is(&response, 0, STR("OK"));
        }
        if (err == ERR_OK && function != NULL)
            err = function(fetch, &piece, &response);
        buf_consume(&fetch->input, len);
        if (err != ERR_OK)
            return fail(task, err, "%s", piece.words);
        if (is_last)
            return ERR_OK;
    }
}

static enum err command(struct fetch *fetch, struct task *task, struct str text,
                        on_response function, bool *out_is_ok)
{
    struct str tag = arena_printf(&task->arena, "s%" PRIu32, ++fetch->tag_number);

    TRY(fetch->line->write(fetch->line->owner, task,
                           arena_printf(&task->arena, "%.*s %.*s\r\n", STR_ARG(tag),
                                        STR_ARG(text))));
    return await(fetch, task, tag, function, out_is_ok);
}

/* As a quoted string; what that cannot hold is not a name or password here. */
static enum err quote(struct task *task, struct str text, struct str *out)
{
    CLEANUP(buf_free) struct buf quoted;

    buf_init(&quoted, SIZE_MAX);
    buf_put(&quoted, STR("\""));
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '\r' || c == '\n' || c == '\0')
            return fail(task, ERR_INVALID, "a name or password with a line's end in it");
        if (c == '"' || c == '\\')
            buf_put(&quoted, STR("\\"));
        buf_put(&quoted, str_make(&c, 1));
    }
    buf_put(&quoted, STR("\""));
    *out = arena_copy(&task->arena, buf_str(&quoted));
    return ERR_OK;
}

/* --- Logging in --- */

static enum err log_in(struct fetch *fetch, struct task *task)
{
    struct imap_response greeting;
    struct str user, password;
    size_t len;
    bool is_ok;

    TRY(next_response(fetch, task, &greeting, &len));
    fetch->uidl_template =
        transfer_uidl_template_of_greeting(str_upto(buf_str(&fetch->input), len));
    if (!str_equal(greeting.tag, STR("*")) || !imap_response_is(&greeting, 0, STR("OK")))
        return fail(task, ERR_INVALID, "that is no IMAP server, or it takes no clients now");
    buf_consume(&fetch->input, len);
    if (fetch->server->needs_tls) {
        TRY(command(fetch, task, STR("STARTTLS"), NULL, &is_ok));
        if (!is_ok)
            return fail(task, ERR_DENIED, "the server does not offer TLS: without it, no password "
                                          "is sent to it");
        buf_reset(&fetch->input); /* what came before TLS is nobody's word (RFC 9051 §11.1) */
        fetch->scanner = (struct imap_response_scanner){0};
        TRY(fetch->line->start_tls(fetch->line->owner, task));
    }
    TRY(quote(task, fetch->server->user, &user));
    TRY(quote(task, fetch->server->password, &password));
    TRY(command(fetch, task,
                arena_printf(&task->arena, "LOGIN %.*s %.*s", STR_ARG(user), STR_ARG(password)),
                NULL, &is_ok));
    return is_ok ? ERR_OK : fail(task, ERR_DENIED, "the other server refuses name or password");
}

/* --- Folders --- */

static struct str name_of(struct arena *arena, struct str encoded, char level)
{
    CLEANUP(buf_free) struct buf decoded;

    buf_init(&decoded, SIZE_MAX);
    if (imap_utf7_decode(encoded, &decoded) != ERR_OK) {
        buf_reset(&decoded);
        buf_put(&decoded, encoded);
    }
    for (size_t i = 0; i < decoded.len && level != '/' && level != 0; i++) {
        if (decoded.ptr[i] == '/')
            decoded.ptr[i] = '_';
        else if (decoded.ptr[i] == level)
            decoded.ptr[i] = '/';
    }
    return transfer_clean_name(arena, buf_str(&decoded));
}

/* * LIST (\HasNoChildren \Sent) "/" "Sent Items": the place of the level and of the name. */
static bool find_name(const struct imap_response *response, struct str word, size_t *out_level)
{
    if (!imap_response_is(response, 0, word) || response->count < 5)
        return false;
    for (size_t i = 1; i + 2 < response->count; i++) {
        if (response->tokens[i].kind == IMAP_TOKEN_CLOSE) {
            *out_level = i + 1;
            return true;
        }
    }
    return false;
}

/* Nobody may believe that it came along. */
static void note_refused(struct fetch *fetch, struct str name)
{
    if (fetch->fetched.refused_count++ == 0)
        fetch->fetched.refused = arena_copy(&fetch->task.arena, name);
}

static enum err on_list(struct fetch *fetch, struct task *task,
                        const struct imap_response *response)
{
    struct arena *arena = &fetch->task.arena;
    struct remote_folder found = {.folder = {.is_selectable = true}};
    size_t level, room = VAULT_FOLDERS_MAX;

    (void)task;
    if (!find_name(response, STR("LIST"), &level))
        return ERR_OK;
    if (fetch->folders == NULL)
        fetch->folders = ARENA_ARRAY(arena, struct remote_folder, room);
    if (fetch->folder_count == room)
        return fail(task, ERR_LIMIT, "the server has too many folders");
    for (size_t i = 2; i < level; i++) {
        struct str attribute = response->tokens[i].text;

        if (str_equal_nocase(attribute, STR("\\Noselect")) ||
            str_equal_nocase(attribute, STR("\\NonExistent")))
            found.folder.is_selectable = false;
        if (imap_use_named(attribute) != VAULT_USE_NONE)
            found.folder.use = imap_use_named(attribute);
    }
    found.encoded = arena_copy(arena, response->tokens[level + 1].text);
    found.folder.name =
        name_of(arena, found.encoded,
                response->tokens[level].text.len == 1 ? response->tokens[level].text.ptr[0] : 0);
    if (!found.folder.is_selectable)
        return ERR_OK;
    found.is_view = found.folder.use == VAULT_USE_ALL || found.folder.use == VAULT_USE_FLAGGED;
    found.folder.source = arena_printf(arena, "%.*s/%.*s", STR_ARG(fetch->server->name),
                                       STR_ARG(found.encoded));
    if (found.folder.name.len == 0 || found.folder.source.len > TRANSFER_SOURCE_MAX)
        note_refused(fetch, found.encoded);
    else
        fetch->folders[fetch->folder_count++] = found;
    return ERR_OK;
}

static enum err on_lsub(struct fetch *fetch, struct task *task,
                        const struct imap_response *response)
{
    size_t level;

    (void)task;
    if (!find_name(response, STR("LSUB"), &level))
        return ERR_OK;
    for (size_t i = 0; i < fetch->folder_count; i++) {
        if (str_equal(fetch->folders[i].encoded, response->tokens[level + 1].text))
            fetch->folders[i].folder.is_subscribed = true;
    }
    return ERR_OK;
}

static bool has_use(const struct fetch *fetch, enum vault_special_use use)
{
    for (size_t i = 0; i < fetch->folder_count; i++) {
        if (fetch->folders[i].folder.use == use)
            return true;
    }
    return false;
}

static enum err list_folders(struct fetch *fetch, struct task *task)
{
    bool is_ok;

    TRY(command(fetch, task, STR("LIST \"\" \"*\""), on_list, &is_ok));
    if (!is_ok)
        return fail(task, ERR_INVALID, "the server does not list its folders");
    TRY(command(fetch, task, STR("LSUB \"\" \"*\""), on_lsub, &is_ok));
    for (size_t i = 0; i < fetch->folder_count; i++) {
        struct transfer_folder *folder = &fetch->folders[i].folder;
        enum vault_special_use guess = transfer_use_guess(folder->name);

        if (folder->use == VAULT_USE_NONE && !has_use(fetch, guess))
            folder->use = guess;
    }
    return ERR_OK;
}

/* A view would bring everything twice; but what an owner archived may be nowhere else (Gmail's "All
 * Mail"), so it is named to him, and taken if he asks for it by its name. */
static bool is_wanted(struct fetch *fetch, const struct remote_folder *remote)
{
    struct str wanted = fetch->server->folder, name = remote->folder.name;

    if (str_equal(name, wanted))
        return true;
    if (wanted.len > 0 && !(str_starts_with(name, wanted) && name.ptr[wanted.len] == '/'))
        return false;
    if (remote->is_view && (fetch->fetched.view.len == 0 || remote->folder.use == VAULT_USE_ALL))
        fetch->fetched.view = name;
    return !remote->is_view;
}

/* --- Messages --- */

static enum err on_examine(struct fetch *fetch, struct task *task,
                           const struct imap_response *response)
{
    (void)task;
    (void)imap_response_code(response, STR("UIDVALIDITY"), &fetch->uidvalidity);
    (void)imap_response_code(response, STR("UIDNEXT"), &fetch->uidnext);
    return ERR_OK;
}

static enum err on_search(struct fetch *fetch, struct task *task,
                          const struct imap_response *response)
{
    if (!imap_response_is(response, 0, STR("SEARCH")))
        return ERR_OK;
    for (size_t i = 1; i < response->count; i++) {
        uint32_t uid;

        if (!parse_u32(response->tokens[i].text, &uid) || uid == 0)
            continue;
        if (fetch->uid_count == 16 * 1000 * 1000)
            return fail(task, ERR_LIMIT, "the folder has too many messages");
        if (fetch->uid_count == fetch->uid_room) {
            fetch->uid_room = fetch->uid_room * 2 + 256;
            fetch->uids = mem_resize(fetch->uids, fetch->uid_room, sizeof(*fetch->uids));
        }
        fetch->uids[fetch->uid_count++] = uid;
    }
    return ERR_OK;
}

/* Where the UID stands in the batch; -1: not asked for. */
static ptrdiff_t place_of(const struct fetch *fetch, uint32_t uid)
{
    for (size_t i = 0; i < fetch->batch_count; i++) {
        if (fetch->batch[i] == uid)
            return (ptrdiff_t)i;
    }
    return -1;
}

/* The value behind a name in a FETCH response, outside of inner lists; 0: it is not there. */
static size_t value_of(const struct imap_response *response, struct str name)
{
    size_t depth = 0;

    for (size_t i = 2; i + 1 < response->count; i++) {
        depth += response->tokens[i].kind == IMAP_TOKEN_OPEN;
        depth -= response->tokens[i].kind == IMAP_TOKEN_CLOSE && depth > 0;
        if (depth == 1 && imap_response_is(response, i, name))
            return i + 1;
    }
    return 0;
}

static bool read_uid(const struct imap_response *response, uint32_t *out)
{
    size_t at = imap_response_is(response, 1, STR("FETCH")) ? value_of(response, STR("UID")) : 0;

    return at != 0 && parse_u32(response->tokens[at].text, out);
}

static enum err on_size(struct fetch *fetch, struct task *task,
                        const struct imap_response *response)
{
    size_t at = value_of(response, STR("RFC822.SIZE"));
    ptrdiff_t place;
    uint32_t uid;

    (void)task;
    if (at == 0 || !read_uid(response, &uid))
        return ERR_OK;
    place = place_of(fetch, uid);
    if (place >= 0 && !parse_u64(response->tokens[at].text, &fetch->sizes[place]))
        fetch->sizes[place] = UINT64_MAX;
    return ERR_OK;
}

/* "17-Jul-1996 02:44:25 -0700" */
static bool parse_date(struct str text, int64_t *out_ms, int16_t *out_zone)
{
    static const struct str months = STR_INIT("JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC");
    struct str rest = str_trim(text), day, month, year, parts[3], zone;
    struct clock_date date = {0};
    uint32_t numbers[5], offset;

    if (!str_split(&rest, '-', &day) || !str_split(&rest, '-', &month) ||
        !str_split(&rest, ' ', &year) || !str_split(&rest, ':', &parts[0]) ||
        !str_split(&rest, ':', &parts[1]) || !str_split(&rest, ' ', &parts[2]))
        return false;
    zone = rest;
    for (int i = 0; i < 12 && date.month == 0; i++) {
        if (str_equal_nocase(month, str_make(months.ptr + i * 3, 3)))
            date.month = i + 1;
    }
    if (date.month == 0 || !parse_u32(day, &numbers[0]) || !parse_u32(year, &numbers[1]) ||
        !parse_u32(parts[0], &numbers[2]) || !parse_u32(parts[1], &numbers[3]) ||
        !parse_u32(parts[2], &numbers[4]) || numbers[0] > 31 || numbers[1] > 9999 ||
        numbers[2] > 24 || numbers[3] > 60 || numbers[4] > 61 || zone.len != 5 ||
        !parse_u32(str_from(zone, 1), &offset) || offset > 2400)
        return false;
    date.day = (int)numbers[0];
    date.year = (int)numbers[1];
    date.hour = (int)numbers[2];
    date.minute = (int)numbers[3];
    date.second = (int)numbers[4];
    *out_zone = (int16_t)(offset / 100 * 60 + offset % 100);
    if (zone.ptr[0] == '-')
        *out_zone = (int16_t)-*out_zone;
    *out_ms = clock_join(&date) - (int64_t)*out_zone * 60 * 1000;
    return true;
}

static void read_flags(struct task *task, const struct imap_response *response, size_t at,
                       struct transfer_message *out)
{
    struct str *keywords = ARENA_ARRAY(&task->arena, struct str, TRANSFER_KEYWORDS_MAX);

    for (size_t i = at + 1; at != 0 && i < response->count &&
                            response->tokens[i].kind != IMAP_TOKEN_CLOSE;
         i++) {
        struct str name = response->tokens[i].text;
        uint64_t flag = transfer_flag_named(name);

        out->flags |= flag;
        if (flag == 0 && name.len > 0 && name.ptr[0] != '\\' && str_is_utf8(name) &&
            name.len <= VAULT_KEYWORD_NAME_MAX && out->keyword_count < TRANSFER_KEYWORDS_MAX)
            keywords[out->keyword_count++] = name;
    }
    out->keywords = keywords;
}

static bool is_missing(const struct fetch *fetch, size_t place)
{
    return fetch->sizes[place] != 0 && fetch->sizes[place] <= TRANSFER_MESSAGE_BYTES_MAX;
}

/* Messages are passed on in the order of their UIDs, as the mailbox remembers the last one: were
 * one passed over and the import stopped behind it, the next would never ask for it. */
static bool is_next(const struct fetch *fetch, ptrdiff_t place)
{
    for (ptrdiff_t i = 0; i < place; i++) {
        if (is_missing(fetch, (size_t)i))
            return false;
    }
    return is_missing(fetch, (size_t)place);
}

static enum err on_message(struct fetch *fetch, struct task *task,
                           const struct imap_response *response)
{
    struct transfer_message message = {.date_ms = task->now_ms};
    size_t body = value_of(response, STR("BODY[]"));
    size_t date = value_of(response, STR("INTERNALDATE"));
    ptrdiff_t place;
    struct str raw;

    if (body == 0 || !read_uid(response, &message.uid))
        return ERR_OK; /* flags that changed meanwhile, and the like */
    place = place_of(fetch, message.uid);
    /* NIL: it is listed, but the server does not have it. */
    if (place < 0 || response->tokens[body].kind != IMAP_TOKEN_STRING || !is_next(fetch, place))
        return ERR_OK;
    fetch->sizes[place] = 0; /* once */
    raw = response->tokens[body].text;
    message.size_bytes = raw.len;
    read_flags(task, response, value_of(response, STR("FLAGS")), &message);
    if (date != 0)
        (void)parse_date(response->tokens[date].text, &message.date_ms, &message.zone_minutes);
    TRY(fetch->sink->message(fetch->sink->owner, task, &message));
    TRY(fetch->sink->bytes(fetch->sink->owner, task, raw));
    return fetch->sink->finish(fetch->sink->owner, task);
}

/* Too large ones are left out. UIDs that vanished meanwhile have no size, and are no loss. */
static struct str set_of_batch(struct fetch *fetch, struct task *task, bool is_sized)
{
    CLEANUP(buf_free) struct buf set;

    buf_init(&set, SIZE_MAX);
    for (size_t i = 0; i < fetch->batch_count; i++) {
        if (is_sized && fetch->sizes[i] > TRANSFER_MESSAGE_BYTES_MAX)
            continue;
        buf_putf(&set, "%s%" PRIu32, set.len > 0 ? "," : "", fetch->batch[i]);
    }
    return arena_copy(&task->arena, buf_str(&set));
}

static enum err ask_messages(struct fetch *fetch, struct task *task, struct str set)
{
    bool is_ok;

    TRY(command(fetch, task,
                arena_printf(&task->arena, "UID FETCH %.*s (UID FLAGS INTERNALDATE BODY.PEEK[])",
                             STR_ARG(set)),
                on_message, &is_ok));
    return is_ok ? ERR_OK : fail(task, ERR_BUSY, "the server did not give its messages");
}

/* It was listed, but does not come. One that was expunged meanwhile is no loss. */
static enum err give_up_message(struct fetch *fetch, struct task *task, size_t place)
{
    bool is_ok, is_there;

    fetch->sizes[place] = UINT64_MAX;
    TRY(command(
        fetch, task,
        arena_printf(&task->arena, "UID FETCH %" PRIu32 " (UID RFC822.SIZE)", fetch->batch[place]),
        on_size, &is_ok));
    is_there = fetch->sizes[place] != UINT64_MAX;
    fetch->sizes[place] = 0;
    if (!is_there)
        return ERR_OK;
    if (fetch->fetched.lost_count++ == 0) {
        fetch->fetched.lost_in = fetch->name;
        fetch->fetched.lost_uid = fetch->batch[place];
    }
    return fetch->sink->left_out(fetch->sink->owner, task);
}

static enum err fetch_batch(struct fetch *fetch, struct task *task)
{
    struct str set;
    bool is_ok;

    for (size_t i = 0; i < fetch->batch_count; i++)
        fetch->sizes[i] = UINT64_MAX; /* not told: it is gone */
    TRY(command(fetch, task,
                arena_printf(&task->arena, "UID FETCH %.*s (UID RFC822.SIZE)",
                             STR_ARG(set_of_batch(fetch, task, false))),
                on_size, &is_ok));
    for (size_t i = 0; i < fetch->batch_count; i++) {
        if (fetch->sizes[i] != UINT64_MAX && fetch->sizes[i] > TRANSFER_MESSAGE_BYTES_MAX)
            TRY(fetch->sink->left_out(fetch->sink->owner, task));
        fetch->sizes[i] += fetch->sizes[i] == 0; /* an empty one; 0 stands for "came" */
    }
    set = set_of_batch(fetch, task, true);
    if (set.len == 0)
        return ERR_OK;
    TRY(ask_messages(fetch, task, set));
    /* Those that came out of turn, or not at all, one by one. */
    for (size_t i = 0; i < fetch->batch_count; i++) {
        if (!is_missing(fetch, i))
            continue;
        TRY(ask_messages(fetch, task, arena_printf(&task->arena, "%" PRIu32, fetch->batch[i])));
        if (is_missing(fetch, i))
            TRY(give_up_message(fetch, task, i));
    }
    return ERR_OK;
}

static int compare_uids(const void *a, const void *b)
{
    uint32_t one = *(const uint32_t *)a, other = *(const uint32_t *)b;

    return one < other ? -1 : one > other;
}

static enum err fetch_folder(struct fetch *fetch, struct task *task, struct remote_folder *remote)
{
    struct str name;
    uint32_t first = 1;
    bool is_ok;

    TRY(quote(task, remote->encoded, &name));
    fetch->name = remote->folder.name;
    fetch->uidvalidity = fetch->uidnext = 0;
    TRY(command(fetch, task, arena_printf(&task->arena, "EXAMINE %.*s", STR_ARG(name)), on_examine,
                &is_ok));
    if (!is_ok || fetch->uidvalidity == 0) {
        note_refused(fetch, remote->folder.name);
        return ERR_OK;
    }
    remote->folder.uidvalidity = fetch->uidvalidity;
    remote->folder.uidnext = fetch->uidnext;
    remote->folder.uidl_template = fetch->uidl_template;
    TRY(fetch->sink->folder(fetch->sink->owner, task, &remote->folder));
    if (transfer_feed_known_uidvalidity(fetch->feed) == fetch->uidvalidity)
        first = transfer_feed_known_uid(fetch->feed) + 1;
    fetch->uid_count = 0;
    TRY(command(fetch, task,
                arena_printf(&task->arena, "UID SEARCH UID %" PRIu32 ":*", first), on_search,
                &is_ok));
    if (!is_ok)
        return fail(task, ERR_INVALID, "the server does not search");
    if (fetch->uid_count > 1)
        qsort(fetch->uids, fetch->uid_count, sizeof(*fetch->uids), compare_uids);
    for (size_t i = 0; i < fetch->uid_count; i += fetch->batch_count) {
        CLEANUP(task_done) struct task piece;
        enum err err;

        task_init(&piece, task->now_ms);
        fetch->batch_count = 1;
        if (fetch->uids[i] < first) /* "n:*" gives the last one, whatever n */
            continue;
        fetch->batch = fetch->uids + i;
        fetch->batch_count = fetch->uid_count - i < BATCH_UIDS ? fetch->uid_count - i : BATCH_UIDS;
        err = fetch_batch(fetch, &piece);
        if (err != ERR_OK)
            return fail(task, err, "%s", piece.words);
    }
    return ERR_OK;
}

static enum err fetch_all(struct fetch *fetch, struct task *task)
{
    bool is_ok;

    TRY(log_in(fetch, task));
    TRY(list_folders(fetch, task));
    for (size_t i = 0; i < fetch->folder_count; i++) {
        CLEANUP(task_done) struct task piece;
        enum err err;

        task_init(&piece, task->now_ms);
        if (!is_wanted(fetch, &fetch->folders[i]))
            continue;
        err = fetch_folder(fetch, &piece, &fetch->folders[i]);
        if (err != ERR_OK)
            return fail(task, err, "%s", piece.words);
    }
    return command(fetch, task, STR("NOOP"), NULL, &is_ok);
}

enum err transfer_fetch(struct task *task, const struct transfer_line *line,
                        const struct transfer_server *server, struct transfer_feed *feed,
                        struct transfer_fetched *out_fetched)
{
    struct fetch fetch = {.line = line,
                          .server = server,
                          .feed = feed,
                          .sink = transfer_feed_sink(feed),
                          .sizes = NEW_ARRAY(uint64_t, BATCH_UIDS)};
    enum err err;

    task_init(&fetch.task, task->now_ms);
    buf_init(&fetch.input, SIZE_MAX);
    err = fetch_all(&fetch, task);
    *out_fetched = (struct transfer_fetched){
        .refused_count = fetch.fetched.refused_count,
        .refused = arena_copy(&task->arena, fetch.fetched.refused),
        .view = arena_copy(&task->arena, fetch.fetched.view),
        .lost_count = fetch.fetched.lost_count,
        .lost_in = arena_copy(&task->arena, fetch.fetched.lost_in),
        .lost_uid = fetch.fetched.lost_uid,
    };
    buf_free(&fetch.input);
    mem_free(&fetch.uids);
    mem_free(&fetch.sizes);
    task_done(&fetch.task);
    return err;
}
