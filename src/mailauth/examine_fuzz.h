/* What the fuzz targets that examine a whole message share. */
#ifndef MAILAUTH_EXAMINE_FUZZ_H
#define MAILAUTH_EXAMINE_FUZZ_H

#include "mailauth/mailauth.h"

/* Examines `message` where every TXT record is `record`, and asserts what holds of any verdict. */
void examine_fuzz(struct task *task, struct str message, struct str record,
                  struct mailauth_verdict *out);

#endif
