"""Teacher-forced scores against the whole softmax, and against what searches say."""

import pytest
import torch
from translate_models import BOS, CONFIGS, EOS, build, pad, sources

from m4nmt.core.stages import SearchConfig
from m4nmt.model.flow import Tokens
from m4nmt.translate import scoring
from m4nmt.translate.batching import pack
from m4nmt.translate.decoder import Symbols, length_penalty
from m4nmt.translate.engine import Native

CPU = torch.device("cpu")
SYMBOLS = Symbols(bos=BOS, eos=EOS, forbidden=(0, 1, 2))


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("budget", [1, 30, 10_000])
def test_scores_are_those_of_the_whole_softmax(name: str, budget: int) -> None:
    model = build(name)
    rows, targets = sources(1, (5, 3, 8)), sources(2, (4, 9, 1))
    found = scoring.score(model, rows, targets, BOS, budget, CPU)
    for row, target, scores in zip(rows, targets, found, strict=True):
        with torch.inference_mode():
            logits = model(Tokens(pad([row]), torch.tensor([[BOS, *target[:-1]]]))).x[0]
        expected = logits.log_softmax(-1).gather(1, torch.tensor(target)[:, None])[:, 0]
        assert scores == pytest.approx(expected.tolist(), abs=1e-5)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("classic")
    rows, targets = sources(1, (5, 3, 8)), sources(2, (4, 9, 1))
    whole = scoring.score(model, rows, targets, BOS, 999, CPU)
    monkeypatch.setattr(scoring, "_CHUNK", 3)
    cut = scoring.score(model, rows, targets, BOS, 999, CPU)
    for a, b in zip(whole, cut, strict=True):
        assert a == pytest.approx(b, abs=1e-6)


@pytest.mark.parametrize("sample", [False, True])
@pytest.mark.parametrize("name", CONFIGS)
def test_what_a_search_says_is_what_teacher_forcing_says(name: str, sample: bool) -> None:
    engine = Native(build(name), SYMBOLS)
    rows = sources(6, (5, 2, 9, 7))
    config = SearchConfig(beam=3, n_best=3, sample=sample, length_alpha=0.6, batch_tokens=60)
    found = engine.decode(rows, [11, 4, 20, 7], config)
    flat = [(row, h) for row, hypotheses in zip(rows, found, strict=True) for h in hypotheses]
    forced = engine.score([row for row, _ in flat], [h.tokens for _, h in flat], 50)
    assert len(flat) >= 8
    for (_, h), scores in zip(flat, forced, strict=True):
        assert h.logp == pytest.approx(scores, abs=1e-5)
        assert h.score == pytest.approx(sum(scores) / length_penalty(len(h.tokens), 0.6), abs=1e-5)


def test_a_wrong_source_scores_otherwise() -> None:
    """The control: scores that ignored the source would pass for right above."""
    model = build("classic")
    rows, targets = sources(1, (5, 5)), sources(2, (4, 4))
    right = scoring.score(model, rows, targets, BOS, 999, CPU)
    wrong = scoring.score(model, rows[::-1], targets, BOS, 999, CPU)
    assert sum(right[0]) != pytest.approx(sum(wrong[0]), abs=1e-2)


def test_nothing_to_score_and_rows_that_cannot_be() -> None:
    model = build("classic")
    assert scoring.score(model, [], [], BOS, 9, CPU) == []
    with pytest.raises(ValueError, match="without tokens"):
        scoring.score(model, [[EOS]], [[]], BOS, 9, CPU)
    with pytest.raises(ValueError):
        scoring.score(model, [[EOS]], [[EOS], [EOS]], BOS, 9, CPU)


@pytest.mark.parametrize(
    ("lengths", "beam", "budget"), [([], 4, 10), ([5, 1, 9, 9, 2, 30, 0], 2, 40), ([3] * 50, 4, 99)]
)
def test_groups_hold_everything_once_and_keep_to_the_budget(
    lengths: list[int], beam: int, budget: int
) -> None:
    groups = pack(lengths, beam, budget)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    for group in groups:
        longest = max(lengths[i] for i in group)
        assert len(group) == 1 or len(group) * beam * longest <= budget
    order = [lengths[i] for group in groups for i in group]
    assert order == sorted(order, reverse=True)
    if budget == 99:
        assert len(groups[0]) == 8, "groups as full as the budget allows"
