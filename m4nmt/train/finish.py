"""From the end of training to the model folder: which weights, and what their card says.

Not its job: the format of the folder (checkpoint.model).
"""

import math
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from m4nmt.checkpoint.average import average
from m4nmt.checkpoint.card import CheckpointCard
from m4nmt.checkpoint.model import CARD, load_model, save_model
from m4nmt.core import ranks
from m4nmt.core.config import config_hash
from m4nmt.data.store import Store
from m4nmt.train.environment import code_name
from m4nmt.train.journal import Journal
from m4nmt.train.session import LONG, Session

Weights = dict[str, Tensor]
Load = Callable[[], Weights]


class Candidate(NamedTuple):
    """Weights that could become the model.

    Attributes:
        step: the newest training step in them.
        load: reads them on this rank; None for the present weights.
        dev_loss: on the dev split, where measured.
    """

    name: str
    step: int
    load: Load | None = None
    dev_loss: float | None = None


class Writer:
    """Writes model folders of one run.

    Args:
        name: of the run.
        config: the resolved recipe as plain data, the tokenizer's size filled in.
    """

    def __init__(self, name: str, config: dict[str, Any], store: Store) -> None:
        self.name = name
        self.config = config
        self.store = store

    def write(self, folder: Path, load: Load, step: int) -> None:
        """See `checkpoint.model.save_model`. The leader writes; every rank calls.

        Args:
            load: gives the weights; called on every rank, used on the leader.
        """
        weights = load()
        ranks.led(lambda: self._write(folder, weights, step))

    def _write(self, folder: Path, weights: Weights, step: int) -> None:
        store = self.store
        card = CheckpointCard(
            name=self.name,
            step=step,
            config=self.config,
            config_sha256=config_hash(self.config),
            tokenizer_sha256=store.tokenizer.sha256,
            directions=tuple(str(d) for d in store.translated),
            languages=store.tokenizer.languages,
            code=code_name(),
            data={
                "fingerprint": store.fingerprint,
                "licences": store.licences,
                "corpora": list(store.corpora("train")),
            },
        )
        save_model(folder, weights, card, store.out / "tokenizer")


def final_model(session: Session, writer: Writer, choose: str, compare: bool) -> Path:
    """Write `run/model` from the candidate that `choose` names; the last where there is no such
    (or where "lowest" is wanted and nothing was measured).

    Args:
        compare: also measure every candidate on the dev split, for the journal.

    Raises:
        OSError: the disk's fault; an older model folder stands.
    """
    session.alive(LONG)
    candidates = _candidates(session)
    if compare:
        candidates = [_measured(session, candidate) for candidate in candidates]
    by_name = {candidate.name: candidate for candidate in candidates}
    measured = [c for c in candidates if c.dev_loss is not None and math.isfinite(c.dev_loss)]
    if measured:
        by_name["lowest"] = min(measured, key=lambda c: c.dev_loss or 0.0)
    chosen = by_name.get(choose, by_name["last"])
    folder = session.folder / "model"
    engine = session.state.trainer.engine
    session.alive(LONG)
    writer.write(folder, chosen.load or engine.full_weights, chosen.step)
    session.journal.write(
        "model",
        session.state.step,
        wish=choose,
        chosen=chosen.name,
        weights_of_step=chosen.step,
        dev_loss={c.name: c.dev_loss for c in candidates if c.dev_loss is not None},
    )
    return folder


def is_final(journal: Journal, step: int, choose: str, folder: Path) -> bool:
    """Whether the model folder was written at this step, by this choice, after the last save."""
    told = [e for e in journal.events() if e["event"] in ("saved", "model")]
    wanted = {"event": "model", "step": step, "wish": choose}
    return bool(told) and wanted.items() <= told[-1].items() and (folder / CARD).is_file()


def _candidates(session: Session) -> list[Candidate]:
    state = session.state
    found = [Candidate("last", state.step)]
    newest = state.snapshots.newest()
    if len(newest) > 1:
        found.append(Candidate("average", int(newest[-1].name[5:]), lambda: average(newest)))
    best = state.stopping.best_step
    folder = state.snapshots.folder(best)
    if best and ranks.told(folder.exists()):
        found.append(Candidate("best", best, lambda: load_model(folder).weights))
    return found


def _measured(session: Session, candidate: Candidate) -> Candidate:
    engine = session.state.trainer.engine
    with engine.replaced_weights(candidate.load()) if candidate.load else nullcontext():
        found = session.validation()
    return candidate._replace(dev_loss=found["loss"]) if found else candidate
