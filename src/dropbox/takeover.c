/* The owner's turn at the drop box, from lock to unlock. */
#include "base/file.h"
#include "dropbox/dropbox.h"
#include "dropbox/lock.h"

#include <fcntl.h>

enum err dropbox_take_over(const struct dropbox_owner *owner, struct task *task,
                           uint64_t *out_imported)
{
    CLEANUP(fd_close) int lock_fd = -1;
    enum err import_err;

    *out_imported = 0;
    TRY(dir_make(task, AT_FDCWD, owner->folder, true));
    TRY(dropbox_lock_take(task, owner->folder, DROPBOX_LOCK_WAIT_MS, &lock_fd));
    import_err = dropbox_import(owner, task, out_imported);
    if (import_err != ERR_OK) {
        /* What waits goes on waiting; what comes from now on need not have the old keys. */
        log_failure(owner->log, "taking over the drop box", task);
        task_forgive(task);
    }
    TRY(dropbox_renew(owner, task));
    return import_err;
}
