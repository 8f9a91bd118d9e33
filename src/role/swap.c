#include "role/swap.h"

#include "secret/secret.h"

void swap_warn_once(const struct log *log, bool *has_warned)
{
    if (*has_warned || secret_memory() != SECRET_MEMORY_UNLOCKED)
        return;
    *has_warned = true;
    log_warning(log, "keys in memory could not be locked and may be written to swap: raise the "
                     "limit of locked memory (RLIMIT_MEMLOCK; systemd: LimitMEMLOCK=64M, shell: "
                     "ulimit -l 65536), or turn swap off; then restart");
}
