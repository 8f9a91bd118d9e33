/* Inside src/spam: the readers of archive formats behind archives.h, one file each family. */
#ifndef SPAM_UNPACK_H
#define SPAM_UNPACK_H

#include "base/buf.h"
#include "spam/archives.h"

/* An entry's name was read. False: there were too many entries, or no budget is left. */
bool unpack_name(struct spam_archive *archive, struct str name);
/* An entry's bytes, or their beginning (is_whole false): notes what they are; looks into them when
 * they are an archive, at this depth. */
void unpack_content(struct spam_archive *archive, struct str name, struct str bytes, bool is_whole,
                    unsigned depth);
/* How much more may be unpacked now, at most `want`; 0: nothing. Takes it from the budgets. */
size_t unpack_room(struct spam_archive *archive, size_t want);
/* `produced` bytes came out of the first `consumed` of a stream of `total`: is that a bomb? */
void unpack_note_growth(struct spam_archive *archive, uint64_t consumed, uint64_t produced,
                        uint64_t total);
/* It grows so fast that more of it should be seen, to tell whether it is one. */
bool unpack_grows_fast(uint64_t consumed, uint64_t produced);
/* An archive's own word for how much is in it. */
void unpack_note_claim(struct spam_archive *archive, uint64_t claimed, uint64_t total);
/* As unpack_content needs it: are the first bytes those of a file that must be seen whole? */
bool unpack_wants_all(struct str head);

/* Entries' names and contents; at `depth` archives within the outermost (0). */
void unpack_zip(struct spam_archive *archive, struct str bytes, unsigned depth);
void unpack_tar(struct spam_archive *archive, struct str bytes, unsigned depth);
void unpack_gzip(struct spam_archive *archive, struct str bytes, unsigned depth);
void unpack_bzip2(struct spam_archive *archive, struct str bytes, unsigned depth);
void unpack_xz(struct spam_archive *archive, struct str bytes, unsigned depth);
/* Names only. */
void unpack_seven_zip(struct spam_archive *archive, struct str bytes, unsigned depth);
void unpack_iso(struct spam_archive *archive, struct str bytes, unsigned depth);
/* Names, and what is not compressed. */
void unpack_rar(struct spam_archive *archive, struct str bytes, unsigned depth);
void unpack_cab(struct spam_archive *archive, struct str bytes, unsigned depth);

#endif
