/*
 * The search parser over any bytes: it ends, within its limits, and the program it makes is whole:
 * every operator has its operands, every subtree ends inside its parent.
 */
#include "imap/search.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct imap_search_program *search)
{
    assert(search->node_count > 0 && search->node_count <= IMAP_SEARCH_KEYS_MAX);
    assert(search->nodes[0].op == IMAP_SEARCH_AND && search->nodes[0].next == search->node_count);
    for (uint32_t i = 0; i < search->node_count; i++) {
        const struct imap_search_node *node = &search->nodes[i];
        uint32_t operands = 0;

        assert(node->next > i && node->next <= search->node_count);
        for (uint32_t k = i + 1; k < node->next; k = search->nodes[k].next) {
            assert(search->nodes[k].next <= node->next);
            operands++;
        }
        if (node->op == IMAP_SEARCH_OR)
            assert(operands == 2);
        else if (node->op == IMAP_SEARCH_NOT)
            assert(operands == 1);
        else
            assert((operands > 0) == (node->op == IMAP_SEARCH_AND));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct imap_search_program search = {0};
    struct imap_parser parser = {.rest = str_make(data, size)};
    struct task task;

    task_init(&task, 0);
    parser.task = &task;
    if (imap_search_parse(&parser, &search) == ERR_OK) {
        assert(imap_at_end(&parser));
        check(&search);
    } else {
        assert(task.words[0] != '\0');
    }
    task_done(&task);
    return 0;
}
