"""Alignment and links of characters."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from translate_models import BOS, CONFIGS, EOS, build, pad, sources

from m4nmt.data.normalise import normalise
from m4nmt.model import attention as attention_module
from m4nmt.model.flow import Tokens
from m4nmt.translate import alignment
from m4nmt.translate.decoder import Symbols
from m4nmt.translate.spans import links, original, spans
from m4nmt.translate.types import Link

SYMBOLS = Symbols(BOS, EOS, (0, 1, BOS), frozenset({20, 21}))


@pytest.mark.parametrize("name", CONFIGS)
def test_the_weights_are_those_that_the_model_uses(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(name)
    src_BS, tgt_BT = pad(sources(1, (6, 4))), torch.randint(6, 30, (2, 5))
    found = alignment.attention(model, ["dec001"], src_BS, tgt_BT)
    assert torch.allclose(found.sum(2), torch.ones(2, 5, dtype=found.dtype))
    assert torch.all(found[1, :, 4:] == 0)
    # the model's own kernel, given the identity as values, gives its weights
    cross = model.get_submodule("dec001.cross")
    seen = []

    def kernel(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *a: object, **b: object):  # type: ignore[no-untyped-def]
        if len(seen) == 0 and k.shape[2] == 6 and q.shape[2] == 5:
            eye = torch.eye(6, dtype=q.dtype).expand(*k.shape[:2], 6, 6)
            seen.append(attend(q, k, eye, *a, **b).mean(1))
        return attend(q, k, v, *a, **b)

    attend = attention_module.attend

    def begin(*_: object) -> None:
        seen.clear()

    with cross.register_forward_pre_hook(begin):
        monkeypatch.setattr(attention_module, "attend", kernel)
        with torch.inference_mode():
            model(Tokens(src_BS, tgt_BT))
    assert torch.allclose(found, seen[0].to(found.dtype), atol=1e-6)


def test_rows_are_aligned_to_their_words_alone() -> None:
    aligner = alignment.Aligner(build("classic"), SYMBOLS)
    rows = [[20, 7, 8, 9, EOS], [20, EOS], [20, 11, EOS]]
    targets = [[9, 8], [7], []]
    found = aligner.align(rows, targets, 100)
    assert [t for _, t in found[0]] == [0, 1]
    assert all(0 <= s < 3 for s, _ in found[0])
    assert found[1:] == [(), ()]
    assert aligner.align(rows[:1], targets[:1], 100) == found[:1]


def test_as_many_tags_as_a_row_has_are_left_out() -> None:
    """What is aligned to is the text, whatever is known of it; a tag inside a text is text."""
    model = build("classic")
    aligner = alignment.Aligner(model, SYMBOLS)
    rows = [[20, 7, 8, 9, EOS], [20, 21, 7, 8, 9, EOS], [20, 21, EOS], [7, 20, 9, EOS]]
    targets = [[9, 8, 30, 31, 32]] * 4
    layers, _ = alignment.Reading.of(model)
    tgt_BT = torch.tensor([[BOS, *targets[0]]])
    expected: list[tuple[tuple[int, int], ...]] = []
    looks = []
    for row, tags in zip(rows, (1, 2, 2, 0), strict=True):
        [seen_TS] = alignment.attention(model, layers, torch.tensor([row]), tgt_BT)
        seen_TS = seen_TS[:5, tags:-1]
        at = seen_TS.argmax(1).tolist() if seen_TS.shape[1] else []
        expected.append(tuple((s, t) for t, s in enumerate(at)))
        looks.append((seen_TS / seen_TS.sum(1, keepdim=True)).sum(0).tolist())
    assert aligner.align(rows, targets, 1000) == expected
    assert {s for s, _ in expected[1]} <= {0, 1, 2}
    for found, wanted in zip(aligner.cover(rows, targets, 1000), looks, strict=True):
        assert list(found) == pytest.approx(wanted)


def test_a_deep_decoder_is_read_in_its_middle() -> None:
    model = build("classic")
    assert alignment.Reading.of(model) == (("dec000", "dec001"), 0)
    model.config = model.config.__class__(
        **{**vars(model.config), "decoder": model.config.decoder * 3}
    )
    assert alignment.Reading.of(model) == (("dec002",), 1)


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=100, deadline=None)
@given(text=words, cuts=st.sets(st.integers(1, 14)), bytes_of=st.sampled_from(["", "é", "日"]))
def test_spans_of_pieces(text: str, cuts: set[int], bytes_of: str) -> None:
    """Any cutting of a text into pieces, with one character in bytes, is found again."""
    text = normalise(text).replace("<", "")
    written = "\u2581" + text.replace(" ", "\u2581")
    ends = [*sorted(c for c in cuts if c < len(written)), len(written)]
    pieces = [written[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    pieces += [f"<0x{b:02X}>" for b in bytes_of.encode()]
    whole = text + bytes_of
    for piece, (begin, end) in zip(pieces, spans(pieces), strict=True):
        expected = bytes_of if piece.startswith("<0x") else piece.lstrip("\u2581")
        if set(piece) != {"\u2581"}:
            assert whole[begin:end] == expected.replace("\u2581", " ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a  b", {"a": "a", "b": "b"}),
        (" e\u0301tude  x", {"\u00e9": "e\u0301", "x": "x"}),
        ("a\u200bb c", {"c": "c", "a": "a"}),
    ],
)
def test_back_to_the_text_before_it_was_normalised(text: str, expected: dict[str, str]) -> None:
    normal = normalise(text)
    where = original(normal, text)
    assert where is not None
    for character, before in expected.items():
        i = normal.index(character)
        assert before in text[where[i] : where[i + 1]]


def test_links_join_both_sides() -> None:
    pairs = ((0, 1), (1, 0), (1, 2))
    found = links(
        pairs, ["\u2581ab", "\u2581c"], ["\u2581x", "y", "\u2581z"], original("ab c", "ab c")
    )
    assert found == (Link(0, 2, 1, 2), Link(3, 4, 0, 1), Link(3, 4, 3, 4))
    assert links(pairs, ["\u2581ab"], ["\u2581x"], None) == ()
