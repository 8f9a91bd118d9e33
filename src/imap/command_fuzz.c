/*
 * One command of any client, literals in place: its arguments are read and forgotten. It needs
 * neither a session nor a vault, so that some thousands are tried in the time that parse_fuzz.c
 * takes for one; what comes of the arguments is tried there. The first byte chooses what is
 * enabled.
 *
 * Properties: what is left is the end of what there was, and a complaint is in words of ours.
 */
#include "imap/args.h"
#include "imap/command.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { UTF8 = 1, FIXED_CHARSET = 2 };

static void check_words(const char *words)
{
    for (; *words != '\0'; words++)
        assert(*words >= ' ' && *words <= '~');
}

static void parse(const struct imap_command *command, struct str arguments, unsigned enabled)
{
    struct task task;
    struct imap_parser parser = {.rest = arguments,
                                 .task = &task,
                                 .is_utf8 = (enabled & UTF8) != 0,
                                 .is_charset_fixed = (enabled & FIXED_CHARSET) != 0};
    enum err err;

    task_init(&task, 0);
    err = command->parse(&parser, ARENA_NEW(&task.arena, union imap_args));
    assert(err == ERR_OK || err == ERR_INVALID);
    assert(parser.rest.len <= arguments.len);
    assert(parser.rest.len == 0 ||
           parser.rest.ptr + parser.rest.len == arguments.ptr + arguments.len);
    if (err != ERR_OK)
        check_words(task.words);
    task_done(&task);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct imap_command *command;
    struct str line, tag;

    if (size < 2)
        return 0;
    line = str_make(data + 1, size - 1);
    command = imap_command_of_line(line);
    if (command == NULL)
        return 0;
    str_split(&line, ' ', &tag);
    parse(command, str_from(line, command->name.len), data[0]);
    return 0;
}
