"""The words that every room about data shares: Direction, Corpus, Shape, Batch.

Shape letters: B rows, S source length, T target length.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # torch takes more than a second to import; preparing text has no need of it
    from torch import Tensor

Split = Literal["train", "dev", "test"]
Task = Literal["translate", "denoise", "mass"]


@dataclass(frozen=True, order=True)
class Direction:
    """From one language to another, for one task. Languages are FLORES-style codes.

    Attributes:
        tags: what is known of the text, such as "bt" for a source that a machine translated, or a
            domain. The model is told by a tag each; sampling keeps them apart.
    """

    src: str
    tgt: str
    task: Task = "translate"
    tags: tuple[str, ...] = ()

    def __str__(self) -> str:
        suffix = "" if self.task == "translate" else f":{self.task}"
        return f"{self.src}-{self.tgt}{suffix}{''.join(f'+{tag}' for tag in self.tags)}"

    @property
    def plain(self) -> "Direction":
        """Without what is known of the text."""
        return Direction(self.src, self.tgt, self.task)

    @classmethod
    def parse(cls, text: str) -> "Direction":
        """Read "eng_Latn-swh_Latn", "eng_Latn-eng_Latn:denoise" or "swh_Latn-eng_Latn+bt"."""
        name, *tags = text.split("+")
        pair, colon, named = name.partition(":")
        src, sign, tgt = pair.partition("-")
        task: Task | None = "translate"
        if colon:
            task = next((known for known in get_args(Task) if known == named), None)
        if not sign or not src or not tgt or task is None or not all(tags):
            raise ValueError(f"a direction is written eng_Latn-swh_Latn, got {text!r}")
        return cls(src, tgt, task, tuple(tags))


class Shape(NamedTuple):
    """Size of a padded batch: rows, source length, target length."""

    rows: int
    src: int
    tgt: int


@dataclass(frozen=True)
class Batch:
    """One global batch, or some rows of it.

    Attributes:
        src_BS: source ids: target-language tag, text, end; right-padded with the pad id.
        tgt_BT: decoder input ids: begin, text; right-padded.
        out_BT: decoder output ids: text, end; right-padded.
        direction_B: index of each row's direction in the plan's list; -1 for an all-padding row.
        shape: of these tensors.
        tokens: real target tokens of the *global* batch, whichever rows are held here.
    """

    src_BS: "Tensor"
    tgt_BT: "Tensor"
    out_BT: "Tensor"
    direction_B: "Tensor"
    shape: Shape
    tokens: int


class Ragged(NamedTuple):
    """Several id sequences in one array: sequence i is values[offsets[i] : offsets[i + 1]]."""

    values: NDArray[np.int32]
    offsets: NDArray[np.int64]


class Slices(NamedTuple):
    """Several id sequences in one array, in any order: sequence i is values[starts_N[i] :
    starts_N[i] + lengths_N[i]]."""

    values: NDArray[Any]
    starts_N: NDArray[np.int64]
    lengths_N: NDArray[np.int32]


class Examples(Protocol):
    """All examples of one direction, numbered from 0. Ids are plain text pieces, no specials."""

    def __len__(self) -> int: ...

    def lengths(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """(source, target) pieces of these examples."""

    def tokens(self, rows: NDArray[np.int64]) -> tuple[Ragged, Ragged]:
        """(source, target) ids of these examples."""


class ManyExamples(Protocol):
    """All examples of some directions; which direction is told by its place among them."""

    def lengths(
        self, direction_N: NDArray[np.int64], example_N: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """(source, target) pieces of these examples."""

    def tokens(
        self, direction_N: NDArray[np.int64], example_N: NDArray[np.int64]
    ) -> tuple[Slices, Slices]:
        """(source, target) ids of these examples."""
