/* Answers of the service as text for people, or as JSON for programs. */
#ifndef CLI_RENDER_H
#define CLI_RENDER_H

#include "account/admin/command.h"
#include "base/buf.h"

#include <jansson.h>
#include <stdbool.h>

/* One answer that is not a list: what happened, the members, what to do next. */
void cli_render_answer(struct buf *out, const json_t *answer, bool is_json);

/* A list, page by page. JSON: one array over all pages, an item a line. */
struct cli_render_list {
    const struct admin_command *command;
    bool is_json;
    size_t item_count; /* so far */
    int widths[8];     /* of the columns, from the first page */
};
void cli_render_list_page(struct cli_render_list *list, struct buf *out, const json_t *answer);
void cli_render_list_end(struct cli_render_list *list, struct buf *out);

/* A failure: for people on the standard error. */
void cli_render_failure(struct buf *out, const json_t *answer);

/* The exit code of an answer's status. */
int cli_render_exit_code(const json_t *answer);

#endif
