"""Reports without a model."""

import math
from collections.abc import Sequence

from m4nmt.checkpoint.card import CheckpointCard
from m4nmt.core.stages import SearchConfig
from m4nmt.data.types import Direction
from m4nmt.evaluate.types import DirectionScore, Report, Sample
from m4nmt.train.bands import bands

SMALL = ("eng_Latn", "deu_Latn", "arb_Arab", "swh_Latn", "zho_Hans", "zho_Hant")
HOSTILE = "</script><img src=x onerror=alert(1)> {{data}} & \"'"


def a_card(name: str = "tiny", languages: Sequence[str] = SMALL) -> CheckpointCard:
    return CheckpointCard(
        name=name,
        step=1200,
        config={"kind": "RunConfig", "name": name},
        config_sha256="c" * 64,
        tokenizer_sha256="a" * 64,
        weights_sha256="d" * 64,
        directions=("eng_Latn-deu_Latn",),
        languages=tuple(sorted(languages)),
        code="0.1.0",
    )


def a_report(languages: Sequence[str] = SMALL, testsets: Sequence[str] = ("tico19",)) -> Report:
    """Scores that fall with the size of the languages; pairs without English are zero-shot."""
    size = {code: 4_000_000 // 2 ** (2 * i) + 1000 for i, code in enumerate(languages)}
    ranks = {code: i / len(languages) for i, code in enumerate(languages)}
    pairs = {
        f"{s}-{t}": min(size[s], size[t])
        for s in languages
        for t in languages
        if s != t and "eng_Latn" in (s, t)
    }
    band = {
        str(d): name for d, name in bands({Direction.parse(n): k for n, k in pairs.items()}).items()
    }
    scores = []
    for testset in testsets:
        for i, s in enumerate(languages):
            for j, t in enumerate(languages):
                if s == t:
                    continue
                name = f"{s}-{t}"
                zero = name not in pairs
                bleu = 42 - 16 * (ranks[s] + ranks[t]) - 9 * zero + 3 * math.sin(7 * i + 3 * j)
                bleu = round(max(bleu, 0.4), 4)
                scores.append(
                    DirectionScore(
                        direction=name,
                        testset=testset,
                        sentences=997 + j,
                        bleu=bleu,
                        chrf=round(20 + bleu, 4),
                        spbleu=round(4 + bleu, 4),
                        interval=(max(bleu - 1.2, 0), bleu + 1.2),
                        signatures={"bleu": "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp"},
                        trained=not zero,
                        pairs=pairs.get(name, 0),
                        band=band.get(name, ""),
                        cut=2 * (i == 2),
                        samples=(
                            Sample(line=7, source="Good morning.", reference="R", output="R"),
                            Sample(line=9, source=HOSTILE, reference=HOSTILE, output="صباح الخير"),
                        ),
                    )
                )
    return Report(
        card=a_card(languages=languages),
        parameters=61_234_567,
        search=SearchConfig(beam=5),
        split="test",
        date="2026-01-02T03:04:05+00:00",
        seconds=123.4,
        licences={"seed.train": "CC-BY-SA-4.0", "tico19.test": "CC0-1.0"},
        scores=tuple(scores),
    )
