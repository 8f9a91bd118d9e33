/*
 * From bytes to commands: reads a command, finds its row in the table, ensures what the row's flags
 * promise, runs it and answers it. Failures are logged here, once.
 */
#include "imap/engine.h"

#include "imap/write.h"

#include <assert.h>

static size_t line_max(const struct imap_session *s)
{
    return s->state == IMAP_STATE_NOT_AUTH ? IMAP_LINE_MAX_BEFORE_LOGIN : IMAP_LINE_MAX;
}

static void count_bad(struct imap_session *s)
{
    if (++s->bad_count >= IMAP_BAD_COMMANDS_MAX)
        imap_session_bye(s, "Too many bad commands.");
}

enum err imap_bad(struct imap_session *s, struct task *task, const char *words)
{
    s->is_bad = true;
    return fail(task, ERR_INVALID, "%s", words);
}

enum err imap_refuse(struct imap_session *s, struct task *task, enum imap_refusal refusal)
{
    s->refusal = refusal;
    return fail(task, ERR_DENIED, "refused");
}

enum err imap_command_ranges(struct imap_session *s, struct task *task, struct imap_set set,
                             struct imap_set *out_ranges)
{
    if (!imap_view_ranges(&s->view, task, set, imap_is_by_uid(s), out_ranges))
        return imap_bad(s, task, "there is no message of this number");
    return ERR_OK;
}

struct imap_parser imap_parser(const struct imap_session *s, struct task *task, struct str text)
{
    return (struct imap_parser){
        .rest = text,
        .task = task,
        .is_utf8 = imap_names_are_utf8(s),
        .is_charset_fixed = imap_has(s, IMAP_EXT_UTF8),
    };
}

void imap_limit_ranges(struct imap_session *s, struct imap_set *ranges)
{
    uint32_t left = s->options.message_limit;
    size_t i = ranges->count;

    if (left == 0)
        return;
    while (i > 0 && ranges->ranges[i - 1].last - ranges->ranges[i - 1].first < left) {
        i--;
        left -= ranges->ranges[i].last - ranges->ranges[i].first + 1;
    }
    if (i == 0)
        return;
    if (left > 0) {
        i--;
        ranges->ranges[i].first = ranges->ranges[i].last - left + 1;
    }
    ranges->ranges += i;
    ranges->count -= i;
    s->lowest_uid = s->view.uids[ranges->ranges[0].first];
}

/* In the tagged answer, or where that has another code or is a failure's, before it (RFC 9738 §3).
 */
static void tell_limit(struct imap_session *s, enum err err)
{
    bool is_failure = err != ERR_OK && s->refusal != IMAP_REFUSAL_MESSAGE_LIMIT;
    struct str code =
        arena_printf(&s->task.arena, "MESSAGELIMIT %u %u", s->options.message_limit, s->lowest_uid);

    if (s->code.len == 0 && !is_failure) {
        s->code = code;
        s->words = "Only the newest of these messages.";
        return;
    }
    if (s->is_bad || (is_failure && s->state == IMAP_STATE_LOGOUT))
        return;
    buf_put(&s->out, STR("* NO ["));
    buf_put(&s->out, code);
    buf_put(&s->out, STR("] Only the newest of these messages.\r\n"));
}

void imap_enable_condstore(struct imap_session *s)
{
    if (imap_has(s, IMAP_EXT_CONDSTORE))
        return;
    s->enabled |= IMAP_EXT_CONDSTORE;
    if (s->state == IMAP_STATE_SELECTED)
        imap_write_highest_modseq(s, imap_view_say_modseq(s));
}

void imap_write_highest_modseq(struct imap_session *s, uint64_t modseq)
{
    buf_put(&s->out, STR("* OK [HIGHESTMODSEQ "));
    imap_write_number(&s->out, modseq);
    buf_put(&s->out, STR("] Highest.\r\n"));
}

void imap_sync_or_end(struct imap_session *s, struct task *task, bool may_expunge)
{
    enum err err = imap_view_sync(s, task, may_expunge);

    if (err == ERR_OK)
        return;
    if (err == ERR_NOT_FOUND) {
        imap_session_deselect(s);
        imap_session_bye(s, "The selected mailbox was deleted.");
        return;
    }
    log_failure(s->options.log, "looking for changes", task);
    task_forgive(task);
}

/* ---- The end of a command ---- */

static void forget_command(struct imap_session *s)
{
    if (s->is_input_held)
        imap_reader_consume(&s->reader);
    s->is_input_held = false;
    imap_room_give_back(s, IMAP_ROOM_MESSAGES);
    imap_room_give_back(s, IMAP_ROOM_ORDERS);
    vault_content_close(&s->content);
    message_text_maker_free(&s->text);
    arena_free(&s->message_arena);
    task_done(&s->folder_task);
    s->command = NULL;
    s->args = NULL;
    s->tag = s->code = s->line = (struct str){NULL, 0};
    s->words = NULL;
    s->lowest_uid = 0;
    s->has_numbers = s->tells_modseq = false;
    s->subscriber.keywords_held = 0;
    s->is_bad = false;
    s->refusal = IMAP_REFUSAL_NONE;
    s->doom = IMAP_REFUSAL_NONE;
    s->pause = IMAP_PAUSE_NONE;
    task_done(&s->task);
}

void imap_dispatch_end_quietly(struct imap_session *s)
{
    forget_command(s);
}

/* The tagged line, to the output or to what waits for the commit. */
static void answer(struct imap_session *s, struct str line, bool is_ok)
{
    if (s->is_waiting)
        imap_group_hold(s, s->tag, line, is_ok);
    else
        buf_put(&s->out, line);
}

static void answer_ok(struct imap_session *s)
{
    struct buf line;

    buf_init(&line, SIZE_MAX);
    buf_put(&line, s->tag);
    buf_put(&line, STR(" OK "));
    if (s->code.len > 0) {
        buf_put(&line, STR("["));
        buf_put(&line, s->code);
        buf_put(&line, STR("] "));
    }
    if (s->words != NULL) {
        buf_put(&line, str_from_c(s->words));
    } else {
        buf_put(&line, s->command->name);
        buf_put(&line, STR(" completed."));
    }
    buf_put(&line, STR("\r\n"));
    answer(s, buf_str(&line), true);
    buf_free(&line);
}

/* BAD with the words of a parser or of imap_bad: they hold none of the peer's bytes. */
static void answer_bad(struct imap_session *s, const char *words)
{
    struct buf line;

    buf_init(&line, SIZE_MAX);
    imap_write_words(&line, s->tag, STR("BAD"), words);
    answer(s, buf_str(&line), false);
    buf_free(&line);
}

static bool is_no(const struct imap_reply *reply)
{
    return str_equal(reply->status, STR("NO"));
}

static void answer_reply(struct imap_session *s, const struct imap_reply *reply)
{
    struct buf line;

    if (is_no(reply) && s->args != NULL)
        imap_search_refused(s, s->command, s->args);
    buf_init(&line, SIZE_MAX);
    imap_write_reply(&line, s->tag, reply);
    answer(s, buf_str(&line), false);
    buf_free(&line);
}

static void answer_error(struct imap_session *s, enum err err)
{
    struct str name = s->command->name;

    if (s->is_bad) {
        answer_bad(s, s->task.words);
        return;
    }
    if (s->refusal != IMAP_REFUSAL_NONE) {
        struct imap_reply reply = *imap_reply_for_refusal(s->refusal);

        if (s->code.len > 0)
            reply.code = s->code;
        answer_reply(s, &reply);
        return;
    }
    if (err == ERR_IO || err == ERR_CORRUPT)
        log_failure(s->options.log, name.ptr, &s->task);
    if (s->vault != NULL && vault_is_broken(s->vault))
        answer_reply(s, imap_reply_for_refusal(IMAP_REFUSAL_DOUBTFUL));
    else
        answer_reply(s, imap_reply_for_error(err, name, s->command->flags));
}

/* The FETCH that NOTIFY brought about. */
static void finish_unasked(struct imap_session *s, enum err err)
{
    if (err != ERR_OK)
        log_failure(s->options.log, "telling of new messages", &s->task);
    if (s->state == IMAP_STATE_SELECTED)
        imap_view_tell_safe_modseq(s);
    forget_command(s);
    imap_notify_fetched(s);
}

static void finish(struct imap_session *s, enum err err)
{
    bool is_bad = s->is_bad;

    if (s->command->parse == NULL) {
        finish_unasked(s, err);
        return;
    }
    /* What others changed is told before the tagged line, where the command allows. */
    if (s->state == IMAP_STATE_SELECTED && !s->is_waiting &&
        (s->command->flags & IMAP_NO_SYNC) == 0) {
        struct task task;

        task_init(&task, s->now_ms);
        s->has_changes = false;
        imap_sync_or_end(s, &task, (s->command->flags & IMAP_NO_EXPUNGE) == 0 && !s->has_numbers);
        /* HIGHESTMODSEQ, in the tagged OK or for itself, now that all else is told. */
        if (err == ERR_OK && s->tells_modseq && s->state == IMAP_STATE_SELECTED)
            s->code = arena_printf(&s->task.arena, "HIGHESTMODSEQ %llu",
                                   (unsigned long long)imap_view_say_modseq(s));
        else
            imap_view_tell_safe_modseq(s);
        /* What this command holds back is told when it is over, not with the next change. */
        s->has_changes = s->view.gone_count > 0 && imap_notify_expunges_at_once(s);
        task_done(&task);
    }
    if (s->lowest_uid != 0)
        tell_limit(s, err);
    if (!s->is_waiting)
        imap_metadata_tell(s);
    if (err == ERR_OK)
        answer_ok(s);
    else if (s->state != IMAP_STATE_LOGOUT)
        answer_error(s, err);
    forget_command(s);
    if (s->vault != NULL && vault_is_broken(s->vault))
        imap_session_bye(s, "[UNAVAILABLE] The mailbox is not available now.");
    else if (is_bad)
        count_bad(s);
    else
        s->bad_count = 0;
}

void imap_dispatch_refuse(struct imap_session *s, enum imap_refusal refusal)
{
    s->refusal = refusal;
    s->pause = IMAP_PAUSE_NONE;
    finish(s, ERR_DENIED);
}

/* ---- Running ---- */

/* RFC 9585: a sign of life, so that the client need not think that the connection is dead. What
 * goes over its messages once more does not go back (§4), and who is at its goal has no more to
 * say. */
static void tell_progress(struct imap_session *s)
{
    if (s->now_ms < s->progress_due_ms || s->tag.len == 0)
        return;
    if (s->progress < s->progress_told)
        s->progress = s->progress_told;
    if (s->progress >= s->goal)
        return;
    s->progress_told = s->progress;
    s->progress_due_ms = s->now_ms + IMAP_PROGRESS_MS;
    buf_put(&s->out, STR("* OK [INPROGRESS (\""));
    buf_put(&s->out, s->tag); /* no character of a tag needs a backslash */
    buf_put(&s->out, STR("\" "));
    imap_write_number(&s->out, s->progress);
    buf_put(&s->out, STR(" "));
    imap_write_number(&s->out, s->goal);
    buf_put(&s->out, STR(")] Still working on it.\r\n"));
}

static void run(struct imap_session *s)
{
    enum err err;

    s->pause = IMAP_PAUSE_NONE;
    s->is_running = true;
    s->goal = 0;
    err = s->command->run(s, &s->task, s->args);
    s->is_running = false;
    if (err != ERR_OK || s->pause == IMAP_PAUSE_NONE)
        finish(s, err);
    else if (s->pause == IMAP_PAUSE_TURN)
        tell_progress(s);
}

/* The line that the command waits for. False: it is not there yet. */
static bool run_with_line(struct imap_session *s)
{
    struct imap_literal literal;
    struct str line;

    switch (imap_reader_next(&s->reader, line_max(s), true, &line, &literal)) {
    case IMAP_READ_MORE:
    case IMAP_READ_LITERAL:
        return false;
    case IMAP_READ_TOO_LONG:
        imap_session_bye(s, "The line is too long.");
        return false;
    case IMAP_READ_COMMAND:
        s->line = arena_copy(&s->task.arena, line);
        imap_reader_consume(&s->reader);
        imap_group_flush(s);
        run(s);
        return true;
    }
    return false;
}

void imap_dispatch_resume(struct imap_session *s)
{
    s->pause = IMAP_PAUSE_NONE;
    if (s->command != NULL)
        run(s);
    imap_dispatch(s);
}

/* ---- The beginning of a command ---- */

/* A command that ends before it began: syntax, state, or a row that does not exist. */
static void reject(struct imap_session *s, enum imap_refusal refusal)
{
    const struct imap_reply *reply = imap_reply_for_refusal(refusal);
    bool is_bad = str_equal(reply->status, STR("BAD"));

    answer_reply(s, reply);
    forget_command(s);
    if (is_bad)
        count_bad(s);
}

static void reject_syntax(struct imap_session *s)
{
    const char *words = s->task.words;

    if (s->tag.len == 0)
        s->tag = STR("*");
    answer_bad(s, words);
    forget_command(s);
    count_bad(s);
}

/* command = tag SP name; "UID" takes the next word along. */
static enum err parse_name(struct imap_parser *parser, struct str *out_tag,
                           const struct imap_command **out_command)
{
    struct str start, name, second;

    TRY(imap_parse_tag(parser, out_tag));
    TRY(imap_parse_space(parser));
    start = parser->rest;
    TRY(imap_parse_atom(parser, &name));
    if (str_equal_nocase(name, STR("UID"))) {
        TRY(imap_parse_space(parser));
        TRY(imap_parse_atom(parser, &second));
        name = str_upto(start, start.len - parser->rest.len);
    }
    *out_command = imap_command_find(name);
    return ERR_OK;
}

/* A bulk client's command that costs something waits while others do. */
static bool must_wait(const struct imap_session *s, const struct imap_command *command)
{
    return s->is_bulk && (command->flags & IMAP_IN_NOT_AUTH) == 0 && s->is_under_load != NULL &&
           s->is_under_load(s->load_owner);
}

/* What the command's row demands before its arguments are looked at. */
static enum imap_refusal refusal_of(const struct imap_session *s,
                                    const struct imap_command *command)
{
    if (command == NULL)
        return IMAP_REFUSAL_UNKNOWN_COMMAND;
    if ((command->flags & BIT(s->state)) == 0)
        return IMAP_REFUSAL_WRONG_STATE;
    if (imap_has(s, IMAP_EXT_UIDONLY) && imap_command_is_by_number(command))
        return IMAP_REFUSAL_UID_REQUIRED; /* RFC 9586 §3 */
    return IMAP_REFUSAL_NONE;
}

/* How many messages a command that takes much memory may be about. */
static uint64_t messages_of(const struct imap_session *s)
{
    struct vault_usage usage;

    if ((s->command->flags & IMAP_IN_AUTH) == 0)
        return s->view.count;
    vault_usage(s->vault, &usage);
    return usage.messages;
}

static void on_command(struct imap_session *s, struct str line)
{
    struct imap_parser parser = imap_parser(s, &s->task, line);
    enum imap_refusal refusal;
    struct str tag = {NULL, 0};
    enum err err;

    imap_spend(s, 50);
    task_init(&s->task, s->now_ms);
    s->progress_due_ms = s->now_ms + IMAP_PROGRESS_MS;
    s->progress_told = 0;
    s->is_input_held = true;
    err = parse_name(&parser, &tag, &s->command);
    s->tag = arena_copy(&s->task.arena, tag);
    if (s->command == NULL || s->command->run != imap_cmd_append)
        imap_group_flush(s);
    if (s->state == IMAP_STATE_LOGOUT) { /* the flush met a broken vault */
        forget_command(s);
        return;
    }
    if (err != ERR_OK) {
        reject_syntax(s);
        return;
    }
    refusal = refusal_of(s, s->command);
    if (refusal != IMAP_REFUSAL_NONE) {
        reject(s, refusal);
        return;
    }
    if ((s->command->flags & IMAP_TAKES_MESSAGE) == 0) {
        parser.rest = arena_copy(&s->task.arena, parser.rest);
        imap_reader_consume(&s->reader);
        s->is_input_held = false;
    }
    s->args = ARENA_NEW(&s->task.arena, union imap_args);
    err = s->command->parse(&parser, s->args);
    if (err == ERR_OK)
        err = imap_parse_end(&parser);
    if (err != ERR_OK && parser.is_name_impossible)
        reject(s, IMAP_REFUSAL_IMPOSSIBLE_NAME);
    else if (err != ERR_OK)
        reject_syntax(s);
    else if (must_wait(s, s->command))
        reject(s, IMAP_REFUSAL_BUSY);
    else if ((s->command->flags & IMAP_WRITES) != 0 && s->view.is_read_only)
        reject(s, IMAP_REFUSAL_READ_ONLY);
    else if ((s->command->flags & IMAP_IS_LARGE) != 0 &&
             !imap_room_take(s, IMAP_ROOM_ORDERS, messages_of(s)))
        reject(s, IMAP_REFUSAL_BUSY);
    else
        run(s);
}

/* ---- Literals ---- */

/* May this literal come? Decided before a byte of it is kept; that of a message takes its room. */
static enum imap_refusal judge_literal(struct imap_session *s, const struct imap_command *command,
                                       uint64_t size)
{
    enum imap_refusal refusal = refusal_of(s, command);
    size_t before = s->reader.literal_bytes;
    uint64_t message_max = s->options.append_limit_bytes;

    if (refusal != IMAP_REFUSAL_NONE)
        return refusal;
    if (must_wait(s, command))
        return IMAP_REFUSAL_BUSY;
    if (command->flags & IMAP_TAKES_MESSAGE) {
        if (size > message_max)
            return IMAP_REFUSAL_MESSAGE_TOO_BIG;
        /* Those of one command wait in memory together (RFC 3502 §6.3.11: all or none). */
        if (before + size > message_max + IMAP_LITERALS_MAX)
            return IMAP_REFUSAL_MESSAGES_TOO_BIG;
        return imap_room_take(s, IMAP_ROOM_MESSAGES, size) ? IMAP_REFUSAL_NONE : IMAP_REFUSAL_BUSY;
    }
    if (size > IMAP_LITERALS_MAX ||
        before + size > (s->state == IMAP_STATE_NOT_AUTH ? (size_t)IMAP_LITERALS_MAX_BEFORE_LOGIN
                                                         : (size_t)IMAP_LITERALS_MAX))
        return IMAP_REFUSAL_LITERAL_TOO_BIG;
    return IMAP_REFUSAL_NONE;
}

/* A command that is answered with NO before its literal came: what it said until then counts as if
 * it were whole. */
static void refuse_early(struct imap_session *s, const struct imap_command *command,
                         struct str arguments)
{
    union imap_args *args;
    struct task task;
    struct imap_parser parser = imap_parser(s, &task, arguments);

    if (command->flags & IMAP_TAKES_MESSAGE)
        return;
    task_init(&task, s->now_ms);
    args = ARENA_NEW(&task.arena, union imap_args);
    /* Of course it fails, where the literal should be. */
    (void)(command->parse(&parser, args) == ERR_OK);
    imap_search_refused(s, command, args);
    task_done(&task);
}

static void on_literal(struct imap_session *s, struct str line, struct imap_literal literal)
{
    enum imap_refusal refusal = s->doom;
    struct str tag = s->tag;

    if (refusal == IMAP_REFUSAL_NONE) {
        struct imap_parser parser = imap_parser(s, &s->task, line);
        const struct imap_command *command = NULL;
        enum err err;

        task_init(&s->task, s->now_ms);
        err = parse_name(&parser, &tag, &command);
        refusal =
            err == ERR_OK ? judge_literal(s, command, literal.size) : IMAP_REFUSAL_UNKNOWN_COMMAND;
        if (refusal != IMAP_REFUSAL_NONE && is_no(imap_reply_for_refusal(refusal)))
            refuse_early(s, command, parser.rest);
    }
    if (refusal == IMAP_REFUSAL_NONE) {
        task_done(&s->task);
        imap_reader_accept(&s->reader, (size_t)literal.size);
        s->literal_count++;
        if (literal.is_waiting) {
            imap_group_flush(s);
            buf_put(&s->out, STR("+ OK\r\n"));
        }
        return;
    }
    imap_group_flush(s);
    if (s->doom == IMAP_REFUSAL_NONE)
        s->tag = tag.len > 0 ? arena_copy(&s->task.arena, tag) : STR("*");
    if (literal.is_waiting) {
        imap_reader_discard(&s->reader, 0);
        reject(s, refusal);
    } else if (s->state == IMAP_STATE_NOT_AUTH || literal.size > UINT32_MAX) {
        imap_write_reply(&s->out, s->tag, imap_reply_for_refusal(refusal));
        forget_command(s);
        imap_session_bye(s, "The literal is too long.");
    } else {
        s->doom = refusal;
        imap_reader_discard(&s->reader, literal.size);
    }
}

void imap_dispatch(struct imap_session *s)
{
    while (s->state != IMAP_STATE_LOGOUT) {
        struct imap_literal literal;
        struct str line;

        if (s->command != NULL) {
            if (s->pause != IMAP_PAUSE_LINE || !run_with_line(s))
                return;
            continue;
        }
        if (imap_group_is_full(s->group))
            imap_group_flush(s);
        if (imap_must_give_way(s)) {
            s->pause = IMAP_PAUSE_TURN;
            return;
        }
        switch (imap_reader_next(&s->reader, line_max(s), false, &line, &literal)) {
        case IMAP_READ_MORE:
            /* Alone, nothing else will join; in a group the next turn commits. */
            if (s->options.group == NULL)
                imap_group_flush(s);
            return;
        case IMAP_READ_TOO_LONG:
            imap_session_bye(s, "The line is too long.");
            return;
        case IMAP_READ_LITERAL:
            on_literal(s, line, literal);
            break;
        case IMAP_READ_COMMAND:
            if (s->doom != IMAP_REFUSAL_NONE) {
                imap_reader_consume(&s->reader);
                reject(s, s->doom);
            } else {
                on_command(s, line);
            }
            break;
        }
    }
}
