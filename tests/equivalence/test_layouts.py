"""Every layout of a model over processes computes what one process computes: loss, every gradient,
norms and rows; and the controls that must fail do."""

from pathlib import Path

import layout_worker
import pytest
import torch
from layout_worker import Case, plain
from model_made import config as small
from model_made import layer

from m4nmt.model.settings import (
    DenseConfig,
    GatedConfig,
    MoEConfig,
    Rotary,
    Top2,
    TopK,
    Transparent,
)
from m4nmt.parallel.settings import Host, Recompute, Selective

MIXED = small(layer(), memory=Transparent(dropout=0.0))
UNTIED = small(
    layer(ffn=GatedConfig(hidden=24), kv_heads=2, norm="rms"),
    ties="none",
    position=Rotary(),
    norm="rms",
)
DROPPING = small(layer(residual_dropout=0.3, ffn_dropout=0.2), embedding_dropout=0.1)

ROUTED = small(layer(ffn=MoEConfig(experts=4, expert=DenseConfig(hidden=24), router=Top2())))
DROPLESS = small(layer(ffn=MoEConfig(experts=4, expert=GatedConfig(hidden=24), router=TopK())))

TWO = [
    Case("1f1b", {"pipeline": 2}, plain(), exact=True),
    Case("gpipe", {"pipeline": 2, "schedule": "gpipe"}, MIXED, exact=True),
    Case("interleaved", {"pipeline": 2, "schedule": "interleaved", "virtual": 2}, MIXED),
    Case("bfs", {"pipeline": 2, "schedule": "bfs", "virtual": 3}, plain()),
    Case("1f1b, dropout", {"pipeline": 2}, DROPPING, exact=True),
    Case("replicate", {"replicate": 2}, plain()),
    Case("replicate, dropout", {"replicate": 2}, DROPPING),
    Case("zero 3", {"shard": 2}, MIXED),
    Case("zero 2", {"shard": 2, "zero": 2}, UNTIED),
    Case("zero 1", {"shard": 2, "zero": 1}, plain()),
    Case("replicate, bf16", {"replicate": 2, "precision": "bf16"}, plain()),
    Case("zero 2, bf16", {"shard": 2, "zero": 2, "precision": "bf16"}, plain()),
    Case("zero 3, remat", {"shard": 2, "remat": Recompute()}, DROPPING),
    Case("zero 3, offload", {"shard": 2, "offload": Host()}, MIXED),
    Case("tensor", {"tensor": 2}, plain()),
    Case("tensor, gated, grouped heads", {"tensor": 2}, UNTIED),
    Case("1f1b, remat", {"pipeline": 2, "remat": Recompute(every=2)}, DROPPING, exact=True),
    Case("1f1b, selective", {"pipeline": 2, "remat": Selective()}, DROPPING, exact=True),
    Case("1f1b, experts", {"pipeline": 2}, ROUTED),
    Case("experts", {"expert": 2}, ROUTED),
    Case("experts, dropless", {"expert": 2}, DROPLESS),
    Case("cut by measurement", {"pipeline": 2, "balance": "measured"}, MIXED, exact=True),
    Case("cut by hand", {"pipeline": 2, "cut": ("target",)}, MIXED, exact=True),
    Case("control", {"pipeline": 2}, plain(), spoil=True),
]
FOUR = [
    Case("four stages", {"pipeline": 4}, MIXED, exact=True),
    Case("1f1b x zero 1", {"pipeline": 2, "shard": 2, "zero": 1}, plain()),
    Case("1f1b x zero 3", {"pipeline": 2, "shard": 2}, MIXED),
    Case("1f1b x zero 3, bf16", {"pipeline": 2, "shard": 2, "precision": "bf16"}, plain()),
    Case("1f1b x replicate", {"pipeline": 2, "replicate": 2}, plain()),
    Case("gpipe x zero 2", {"pipeline": 2, "shard": 2, "zero": 2, "schedule": "gpipe"}, UNTIED),
    Case(
        "interleaved x shard",
        {"pipeline": 2, "virtual": 2, "schedule": "interleaved", "shard": 2},
        plain(),
    ),
    Case(
        "bfs x zero 3, remat",
        {"pipeline": 2, "virtual": 2, "schedule": "bfs", "shard": 2, "remat": Recompute()},
        DROPPING,
    ),
    Case("gpipe x tensor", {"pipeline": 2, "tensor": 2, "schedule": "gpipe"}, plain()),
    Case("1f1b x tensor", {"pipeline": 2, "tensor": 2}, plain()),
    Case("replicate x shard", {"replicate": 2, "shard": 2}, DROPPING),
    Case("shard x tensor", {"shard": 2, "tensor": 2}, UNTIED),
    Case("replicate x tensor", {"replicate": 2, "tensor": 2}, plain()),
    Case("tensor 4", {"tensor": 4}, plain()),
    Case("expert x shard", {"expert": 2, "shard": 2}, ROUTED),
    Case("expert x replicate", {"expert": 2, "replicate": 2}, ROUTED),
    Case("expert x 1f1b", {"expert": 2, "pipeline": 2}, ROUTED),
    Case("shard 4", {"shard": 4}, MIXED),
]


def run(size: int, cases: list[Case], folder: Path) -> dict[str, str]:
    """What each case says, all of them in the same ranks."""
    torch.multiprocessing.spawn(  # type: ignore[no-untyped-call]
        layout_worker.work, (size, folder, cases), nprocs=size
    )
    lines = [line.split("\t") for line in (folder / "answers").read_text().splitlines()]
    return {name: said.strip("'\"") for name, said in lines}


@pytest.mark.parametrize(("size", "cases"), [(2, TWO), (4, FOUR)], ids=["two", "four"])
def test_every_layout_equals_one_process(size: int, cases: list[Case], tmp_path: Path) -> None:
    said = run(size, cases, tmp_path)
    assert said.keys() == {case.name for case in cases}
    spoiled = {case.name for case in cases if case.spoil}
    assert all("gradient of" in said.pop(name) for name in spoiled)
    assert not {name: words for name, words in said.items() if words}
