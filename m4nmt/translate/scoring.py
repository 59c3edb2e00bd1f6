"""How likely given translations are: teacher-forced log-probabilities.

Not its job: making translations (search), or texts (translator).

Shape letters: B rows, T target length, D width, N real target tokens, V vocabulary.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from m4nmt.model.flow import PAD, Projection, Tokens
from m4nmt.model.translation import TranslationModel
from m4nmt.translate.batching import pack

_CHUNK = 512  # positions whose logits exist at once


def pad(rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """One tensor of rows, right-padded."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows], device=device)


def log_probs(states_ND: Tensor, project: Projection, out_N: Tensor) -> Tensor:
    """log p [N] of the tokens `out_N` after these states, in fp32."""
    parts = []
    for states, out in zip(torch.split(states_ND, _CHUNK), torch.split(out_N, _CHUNK), strict=True):
        logits = project(states).float()
        parts.append(logits.gather(1, out[:, None])[:, 0] - logits.logsumexp(-1))
    return torch.cat(parts)


@torch.inference_mode()
def score(
    model: TranslationModel,
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    bos: int,
    budget: int,
    device: torch.device,
) -> list[tuple[float, ...]]:
    """log p of every target token, end included, given its source and the tokens before it.

    Args:
        sources: whole source rows.
        targets: ids with the end symbol.
        budget: padded tokens of a batch, on the longer side.

    Raises:
        ValueError: as many sources as targets are needed, and no empty row.
    """
    results: list[tuple[float, ...]] = [()] * len(sources)
    lengths = [max(len(s), len(t)) for s, t in zip(sources, targets, strict=True)]
    if not all(sources) or not all(targets):
        raise ValueError("a row without tokens cannot be scored; targets end with the end symbol")
    for group in pack(lengths, 1, budget):
        outs = [targets[i] for i in group]
        out_BT = pad(outs, device)

        def readout(states_BTD: Tensor, project: Projection, out_BT: Tensor = out_BT) -> Tensor:
            real_BT = out_BT != PAD
            return log_probs(states_BTD[real_BT], project, out_BT[real_BT])

        src_BS = pad([sources[i] for i in group], device)
        tgt_BT = pad([[bos, *out[:-1]] for out in outs], device)
        flat_N = model(Tokens(src_BS, tgt_BT, readout=readout)).x
        for i, part in zip(group, torch.split(flat_N, [len(out) for out in outs]), strict=True):
            results[i] = tuple(part.tolist())
    return results
