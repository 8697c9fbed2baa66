"""Scaling on paper, against figures worked out by hand and against its limits."""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from towpath.core.config import change
from towpath.core.errors import ConfigError
from towpath.model.config import ModernConfig
from towpath.model.size import count_parameters
from towpath.plan.machine import Machine
from towpath.plan.operations import Costs
from towpath.plan.prices import Device, Link, devices, links, named
from towpath.plan.scaling import (
    Fabric,
    Step,
    Traffic,
    critical_batch_tokens,
    fabric_of,
    numbers_of_devices,
    step_of,
    strong,
    traffic_of,
    weak,
)
from towpath.plan.trace import Trace, trace_step
from towpath.plan.words import scaling_page
from towpath.train.config import TrainConfig
from towpath.train.parallel.sharded import blocks_of

FABRIC = Fabric(
    node_devices=4,
    node=Link(name="fast", bytes_per_second=100, latency_seconds=0.01),
    network=Link(name="slow", bytes_per_second=20, shared_by=2, latency_seconds=0.1),
)
STEP = Step(sequences=64, batch_size=4, sequence_tokens=10, pass_seconds=3.0, update_seconds=1.0)
TRAIN = TrainConfig(batch_size=4, gradient_accumulation_steps=8)
MODES = {
    "ddp": {"type": "ddp"},
    "fsdp": {"type": "fsdp"},
    "kept": {"type": "fsdp", "reshard_after_forward": False},
    **{f"zero {stage}": {"type": "deepspeed", "zero_stage": stage} for stage in (1, 2, 3)},
}


def traffic(mode: str, weight_bytes: int = 1_000) -> Traffic:
    return traffic_of(change(TRAIN, {"parallel": MODES[mode]}), weight_bytes, 3)


def test_a_collective_takes_what_is_worked_out_by_hand() -> None:
    # 4 in a node: 3/4 of 200 bytes at 100 a second; between 2 nodes 1/2 of 200/4 bytes at 20/2 a second.
    assert FABRIC.seconds(200, 1, 4) == pytest.approx(1.5 + 3 * 0.01)
    assert FABRIC.seconds(200, 5, 8) == pytest.approx(1.5 + 2.5 + 5 * (3 * 0.01 + 1 * 0.1))


def test_an_all_reduce_of_one_ring_moves_the_known_bytes() -> None:
    ring = Fabric(1_000, Link(name="a", bytes_per_second=1, latency_seconds=0), FABRIC.network)
    for n in (2, 3, 1_000):
        assert 2 * ring.seconds(1, 1, n) == pytest.approx(2 * (n - 1) / n)


@pytest.mark.parametrize(
    ("mode", "micro_batches", "collectives"),
    [
        *[("ddp", 1, 2), ("ddp", 8, 2), ("fsdp", 1, 3), ("fsdp", 8, 17), ("kept", 1, 2), ("zero 1", 1, 2)],
        *[("zero 1", 8, 2), ("zero 2", 1, 2), ("zero 2", 8, 9), ("zero 3", 1, 3), ("zero 3", 8, 24)],
    ],
)
def test_modes_exchange_what_their_papers_say(mode: str, micro_batches: int, collectives: int) -> None:
    told = traffic(mode)
    assert told.each_step + told.after_update + told.each_micro_batch * micro_batches == collectives


def test_a_step_of_ddp_on_eight_is_worked_out_by_hand() -> None:
    # 8 sequences a device in 2 passes: 24 s, and 1 s of update. Two collectives of 4.13 s; 2/3 of the last
    # pass of 12 s hide 8 s of them.
    (point,) = strong(STEP, Traffic(200, 1, each_step=2), FABRIC, [8])
    assert point.sequences == 8
    assert point.seconds == pytest.approx((25 + 0.26, 25 + 8.26))
    assert point.communication == pytest.approx((0.26 / 25.26, 8.26 / 33.26))
    assert point.efficiency == pytest.approx((193 / 8 / 25.26, 193 / 8 / 33.26))
    assert point.tokens_per_second == pytest.approx((640 / 25.26, 640 / 33.26))


@pytest.mark.parametrize("mode", MODES)
def test_one_device_waits_for_nobody(mode: str) -> None:
    (point,) = strong(STEP, traffic(mode), FABRIC, [1])
    assert point.seconds == (STEP.seconds, STEP.seconds)
    assert point.communication == (0, 0)
    assert point.efficiency == (1, 1)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("weight_bytes", [1, 1_000, 1_000_000])
def test_efficiency_is_never_above_one_and_weak_scaling_only_loses(mode: str, weight_bytes: int) -> None:
    numbers = numbers_of_devices(1_000, FABRIC.node_devices)
    grown = weak(STEP, traffic(mode, weight_bytes), FABRIC, numbers)
    for point in [*strong(STEP, traffic(mode, weight_bytes), FABRIC, numbers), *grown]:
        assert 0 < point.efficiency[1] <= point.efficiency[0] <= 1 + 1e-12
        assert 0 <= point.communication[0] <= point.communication[1] < 1
    for one, more in pairwise(grown):
        assert more.efficiency[0] <= one.efficiency[0] + 1e-12
        assert more.efficiency[1] < one.efficiency[1]


def test_strong_scaling_ends_where_a_device_has_less_than_one_sequence() -> None:
    points = strong(STEP, traffic("ddp"), FABRIC, [32, 64, 128])
    assert [point.devices for point in points] == [32, 64]
    curves = points, weak(STEP, traffic("ddp"), FABRIC, [32, 64, 128])
    page = scaling_page(STEP, Device(name="d", price_per_hour=1), FABRIC, curves, 10_000)
    assert "128  less than one sequence a device" in page
    assert "critical batch" in page
    assert "one device: 193 s a step of 640 tokens" in page


def test_a_part_of_a_sequence_is_not_dealt_out() -> None:
    (point,) = strong(STEP, Traffic(0, 0), FABRIC, [24])
    assert point.sequences == 3
    assert point.efficiency[0] == pytest.approx((64 * 3 + 1) / 24 / (3 * 3 + 1))


def test_devices_fill_nodes() -> None:
    assert numbers_of_devices(1, 8) == [1]
    assert numbers_of_devices(1_000, 8) == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_000]
    assert numbers_of_devices(36, 6) == [1, 2, 4, 6, 12, 24, 36]
    with pytest.raises(ConfigError, match=r"1,001 devices are not whole nodes of 4\. Try 1,000 or 1,004"):
        weak(STEP, traffic("ddp"), FABRIC, [1_001])


def test_a_step_on_a_device_is_operations_and_bytes() -> None:
    trace = Trace(costs=Costs(product_flops=4_620, bytes=100), update=Costs(product_flops=924, bytes=50))
    device = Device(name="d", peak_flops=100, bandwidth=10)
    step = step_of(trace, TRAIN, 10, device)
    assert step.update_seconds == pytest.approx(924 / 46.2 + 5)
    assert step.pass_seconds == pytest.approx((4_620 - 924) / 46.2 / 32)
    assert step.measured(16.0).seconds == pytest.approx(320 / 16)
    with pytest.raises(ConfigError, match="does not say peak_flops"):
        step_of(trace, TRAIN, 10, Device(name="d"))


def test_a_step_on_a_measured_machine_is_that_of_the_plan() -> None:
    machine = Machine("p", 1, "2", 1, 1, 1, 0, {"product_flops": 1e-3, "bytes": 1e-2}, 0, 0, 1)
    trace = Trace(costs=Costs(product_flops=4_000, bytes=100), update=Costs(bytes=50))
    step = step_of(trace, TRAIN, 10, machine)
    assert step.seconds == pytest.approx(machine.seconds(trace))
    assert step.update_seconds == pytest.approx(0.5)


def test_weights_are_counted_as_what_is_exchanged() -> None:
    trace = Trace(weights={"a": ((2, 3), torch.float32), "b": ((5,), torch.float32)})
    assert trace.weight_bytes == 44
    mebibytes = change(TRAIN, {"parallel": {"type": "ddp", "bucket_mb": 1.0}})
    assert traffic_of(mebibytes, 5 * 2**20 + 1, 3).messages == 6
    assert traffic("fsdp").messages == 4
    assert traffic("zero 3").size_bytes == 500  # DeepSpeed sends bf16


def test_an_update_is_traced_once_a_step_and_fsdp_has_a_message_a_block() -> None:
    model = ModernConfig(vocab_size=64, n_positions=16, n_embd=32, n_layer=2, n_head=2)
    once, twice = (
        trace_step(model, change(TRAIN, {"batch_size": 1, "gradient_accumulation_steps": n})) for n in (1, 2)
    )
    assert once.update == twice.update
    assert once.update.flops == 0
    assert once.update.bytes > 4 * once.weight_bytes  # weights, gradients and two moments are moved
    assert once.blocks == len(blocks_of(model.layout())) == 2
    assert once.weight_bytes == 4 * count_parameters(model)


def test_every_device_of_the_list_says_how_it_is_connected() -> None:
    for device in devices():
        fabric = fabric_of(device, links())
        assert fabric.node.source
        assert fabric.network.source


def test_what_the_list_does_not_have_is_refused_with_what_it_has(tmp_path: Path) -> None:
    assert named(devices(), "h100", "--on").name == "H100 80GB SXM"
    with pytest.raises(ConfigError, match=r'"B200" is not of them.*"RTX 4090", "A100 80GB SXM", "H100'):
        named(devices(), "B200", "--on")
    with pytest.raises(ConfigError, match='"80GB" is several of them'):
        named(devices(), "80GB", "--on")
    with pytest.raises(ConfigError, match=r'node_link of "d": "wire" is not of them.*"NVLink 4"'):
        fabric_of(Device(name="d", node_link="wire"), links())
    with pytest.raises(ConfigError, match=r'network of "d": names none'):
        fabric_of(Device(name="d", node_link="NVLink 4"), links())
    own = tmp_path / "own.toml"
    own.write_text('[[link]]\nname = "wire"\nbytes_per_second = 1e9\nlatency_seconds = 1e-5\n')
    both = Device(name="d", node_link="wire", network="wire")
    assert fabric_of(both, links(own)).node.bytes_per_second == 1e9
    with pytest.raises(ConfigError, match="not told for"):
        traffic_of(change(TRAIN, {"parallel": {"type": "tensor"}}), 1, 1)


def test_the_critical_batch_is_that_of_the_paper() -> None:
    assert critical_batch_tokens(1.0) == 2e8
    assert critical_batch_tokens(3.0) == pytest.approx(1.07e6, rel=0.01)


def test_the_verb_prints_scaling_in_place_of_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    from towpath.cli import plan as verb

    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    sizes = ["model.n_embd=32", "model.n_layer=1", "model.n_head=2", "model.n_kv_head=2"]
    sizes += ["model.n_positions=32", "train.batch_size=2", "tokenizer.vocab_size=320"]
    options = parser.parse_args(
        ["tiny", *sizes, "--devices", "1000", "--on", "A100", "--tokens-per-second", "5000"]
    )
    options.json, options.verb = True, "plan"
    assert verb.run(options) == 0
    told = json.loads(capsys.readouterr().out)
    assert [link["name"] for link in told["links"]] == ["NVLink 3", "InfiniBand HDR"]
    assert [point["devices"] for point in told["weak"]][-2:] == [512, 1_000]
    assert told["strong"][0]["tokens_per_second"] == pytest.approx([5_000, 5_000])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--devices", "0"], "--devices 0: expected more than 0"),
        (["--devices", "8", "--tokens-per-second", "-1"], "--tokens-per-second -1: expected more than 0"),
        (["--on", "A100"], "go with --devices N"),
    ],
)
def test_options_that_mean_nothing_are_refused(given: list[str], said: str) -> None:
    from towpath.cli import plan as verb

    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    with pytest.raises(ConfigError, match=said):
        verb.run(parser.parse_args(["tiny", *given]))
