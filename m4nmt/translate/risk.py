"""Minimum-risk decoding: the translation that is expected to be nearest to all that were found.

Eikema & Aziz 2022 (arXiv:2108.04718, equation 5): the expected utility of a candidate is its mean
utility against the other candidates as references, each of equal weight; one that was found several
times counts as often. The utility is sacreBLEU's sentence chrF, or its sentence BLEU with
`effective_order`, 0 to 100; BLEU counts characters where the script writes no spaces.

Not its job: finding candidates. The cost grows with the square of their number.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

from sacrebleu.metrics import BLEU, CHRF

from m4nmt.translate.scripts import writes_spaces

Utility = Callable[[str, str], float]


@lru_cache
def utility(measure: str, language: str) -> Utility:
    """(hypothesis, reference) -> 0 to 100, of texts in this language ("deu_Latn")."""
    if measure == "chrf":
        chrf = CHRF()
        return lambda text, reference: float(chrf.sentence_score(text, [reference]).score)
    bleu = BLEU(effective_order=True, tokenize="13a" if writes_spaces(language) else "char")
    return lambda text, reference: float(bleu.sentence_score(text, [reference]).score)


def expected(texts: Sequence[str], counts: Sequence[int], measure: Utility) -> list[float]:
    """The mean utility of each text against all the others that were found; 0 where none was.

    Args:
        texts: all different.
        counts: how often each was found.
    """
    total = sum(counts) - 1
    if total < 1:
        return [0.0] * len(texts)
    weights = list(zip(texts, counts, strict=True))
    found = []
    for text in texts:
        others = ((other, n - (other == text)) for other, n in weights)
        found.append(sum(n * measure(text, other) for other, n in others if n) / total)
    return found
