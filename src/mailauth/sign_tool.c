/*
 * For tests/mailauth: signs the message on standard input with a new key. First line of the output:
 * the key's TXT record; behind it the DKIM-Signature field.
 *
 *   mailauth_sign_tool rsa|ed25519 DOMAIN SELECTOR SECONDS
 */
#include "base/file.h"
#include "mailauth/sign.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MESSAGE_MAX = 64 * 1024 * 1024, ARGUMENTS = 5 };

static enum err run(struct task *task, char **argv, struct buf *message, struct buf *out)
{
    CLEANUP(secret_free) struct secret *key = NULL;
    struct mailauth_signer signer = {str_from_c(argv[2]), str_from_c(argv[3]), STR(""), NULL};
    int64_t seconds;

    if (!parse_i64(str_from_c(argv[4]), &seconds))
        return fail(task, ERR_INVALID, "not a time");
    TRY(fd_read_all(task, STDIN_FILENO, MESSAGE_MAX, message));
    TRY(mailauth_key_make(task, strcmp(argv[1], "rsa") == 0 ? MAILAUTH_RSA_2048 : MAILAUTH_ED25519,
                          &key, out));
    TRY(buf_append(out, STR("\n")));
    signer.key_der = secret_str(key);
    TRY(mailauth_sign(task, buf_str(message), &signer, 1, seconds * 1000, out));
    return fd_write_all(task, STDOUT_FILENO, buf_str(out));
}

int main(int argc, char **argv)
{
    CLEANUP(buf_free) struct buf message, out;
    struct task task;
    enum err err;

    buf_init(&message, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    if (argc != ARGUMENTS)
        return 2;
    secret_init();
    task_init(&task, 0);
    err = run(&task, argv, &message, &out);
    if (err != ERR_OK)
        fprintf(stderr, "%s\n", task.words);
    task_done(&task);
    return err == ERR_OK ? 0 : 1;
}
