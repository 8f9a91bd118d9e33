/*
 * From bytes to commands: reads a line, finds its row in the table, ensures what the row says, runs
 * it and answers what failed. Failures are logged here, once.
 */
#include "pop3/engine.h"

#include <assert.h>

enum err pop3_refuse(struct pop3_session *s, struct task *task, enum pop3_refusal refusal)
{
    s->refusal = refusal;
    return fail(task, ERR_DENIED, "refused");
}

void pop3_write_ok(struct pop3_session *s, const char *words)
{
    buf_put(&s->out, STR("+OK "));
    buf_put(&s->out, str_from_c(words));
    buf_put(&s->out, STR("\r\n"));
}

static void end_with(struct pop3_session *s, enum pop3_refusal refusal)
{
    pop3_write_refusal(&s->out, refusal);
    pop3_session_end(s);
}

static void forget_command(struct pop3_session *s)
{
    vault_content_close(&s->content);
    buf_free(&s->piece);
    s->command = NULL;
    s->refusal = POP3_REFUSAL_NONE;
    s->is_answered = false;
    s->line = s->login_username = s->login_password = (struct str){NULL, 0};
    s->pause = POP3_PAUSE_NONE;
    task_done(&s->task);
}

void pop3_dispatch_end_quietly(struct pop3_session *s)
{
    forget_command(s);
}

static void count_bad(struct pop3_session *s)
{
    if (++s->bad_count >= POP3_BAD_COMMANDS_MAX && s->state != POP3_STATE_END)
        end_with(s, POP3_REFUSAL_TOO_MANY_BAD);
}

static bool is_clients_mistake(enum pop3_refusal refusal)
{
    return refusal == POP3_REFUSAL_UNKNOWN_COMMAND || refusal == POP3_REFUSAL_WRONG_STATE ||
           refusal == POP3_REFUSAL_SYNTAX || refusal == POP3_REFUSAL_NOT_BASE64 ||
           refusal == POP3_REFUSAL_NOT_PLAIN;
}

static void finish(struct pop3_session *s, enum err err)
{
    enum pop3_refusal refusal = s->refusal;

    if (err != ERR_OK && refusal == POP3_REFUSAL_NONE) {
        if (err != ERR_NOT_FOUND)
            log_failure(s->options.log, s->command->name.ptr, &s->task);
        refusal = pop3_refusal_for_error(err);
    }
    /* In the middle of a message nothing can be said that is not taken for a part of it: only the
     * missing end tells (RFC 1939 §3). */
    if (err != ERR_OK && s->is_answered)
        pop3_session_end(s);
    else if (err != ERR_OK)
        pop3_write_refusal(&s->out, refusal);
    forget_command(s);
    if (err != ERR_OK && is_clients_mistake(refusal))
        count_bad(s);
    else
        s->bad_count = 0;
}

void pop3_dispatch_refuse(struct pop3_session *s, enum pop3_refusal refusal)
{
    s->refusal = refusal;
    finish(s, ERR_DENIED);
}

static void run(struct pop3_session *s)
{
    enum err err;

    s->pause = POP3_PAUSE_NONE;
    err = s->command->run(s, &s->task, &s->args);
    if (err != ERR_OK || s->pause == POP3_PAUSE_NONE)
        finish(s, err);
}

/* command = keyword [SP arguments] */
static void begin(struct pop3_session *s, struct str line)
{
    struct str name, rest;

    task_init(&s->task, s->now_ms);
    rest = arena_copy(&s->task.arena, line);
    pop3_reader_consume(&s->reader);
    str_split(&rest, ' ', &name);
    s->args = (union pop3_args){0};
    s->command = pop3_command_find(name);
    if (str_index(name, '\0') >= 0 || str_index(rest, '\0') >= 0)
        pop3_dispatch_refuse(s, POP3_REFUSAL_SYNTAX);
    else if (s->command == NULL)
        pop3_dispatch_refuse(s, POP3_REFUSAL_UNKNOWN_COMMAND);
    else if ((s->command->flags & BIT(s->state)) == 0)
        pop3_dispatch_refuse(s, POP3_REFUSAL_WRONG_STATE);
    else if (!s->command->parse(rest, &s->args))
        pop3_dispatch_refuse(s, POP3_REFUSAL_SYNTAX);
    else
        run(s);
}

static void take_line(struct pop3_session *s, struct str line)
{
    pop3_spend(s, POP3_COMMAND_UNITS);
    if (s->pause != POP3_PAUSE_LINE) {
        begin(s, line);
        return;
    }
    s->line = arena_copy(&s->task.arena, line);
    pop3_reader_consume(&s->reader);
    run(s);
}

void pop3_dispatch(struct pop3_session *s)
{
    struct str line;

    if (s->pause == POP3_PAUSE_TURN && s->command != NULL)
        run(s);
    else if (s->pause == POP3_PAUSE_TURN)
        s->pause = POP3_PAUSE_NONE;
    while (s->state != POP3_STATE_END &&
           (s->pause == POP3_PAUSE_NONE || s->pause == POP3_PAUSE_LINE)) {
        switch (pop3_reader_next(&s->reader, &line)) {
        case POP3_READ_MORE:
            return;
        case POP3_READ_TOO_LONG:
            end_with(s, POP3_REFUSAL_LINE_TOO_LONG);
            return;
        case POP3_READ_LINE:
            if (s->pause == POP3_PAUSE_NONE && pop3_must_give_way(s)) {
                s->reader.scanned = 0;
                pop3_give_way(s);
                return;
            }
            take_line(s, line);
        }
    }
}
