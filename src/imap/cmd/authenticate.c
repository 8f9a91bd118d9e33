/*
 * AUTHENTICATE (RFC 3501 §6.2.2) with PLAIN (RFC 4616) and LOGIN, and the initial response of
 * RFC 4959. Mechanisms that hide the password cannot open an encrypted mailbox (design §3).
 */
#include "imap/engine.h"

#include "base/encode.h"
#include "base/memory.h"

/* authenticate = "AUTHENTICATE" SP auth-type [SP (base64 / "=")] */
IMAP_PARSE(authenticate)
{
    TRY(imap_parse_space(parser));
    TRY(imap_parse_atom(parser, &args->authenticate.mechanism));
    if (!imap_take(parser, ' '))
        return ERR_OK;
    args->authenticate.has_initial = true;
    args->authenticate.initial = parser->rest;
    parser->rest = str_from(parser->rest, parser->rest.len);
    return ERR_OK;
}

/* One answer of the client, decoded into the task's arena; "=" is the empty one (RFC 4959 §3). */
static enum err decode_answer(struct imap_session *s, struct task *task, struct str text,
                              struct str *out)
{
    struct buf bytes;
    enum err err;

    if (str_equal(text, STR("*")))
        return imap_refuse(s, task, IMAP_REFUSAL_CANCELLED);
    buf_init(&bytes, SIZE_MAX);
    err = str_equal(text, STR("=")) ? ERR_OK : decode_base64(&bytes, text);
    if (err == ERR_OK)
        *out = arena_copy(&task->arena, buf_str(&bytes));
    buf_free(&bytes);
    return err == ERR_OK ? ERR_OK : imap_bad(s, task, "That is not base64.");
}

static enum err ask(struct imap_session *s, struct str prompt)
{
    buf_put(&s->out, STR("+ "));
    buf_put(&s->out, prompt);
    buf_put(&s->out, STR("\r\n"));
    s->line = (struct str){NULL, 0};
    s->pause = IMAP_PAUSE_LINE;
    return ERR_OK;
}

/* message = [authzid] NUL authcid NUL passwd; nobody acts for another here. */
static enum err plain(struct imap_session *s, struct task *task, union imap_args *args,
                      struct str message)
{
    struct str authzid, authcid, password;

    if (!str_split(&message, '\0', &authzid) || !str_split(&message, '\0', &authcid) ||
        !str_split(&message, '\0', &password) || message.ptr != NULL)
        return imap_bad(s, task, "That is not a PLAIN message.");
    if (authzid.len > 0 && !str_equal(authzid, authcid)) {
        s->login_failures++;
        return imap_refuse(s, task, IMAP_REFUSAL_LOGIN_DENIED);
    }
    args->login.username = authcid;
    args->login.password = password;
    s->pause = IMAP_PAUSE_LOGIN;
    return ERR_OK;
}

/* LOGIN: first the user name, then the password. */
static enum err login(struct imap_session *s, union imap_args *args, struct str answer)
{
    struct str username = args->authenticate.username;

    if (username.ptr == NULL) {
        args->authenticate.username = answer;
        return ask(s, STR("UGFzc3dvcmQ6")); /* "Password:" */
    }
    args->login.username = username;
    args->login.password = answer;
    s->pause = IMAP_PAUSE_LOGIN;
    return ERR_OK;
}

IMAP_COMMAND(authenticate)
{
    bool is_plain = str_equal_nocase(args->authenticate.mechanism, STR("PLAIN"));
    struct str answer;

    if (!s->options.is_secure)
        return imap_refuse(s, task, IMAP_REFUSAL_PRIVACY);
    if (!is_plain && !str_equal_nocase(args->authenticate.mechanism, STR("LOGIN")))
        return imap_refuse(s, task, IMAP_REFUSAL_MECHANISM);
    if (s->line.ptr == NULL && !args->authenticate.has_initial)
        return ask(s, is_plain ? STR("") : STR("VXNlcm5hbWU6")); /* "Username:" */
    TRY(decode_answer(s, task, s->line.ptr == NULL ? args->authenticate.initial : s->line,
                      &answer));
    return is_plain ? plain(s, task, args, answer) : login(s, args, answer);
}
