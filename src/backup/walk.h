/* The names in a directory, in the order in which S3 gives them: that of their bytes. */
#ifndef BACKUP_WALK_H
#define BACKUP_WALK_H

#include "backup/destination.h"

/* What is looked for, and what was found: objects up to a number. */
struct backup_page;

struct backup_page *backup_page_new(struct str prefix, struct str after, size_t count_max);
void backup_page_free(struct backup_page **page);
/* False: the page is full, or the name is not looked for. */
void backup_page_add(struct backup_page *page, struct str name, uint64_t size_bytes,
                     int64_t modified_ms);
/* In the order in which they were added; the texts hold as long as the page. */
const struct backup_object *backup_page_objects(const struct backup_page *page, size_t *out_count);
/* There was more. */
bool backup_page_is_cut(const struct backup_page *page);
void backup_page_set_cut(struct backup_page *page);

/* All objects below a directory that the page asks for. Files whose names are none of ours are not
 * seen. Reads only the folders that can have some. ERR_IO. */
MUST_CHECK enum err backup_walk(struct task *task, int dir_fd, struct backup_page *page);

#endif
