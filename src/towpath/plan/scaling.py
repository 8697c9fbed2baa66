"""Strong and weak scaling on paper: a step shared by many devices, from its seconds, bytes and links.

Comes in: seconds of a step on one device, what a parallel mode exchanges, and the links. Goes out:
step time, share of communication, efficiency and tokens a second for each number of devices.

An all-gather or a reduce-scatter of S bytes over a ring of n takes (n - 1)/n S/rate + (n - 1) latency:
Hockney's model, as in Thakur, Rabenseifner and Gropp 2005, "Optimization of Collective Communication
Operations in MPICH", section 4.1; an all-reduce is one of each, 2(n - 1)/n S bytes. Over several nodes
the rings are those within a node, for S bytes, and those between nodes, where each of a node's g devices
has S/g. Bytes by mode: Rajbhandari et al. 2020 (ZeRO), arXiv:1910.02054, section 7: two collectives for
stages 1 and 2, three for stage 3; Zhao et al. 2023 (FSDP), arXiv:2304.11277. Deviation: with
accumulation, what is gathered for each micro-batch is counted for each.

Every time is a pair: all communication hidden behind computing that can hide it, and none of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from towpath.core.errors import ConfigError
from towpath.plan.machine import Machine
from towpath.plan.prices import MOST_SHARE, Device, Link, named
from towpath.plan.trace import Trace
from towpath.train.config import TrainConfig
from towpath.train.parallel.ddp import DDPConfig
from towpath.train.parallel.deepspeed import DeepSpeedConfig
from towpath.train.parallel.fsdp import FSDPConfig
from towpath.train.parallel.single import SingleConfig

Pair = tuple[float, float]
"""All communication hidden that can be, none hidden."""

_BACKWARD_SHARE = 2 / 3
"""Of a pass: twice the forward's operations, Kaplan et al. 2020, arXiv:2001.08361, section 2.1."""
_CRITICAL_TOKENS, _CRITICAL_POWER = 2e8, 0.21
_HALF = ("auto", "bf16", "fp16")


@dataclass(frozen=True)
class Step:
    """An optimizer step of one device with the whole batch."""

    sequences: int
    """Of the batch."""
    batch_size: int
    """Sequences of one forward pass, at most."""
    sequence_tokens: int
    pass_seconds: float
    """Forward and backward of one sequence."""
    update_seconds: float
    """Clipping and the optimizer."""
    origin: str = ""
    """Where the seconds are from, in words."""

    @property
    def seconds(self) -> float:
        """Of the whole step."""
        return self.sequences * self.pass_seconds + self.update_seconds

    def measured(self, tokens_per_second: float) -> Step:
        """The same where one device is known to learn from ``tokens_per_second``."""
        ratio = self.sequences * self.sequence_tokens / tokens_per_second / self.seconds
        return replace(
            self,
            pass_seconds=self.pass_seconds * ratio,
            update_seconds=self.update_seconds * ratio,
            origin="as measured",
        )


@dataclass(frozen=True)
class Fabric:
    """How devices are connected."""

    node_devices: int
    node: Link
    network: Link

    def seconds(self, size_bytes: float, messages: int, devices: int) -> float:
        """Of an all-gather or a reduce-scatter of ``size_bytes`` in all, cut into ``messages``.

        Raises:
            ConfigError: ``devices`` are not whole nodes.
        """
        members = min(devices, self.node_devices)
        nodes, left = divmod(devices, members)
        if left:
            raise ConfigError(
                f"{devices:,} devices are not whole nodes of {members}. Try {nodes * members:,} or "
                f"{(nodes + 1) * members:,}."
            )
        inside, outside = (members - 1) / members, (nodes - 1) / nodes / members
        moving = inside * size_bytes / _rate(self.node) + outside * size_bytes / _rate(self.network)
        hops = (members - 1) * self.node.latency_seconds + (nodes - 1) * self.network.latency_seconds
        return moving + messages * hops


@dataclass(frozen=True)
class Traffic:
    """What a parallel mode exchanges, in collectives: all-gathers and reduce-scatters."""

    size_bytes: float
    """Of the tensors of one collective, all devices' parts together."""
    messages: int
    """That they are cut into."""
    each_step: int = 0
    each_micro_batch: int = 0
    after_update: int = 0
    """Collectives that nothing hides."""
    hiding_share: float = _BACKWARD_SHARE
    """Part of a pass that can hide the others."""
    update_is_shared: bool = False


@dataclass(frozen=True)
class Point:
    """A step on a number of devices."""

    devices: int
    sequences: int
    """A device's part of the batch, at most."""
    seconds: Pair
    communication: Pair
    """Share of the step that the devices only wait for each other."""
    efficiency: Pair
    """Seconds of one device for the same batch, over the step's seconds of all devices."""
    tokens_per_second: Pair


def step_of(trace: Trace, train: TrainConfig, sequence_tokens: int, place: Device | Machine) -> Step:
    """The step that was traced: on a measured machine, or by operations and bytes on a device.

    Raises:
        ConfigError: nothing is known of the device's speed.
    """
    sequences = train.batch_size * train.gradient_accumulation_steps
    passes = trace.costs.plus(trace.update, -1)
    if isinstance(place, Machine):
        update = place.seconds(replace(trace, costs=trace.update))
        pass_seconds = (place.seconds(trace) - update) / sequences
        origin = "as the plan tells for this machine"
    elif place.peak_flops is None:
        raise ConfigError(f'The price list does not say peak_flops of "{place.name}", nor was it measured.')
    else:
        speed = MOST_SHARE * place.peak_flops
        moving = trace.update.bytes / place.bandwidth if place.bandwidth else 0
        update, pass_seconds = trace.update.flops / speed + moving, passes.flops / speed / sequences
        origin = f"at {MOST_SHARE:.1%} of its peak in bf16 (PaLM's share)"
    return Step(sequences, train.batch_size, sequence_tokens, pass_seconds, update, origin)


def fabric_of(device: Device, links: Sequence[Link]) -> Fabric:
    """How devices of a price list are connected.

    Raises:
        ConfigError: the device names a link that the list does not have, or none.
    """
    node = named(links, device.node_link, f'node_link of "{device.name}"')
    return Fabric(device.node_devices, node, named(links, device.network, f'network of "{device.name}"'))


def traffic_of(train: TrainConfig, weight_bytes: int, blocks: int) -> Traffic:
    """What ``train.parallel`` exchanges; of ``single``, what ddp would. Weights and gradients are as large.

    Raises:
        ConfigError: nothing is known of this mode's bytes.
    """
    mode = train.parallel
    if isinstance(mode, SingleConfig | DDPConfig):
        bucket_bytes = (mode if isinstance(mode, DDPConfig) else DDPConfig()).bucket_mb * 2**20
        return Traffic(weight_bytes, math.ceil(weight_bytes / bucket_bytes), each_step=2)
    if isinstance(mode, FSDPConfig):
        gathers = 2 if mode.reshard_after_forward else 1
        return Traffic(weight_bytes, blocks + 1, 1, gathers, hiding_share=1, update_is_shared=True)
    if isinstance(mode, DeepSpeedConfig):
        return _zero(mode, weight_bytes / 4, 2 if train.precision in _HALF else 4)
    raise ConfigError(
        f'Scaling on paper is not told for train.parallel.type = "{mode.type}". Take ddp, fsdp or deepspeed.'
    )


def numbers_of_devices(most: int, node_devices: int) -> list[int]:
    """1, 2, 4 … within a node, then whole nodes doubled, up to ``most``."""
    numbers = [1]
    while (doubled := numbers[-1] * 2) < most:
        numbers.append(node_devices if numbers[-1] < node_devices < doubled else doubled)
    return [*numbers, most] if most > 1 else numbers


def strong(step: Step, traffic: Traffic, fabric: Fabric, numbers: Sequence[int]) -> list[Point]:
    """The batch stays: devices have a part of it. Numbers that leave one without a sequence are left out."""
    total = step.sequences
    return [point(step, traffic, fabric, n, (total, math.ceil(total / n))) for n in numbers if n <= total]


def weak(step: Step, traffic: Traffic, fabric: Fabric, numbers: Sequence[int]) -> list[Point]:
    """Each device has one forward pass of sequences: the batch grows with their number."""
    size = step.batch_size
    return [point(step, traffic, fabric, n, (n * size, size)) for n in numbers]


def point(step: Step, traffic: Traffic, fabric: Fabric, devices: int, sequences: tuple[int, int]) -> Point:
    """A step of ``sequences``, in all and at most a device."""
    total, own = sequences
    micro_batches = math.ceil(own / step.batch_size)
    passes = own * step.pass_seconds
    busy = passes + step.update_seconds / (devices if traffic.update_is_shared else 1)
    collective = fabric.seconds(traffic.size_bytes, traffic.messages, devices)
    exchanged = collective * (traffic.each_step + traffic.each_micro_batch * micro_batches)
    hidden = traffic.hiding_share * (passes if traffic.each_micro_batch else passes / micro_batches)
    after = collective * traffic.after_update
    waits = max(0.0, exchanged - hidden) + after, exchanged + after
    ideal = (total * step.pass_seconds + step.update_seconds) / devices

    fast, slow = busy + waits[0], busy + waits[1]
    tokens = total * step.sequence_tokens
    return Point(
        devices=devices,
        sequences=own,
        seconds=(fast, slow),
        communication=(waits[0] / fast, waits[1] / slow),
        efficiency=(ideal / fast, ideal / slow),
        tokens_per_second=(tokens / fast, tokens / slow),
    )


def critical_batch_tokens(loss: float) -> float:
    """Beyond it a larger batch saves few steps: Kaplan et al. 2020, arXiv:2001.08361, equation 1.4.

    ``loss``: nats a token, of their tokenizer and text.
    """
    return _CRITICAL_TOKENS / loss ** (1 / _CRITICAL_POWER)


def _rate(link: Link) -> float:
    return link.bytes_per_second / link.shared_by


def _zero(mode: DeepSpeedConfig, elements: float, element_bytes: int) -> Traffic:
    """ZeRO's stages. From stage 2 on gradients are shared out after each micro-batch."""
    counts = {
        1: {"each_step": 1, "after_update": 1},
        2: {"each_micro_batch": 1, "after_update": 1},
        3: {"each_micro_batch": 3, "hiding_share": 1},
    }[mode.zero_stage]
    messages = math.ceil(elements / mode.bucket_size)
    return Traffic(elements * element_bytes, messages, **counts, update_is_shared=True)
