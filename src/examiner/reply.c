#include "examiner/reply.h"

#include "base/ascii.h"
#include "base/macros.h"
#include "message/address.h"
#include "message/header.h"
#include "message/mime.h"

enum { VALUE_MAX = 4096 }; /* of a field that decides */

/* What a field must say to forbid an answer. */
enum test {
    IS_THERE,
    IS_NOT_NO,    /* its first word is anything but "no" (RFC 3834 §5) */
    IS_BULK,      /* Precedence: bulk, list, junk, auto_reply */
    ASKS_SILENCE, /* X-Auto-Response-Suppress: All, OOF or AutoReply (MS-OXCMAIL) */
    IS_YES,
    IS_REPORT,      /* Content-Type: multipart/report */
    IS_NULL_PATH,   /* Return-Path: <> */
    FROM_A_PROGRAM, /* an address such as noreply@ */
};

static const struct {
    struct str name;
    enum test test;
} tests[] = {
    {STR_INIT("Auto-Submitted"), IS_NOT_NO},
    {STR_INIT("X-Auto-Response-Suppress"), ASKS_SILENCE},
    {STR_INIT("Precedence"), IS_BULK},
    {STR_INIT("List-Id"), IS_THERE},   /* RFC 2919 */
    {STR_INIT("List-Help"), IS_THERE}, /* RFC 2369 */
    {STR_INIT("List-Subscribe"), IS_THERE},
    {STR_INIT("List-Unsubscribe"), IS_THERE},
    {STR_INIT("List-Post"), IS_THERE},
    {STR_INIT("List-Owner"), IS_THERE},
    {STR_INIT("List-Archive"), IS_THERE},
    {STR_INIT("Mailing-List"), IS_THERE},
    {STR_INIT("X-Mailing-List"), IS_THERE},
    {STR_INIT("Feedback-ID"), IS_THERE},
    {STR_INIT("X-Autoreply"), IS_THERE},
    {STR_INIT("X-Autorespond"), IS_THERE},
    {STR_INIT("X-Autoresponder"), IS_THERE},
    {STR_INIT("X-Auto-Reply-From"), IS_THERE},
    {STR_INIT("X-Mail-Autoreply"), IS_THERE},
    {STR_INIT("X-FC-MachineGenerated"), IS_THERE},
    {STR_INIT("X-Failed-Recipients"), IS_THERE},
    {STR_INIT("X-Loop"), IS_THERE},
    {STR_INIT("X-Spam-Flag"), IS_YES},
    {STR_INIT("Content-Type"), IS_REPORT},
    {STR_INIT("Return-Path"), IS_NULL_PATH},
    {STR_INIT("From"), FROM_A_PROGRAM},
    {STR_INIT("Reply-To"), FROM_A_PROGRAM},
};

/* ---- Addresses of programs ---- */

static const struct str whole_names[] = {
    STR_INIT("mailer-daemon"), STR_INIT("mailer_daemon"), STR_INIT("mailerdaemon"),
    STR_INIT("daemon"),        STR_INIT("mailer"),        STR_INIT("listserv"),
    STR_INIT("majordomo"),     STR_INIT("mailman"),       STR_INIT("sympa"),
    STR_INIT("root"),          STR_INIT("nobody"),        STR_INIT("uucp"),
    STR_INIT("news"),          STR_INIT("autoreply"),     STR_INIT("auto-reply"),
    STR_INIT("autoresponder"), STR_INIT("postmaster"),
};
static const struct str beginnings[] = {
    STR_INIT("owner-"),   STR_INIT("bounce-"), STR_INIT("bounces-"), STR_INIT("bounce+"),
    STR_INIT("bounces+"), STR_INIT("bounce="), STR_INIT("bounces="),
};
static const struct str endings[] = {
    STR_INIT("-request"), STR_INIT("-owner"),  STR_INIT("-relay"),
    STR_INIT("-bounces"), STR_INIT("-bounce"), STR_INIT("-confirm"),
};
/* With or without a separator, and with more before or behind: "no-reply.shop", "info-noreply". */
static const struct str silent_names[] = {
    STR_INIT("noreply"),
    STR_INIT("donotreply"),
    STR_INIT("dontreply"),
    STR_INIT("neverreply"),
};

/* Letters and digits only, lower case; a sender's tag is not looked at. */
static struct str squeeze(struct arena *arena, struct str local)
{
    char *bytes = arena_alloc(arena, local.len + 1, 1);
    size_t len = 0;

    for (size_t i = 0; i < local.len; i++) {
        if (ascii_is_alnum(local.ptr[i]))
            bytes[len++] = ascii_lower(local.ptr[i]);
    }
    return str_make(bytes, len);
}

static bool ends_with_nocase(struct str text, struct str ending)
{
    return text.len >= ending.len &&
           str_equal_nocase(str_from(text, text.len - ending.len), ending);
}

static bool is_of_a_program(struct arena *arena, struct str local)
{
    struct str squeezed;

    local = str_upto(local, VALUE_MAX);
    for (size_t i = 0; i < ARRAY_LEN(whole_names); i++) {
        if (str_equal_nocase(local, whole_names[i]))
            return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(beginnings); i++) {
        if (str_starts_with_nocase(local, beginnings[i]))
            return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
        if (ends_with_nocase(local, endings[i]))
            return true;
    }
    squeezed = squeeze(arena, local);
    for (size_t i = 0; i < ARRAY_LEN(silent_names); i++) {
        if (str_find(squeezed, silent_names[i]) >= 0)
            return true;
    }
    return false;
}

/* ---- Fields ---- */

static bool has_word(struct str list, const struct str *words, size_t count)
{
    struct str word;

    while (str_split(&list, ',', &word)) {
        for (size_t i = 0; i < count; i++) {
            if (str_equal_nocase(str_trim(word), words[i]))
                return true;
        }
    }
    return false;
}

static bool names_a_program(struct arena *arena, struct str flat)
{
    struct address_list list = {NULL, 0, 0};

    address_parse(arena, flat, &list);
    for (size_t i = 0; i < list.count; i++) {
        if (list.addresses[i].kind == ADDRESS_MAILBOX &&
            is_of_a_program(arena, list.addresses[i].mailbox))
            return true;
    }
    return false;
}

/* The first word, comments before it skipped; it ends at white space, ";" or a comment. */
static struct str first_word(struct str flat)
{
    size_t start = 0, end;

    mime_skip_cfws(flat, &start);
    end = start;
    while (end < flat.len && !ascii_is_space(flat.ptr[end]) && flat.ptr[end] != ';' &&
           flat.ptr[end] != '(')
        end++;
    return str_make(flat.ptr + start, end - start);
}

static bool forbids(struct arena *arena, enum test test, struct str value)
{
    static const struct str bulk[] = {STR_INIT("bulk"), STR_INIT("list"), STR_INIT("junk"),
                                      STR_INIT("auto_reply")};
    static const struct str silence[] = {STR_INIT("all"), STR_INIT("oof"), STR_INIT("autoreply")};
    size_t budget = VALUE_MAX;
    struct str flat = header_flat(arena, value, &budget);

    switch (test) {
    case IS_THERE:
        return true;
    case IS_NOT_NO:
        return !str_equal_nocase(first_word(flat), STR("no"));
    case IS_BULK:
        return has_word(first_word(flat), bulk, ARRAY_LEN(bulk));
    case ASKS_SILENCE:
        return has_word(flat, silence, ARRAY_LEN(silence));
    case IS_YES:
        return str_equal_nocase(first_word(flat), STR("yes"));
    case IS_REPORT:
        return str_equal_nocase(first_word(flat), STR("multipart/report"));
    case IS_NULL_PATH:
        return str_equal(flat, STR("<>"));
    case FROM_A_PROGRAM:
        return names_a_program(arena, flat);
    }
    return false;
}

static struct str local_part(struct str address)
{
    ptrdiff_t at = str_last_index(address, '@');

    return at < 0 ? address : str_upto(address, (size_t)at);
}

bool examiner_may_reply(struct arena *arena, struct str sender, struct str header)
{
    unsigned seen[ARRAY_LEN(tests)] = {0};
    struct header_field field;
    size_t position = 0;

    if (sender.len == 0 || is_of_a_program(arena, local_part(sender)))
        return false;
    while (header_field_next(header, &position, &field)) {
        for (size_t i = 0; i < ARRAY_LEN(tests); i++) {
            /* A few of each are read; nobody needs more of them, and work is bounded so. */
            if (str_equal_nocase(field.name, tests[i].name) && seen[i]++ < 8 &&
                forbids(arena, tests[i].test, field.value))
                return false;
        }
    }
    return true;
}
