/* Reading a password without leaving it anywhere. */
#include "cli/secret_input.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "secret/crypt.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1024 };

/* Up to the end of the line, byte by byte: what comes behind it belongs to somebody else. */
static enum err read_line(struct task *task, int fd, struct secret **out_secret)
{
    CLEANUP(secret_free) struct secret *line = secret_new(LINE_MAX_BYTES);
    size_t len = 0;

    while (len < LINE_MAX_BYTES) {
        ssize_t got = read(fd, secret_bytes(line) + len, 1);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(task, ERR_IO, "the password cannot be read: %s", strerror(errno));
        if (got == 0 || secret_bytes(line)[len] == '\n')
            break;
        len++;
    }
    if (len > 0 && secret_bytes(line)[len - 1] == '\r')
        len--;
    if (len == 0)
        return fail(task, ERR_INVALID, "the password is empty");
    *out_secret = secret_copy(str_make(secret_bytes(line), len));
    return ERR_OK;
}

static enum err ask_terminal(struct task *task, const char *prompt, struct secret **out_secret)
{
    CLEANUP(fd_close) int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    struct termios seen, unseen;
    enum err err;

    if (fd < 0 || tcgetattr(fd, &seen) != 0)
        return fail(task, ERR_INVALID, "there is no terminal to ask for it at; give it in a file");
    unseen = seen;
    unseen.c_lflag &= ~(tcflag_t)ECHO;
    /* Before the question: what is typed at once must be neither shown nor thrown away. */
    (void)tcsetattr(fd, TCSAFLUSH, &unseen);
    err = fd_write_all(task, fd, str_from_c(prompt));
    if (err == ERR_OK)
        err = read_line(task, fd, out_secret);
    (void)tcsetattr(fd, TCSAFLUSH, &seen);
    TRY(fd_write_all(task, fd, STR("\n")));
    return err;
}

enum err cli_secret_input(struct task *task, const char *file, const char *prompt,
                          struct secret **out_secret)
{
    CLEANUP(fd_close) int fd = -1;

    if (file == NULL)
        return ask_terminal(task, prompt, out_secret);
    if (strcmp(file, "-") == 0)
        return read_line(task, STDIN_FILENO, out_secret);
    fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(task, ERR_INVALID, "%s cannot be opened: %s", file, strerror(errno));
    return read_line(task, fd, out_secret);
}

enum err cli_secret_key(struct task *task, const char *file, int *out_fd)
{
    CLEANUP(secret_free) struct secret *password = NULL;
    CLEANUP(secret_free) struct secret *key = NULL;
    CLEANUP(fd_close) int in_fd = -1;
    unsigned char salt[MAILBOX_SALT_BYTES];
    int ends[2];
    enum err err;

    TRY(cli_secret_input(task, file, "New password for the copy: ", &password));
    if (secret_len(password) < CLI_KEY_PASSWORD_MIN)
        return fail(
            task, ERR_INVALID,
            "the password for the copy has fewer than %d characters: whoever has the file can "
            "try them all",
            CLI_KEY_PASSWORD_MIN);
    if (str_starts_with(secret_str(password), STR("raw:")))
        return fail(task, ERR_INVALID,
                    "a password that begins with raw: means something else to other programs");
    random_bytes(salt, sizeof(salt));
    key = crypt_mailbox_key(secret_str(password), salt);
    if (pipe2(ends, O_CLOEXEC) != 0)
        return fail(task, ERR_IO, "no pipe: %s", strerror(errno));
    in_fd = ends[1];
    err = fd_write_all(task, in_fd, secret_str(key));
    if (err != ERR_OK) {
        (void)close(ends[0]);
        return err;
    }
    *out_fd = ends[0];
    return ERR_OK;
}
