/* A real vault in a temporary folder, for the transcripts, the fuzzers and measurements. */
#ifndef IMAP_TRANSCRIPT_VAULT_H
#define IMAP_TRANSCRIPT_VAULT_H

#include "vault/message.h"

struct transcript_vault;

/* Once in a process: the libraries that a vault needs. */
void transcript_vault_init(void);
/* Aborts when it cannot be made. */
struct transcript_vault *transcript_vault_new(const struct log *log);
void transcript_vault_free(struct transcript_vault **home);
struct vault *transcript_vault(struct transcript_vault *home);
/* A simple message, number `n`: Subject "Message <n>", from alice@example.org; delivered. */
void transcript_vault_mail(struct transcript_vault *home, struct str folder, unsigned n,
                           int64_t now_ms);
/* The same at the task's time. ERR_NOT_FOUND: no such folder; ERR_LIMIT: no room. */
MUST_CHECK enum err transcript_vault_deliver(struct transcript_vault *home, struct task *task,
                                             struct str folder, unsigned n);

/* The folder's log of expunges is cut short, as by ten thousand more of them. */
void transcript_vault_forget(struct transcript_vault *home, struct str folder, int64_t now_ms);

#endif
