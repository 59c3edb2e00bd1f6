"""A model as a `Decoder`: the source is read once, then the target grows token by token.

Not its job: choosing tokens (search, sampling), or making ids of text (translator).

Shape letters: B sentences, S source length, K beams, R = B*K rows, V vocabulary.
"""

from dataclasses import dataclass, field

from torch import Tensor

from m4nmt.model.flow import Flow, Tokens
from m4nmt.model.translation import TranslationModel
from m4nmt.translate.cache import Cache


@dataclass(frozen=True)
class Halves:
    """The two halves of a model: up to the bridge, and from `target` on."""

    encoder: TranslationModel
    decoder: TranslationModel

    @classmethod
    def of(cls, model: TranslationModel) -> "Halves":
        """Both halves share the model's modules."""
        middle = model.names.index("target")
        return cls(model.part(model.names[:middle]), model.part(model.names[middle:]))


@dataclass
class Stepper:
    """One batch of sentences being decoded; a `Decoder`.

    Attributes:
        halves: of the model.
        src_BS: source rows, right-padded.
    """

    halves: Halves
    src_BS: Tensor
    cache: Cache = field(init=False)
    _memory: Flow | None = None

    def __post_init__(self) -> None:
        self.cache = Cache(len(self.src_BS))

    def step(self, last_R: Tensor) -> Tensor:
        """Logits [R,V] of the token after `last_R`."""
        if self._memory is None:
            self._memory = self.halves.encoder(Tokens(self.src_BS, last_R[:, None]))
        tokens = Tokens(
            self.src_BS,
            last_R[:, None],
            beams=len(last_R) // len(self.src_BS),
            store=self.cache,
        )
        logits_R1V: Tensor = self.halves.decoder(tokens, self._memory).x
        if not self.cache.offset:  # the layers' keys and values of the memory are in the cache now
            empty = (c.new_empty(0, *c.shape[1:]) for c in self._memory.carry)
            self._memory = self._memory._replace(carry=tuple(empty))
        self.cache.advance(1)
        return logits_R1V[:, 0]

    def select(self, rows_R: Tensor, sentences_B: Tensor | None) -> None:
        """Go on with these rows, of these sentences."""
        self.cache.select(rows_R, sentences_B)
        if sentences_B is not None:
            self.src_BS = self.src_BS[sentences_B]
