/* Help texts. */
#include "cli/help.h"

#include <string.h>

enum { NAME_COLUMN = 28, TEXT_COLUMNS = 78, USAGE_INDENT = 9 };

/* What stands for an argument's value: "ADDRESS", "SIZE". */
static const char *value_name(const struct admin_argument *argument)
{
    switch (argument->kind) {
    case ADMIN_TEXT:
        return "NAME";
    case ADMIN_ADDRESS:
        return "ADDRESS";
    case ADMIN_DOMAIN:
        return "DOMAIN";
    case ADMIN_SIZE:
        return "SIZE";
    case ADMIN_SERVICES:
        return "SERVICES";
    case ADMIN_COUNT:
        return "COUNT";
    case ADMIN_TIME:
        return "TIME";
    case ADMIN_ANSWER:
        return "CODE";
    case ADMIN_TARGET:
        return "TARGET";
    case ADMIN_URL:
        return "URL";
    case ADMIN_SENDER:
        return "SENDER";
    case ADMIN_MESSAGE:
        return "ID";
    case ADMIN_LETTER:
        return "TEXT";
    case ADMIN_HINT:
        return "FORMAT";
    case ADMIN_SECRET:
    case ADMIN_FILE:
    case ADMIN_OUTPUT:
    case ADMIN_INPUT:
    case ADMIN_SOURCE:
    case ADMIN_KEY:
    case ADMIN_PATH:
        return "FILE";
    case ADMIN_FLAG:
        return "";
    }
    return "";
}

static void put_argument(struct buf *out, const struct admin_argument *argument)
{
    bool is_secret = argument->kind == ADMIN_SECRET || argument->kind == ADMIN_KEY;
    const char *suffix = is_secret ? "-file" : "";
    const char *space = argument->kind == ADMIN_FLAG ? "" : " ";

    if (argument->is_option)
        buf_putf(out, "--%s%s%s%s", argument->name, suffix, space, value_name(argument));
    else
        buf_putf(out, "%s", value_name(argument));
}

void cli_help_usage(struct buf *out, const struct admin_command *command)
{
    size_t line = out->len;

    buf_putf(out, "Usage: sealpost %s", command->name);
    for (const struct admin_argument *argument = command->arguments; argument->name != NULL;
         argument++) {
        /* A secret may be asked for at the terminal, so its option is never a must. */
        bool is_must = argument->is_required && argument->kind != ADMIN_SECRET;
        CLEANUP(buf_free) struct buf text;

        buf_init(&text, SIZE_MAX);
        buf_putf(&text, is_must ? "" : "[");
        put_argument(&text, argument);
        buf_putf(&text, is_must ? "" : "]");
        if (out->len - line + 1 + text.len > TEXT_COLUMNS) {
            buf_putf(out, "\n         ");
            line = out->len - USAGE_INDENT;
        }
        buf_putf(out, " %.*s", STR_ARG(buf_str(&text)));
    }
    buf_putf(out, "\n");
}

/* Words in lines of TEXT_COLUMNS, each line indented; the first begins at column `at`. */
static void put_wrapped(struct buf *out, const char *text, size_t indent, size_t at)
{
    struct str rest = str_from_c(text), word;

    while (rest.ptr != NULL && str_split(&rest, ' ', &word)) {
        if (at > indent && at + 1 + word.len > TEXT_COLUMNS) {
            buf_putf(out, "\n%*s", (int)indent, "");
            at = indent;
        } else if (at > indent) {
            buf_putf(out, " ");
            at++;
        }
        buf_put(out, word);
        at += word.len;
    }
    buf_putf(out, "\n");
}

static void put_row(struct buf *out, struct str name, const char *text)
{
    buf_putf(out, "  %.*s", STR_ARG(name));
    if (2 + name.len + 2 > NAME_COLUMN)
        buf_putf(out, "\n%*s", NAME_COLUMN, "");
    else
        buf_putf(out, "%*s", NAME_COLUMN - 2 - (int)name.len, "");
    put_wrapped(out, text, NAME_COLUMN, NAME_COLUMN);
}

static void put_global_options(struct buf *out)
{
    buf_putf(out, "\nWith every command:\n");
    put_row(out, STR("--json"), "print the answer as JSON");
    put_row(out, STR("--config FILE"),
            "the service's configuration, which says where its socket is; else SEALPOST_CONFIG, "
            "else /etc/sealpost/sealpost.conf");
    put_row(out, STR("--yes"), "do not ask before something is destroyed");
    put_row(out, STR("--force"), "replace a file that the command is to make");
    put_row(out, STR("--help"), "explain the command");
}

void cli_help_command(struct buf *out, const struct admin_command *command)
{
    bool has_heading = false;

    buf_putf(out, "sealpost %s: ", command->name);
    put_wrapped(out, command->help, 0, strlen("sealpost : ") + strlen(command->name));
    if (command->details[0] != '\0')
        put_wrapped(out, command->details, 0, 0);
    buf_putf(out, "\n");
    cli_help_usage(out, command);
    for (const struct admin_argument *argument = command->arguments; argument->name != NULL;
         argument++) {
        struct buf name;

        if (!has_heading)
            buf_putf(out, "\n");
        has_heading = true;
        buf_init(&name, SIZE_MAX);
        put_argument(&name, argument);
        put_row(out, buf_str(&name), argument->help);
        buf_free(&name);
    }
    put_global_options(out);
}

static bool is_of(const struct admin_command *command, const char *noun)
{
    size_t len = noun == NULL ? 0 : strlen(noun);

    return noun == NULL ||
           (strncmp(command->name, noun, len) == 0 && command->name[len] == ' ');
}

void cli_help_overview(struct buf *out, const char *noun)
{
    if (noun == NULL) {
        buf_putf(out, "sealpost: mail whose mailboxes only their owners can open.\n\n"
                      "The service:\n");
        put_row(out, STR("serve"), "run it in the foreground: sealpost serve --config FILE");
        put_row(out, STR("check-config"), "say what is wrong with a configuration, line by line");
        put_row(out, STR("config-template"), "print a configuration with every setting explained");
        put_row(out, STR("make-certificate"), "make a self-signed certificate where there is none");
        put_row(out, STR("restore-host"),
                "bring back accounts, waiting mail and mailboxes of a host that was lost, from its "
                "backups, before the first start");
        put_row(out, STR("spam train"),
                "teach the shared spam model: sealpost spam train spam|ham FILE...");
        put_row(out, STR("spam status"), "say how much it has learned");
        put_row(out, STR("probe"),
                "judge messages as mail from outside is judged: JSON lines in, JSON lines out, see "
                "sealpost(1)");
        buf_putf(out, "\nAdministration, while it runs:\n");
    }
    for (size_t i = 0; i < admin_command_count; i++) {
        if (is_of(&admin_commands[i], noun))
            put_row(out, str_from_c(admin_commands[i].name), admin_commands[i].help);
    }
    put_global_options(out);
    buf_putf(out, "\nExit codes:\n");
    for (size_t i = 0; i < admin_status_count; i++) {
        char digit = (char)('0' + admin_statuses[i].exit_code);

        put_row(out, str_make(&digit, 1), admin_statuses[i].meaning);
    }
    put_row(out, STR("3"), "the service does not run, or cannot be reached");
}
