"""Our orders are those that torch.distributed.pipelining makes."""

from types import SimpleNamespace
from typing import Any

import pytest
from torch.distributed.pipelining import schedules

from m4nmt.plan.orders import Action, Order, alive, orders, peak

SIZES = [(1, 1, 3), (2, 1, 2), (2, 1, 5), (4, 1, 4), (4, 1, 9), (3, 1, 7)]
LOOPED = [(2, 2, 4), (4, 2, 4), (4, 2, 8), (4, 3, 16), (2, 4, 2), (8, 2, 16), (1, 3, 4)]


def ours(actions: list[Any]) -> Order:
    """torch's actions without waiting and reducing."""
    kinds = {"FORWARD": True, "FULL_BACKWARD": False}
    return [
        Action(a.stage_index, kinds[a.computation_type.name], a.microbatch_index)
        for a in actions
        if a is not None and a.computation_type.name in kinds
    ]


class Recorder:
    """A stage that notes what it is told to do, for the schedules that have no list of actions."""

    def __init__(self, rank: int) -> None:
        self.stage_index = rank
        self.done: Order = []

    def forward_one_chunk(self, number: int, *args: Any, **kwargs: Any) -> None:
        self.done.append(Action(self.stage_index, True, number))

    def backward_one_chunk(self, number: int, **kwargs: Any) -> None:
        self.done.append(Action(self.stage_index, False, number))

    def perform_reduce_grad(self, scale: int) -> None: ...

    def _no_ops(self, number: int) -> list[Any]:
        return []

    get_fwd_recv_ops = get_fwd_send_ops = get_bwd_recv_ops = get_bwd_send_ops = _no_ops


@pytest.mark.parametrize(("devices", "virtual", "microbatches"), SIZES)
@pytest.mark.parametrize(
    ("name", "kind"), [("gpipe", schedules.ScheduleGPipe), ("1f1b", schedules.Schedule1F1B)]
)
def test_one_stage_a_device(
    name: Any, kind: Any, devices: int, virtual: int, microbatches: int
) -> None:
    """What torch's step really does (its printed list of 1F1B begins at 1 on the last rank)."""
    for rank, made in enumerate(orders(name, devices, virtual, microbatches)):
        stage = Recorder(rank)
        self = SimpleNamespace(
            _stage=stage,
            _num_stages=devices,
            _n_microbatches=microbatches,
            _check_inputs=lambda *_: ([()] * microbatches, [{}] * microbatches),
            _initialize_stage=lambda *_: None,
            _maybe_compute_loss=lambda *_: None,
            _maybe_get_loss=lambda *_: None,
            _update_losses=lambda *_: None,
            scale_grads=False,
        )
        kind._step_microbatches(self)
        assert made == stage.done


@pytest.mark.parametrize(("devices", "virtual", "microbatches"), LOOPED)
def test_interleaved(devices: int, virtual: int, microbatches: int) -> None:
    rounds = max(1, microbatches // devices)
    self = SimpleNamespace(
        n_local_stages=virtual,
        microbatches_per_round=microbatches // rounds,
        pp_group_size=devices,
        _n_microbatches=microbatches,
    )
    made = orders("interleaved", devices, virtual, microbatches)
    for rank in range(devices):
        torchs = schedules.ScheduleInterleaved1F1B._calculate_single_rank_operations(self, rank)  # type: ignore[arg-type]
        assert made[rank] == ours(torchs)


@pytest.mark.parametrize(("devices", "virtual", "microbatches"), LOOPED)
def test_breadth_first(devices: int, virtual: int, microbatches: int) -> None:
    self = SimpleNamespace(
        _stages=[None] * virtual, pp_group_size=devices, _n_microbatches=microbatches
    )
    made = orders("bfs", devices, virtual, microbatches)
    for rank in range(devices):
        torchs = schedules.ScheduleLoopedBFS._calculate_single_rank_operations(self, rank)  # type: ignore[arg-type]
        assert made[rank] == ours(torchs)


@pytest.mark.parametrize("name", ["gpipe", "1f1b", "interleaved", "bfs"])
def test_every_action_once(name: Any) -> None:
    virtual = 2 if name in ("interleaved", "bfs") else 1
    for device, order in enumerate(orders(name, 4, virtual, 8)):
        wanted = {
            (stage, way, m)
            for stage in range(device, 4 * virtual, 4)
            for way in (True, False)
            for m in range(8)
        }
        assert len(order) == len(wanted)
        assert set(order) == wanted


def test_alive_micro_batches() -> None:
    """GPipe keeps all, 1F1B as many as stages follow (arXiv:2104.04473, section 2.2)."""
    assert [alive(order)[k] for k, order in enumerate(orders("gpipe", 4, 1, 9))] == [9] * 4
    assert [alive(order)[k] for k, order in enumerate(orders("1f1b", 4, 1, 9))] == [4, 3, 2, 1]


def test_peak_adds_up_a_devices_stages() -> None:
    order = [Action(0, True, 0), Action(1, True, 0), Action(1, False, 0), Action(0, False, 0)]
    assert peak(order, [2.0, 3.0]) == 5.0
    assert peak(order[:1] + order[3:] + order[1:3], [2.0, 3.0]) == 3.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("1f1b", 4, 1, 3), "at least as many microbatches"),
        (("gpipe", 4, 2, 4), "one stage a device"),
        (("interleaved", 2, 2, 5), "whole rounds"),
        (("bfs", 0, 1, 1), "at least 1"),
    ],
)
def test_impossible_schedules_are_refused(arguments: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        orders(*arguments)
