"""What a run will draw, before it starts: size, share and epochs of each direction, and warnings.

How often data may be repeated: up to about 4 epochs repeated text is worth nearly as much as new,
at about 16 half of it is lost, beyond 40 nothing is gained (Muennighoff et al. 2023, "Scaling
data-constrained language models", measured on English language models; for translation take it as
a hint). So a direction is marked when it is repeated more than REPEATED times and has at least an
even share of the run, and above EXHAUSTED whatever its share.
Not its job: computing shares (mixture.py, plan.py).
"""

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from m4nmt.core.config import ConfigError
from m4nmt.data import manifest
from m4nmt.data.directions import select
from m4nmt.data.settings import DataConfig
from m4nmt.data.store import Store
from m4nmt.data.stream.plan import Plan, Source

REPEATED = 8.0
EXHAUSTED = 40.0
_SHOWN = 60


@dataclass(frozen=True)
class Row:
    """The plan of one direction.

    Attributes:
        direction: as text.
        size: training examples there are.
        share: of all examples drawn in the run.
        epochs: how often each of its examples is drawn, on average.
        warning: empty, or what may be wrong.
    """

    direction: str
    size: int
    share: float
    epochs: float
    warning: str


def table(store: Source, config: DataConfig, steps: int) -> list[Row]:
    """A row per direction of `store.directions`, for a run of so many batches.

    The number of examples is an estimate, read off the first block of each phase.

    Raises:
        ConfigError: impossible options of the mixture.
    """
    plan = Plan(store, config, steps)
    drawn_D = plan.quotas.before(plan.run_blocks)
    share_D = drawn_D / drawn_D.sum()
    epochs_D = share_D * plan.run_examples / plan.sizes_D.clip(1)
    even = 1 / len(plan.directions)
    return [
        Row(str(direction), size, share, epochs, _warning(share, epochs, even))
        for direction, size, share, epochs in zip(
            plan.directions, plan.sizes_D.tolist(), share_D.tolist(), epochs_D.tolist(), strict=True
        )
    ]


def check(store: Store, config: DataConfig) -> None:
    """See that a store was prepared for the directions of a recipe; nothing is said where the
    corpora are no longer at hand.

    Raises:
        ConfigError: it was not, or the recipe asks for what the corpora do not have.
    """
    try:
        corpora = manifest.load(config.manifest, config.root)
    except (ConfigError, ValueError):
        return
    wanted, there = set(select(corpora, config.directions, config.tasks).trained), set(store.asked)
    if other := sorted(wanted ^ there):
        what = "wants" if other[0] in wanted else "does not want"
        raise ConfigError(
            f"{store.out} was prepared for other directions: {len(there)}, not {len(wanted)}; the "
            f"recipe {what} {other[0]}. Run m4nmt prepare with the same options first"
        )


def _warning(share: float, epochs: float, even: float) -> str:
    if share == 0:
        return "never drawn"
    if epochs > EXHAUSTED:
        return f"each example {epochs:.0f} times: hardly anything new after {EXHAUSTED:.0f}"
    if epochs > REPEATED and share >= even:
        return f"each example {epochs:.0f} times, at a large share: give it less, or add data"
    return ""


def to_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as plain data."""
    return [asdict(row) for row in rows]


def to_text(rows: Sequence[Row]) -> str:
    """A table for people: all directions, or the largest and smallest where there are many."""
    ranked = sorted(rows, key=lambda row: (-row.size, row.direction))
    hidden = max(0, len(ranked) - _SHOWN)
    cut = _SHOWN // 2 if hidden else len(ranked)
    view = Table(box=None, pad_edge=False)
    for column in ("direction", "examples", "share", "epochs", "warning"):
        right = column in ("examples", "share", "epochs")
        view.add_column(column, justify="right" if right else "left", no_wrap=column == "direction")
    for place, row in enumerate(ranked):
        if place == cut and hidden:
            view.add_row(f"... {hidden} more", "", "", "", "")
        if place < cut or place >= cut + hidden:
            view.add_row(
                row.direction, f"{row.size:,}", f"{row.share:.3%}", f"{row.epochs:.2f}", row.warning
            )
    warned = sum(bool(row.warning) for row in rows)
    total = sum(row.size for row in rows)
    stream = io.StringIO()
    console = Console(file=stream, width=120, highlight=False)
    console.print(view)
    console.print(f"{len(rows)} directions, {total:,} examples, {warned} with a warning")
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())
