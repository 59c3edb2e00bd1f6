"""Evaluate a model: translate test sets, score every direction, write the report.

Directions are translated together, some thousand lines at a time, so that batches stay full.
Not its job: how a score is computed (score), or what a report looks like (report, html).
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from m4nmt.checkpoint.model import model_folder, write_scores
from m4nmt.core.config import ConfigError, from_dict
from m4nmt.core.files import write_atomic
from m4nmt.core.progress import progress
from m4nmt.core.stages import EvaluateConfig, SearchConfig
from m4nmt.data.store import Store, StoreError
from m4nmt.data.tokenizer import Tokenizer
from m4nmt.data.types import Direction
from m4nmt.evaluate.report import write
from m4nmt.evaluate.score import measures
from m4nmt.evaluate.testsets import Bitext, choose, from_store
from m4nmt.evaluate.types import DirectionScore, Report, Sample, decoding
from m4nmt.model.cost import parameters
from m4nmt.model.settings import ModelConfig
from m4nmt.train.bands import bands
from m4nmt.translate.document import one_line
from m4nmt.translate.translator import Translator
from m4nmt.translate.types import Translation

_TOGETHER = 4096  # lines handed to the translator at once


def evaluate(
    model: Path,
    config: EvaluateConfig | None = None,
    *,
    store: Path | None = None,
    sets: Sequence[Bitext] | None = None,
    out: Path | None = None,
    search: SearchConfig | None = None,
    translator: Translator | None = None,
    domain: str = "",
) -> Report:
    """Score a run or model folder and write its report.

    Args:
        config: what to score; None is what the model's card says.
        store: prepared data with the test sets and the sizes; None is the run's `data`.
        sets: other test sets; the scores are then not written to the model's card.
        out: folder of the report; None is the run's `report`.
        search: how to decode; None is the recipe's way.
        translator: already loaded; None loads the model.
        domain: that the model is told of every text; empty: none.

    Raises:
        DomainError: the model knows no such domain.
        ConfigError: no test data; says where it looked.
        ModelFolderError: no model, or a damaged one.
    """
    translator = translator or Translator.load(model)
    card = translator.card
    config = config or from_dict(EvaluateConfig, card.config.get("evaluate", {}))
    way = _Way(search or translator.search, domain)
    data = _open(store or model / "data")
    own = from_store(data, config.split) if data else []
    chosen = choose(own if sets is None else sets, config.directions)
    if not chosen:
        raise ConfigError(
            f"no {config.split} data in {store or model / 'data'}; evaluate a run folder with its "
            "prepared data, or name a test set"
        )
    out = out or model / "report"
    facts = _Facts.of(model, translator, data)
    scores, seconds = _scores(translator, chosen, config, way, facts, out)
    report = Report(
        card=card,
        parameters=facts.parameters,
        search=way.search,
        domain=domain,
        split=config.split,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(seconds, 1),
        licences=data.licences if data else dict(card.data.get("licences", {})),
        scores=scores,
    )
    write(report, out)
    if sets is None:
        attach(model, report)
    return report


def attach(model: Path, report: Report) -> None:
    """Write the scores to the card of the model, in the place of older ones.

    direction -> metric -> value (with the test set's name where there are several), and how they
    came about: split, decoding, date, signatures.
    """
    several = len(report.testsets) > 1
    scores: dict[str, Any] = defaultdict(dict)
    for score in report.scores:
        for metric in report.metrics:
            value = score.value(metric)
            if value is not None:
                name = f"{metric} {score.testset}" if several else metric
                scores[score.direction][name] = round(value, 2)
    scores["split"] = report.split
    scores["decoding"] = decoding(report)
    scores["date"] = report.date
    scores["signatures"] = list(report.signatures)
    write_scores(model, scores)


def _scores(
    translator: Translator,
    chosen: Sequence[Bitext],
    config: EvaluateConfig,
    way: "_Way",
    facts: "_Facts",
    out: Path,
) -> tuple[tuple[DirectionScore, ...], float]:
    """Translate and score everything; also the seconds that translating took."""
    scores: list[DirectionScore] = []
    seconds = 0.0
    with progress("evaluating", len(chosen)) as ticker:
        for group in _groups(chosen, config.sentences):
            begun = time.monotonic()
            outputs = _translate(translator, group, way)
            seconds += time.monotonic() - begun
            for item, translations in zip(group, outputs, strict=True):
                scores.append(_score(item, translations, config, facts))
                _keep(out, item, translations)
                ticker.advance(1, _note(scores[-1]))
    return tuple(scores), seconds


class _Way(NamedTuple):
    """How lines are translated."""

    search: SearchConfig
    domain: str


class _Item(NamedTuple):
    """A test set with its lines."""

    set: Bitext
    sources: list[str]
    references: list[str]


class _Facts(NamedTuple):
    """What is known of the model and its training; sizes and bands only of trained directions."""

    pieces: Tokenizer
    parameters: int
    trained: frozenset[Direction]
    sizes: Mapping[Direction, int]
    bands: Mapping[Direction, str]

    @classmethod
    def of(cls, model: Path, translator: Translator, data: Store | None) -> "_Facts":
        """From the model folder and, where it is there, the store."""
        trained = frozenset(d for d in translator.directions if d.task == "translate")
        sizes = {d: n for d in trained if (n := data.size(d))} if data else {}
        pieces = Tokenizer.load(model_folder(model))
        size = parameters(from_dict(ModelConfig, translator.card.config["model"]))
        return cls(pieces, size, trained, sizes, bands(sizes))


def _open(folder: Path) -> Store | None:
    """The prepared data there, if any."""
    try:
        return Store.open(folder)
    except StoreError:
        return None


def _groups(sets: Sequence[Bitext], sentences: int) -> Iterator[list[_Item]]:
    """Test sets in order, read, some thousand lines together."""
    group: list[_Item] = []
    lines = 0
    for item in sets:
        sources, references = item.read()
        if sentences:
            sources, references = sources[:sentences], references[:sentences]
        if not sources:
            continue
        group.append(_Item(item, sources, references))
        lines += len(sources)
        if lines >= _TOGETHER:
            yield group
            group, lines = [], 0
    if group:
        yield group


def _translate(
    translator: Translator, group: Sequence[_Item], way: _Way
) -> list[list[Translation]]:
    """The best translation of every line, by test set. A line is a unit, as it was in training."""
    texts = [text for item in group for text in item.sources]
    src = [item.set.direction.src for item in group for _ in item.sources]
    tgt = [item.set.direction.tgt for item in group for _ in item.sources]
    found = translator.translate(
        texts, src, tgt, way.search, split=False, guard=None, domain=way.domain
    )
    best = [options[0] for options in found]
    out, start = [], 0
    for item in group:
        out.append(best[start : start + len(item.sources)])
        start += len(item.sources)
    return out


def _score(
    item: _Item,
    translations: Sequence[Translation],
    config: EvaluateConfig,
    facts: _Facts,
) -> DirectionScore:
    outputs = [one_line(translation.text) for translation in translations]
    direction = item.set.direction
    found = {
        name: measure(outputs, item.references)
        for name, measure in measures(
            config.metrics, direction.tgt, facts.pieces, config.bootstrap
        ).items()
    }
    trained = direction in facts.trained
    return DirectionScore(
        direction=str(direction),
        testset=item.set.name,
        sentences=len(outputs),
        **{name: round(measured.value, 4) for name, measured in found.items()},
        interval=_rounded(found["bleu"].interval) if "bleu" in found else None,
        signatures={name: measured.signature for name, measured in found.items()},
        trained=trained,
        pairs=facts.sizes.get(direction, -1) if trained else 0,
        band=facts.bands.get(direction, ""),
        cut=sum(not translation.finished for translation in translations),
        empty=sum(not output for output in outputs),
        samples=_samples(item, outputs, config.samples),
    )


def _rounded(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if interval is None else (round(interval[0], 4), round(interval[1], 4))


def _samples(item: _Item, outputs: Sequence[str], count: int) -> tuple[Sample, ...]:
    """`count` lines, evenly spread over the test set."""
    total = len(outputs)
    lines = sorted({(2 * i + 1) * total // (2 * count) for i in range(min(count, total))})
    return tuple(
        Sample(line=i + 1, source=item.sources[i], reference=item.references[i], output=outputs[i])
        for i in lines
    )


def _keep(out: Path, item: _Item, translations: Sequence[Translation]) -> None:
    """The outputs as a file, a line a line."""
    path = out / "hypotheses" / item.set.name / f"{item.set.direction}.txt"
    write_atomic(path, "".join(f"{one_line(t.text)}\n" for t in translations))


def _note(score: DirectionScore) -> str:
    value = next((v for m in ("bleu", "chrf", "spbleu") if (v := score.value(m)) is not None), 0.0)
    return f"{score.direction} {value:.1f}"
