"""What a client wants, whatever its dialect, and what it gets.

Not its job: finding it (service.py), or how a dialect writes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from m4nmt_serve.languages import Language
from m4nmt_serve.markup import Form, Plain
from m4nmt_serve.order import PLAIN, Full, How

AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Texts to translate. Codes as the client spells them.

    Attributes:
        source: a language, or "auto" to find out that of each text.
        form: what the texts are.
        wanted: different translations of each text, best first; there may be fewer.
        model: its name; empty is whichever knows the direction.
        how: how to translate; its terms go before those of the glossary.
        prefixes: what the translation of each text begins with; empty is nothing.
        glossary: number of a stored one.
        aligned: with links of characters.
    """

    texts: Sequence[str]
    source: str
    target: str
    form: Form = field(default_factory=Plain)
    wanted: int = 1
    model: str = ""
    how: How = PLAIN
    prefixes: Sequence[str] = ()
    glossary: str = ""
    aligned: bool = False


@dataclass(frozen=True)
class Answer:
    """The translations of one text, best first.

    Attributes:
        source, target: languages as the service understood them.
        confidence: that `source` is right, 0 to 1, where it had to be found out.
        model: by which the direction is translated; empty where none was needed.
    """

    options: tuple[Full, ...]
    source: Language
    target: Language
    confidence: float | None = None
    model: str = ""

    @property
    def text(self) -> str:
        """The best one."""
        return self.options[0].text

    @property
    def alternatives(self) -> list[str]:
        """The others."""
        return [option.text for option in self.options[1:]]


@dataclass(frozen=True)
class Sentence:
    """A sentence that is done: number `sentence` of text number `text`, its characters [begin, end)
    there, and its best translation."""

    text: int
    sentence: int
    begin: int
    end: int
    best: Full
