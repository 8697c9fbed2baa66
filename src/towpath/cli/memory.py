"""What the plan of a run knows of an out of memory: the parts of the peak, and changes that would fit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from towpath.core.errors import ConfigError, TrainError

if TYPE_CHECKING:
    from towpath.recipes.run_config import RunConfig

_SHARE = 0.95
"""Of what did not fit: a change that takes hardly less would not fit either."""


@contextmanager
def memory_planned(config: RunConfig) -> Iterator[None]:
    """Add to an out of memory inside what the plan of ``config`` says; any other error stays as it is."""
    try:
        yield
    except TrainError as error:
        account = getattr(error, "account", None)
        if not account or getattr(error, "stage", None) != "train":  # the plan is of pre-training
            raise
        raise TrainError(f"{error}\n{_planned(config, getattr(error, 'room_bytes', None))}") from error


def _planned(config: RunConfig, room_bytes: int | None) -> str:
    from towpath.core.runs import home_folder
    from towpath.core.units import size
    from towpath.plan.plan import make_plan
    from towpath.plan.remedies import remedies

    home = home_folder()
    try:
        plan = make_plan(config, home)
    except ConfigError as error:
        return f"The plan of this run: {error}"
    known: list[Any] = [value for value in (room_bytes, plan.peak_bytes) if value is not None]
    plan = make_plan(config, home, memory_bytes=int(_SHARE * min(known)))
    parts = ", ".join(f"{kind} {size(taken)}" for kind, taken in plan.memory.items() if taken)
    lines = [f"By the plan of one process in fp32, the peak of {size(plan.peak_bytes)} is {parts}."]
    changes = remedies(config, plan, home, None)
    if changes:
        lines.append("Changes that take less, by that plan (settings for the command line):")
    lines += [f"  {size(one.peak_bytes):>8}  {' '.join(one.settings)}" for one in changes]
    return "\n".join(lines)
