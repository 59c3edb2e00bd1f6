"""What the service needs of a translator: the public face of m4nmt.translate.translator.Translator.

Written as a protocol so that the service can be tested, and used, with any engine.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from m4nmt.core.stages import SearchConfig
from m4nmt.translate.types import Translation


class TrainedDirection(Protocol):
    """A direction that the model was trained on."""

    @property
    def src(self) -> str: ...
    @property
    def tgt(self) -> str: ...


class Translator(Protocol):
    """Translates lists of texts. Called from one worker thread at a time (detect: from another)."""

    @property
    def languages(self) -> Sequence[str]:
        """FLORES-style codes."""

    @property
    def directions(self) -> Sequence[TrainedDirection]:
        """Trained directions."""

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
    ) -> list[list[Translation]]:
        """n-best lists, one for each text; `cancelled` is asked before each step of decoding."""

    def detect(self, texts: Sequence[str]) -> list[tuple[str, float]]:
        """(code, confidence between 0 and 1) of each text."""
