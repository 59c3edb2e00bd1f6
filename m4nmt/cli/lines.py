"""Lines of text in. Not its job: what is done with them."""

from collections.abc import Iterator
from typing import BinaryIO


def read_lines(stream: BinaryIO, name: str) -> Iterator[str]:
    """Lines ended by \\n alone (never by U+2028 and the like), strictly UTF-8.

    Raises:
        ValueError: a line that is not UTF-8, with its number.
    """
    for number, raw in enumerate(stream, 1):
        try:
            yield raw.rstrip(b"\n").removesuffix(b"\r").decode()
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{name}, line {number}: not UTF-8 ({error.reason}); convert it, e.g. with iconv"
            ) from error
