"""Activation checkpointing: which layers are computed again in the backward pass.

Not its job: tables, bridge and head, whose activations are small or whose loss is chunked already.
"""

import functools
from typing import Any

import torch
from torch import nn
from torch.distributed._composable.checkpoint_activation import checkpoint
from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts

from m4nmt.parallel.settings import KeepAll, Recompute, Remat, Selective

# Results worth their memory: products of states and weights, and attention.
KEPT = frozenset(
    (
        torch.ops.aten.mm.default,
        torch.ops.aten.addmm.default,
        torch.ops.aten._scaled_dot_product_flash_attention.default,
        torch.ops.aten._scaled_dot_product_efficient_attention.default,
        torch.ops.aten._scaled_dot_product_cudnn_attention.default,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
    )
)


def remat(part: nn.Module, rule: Remat) -> None:
    """Apply a rule to the layers of a model, in place; names stay as they are."""
    layers = [m for name, m in part.named_children() if name.startswith(("enc", "dec"))]
    match rule:
        case KeepAll():
            return
        case Recompute(every=every):
            for layer in layers[::every]:
                checkpoint(layer)
        case Selective():
            for layer in layers:
                checkpoint(layer, context_fn=_keep_products)


def _policy(context: Any, operation: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    kept = operation in KEPT
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE


_keep_products = functools.partial(create_selective_checkpoint_contexts, _policy)
