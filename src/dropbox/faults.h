/*
 * For tests: stands between the program and the C library's writing and syncing calls, counts them,
 * and at the one chosen kills the process or makes the call fail. Linked into tests only.
 */
#ifndef DROPBOX_FAULTS_H
#define DROPBOX_FAULTS_H

#include <stdbool.h>

enum faults_kind {
    FAULTS_NONE,
    FAULTS_KILL,   /* SIGKILL instead of the call */
    FAULTS_EIO,    /* the call fails */
    FAULTS_ENOSPC, /* likewise; syncs give EIO */
    FAULTS_HOOK,   /* something happens first, then the call goes on: faults_set_hook */
};

/* At the `at`-th call from now (from 1); with `is_lasting`, at all later ones too. */
void faults_set(enum faults_kind kind, long at, bool is_lasting);
/* Called once, at the `at`-th call, with nothing else set. */
void faults_set_hook(void (*hook)(void *owner), void *owner, long at);
void faults_clear(void);
/* Calls since faults_set or faults_clear. */
long faults_seen(void);

#endif
