"""Measured memory: the bytes of every storage that an operation made and that is still alive; and
small runs to measure."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, UntypedStorage
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from m4nmt.core.names import recipe
from m4nmt.data.settings import BlockConfig, TokenizerConfig
from m4nmt.model.settings import LayerConfig, ModelConfig, MoEConfig
from m4nmt.optim.settings import AdamW, Optim
from m4nmt.parallel.settings import ParallelConfig
from m4nmt.train.settings import RunConfig


class Held(TorchDispatchMode):
    """Counts while operations run. `outside`: tensors whose memory does not count.

    A storage counts as large as it is now: FSDP frees what it gathered and keeps the tensor.
    """

    def __init__(self, outside: Sequence[Tensor]) -> None:
        super().__init__()
        self.outside = {t.untyped_storage()._cdata for t in outside}
        self._made: dict[int, StorageWeakRef] = {}
        self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        tensors = [tensor for tensor in tree_leaves(out) if isinstance(tensor, Tensor)]
        storages = {t.untyped_storage()._cdata: t.untyped_storage() for t in tensors}
        new = storages.keys() - self.outside
        if any(key not in self._made or self._made[key].expired() for key in new):
            self._made |= {key: StorageWeakRef(storages[key]) for key in new}
            self.peak = max(self.peak, self.now)
        return out

    @property
    def now(self) -> int:
        """Bytes alive."""
        self._made = {k: ref for k, ref in self._made.items() if not ref.expired()}
        alive = (UntypedStorage._new_with_weak_ptr(ref.cdata) for ref in self._made.values())
        return sum(storage.nbytes() for storage in alive if storage is not None)


def run(model: ModelConfig, parallel: ParallelConfig, optim: Optim | None = None) -> RunConfig:
    """A recipe of a tiny model with batches of 8 rows of 32 tokens a side."""
    debug: RunConfig = recipe("debug")()
    pieces = 8 * parallel.microbatches
    data = replace(
        debug.data,
        tokenizer=TokenizerConfig(vocab=model.vocab),
        blocks=BlockConfig(tokens=pieces * 32, max_length=32, rows_multiple=pieces),
    )
    return replace(debug, model=model, data=data, parallel=parallel, optim=optim or AdamW())


def wider(model: ModelConfig, dropout: float = 0.1) -> ModelConfig:
    """A model of the tests, large enough that what is not counted (masks, ids) is small."""

    def layer(one: LayerConfig) -> LayerConfig:
        ffn = one.ffn
        if isinstance(ffn, MoEConfig):
            ffn = replace(ffn, expert=replace(ffn.expert, hidden=256))
        else:
            ffn = replace(ffn, hidden=256)
        return replace(one, ffn=ffn, dropout=dropout, ffn_dropout=dropout)

    return replace(
        model,
        dim=64,
        vocab=128,
        embedding_dropout=dropout,
        encoder=tuple(map(layer, model.encoder)),
        decoder=tuple(map(layer, model.decoder)),
    )
