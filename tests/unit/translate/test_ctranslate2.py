"""CTranslate2 as an engine against the native one: tokens, scores, limits, refusals."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from translate_models import BOS, CONFIGS, EOS, VOCAB, sources

from m4nmt.core.stages import SearchConfig
from m4nmt.exchange.ctranslate2 import Reading, Words, specification
from m4nmt.model import init, translation
from m4nmt.model.settings import AttentionConfig, DeepNorm, LayerConfig, ModelConfig, Rotary
from m4nmt.model.translation import TranslationModel
from m4nmt.translate.constraints import Constraint
from m4nmt.translate.ctranslate2 import CTranslate2
from m4nmt.translate.decoder import CancelledError, Hypothesis, Symbols
from m4nmt.translate.engine import Native

pytest.importorskip("ctranslate2")

SYMBOLS = Symbols(BOS, EOS, (0, 1, 2, 4, 5), frozenset({4, 5}))
PIECES = ("<pad>", "<unk>", "<s>", "</s>", *(f"w{i}" for i in range(4, VOCAB)))

_both = (
    LayerConfig(
        attention=AttentionConfig(heads=4, kv_heads=1, qk_norm=True, head_dim=6),
        residual=DeepNorm(),
        norm="rms",
    ),
) * 2
MODELS: dict[str, tuple[ModelConfig, int]] = {  # with seeds of models that say this and that
    "classic": (CONFIGS["classic"], 4),
    "modern": (CONFIGS["modern"], 8),
    "learned": (CONFIGS["learned"], 5),
    "biased": (CONFIGS["biased"], 2),
    "deep": (
        replace(CONFIGS["classic"], encoder=_both, decoder=_both, position=Rotary(), soft_cap=20.0),
        6,
    ),
}


def materialised(config: ModelConfig, seed: int) -> TranslationModel:
    """A model whose random weights are spread out, so that it is sure of what it says."""
    model = translation.build(config)
    init.materialise(model, "cpu", seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.canonical_parameters().values():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.eval()


def sure(name: str) -> TranslationModel:
    return materialised(*MODELS[name])


def discouraged(name: str) -> TranslationModel:
    """A model that says next to nothing forbidden, as trained ones do: its forbidden words point
    away from where the states of its head go."""
    model = sure(name)
    with torch.no_grad():
        head = model.get_submodule("head")
        if hasattr(head.norm, "bias"):
            direction = torch.nn.functional.normalize(torch.ones(16), dim=0)
            head.norm.bias += 4 * direction
            head.table[[*SYMBOLS.forbidden]] = -3 * direction
            head.table[EOS] += 0.15 * direction
        else:
            head.table[[*SYMBOLS.forbidden]] = 0.0
            head.table *= 2.5
    return model


def export(model: TranslationModel, folder: Path, quantization: str = "float32") -> CTranslate2:
    weights = {name: p.detach() for name, p in model.canonical_parameters().items()}
    words = Words(PIECES, *PIECES[1:4])
    spec = specification(model.config, weights, words, 128)
    spec.optimize(quantization)
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    shift = Reading.of(model.config).shift
    return CTranslate2(folder, PIECES, SYMBOLS, 128, threads=1, shift=shift)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Native, CTranslate2]]:
    made = {}
    for name in MODELS:
        model = discouraged(name)
        made[name] = (
            Native(model, SYMBOLS),
            export(model, tmp_path_factory.mktemp("export") / name),
        )
    return made


def agree(
    ours: Sequence[Sequence[Hypothesis]], theirs: Sequence[Sequence[Hypothesis]]
) -> list[int]:
    """Numbers of the sentences whose hypotheses have other tokens; scores must agree in all."""
    apart = []
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if [(h.tokens, h.finished) for h in a] != [(h.tokens, h.finished) for h in b]:
            apart.append(i)
        assert [h.score for h in b] == pytest.approx([h.score for h in a], abs=1e-4, rel=2e-5)
    return apart


ROWS = sources(1, [2, 3, 4, 4, 5, 6, 7, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 20, 25])
CONFIGURATIONS = (
    SearchConfig(beam=1),
    SearchConfig(beam=4),
    SearchConfig(beam=4, length_alpha=0.0, batch_tokens=100),
    SearchConfig(beam=5, length_alpha=0.6, n_best=5),
    SearchConfig(beam=3, length_alpha=-0.5, n_best=2, batch_tokens=300),
)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("number", range(len(CONFIGURATIONS)))
def test_the_same_hypotheses_and_scores(
    name: str, number: int, pairs: dict[str, tuple[Native, CTranslate2]]
) -> None:
    native, engine = pairs[name]
    limits = [2 * len(row) + 3 for row in ROWS]
    config = CONFIGURATIONS[number]
    ours = native.decode(ROWS, limits, config)
    assert agree(ours, engine.decode(ROWS, limits, config)) == []
    assert len({h.tokens for best in ours for h in best}) > 5


@pytest.mark.parametrize("name", ["classic", "modern"])
@pytest.mark.parametrize("beam", [1, 4])
def test_limits_are_each_sentences_own(
    name: str, beam: int, pairs: dict[str, tuple[Native, CTranslate2]]
) -> None:
    native, engine = pairs[name]
    limits = [1 + i % 6 for i in range(len(ROWS))]
    config = SearchConfig(beam=beam, n_best=beam)
    ours, theirs = (e.decode(ROWS, limits, config) for e in (native, engine))
    assert agree(ours, theirs) == []
    for best, limit in zip(theirs, limits, strict=True):
        assert all(len(h.tokens) <= limit for h in best)
    cut = sum(not best[0].finished for best in theirs)
    assert cut > 0
    assert all(
        len(b[0].tokens) == n for b, n in zip(theirs, limits, strict=True) if not b[0].finished
    )


def test_a_greedy_translation_that_meets_its_limit_is_searched_once(
    pairs: dict[str, tuple[Native, CTranslate2]], monkeypatch: pytest.MonkeyPatch
) -> None:
    native, other = pairs["classic"]
    searched: list[int] = []
    search = CTranslate2._search

    def noted(self: CTranslate2, run: Any, jobs: Any) -> Any:
        for job in jobs:
            searched.extend(job.group)
            yield from search(self, run, [job])

    monkeypatch.setattr(CTranslate2, "_search", noted)
    limits, config = [2 + i % 5 for i in range(len(ROWS))], SearchConfig(beam=1)
    ours = native.decode(ROWS, limits, config)
    cut = [i for i, (best,) in enumerate(ours) if not best.finished]
    assert len(cut) > 5
    assert not agree(ours, other.decode(ROWS, limits, config))
    assert sorted(searched) == list(range(len(ROWS)))


def test_a_model_that_likes_what_is_forbidden_says_none_of_it(tmp_path: Path) -> None:
    model = sure("classic")
    native, engine = Native(model, SYMBOLS), export(model, tmp_path)
    limits = [len(row) + 5 for row in ROWS]
    for beam in (1, 4):
        config = SearchConfig(beam=beam)
        theirs = engine.decode(ROWS, limits, config)
        assert all(best for best in theirs)
        for row, [best] in zip(ROWS, theirs, strict=True):
            assert not {*best.tokens} & {*SYMBOLS.forbidden}
            [logp] = native.score([row], [best.tokens], 999)
            lp = ((5 + len(best.tokens)) / 6) ** config.length_alpha
            assert best.score == pytest.approx(sum(logp) / lp, abs=1e-4)
        if beam == 1:
            assert agree(native.decode(ROWS, limits, config), theirs) == []


def test_what_is_forbidden_but_likely_changes_next_to_nothing(tmp_path: Path) -> None:
    model = discouraged("learned")
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        noise = 0.5 * torch.randn(len(SYMBOLS.forbidden), 16, generator=generator)
        model.get_submodule("head").table[[*SYMBOLS.forbidden]] = noise - 0.25
    native, engine = Native(model, SYMBOLS), export(model, tmp_path)
    rows = sources(7, [3 + i % 20 for i in range(100)])
    limits, config = [2 * len(row) + 3 for row in rows], SearchConfig(beam=4)
    ours, theirs = (e.decode(rows, limits, config) for e in (native, engine))
    same = sum(a.tokens == b.tokens for [a], [b] in zip(ours, theirs, strict=True))
    assert same >= 97  # where the probability of what is forbidden decides, they may differ


def test_what_is_forbidden_ends_a_hypothesis(tmp_path: Path) -> None:
    engine, asked = export(discouraged("classic"), tmp_path), []

    class Recorder:
        def translate_batch(self, rows: object, **options: list[str]) -> None:
            asked.append(options["end_token"])
            raise RuntimeError("enough")

    engine._translator = Recorder()
    with pytest.raises(RuntimeError, match="enough"):
        engine.decode(ROWS, [9] * len(ROWS), SearchConfig(beam=4))
    assert {*asked[0]} == {PIECES[i] for i in (EOS, *SYMBOLS.forbidden)}


def test_scores_of_given_targets(pairs: dict[str, tuple[Native, CTranslate2]]) -> None:
    targets = [*sources(2, [30, 1, *range(2, 20)])]
    targets[3] = targets[3][:-1]  # one that was cut
    for native, engine in pairs.values():
        ours, theirs = (e.score(ROWS, targets, 100) for e in (native, engine))
        assert [len(x) for x in theirs] == [len(x) for x in targets]
        for a, b in zip(ours, theirs, strict=True):
            assert b == pytest.approx(a, abs=1e-4)
    with pytest.raises(ValueError, match="row without tokens"):
        engine.score([[]], [[3]], 100)


def test_nothing_and_tags_alone(pairs: dict[str, tuple[Native, CTranslate2]]) -> None:
    native, engine = pairs["classic"]
    config = SearchConfig(beam=4)
    assert engine.decode([], [], config) == []
    assert engine.score([], [], 100) == []
    alone = [[4, EOS], [6, EOS]]
    assert agree(native.decode(alone, [5, 5], config), engine.decode(alone, [5, 5], config)) == []
    with pytest.raises(ValueError, match="tag and an end"):
        engine.decode([[EOS]], [5], config)
    assert engine.positions == 128


def test_eight_bits_differ_a_bit(tmp_path: Path) -> None:
    model = discouraged("classic")
    exact, small = export(model, tmp_path / "a"), export(model, tmp_path / "b", "int8")
    scores = [e.score(ROWS, ROWS, 999) for e in (exact, small)]
    apart = [abs(a - b) for x, y in zip(*scores, strict=True) for a, b in zip(x, y, strict=True)]
    assert 1e-5 < sum(apart) / len(apart) < 0.1
    assert all(small.decode(ROWS, [20] * len(ROWS), SearchConfig(beam=2)))


def test_cancelling(
    pairs: dict[str, tuple[Native, CTranslate2]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, engine = pairs["classic"]
    asked = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 3

    each = SearchConfig(beam=4, batch_tokens=1)
    with pytest.raises(CancelledError):
        engine.decode(ROWS, [40] * len(ROWS), each, cancelled)
    assert len(asked) == 4
    assert engine.decode(ROWS, [40] * len(ROWS), each, lambda: False)
    with monkeypatch.context() as patch:  # nothing is begun for a caller who has left
        patch.setattr(engine, "_translator", None)
        with pytest.raises(CancelledError):
            engine.decode(ROWS, [40] * len(ROWS), SearchConfig(beam=4), lambda: True)


def test_draws_are_not_ctranslate2s(
    pairs: dict[str, tuple[Native, CTranslate2]], tmp_path: Path
) -> None:
    native, engine = pairs["classic"]
    config = SearchConfig(sample=True, beam=3, n_best=3)
    with pytest.raises(ValueError, match="give the model folder instead"):
        engine.decode(ROWS, [9] * len(ROWS), config)
    export(discouraged("classic"), tmp_path)
    able = CTranslate2(tmp_path, PIECES, SYMBOLS, None, threads=1, native=lambda: native)
    ours = native.decode(ROWS, [9] * len(ROWS), config)
    assert able.decode(ROWS, [9] * len(ROWS), config) == ours


def test_constraints_are_left_to_the_native_engine(
    pairs: dict[str, tuple[Native, CTranslate2]], tmp_path: Path
) -> None:
    native, engine = pairs["classic"]
    limits, config = [12] * len(ROWS), SearchConfig(beam=3)
    free, bound = [Constraint()] * len(ROWS), [Constraint(prefix=(9, 8))] * len(ROWS)
    assert engine.decode(ROWS, limits, config, None, free) == engine.decode(ROWS, limits, config)
    with pytest.raises(ValueError, match="give the model folder instead"):
        engine.decode(ROWS, limits, config, None, bound)
    export(discouraged("classic"), tmp_path)
    able = CTranslate2(tmp_path, PIECES, SYMBOLS, None, threads=1, native=lambda: native)
    found = able.decode(ROWS, limits, config, None, bound)
    assert all(best.tokens[:2] == (9, 8) for [best] in found)


@pytest.mark.parametrize("depth", [1, 5])
def test_alignments(depth: int, tmp_path: Path) -> None:
    base = CONFIGS["classic"]
    config = replace(base, decoder=base.decoder[:1] * depth)
    model = materialised(config, 1)
    targets = [row[:-1] for row in sources(5, [4, 1, 9, *[7] * 17])]
    native, engine = Native(model, SYMBOLS), export(model, tmp_path)
    rows = [[*(4, 5)[: i % 3], *(max(6, x) for x in r[:-1]), EOS] for i, r in enumerate(ROWS)]
    pairs = native.align(rows, targets, 50)
    assert engine.align(rows, targets, 50) == pairs
    texts = [[x for x in row[:-1] if x > 5] for row in rows]
    assert {len(row) - len(text) for row, text in zip(rows, texts, strict=True)} == {1, 2, 3}
    assert all(s < len(text) for text, found in zip(texts, pairs, strict=True) for s, _ in found)
    assert engine.align([[4, EOS], [4, 5, EOS]], [[7]] * 2, 50) == [(), ()]


def test_numbers_that_are_not_finite(tmp_path: Path) -> None:
    model = discouraged("classic")
    with torch.no_grad():
        model.get_submodule("head").norm.weight[0] = torch.nan
    engine = export(model, tmp_path)
    with pytest.raises(FloatingPointError, match="not finite"):
        engine.decode(ROWS, [9] * len(ROWS), SearchConfig(beam=2))


def test_threads_may_share_it(pairs: dict[str, tuple[Native, CTranslate2]]) -> None:
    _, engine = pairs["modern"]
    limits, config = [30] * len(ROWS), SearchConfig(beam=4, n_best=2)
    expected = engine.decode(ROWS, limits, config)
    found: dict[int, object] = {}

    def work(number: int) -> None:
        found[number] = engine.decode(ROWS, limits, config)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(agree(expected, found[i]) == [] for i in range(4))  # type: ignore[arg-type]
