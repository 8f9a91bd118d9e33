/* What is to become of a foreign message: the examiner's answer (wire_examine_reply.action). */
#ifndef EXAMINER_VERDICT_H
#define EXAMINER_VERDICT_H

enum examiner_action {
    EXAMINER_ACCEPT,
    EXAMINER_JUNK,   /* stored in Junk, with the reasons in a header field */
    EXAMINER_REJECT, /* refused at DATA, for good */
    EXAMINER_DEFER,  /* refused for now: nobody could tell (a DMARC policy whose DNS failed) */
};

#endif
