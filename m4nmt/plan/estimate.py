"""A plan: memory, time and traffic of a recipe on so many devices, put together.

Not its job: counting each of them (memory, cost, simulate), saying it in words (words).
"""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from m4nmt.core.config import to_dict
from m4nmt.plan import cost
from m4nmt.plan.job import Job, Machine, job
from m4nmt.plan.memory import DeviceBytes, device_bytes
from m4nmt.plan.simulate import Timeline, Times, simulate
from m4nmt.plan.trace import Device
from m4nmt.plan.weights import parameters
from m4nmt.train.settings import RunConfig

DAY = 86_400.0


@dataclass(frozen=True)
class Plan:
    """What a run needs and how long it takes. Bytes and seconds throughout."""

    job: Job
    machine: Machine
    memory: tuple[DeviceBytes, ...]
    sent: tuple[cost.Sent, ...]
    times: Times
    steps: int

    @cached_property
    def timeline(self) -> Timeline:
        """The pipeline's step, simulated."""
        parallel = self.job.parallel
        schedule = parallel.schedule if self.job.pipelined else "1f1b"
        pieces = parallel.microbatches
        return simulate(schedule, parallel.pipeline, parallel.virtual, pieces, self.times)

    @property
    def fullest(self) -> DeviceBytes:
        """The device that needs most memory."""
        return max(self.memory, key=lambda device: device.total)

    @property
    def fits(self) -> bool:
        """Whether every device has room."""
        return self.fullest.total <= self.machine.memory

    @property
    def reducing(self) -> float:
        """Seconds of a step in which gradients are summed and nothing is computed."""
        return cost.reductions(self.job, self.machine, list(self.sent))

    @property
    def seconds(self) -> float:
        """Of a step."""
        return self.timeline.makespan + self.reducing

    @property
    def least_seconds(self) -> float:
        """No step can be shorter: the busiest device without waiting."""
        pipeline, pieces = self.job.parallel.pipeline, self.job.parallel.microbatches
        both = [a + b for a, b in zip(self.times.forward, self.times.backward, strict=True)]
        return pieces * max(sum(both[k::pipeline]) for k in range(pipeline)) + self.reducing

    @property
    def tokens(self) -> int:
        """Target tokens of a step, padding included."""
        return self.job.batch.rows * self.job.batch.tgt

    @property
    def tokens_per_second(self) -> float:
        """Target tokens of all devices."""
        return self.tokens / self.seconds

    @property
    def days(self) -> float:
        """Of the recipe's steps."""
        return self.steps * self.seconds / DAY

    @property
    def utilisation(self) -> float:
        """Model FLOPs utilisation (PaLM, arXiv:2204.02311, appendix B)."""
        rated = self.machine.flops * self.machine.devices
        return cost.step_flops(self.job) / rated / self.seconds

    @property
    def traffic(self) -> dict[str, float]:
        """Bytes that the busiest device sends in a step, by kind."""
        return cost.traffic(self.job, list(self.sent))

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        total, active = parameters(self.job.whole)
        return {
            "recipe": self.job.name,
            "machine": self.machine._asdict(),
            "parallel": to_dict(self.job.parallel),
            "layout": asdict(self.job.layout),
            "parameters": total,
            "active_parameters": active,
            "batch": self.job.batch._asdict(),
            "microbatch": self.job.piece._asdict(),
            "fits": self.fits,
            "devices": [
                {
                    "pipeline_rank": d.device,
                    "stages": [
                        {"stage": s, "first": names[0], "last": names[-1], "segments": len(names),
                         "alive": alive}
                        for s, names, alive in zip(d.stages, d.segments, d.alive, strict=True)
                    ],
                    "parameters": d.parameters,
                    "bytes": {**d.bytes, "total": d.total},
                }
                for d in self.memory
            ],
            "traffic": self.traffic,
            "bubble": self.timeline.bubble,
            "step_seconds": self.seconds,
            "reduce_seconds": self.reducing,
            "tokens_per_step": self.tokens,
            "tokens_per_second": self.tokens_per_second,
            "utilisation": self.utilisation,
            "steps": self.steps,
            "days": self.days,
        }  # fmt: skip


def plan(config: RunConfig, machine: Machine, device: Device = "cuda") -> Plan:
    """The plan of a recipe as it stands.

    Raises:
        ValueError: a layout that the model, the batch or the number of devices does not allow.
    """
    return plan_job(job(config, machine.devices, device), machine, config.train.steps)


def plan_job(made: Job, machine: Machine, steps: int) -> Plan:
    """The plan of a job."""
    sent = cost.sent(made)
    return Plan(
        job=made,
        machine=machine,
        memory=tuple(device_bytes(made)),
        sent=tuple(sent),
        times=cost.times(made, machine, sent),
        steps=steps,
    )
