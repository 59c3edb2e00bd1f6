"""A run from recipe to model folder: prepare, resume, train, finish.

    run/config.json        the recipe, as it was resolved
    run/environment.json   versions, hardware, code
    run/data/              tokenizer and token store (prepare)
    run/journal.jsonl      what happened; run/metrics.jsonl, run/tensorboard/: what was measured
    run/checkpoints/       training state; run/snapshots/: models to average, and the best
    run/model/             the model, written at the end and whenever training stops

Not its job: the loop (session), a step (trainer).
"""

import json
import logging
import math
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from m4nmt import optim
from m4nmt.checkpoint.load import Found
from m4nmt.checkpoint.manifest import folder_name
from m4nmt.core import ranks
from m4nmt.core.config import ConfigError, to_dict
from m4nmt.core.files import folder_lock, write_atomic
from m4nmt.core.progress import console
from m4nmt.core.ranks import RankError
from m4nmt.data.loader import Loader, LoaderState
from m4nmt.data.prepare import prepare
from m4nmt.data.store import Store, StoreError
from m4nmt.model.settings import ModelConfig
from m4nmt.optim import schedule
from m4nmt.parallel.apply import parallelize
from m4nmt.parallel.offload import moments
from m4nmt.parallel.watchdog import Watchdog
from m4nmt.parallel.world import World, joined
from m4nmt.train import clip, environment, finish, records
from m4nmt.train.bands import BANDS, bands
from m4nmt.train.guard import Guard
from m4nmt.train.identity import Identity
from m4nmt.train.interval import Interval
from m4nmt.train.journal import Journal
from m4nmt.train.loss import CrossEntropy
from m4nmt.train.rewind import History, where
from m4nmt.train.session import Data, Session, Status
from m4nmt.train.settings import RunConfig
from m4nmt.train.signals import wish_to_stop
from m4nmt.train.snapshots import Snapshots
from m4nmt.train.state import State
from m4nmt.train.trainer import Trainer
from m4nmt.train.validate import Stopping

log = logging.getLogger(__name__)
PREPARING = timedelta(days=7)  # that other ranks wait for the leader to prepare the data


@dataclass(frozen=True)
class Outcome:
    """How a call of `train` ended.

    Attributes:
        status: "finished"; "stopped" by a signal, to be gone on with; "failed": message says why.
        step: steps taken.
        best: lowest validation loss, NaN where none was measured.
        model: the model folder.
    """

    status: Status
    step: int
    best: float
    model: Path
    message: str = ""


def train(config: RunConfig, run: Path, accept_changes: bool = False) -> Outcome:
    """Train a recipe in its run folder, or go on with what is there.

    Data are prepared if they are not. A run that was killed goes on from its newest good checkpoint
    and ends in the state, bit for bit on a CPU, in which it would have ended.

    Args:
        accept_changes: go on though recipe, data or tokenizer are no longer those of the folder;
            every change is logged.

    Raises:
        ConfigError: impossible options, or a recipe that is not the one of the folder.
        IdentityError: the folder's data or tokenizer are not those it was trained with.
        FolderLockedError: another process trains here.
        CheckpointError: there are checkpoints, but none can be read.
        HardwareError: a rank computes or holds something else than it should.
        TrainError: memory ran out again and again.
        LostRankError: another process is gone, or memory ran out on one of several: start again.
    """
    records.check(config.train.sinks)
    parallel = config.parallel
    alone = parallel.stages > 1 or bool(parallel.offload)  # torch wants a group for these
    with joined(parallel.device, parallel.timeout, always=alone) as world, ExitStack() as held:
        ranks.led(lambda: held.enter_context(folder_lock(run)))
        _speak_once(world)
        journal = Journal(run / "journal.jsonl", writes=world.leader)
        history, found = where(run, journal)
        previous = Identity.read(found.path) if found else None
        changes = previous.check_config(config, run, accept_changes) if previous else []
        store = _store(config, run, found is not None)
        if previous:
            changes += previous.check_store(store, run, accept_changes)
        identity = Identity.of(config, store, environment.describe())
        ranks.led(lambda: _describe(config, run, identity))
        if previous:
            changes += previous.environment_changes(identity.environment)
        _announce(journal, found, changes)
        return _train(config, run, store, history, found, identity, journal, world)


def _speak_once(world: World) -> None:
    """What all ranks would say alike, the leader says."""
    console.quiet = not world.leader
    if not world.leader:
        logging.getLogger("m4nmt").setLevel(logging.ERROR)


def _store(config: RunConfig, run: Path, resumed: bool) -> Store:
    """The store of a run. A resumed one is opened as it stands: the raw text may be gone.

    The leader prepares it, which may take hours, while the others wait.
    """
    folder = run / "data"
    if resumed:
        try:
            return Store.open(folder)
        except StoreError as error:
            log.warning("%s", error)
    ranks.shared("prepare", PREPARING).led(lambda: str(prepare(config.data, folder).out))
    return Store.open(folder)


def _describe(config: RunConfig, run: Path, identity: Identity) -> None:
    """Save the resolved recipe and the environment beside each other."""
    write_atomic(run / "config.json", json.dumps(to_dict(config), indent=1, ensure_ascii=False))
    hashes = {
        "config_sha256": identity.config_sha256,
        "tokenizer_sha256": identity.tokenizer_sha256,
        "data_fingerprint": identity.data,
    }
    text = json.dumps({**hashes, **identity.environment}, indent=1, ensure_ascii=False)
    write_atomic(run / "environment.json", text)


def _announce(journal: Journal, found: Found | None, changes: list[str]) -> None:
    if found is None:
        journal.write("started", 0)
        return
    journal.write("resumed", found.step, skipped=list(found.skipped), changes=changes)
    log.info("going on from step %d", found.step)
    for change in changes:
        log.info("changed: %s", change)


def _train(
    config: RunConfig,
    run: Path,
    store: Store,
    history: History,
    found: Found | None,
    identity: Identity,
    journal: Journal,
    world: World,
) -> Outcome:
    """Build the parts, train, write the model."""
    model = _model_config(config, store)
    writer = finish.Writer(config.name, {**to_dict(config), "model": to_dict(model)}, store)
    step = found.step if found else 0
    dog = Watchdog(
        world,
        run,
        config.parallel.timeout,
        lambda words: Journal(journal.path).write("hung", -1, message=words),
    )
    places = config.train.sinks if world.leader else ()
    sinks = records.build(places, config.name, run, step, len(history.rewinds))
    try:
        session = _session(config, model, run, store, journal, sinks, identity, writer, world)
        session.begin(history, found)
        with wish_to_stop() as wish, dog:
            session.alive = dog.alive
            status = session.run(wish)
            return _finish(config, session, writer, status)
    finally:
        sinks.close()


def _model_config(config: RunConfig, store: Store) -> ModelConfig:
    """The model section with the tokenizer's size.

    Raises:
        ConfigError: the recipe wants another one.
    """
    size = store.tokenizer.size
    if config.model.vocab not in (0, size):
        raise ConfigError(
            f"model.vocab is {config.model.vocab}, but the tokenizer that was made has {size} "
            "pieces; set model.vocab=0 to take its size"
        )
    return replace(config.model, vocab=size)


def _session(
    config: RunConfig,
    model: ModelConfig,
    run: Path,
    store: Store,
    journal: Journal,
    sinks: records.Sinks,
    identity: Identity,
    writer: finish.Writer,
    world: World,
) -> Session:
    """All parts of a run, at step 0."""
    settings = config.train
    loss = CrossEntropy(settings.label_smoothing, settings.z_loss)
    engine = parallelize(model, config.parallel, loss, settings.seed, world)
    _tell_rows(config, engine.data_world)
    zeros = moments(config.parallel.offload)
    optimizer = optim.build(config.optim, engine.named_parameters(), zeros)
    rate = schedule.build(config.schedule, config.optim.lr, model.dim, settings.steps)
    trainer = Trainer(engine, optimizer, rate, clip.build(settings.clip), Guard(settings.guard))
    band_of = bands({d: store.size(d) for d in store.directions})
    # what is validated has no tags, and may be trained with tags alone
    band_of = {d.plain: band for d, band in reversed(band_of.items())} | band_of
    loader = Loader(
        store,
        config.data,
        rank=engine.data_rank,
        world=engine.data_world,
        pieces=config.parallel.microbatches,
        workers=settings.workers,
        run_steps=settings.steps,
    )
    state = State(
        trainer,
        Interval(BANDS, [BANDS.index(band_of[d]) for d in store.directions]),
        Stopping(settings.early_stopping),
        Snapshots(
            run / "snapshots",
            lambda folder, step: writer.write(folder, engine.full_weights, step),
            settings.average,
        ),
        LoaderState(),
    )
    data = Data(store, config.data, loader, band_of)
    return Session(run, settings, data, state, journal, sinks, identity, world)


def _tell_rows(config: RunConfig, data_world: int) -> None:
    """Say where batches do not divide over ranks and micro-batches: padding is wasted work."""
    multiple, pieces = config.data.blocks.rows_multiple, data_world * config.parallel.microbatches
    if multiple % pieces:
        log.warning(
            "batches are filled up to a multiple of %d rows, for %d data-parallel ranks of %d "
            "micro-batches; a new run would waste less with data.blocks.rows_multiple=%d",
            pieces,
            data_world,
            config.parallel.microbatches,
            math.lcm(multiple, pieces),
        )


def _finish(config: RunConfig, session: Session, writer: finish.Writer, status: Status) -> Outcome:
    """Write the model folder, unless a finished run was only called again."""
    step, message = session.state.step, ""
    folder = session.folder / "model"
    if status == "failed":
        message = _gave_up(session)
        session.journal.write("failed", step, message=message)
        log.error("%s", message)
    if not ranks.told(finish.is_final(session.journal, step, config.train.choose, folder)):
        try:
            finish.final_model(session, writer, config.train.choose, status == "finished")
        except (OSError, RankError) as error:
            status, message = "failed", f"the model could not be written to {folder}: {error}"
            session.journal.write("failed", step, message=message)
            log.error("%s", message)
    best = session.state.stopping.best
    return Outcome(status, step, best if math.isfinite(best) else math.nan, folder, message)


def _gave_up(session: Session) -> str:
    saves = session.saves
    good = saves.root / folder_name(saves.newest) if saves.newest >= 0 else "none"
    return (
        f"step {session.state.step}: {session.failure} (see {session.journal.path}); last good "
        f"checkpoint: {good}. Lower optim.lr, lengthen the "
        "warm-up, or look at the directions that the journal names"
    )
