"""Which search each sentence gets; sentences of like length are searched together.

Not its job: the searches, or what decodes (`Decoder`).

Shape letters: B sentences, S source length.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from m4nmt.core.stages import SearchConfig
from m4nmt.translate.batching import pack
from m4nmt.translate.constraints import FREE, Constraint, Rules
from m4nmt.translate.decoder import Cancelled, Decoder, Hypothesis, Symbols
from m4nmt.translate.diverse import search_diverse
from m4nmt.translate.required import search_required
from m4nmt.translate.sampling import sample
from m4nmt.translate.scoring import pad
from m4nmt.translate.search import beam_search

Open = Callable[[Tensor], Decoder]  # of source rows [B,S]


class SearchError(ValueError):
    """Wishes that no search can grant together."""


def check_required(config: SearchConfig) -> None:
    """Refuse a search that cannot see to it that phrases occur.

    Raises:
        SearchError: draws, or groups of beams.
    """
    if config.sample or config.groups > 1:
        other = "draws (sample)" if config.sample else "groups of beams (groups > 1)"
        raise SearchError(
            f"required phrases and {other} do not go together: use plain beam search with them"
        )


def search_all(
    open_decoder: Open,
    rows: Sequence[Sequence[int]],
    limits: Sequence[int],
    config: SearchConfig,
    symbols: Symbols,
    device: torch.device,
    cancelled: Cancelled | None = None,
    constraints: Sequence[Constraint] | None = None,
) -> list[list[Hypothesis]]:
    """The best hypotheses of each source row.

    Raises:
        SearchError: phrases are required of draws, or of groups of beams.
        CancelledError: `cancelled` said so.
        FloatingPointError: the model gave numbers that are not finite.
    """
    wanted = list(constraints) if constraints is not None else [FREE] * len(rows)
    if any(constraint.required for constraint in wanted):
        check_required(config)
    found: list[list[Hypothesis]] = [[] for _ in rows]
    for asked in (False, True):
        some = [i for i, constraint in enumerate(wanted) if bool(constraint.required) == asked]
        for group in pack([len(rows[i]) for i in some], config.beam, config.batch_tokens):
            of = [some[g] for g in group]
            decoder = open_decoder(pad([rows[i] for i in of], device))
            most, told = [limits[i] for i in of], [wanted[i] for i in of]
            rules = Rules(told, device) if any(told) else None
            if asked:
                batch = search_required(decoder, most, told, config, symbols, device, cancelled)
            elif config.sample:
                keys = [rows[i] for i in of]
                batch = sample(decoder, most, keys, config, symbols, device, cancelled, rules)
            elif config.groups > 1:
                batch = search_diverse(decoder, most, config, symbols, device, cancelled, rules)
            else:
                batch = beam_search(decoder, most, config, symbols, device, cancelled, rules)
            for i, hypotheses in zip(of, batch, strict=True):
                found[i] = hypotheses
    return found
