"""The parallel section of a recipe."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ParallelConfig:
    """How a step is computed. Changing it never changes what is computed.

    Attributes:
        microbatches: pieces a global batch is computed in, gradients accumulated.
        precision: of the matrix products; weights, moments and sums stay fp32.
        device: "auto" takes a GPU where there is one.
        threads: CPU threads of the math library; 0 leaves its default.
        compile: torch.compile the segments (pays on GPUs).
    """

    microbatches: int = 1
    precision: Literal["fp32", "bf16"] = "fp32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 0
    compile: bool = False

    def __post_init__(self) -> None:
        if self.microbatches < 1 or self.threads < 0:
            raise ValueError("need microbatches >= 1 and threads >= 0")
