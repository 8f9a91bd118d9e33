/* THREAD's answer (RFC 5256 §4): from node to node, with no stack however deep they are. */
#include "imap/thread.h"

#include "imap/write.h"

static bool has_siblings(const struct imap_threads *t, uint32_t node)
{
    const struct imap_thread_node *n = &t->nodes[node];

    return n->parent == IMAP_THREAD_NONE ||
           t->nodes[n->parent].first_child != t->nodes[n->parent].last_child;
}

static void open_list(struct imap_threads *t, struct buf *out, uint32_t node)
{
    buf_put(out, STR("("));
    t->current = node;
    t->needs_space = false;
}

/* From a node without children to the next one. */
static void go_on(struct imap_threads *t, struct buf *out)
{
    while (t->current != IMAP_THREAD_NONE) {
        const struct imap_thread_node *node = &t->nodes[t->current];

        if (has_siblings(t, t->current))
            buf_put(out, STR(")"));
        if (node->next != IMAP_THREAD_NONE) {
            open_list(t, out, node->next);
            return;
        }
        t->current = node->parent;
    }
}

/*
 * thread-list = "(" (thread-members / thread-nested) ")"; thread-nested = 2*thread-list
 * thread-members = nz-number *(SP nz-number) [SP thread-nested]
 */
bool imap_threads_write(struct imap_threads *t, struct buf *out, size_t max,
                        uint32_t (*name_of)(const void *context, uint32_t message),
                        const void *context)
{
    size_t start = out->len;

    if (!t->has_begun) {
        t->has_begun = true;
        t->current = IMAP_THREAD_NONE;
        if (t->first_root != IMAP_THREAD_NONE)
            open_list(t, out, t->first_root);
    }
    while (t->current != IMAP_THREAD_NONE && out->len - start < max) {
        const struct imap_thread_node *node = &t->nodes[t->current];

        if (node->message != IMAP_THREAD_NONE) {
            if (t->needs_space)
                buf_put(out, STR(" "));
            imap_write_number(out, name_of(context, node->message));
            t->needs_space = true;
        }
        if (node->first_child == IMAP_THREAD_NONE) {
            go_on(t, out);
        } else if (node->first_child == node->last_child) {
            t->current = node->first_child;
        } else {
            if (t->needs_space)
                buf_put(out, STR(" "));
            open_list(t, out, node->first_child);
        }
    }
    return t->current == IMAP_THREAD_NONE;
}
