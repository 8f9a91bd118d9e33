/* What the archivist answers to BACKUP_PUT, _GET, _LIST and _DELETE. */
#ifndef BACKUP_ARCHIVIST_ANSWER_H
#define BACKUP_ARCHIVIST_ANSWER_H

#include "base/log.h"
#include "wire/channel.h"

enum { ARCHIVIST_WORDS_MAX = 200 };

struct archivist_answer {
    enum wire_status status;
    struct str words;    /* no more than ARCHIVIST_WORDS_MAX are sent */
    uint64_t size_bytes; /* get */
    int fd;              /* get; borrowed; -1: none */
    struct str json;     /* list, as the next */
    bool is_last;
};

/* How a destination's errors (backup/destination.h) are told. */
enum wire_status archivist_status_of(enum err err);
/* `type` and `tag` are the question's. What cannot be sent is logged. */
void archivist_answer(const struct log *log, struct wire_channel *asker, uint64_t tag,
                      enum wire_type type, const struct id *mailbox,
                      const struct archivist_answer *answer);

#endif
