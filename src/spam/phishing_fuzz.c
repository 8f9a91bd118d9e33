/* Any bytes as one URL and the text that it is shown with, split by a line break, and as HTML. */
#include "spam/link.h"

#include "message/structure.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_html(struct task *task, struct str html)
{
    struct str message = arena_printf(&task->arena, "Content-Type: text/html; charset=utf-8\r\n\r\n");
    struct spam_view *view = ARENA_NEW(&task->arena, struct spam_view);
    struct message_structure structure;
    struct structure_notes *notes;
    struct spam_link *links;
    struct buf whole;
    size_t count;

    buf_init(&whole, SIZE_MAX);
    buf_put(&whole, message);
    buf_put(&whole, html);
    structure_scan(&task->arena, buf_str(&whole), &structure, &notes);
    spam_view_make(task, buf_str(&whole), &structure, view);
    spam_link_find(task, view, &links, &count);
    assert(count <= SPAM_LINKS_MAX);
    for (size_t i = 0; i < count; i++) {
        assert(links[i].url.len <= SPAM_LINK_URL_MAX && links[i].shown.len <= SPAM_LINK_SHOWN_MAX);
        assert(links[i].is_inline || links[i].host.len > 0);
        (void)spam_link_host_shown(task, links[i].shown);
    }
    buf_free(&whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_make(data, size), url;
    struct spam_link link, again;
    struct task task;

    task_init(&task, 0);
    check_html(&task, text);
    if (str_split(&text, '\n', &url) && spam_link_parse(&task, url, &link)) {
        assert(link.is_inline || (link.host.len > 0 && link.host.len <= 253));
        /* The host by itself is read as that host, unless it hides other marks behind escapes. */
        if (!link.is_inline && str_index(link.host, '@') < 0 && str_index(link.host, ':') < 0 &&
            str_index(link.host, '/') < 0 && str_index(link.host, '\\') < 0 &&
            str_index(link.host, '?') < 0 && str_index(link.host, '#') < 0 &&
            str_index(link.host, '%') < 0 && str_index(link.host, '[') < 0 &&
            link.host.ptr[link.host.len - 1] != '.') {
            char *copy = arena_alloc(&task.arena, link.host.len + 8, 1);

            for (size_t i = 0; i < 7; i++)
                copy[i] = "http://"[i];
            for (size_t i = 0; i < link.host.len; i++)
                copy[7 + i] = link.host.ptr[i];
            assert(spam_link_parse(&task, str_make(copy, link.host.len + 7), &again));
            assert(str_equal(again.host, link.host) && again.is_ip == link.is_ip);
        }
    }
    task_done(&task);
    return 0;
}
