"""The one rule that text goes through before pieces, in training and in serving alike.

NFC; every kind of space, tab, line break and control character becomes one plain space; runs of
spaces become one; the ends are stripped. Invisible layout marks (bidi marks and embeddings, byte
order mark, soft hyphen, zero-width space, word joiner) are dropped. What carries meaning stays:
joiners (U+200C, U+200D), variation selectors, U+FFFD.

Compatibility forms (NFKC) are left alone: they would change what a writer wrote ("²" to "2").
"""

import re
import unicodedata

VERSION = "nfc-1"
_MARKS = (
    "\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\u206a-\u206f\ufeff\ufff9-\ufffb"
)
DROPPED = re.compile(f"[{_MARKS}]")
# U+2581 is SentencePiece's own sign for a space: kept, it would come back as one anyway.
BLANK = re.compile("[\x00-\x1f\x7f-\x9f\u2581]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def normalise(text: str) -> str:
    """The normalised form of a text; applying it again changes nothing.

    Raises:
        ValueError: the text holds a lone surrogate, which no UTF-8 file can.
    """
    if not text.isascii():
        found = _SURROGATE.search(text)
        if found:
            raise ValueError(
                f"the text holds a lone surrogate (U+{ord(found.group()):04X}) at character "
                f"{found.start()}; it is not valid Unicode: decode the input strictly as UTF-8"
            )
        text = unicodedata.normalize("NFC", DROPPED.sub("", text))
    if not text.isprintable():
        text = BLANK.sub(" ", text)
    elif "\u2581" in text:
        text = text.replace("\u2581", " ")
    return " ".join(text.split())
