"""Ways to compute attention, and the one table that says which runs and why.

Comes in: queries, keys and values, and a ``Sight``. Goes out: what the queries gather. All give the
same numbers up to rounding. ``choose`` takes the first of ``BACKENDS`` that can run and is worth it;
``explain`` prints the verdict on each. To add one: a module here that makes a ``Backend``, and its
place in ``BACKENDS``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from towpath.core.errors import ModelError, did_you_mean
from towpath.model.backends.blocked import BLOCKED
from towpath.model.backends.case import Backend, Case
from towpath.model.backends.flash import FLASH
from towpath.model.backends.flex import FLEX
from towpath.model.backends.reference import REFERENCE
from towpath.model.backends.sdpa import SDPA
from towpath.model.backends.tiled import TILED

if TYPE_CHECKING:
    from towpath.model.sight import Sight

BackendName = Literal["flash", "flex", "tiled", "blocked", "sdpa", "reference"]

BACKENDS: tuple[Backend, ...] = (FLASH, FLEX, TILED, BLOCKED, SDPA, REFERENCE)
"""The best first. SDPA can do everything, so what comes after it runs only when asked for."""

_BY_NAME = {backend.name: backend for backend in BACKENDS}


class Choice(NamedTuple):
    """Which backend runs, and why."""

    name: str
    reason: str


def choose(sight: Sight, case: Case) -> Choice:
    """The backend for ``sight`` in ``case``: that of ``sight.backend``, or the first that is worth it.

    Raises:
        ModelError: ``sight.backend`` names one that does not exist or can't run here, with the reason.
    """
    if sight.backend is not None:
        return _asked_for(sight.backend, sight, case)
    for backend in BACKENDS:
        if backend.refusal(sight, case) is None and backend.needless(sight, case) is None:
            return Choice(backend.name, backend.what)
    raise ModelError(f"No attention backend can run this:\n{explain(sight, case)}")


def explain(sight: Sight, case: Case) -> str:
    """One line a backend: that it runs, that another is better, or why it can't."""
    chosen = sight.backend
    lines = []
    for backend in BACKENDS:
        refusal, needless = backend.refusal(sight, case), backend.needless(sight, case)
        if refusal is not None:
            verdict = f"cannot: {refusal}"
        elif chosen == backend.name or (chosen is None and needless is None):
            chosen, verdict = backend.name, f"runs: {backend.what}"
        else:
            verdict = f"could: {needless or backend.what}"
        lines.append(f"{backend.name:<10}{verdict}")
    return "\n".join(lines)


def named(name: str) -> Backend:
    """The backend called ``name``.

    Raises:
        ModelError: there is none; the text lists all.
    """
    if name not in _BY_NAME:
        options = list(_BY_NAME)
        raise ModelError(
            f"Unknown attention backend {name!r}.{did_you_mean(name, options)} "
            f"Available: {', '.join(options)}."
        )
    return _BY_NAME[name]


def _asked_for(name: str, sight: Sight, case: Case) -> Choice:
    backend = named(name)
    refusal = backend.refusal(sight, case)
    if refusal is not None:
        raise ModelError(
            f"The attention backend {name!r} can't run here: {refusal}. Leave it out, or see explain."
        )
    return Choice(name, "asked for")
