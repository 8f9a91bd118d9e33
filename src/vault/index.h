/*
 * Inside the vault only: the search index as a whole. It is a row of segments (segment.h), each
 * with the terms of contents that arrived one after the other.
 *
 *   arrival ──> not indexed ──fold──> segment of level 0 ──merge, 8 to 1──> level 1 ──> level 2 …
 *
 * An arrival writes nothing here: content ids ascend, so what is behind the last segment is not
 * indexed, and a search has it confirmed. Housekeeping folds some dozens of contents at a time into
 * a new segment, one transaction each, and merges segments in slices: the inputs stay live until
 * the output is whole, and a crash in between loses nothing, since the slices that were committed
 * are gone on with. Content ids are never given twice, so what a segment says of a purged content
 * is harmless; it is left out at the next merge.
 *
 * Every segment has the form in which it was written (index_form). Where the file was written by a
 * program of another form, nothing counts as indexed, and housekeeping begins by marking all those
 * segments as dead, in one transaction: live ones of two forms are never side by side, so that
 * what is live always reaches from the first content on.
 */
#ifndef VAULT_INDEX_H
#define VAULT_INDEX_H

#include "vault/segment.h"

/* Of folding, words and blocks as this program has them. */
int64_t index_form(void);
/* Reads what is indexed into the mirror. */
MUST_CHECK enum err index_load(struct vault *vault, struct task *task);
/* The live segments, oldest first, in the task's arena. */
MUST_CHECK enum err index_segments(struct vault *vault, struct task *task,
                                   struct segment **out_segments, size_t *out_count);
/* What a search reads of each segment first is asked for (ahead.h). */
void index_ask_ahead(struct vault *vault, struct task *task);
/* So many contents are not indexed, and more. */
bool index_is_behind(const struct vault *vault, int64_t contents);
/* As it was loaded, there was something to fold, merge or remove. */
bool index_is_unfinished(const struct vault *vault);

/* All of these within a change. */
/* One slice of folding, merging or removing; *out_did: there was something to do. */
MUST_CHECK enum err index_slice(struct vault *vault, struct task *task, bool *out_did);
/* A content goes. */
MUST_CHECK enum err index_forget(struct vault *vault, struct task *task, int64_t content_id);

/* A new live segment from the contents that are not indexed (fold.c); *out_did: there were some. */
MUST_CHECK enum err index_fold(struct vault *vault, struct task *task, bool *out_did);
/* One slice of merging the live segments in the range of `output` (merge.c). */
MUST_CHECK enum err index_merge(struct vault *vault, struct task *task,
                                const struct segment *output, bool *out_is_whole);

#endif
