"""The cache against no cache, and what it may not do."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from translate_models import BOS, CONFIGS, EOS, VOCAB, build, pad, sources

from m4nmt.core.stages import SearchConfig
from m4nmt.model.flow import PAD, Seen, Tokens
from m4nmt.model.translation import TranslationModel
from m4nmt.translate import cache as cache_module
from m4nmt.translate.cache import BLOCK, Cache
from m4nmt.translate.decoder import Hypothesis, Symbols
from m4nmt.translate.search import beam_search
from m4nmt.translate.stepper import Halves, Stepper

SYMBOLS = Symbols(bos=BOS, eos=EOS, forbidden=(0, 1, 2, 4, 5))
CPU = torch.device("cpu")


class Uncached:
    """A `Decoder` that runs the whole model on the whole prefix at every step."""

    def __init__(self, model: TranslationModel, src_BS: Tensor) -> None:
        self.model, self.src_RS = model, src_BS
        self.tgt_RT = torch.empty(len(src_BS), 0, dtype=torch.long)

    def step(self, last_R: Tensor) -> Tensor:
        self.tgt_RT = torch.cat((self.tgt_RT, last_R[:, None]), 1)
        return self.model(Tokens(self.src_RS, self.tgt_RT)).x[:, -1]

    def select(self, rows_R: Tensor, sentences_B: Tensor | None) -> None:
        self.src_RS, self.tgt_RT = self.src_RS[rows_R], self.tgt_RT[rows_R]


def run(decoder: Stepper | Uncached, limits: list[int], beam: int) -> list[list[Hypothesis]]:
    with torch.inference_mode():
        config = SearchConfig(beam=beam, n_best=beam)
        return beam_search(decoder, limits, config, SYMBOLS, CPU)


def same(a: list[list[Hypothesis]], b: list[list[Hypothesis]]) -> None:
    assert [[h.tokens for h in hs] for hs in a] == [[h.tokens for h in hs] for hs in b]
    for xs, ys in zip(a, b, strict=True):
        assert [h.score for h in xs] == pytest.approx([h.score for h in ys], abs=1e-5)


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("name", CONFIGS)
def test_cached_equals_uncached(name: str, beam: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "BLOCK", 4)  # so that the room grows
    model = build(name)
    rows = sources(5, (7, 3, 12, 1, 9))
    limits = [6, 25, 40, 8, 3]
    stepper = Stepper(Halves.of(model), pad(rows))
    found = run(stepper, limits, beam)
    same(found, run(Uncached(model, pad(rows)), limits, beam))
    assert max(len(h.tokens) for hs in found for h in hs) > 4


def test_a_cache_that_forgets_to_follow_its_beams_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control: without the choice of beams the comparison above must fail."""
    model = build("classic")
    rows = sources(5, (7, 3, 12, 1, 9))
    right = run(Stepper(Halves.of(model), pad(rows)), [20] * 5, 4)
    select = Cache.select

    def forgetful(cache: Cache, rows_R: Tensor, sentences_B: Tensor | None) -> None:
        beams = len(rows_R) // (cache._sentences if sentences_B is None else len(sentences_B))
        select(cache, rows_R // beams * beams, sentences_B)

    monkeypatch.setattr(Cache, "select", forgetful)
    wrong = run(Stepper(Halves.of(model), pad(rows)), [20] * 5, 4)
    assert [h.tokens for hs in right for h in hs] != [h.tokens for hs in wrong for h in hs]


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 99),
    order=st.permutations(range(5)),
    extra=st.integers(0, 5),
    beam=st.integers(1, 3),
    name=st.sampled_from(sorted(CONFIGS)),
)
def test_order_and_padding_of_the_batch_change_no_token(
    seed: int, order: list[int], extra: int, beam: int, name: str
) -> None:
    model = build(name, seed)
    rows, limits = sources(seed, (7, 2, 12, 1, 9)), [6, 25, 18, 8, 3]
    halves = Halves.of(model)
    alone = [run(Stepper(halves, pad([rows[i]])), [limits[i]], beam)[0] for i in range(5)]
    batch = pad([rows[i] for i in order], extra)
    together = run(Stepper(halves, batch), [limits[i] for i in order], beam)
    same(together, [alone[i] for i in order])


def greedy_margins(model: TranslationModel, row: list[int], tokens: tuple[int, ...]) -> list[float]:
    """Gap between the two likeliest allowed tokens at each step of a greedy translation."""
    tgt = torch.tensor([[BOS, *tokens[:-1]]])
    logits = model(Tokens(pad([row]), tgt)).x[0].float()
    logits[:, list(SYMBOLS.forbidden)] = -torch.inf
    best = logits.log_softmax(-1).topk(2).values
    return (best[:, 0] - best[:, 1]).tolist()


def differing(model: TranslationModel, batched: list[list[Hypothesis]]) -> list[float]:
    """Margins at which sentences decoded in a batch leave what they are alone."""
    rows = sources(3, range(2, 26))
    halves = Halves.of(model)
    gaps = []
    for row, [together] in zip(rows, batched, strict=True):
        [[alone]] = run(Stepper(halves, pad([row])), [20], 1)
        margins = greedy_margins(model, row, alone.tokens)
        pairs = zip(alone.tokens, together.tokens, margins, strict=False)
        gaps += [margin for a, b, margin in pairs if a != b][:1]
    return gaps


@torch.inference_mode()
def test_in_single_precision_tokens_change_only_below_the_margin() -> None:
    model = build("classic", 4, torch.float32)
    rows = sources(3, range(2, 26))
    together = run(Stepper(Halves.of(model), pad(rows, 3)), [20] * len(rows), 1)
    assert all(gap <= 1e-3 for gap in differing(model, together))


@torch.inference_mode()
def test_the_margin_rule_notices_padding_that_is_attended_to() -> None:
    """The control: pads that pass for words change tokens far above the margin."""
    model = build("classic", 4, torch.float32)
    rows = sources(3, range(2, 26))
    batch = pad(rows, 3).masked_fill_(pad(rows, 3) == PAD, 1)
    together = run(Stepper(Halves.of(model), batch), [20] * len(rows), 1)
    assert any(gap > 1e-3 for gap in differing(model, together))


def test_the_source_is_projected_once_a_sentence() -> None:
    calls = []

    def project() -> tuple[Tensor, Tensor]:
        calls.append(1)
        return torch.zeros(2, 1, 3, 4), torch.ones(2, 1, 3, 4)

    cache = Cache(2)
    for _ in range(3):
        _, v = cache.cross_attention("dec000", project)
    assert calls == [1]
    assert v.shape == (2, 1, 3, 4)
    cache.select(torch.tensor([1]), torch.tensor([1]))
    assert cache.cross_attention("dec000", project)[1].shape == (1, 1, 3, 4)


def pasts(seen: Seen, beams: int) -> list[Tensor]:
    """The keys [G,T,W] that each beam of each sentence sees, by position."""
    found = []
    for b in range(len(seen.k)):
        for i in range(beams):
            sight = torch.ones(seen.k.shape[2]).bool() if seen.mask is None else seen.mask[b, 0, i]
            keys = seen.k[b][:, sight]
            if seen.position_BS is not None:
                keys = keys[:, seen.position_BS[b][sight].argsort()]
            found.append(keys)
    return found


@settings(max_examples=60, deadline=None)
@given(data=st.data(), sentences=st.integers(1, 4))
def test_every_beam_sees_its_own_past(data: st.DataObject, sentences: int) -> None:
    cache, beams = Cache(sentences), 1
    expected = [torch.empty(2, 0, 3) for _ in range(sentences)]
    for step in range(data.draw(st.integers(1, 3 * BLOCK))):
        k = torch.randn(len(expected), 2, 1, 3)
        expected = [torch.cat((a, b), 1) for a, b in zip(expected, k, strict=True)]
        seen = cache.self_attention("dec000", k, -k)
        assert torch.equal(seen.v, -seen.k)
        assert all(map(torch.equal, pasts(seen, beams), expected))
        cache.advance(1)
        assert cache.offset == step + 1
        if data.draw(st.booleans()):
            stay = data.draw(st.permutations(range(sentences)))
            stay = stay[: data.draw(st.integers(1, sentences))]
            wide = data.draw(st.integers(1, 4))
            picks = st.lists(st.integers(0, beams - 1), min_size=wide, max_size=wide)
            rows = [b * beams + i for b in stay for i in data.draw(picks)]
            everyone = stay == list(range(sentences)) and data.draw(st.booleans())
            cache.select(torch.tensor(rows), None if everyone else torch.tensor(stay))
            expected = [expected[row] for row in rows]
            sentences, beams = len(stay), wide


def test_what_no_beam_sees_is_swept_out() -> None:
    """Beams of one parent, again and again: a long past takes hardly more room than its length."""
    cache = Cache(2)
    for step in range(20 * BLOCK):
        k = torch.randn(2 * (1 if step == 0 else 4), 1, 1, 1)
        columns = cache.self_attention("dec000", k, k).k.shape[2]
        cache.advance(1)
        cache.select(torch.arange(2).repeat_interleave(4) * (1 if step == 0 else 4), None)
    assert columns < 3 * 20 * BLOCK


def test_models_of_the_tests_are_sure_of_what_they_say() -> None:
    """Random models whose outputs ignore the source would make every test above pass."""
    for name in CONFIGS:
        model = build(name)
        [[a], [b]] = run(Stepper(Halves.of(model), pad(sources(8, (6, 6)))), [12, 12], 1)
        assert a.tokens != b.tokens, name
        assert max(a.tokens) < VOCAB
