#include "backup/destination.h"

#include <assert.h>

struct backup_call *backup_put(struct backup_destination *destination, const struct backup_put *put,
                               backup_on_done on_done, void *owner)
{
    assert(backup_name_is_valid(put->name));
    return destination->kind->put(destination, put, on_done, owner);
}

struct backup_call *backup_get(struct backup_destination *destination, struct str name,
                               backup_on_done on_done, void *owner)
{
    assert(backup_name_is_valid(name));
    return destination->kind->get(destination, name, on_done, owner);
}

struct backup_call *backup_list(struct backup_destination *destination, struct str prefix,
                                struct str after, size_t count_max, backup_on_done on_done,
                                void *owner)
{
    assert(backup_prefix_is_valid(prefix) && backup_prefix_is_valid(after));
    assert(count_max > 0 && count_max <= BACKUP_PAGE_MAX);
    return destination->kind->list(destination, prefix, after, count_max, on_done, owner);
}

struct backup_call *backup_delete(struct backup_destination *destination, struct str name,
                                  enum backup_gone gone, backup_on_done on_done, void *owner)
{
    assert(backup_name_is_valid(name));
    return destination->kind->remove(destination, name, gone, on_done, owner);
}

struct backup_call *backup_abandon(struct backup_destination *destination, struct str prefix,
                                   backup_on_done on_done, void *owner)
{
    assert(backup_prefix_is_valid(prefix));
    return destination->kind->abandon == NULL
               ? NULL
               : destination->kind->abandon(destination, prefix, on_done, owner);
}

int64_t backup_lost_put_ms(const struct backup_destination *destination, struct str name)
{
    return destination->kind->lost_put_ms == NULL
               ? 0
               : destination->kind->lost_put_ms(destination, name);
}

void backup_cancel(struct backup_call **call)
{
    if (*call != NULL)
        (*call)->kind->cancel(*call);
    *call = NULL;
}

void backup_destination_free(struct backup_destination **destination)
{
    if (*destination != NULL)
        (*destination)->kind->free(*destination);
    *destination = NULL;
}
