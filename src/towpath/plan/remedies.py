"""What to change in a run that does not fit: the three cheapest changes that would.

Every change is tried by the same trace and the same model of memory as the plan itself. First come
those that leave the result as it is (recomputed activations, smaller passes for the same step, fewer
kept saves), by the time that they add; then those that make another run: another optimizer, a shorter
context, fewer layers, by the share of operations that is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from towpath.core.config import change
from towpath.core.errors import ConfigError
from towpath.plan.machine import Machine
from towpath.plan.plan import Plan, make_plan
from towpath.recipes.run_config import RunConfig

MOST = 3
_LEAST_CONTEXT = 64


@dataclass(frozen=True)
class Remedy:
    """A change under which the run fits."""

    settings: tuple[str, ...]
    """As they are given on the command line."""
    peak_bytes: int
    disk_bytes: int
    flops_ratio: float
    """Operations, of those before."""
    same_result: bool


def remedies(config: RunConfig, plan: Plan, home: Path, machine: Machine | None) -> list[Remedy]:
    """At most ``MOST`` changes that make ``plan`` of ``config`` fit, the cheapest first."""
    found: list[Remedy] = []
    for same_result, candidates in ((True, _equal(config, plan)), (False, _other(config))):
        fitting = []
        for ladder in candidates:
            remedy = _first_that_fits(config, plan, (home, machine), ladder)
            if remedy:
                fitting.append(Remedy(*remedy, same_result))
        found += sorted(fitting, key=lambda one: one.flops_ratio if same_result else -one.flops_ratio)
        if len(found) >= MOST:
            break
    return found[:MOST]


def _equal(config: RunConfig, plan: Plan) -> Iterator[list[dict[str, Any]]]:
    """Changes after which the same weights come out, up to the last bits."""
    train = config.train
    again = {"train.gradient_checkpointing": True}
    saves = {"train.keep_checkpoints": 1} if "disk" in plan.lacks else {}
    smaller = [{**saves, **one} for one in _smaller_passes(config)]
    if saves:
        yield [saves]
    if "memory" in plan.lacks:
        yield smaller
        if not train.gradient_checkpointing:
            yield [{**saves, **again}]
            yield [{**again, **one} for one in smaller]


def _smaller_passes(config: RunConfig) -> list[dict[str, Any]]:
    size, passes = config.train.batch_size, config.train.gradient_accumulation_steps
    ladder = []
    while size % 2 == 0:
        size, passes = size // 2, passes * 2
        ladder.append({"train.batch_size": size, "train.gradient_accumulation_steps": passes})
    return ladder


def _other(config: RunConfig) -> Iterator[list[dict[str, Any]]]:
    """Changes that make another run, each with what leaves the result alone already done."""
    base: dict[str, Any] = {"train.gradient_checkpointing": True, "train.keep_checkpoints": 1}
    base |= (_smaller_passes(config) or [{}])[-1]
    if config.train.optimizer.type != "muon":
        yield [{**base, "train.optimizer": {"type": "muon"}}]
    layers, context = getattr(config.model, "n_layer", 0), config.model.n_positions
    yield [{**base, "model.n_layer": layers // share} for share in (2, 4, 8) if layers // share]
    shorter = [context // share for share in (2, 4, 8, 16)]
    yield [{**base, "model.n_positions": tokens} for tokens in shorter if tokens >= _LEAST_CONTEXT]


def _first_that_fits(
    config: RunConfig, plan: Plan, where: tuple[Path, Machine | None], ladder: list[dict[str, Any]]
) -> tuple[tuple[str, ...], int, int, float] | None:
    for changes in ladder:
        try:
            changed = make_plan(change(config, changes), *where, memory_bytes=plan.free_memory_bytes)
        except (ConfigError, ValueError):  # a model without this setting, or one that it does not fit
            return None
        if not changed.lacks:
            settings = tuple(f"{name}={_as_toml(value)}" for name, value in changes.items())
            ratio = changed.flops / changed.tokens * plan.tokens / plan.flops
            return settings, changed.peak_bytes, changed.disk.most, ratio
    return None


def _as_toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f'{name}="{item}"' for name, item in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)
