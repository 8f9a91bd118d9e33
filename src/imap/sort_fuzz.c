/*
 * The sort that takes turns: in any order, over any turns, it gives each number once, in order, and
 * equal ones as they came. And the criteria's parser: what it takes it takes whole.
 */
#include "imap/sort.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int compare(const void *context, uint32_t a, uint32_t b)
{
    const uint8_t *data = context;

    return (int)data[a] - (int)data[b];
}

static void check_merge(const uint8_t *data, size_t size, size_t turn)
{
    struct arena arena = {0};
    struct imap_merge merge;
    size_t comparisons, sum = 0;

    imap_merge_init(&merge, &arena, size, compare, data);
    while (!imap_merge_step(&merge, turn, &comparisons))
        assert(comparisons >= turn);
    for (size_t i = 0; i < size; i++) {
        uint32_t now = merge.items[i], before = i == 0 ? 0 : merge.items[i - 1];

        assert(now < size);
        assert(i == 0 || data[before] < data[now] || (data[before] == data[now] && before < now));
        sum += now;
    }
    assert(size == 0 || sum == size * (size - 1) / 2);
    arena_free(&arena);
}

static void check_criteria(const uint8_t *data, size_t size)
{
    struct imap_sort_order order = {0};
    struct imap_parser parser = {.rest = str_make(data, size)};
    struct task task;

    task_init(&task, 0);
    parser.task = &task;
    if (imap_sort_parse(&parser, &order) == ERR_OK)
        assert(order.count > 0 && order.count <= IMAP_SORT_CRITERIA_MAX);
    else
        assert(task.words[0] != '\0');
    for (size_t i = 1; i < order.count; i++) /* each once: they take memory for each message */
        assert(order.keys[i].criterion != order.keys[i - 1].criterion);
    task_done(&task);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4096)
        return 0;
    check_merge(data, size, 1);
    check_merge(data, size, SIZE_MAX);
    check_criteria(data, size);
    return 0;
}
