/*
 * line = *global-option command *(argument / option / global-option)
 * An option's value follows it, or "=" and the value; "--" ends the options.
 */
#include "cli/parse.h"

#include "cli/help.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

/* What every command takes. */
enum global { GLOBAL_NONE, GLOBAL_JSON, GLOBAL_YES, GLOBAL_FORCE, GLOBAL_HELP, GLOBAL_CONFIG };

static const struct {
    const char *name;
    enum global global;
} globals[] = {
    {"--json", GLOBAL_JSON}, {"--yes", GLOBAL_YES},       {"-y", GLOBAL_YES},
    {"--help", GLOBAL_HELP}, {"-h", GLOBAL_HELP},         {"--config", GLOBAL_CONFIG},
    {"--force", GLOBAL_FORCE},
};

struct reader {
    int argc;
    char *const *argv;
    int at; /* the next argument */
    struct buf *words;
    struct cli_line *line;
};

static enum err complain(struct reader *reader, const char *format, ...) PRINTF_LIKE(2, 3);

static enum err complain(struct reader *reader, const char *format, ...)
{
    va_list args;
    enum err err;

    va_start(args, format);
    err = buf_vprintf(reader->words, format, args);
    va_end(args);
    if (err == ERR_OK)
        err = buf_append_byte(reader->words, '\n');
    if (reader->line->command != NULL)
        cli_help_usage(reader->words, reader->line->command);
    else if (err == ERR_OK)
        buf_putf(reader->words, "See: sealpost --help\n");
    return ERR_INVALID;
}

/* The option's own name, and its value where "=" gives one; NULL otherwise. */
static struct str split_option(const char *text, const char **out_value)
{
    const char *equal = strchr(text, '=');

    *out_value = equal == NULL ? NULL : equal + 1;
    return equal == NULL ? str_from_c(text) : str_make(text, (size_t)(equal - text));
}

static enum err take_value(struct reader *reader, struct str name, const char *inline_value,
                           const char **out_value)
{
    *out_value = inline_value;
    if (inline_value != NULL)
        return ERR_OK;
    if (reader->at == reader->argc)
        return complain(reader, "%.*s needs a value.", STR_ARG(name));
    *out_value = reader->argv[reader->at++];
    return ERR_OK;
}

/* A global option; *out_is_one false when it is none. */
static enum err take_global(struct reader *reader, const char *text, bool *out_is_one)
{
    struct cli_line *line = reader->line;
    const char *value;
    struct str name = split_option(text, &value);
    enum global global = GLOBAL_NONE;

    for (size_t i = 0; i < ARRAY_LEN(globals); i++) {
        if (str_equal(name, str_from_c(globals[i].name)))
            global = globals[i].global;
    }
    *out_is_one = global != GLOBAL_NONE;
    if (global != GLOBAL_NONE && global != GLOBAL_CONFIG && value != NULL)
        return complain(reader, "%.*s takes no value.", STR_ARG(name));
    switch (global) {
    case GLOBAL_NONE:
        return ERR_OK;
    case GLOBAL_JSON:
        line->is_json = true;
        return ERR_OK;
    case GLOBAL_YES:
        line->is_yes = true;
        return ERR_OK;
    case GLOBAL_FORCE:
        line->is_forced = true;
        return ERR_OK;
    case GLOBAL_HELP:
        line->wants_help = true;
        return ERR_OK;
    case GLOBAL_CONFIG:
        return take_value(reader, name, value, &line->config);
    }
    return ERR_OK;
}

/* How many of the arguments from `at` on are the words of this command's name; 0: not it. */
static int match_name(const struct reader *reader, const struct admin_command *command)
{
    struct str rest = str_from_c(command->name), word;
    int at = reader->at, count = 0;

    while (rest.ptr != NULL && str_split(&rest, ' ', &word)) {
        if (at + count >= reader->argc ||
            !str_equal(word, str_from_c(reader->argv[at + count])))
            return 0;
        count++;
    }
    return count;
}

static bool is_noun(const char *word)
{
    size_t len = strlen(word);

    for (size_t i = 0; i < admin_command_count; i++) {
        if (strncmp(admin_commands[i].name, word, len) == 0 && admin_commands[i].name[len] == ' ')
            return true;
    }
    return false;
}

static enum err take_command(struct reader *reader)
{
    int best = 0;

    for (size_t i = 0; i < admin_command_count; i++) {
        int count = match_name(reader, &admin_commands[i]);

        if (count > best) {
            best = count;
            reader->line->command = &admin_commands[i];
        }
    }
    reader->at += best;
    if (best > 0)
        return ERR_OK;
    if (is_noun(reader->argv[reader->at])) {
        const char *noun = reader->argv[reader->at++];

        reader->line->noun = noun;
        if (reader->at < reader->argc && reader->argv[reader->at][0] != '-')
            return complain(reader, "There is no command \"%s %s\".", noun,
                            reader->argv[reader->at]);
        return ERR_OK;
    }
    return complain(reader, "There is no command \"%s\".", reader->argv[reader->at]);
}

/* Its place in the line, the required one's before the others: that is whose password comes first
 * where several come over the standard input. */
static struct cli_secret *note_secret(struct cli_line *line, const struct admin_argument *argument)
{
    struct cli_secret *place = line->secrets;

    for (size_t i = 0; i < line->secret_count; i++) {
        if (line->secrets[i].argument == argument)
            return &line->secrets[i];
    }
    assert(line->secret_count < ARRAY_LEN(line->secrets));
    if (argument->is_required)
        memmove(place + 1, place, line->secret_count * sizeof(*place));
    else
        place += line->secret_count;
    line->secret_count++;
    *place = (struct cli_secret){.argument = argument};
    return place;
}

static enum err set_argument(struct reader *reader, const struct admin_argument *argument,
                             const char *value)
{
    json_t *json;

    switch (argument->kind) {
    case ADMIN_FLAG:
        json_object_set_new(reader->line->arguments, argument->name, json_true());
        return ERR_OK;
    case ADMIN_SECRET:
        note_secret(reader->line, argument)->file = value;
        return ERR_OK;
    case ADMIN_FILE:
        reader->line->file = value;
        return ERR_OK;
    case ADMIN_TEXT:
    case ADMIN_ADDRESS:
    case ADMIN_DOMAIN:
    case ADMIN_SIZE:
    case ADMIN_SERVICES:
    case ADMIN_COUNT:
    case ADMIN_TIME:
    case ADMIN_ANSWER:
    case ADMIN_TARGET:
    case ADMIN_URL:
    case ADMIN_SENDER:
    case ADMIN_MESSAGE:
    case ADMIN_LETTER:
    case ADMIN_OUTPUT:
    case ADMIN_INPUT:
    case ADMIN_SOURCE:
    case ADMIN_KEY:
    case ADMIN_PATH:
    case ADMIN_HINT:
        break;
    }
    json = json_string(value);
    if (json == NULL)
        return complain(reader, "The value of \"%s\" is not UTF-8 text.", argument->name);
    if (value[0] == '\0') {
        json_decref(json);
        return complain(reader, "The value of \"%s\" is empty.", argument->name);
    }
    if (argument->kind == ADMIN_KEY || argument->kind == ADMIN_PATH ||
        argument->kind == ADMIN_HINT) {
        json_object_set_new(reader->line->paths, argument->name, json);
        if (argument->kind == ADMIN_KEY)
            json_object_set_new(reader->line->arguments, argument->name, json_true());
        return ERR_OK;
    }
    json_object_set_new(reader->line->arguments, argument->name, json);
    return ERR_OK;
}

/* "--quota", or "--password-file" for a secret. */
static bool is_option_of(const struct admin_argument *argument, struct str name)
{
    struct str own = str_from_c(argument->name);
    bool is_secret = argument->kind == ADMIN_SECRET || argument->kind == ADMIN_KEY;
    struct str suffix = is_secret ? STR("-file") : STR("");

    return argument->is_option && name.len == 2 + own.len + suffix.len &&
           str_starts_with(str_from(name, 2), own) && str_ends_with(name, suffix);
}

static enum err take_option(struct reader *reader, const char *text)
{
    const char *value;
    struct str name = split_option(text, &value);
    bool is_global = false;

    TRY(take_global(reader, text, &is_global));
    if (is_global)
        return ERR_OK;
    for (const struct admin_argument *argument = reader->line->command->arguments;
         argument->name != NULL; argument++) {
        if (!is_option_of(argument, name))
            continue;
        if (argument->kind != ADMIN_FLAG)
            TRY(take_value(reader, name, value, &value));
        else if (value != NULL)
            return complain(reader, "%.*s takes no value.", STR_ARG(name));
        return set_argument(reader, argument, value);
    }
    return complain(reader, "%s takes no %.*s.", reader->line->command->name, STR_ARG(name));
}

/* The command's positional argument of this index; NULL when it has fewer. */
static const struct admin_argument *positional(const struct admin_command *command, size_t index)
{
    for (const struct admin_argument *argument = command->arguments; argument->name != NULL;
         argument++) {
        if (!argument->is_option && index-- == 0)
            return argument;
    }
    return NULL;
}

/* In the row's order, which is that of the descriptors. */
static void note_file(struct cli_line *line, const struct admin_argument *argument)
{
    const json_t *name =
        json_object_get(argument->kind == ADMIN_KEY ? line->paths : line->arguments, argument->name);

    if (name != NULL && line->file_count < ARRAY_LEN(line->files))
        line->files[line->file_count++] =
            (struct cli_file){argument, json_string_value(name)};
}

static enum err check_missing(struct reader *reader)
{
    for (const struct admin_argument *argument = reader->line->command->arguments;
         argument->name != NULL; argument++) {
        bool is_there = argument->kind == ADMIN_SECRET ||
                        (argument->kind == ADMIN_FILE && reader->line->file != NULL) ||
                        json_object_get(reader->line->arguments, argument->name) != NULL;

        if (argument->kind == ADMIN_SECRET && argument->is_required)
            (void)note_secret(reader->line, argument);
        if (argument->kind == ADMIN_OUTPUT || argument->kind == ADMIN_INPUT ||
            argument->kind == ADMIN_SOURCE || argument->kind == ADMIN_KEY)
            note_file(reader->line, argument);
        if (argument->is_required && !is_there)
            return complain(reader, "%s needs %s: %s.", reader->line->command->name,
                            argument->name, argument->help);
    }
    return ERR_OK;
}

static enum err take_arguments(struct reader *reader)
{
    bool are_options_over = false;
    size_t index = 0;

    while (reader->at < reader->argc) {
        const char *text = reader->argv[reader->at++];
        const struct admin_argument *argument;

        if (!are_options_over && strcmp(text, "--") == 0) {
            are_options_over = true;
            continue;
        }
        if (!are_options_over && text[0] == '-' && text[1] != '\0') {
            TRY(take_option(reader, text));
            continue;
        }
        argument = positional(reader->line->command, index++);
        if (argument == NULL)
            return complain(reader, "%s takes no more than %zu arguments: \"%s\" is left over.",
                            reader->line->command->name, index - 1, text);
        TRY(set_argument(reader, argument, text));
    }
    return reader->line->wants_help ? ERR_OK : check_missing(reader);
}

/* Of a group, help is all there is; other words than global options are mistakes. */
static enum err take_globals(struct reader *reader)
{
    while (reader->at < reader->argc) {
        bool is_one = false;

        if (reader->argv[reader->at][0] != '-')
            break;
        TRY(take_global(reader, reader->argv[reader->at++], &is_one));
        if (!is_one)
            return complain(reader, "There is no option %s here.", reader->argv[reader->at - 1]);
    }
    return ERR_OK;
}

enum err cli_parse(int argc, char *const *argv, struct buf *words, struct cli_line *out_line)
{
    struct reader reader = {.argc = argc, .argv = argv, .at = 1, .words = words, .line = out_line};

    *out_line = (struct cli_line){.arguments = json_object(), .paths = json_object()};
    TRY(take_globals(&reader));
    if (reader.at < argc && strcmp(argv[reader.at], "help") == 0) {
        out_line->wants_help = true;
        reader.at++;
    }
    if (reader.at == argc) {
        if (!out_line->wants_help)
            return complain(&reader, "What is to be done?");
        return ERR_OK;
    }
    TRY(take_command(&reader));
    if (out_line->command != NULL)
        return take_arguments(&reader);
    TRY(take_globals(&reader));
    if (!out_line->wants_help)
        return complain(&reader, "What is to be done with \"%s\"?", out_line->noun);
    return ERR_OK;
}

const char *cli_line_path(const struct cli_line *line, const char *option)
{
    return json_string_value(json_object_get(line->paths, option));
}

void cli_line_done(struct cli_line *line)
{
    json_decref(line->arguments);
    json_decref(line->paths);
    line->arguments = line->paths = NULL;
}
