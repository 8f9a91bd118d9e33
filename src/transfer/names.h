/* Folder names as names of files, and back. */
#ifndef TRANSFER_NAMES_H
#define TRANSFER_NAMES_H

#include "base/arena.h"
#include "base/str.h"

/*
 * A path for a folder's name, the same levels: what file systems do not take, or take for something
 * else, as %XX; with `is_ascii`, what is not ASCII too. A level that is too long for a file's name
 * is cut, and gets "~" and a digest. In the arena.
 */
struct str transfer_path(struct arena *arena, struct str name, bool is_ascii);
/* The name that such a path, or one that another program made, stands for. UTF-8 always. */
struct str transfer_path_name(struct arena *arena, struct str path);

/* Maildir++: ".Work.Plans" in modified UTF-7; empty for INBOX. A dot in a name, which this form
 * cannot say, is '_'. Too long, it is cut in the same way. */
struct str transfer_maildir(struct arena *arena, struct str name);
struct str transfer_maildir_name(struct arena *arena, struct str folder);

/* As the vault takes it: UTF-8 without control characters, wildcards, empty levels; INBOX in upper
 * case. In the arena; empty where nothing is left. */
struct str transfer_clean_name(struct arena *arena, struct str name);

#endif
