/*
 * Plays the conversations in tests/protocol/smtp against the engine. A line is
 *
 *   # words           for the reader
 *   1 O: mx           opens connection 1: mx or submission, then any of:
 *                     tls loopback suspect limit=N memory=N
 *   1 C: text         the client's line; \r \n \t \0 \\ and \xHH are bytes, \[N c] is N times the
 * byte c, and a "\" at the very end leaves the CRLF off 1 S: text         the server's next line:
 * exactly this; $name stands for a word without blanks, the same one wherever the name comes again;
 * "..." at the end for the rest 1 S: [closed]     the server closes 1 B: question …   the engine's
 * question to another role, and the answer; _ in WORDS is a blank: login USER PASSWORD STATUS
 * [MAILBOX]      sender ADDRESS STATUS recipient ADDRESS STATUS [MAILBOX] [routes=JSON] [code=N]
 * [words=WORDS] [tag=FOLDER] [trusted] [unchecked] [counted=DAY] check DOMAIN [name=NAME] [score=N]
 * [nameless] [refused] [missing] [none] examine ACCEPT|JUNK|REJECT|DEFER|STATUS [words=WORDS]
 * [field=WORDS] [cut=START+LEN]… [spam] [reply] [nameless: so it was asked] deliver STATUS…   (one
 * a target) lose ROLE    store, courier or keeper is gone tls          the handshake is done stop
 * the service stops wait N       N milliseconds pass 1 T: text         a line of the trace of what
 * was last delivered; 1 M: text         of the message behind it; 1 P: text         of the message
 * as its author gets it 1 D: text         the next of its mailboxes: "MAILBOX FOLDER RECIPIENT",
 * "-" for what is empty 1 Q: text         the next of its envelopes for the queue 1 U: text
 * recipients that were counted for nothing: "MAILBOX SENDER DAY COUNT" 1 M: [end]        there are
 * no more
 *
 * A last test fails for a command that no conversation sends and a reply that none shows.
 */
#include "smtp/server/handover.h"
#include "smtp/server/state.h"

#include "base/ascii.h"
#include "base/file.h"
#include "base/macros.h"
#include "base/memory.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECTIONS = 10, VARIABLES = 32, NAME_ROOM = 32, WORDS = 16 };

struct player {
    const char *file;
    unsigned line;
    struct arena arena;
    struct smtp_session *sessions[CONNECTIONS];
    struct smtp_memory memory;
    int64_t now_ms;
    int content_fds[CONNECTIONS]; /* own; what was examined */
    /* What was last delivered; of the message all but the trace, for others and for its author. */
    struct buf trace[CONNECTIONS], message[CONNECTIONS], own[CONNECTIONS];
    struct buf mailboxes[CONNECTIONS], envelopes[CONNECTIONS]; /* lines */
    struct buf unused[CONNECTIONS];                            /* likewise */
    struct {
        struct str name, value;
    } variables[VARIABLES];
    size_t variable_count;
};

static bool is_command_seen[64], is_reply_seen[256];
static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "test"};

static const struct {
    unsigned code;
    const char *words;
} replies[] = {
#define R(NAME, code, enhanced, words) {code, words},
    SMTP_REPLIES(R)
#undef R
};

static void wrong(const struct player *p, const char *what, struct str expected, struct str found)
{
    fail_msg("%s:%u: %s\n  expected: %.*s\n  found:    %.*s", p->file, p->line, what,
             STR_ARG(expected), STR_ARG(found));
}

/* ---- matching ---- */

static bool match_variable(struct player *p, struct str name, struct str value)
{
    for (size_t i = 0; i < p->variable_count; i++) {
        if (str_equal(p->variables[i].name, name))
            return str_equal(p->variables[i].value, value);
    }
    assert_true(p->variable_count < VARIABLES);
    p->variables[p->variable_count].name = name;
    p->variables[p->variable_count++].value = arena_copy(&p->arena, value);
    return true;
}

static size_t word_len(struct str text)
{
    size_t len = 0;

    while (len < text.len && (ascii_is_alnum(text.ptr[len]) || text.ptr[len] == '_'))
        len++;
    return len;
}

static bool matches(struct player *p, struct str pattern, struct str text)
{
    bool is_open = str_ends_with(pattern, STR("..."));

    if (is_open)
        pattern = str_upto(pattern, pattern.len - 3);
    while (pattern.len > 0) {
        if (pattern.ptr[0] == '$' && word_len(str_from(pattern, 1)) > 0) {
            struct str name = str_upto(str_from(pattern, 1), word_len(str_from(pattern, 1)));
            struct str value = str_upto(text, word_len(text));

            if (value.len == 0 || !match_variable(p, name, value))
                return false;
            pattern = str_from(pattern, name.len + 1);
            text = str_from(text, value.len);
        } else if (text.len == 0 || text.ptr[0] != pattern.ptr[0]) {
            return false;
        } else {
            pattern = str_from(pattern, 1);
            text = str_from(text, 1);
        }
    }
    return is_open || text.len == 0;
}

static int hex(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    return ascii_lower(c) - 'a' + 10;
}

/* "[N c]" at the front of the text; its length. */
static size_t repeat(struct str text, struct buf *out)
{
    ptrdiff_t blank = str_index(text, ' ');
    uint32_t count;

    assert_true(blank > 0 && (size_t)blank + 2 < text.len && text.ptr[blank + 2] == ']');
    assert_true(parse_u32(str_make(text.ptr + 1, (size_t)blank - 1), &count));
    while (count-- > 0)
        buf_put(out, str_make(text.ptr + blank + 1, 1));
    return (size_t)blank + 3;
}

/* The bytes that a C: line means. */
static void unescape(struct str text, struct buf *out)
{
    static const char names[] = "rnt0\\", bytes[] = "\r\n\t\0\\";
    bool has_crlf = true;

    for (size_t i = 0; i < text.len; i++) {
        const char *name;
        char byte = text.ptr[i];

        if (byte == '\\' && i + 1 == text.len) {
            has_crlf = false;
            break;
        }
        if (byte == '\\' && text.ptr[i + 1] == '[') {
            i += repeat(str_from(text, i + 1), out);
            continue;
        }
        if (byte == '\\') {
            i++;
            name = memchr(names, text.ptr[i], sizeof(names) - 1);
            if (name != NULL) {
                byte = bytes[name - names];
            } else {
                assert_true(text.ptr[i] == 'x' && i + 2 < text.len);
                byte = (char)(hex(text.ptr[i + 1]) << 4 | hex(text.ptr[i + 2]));
                i += 2;
            }
        }
        buf_put(out, str_make(&byte, 1));
    }
    if (has_crlf)
        buf_put(out, STR("\r\n"));
}

/* ---- the other roles ---- */

static enum wire_status status_named(const struct player *p, struct str name)
{
    static const struct str names[] = {
        [WIRE_OK] = STR_INIT("OK"), [WIRE_DENIED] = STR_INIT("DENIED"),
        [WIRE_THROTTLED] = STR_INIT("THROTTLED"), [WIRE_UNKNOWN] = STR_INIT("UNKNOWN"),
        [WIRE_DISABLED] = STR_INIT("DISABLED"), [WIRE_OVER_QUOTA] = STR_INIT("OVER_QUOTA"),
        [WIRE_DISK_FULL] = STR_INIT("DISK_FULL"), [WIRE_UNAVAILABLE] = STR_INIT("UNAVAILABLE"),
        [WIRE_DAMAGED] = STR_INIT("DAMAGED"), [WIRE_INVALID] = STR_INIT("INVALID"),
        [WIRE_EXISTS] = STR_INIT("EXISTS"), [WIRE_NOT_LOCAL] = STR_INIT("NOT_LOCAL"),
        [WIRE_REFUSED] = STR_INIT("REFUSED"), [WIRE_DEFERRED] = STR_INIT("DEFERRED"),
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_equal(names[i], name))
            return (enum wire_status)i;
    }
    wrong(p, "no such status", STR(""), name);
    return WIRE_OK;
}

/* "1" is mailbox 000000000000000000000001. */
static struct id mailbox_named(struct str name)
{
    struct id id = {.text = "000000000000000000000000"};

    if (name.len == 0)
        return (struct id){.text = ""};
    assert_true(name.len < ID_TEXT_LEN);
    memcpy(id.text + ID_TEXT_LEN - name.len, name.ptr, name.len);
    return id;
}

static void expect_want(const struct player *p, struct smtp_session *s, enum smtp_want want)
{
    if (smtp_session_wants(s) != want)
        fail_msg("%s:%u: the engine wants %d, not %d; output: %.*s", p->file, p->line,
                 (int)smtp_session_wants(s), (int)want, STR_ARG(smtp_session_output(s)));
}

/* "name=value" gives the value; false: it is another word. */
static bool option(struct str word, struct str name, struct str *out_value)
{
    if (!str_starts_with(word, name) || word.len <= name.len || word.ptr[name.len] != '=')
        return false;
    *out_value = str_from(word, name.len + 1);
    return true;
}

static struct str words_of(struct player *p, struct str text)
{
    char *copy = arena_alloc(&p->arena, text.len + 1, 1);

    for (size_t i = 0; i < text.len; i++)
        copy[i] = text.ptr[i] == '_' ? ' ' : text.ptr[i];
    return str_make(copy, text.len);
}

static void play_recipient(struct player *p, struct smtp_session *s, const struct str *words,
                           size_t count)
{
    struct wire_recipient_reply reply = {.status = status_named(p, words[2]), .is_checked = true};
    struct wire_recipient question;
    struct str value;
    uint32_t code;

    smtp_session_recipient(s, &question);
    if (!str_equal(question.address, words[1]))
        wrong(p, "recipient", words[1], question.address);
    assert_true(str_equal(question.sender, s->transaction.mail.sender.text));
    assert_true(id_equal(&question.login, &s->mailbox));
    for (size_t i = 3; i < count; i++) {
        if (option(words[i], STR("routes"), &value)) {
            reply.routes = value;
        } else if (option(words[i], STR("words"), &value)) {
            reply.words = words_of(p, value);
        } else if (option(words[i], STR("tag"), &value)) {
            reply.detail = value;
        } else if (option(words[i], STR("code"), &value)) {
            assert_true(parse_u32(value, &code));
            reply.reply_code = code;
        } else if (option(words[i], STR("counted"), &value)) {
            assert_true(parse_u64(value, &reply.counted_day));
        } else if (str_equal(words[i], STR("trusted"))) {
            reply.trust = 1;
        } else if (str_equal(words[i], STR("unchecked"))) {
            reply.is_checked = false;
        } else {
            reply.mailbox = mailbox_named(words[i]);
            reply.has_mailbox = true;
        }
    }
    smtp_session_recipient_done(s, &reply, p->now_ms);
}

static void play_check(struct player *p, struct smtp_session *s, const struct str *words,
                       size_t count)
{
    struct smtp_facts facts = {.list_score = 0};
    struct str value;
    uint32_t score;

    if (!str_equal(smtp_session_sender_domain(s), str_equal(words[1], STR("-")) ? STR("") : words[1]))
        wrong(p, "domain", words[1], smtp_session_sender_domain(s));
    for (size_t i = 2; i < count; i++) {
        if (option(words[i], STR("name"), &value)) {
            facts.reverse_name = value;
        } else if (option(words[i], STR("score"), &value)) {
            assert_true(parse_u32(value, &score));
            facts.list_score = score;
        } else if (str_equal(words[i], STR("nameless"))) {
            facts.is_nameless = true;
        } else if (str_equal(words[i], STR("refused"))) {
            facts.is_refused = true;
        } else if (str_equal(words[i], STR("missing"))) {
            facts.sender_domain = SMTP_DOMAIN_MISSING;
        } else if (str_equal(words[i], STR("none"))) {
            facts.sender_domain = SMTP_DOMAIN_TAKES_NONE;
        } else {
            wrong(p, "no such fact", STR(""), words[i]);
        }
    }
    smtp_session_check_done(s, &facts, p->now_ms);
}

static void put_u32(struct buf *out, uint32_t value)
{
    for (size_t i = 0; i < 4; i++) {
        char byte = (char)(value >> (8 * i));

        buf_put(out, str_make(&byte, 1));
    }
}

/* "START+LEN" */
static void put_removal(struct buf *out, struct str text)
{
    struct str start;
    uint32_t from = 0, len = 0;

    assert_true(str_split(&text, '+', &start) && parse_u32(start, &from) && parse_u32(text, &len));
    put_u32(out, from);
    put_u32(out, len);
}

static struct str text_of(bool is_so)
{
    return is_so ? STR("yes") : STR("no");
}

static void play_examination(struct player *p, size_t number, const struct str *words, size_t count)
{
    static const struct str actions[] = {[EXAMINER_ACCEPT] = STR_INIT("ACCEPT"),
                                         [EXAMINER_JUNK] = STR_INIT("JUNK"),
                                         [EXAMINER_REJECT] = STR_INIT("REJECT"),
                                         [EXAMINER_DEFER] = STR_INIT("DEFER")};
    struct smtp_session *s = p->sessions[number];
    CLEANUP(buf_free) struct buf removals;
    struct wire_examine_reply reply = {.status = WIRE_OK};
    const struct smtp_content *content;
    struct wire_examine question;
    bool is_nameless = false;
    struct task task;
    struct str value;

    task_init(&task, 0);
    buf_init(&removals, SIZE_MAX);
    smtp_session_examination(s, &question, &content);
    assert_true(str_equal(question.sender, s->transaction.mail.sender.text));
    fd_close(&p->content_fds[number]);
    assert_int_equal(smtp_handover_content(&task, content, &p->content_fds[number]), ERR_OK);
    smtp_session_content_taken(s);
    while (reply.action < ARRAY_LEN(actions) && !str_equal(words[1], actions[reply.action]))
        reply.action++;
    if (reply.action == ARRAY_LEN(actions))
        reply.status = status_named(p, words[1]);
    for (size_t i = 2; i < count; i++) {
        if (option(words[i], STR("words"), &value))
            reply.words = words_of(p, value);
        else if (option(words[i], STR("field"), &value))
            reply.fields = arena_printf(&p->arena, "%.*s%.*s\r\n", STR_ARG(reply.fields),
                                        STR_ARG(words_of(p, value)));
        else if (option(words[i], STR("cut"), &value))
            put_removal(&removals, value);
        else if (str_equal(words[i], STR("spam")))
            reply.is_spam = true;
        else if (str_equal(words[i], STR("reply")))
            reply.may_reply = true;
        else if (str_equal(words[i], STR("from_sender")))
            reply.is_from_sender = true;
        else if (str_equal(words[i], STR("nameless")))
            is_nameless = true;
        else
            wrong(p, "no such finding", STR(""), words[i]);
    }
    if (question.is_nameless != is_nameless)
        wrong(p, "is the client nameless?", text_of(is_nameless), text_of(question.is_nameless));
    reply.removals = buf_str(&removals);
    if (!smtp_session_examination_done(s, &reply, p->now_ms))
        fd_close(&p->content_fds[number]);
    task_done(&task);
}

/* The message as it goes out of this process, behind its trace. */
static void hand_over(struct player *p, size_t number, const struct smtp_delivery *delivery,
                      bool with_own, struct buf *out)
{
    struct task task;
    struct buf text;
    int fd = -1;

    task_init(&task, 0);
    buf_init(&text, SIZE_MAX);
    assert_int_equal(smtp_handover(&task, delivery, p->content_fds[number], with_own, &fd), ERR_OK);
    assert_int_equal(fd_read_all(&task, fd, SIZE_MAX, &text), ERR_OK);
    assert_int_equal(text.len, smtp_handover_size(delivery, with_own));
    assert_true(str_starts_with(buf_str(&text), delivery->trace));
    buf_reset(out);
    buf_put(out, str_from(buf_str(&text), delivery->trace.len));
    buf_free(&text);
    fd_close(&fd);
    task_done(&task);
}

static void note_target(struct player *p, size_t number, const struct smtp_target *target)
{
    if (target->kind == SMTP_TARGET_QUEUE)
        buf_putf(&p->envelopes[number], "%.*s\r\n", STR_ARG(target->envelope));
    else
        buf_putf(&p->mailboxes[number], "%s %.*s %.*s\r\n", target->mailbox.text + ID_TEXT_LEN - 1,
                 STR_ARG(target->folder.len == 0 ? STR("-") : target->folder),
                 STR_ARG(target->recipient.len == 0 ? STR("-") : target->recipient));
}

static void play_delivery(struct player *p, size_t number, const struct str *words, size_t count)
{
    struct smtp_session *s = p->sessions[number];
    struct smtp_delivery delivery;
    struct id id;

    assert_true(id_parse(STR("0123456789abcdef01234567"), &id));
    smtp_session_delivery(s, 1795323600000, &id, &delivery);
    buf_reset(&p->trace[number]);
    buf_put(&p->trace[number], delivery.trace);
    hand_over(p, number, &delivery, false, &p->message[number]);
    hand_over(p, number, &delivery, true, &p->own[number]);
    fd_close(&p->content_fds[number]);
    if (delivery.target_count != count - 1)
        fail_msg("%s:%u: %zu targets, not %zu", p->file, p->line, delivery.target_count, count - 1);
    buf_reset(&p->mailboxes[number]);
    buf_reset(&p->envelopes[number]);
    for (size_t i = 0; i < delivery.target_count; i++)
        note_target(p, number, &delivery.targets[i]);
    smtp_session_content_taken(s);
    if (count == 1)
        smtp_session_delivery_done(s, 0, WIRE_OK, p->now_ms);
    for (size_t i = 1; i < count; i++) {
        if (!str_equal(words[i], STR("-"))) /* no answer yet */
            smtp_session_delivery_done(s, i - 1, status_named(p, words[i]), p->now_ms);
    }
}

static void play_loss(struct player *p, struct smtp_session *s, struct str name)
{
    enum wire_role role = WIRE_ROLE_STORE;

    while (role < WIRE_ROLE_COUNT && !str_equal(str_from_c(wire_role_name(role)), name))
        role++;
    assert_true(role < WIRE_ROLE_COUNT);
    smtp_session_role_lost(s, role, p->now_ms);
}

static void play_backend(struct player *p, size_t number, struct str text)
{
    struct smtp_session *s = p->sessions[number];
    struct str words[WORDS] = {{NULL, 0}}, rest = text;
    size_t count = 0;
    struct id mailbox;

    while (count < WORDS && str_split(&rest, ' ', &words[count]))
        count++;
    if (str_equal(words[0], STR("login"))) {
        struct str username, password;

        expect_want(p, s, SMTP_WANTS_LOGIN);
        smtp_session_login(s, &username, &password);
        if (!str_equal(username, words[1]) || !str_equal(password, words[2]))
            wrong(p, "login", words[1], username);
        mailbox = mailbox_named(words[4]);
        smtp_session_login_done(s, status_named(p, words[3]), &mailbox, p->now_ms);
    } else if (str_equal(words[0], STR("sender"))) {
        expect_want(p, s, SMTP_WANTS_SENDER);
        if (!str_equal(smtp_session_address(s), words[1]))
            wrong(p, "sender", words[1], smtp_session_address(s));
        smtp_session_sender_done(s, status_named(p, words[2]), p->now_ms);
    } else if (str_equal(words[0], STR("recipient"))) {
        expect_want(p, s, SMTP_WANTS_RECIPIENT);
        play_recipient(p, s, words, count);
    } else if (str_equal(words[0], STR("check"))) {
        expect_want(p, s, SMTP_WANTS_CHECK);
        play_check(p, s, words, count);
    } else if (str_equal(words[0], STR("examine"))) {
        expect_want(p, s, SMTP_WANTS_EXAMINATION);
        play_examination(p, number, words, count);
    } else if (str_equal(words[0], STR("lose"))) {
        play_loss(p, s, words[1]);
    } else if (str_equal(words[0], STR("deliver"))) {
        expect_want(p, s, SMTP_WANTS_DELIVERY);
        play_delivery(p, number, words, count);
    } else if (str_equal(words[0], STR("tls"))) {
        expect_want(p, s, SMTP_WANTS_TLS);
        smtp_session_secured(s, STR("TLSv1.3, TLS_AES_256_GCM_SHA384"), p->now_ms);
    } else if (str_equal(words[0], STR("stop"))) {
        smtp_session_stop(s);
    } else if (str_equal(words[0], STR("wait"))) {
        uint32_t wait_ms;

        assert_true(parse_u32(words[1], &wait_ms));
        p->now_ms += wait_ms;
        if (p->now_ms >= smtp_session_deadline(s))
            smtp_session_expire(s, p->now_ms);
    } else {
        wrong(p, "no such question", STR(""), words[0]);
    }
}

/* ---- lines ---- */

static void on_unused(void *owner, const struct wire_recipients_unused *unused)
{
    buf_putf(owner, "%s %.*s %llu %llu\r\n", unused->login.text + ID_TEXT_LEN - 1,
             STR_ARG(unused->sender), (unsigned long long)unused->counted_day,
             (unsigned long long)unused->count);
}

static void open_connection(struct player *p, size_t number, struct str text)
{
    struct smtp_options options = {
        .hostname = STR("mail.demo.test"),
        .client = STR("192.0.2.1"),
        .message_size_max = 100000,
        .recipients_max = 3,
        .hops_max = 25,
        .greeting_timeout_ms = 75000,
        .memory = &p->memory,
        .log = &quiet,
        .on_unused = on_unused,
        .on_unused_owner = &p->unused[number],
    };
    struct str word;

    while (str_split(&text, ' ', &word)) {
        uint32_t limit;

        if (str_equal(word, STR("suspect"))) {
            options.is_suspect = true;
        } else if (str_equal(word, STR("submission"))) {
            options.service = SMTP_SERVICE_SUBMISSION;
        } else if (str_equal(word, STR("tls"))) {
            options.is_tls = true;
            options.tls_words = STR("TLSv1.3, TLS_AES_256_GCM_SHA384");
        } else if (str_equal(word, STR("loopback"))) {
            options.may_login_plain = true;
            options.client = STR("::1");
        } else if (str_starts_with(word, STR("limit="))) {
            assert_true(parse_u32(str_from(word, 6), &limit));
            options.message_size_max = limit;
        } else if (str_starts_with(word, STR("memory="))) {
            assert_true(parse_u32(str_from(word, 7), &limit));
            p->memory.limit_bytes = limit;
        } else if (!str_equal(word, STR("mx"))) {
            wrong(p, "no such option", STR(""), word);
        }
    }
    smtp_session_free(&p->sessions[number]);
    p->sessions[number] = smtp_session_new(&options, p->now_ms);
}

static void note_command(struct str text)
{
    struct str verb, argument;

    smtp_command_split(text, &verb, &argument);
    for (size_t i = 0; i < smtp_command_count; i++) {
        if (str_equal(verb, smtp_commands[i].verb))
            is_command_seen[i] = true;
    }
}

static void note_reply(struct str text)
{
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        if (str_find(text, str_from_c(replies[i].words)) >= 0)
            is_reply_seen[i] = true;
    }
}

/* Takes the next line off a buffer; false when there is none. */
static bool next_line(struct str rest, struct str *out_line, size_t *out_len)
{
    ptrdiff_t end = str_find(rest, STR("\r\n"));

    if (end < 0)
        return false;
    *out_line = str_upto(rest, (size_t)end);
    *out_len = (size_t)end + 2;
    return true;
}

static void expect_output(struct player *p, struct smtp_session *s, struct str pattern)
{
    struct str output = smtp_session_output(s), line;
    size_t len = 0;

    if (str_equal(pattern, STR("[closed]"))) {
        if (output.len > 0)
            wrong(p, "the end", pattern, output);
        expect_want(p, s, SMTP_WANTS_CLOSE);
        return;
    }
    if (!next_line(output, &line, &len))
        wrong(p, "no line", pattern, output);
    if (!matches(p, pattern, line))
        wrong(p, "another line", pattern, line);
    note_reply(line);
    smtp_session_consume_output(s, len);
    smtp_session_resume(s, p->now_ms);
}

static void expect_text(struct player *p, struct buf *text, struct str pattern)
{
    struct str line;
    size_t len = 0;

    if (str_equal(pattern, STR("[end]"))) {
        if (text->len > 0)
            wrong(p, "more text", pattern, buf_str(text));
        return;
    }
    if (!next_line(buf_str(text), &line, &len))
        wrong(p, "no line", pattern, buf_str(text));
    if (!matches(p, pattern, line))
        wrong(p, "another line", pattern, line);
    buf_consume(text, len);
}

static void play_line(struct player *p, struct str line)
{
    size_t number = (size_t)(line.ptr[0] - '0');
    struct str text = str_from(line, 5);
    struct buf bytes;

    if (line.len < 4 || !ascii_is_digit(line.ptr[0]) || line.ptr[1] != ' ' || line.ptr[3] != ':')
        wrong(p, "not a line of a conversation", STR(""), line);
    if (p->sessions[number] == NULL && line.ptr[2] != 'O')
        open_connection(p, number, STR("mx"));
    switch (line.ptr[2]) {
    case 'O':
        open_connection(p, number, text);
        break;
    case 'C':
        note_command(text);
        buf_init(&bytes, SIZE_MAX);
        unescape(text, &bytes);
        smtp_session_input(p->sessions[number], buf_str(&bytes), p->now_ms);
        buf_free(&bytes);
        break;
    case 'S':
        expect_output(p, p->sessions[number], text);
        break;
    case 'B':
        play_backend(p, number, text);
        break;
    case 'T':
        expect_text(p, &p->trace[number], text);
        break;
    case 'M':
        expect_text(p, &p->message[number], text);
        break;
    case 'P':
        expect_text(p, &p->own[number], text);
        break;
    case 'D':
        expect_text(p, &p->mailboxes[number], text);
        break;
    case 'Q':
        expect_text(p, &p->envelopes[number], text);
        break;
    case 'U':
        expect_text(p, &p->unused[number], text);
        break;
    default:
        wrong(p, "not a line of a conversation", STR(""), line);
    }
}

static void play_file(void **state)
{
    struct player *p = NEW(struct player);
    struct task task;
    struct buf text;
    struct str rest, line;

    task_init(&task, 0);
    buf_init(&text, SIZE_MAX);
    p->file = *state;
    p->memory.limit_bytes = 1 << 20;
    p->now_ms = 1000;
    for (size_t i = 0; i < CONNECTIONS; i++) {
        buf_init(&p->trace[i], SIZE_MAX);
        buf_init(&p->message[i], SIZE_MAX);
        buf_init(&p->own[i], SIZE_MAX);
        buf_init(&p->mailboxes[i], SIZE_MAX);
        buf_init(&p->envelopes[i], SIZE_MAX);
        buf_init(&p->unused[i], SIZE_MAX);
        p->content_fds[i] = -1;
    }
    assert_int_equal(file_read(&task, AT_FDCWD, p->file, 1 << 20, &text), ERR_OK);
    rest = buf_str(&text);
    while (str_split(&rest, '\n', &line)) {
        p->line++;
        if (line.len > 0 && line.ptr[0] != '#')
            play_line(p, line);
    }
    for (size_t i = 0; i < CONNECTIONS; i++) {
        if (p->sessions[i] != NULL && smtp_session_output(p->sessions[i]).len > 0)
            wrong(p, "more output", STR(""), smtp_session_output(p->sessions[i]));
        smtp_session_free(&p->sessions[i]);
        buf_free(&p->trace[i]);
        buf_free(&p->message[i]);
        buf_free(&p->own[i]);
        buf_free(&p->mailboxes[i]);
        buf_free(&p->envelopes[i]);
        if (p->unused[i].len > 0)
            wrong(p, "more that was counted for nothing", STR(""), buf_str(&p->unused[i]));
        buf_free(&p->unused[i]);
        fd_close(&p->content_fds[i]);
    }
    assert_int_equal(p->memory.used_bytes, 0);
    arena_free(&p->arena);
    buf_free(&text);
    task_done(&task);
    mem_free(&p);
}

static void test_coverage(void **state)
{
    unsigned missing = 0;

    (void)state;
    for (size_t i = 0; i < smtp_command_count; i++) {
        if (!is_command_seen[i]) {
            print_error("no conversation sends %.*s\n", STR_ARG(smtp_commands[i].verb));
            missing++;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        /* The connection is refused before there is an engine. */
        if (!is_reply_seen[i] && i != SMTP_REPLY_TOO_MANY_CONNECTIONS) {
            print_error("no conversation shows %u %s\n", replies[i].code, replies[i].words);
            missing++;
        }
    }
    assert_int_equal(missing, 0);
}

static int is_transcript(const struct dirent *entry)
{
    return str_ends_with(str_from_c(entry->d_name), STR(".txt"));
}

int main(void)
{
    const char *source = getenv("SEALPOST_SOURCE");
    struct CMUnitTest tests[128] = {{0}};
    struct dirent **entries;
    char folder[4096];
    int count, failed;

    snprintf(folder, sizeof(folder), "%s/tests/protocol/smtp", source == NULL ? "." : source);
    count = scandir(folder, &entries, is_transcript, alphasort);
    if (count <= 0 || count >= (int)ARRAY_LEN(tests)) {
        fprintf(stderr, "no conversations in %s\n", folder);
        return 1;
    }
    for (int i = 0; i < count; i++) {
        char path[8192];

        snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        tests[i].initial_state = mem_copy_text(path, strlen(path));
        tests[i].name = strrchr(tests[i].initial_state, '/') + 1;
        tests[i].test_func = play_file;
        free(entries[i]);
    }
    free(entries);
    tests[count].name = "every command and reply has a conversation";
    tests[count].test_func = test_coverage;
    failed = _cmocka_run_group_tests("smtp/transcripts", tests, (size_t)count + 1, NULL, NULL);
    for (int i = 0; i < count; i++)
        mem_free(&tests[i].initial_state);
    return failed;
}
