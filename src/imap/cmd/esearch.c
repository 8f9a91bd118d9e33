/*
 * ESEARCH (RFC 7377): one search over many mailboxes, each with an answer of its own, by UID. A
 * mailbox in which nothing was found has none; one that does not exist is passed over (§2.2).
 */
#include "imap/engine.h"

#include <string.h>

enum { NAMES_MAX = 1000, KEYS_PER_UNIT = 8 /* imap_spend: copied for a mailbox */ };

static const struct {
    struct str name;
    enum imap_esearch_source source;
    bool has_names;
} SOURCES[] = {
    {STR_INIT("SELECTED"), IMAP_ESEARCH_SELECTED, false},
    {STR_INIT("INBOXES"), IMAP_ESEARCH_INBOXES, false},
    {STR_INIT("PERSONAL"), IMAP_ESEARCH_PERSONAL, false},
    {STR_INIT("SUBSCRIBED"), IMAP_ESEARCH_SUBSCRIBED, false},
    {STR_INIT("SUBTREE-ONE"), IMAP_ESEARCH_SUBTREE_ONE, true},
    {STR_INIT("SUBTREE"), IMAP_ESEARCH_SUBTREE, true},
    {STR_INIT("MAILBOXES"), IMAP_ESEARCH_MAILBOXES, true},
};

/* ---- The sources ---- */

static enum err parse_name(struct imap_parser *parser, struct imap_esearch_args *out,
                           enum imap_esearch_source source)
{
    if (out->name_count == NAMES_MAX)
        return imap_expected(parser, "fewer mailboxes");
    if (out->names == NULL)
        out->names = ARENA_ARRAY(&parser->task->arena, struct imap_esearch_name, NAMES_MAX);
    out->names[out->name_count].source = source;
    return imap_parse_mailbox(parser, &out->names[out->name_count++].name);
}

/* one-or-more-mailbox = mailbox / many-mailboxes
 * many-mailboxes = "(" mailbox *(SP mailbox) ")" (RFC 5465 §8) */
static enum err parse_names(struct imap_parser *parser, struct imap_esearch_args *out,
                            enum imap_esearch_source source)
{
    TRY(imap_parse_space(parser));
    if (!imap_take(parser, '('))
        return parse_name(parser, out, source);
    do
        TRY(parse_name(parser, out, source));
    while (imap_take(parser, ' '));
    return imap_parse_byte(parser, ')');
}

/* filter-mailboxes; "selected-delayed" must not be used here (RFC 7377 §2.2). */
static enum err parse_source(struct imap_parser *parser, struct imap_esearch_args *out)
{
    for (size_t i = 0; i < ARRAY_LEN(SOURCES); i++) {
        if (!imap_take_word(parser, SOURCES[i].name))
            continue;
        out->sources |= SOURCES[i].source;
        return SOURCES[i].has_names ? parse_names(parser, out, SOURCES[i].source) : ERR_OK;
    }
    return imap_expected(parser, "a source of mailboxes");
}

/* esearch-source-opts = "IN" SP "(" source-mbox [SP "(" scope-options ")"] ")"; no scope option is
 * defined. */
static enum err parse_sources(struct imap_parser *parser, struct imap_esearch_args *out)
{
    TRY(imap_parse_space(parser));
    TRY(imap_parse_byte(parser, '('));
    do
        TRY(parse_source(parser, out));
    while (imap_take(parser, ' '));
    TRY(imap_parse_byte(parser, ')'));
    return imap_parse_space(parser);
}

IMAP_PARSE(esearch)
{
    struct imap_esearch_args *out = &args->esearch;

    TRY(imap_parse_space(parser));
    if (imap_take_word(parser, STR("IN")))
        TRY(parse_sources(parser, out));
    else
        out->sources = IMAP_ESEARCH_SELECTED;
    TRY(imap_search_return_parse(parser, &out->wanted));
    if (!out->wanted.is_extended)
        out->wanted = (struct imap_search_return){.is_extended = true, .options = IMAP_RETURN_ALL};
    TRY(imap_search_parse(parser, &out->program));
    /* Message numbers and "$" are the selected mailbox's (RFC 7377 §2.1, RFC 5182). */
    if (out->sources != IMAP_ESEARCH_SELECTED &&
        (out->program.has_numbers || (out->wanted.options & IMAP_RETURN_SAVE)))
        return imap_expected(parser, "no message numbers, $ or SAVE, but for \"selected\" alone");
    if ((out->wanted.options & IMAP_RETURN_RELEVANCY) && !out->program.has_fuzzy)
        return imap_expected(parser, "a FUZZY key with RELEVANCY");
    return ERR_OK;
}

static bool is_child(struct str name, struct str parent)
{
    return name.len > parent.len && str_starts_with(name, parent) &&
           (parent.len == 0 || name.ptr[parent.len] == '/');
}

static bool is_named(const struct imap_esearch_args *args, struct str folder)
{
    for (size_t i = 0; i < args->name_count; i++) {
        struct str name = args->names[i].name;
        size_t below = name.len + (name.len > 0);

        if (str_equal(folder, name))
            return true;
        if (args->names[i].source == IMAP_ESEARCH_MAILBOXES || !is_child(folder, name))
            continue;
        if (args->names[i].source == IMAP_ESEARCH_SUBTREE ||
            str_index(str_from(folder, below), '/') < 0)
            return true;
    }
    return false;
}

static bool is_source(const struct imap_session *s, const struct imap_esearch_args *args,
                      const struct vault_folder *folder)
{
    if (!folder->is_selectable)
        return false;
    return (args->sources & IMAP_ESEARCH_PERSONAL) != 0 ||
           ((args->sources & IMAP_ESEARCH_SELECTED) != 0 && folder->id == s->view.folder_id) ||
           ((args->sources & IMAP_ESEARCH_SUBSCRIBED) != 0 && folder->is_subscribed) ||
           ((args->sources & IMAP_ESEARCH_INBOXES) != 0 && str_equal(folder->name, STR("INBOX"))) ||
           is_named(args, folder->name);
}

/* Every folder once, however often it is named. */
static enum err choose_folders(struct imap_session *s, struct task *task,
                               struct imap_esearch_args *args)
{
    struct vault_folder *folders;
    size_t count;

    TRY(vault_folder_list(s->vault, task, &folders, &count));
    args->folders = folders;
    for (size_t i = 0; i < count; i++) {
        imap_spend(s, 1 + args->name_count / 8);
        if (is_source(s, args, &folders[i]))
            args->folders[args->folder_count++] = folders[i];
    }
    for (size_t i = 0; i < args->folder_count; i++)
        args->goal += args->folders[i].message_count;
    return ERR_OK;
}

/* ---- One mailbox ---- */

/* The program as it was parsed: running it changes it. */
static void copy_program(struct task *task, const struct imap_search_program *from,
                         struct imap_search_program *out)
{
    *out = *from;
    out->nodes = ARENA_ARRAY(&task->arena, struct imap_search_node, from->node_count);
    memcpy(out->nodes, from->nodes, from->node_count * sizeof(*out->nodes));
    for (uint32_t i = 0; i < from->node_count; i++) {
        const struct imap_set *set = &from->nodes[i].set;

        out->nodes[i].set.ranges = ARENA_ARRAY(&task->arena, struct imap_range, set->count);
        if (set->count > 0)
            memcpy(out->nodes[i].set.ranges, set->ranges, set->count * sizeof(*set->ranges));
    }
}

/* A view of the folder as it is now. The selected one keeps its own, with what is recent in it. */
static enum err open_folder(struct imap_session *s, struct task *task,
                            struct imap_esearch_args *args, const struct vault_folder *folder)
{
    struct vault_uid_flags *messages;
    size_t count = 0;
    struct task list;
    enum err err;

    if (s->state == IMAP_STATE_SELECTED && folder->id == s->view.folder_id) {
        args->run.view = &s->view;
        return ERR_OK;
    }
    task_init(&list, task->now_ms);
    err = vault_message_list(s->vault, &list, folder->id, &messages, &count);
    args->view = (struct imap_view){.folder_id = folder->id, .uidvalidity = folder->uidvalidity};
    if (err == ERR_OK) {
        args->view.uids = ARENA_ARRAY(&task->arena, uint32_t, count);
        for (size_t i = 0; i < count; i++)
            args->view.uids[args->view.count++] = messages[i].uid;
        args->run.view = &args->view;
    } else if (err != ERR_NOT_FOUND) { /* which: deleted meanwhile */
        err = fail(task, err, "%s", list.words);
    }
    imap_spend(s, 10 + count / 4);
    task_done(&list);
    return err;
}

static enum err begin_folder(struct imap_session *s, struct task *task,
                             struct imap_esearch_args *args)
{
    args->run = (struct imap_search_run){
        .program = &args->running,
        .wants_scores = (args->wanted.options & IMAP_RETURN_RELEVANCY) != 0,
    };
    copy_program(task, &args->program, &args->running);
    imap_spend(s, args->program.node_count / KEYS_PER_UNIT);
    return open_folder(s, task, args, &args->folders[args->next]);
}

/* The folder as it is called by now. ERR_NOT_FOUND: it is gone, or another one of its name. */
static enum err look_again(struct imap_session *s, struct task *task,
                           const struct vault_folder *folder, struct vault_folder *out_now)
{
    if (!vault_folder_is_valid(s->vault, folder->id, folder->incarnation))
        return fail(task, ERR_NOT_FOUND, "the folder was deleted meanwhile");
    return vault_folder_by_id(s->vault, task, folder->id, out_now);
}

static enum err end_folder(struct imap_session *s, struct task *task,
                           struct imap_esearch_args *args)
{
    struct vault_folder now;
    struct imap_search_result result = {
        .view = args->run.view,
        .found = args->run.found,
        .count = args->run.found_count,
        .modseqs = args->run.modseqs,
        .scores = args->run.scores,
    };

    TRY(look_again(s, task, &args->folders[args->next], &now));
    result.mailbox = now.name;
    result.uidvalidity = now.uidvalidity;
    if (args->sources == IMAP_ESEARCH_SELECTED)
        TRY(imap_search_save(s, task, &args->wanted, &result));
    if (result.count > 0)
        imap_search_write_result(s, &args->wanted, &result);
    return ERR_OK;
}

static void leave_folder(struct imap_session *s, struct imap_esearch_args *args)
{
    args->run.view = NULL;
    args->passed += args->folders[args->next++].message_count;
    task_done(&s->folder_task);
}

/* The search told how far it is in this mailbox; the client hears how far in all of them, which are
 * taken as large as they were at first. */
static void add_passed(struct imap_session *s, const struct imap_esearch_args *args)
{
    uint64_t here = args->folders[args->next].message_count;

    if (s->goal == 0)
        return;
    s->progress = args->passed + (s->progress < here ? s->progress : here);
    s->goal = args->goal;
}

/*
 * Its memory goes before the next one's comes: a program of many keys takes half a megabyte for
 * each mailbox that it runs over.
 */
static enum err search_folder(struct imap_session *s, struct task *task,
                              struct imap_esearch_args *args)
{
    struct task *at_hand = &s->folder_task;
    enum err err = ERR_OK;

    if (args->run.view == NULL) {
        task_init(at_hand, task->now_ms);
        err = begin_folder(s, at_hand, args);
    }
    if (err == ERR_OK)
        err = imap_search_run(s, at_hand, &args->run);
    if (err == ERR_OK && s->pause == IMAP_PAUSE_NONE)
        err = end_folder(s, at_hand, args);
    if (err != ERR_OK && err != ERR_NOT_FOUND) /* which: the folder was deleted meanwhile */
        return fail(task, err, "%s", at_hand->words);
    if (s->pause == IMAP_PAUSE_NONE)
        leave_folder(s, args);
    else
        add_passed(s, args);
    return ERR_OK;
}

IMAP_COMMAND(esearch)
{
    struct imap_esearch_args *esearch = &args->esearch;

    if (esearch->program.is_wrong_charset)
        return imap_refuse(s, task, IMAP_REFUSAL_CHARSET);
    if ((esearch->sources & IMAP_ESEARCH_SELECTED) && s->state != IMAP_STATE_SELECTED)
        return imap_bad(s, task, "no mailbox is selected");
    if (esearch->folders == NULL)
        TRY(choose_folders(s, task, esearch));
    while (esearch->next < esearch->folder_count) {
        if (imap_must_give_way(s)) {
            imap_give_way(s);
            return ERR_OK;
        }
        TRY(search_folder(s, task, esearch));
        if (s->pause != IMAP_PAUSE_NONE)
            return ERR_OK;
    }
    return ERR_OK;
}
