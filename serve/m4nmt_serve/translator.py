"""What the service needs of a translator: the public face of m4nmt.translate.translator.Translator.

Written as a protocol so that the service can be tested, and used, with any engine.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from m4nmt.core.stages import SearchConfig
from m4nmt.translate.types import Translation
from m4nmt.translate.wishes import Wish
from m4nmt.translate.words import NextWord


class TrainedDirection(Protocol):
    """A direction that the model was trained on."""

    @property
    def src(self) -> str: ...
    @property
    def tgt(self) -> str: ...


class Translator(Protocol):
    """Translates lists of texts. Called from several threads at a time."""

    @property
    def languages(self) -> Sequence[str]:
        """FLORES-style codes."""

    @property
    def directions(self) -> Sequence[TrainedDirection]:
        """Trained directions."""

    @property
    def domains(self) -> Sequence[str]:
        """That a text can be said to be of."""

    @property
    def search(self) -> SearchConfig:
        """How it decodes unless told otherwise."""

    def translate(
        self,
        texts: Sequence[str],
        src: str | Sequence[str],
        tgt: str | Sequence[str],
        config: SearchConfig | None = None,
        split: bool = True,
        cancelled: Callable[[], bool] | None = None,
        *,
        token_scores: bool = False,
        align: bool = False,
        wishes: Sequence[Wish] | None = None,
        terms: Mapping[str, str] | None = None,
        domain: str | Sequence[str] = "",
    ) -> list[list[Translation]]:
        """n-best lists, one for each text; `cancelled` is asked before each step of decoding;
        `token_scores` gives log p of each piece, `align` links of characters; `wishes` are one for
        each text, `terms` for all of them; `domain` is one, or one for each text."""

    def words(
        self,
        text: str,
        src: str,
        tgt: str,
        prefix: str,
        n: int = 5,
        config: SearchConfig | None = None,
        cancelled: Callable[[], bool] | None = None,
        *,
        domain: str = "",
    ) -> list[NextWord]:
        """Different likeliest next words after a prefix of the translation, best first."""

    def score_tokens(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        src: str | Sequence[str],
        tgt: str | Sequence[str],
        domain: str | Sequence[str] = "",
    ) -> list[tuple[float, ...]]:
        """log p of every piece of each target, and of its end."""

    def pieces(self, texts: Sequence[str]) -> list[list[str]]:
        """Pieces of each text, as the model writes it."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, as the model sees it."""

    def detect(self, texts: Sequence[str]) -> list[tuple[str, float]]:
        """(code, confidence between 0 and 1) of each text."""
