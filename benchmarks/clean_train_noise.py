"""Noise as web crawls hold it, made out of good pairs, with a label each.

The kinds are those of Khayrallah and Koehn 2018 ("On the Impact of Various Types of Noise on Neural
Machine Translation", section 3) and of wild/noisy: pairs thrown together, one by one and in
stretches, both sides in one language, third languages, sides swapped, parts missing or added,
words out of order, scraps, debris and repeated pairs. Not its job: files (clean_train.py).
"""

import random
from collections.abc import Callable

SRC, TGT = "deu_Latn", "eng_Latn"
OTHERS = ("fra_Latn", "ces_Latn")
CLEAN = "clean"
REGION = 200  # rows of a shifted stretch
# Per cent of the noisy rows.
SHARES = {
    "misaligned": 22,
    "shifted_region": 8,
    "both_source": 10,
    "both_target": 8,
    "untranslated_copy": 5,
    "wrong_language_target": 6,
    "wrong_language_source": 4,
    "swapped": 5,
    "truncated": 6,
    "overtranslated": 6,
    "misordered": 4,
    "short": 4,
    "garbage": 6,
    "near_duplicate": 3,
    "duplicate": 3,
}
Row = tuple[str, str, str]  # source, target, label


class Spoiler:
    """Makes noisy rows out of good ones.

    Args:
        texts: language -> lines, aligned, from which noise is made.
        clean: the clean rows, of which (near) duplicates are made.
        draw: of all that is random.
    """

    def __init__(self, texts: dict[str, list[str]], clean: list[Row], draw: random.Random) -> None:
        self._texts, self._clean, self._draw = texts, clean, draw
        self._rows = range(len(texts[SRC]))
        self._ways: dict[str, Callable[[str, str, int], tuple[str, str]]] = {
            "misaligned": lambda s, t, row: (s, self._any(TGT)),
            "both_source": lambda s, t, row: (s, self._retouched(s)),
            "both_target": lambda s, t, row: (self._retouched(t), t),
            "untranslated_copy": lambda s, t, row: (s, s),
            "wrong_language_target": lambda s, t, row: (s, texts[draw.choice(OTHERS)][row]),
            "wrong_language_source": lambda s, t, row: (texts[draw.choice(OTHERS)][row], t),
            "swapped": lambda s, t, row: (t, s),
            "truncated": lambda s, t, row: (s, self._head(t, draw.uniform(0.2, 0.6))),
            "overtranslated": lambda s, t, row: (
                s,
                f"{t} {self._head(self._any(TGT), draw.uniform(0.4, 1))}",
            ),
            "misordered": lambda s, t, row: (s, self._shuffled(t)),
            "short": lambda s, t, row: (self._snippet(SRC), self._snippet(TGT)),
            "garbage": lambda s, t, row: (s, self._garbage(t)),
            "near_duplicate": lambda s, t, row: self._near(),
            "duplicate": lambda s, t, row: draw.choice(self._clean)[:2],
        }

    def row(self, kind: str) -> Row:
        """A row of this kind."""
        row = self._draw.choice(self._rows)
        return (*self._ways[kind](self._texts[SRC][row], self._texts[TGT][row], row), kind)

    def region(self) -> list[Row]:
        """A stretch whose targets are those of a few rows further on, as in a damaged memory."""
        first, by = self._draw.randrange(len(self._rows) - REGION - 9), self._draw.randint(1, 8)
        rows = range(first, first + REGION)
        return [(self._texts[SRC][i], self._texts[TGT][i + by], "shifted_region") for i in rows]

    def _any(self, language: str) -> str:
        return self._draw.choice(self._texts[language])

    @staticmethod
    def _head(text: str, share: float) -> str:
        words = text.split()
        return " ".join(words[: max(1, round(len(words) * share))])

    def _retouched(self, text: str) -> str:
        """The same sentence in the same language, a word or two of it left out."""
        words = text.split()
        for _ in range(self._draw.randint(1, 2)):
            words.pop(self._draw.randrange(len(words)))
        return " ".join(words) or text.upper()

    def _shuffled(self, text: str) -> str:
        words = text.split()
        self._draw.shuffle(words)
        return " ".join(words)

    def _snippet(self, language: str) -> str:
        words = self._any(language).split()
        first = self._draw.randrange(len(words))
        return " ".join(words[first : first + self._draw.randint(1, 3)])

    def _near(self) -> tuple[str, str]:
        source, target, _ = self._draw.choice(self._clean)
        return source, self._retouched(target)

    def _garbage(self, text: str) -> str:
        number = self._draw.randrange(10**6)
        return self._draw.choice(
            (
                f"https://example.org/{number}/index.html?a=1",
                f"<p class='c'>{text}</p>",
                f"{text} Grüße ".encode().decode("latin-1"),
                " ".join(str(self._draw.randrange(10**4)) for _ in range(8)),
                "|" * self._draw.randint(3, 9) + " >>> *** " + "=" * 12,
                " ".join([self._snippet(TGT)] * 8),
            )
        )


def noisy(texts: dict[str, list[str]], clean: list[Row], noise: int, seed: int) -> list[Row]:
    """The clean rows in their order, and among them `noise` noisy ones."""
    draw = random.Random(seed)
    spoiler = Spoiler(texts, clean, draw)
    regions = round(noise * SHARES["shifted_region"] / 100 / REGION)
    stretches = [spoiler.region() for _ in range(regions)]
    kinds = [kind for kind in SHARES if kind != "shifted_region"]
    weights = [SHARES[kind] for kind in kinds]
    for kind in draw.choices(kinds, weights, k=noise - regions * REGION):
        stretches.append([spoiler.row(kind)])
    draw.shuffle(stretches)
    places = sorted(draw.randint(0, len(clean)) for _ in stretches)
    rows: list[Row] = []
    done = 0
    for place, stretch in zip(places, stretches, strict=True):
        rows += clean[done:place] + stretch
        done = place
    return rows + clean[done:]
