/*
 * AUTH (RFC 5034) with PLAIN (RFC 4616). Mechanisms that hide the password cannot open an encrypted
 * mailbox, so there is no other, and no APOP.
 */
#include "pop3/engine.h"

#include "base/encode.h"

/* One answer of the client, decoded into the task's arena. */
static enum err decode(struct pop3_session *s, struct task *task, struct str text, struct str *out)
{
    struct buf bytes;
    enum err err;

    if (str_equal(text, STR("*")))
        return pop3_refuse(s, task, POP3_REFUSAL_CANCELLED);
    buf_init(&bytes, SIZE_MAX);
    err = decode_base64(&bytes, text);
    if (err == ERR_OK)
        *out = arena_copy(&task->arena, buf_str(&bytes));
    buf_free(&bytes);
    return err == ERR_OK ? ERR_OK : pop3_refuse(s, task, POP3_REFUSAL_NOT_BASE64);
}

/* message = [authzid] NUL authcid NUL passwd; nobody acts for another here. */
static enum err plain(struct pop3_session *s, struct task *task, struct str message)
{
    struct str authzid, authcid, password;

    if (!str_split(&message, '\0', &authzid) || !str_split(&message, '\0', &authcid) ||
        !str_split(&message, '\0', &password) || message.ptr != NULL)
        return pop3_refuse(s, task, POP3_REFUSAL_NOT_PLAIN);
    s->login_username = authcid;
    s->login_password = password;
    /* An identity other than the login's is a wrong one; refused like any, in the same time. */
    if (authzid.len > 0 && !str_equal(authzid, authcid))
        s->login_username = STR("");
    s->pause = POP3_PAUSE_LOGIN;
    return ERR_OK;
}

POP3_COMMAND(auth)
{
    struct str answer, message;

    if (!s->options.is_secure)
        return pop3_refuse(s, task, POP3_REFUSAL_NO_TLS);
    if (!str_equal_nocase(args->auth.mechanism, STR("PLAIN")))
        return pop3_refuse(s, task, POP3_REFUSAL_MECHANISM);
    if (s->line.ptr == NULL && !args->auth.has_initial) {
        buf_put(&s->out, STR("+ \r\n"));
        s->pause = POP3_PAUSE_LINE;
        return ERR_OK;
    }
    answer = s->line.ptr == NULL ? args->auth.initial : s->line;
    if (s->line.ptr == NULL && str_equal(answer, STR("=")))
        answer = STR(""); /* RFC 5034 §4: an empty initial response */
    TRY(decode(s, task, answer, &message));
    return plain(s, task, message);
}
