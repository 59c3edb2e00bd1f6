"""A sentence's tokens do not depend on the batch it is in, whatever is wished and however it is
searched; nor does what the guard makes of it."""

import random
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from translate_folders import make_model_folder, make_tokenizer
from translate_models import BOS, EOS, build, sources
from translate_toys import SYMBOLS, ToyDecoder, random_table

from m4nmt.core.stages import SearchConfig
from m4nmt.translate.constraints import FREE, Constraint, Rules
from m4nmt.translate.decoder import Hypothesis, Symbols
from m4nmt.translate.diverse import search_diverse
from m4nmt.translate.engine import Engine, Native
from m4nmt.translate.ensemble import Ensemble
from m4nmt.translate.required import search_required
from m4nmt.translate.search import beam_search
from m4nmt.translate.translator import Translator
from m4nmt.translate.types import Translation
from m4nmt.translate.wishes import Wish

CPU = torch.device("cpu")
TOLD = [
    FREE,
    Constraint(prefix=(3, 2)),
    Constraint(forbidden=((4,), (2, 2))),
    Constraint(required=(((2, 4), (3,)), ((4,),))),
    Constraint(prefix=(4,), required=(((3, 3),),), forbidden=((2,),)),
]
LIMITS = [3, 5, 4, 7, 9]


@pytest.mark.parametrize("kind", ["beam", "required", "diverse"])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), order=st.permutations(range(5)), beam=st.sampled_from((2, 4)))
def test_toys_to_the_bit(kind: str, seed: int, order: list[int], beam: int) -> None:
    table = random_table(seed, 5)
    config = SearchConfig(beam=beam, n_best=beam, groups=2 if kind == "diverse" else 1)

    def find(sentences: list[int]) -> list[list[Hypothesis]]:
        decoder, told = ToyDecoder(table, sentences), [TOLD[s] for s in sentences]
        limits = [LIMITS[s] for s in sentences]
        if kind == "required":
            return search_required(decoder, limits, told, config, SYMBOLS, CPU)
        search = search_diverse if kind == "diverse" else beam_search
        return search(decoder, limits, config, SYMBOLS, CPU, rules=Rules(told, CPU))

    alone = [find([s])[0] for s in range(5)]
    assert find(list(order)) == [alone[s] for s in order]


MODEL_TOLD = [
    FREE,
    Constraint(prefix=(9, 8)),
    Constraint(forbidden=((11,), (7, 7))),
    Constraint(required=(((5, 6), (7,)), ((12,),))),
    Constraint(prefix=(4,), required=(((20, 21),),)),
    FREE,
]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(
    "config",
    [
        SearchConfig(beam=3, n_best=3),
        SearchConfig(beam=4, n_best=4, groups=2),
        SearchConfig(beam=3, n_best=3, sample=True),
    ],
    ids=["beam", "diverse", "draws"],
)
def test_models_token_by_token(config: SearchConfig, together: bool) -> None:
    symbols = Symbols(BOS, EOS, (0, 1, BOS))
    members = [Native(build(name), symbols) for name in ("classic", "modern")]
    engine: Engine = Ensemble(members) if together else members[1]
    rows = sources(7, [3, 9, 5, 12, 4, 7])
    told = (
        MODEL_TOLD
        if config.groups == 1 and not config.sample
        else [Constraint(prefix=c.prefix, forbidden=c.forbidden) for c in MODEL_TOLD]
    )
    limits = [6, 10, 8, 14, 9, 5]
    alone = [
        engine.decode([row], [limit], config, None, [c])[0]
        for row, limit, c in zip(rows, limits, told, strict=True)
    ]
    inputs = list(zip(rows, limits, told, strict=True))
    for seed, budget in ((1, 10_000), (2, 60)):
        order = random.Random(seed).sample(range(6), 6)
        few = SearchConfig(**{**vars(config), "batch_tokens": budget})
        some, most, asked = zip(*(inputs[i] for i in order), strict=True)
        found = engine.decode(some, most, few, None, asked)
        for i, hypotheses in zip(order, found, strict=True):
            assert [(h.tokens, h.finished, h.met) for h in hypotheses] == [
                (h.tokens, h.finished, h.met) for h in alone[i]
            ]


def test_the_guard_and_wishes_make_the_same_of_a_text_in_any_company(tmp_path: Path) -> None:
    pieces = make_tokenizer(tmp_path / "tokenizer").folder
    it = Translator.load(make_model_folder(tmp_path / "model", pieces), "cpu", engine="native")
    texts = ["This is a house.", "home", "Good day, how are you?", "We are going home.", "day"]
    wishes = [Wish(), Wish("Das"), Wish(forbidden=("a",)), Wish(required=("Haus",)), Wish()]
    config = SearchConfig(beam=2, max_ratio=1.0, max_extra=8)

    def of(t: Translation) -> tuple[object, ...]:
        return t.text, t.tokens, t.marks

    alone = [
        of(it.translate([text], "en", "de", config, wishes=wish)[0][0])
        for text, wish in zip(texts, wishes, strict=True)
    ]
    assert any(marks for *_, marks in alone), "or the guard had nothing to do"
    for seed in range(2):
        order = random.Random(seed).sample(range(5), 5)
        found = it.translate(
            [texts[i] for i in order], "en", "de", config, wishes=[wishes[i] for i in order]
        )
        assert [of(best) for [best] in found] == [alone[i] for i in order]
