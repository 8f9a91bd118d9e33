"""i;unicode-casemap (RFC 5051 §2), by which texts are compared: title case, then decomposed."""

import unicodedata


def folded(text):
    return "".join(unicodedata.normalize("NFKD", title_case(letter)) for letter in text)


def title_case(letter):
    """By UnicodeData's one-to-one column: what would be two letters stays as it is."""
    title = letter.title()
    return title if len(title) == 1 else letter
