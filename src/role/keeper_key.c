/*
 * Keys that mail is signed with. An RSA key takes a few tenths of a second, by chance seconds: a
 * forked child makes it, while the keeper goes on. It has the keeper's sandbox, none of its secrets
 * (they do not cross a fork), of its descriptors only the pipe that the key comes back by, and dies
 * with it.
 */
#include "role/keeper.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "mailauth/sign.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DER_MAX = 4096 }; /* of RSA-2048: 1.2 kB */

struct keeper_key_maker {
    pid_t pid;
    int fd;                  /* own; the pipe's reading end */
    struct net_watch *watch; /* own */
    struct secret *der;      /* own; what came of it */
    size_t len;
};

/* --- in the child ---------------------------------------------------------------------------- */

_Noreturn static void be_child(int fd, pid_t parent)
{
    CLEANUP(buf_free) struct buf record;
    struct secret *der = NULL;
    struct task task;
    bool is_done;

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(EXIT_FAILURE);
    (void)close_range(STDERR_FILENO + 1, (unsigned)fd - 1, 0);
    (void)close_range((unsigned)fd + 1, ~0u, 0);
    buf_init(&record, SIZE_MAX);
    task_init(&task, clock_now_ms());
    is_done = mailauth_key_make(&task, MAILAUTH_RSA_2048, &der, &record) == ERR_OK &&
              fd_write_all(&task, fd, secret_str(der)) == ERR_OK;
    _exit(is_done ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* --- in the keeper --------------------------------------------------------------------------- */

static void maker_free(struct keeper_key_maker **maker)
{
    struct keeper_key_maker *gone = *maker;

    if (gone == NULL)
        return;
    net_watch_free(&gone->watch);
    fd_close(&gone->fd);
    secret_free(&gone->der);
    mem_free(maker);
}

static void on_end(struct keeper *keeper)
{
    struct keeper_key_maker *maker = keeper->key_maker;
    int status = 0;
    bool is_done = waitpid(maker->pid, &status, 0) == maker->pid && WIFEXITED(status) &&
                   WEXITSTATUS(status) == EXIT_SUCCESS && maker->len > 0 && maker->len < DER_MAX;

    if (is_done) {
        secret_free(&keeper->rsa_key);
        keeper->rsa_key = secret_copy(str_upto(secret_str(maker->der), maker->len));
    } else {
        log_error(keeper->log, "a key to sign mail with could not be made");
    }
    maker_free(&keeper->key_maker);
    admin_key_made(keeper->admin, is_done, clock_now_ms());
    if (keeper->rsa_key != NULL) /* none of the commands took it */
        keeper_keys_soon(keeper);
}

static void on_readable(void *owner)
{
    struct keeper *keeper = owner;
    struct keeper_key_maker *maker = keeper->key_maker;
    ssize_t got = read(maker->fd, secret_bytes(maker->der) + maker->len, DER_MAX - maker->len);

    if (got > 0)
        maker->len += (size_t)got;
    else if (got == 0 || (errno != EAGAIN && errno != EINTR))
        on_end(keeper);
}

static enum err start_maker(struct keeper *keeper, struct task *task)
{
    struct keeper_key_maker *maker;
    pid_t parent = getpid(), pid;
    int ends[2];

    if (keeper->key_maker != NULL)
        return ERR_OK;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return fail(task, ERR_IO, "no pipe: %s", strerror(errno));
    pid = fork();
    if (pid == 0)
        be_child(ends[1], parent);
    (void)close(ends[1]);
    if (pid < 0) {
        (void)close(ends[0]);
        return fail(task, ERR_IO, "fork: %s", strerror(errno));
    }
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    maker = NEW(struct keeper_key_maker);
    maker->pid = pid;
    maker->fd = ends[0];
    maker->der = secret_new(DER_MAX);
    maker->watch = net_watch_new(role_loop(keeper->process), maker->fd, on_readable, NULL, keeper);
    net_watch_want(maker->watch, true, false);
    keeper->key_maker = maker;
    return ERR_OK;
}

enum err keeper_make_key(void *owner, struct task *task, enum account_key_algorithm algorithm,
                         struct secret **out_key, struct buf *out_record)
{
    struct keeper *keeper = owner;

    if (algorithm != ACCOUNT_KEY_RSA) /* a moment's work */
        return mailauth_key_make(task, MAILAUTH_ED25519, out_key, out_record);
    if (keeper->rsa_key == NULL) {
        TRY(start_maker(keeper, task));
        return fail(task, ERR_BUSY, "a key is being made");
    }
    TRY(mailauth_key_record(task, secret_str(keeper->rsa_key), out_record));
    *out_key = keeper->rsa_key;
    keeper->rsa_key = NULL;
    return ERR_OK;
}

/* A child that still works is waited for by nobody: it dies with us. */
void keeper_key_stop(struct keeper *keeper)
{
    maker_free(&keeper->key_maker);
    secret_free(&keeper->rsa_key);
}
