"""Smoothed cross-entropy of the target tokens, without ever holding all their logits.

Only real positions are projected, a chunk at a time. The forward pass already computes the
gradients with respect to states and table, so that each chunk's logits live once and briefly. While
those of one micro-batch wait for their backward pass, any other micro-batch keeps its states alone
and is projected again when its turn comes: however many are alive, one gradient of the table waits.
Not its job: dividing by the number of tokens, auxiliary losses (the engine).

Shape letters: B rows, T target length, N real target tokens, C tokens of a chunk, D width,
V vocabulary.
"""

from typing import Any, NamedTuple
from weakref import WeakSet

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from m4nmt.model.embedding import Slices, Vocabulary
from m4nmt.model.flow import PAD, Projection

# Logits per chunk: what stays in the caches of a CPU core and fills a GPU. Fewer rows than
# FEWEST_ROWS starve the matrix products. Measured in benchmarks/results (train_step).
ELEMENTS_CPU, ELEMENTS_GPU = 1 << 21, 1 << 26
FEWEST_ROWS = 128


class Terms(NamedTuple):
    """What the objective adds to -log p: `smoothing` spreads that share of the target evenly over
    all V entries, gold and PAD included (as torch's label_smoothing does); `z` * log(Z)^2."""

    smoothing: float
    z: float


class CrossEntropy:
    """Implements `engine.Loss`: sum over real tokens of
    (1-e) * -log p(gold) + e * mean over V of -log p + z * log(Z)^2.

    The z term keeps the logits from drifting (PaLM, arXiv:2204.02311, section 5).
    """

    def __init__(self, label_smoothing: float = 0.0, z_loss: float = 0.0) -> None:
        if not 0 <= label_smoothing < 1 or z_loss < 0:
            raise ValueError(
                f"need 0 <= label_smoothing < 1 and z_loss >= 0, got {label_smoothing}, {z_loss}"
            )
        self.terms = Terms(label_smoothing, z_loss)
        self.waiting: WeakSet[_Gradients] = WeakSet()

    def __call__(self, x_BTD: Tensor, project: Projection, out_BT: Tensor) -> tuple[Tensor, Tensor]:
        """See `engine.Loss`. PAD in `out_BT` marks positions that do not count."""
        index_N = (out_BT.reshape(-1) != PAD).nonzero().squeeze(1)
        x_ND = x_BTD.reshape(-1, x_BTD.shape[-1]).index_select(0, index_N)
        out_N = out_BT.reshape(-1).index_select(0, index_N)
        if isinstance(project, Vocabulary) and not project.soft_cap:
            objective, nll_N = _Linear.apply(  # type: ignore[no-untyped-call]
                x_ND, project.table, out_N, self.terms, project.slices, self.waiting
            )
        else:
            objective, nll_N = _any_projection(x_ND, project, out_N, self.terms)
        rows = out_BT.shape[0]
        nll_B = torch.zeros(rows, device=x_BTD.device)
        return objective, nll_B.index_add_(0, index_N // out_BT.shape[1], nll_N)


def chunk_rows(vocab: int, device: torch.device) -> int:
    """Tokens projected at a time."""
    elements = ELEMENTS_CPU if device.type == "cpu" else ELEMENTS_GPU
    return max(FEWEST_ROWS, elements // vocab)


class _Linear(torch.autograd.Function):
    """The objective where logits are x W^T exactly.

    With E = exp(logits - max), s = sum of E and r = (1 + 2 z log Z) / s, the gradient of a token's
    objective by its logits is r E - (1-e) onehot - e/V. The last term is the same for all tokens
    and r is one number a token: both are applied to the small matrices, so that the logits are
    passed over only to exponentiate and to sum.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x_ND: Tensor,
        table_VD: Tensor,
        out_N: Tensor,
        terms: Terms,
        slices: Slices,
        waiting: "WeakSet[_Gradients]",
    ) -> tuple[Tensor, Tensor]:
        kind, given = x_ND.device.type, x_ND.dtype
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else given
        wanted = any(ctx.needs_input_grad)
        at_once = wanted and not waiting
        x_ND = x_ND.to(dtype)
        sums = _summed(x_ND, table_VD, out_N, terms, slices, at_once)
        ctx.gradients = None
        if at_once:
            ctx.gradients = _Gradients(sums.dx_ND.to(given), sums.dtable_VD.to(table_VD.dtype))
            waiting.add(ctx.gradients)
        elif wanted:
            ctx.save_for_backward(x_ND, table_VD, out_N)
            ctx.given, ctx.terms, ctx.slices = given, terms, slices
        ctx.mark_non_differentiable(sums.nll_N)
        return sums.objective, sums.nll_N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.gradients is None:
            x_ND, table_VD, out_N = ctx.saved_tensors
            sums = _summed(x_ND, table_VD, out_N, ctx.terms, ctx.slices, gradients=True)
            dx_ND, dtable_VD = sums.dx_ND.to(ctx.given), sums.dtable_VD.to(table_VD.dtype)
        else:
            dx_ND, dtable_VD = ctx.gradients.dx_ND, ctx.gradients.dtable_VD
            ctx.gradients = None  # scaled in place: usable once
        return dx_ND.mul_(grad), dtable_VD.mul_(grad), None, None, None, None


class _Gradients:
    """What waits for its backward pass."""

    def __init__(self, dx_ND: Tensor, dtable_VD: Tensor) -> None:
        self.dx_ND, self.dtable_VD = dx_ND, dtable_VD


def _summed(
    x_ND: Tensor, table_VD: Tensor, out_N: Tensor, terms: Terms, slices: Slices, gradients: bool
) -> "_Sums":
    """Over all chunks, in products of the precision of `x_ND`."""
    with torch.autocast(x_ND.device.type, enabled=False):
        sums = _Sums(x_ND, table_VD.to(x_ND.dtype), out_N, terms, slices, gradients)
        for start in range(0, len(out_N), sums.rows):
            sums.add(start)
        sums.finish()
    return sums


class _Sums:
    """Loss and gradients so far, in fp32, and the buffers that every chunk uses again.

    Where the words are spread over ranks (`slices`), V are those that lie here, and every sum or
    maximum over words goes over the ranks.
    """

    def __init__(
        self,
        x_ND: Tensor,
        table_VD: Tensor,
        out_N: Tensor,
        terms: Terms,
        slices: Slices,
        gradients: bool,
    ) -> None:
        self.x_ND, self.table_VD, self.out_N, self.terms = x_ND, table_VD, out_N, terms
        self.slices, self.gradients = slices, gradients
        vocab = table_VD.shape[0]
        self.rows = min(chunk_rows(vocab, x_ND.device), max(1, len(out_N)))
        self.objective = torch.zeros((), device=x_ND.device)
        self.nll_N = torch.empty(len(out_N), device=x_ND.device)
        self.logits_CV = torch.empty(self.rows, vocab, dtype=x_ND.dtype, device=x_ND.device)
        self.exp_CV = self.logits_CV if x_ND.dtype == torch.float32 else self.logits_CV.float()
        self.mean_D = slices.sum_(table_VD.mean(0, dtype=torch.float32) * (vocab / slices.words))
        self.dx_ND = torch.empty(0, device=x_ND.device)
        self.dtable_VD = torch.empty(0, device=x_ND.device)
        if gradients:
            even_D = x_ND.sum(0, dtype=torch.float32) * (-terms.smoothing / slices.words)
            self.dtable_VD = even_D.expand(vocab, -1).clone()
            self.dx_ND = torch.empty_like(x_ND, dtype=torch.float32)

    def add(self, start: int) -> None:
        """Project, sum up and differentiate the tokens from `start` on."""
        smoothing, z = self.terms
        x_CD = self.x_ND[start : start + self.rows]
        out_C1 = self.out_N[start : start + self.rows, None] - self.slices.first
        here_C1 = (out_C1 >= 0) & (out_C1 < self.slices.count)
        out_C1 = out_C1.clamp(0, self.slices.count - 1)
        count = len(x_CD)
        logits_CV, exp_CV = self.logits_CV[:count], self.exp_CV[:count]
        torch.mm(x_CD, self.table_VD.t(), out=logits_CV)
        gold_C1 = self.slices.sum_(logits_CV.gather(1, out_C1).float() * here_C1)
        if exp_CV.data_ptr() != logits_CV.data_ptr():
            exp_CV.copy_(logits_CV)
        max_C1 = self.slices.max_(exp_CV.amax(1, keepdim=True))
        sum_C1 = self.slices.sum_(exp_CV.sub_(max_C1).exp_().sum(1, keepdim=True))
        log_z_C1 = max_C1 + sum_C1.log()
        nll_C1 = log_z_C1 - gold_C1
        self.nll_N[start : start + count] = nll_C1[:, 0]
        even_C1 = log_z_C1 - (x_CD.float() @ self.mean_D)[:, None]
        self.objective += ((1 - smoothing) * nll_C1 + smoothing * even_C1 + z * log_z_C1**2).sum()
        if not self.gradients:
            return
        r_C1 = (1 + 2 * z * log_z_C1) / sum_C1
        exp_CV.scatter_add_(1, out_C1, (smoothing - 1) / r_C1 * here_C1)
        if exp_CV.data_ptr() != logits_CV.data_ptr():
            logits_CV.copy_(exp_CV)
        torch.mul(logits_CV @ self.table_VD, r_C1, out=self.dx_ND[start : start + count])
        rx_CD = (x_CD * r_C1).to(x_CD.dtype)
        if x_CD.dtype == torch.float32:
            self.dtable_VD.addmm_(logits_CV.t(), rx_CD)
        else:
            self.dtable_VD += logits_CV.t() @ rx_CD

    def finish(self) -> None:
        """What is the same for all tokens."""
        if self.gradients:
            self.slices.sum_(self.dx_ND).sub_(self.mean_D, alpha=self.terms.smoothing)


def _any_projection(
    x_ND: Tensor, project: Projection, out_N: Tensor, terms: Terms
) -> tuple[Tensor, Tensor]:
    """The same objective for any projection: autograd, each chunk's logits computed again."""

    def chunk(x_CD: Tensor, out_C: Tensor) -> tuple[Tensor, Tensor]:
        logits_CV = project(x_CD).float()
        log_z_C = logits_CV.logsumexp(1)
        even_C = log_z_C - logits_CV.mean(1)
        nll_C = log_z_C - logits_CV.gather(1, out_C[:, None])[:, 0]
        smooth = (1 - terms.smoothing) * nll_C + terms.smoothing * even_C
        return (smooth + terms.z * log_z_C**2).sum(), nll_C.detach()

    rows = chunk_rows(project.table.shape[0], x_ND.device)
    objective = x_ND.sum() * 0.0  # of the graph even where no position is real
    nlls = [x_ND.new_zeros(0, dtype=torch.float32)]
    for x_CD, out_C in zip(torch.split(x_ND, rows), torch.split(out_N, rows), strict=True):
        part, nll_C = checkpoint(chunk, x_CD, out_C, use_reentrant=False)
        objective = objective + part
        nlls.append(nll_C)
    return objective.float(), torch.cat(nlls)
