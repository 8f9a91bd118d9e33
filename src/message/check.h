/* Properties that hold for every message; shared by the unit test and the fuzz target. */
#ifndef MESSAGE_CHECK_H
#define MESSAGE_CHECK_H

#include "message/message.h"

/* Aborts where message_parse's promises about `raw` are broken. */
void check_message(struct str raw);
/* Aborts where decoding stored bytes that anybody may have written breaks its promises. */
void check_stored(struct str stored);
/* One balanced list of IMAP strings, numbers, NILs and lists, with nothing behind it. */
bool check_is_list(struct str text);

#endif
