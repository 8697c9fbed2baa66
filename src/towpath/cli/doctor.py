"""``towpath doctor``: what this machine is, what it is good for, and what to do about each problem.

The specification's hardware check, section 1.2. ``facts`` looks (``towpath.cli.machine``),
``verdicts`` judges facts alone, ``report`` puts both in words. The network is judged by what its adapter
says, since towpath sends nothing that was not asked for. Sizes are decimal: 1 GB is 10**9 bytes.
"""

from __future__ import annotations

import argparse
import os
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from towpath.cli.machine import EXTRAS, facts
from towpath.core.errors import ModelError

Facts = Mapping[str, Any]

GPU_MEMORY_BYTES = 24 * 10**9
"""A GPU counts from this size: the specification's RTX 4090 with 24 GB of memory, or better."""

SPECIFICATION = {
    "GPUs of 24 GB or more": (1, 2),
    "memory, bytes": (64 * 10**9, 128 * 10**9),
    "disk, bytes": (2 * 10**12, 10 * 10**12),
}
"""Minimum and recommended (the lower end of "2-4x"): the specification, section 1.2."""

COMMON_CRAWL_BYTES = 3 * 10**12
"""Compressed; the largest download of the specification, section 2.1."""
FAST_LINK = 10**9
"""Bits a second, a crawl in seven hours: the specification asks for "high-bandwidth", without a number."""

FORMATTED_SHARE = 0.9
"""What a file system, or a kernel's own memory, leaves of the size on the box."""

TRAINING_BYTES = 16
"""A parameter in training, fp32: 4 bytes of weight, 4 of gradient, 8 of AdamW's two moments."""
SERVING_BYTES = 4
"""A parameter that only answers, fp32."""
STATE_SHARE = 0.7
"""Share of memory for parameters; the rest is for activations, batches and the interpreter."""
TRAINING_FLOPS = 6
"""Floating-point operations a parameter and token (Kaplan et al. 2020, arXiv:2001.08361, section 2.1)."""
TOKENS_PER_PARAMETER = 20
"""Training tokens that use compute best (Hoffmann et al. 2022, arXiv:2203.15556, table 3)."""
TRAINING_SHARE = 0.5
"""Speed of training, as a share of that of bare matrix products."""
GPT2_SMALL = 124 * 10**6
"""Parameters of the recipe gpt-125m, up to its longer context."""
SECONDS_PER_DAY = 86_400

DEMO_MEMORY_BYTES = 3 * 10**9
DEMO_DISK_BYTES = 2 * 10**9


@dataclass(frozen=True)
class Verdict:
    """One judgement. A ``problem`` keeps towpath from working; ``fix`` is the command that ends it."""

    level: Literal["good", "note", "problem"]
    text: str
    fix: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments of its own."""


def run(options: argparse.Namespace) -> int:
    """Print the report. Returns 1 when there is a problem."""
    from towpath.cli.inputs import print_result

    found = facts()
    judged = verdicts(found)
    result = {"facts": found, "verdicts": [asdict(verdict) for verdict in judged]}
    print_result(options, result, report(found))
    return int(any(verdict.level == "problem" for verdict in judged))


def verdicts(facts: Facts) -> list[Verdict]:
    """What the machine is good for, then every note, then every problem."""
    found = [*_uses(facts), *_torch_verdicts(facts), *_package_verdicts(facts), *_room_verdicts(facts)]
    order = ("good", "note", "problem")
    return sorted(found, key=lambda verdict: order.index(verdict.level))


def report(facts: Facts) -> str:
    """Facts and verdicts for a person to read."""
    sections = {
        "This machine": [line for name, value in _described(facts) for line in _wrapped(name, value)],
        "Against the specification, section 1.2": _comparison(facts),
    }
    if backends := facts.get("attention"):
        lines = [line for name, verdict in backends.items() for line in _wrapped(name, verdict)]
        sections["Attention, 2,048 tokens in training"] = lines
    titles = {"good": "What it is good for", "note": "Notes", "problem": "Problems"}
    for verdict in verdicts(facts):
        lines = sections.setdefault(titles[verdict.level], [])
        lines += textwrap.wrap(verdict.text, 112)
        if verdict.fix:
            lines.append(f"    {verdict.fix}")
    sections.setdefault("Problems", ["none"])
    return "\n\n".join(
        "\n".join([title, *(f"  {line}" for line in lines)]) for title, lines in sections.items()
    )


def largest_model(memory_bytes: float, bytes_per_parameter: int) -> int:
    """Parameters that fit in ``memory_bytes``."""
    return int(memory_bytes * STATE_SHARE / bytes_per_parameter)


def largest_model_in_a_day(flops_per_second: float) -> int:
    """Parameters of a model that a day trains on 20 tokens for each of them."""
    return int((SECONDS_PER_DAY / training_seconds(1, flops_per_second)) ** 0.5)


def training_seconds(parameters: int, flops_per_second: float) -> float:
    """How long a model of so many parameters trains on 20 tokens for each of them."""
    flops = TRAINING_FLOPS * parameters * TOKENS_PER_PARAMETER * parameters
    return flops / (flops_per_second * TRAINING_SHARE)


def _uses(facts: Facts) -> Iterator[Verdict]:
    """In plain words: how large a model, limited by memory and by time."""
    torch = facts["torch"]
    if not torch["version"]:
        return
    gpus = torch["gpus"]
    memory = max(gpu["memory_bytes"] for gpu in gpus) if gpus else facts["memory"]["total_bytes"]
    where = "one GPU" if gpus else "memory"
    training, serving = (largest_model(memory, size) for size in (TRAINING_BYTES, SERVING_BYTES))
    in_a_day = largest_model_in_a_day(torch["matmul_flops"])
    days = training_seconds(GPT2_SMALL, torch["matmul_flops"]) / SECONDS_PER_DAY
    yield Verdict(
        "good",
        f"Training in a day: about {_millions(in_a_day)} parameters ({TOKENS_PER_PARAMETER} tokens each, "
        f"at half of {_flops(torch['matmul_flops'])}); GPT-2 small, {_millions(GPT2_SMALL)}, takes "
        f"{_days(days)}.",
    )
    yield Verdict(
        "good",
        f"Training at all: up to about {_millions(training)} parameters fit in {where} "
        f"({TRAINING_BYTES} bytes each, {STATE_SHARE:.0%} of {_size(memory)}).",
    )
    yield Verdict(
        "good", f"Answering: up to about {_millions(serving)} parameters ({SERVING_BYTES} bytes each)."
    )
    if len(gpus) > 1:
        text = f"There are {len(gpus)} GPUs; towpath train takes one, a job takes all:"
        yield Verdict("note", text, f"towpath launch local -n {len(gpus)} run.toml")


def _torch_verdicts(facts: Facts) -> Iterator[Verdict]:
    torch, driver = facts["torch"], facts["nvidia_smi"]
    if not torch["version"]:
        yield Verdict("problem", f"torch can't be imported: {torch['error']}.", "pip install torch")
        return
    try:
        from towpath.model.torch_version import check_torch_version

        check_torch_version(torch["version"])
    except ModelError as error:
        text, _, fix = str(error).partition(" Install it with: ")
        yield Verdict("problem", text, fix)
    if driver and not torch["gpus"]:
        names = ", ".join(driver["names"])
        if torch["cuda_version"] is None:
            text = f"There is a GPU ({names}), and torch {torch['version']} is a build for CPUs only."
            yield Verdict("problem", text, "pip install --force-reinstall torch")
        else:
            text = (
                f"There is a GPU ({names}), and torch, built for CUDA {torch['cuda_version']}, can't use it "
                f"with driver {driver['driver']}. See the reason:"
            )
            yield Verdict("problem", text, 'python -c "import torch; torch.zeros(1).cuda()"')
    if not torch["gpus"] and torch["threads"] < facts["cores"]:
        text = f"torch uses {torch['threads']} of {facts['cores']} cores."
        yield Verdict("note", text, "unset OMP_NUM_THREADS" if "OMP_NUM_THREADS" in os.environ else None)
    if facts["cpu_flags"] and not facts["cpu_flags"]["avx2"] and not torch["gpus"]:
        yield Verdict(
            "note", "The processor has no AVX2: matrix products are several times slower than usual."
        )


def _package_verdicts(facts: Facts) -> Iterator[Verdict]:
    packages = facts["packages"]
    if missing := [name for name, found in packages[""].items() if found is None and name != "torch"]:
        yield Verdict("problem", f"Not installed: {', '.join(missing)}.", f"pip install {' '.join(missing)}")
    for extra, purpose in EXTRAS.items():
        if missing := [name for name, found in packages[extra].items() if found is None]:
            text = f"Not installed: {', '.join(missing)}; for {purpose}."
            yield Verdict("note", text, f'pip install "towpath[{extra}]"')
    if facts["compiler"] is None:
        yield Verdict("note", "There is no C++ compiler; nothing needs one, train.compile would use it.")


def _room_verdicts(facts: Facts) -> Iterator[Verdict]:
    disk, free = facts["disk"], facts["memory"]["free_bytes"]
    elsewhere = "export TOWPATH_HOME=/a/folder/on/a/larger/disk"
    if not disk["writable"]:
        yield Verdict("problem", f"{disk['home']} can't be written to.", elsewhere)
    if disk["free_bytes"] < DEMO_DISK_BYTES:
        text = f"{_size(disk['free_bytes'])} are free for {disk['home']}; the recipe tiny takes up to "
        yield Verdict("problem", f"{text}{_size(DEMO_DISK_BYTES)}.", elsewhere)
    if free is not None and free < DEMO_MEMORY_BYTES:
        text = f"{_size(free)} of memory are free; the recipe tiny takes up to {_size(DEMO_MEMORY_BYTES)}."
        yield Verdict("problem", f"{text} See what holds it:", "ps -eo pid,rss,args --sort=-rss | head")


def _comparison(facts: Facts) -> list[str]:
    """One line an entry of the specification's table."""
    here = (
        sum(gpu["memory_bytes"] >= GPU_MEMORY_BYTES for gpu in facts["torch"]["gpus"]),
        facts["memory"]["total_bytes"],
        facts["disk"]["total_bytes"],
    )
    lines = [f"{'':<24}{'here':>10}{'minimum':>10}{'recommended':>13}"]
    for (name, (minimum, recommended)), found in zip(SPECIFICATION.items(), here, strict=True):
        title, _, unit = name.partition(", ")
        share = FORMATTED_SHARE if unit else 1
        grade = (
            "recommended"
            if found >= recommended * share
            else "enough"
            if found >= minimum * share
            else "below"
        )
        shown = [_size(number) if unit else str(number) for number in (found, minimum, recommended)]
        lines.append(f"{title:<24}{shown[0]:>10}{shown[1]:>10}{shown[2]:>13}  {grade}")
    kind, speed = facts["disk"]["kind"], facts["network"]["bits_per_second"]
    grade = {"NVMe": "recommended", "SSD": "below", "spinning": "below"}.get(kind, "unknown")
    lines.append(f"{'kind of disk':<24}{kind or '?':>10}{'NVMe':>10}{'NVMe':>13}  {grade}")
    here = _bits(speed) if speed else "?"
    grade = "unknown" if not speed else "recommended" if speed >= FAST_LINK else "below"
    lines.append(f"{'network link':<24}{here:>10}{_bits(FAST_LINK):>10}{_bits(FAST_LINK):>13}  {grade}")
    return lines


def _described(facts: Facts) -> Iterator[tuple[str, str]]:
    memory, disk, torch = facts["memory"], facts["disk"], facts["torch"]
    flags = [flag for flag, there in (facts["cpu_flags"] or {}).items() if there]
    yield "towpath", f"{facts['towpath']}, Python {facts['python']}, {facts['platform']}"
    yield "processor", f"{facts['processor']}, {facts['cores']} cores {' '.join(flags)}".rstrip()
    free = f", {_size(memory['free_bytes'])} free" if memory["free_bytes"] is not None else ""
    yield "memory", f"{_size(memory['total_bytes'])}{free}"
    kind = f", {disk['kind']}" if disk["kind"] else ""
    yield "disk", f"{_size(disk['total_bytes'])}{kind}, {_size(disk['free_bytes'])} free, at {disk['home']}"
    yield "network", _link(facts["network"])
    if torch["version"]:
        cuda = f"CUDA {torch['cuda_version']}" if torch["cuda_version"] else "no CUDA"
        speed = _flops(torch["matmul_flops"])
        yield "torch", f"{torch['version']} ({cuda}), {torch['threads']} threads, matrix products {speed}"
    driver = f", driver {facts['nvidia_smi']['driver']}" if facts["nvidia_smi"] else ""
    for gpu in torch["gpus"]:
        capability = f"compute capability {gpu['compute_capability']}"
        yield "GPU", f"{gpu['name']}, {_size(gpu['memory_bytes'])}, {capability}{driver}"
    if not torch["gpus"]:
        yield "GPU", "none that torch can use"
    yield "compiler", facts["compiler"] or "none"
    required = facts["packages"][""].items()
    yield "packages", ", ".join(f"{name} {found or 'missing'}" for name, found in required if name != "torch")


def _link(network: Mapping[str, Any]) -> str:
    """What the fastest link could bring; the way from there to a server may be slower."""
    if not network["link"]:
        return "no link is up; after the installation towpath needs none"
    speed = network["bits_per_second"]
    if not speed:
        return f"{network['link']}, of a speed it does not say"
    hours = 8 * COMMON_CRAWL_BYTES / speed / 3600
    crawl = f"{_size(COMMON_CRAWL_BYTES)} of Common Crawl take {hours:.1f} hours at best"
    return f"{network['link']}, {_bits(speed)}: {crawl}"


def _bits(bits_per_second: float) -> str:
    unit, name = (10**9, "Gbit/s") if bits_per_second >= 10**9 else (10**6, "Mbit/s")
    return f"{bits_per_second / unit:g} {name}"


def _wrapped(name: str, value: str) -> list[str]:
    return textwrap.wrap(value, 100, initial_indent=f"{name:<14}", subsequent_indent=" " * 14)


def _size(size_bytes: float) -> str:
    unit, name = (10**12, "TB") if size_bytes >= 10**12 else (10**9, "GB")
    number = size_bytes / unit
    return f"{number:.1f} {name}" if number < 10 and number != int(number) else f"{number:.0f} {name}"


def _flops(flops_per_second: float) -> str:
    unit, name = (10**12, "TFLOP/s") if flops_per_second >= 10**12 else (10**9, "GFLOP/s")
    return f"{flops_per_second / unit:.0f} {name}"


def _days(days: float) -> str:
    if days > 730:
        return f"{days / 365:.0f} years"
    return f"{days:.0f} days" if days >= 2 else f"{days * 24:.0f} hours"


def _millions(count: float) -> str:
    """Rounded to two digits: an estimate, not a promise."""
    rounded = float(f"{count / 10**6:.2g}")
    return f"{rounded:,.0f} million" if rounded >= 10 else f"{rounded:.2g} million"
