/*
 * One mail: MAIL, RCPT for each recipient and DATA, all at once where the server has PIPELINING,
 * one by one otherwise; then the text. Whoever is PENDING when DATA is answered was accepted by
 * RCPT.
 */
#include "base/ascii.h"
#include "base/macros.h"
#include "smtp/client/session.h"
#include "smtp/client/state.h"

#include <assert.h>
#include <inttypes.h>

enum {
    NIBBLE_BYTES = 4096,    /* less than this taken puts no deadline off */
    TEXT_LEAST_RATE = 1024, /* bytes a second */
    TEXT_LEAST_MS = 10 * 60 * 1000,
    ADDRESS_MAX = 1000,
};

static bool is_offered(const struct smtp_client *client, enum smtp_extension extension)
{
    return smtp_extensions_has(&client->extensions, extension);
}

static void set_verdict(struct smtp_client *client, struct smtp_client_verdict *verdict,
                        enum smtp_client_outcome outcome, unsigned code,
                        struct smtp_enhanced enhanced, struct str words)
{
    struct buf shown;

    buf_init(&shown, SIZE_MAX);
    smtp_reply_words(words, SMTP_CLIENT_WORDS_MAX, &shown);
    verdict->outcome = outcome;
    verdict->code = code;
    verdict->enhanced = enhanced;
    verdict->words = arena_copy(&client->mail.arena, buf_str(&shown));
    buf_free(&shown);
}

/* As a reply says it. 552 to RCPT is what old servers say for 452 (RFC 5321 §4.5.3.1.10). */
static void judge(struct smtp_client *client, struct smtp_client_verdict *verdict,
                  const struct smtp_reply *reply)
{
    bool is_recipients = client->state == SMTP_CLIENT_ENVELOPE && client->mail.is_open &&
                         client->mail.answered_steps <= client->mail.told_count + 1;
    unsigned class = reply->code / 100;
    struct smtp_enhanced enhanced = reply->enhanced;

    if (is_recipients && reply->code == 552 && (enhanced.class == 0 || enhanced.subject == 5)) {
        class = 4;
        enhanced = (struct smtp_enhanced){4, 5, 3};
    }
    if (enhanced.class == 0)
        enhanced.class = class;
    set_verdict(client, verdict,
                class == 2   ? SMTP_CLIENT_DELIVERED
                : class == 5 ? SMTP_CLIENT_PERMANENT
                             : SMTP_CLIENT_TEMPORARY,
                reply->code, enhanced, reply->text);
    verdict->is_early = class == 4 && client->state == SMTP_CLIENT_ENVELOPE &&
                        client->mail.answered_steps <= client->mail.told_count + 1;
}

static void judge_pending(struct smtp_client *client, const struct smtp_reply *reply)
{
    for (size_t i = 0; i < client->mail.mail.recipient_count; i++)
        if (client->mail.verdicts[i].outcome == SMTP_CLIENT_PENDING)
            judge(client, &client->mail.verdicts[i], reply);
    client->mail.accepted = 0;
}

static void refuse_pending(struct smtp_client *client, struct smtp_enhanced enhanced,
                           const char *words)
{
    for (size_t i = 0; i < client->mail.mail.recipient_count; i++)
        if (client->mail.verdicts[i].outcome == SMTP_CLIENT_PENDING)
            set_verdict(client, &client->mail.verdicts[i], SMTP_CLIENT_PERMANENT, 0, enhanced,
                        str_from_c(words));
}

void smtp_client_mail_broken(struct smtp_client *client)
{
    const struct smtp_client_trouble *trouble = &client->trouble;

    for (size_t i = 0; i < client->mail.mail.recipient_count; i++) {
        struct smtp_client_verdict *verdict = &client->mail.verdicts[i];

        if (verdict->outcome != SMTP_CLIENT_PENDING)
            continue;
        set_verdict(client, verdict, SMTP_CLIENT_TEMPORARY, trouble->code, trouble->enhanced,
                    trouble->words);
        verdict->is_session = true;
        verdict->is_uncertain = client->state == SMTP_CLIENT_END && trouble->code == 0;
        verdict->enhanced.class = 4;
    }
}

/* Nothing in it can end a command or begin another. */
static bool is_safe_path(struct str path)
{
    bool is_quoted = false;

    for (size_t i = 0; i < path.len; i++) {
        if (ascii_is_control(path.ptr[i]))
            return false;
        if (path.ptr[i] == '\\' && is_quoted && i + 1 < path.len)
            i++;
        else if (path.ptr[i] == '"')
            is_quoted = !is_quoted;
        else if (!is_quoted && (path.ptr[i] == '<' || path.ptr[i] == '>' || path.ptr[i] == ' '))
            return false;
        if (ascii_is_control(path.ptr[i]))
            return false;
    }
    return !is_quoted && path.len <= ADDRESS_MAX;
}

static bool is_safe_value(struct str value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] <= ' ' || value.ptr[i] > '~')
            return false;
    return value.len > 0 && value.len <= ADDRESS_MAX;
}

static void put_value(struct smtp_client *client, const char *name, struct str value)
{
    if (is_safe_value(value))
        buf_putf(&client->output, " %s=%.*s", name, STR_ARG(value));
}

static uint64_t text_bytes(const struct smtp_client_mail *mail)
{
    return (uint64_t)mail->fields.len + mail->message.len;
}

static void put_mail(struct smtp_client *client)
{
    const struct smtp_client_mail *mail = &client->mail.mail;
    struct buf *out = &client->output;

    buf_putf(out, "MAIL FROM:<%.*s>", STR_ARG(mail->sender));
    if (is_offered(client, SMTP_EXTENSION_SIZE))
        buf_putf(out, " SIZE=%" PRIu64, text_bytes(mail));
    if (mail->is_8bit && is_offered(client, SMTP_EXTENSION_8BITMIME))
        buf_put(out, STR(" BODY=8BITMIME"));
    if (mail->needs_utf8)
        buf_put(out, STR(" SMTPUTF8"));
    if (mail->require_tls)
        buf_put(out, STR(" REQUIRETLS"));
    if (is_offered(client, SMTP_EXTENSION_DSN)) {
        put_value(client, "RET", mail->ret);
        put_value(client, "ENVID", mail->envid);
    }
    buf_put(out, STR("\r\n"));
}

static void put_rcpt(struct smtp_client *client, const struct smtp_client_recipient *recipient)
{
    buf_putf(&client->output, "RCPT TO:<%.*s>", STR_ARG(recipient->address));
    if (is_offered(client, SMTP_EXTENSION_DSN)) {
        put_value(client, "NOTIFY", recipient->notify);
        put_value(client, "ORCPT", recipient->orcpt);
    }
    buf_put(&client->output, STR("\r\n"));
}

static void wait_for_step(struct smtp_client *client, int64_t now_ms)
{
    const struct smtp_client_timeouts *timeouts = &client->options.timeouts;
    size_t step = client->mail.answered_steps;

    smtp_client_wait(client,
                     step == 0                         ? timeouts->mail_ms
                     : step <= client->mail.told_count ? timeouts->rcpt_ms
                                                       : timeouts->data_ms,
                     now_ms);
}

static void send_steps(struct smtp_client *client, int64_t now_ms)
{
    struct mail_state *m = &client->mail;
    bool is_pipelining = is_offered(client, SMTP_EXTENSION_PIPELINING);

    while (m->sent_steps <= m->told_count + 1 &&
           (is_pipelining || m->sent_steps == m->answered_steps)) {
        if (m->sent_steps == 0)
            put_mail(client);
        else if (m->sent_steps <= m->told_count)
            put_rcpt(client, &m->mail.recipients[m->told[m->sent_steps - 1]]);
        else
            buf_put(&client->output, STR("DATA\r\n"));
        m->sent_steps++;
    }
    wait_for_step(client, now_ms);
}

/* Nothing will be sent; what is open on the server is closed. */
static void give_up(struct smtp_client *client, int64_t now_ms)
{
    if (client->mail.is_open) {
        smtp_client_enter(client, SMTP_CLIENT_RESET);
        buf_put(&client->output, STR("RSET\r\n"));
        smtp_client_wait(client, client->options.timeouts.greeting_ms, now_ms);
    } else {
        smtp_client_enter(client, SMTP_CLIENT_READY);
        client->deadline_ms = INT64_MAX;
    }
}

static void not_asked_for(struct smtp_client *client, const struct smtp_reply *reply)
{
    smtp_client_end(client, SMTP_CLIENT_ENDED_PROTOCOL, reply, STR(""));
}

static void on_rcpt(struct smtp_client *client, size_t index, const struct smtp_reply *reply)
{
    struct smtp_client_verdict *verdict = &client->mail.verdicts[index];

    if (verdict->outcome != SMTP_CLIENT_PENDING)
        return; /* MAIL was refused */
    if (reply->code / 100 == 2) {
        client->mail.accepted++;
        return;
    }
    judge(client, verdict, reply);
    verdict->is_too_many =
        verdict->outcome == SMTP_CLIENT_TEMPORARY && client->mail.accepted > 0 &&
        (reply->code == 452 || (verdict->enhanced.subject == 5 && verdict->enhanced.detail == 3));
}

static void begin_text(struct smtp_client *client, int64_t now_ms)
{
    struct mail_state *m = &client->mail;

    smtp_client_enter(client, SMTP_CLIENT_TEXT);
    client->text_end_ms =
        now_ms + TEXT_LEAST_MS + (int64_t)(text_bytes(&m->mail) / TEXT_LEAST_RATE * 1000);
    smtp_text_init(&m->text, m->mail.fields, m->mail.message);
    m->taken_bytes = NIBBLE_BYTES;
    smtp_client_mail_fill(client, now_ms);
}

static void on_data(struct smtp_client *client, const struct smtp_reply *reply, int64_t now_ms)
{
    if (reply->code / 100 == 2 || (reply->code / 100 == 3 && reply->code != 354)) {
        not_asked_for(client, reply);
    } else if (reply->code != 354) {
        judge_pending(client, reply);
        give_up(client, now_ms);
    } else if (client->mail.accepted > 0) {
        begin_text(client, now_ms);
    } else {
        /* It went out before RCPT was answered; an empty text is refused (RFC 2920 §3.1). */
        smtp_client_enter(client, SMTP_CLIENT_END);
        buf_put(&client->output, STR(".\r\n"));
        smtp_client_wait(client, client->options.timeouts.end_ms, now_ms);
    }
}

static void on_step(struct smtp_client *client, const struct smtp_reply *reply, int64_t now_ms)
{
    struct mail_state *m = &client->mail;
    size_t step = m->answered_steps++;

    if (step > m->told_count) {
        on_data(client, reply, now_ms);
        return;
    }
    if (reply->code / 100 == 3) {
        not_asked_for(client, reply);
        return;
    }
    if (step > 0)
        on_rcpt(client, m->told[step - 1], reply);
    else if (reply->code / 100 == 2)
        m->is_open = true;
    else
        judge_pending(client, reply);
    if (m->sent_steps == m->answered_steps &&
        (!m->is_open || (step == m->told_count && m->accepted == 0)))
        give_up(client, now_ms);
    else
        send_steps(client, now_ms);
}

void smtp_client_mail_reply(struct smtp_client *client, const struct smtp_reply *reply,
                            int64_t now_ms)
{
    if (client->state == SMTP_CLIENT_ENVELOPE) {
        on_step(client, reply, now_ms);
        return;
    }
    /* An answer before the end was sent is a refusal, or nonsense; and the server takes our text
     * for commands now, or is gone. */
    if (reply->code / 100 == 3 || (client->state == SMTP_CLIENT_TEXT && reply->code < 400)) {
        not_asked_for(client, reply);
        return;
    }
    judge_pending(client, reply);
    if (client->state == SMTP_CLIENT_TEXT) {
        smtp_client_end(client, SMTP_CLIENT_ENDED_CLOSING, reply, STR(""));
        return;
    }
    smtp_client_enter(client, SMTP_CLIENT_READY);
    client->deadline_ms = INT64_MAX;
}

void smtp_client_mail_fill(struct smtp_client *client, int64_t now_ms)
{
    struct mail_state *m = &client->mail;

    if (m->text.is_ended && client->output.len == 0) {
        smtp_client_enter(client, SMTP_CLIENT_END);
        smtp_client_wait(client, client->options.timeouts.end_ms, now_ms);
        return;
    }
    smtp_text_fill(&m->text, &client->output, SMTP_CLIENT_OUTPUT_HIGH);
    if (m->taken_bytes < NIBBLE_BYTES)
        return;
    m->taken_bytes = 0;
    smtp_client_wait(client, client->options.timeouts.block_ms, now_ms);
    if (client->deadline_ms > client->text_end_ms)
        client->deadline_ms = client->text_end_ms;
}

static void copy_mail(struct smtp_client *client, const struct smtp_client_mail *mail)
{
    struct mail_state *m = &client->mail;
    struct arena *arena = &m->arena;
    struct smtp_client_recipient *recipients;

    arena_free(arena);
    *m = (struct mail_state){.mail = *mail};
    recipients = ARENA_ARRAY(arena, struct smtp_client_recipient, mail->recipient_count);
    for (size_t i = 0; i < mail->recipient_count; i++) {
        recipients[i].address = arena_copy(arena, mail->recipients[i].address);
        recipients[i].notify = arena_copy(arena, mail->recipients[i].notify);
        recipients[i].orcpt = arena_copy(arena, mail->recipients[i].orcpt);
    }
    m->mail.recipients = recipients;
    m->mail.sender = arena_copy(arena, mail->sender);
    m->mail.ret = arena_copy(arena, mail->ret);
    m->mail.envid = arena_copy(arena, mail->envid);
    m->verdicts = ARENA_ARRAY(arena, struct smtp_client_verdict, mail->recipient_count);
    m->told = ARENA_ARRAY(arena, size_t, mail->recipient_count);
}

/* Who can be told of at all on this connection. */
static void choose(struct smtp_client *client)
{
    struct mail_state *m = &client->mail;
    const struct smtp_client_mail *mail = &m->mail;

    if (!is_safe_path(mail->sender))
        refuse_pending(client, (struct smtp_enhanced){5, 1, 7}, "the sender is not an address");
    if (mail->needs_utf8 && !is_offered(client, SMTP_EXTENSION_UTF8))
        refuse_pending(client, (struct smtp_enhanced){5, 6, 7},
                       "the message needs SMTPUTF8, which the server does not offer");
    if (mail->require_tls && !is_offered(client, SMTP_EXTENSION_REQUIRETLS))
        refuse_pending(client, (struct smtp_enhanced){5, 7, 30},
                       "REQUIRETLS is asked for, which the server does not offer");
    if (client->extensions.size_max > 0 && text_bytes(mail) > client->extensions.size_max)
        refuse_pending(client, (struct smtp_enhanced){5, 3, 4},
                       "the message is larger than the server takes");
    for (size_t i = 0; i < mail->recipient_count; i++) {
        if (m->verdicts[i].outcome != SMTP_CLIENT_PENDING)
            continue;
        if (is_safe_path(mail->recipients[i].address) && mail->recipients[i].address.len > 0)
            m->told[m->told_count++] = i;
        else
            set_verdict(client, &m->verdicts[i], SMTP_CLIENT_PERMANENT, 0,
                        (struct smtp_enhanced){5, 1, 3}, STR("it is not an address"));
    }
}

void smtp_client_send(struct smtp_client *client, const struct smtp_client_mail *mail,
                      int64_t now_ms)
{
    assert(client->state == SMTP_CLIENT_READY && mail->recipient_count > 0);
    copy_mail(client, mail);
    choose(client);
    if (client->mail.told_count == 0)
        return;
    smtp_client_enter(client, SMTP_CLIENT_ENVELOPE);
    send_steps(client, now_ms);
}

const struct smtp_client_verdict *smtp_client_verdict(const struct smtp_client *client,
                                                      size_t index)
{
    assert(index < client->mail.mail.recipient_count);
    return &client->mail.verdicts[index];
}
