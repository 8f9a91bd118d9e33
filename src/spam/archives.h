/*
 * Looking into archives, in bounded work: how deep, how many entries, how many bytes, and how much
 * the bytes grow are limited; whoever passes the limits by far sent a bomb. Contents are unpacked as
 * far as it takes to tell what they are, one at a time, and never written anywhere.
 */
#ifndef SPAM_ARCHIVES_H
#define SPAM_ARCHIVES_H

#include "spam/content.h"

#include "base/task.h"

enum {
    SPAM_ARCHIVE_DEPTH_MAX = 5,
    SPAM_ARCHIVE_ENTRIES_MAX = 4000,
    SPAM_ARCHIVE_NESTED_MAX = 8 * 1024 * 1024,   /* of an archive in an archive */
    SPAM_ARCHIVE_OUTPUT_MAX = 64 * 1024 * 1024,  /* unpacked, of one message */
    SPAM_ARCHIVE_BOMB_BYTES = 256 * 1024 * 1024, /* said or seen to come out of one archive, */
    SPAM_ARCHIVE_BOMB_RATIO = 200,               /* and so many times its size: a bomb */
    SPAM_ARCHIVE_BOMB_STREAM = 2000, /* nothing that people write grows so */
};

struct spam_archive {
    struct spam_budget *budget; /* borrowed */
    uint64_t output_left;
    size_t entries_left;
    /* What was found. */
    enum spam_content program; /* the first that runs; OTHER: none */
    bool has_program_name;     /* an entry that Windows would run, by its name */
    bool has_double_name;      /* or one that hides it */
    bool has_macros;           /* Office documents */
    bool has_risky;            /* what spam_content_of finds risky otherwise */
    bool is_encrypted;
    bool is_bomb;
    bool is_unread; /* something was not looked at: a limit, damage, a kind that we do not know */
};

void spam_archive_init(struct spam_archive *archive, struct spam_budget *budget);
/* Looks into bytes of that kind (spam_content_is_archive). May be called for several. */
void spam_archive_look(struct spam_archive *archive, enum spam_content kind, struct str bytes);

#endif
