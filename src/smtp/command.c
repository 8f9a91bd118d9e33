/* Fills typed arguments and touches nothing else. */
#include "smtp/command.h"

#include "base/ascii.h"
#include "base/macros.h"

void smtp_command_split(struct str line, struct str *out_verb, struct str *out_argument)
{
    ptrdiff_t space = str_index(line, ' ');

    *out_verb = space < 0 ? line : str_upto(line, (size_t)space);
    *out_argument = space < 0 ? str_from(line, line.len) : str_trim(str_from(line, (size_t)space));
}

/* Takes `word` off the front, whatever its case, and the blanks that some clients put behind it. */
static bool take_word(struct str *rest, struct str word)
{
    if (!str_starts_with_nocase(*rest, word))
        return false;
    *rest = str_from(*rest, word.len);
    while (rest->len > 0 && rest->ptr[0] == ' ')
        *rest = str_from(*rest, 1);
    return true;
}

/* What the parameters of one command fill; of the two, one is there. */
struct args {
    struct arena *arena;
    struct smtp_mail_args *mail;
    struct smtp_rcpt_args *rcpt;
    bool is_utf8; /* of the transaction, for RCPT */
};

static bool read_size(struct args *args, struct str value) /* 1*20DIGIT */
{
    return value.len <= 20 && parse_u64(value, &args->mail->size_bytes);
}

static bool read_body(struct args *args, struct str value)
{
    bool is_8bit = str_equal_nocase(value, STR("8BITMIME"));

    args->mail->body = is_8bit ? SMTP_BODY_8BITMIME : SMTP_BODY_7BIT;
    return is_8bit || str_equal_nocase(value, STR("7BIT"));
}

static bool read_utf8(struct args *args, struct str value)
{
    args->mail->is_utf8 = true;
    return value.ptr == NULL;
}

static bool read_auth(struct args *args, struct str value)
{
    (void)args; /* RFC 4954 §5: accepted, trusted from nobody */
    return value.len > 0;
}

static bool read_requiretls(struct args *args, struct str value)
{
    args->mail->needs_tls = true;
    return value.ptr == NULL;
}

static bool read_ret(struct args *args, struct str value)
{
    args->mail->ret = str_equal_nocase(value, STR("FULL")) ? STR("FULL") : STR("HDRS");
    return str_equal_nocase(value, args->mail->ret);
}

static bool is_upper_hex(char c)
{
    return ascii_is_digit(c) || (c >= 'A' && c <= 'F');
}

/*
 * RFC 3461 §4: xtext = *(xchar / hexchar); xchar = "!" … "~" but "+" and "="; hexchar = "+" 2HEX,
 * upper case. RFC 6533 §3 allows UTF-8 besides, where `is_utf8`.
 */
static bool is_xtext(struct str text, bool is_utf8)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '+') {
            if (text.len - i < 3 || !is_upper_hex(text.ptr[i + 1]) ||
                !is_upper_hex(text.ptr[i + 2]))
                return false;
            i += 2;
        } else if (c == '=' || c == ' ' || ascii_is_control(c) || (ascii_is_8bit(c) && !is_utf8)) {
            return false;
        }
    }
    return text.len > 0 && str_is_utf8(text);
}

static bool read_envid(struct args *args, struct str value)
{
    args->mail->envid = arena_copy(args->arena, value);
    return value.len <= SMTP_ENVID_MAX && is_xtext(value, false);
}

/* "NEVER", or a list of the others; it is kept in one form. */
static bool read_notify(struct args *args, struct str value)
{
    static const struct str words[] = {STR_INIT("SUCCESS"), STR_INIT("FAILURE"), STR_INIT("DELAY")};
    unsigned seen = 0;
    struct str word;

    if (str_equal_nocase(value, STR("NEVER"))) {
        args->rcpt->notify = STR("NEVER");
        return true;
    }
    while (str_split(&value, ',', &word)) {
        size_t i = 0;

        while (i < ARRAY_LEN(words) && !str_equal_nocase(word, words[i]))
            i++;
        if (i == ARRAY_LEN(words))
            return false;
        seen |= BIT(i);
    }
    args->rcpt->notify =
        arena_printf(args->arena, "%s%s%s", seen & 1 ? ",SUCCESS" : "", seen & 2 ? ",FAILURE" : "",
                     seen & 4 ? ",DELAY" : "");
    args->rcpt->notify = str_from(args->rcpt->notify, 1);
    return seen != 0;
}

/* original-recipient-address = addr-type ";" xtext */
static bool read_orcpt(struct args *args, struct str value)
{
    ptrdiff_t semicolon = str_index(value, ';');

    args->rcpt->orcpt = arena_copy(args->arena, value);
    if (value.len > SMTP_ORCPT_MAX || semicolon <= 0)
        return false;
    for (ptrdiff_t i = 0; i < semicolon; i++) {
        if (!ascii_is_alnum(value.ptr[i]) && value.ptr[i] != '-')
            return false;
    }
    return is_xtext(str_from(value, (size_t)semicolon + 1), args->is_utf8);
}

/* `read` gets the value, its ptr NULL where there is no "=". */
static const struct {
    struct str name;
    bool is_of_rcpt;
    bool (*read)(struct args *args, struct str value);
} parameters[] = {
    {STR_INIT("SIZE"), false, read_size},             /* RFC 1870 */
    {STR_INIT("BODY"), false, read_body},             /* RFC 6152 */
    {STR_INIT("SMTPUTF8"), false, read_utf8},         /* RFC 6531 */
    {STR_INIT("AUTH"), false, read_auth},             /* RFC 4954 */
    {STR_INIT("REQUIRETLS"), false, read_requiretls}, /* RFC 8689 */
    {STR_INIT("RET"), false, read_ret},               /* RFC 3461 */
    {STR_INIT("ENVID"), false, read_envid},
    {STR_INIT("NOTIFY"), true, read_notify},
    {STR_INIT("ORCPT"), true, read_orcpt},
};

/* esmtp-param = keyword ["=" value]; `seen` has a bit for each that came before. */
static enum smtp_args_problem read_parameter(struct args *args, struct str word, unsigned *seen)
{
    ptrdiff_t equals = str_index(word, '=');
    struct str name = equals < 0 ? word : str_upto(word, (size_t)equals);
    struct str value = {NULL, 0};

    if (equals >= 0)
        value = str_from(word, (size_t)equals + 1);
    for (unsigned i = 0; i < ARRAY_LEN(parameters); i++) {
        if (parameters[i].is_of_rcpt != (args->rcpt != NULL) ||
            !str_equal_nocase(name, parameters[i].name))
            continue;
        if ((*seen & BIT(i)) != 0 || !parameters[i].read(args, value))
            return SMTP_ARGS_PARAMETER_INVALID;
        *seen |= BIT(i);
        return SMTP_ARGS_OK;
    }
    return SMTP_ARGS_PARAMETER_UNKNOWN;
}

/* Mail-parameters = esmtp-param *(SP esmtp-param), Rcpt-parameters likewise */
static enum smtp_args_problem read_parameters(struct args *args, struct str rest)
{
    unsigned seen = 0;
    struct str word;

    if (rest.len > 0 && rest.ptr[0] != ' ')
        return SMTP_ARGS_SYNTAX;
    while (str_split(&rest, ' ', &word)) {
        enum smtp_args_problem problem =
            word.len == 0 ? SMTP_ARGS_OK : read_parameter(args, word, &seen);

        if (problem != SMTP_ARGS_OK)
            return problem;
    }
    return SMTP_ARGS_OK;
}

enum smtp_args_problem smtp_mail_parse(struct arena *arena, struct str argument,
                                       struct smtp_mail_args *out)
{
    struct smtp_mail_args mail = {.size_bytes = 0};
    struct args args = {.arena = arena, .mail = &mail};
    enum smtp_args_problem problem;

    if (!take_word(&argument, STR("FROM:")))
        return SMTP_ARGS_SYNTAX;
    if (smtp_path_parse(arena, &argument, true, &mail.sender) != SMTP_ADDRESS_OK)
        return SMTP_ARGS_ADDRESS;
    problem = read_parameters(&args, argument);
    if (problem != SMTP_ARGS_OK)
        return problem;
    if (mail.sender.has_utf8 && !mail.is_utf8)
        return SMTP_ARGS_UTF8;
    *out = mail;
    return SMTP_ARGS_OK;
}

enum smtp_args_problem smtp_rcpt_parse(struct arena *arena, struct str argument, bool is_utf8,
                                       struct smtp_rcpt_args *out)
{
    struct smtp_rcpt_args rcpt = {.notify = STR("")};
    struct args args = {.arena = arena, .rcpt = &rcpt, .is_utf8 = is_utf8};
    enum smtp_args_problem problem;

    if (!take_word(&argument, STR("TO:")))
        return SMTP_ARGS_SYNTAX;
    if (smtp_path_parse(arena, &argument, false, &rcpt.recipient) != SMTP_ADDRESS_OK)
        return SMTP_ARGS_ADDRESS;
    problem = read_parameters(&args, argument);
    if (problem != SMTP_ARGS_OK)
        return problem;
    if (rcpt.recipient.has_utf8 && !is_utf8)
        return SMTP_ARGS_UTF8;
    *out = rcpt;
    return SMTP_ARGS_OK;
}

bool smtp_bdat_parse(struct str argument, uint64_t *out_size, bool *out_is_last)
{
    struct str rest = argument, size;

    if (!str_split(&rest, ' ', &size) || size.len > 20 || !parse_u64(size, out_size))
        return false;
    *out_is_last = rest.ptr != NULL;
    return rest.ptr == NULL || str_equal_nocase(str_trim(rest), STR("LAST"));
}
