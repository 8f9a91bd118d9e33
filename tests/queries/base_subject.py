"""The base subject of RFC 5256 §2.1, step by step as the RFC has it and without a thought of speed."""

import re

# subj-blob and subj-refwd of the ABNF in RFC 5256 §5.
BLOB = r"\[[^\[\]]*\] *"
REPLY_MARK = re.compile(rf"(?:{BLOB})*(?:re|fwd?) *(?:{BLOB})?:", re.IGNORECASE)
LEADING_BLOB = re.compile(BLOB)
FORWARD_TRAILER = "(fwd)"
FORWARD_BEGIN, FORWARD_END = "[fwd:", "]"


def base_subject(decoded):
    """The base subject, and whether a mark of a reply or a forward was taken off on the way to it (what
    REFERENCES asks in step 5.B, RFC 5256 §3)."""
    text = re.sub(r"[ \t\r\n]+", " ", decoded)  # step 1
    is_marked = False
    while True:
        text, has_trailer = without_trailers(text)
        text, has_leader = without_leaders(text)
        is_marked = is_marked or has_trailer or has_leader
        if not (text.lower().startswith(FORWARD_BEGIN) and text.endswith(FORWARD_END)):
            return text, is_marked
        text = text[len(FORWARD_BEGIN):-len(FORWARD_END)]  # step 6
        is_marked = True


def without_trailers(text):
    """Step 2: as many subj-trailers as there are. And whether one was a mark, not only a space."""
    is_marked = False
    while True:
        if text.endswith(" "):
            text = text[:-1]
        elif text.lower().endswith(FORWARD_TRAILER):
            text, is_marked = text[:-len(FORWARD_TRAILER)], True
        else:
            return text, is_marked


def without_leaders(text):
    """Steps 3 to 5: subj-leaders, and blobs unless nothing would be left."""
    is_marked = False
    while True:
        mark = REPLY_MARK.match(text)
        blob = LEADING_BLOB.match(text)
        if mark:
            text, is_marked = text[mark.end():], True
        elif text.startswith(" "):
            text = text[1:]
        elif blob and text[blob.end():]:
            text = text[blob.end():]
        else:
            return text, is_marked
