#include "role/identity.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

enum err identity_find(struct task *task, struct str user, struct identity *out)
{
    struct str name = arena_copy(&task->arena, user);
    struct passwd *entry;

    *out = (struct identity){.is_set = false};
    if (user.len == 0 || geteuid() != 0)
        return ERR_OK;
    entry = getpwnam(name.ptr);
    if (entry == NULL)
        return fail(task, ERR_NOT_FOUND, "there is no user '%s'", name.ptr);
    *out = (struct identity){.is_set = true, .uid = entry->pw_uid, .gid = entry->pw_gid};
    return ERR_OK;
}

enum err identity_become(struct task *task, const struct identity *identity)
{
    if (!identity->is_set)
        return ERR_OK;
    if (setgroups(0, NULL) != 0 || setresgid(identity->gid, identity->gid, identity->gid) != 0 ||
        setresuid(identity->uid, identity->uid, identity->uid) != 0)
        return fail(task, ERR_IO, "changing the user: %s", strerror(errno));
    return ERR_OK;
}

enum err identity_give(struct task *task, const struct identity *identity, const char *path)
{
    if (!identity->is_set || lchown(path, identity->uid, identity->gid) == 0)
        return ERR_OK;
    return fail(task, ERR_IO, "giving %s to the user: %s", path, strerror(errno));
}
