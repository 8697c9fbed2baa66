"""A plan in words and figures for a person to read. Sizes are decimal: 1 GB is 10**9 bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from towpath.core.units import size
from towpath.plan.machine import Machine, Trial
from towpath.plan.plan import Plan
from towpath.plan.prices import Device
from towpath.plan.remedies import Remedy
from towpath.plan.scaling import Fabric, Pair, Point, Step, critical_batch_tokens

_NAME_WIDTH = 22
_LOSS = 3.0  # nats a token, an example


def page(plan: Plan, machine: Machine | None, changes: Sequence[Remedy]) -> str:
    """The whole plan."""
    lines = [*_size_lines(plan), *_memory_lines(plan), *_time_lines(plan, machine), *_loss_lines(plan)]
    lines += _quote_lines(plan)
    return "\n".join([*lines, "", *_verdict(plan, changes)])


def short(plan: Plan) -> str:
    """One line for the start of a run."""
    known = [
        f"{plan.parameters:,} parameters",
        f"{plan.tokens:,} tokens in {plan.steps:,} steps",
        f"{_count(plan.flops)} operations",
        f"memory {size(plan.peak_bytes)}",
        f"disk {size(plan.disk.most)}",
    ]
    if plan.seconds is not None:
        known.append(f"about {duration(plan.seconds)}")
    return "plan: " + ", ".join(known)


def warnings(plan: Plan) -> list[str]:
    """What there is too little of, with both numbers."""
    said = []
    if "memory" in plan.lacks and plan.free_memory_bytes is not None:
        free = size(plan.free_memory_bytes)
        said.append(f"Training takes {size(plan.peak_bytes)} of memory at its peak, {free} are free.")
    if "disk" in plan.lacks:
        said.append(
            f"Checkpoints take up to {size(plan.disk.most)} of disk, {size(plan.free_disk_bytes)} are free."
        )
    return said


def scaling_page(
    step: Step, device: Device, fabric: Fabric, curves: tuple[Sequence[Point], Sequence[Point]], tokens: int
) -> str:
    """Strong and weak scaling; ``tokens``: of the whole run, for its cost."""
    strong, weak = curves
    lines = [
        f"{device.name}: {fabric.node.name} in nodes of {fabric.node_devices}, {fabric.network.name} between",
        f"one device: {step.seconds:.3g} s a step of {step.sequences * step.sequence_tokens:,} tokens, "
        f"{step.origin}",
        "",
        f"strong scaling: {step.sequences:,} sequences a step, whatever the number of devices",
        *_curve_lines(strong, device, tokens),
    ]
    if len(strong) < len(weak):
        lines.append(f"{weak[len(strong)].devices:>7,}  less than one sequence a device; so for all beyond")
    grown = weak[-1].devices * step.batch_size * step.sequence_tokens
    critical = round(critical_batch_tokens(_LOSS) / 1e5) / 10
    lines += [
        "",
        f"weak scaling: {step.batch_size:,} sequences a step for each device",
        *_curve_lines(weak, device, tokens),
        "",
        "Left figure: all communication hidden behind computing that can hide it; right: none of it.",
        f"The largest batch here has {grown:,} tokens. Beyond a critical batch, about {critical} million at "
        f"a loss of {_LOSS:g} nats a token (Kaplan et al. 2020, equation 1.4),",
        "a larger one saves few steps.",
    ]
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Seconds in a unit that fits."""
    for unit, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:,.1f} {name}"
    return f"{seconds:.1f} seconds"


def _curve_lines(points: Sequence[Point], device: Device, tokens: int) -> Iterator[str]:
    price, heading = device.price_per_hour, f"{'devices':>7}{'sequences':>11}{'ms a step':>18}"
    cost = "" if price is None else f"{device.currency} for the run"
    yield f"{heading}{'waiting':>14}{'efficiency':>16}{'tokens/s':>28}{cost:>22}"
    for point in points:
        paid = ""
        if price is not None:
            hours = [tokens / rate / 3600 for rate in point.tokens_per_second]
            paid = " to ".join(f"{price * point.devices * one:,.2f}" for one in hours)
        yield (
            f"{point.devices:>7,}{point.sequences:>11,}{_pair(point.seconds, 1000):>18}"
            f"{_percent(point.communication):>14}{_percent(point.efficiency):>16}"
            f"{_pair(point.tokens_per_second):>28}{paid:>22}"
        )


def _pair(pair: Pair, times: float = 1) -> str:
    return " to ".join(f"{times * one:,.{0 if times * one >= 100 else 1}f}" for one in pair)


def _percent(pair: Pair) -> str:
    return " to ".join(f"{100 * one:.0f}" for one in pair) + " %"


def _row(name: str, text: str) -> str:
    return f"{name:<{_NAME_WIDTH}}{text}"


def _count(number: float) -> str:
    return f"{number:.3g}".replace("e+", "e")


def _size_lines(plan: Plan) -> Iterator[str]:
    yield _row("parameters", f"{plan.parameters:,}")
    yield _row("steps", f"{plan.steps:,} of {plan.tokens_a_step:,} tokens")
    yield _row("tokens", f"{plan.tokens:,}")
    yield _row("operations", _count(plan.flops))
    yield _row("disk", f"{size(plan.disk.most)} ({size(plan.disk.checkpoint)} a save, weights alone "
               f"{plan.disk.weights:,} bytes); {size(plan.free_disk_bytes)} free")  # fmt: skip


def _memory_lines(plan: Plan) -> Iterator[str]:
    free = "" if plan.free_memory_bytes is None else f"; {size(plan.free_memory_bytes)} free"
    yield _row("memory, peak", size(plan.peak_bytes) + free)
    for kind, taken in plan.memory.items():
        yield _row(f"  {kind}", size(taken))
    if "framework" not in plan.memory:
        yield "  Tensors alone: towpath plan measures what Python, torch and the allocator add."


def _time_lines(plan: Plan, machine: Machine | None) -> Iterator[str]:
    if machine is None or plan.seconds is None or plan.seconds_a_step is None:
        yield _row("time", "not known here: towpath plan measures this machine")
        return
    share = plan.flops / plan.steps / plan.seconds_a_step / machine.matmul_flops
    yield _row("time", f"{duration(plan.seconds)}, {plan.seconds_a_step:.3g} s a step, validations included")
    yield _row("  machine", f"{machine.processor}, {machine.threads} threads, torch {machine.torch}")
    yield _row("  tried", _trial(machine.trial))
    yield _row(
        "  matrix products", f"{machine.matmul_flops / 1e9:.0f} GFLOP/s, of which {share:.0%} are used"
    )
    yield _row("  memory bandwidth", f"{machine.bandwidth / 1e9:.1f} GB/s")
    if plan.kilowatt_hours is not None:
        yield _row("  energy", f"{plan.kilowatt_hours:.3g} kWh")
    if plan.cost is not None:
        yield _row("  cost", f"{plan.cost[0]:.2f} {plan.cost[1]}")
    if plan.kilowatt_hours is None and plan.cost is None:
        yield _row("  energy, cost", 'unknown: an entry "here" in a price list says what this machine takes')


def _trial(trial: Trial | None) -> str:
    if trial is None:
        return "nothing of this model: told from small ones"
    what = f"{trial.steps} steps of {trial.layers} layers, {trial.batch_size} sequences a pass"
    return f"{what}: {trial.seconds:.3g} s each, {size(trial.peak_bytes)}"


def _loss_lines(plan: Plan) -> Iterator[str]:
    loss = plan.loss
    if loss is None:
        yield _row("loss", "not known: no runs to tell it from")
        return
    told = f"{loss.bits_per_byte:.3f} bits/byte ({loss.low:.3f} to {loss.high:.3f}, 90 % interval)"
    yield _row("loss", f"{told}, on text like that of {loss.data}")
    for what in loss.outside:
        yield _row("  not to rely on", what)


def _quote_lines(plan: Plan) -> Iterator[str]:
    if not plan.quotes:
        return
    yield ""
    yield f"{'on a device':<{_NAME_WIDTH}}{'time':>30}{'kWh':>22}{'cost':>26}  memory"
    for quote in plan.quotes:
        times = " to ".join(duration(seconds) for seconds in quote.seconds)
        energy = "" if quote.kilowatt_hours is None else _range(quote.kilowatt_hours)
        cost = "" if quote.cost is None else f"{_range(quote.cost)} {quote.currency}"
        fits = {True: "fits", False: "too small", None: "unknown"}[quote.fits]
        yield f"{quote.device:<{_NAME_WIDTH}}{times:>30}{energy:>22}{cost:>26}  {fits}"
    yield "At 46.2 % to 21.3 % of the device's peak in bf16 (PaLM's and GPT-3's share); sources: --json."


def _range(pair: tuple[float, float]) -> str:
    return f"{pair[0]:.2g} to {pair[1]:.2g}"


def _verdict(plan: Plan, changes: Sequence[Remedy]) -> Iterator[str]:
    if not plan.lacks:
        yield "It fits."
        return
    yield from warnings(plan)
    if not changes:
        yield "No change of one of its settings makes it fit here: a smaller model or a larger machine does."
        return
    yield "What would make it fit, the cheapest first:"
    for change in changes:
        effect = "the same result" if change.same_result else "another model"
        taken = f"{size(change.peak_bytes)} of memory, {change.flops_ratio:.2f} times the operations"
        yield f"  {' '.join(change.settings)}"
        yield f"    {taken}, {effect}"
