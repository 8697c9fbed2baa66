"""Bounds: what a dataset must look like to be used, checked against its statistics.

A bound is on one number of the statistics, named by its path: ``all.documents``,
``sources.wiki.mean_characters``, ``all.dropped_share``, ``composition.categories.web.is``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import model_validator

from towpath.core.config import Section
from towpath.core.errors import ConfigError, did_you_mean


class Bound(Section):
    """The least and the greatest value that is good, both included."""

    min: float | None = None
    """The least; None when there is none."""
    max: float | None = None
    """The greatest; None when there is none."""

    @model_validator(mode="after")
    def _leaves_room(self) -> Bound:
        if self.min is None and self.max is None:
            raise ValueError("a bound needs min, max or both.")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min = {self.min:g} is more than max = {self.max:g}: nothing could pass.")
        return self


def violations(facts: Mapping[str, Any], bounds: Mapping[str, Bound]) -> list[str]:
    """What of ``facts`` is outside ``bounds``, one line each.

    Raises:
        ConfigError: a bound is on something that the statistics don't have.
    """
    values = dict(_numbers(facts))
    found = []
    for place, bound in bounds.items():
        if place not in values:
            raise ConfigError(
                f"data.bounds names {place!r}, which the statistics don't have."
                f"{did_you_mean(place, values)} All names: towpath data stats … --json."
            )
        value = values[place]
        if bound.min is not None and value < bound.min:
            found.append(f"{place} is {value:,g}; at least {bound.min:,g} is asked for.")
        if bound.max is not None and value > bound.max:
            found.append(f"{place} is {value:,g}; at most {bound.max:,g} is allowed.")
    return found


def _numbers(value: Any, place: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield place, value
