#include "store/retired.h"

#include "base/memory.h"

#include <search.h>
#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    return str_compare(id_str(a), id_str(b));
}

bool store_retired_has(const struct store_retired *retired, const struct id *id)
{
    return tfind(id, &retired->ids, compare) != NULL;
}

void store_retired_add(struct store_retired *retired, const struct id *id)
{
    struct id *copy;

    if (store_retired_has(retired, id))
        return;
    copy = NEW(struct id);
    *copy = *id;
    if (tsearch(copy, &retired->ids, compare) == NULL)
        abort();
}

void store_retired_done(struct store_retired *retired)
{
    while (retired->ids != NULL) {
        struct id *id = *(struct id *const *)retired->ids;

        tdelete(id, &retired->ids, compare);
        mem_free(&id);
    }
}
