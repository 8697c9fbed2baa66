"""What a run takes and costs on devices of a price list.

A device never reaches its peak: large runs that were published used 21.3 % (GPT-3) to 46.2 % (PaLM) of
it, Chowdhery et al. 2022, arXiv:2204.02311, table 3. Time and cost are given for both shares. The list
also has the links between devices, which ``scaling`` needs.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TypeVar

from pydantic import Field

from towpath.core.config import Section
from towpath.core.errors import ConfigError
from towpath.core.runfile import validated

LEAST_SHARE, MOST_SHARE = 0.213, 0.462
_JOULES_A_KWH = 3.6e6


class Device(Section):
    """An entry of a price list."""

    name: str
    """What it is called; "here" is this machine."""
    peak_flops: float | None = Field(default=None, gt=0)
    """Operations a second of dense bf16 products."""
    bandwidth: float | None = Field(default=None, gt=0)
    """Bytes a second of its memory."""
    memory_bytes: int | None = Field(default=None, gt=0)
    """Its memory."""
    power_watts: float | None = Field(default=None, gt=0)
    """What it draws at full load."""
    source: str = ""
    """Where these figures are from."""
    price_per_hour: float | None = Field(default=None, ge=0)
    """Of renting it."""
    currency: str = "USD"
    """Of the price."""
    price_source: str = ""
    """Where the price is from."""
    price_date: date | None = None
    """When it was so."""
    node_devices: int = Field(default=8, ge=1)
    """Devices of one node."""
    node_link: str | None = None
    """Name of the link between devices of a node."""
    network: str | None = None
    """Name of the link between nodes."""


class Link(Section):
    """What devices talk over."""

    name: str
    """What it is called; devices name it."""
    bytes_per_second: float = Field(gt=0)
    """What a device sends a second while it receives as much."""
    shared_by: int = Field(default=1, ge=1)
    """Devices of a node that have it together."""
    latency_seconds: float = Field(ge=0)
    """Of each hop of a ring, whatever is sent."""
    source: str = ""
    """Where these figures are from."""


EntryT = TypeVar("EntryT", Device, Link)


@dataclass(frozen=True)
class Quote:
    """What a run takes on a device: least and most, at the two shares of its peak."""

    device: str
    seconds: tuple[float, float]
    kilowatt_hours: tuple[float, float] | None
    cost: tuple[float, float] | None
    currency: str
    fits: bool | None
    """Whether the peak of tensors in fp32 fits its memory."""
    source: str


def devices(own: Path | None = None) -> list[Device]:
    """The package's devices and those of the file ``own``; of one name, the own one.

    Raises:
        ConfigError: ``own`` is not such a list.
    """
    return _entries(own, "device", Device)


def links(own: Path | None = None) -> list[Link]:
    """The package's links and those of the file ``own``; of one name, the own one.

    Raises:
        ConfigError: ``own`` is not such a list.
    """
    return _entries(own, "link", Link)


def named(entries: Iterable[EntryT], name: str | None, of: str) -> EntryT:
    """The entry called ``name``, or the only one whose name has it as a part; ``of`` is for messages.

    Raises:
        ConfigError: there is none, or there are several.
    """
    known = list(entries)
    same = [entry for entry in known if entry.name == name]
    found = same or [entry for entry in known if name and name.lower() in entry.name.lower()]
    if len(found) == 1:
        return found[0]
    names = ", ".join(f'"{entry.name}"' for entry in known)
    what = "names none" if name is None else f'"{name}" is {"several" if found else "not"} of them'
    raise ConfigError(f"{of}: {what}. The price list has {names}. Others: --prices FILE, see docs/plan.md.")


def _entries(own: Path | None, kind: str, section: type[EntryT]) -> list[EntryT]:
    found: dict[str, EntryT] = {}
    for path in (Path(__file__).with_name("prices.toml"), *([own] if own else [])):
        try:
            tables = tomllib.loads(path.read_text())
            if wrong := tables.keys() - {"device", "link"}:
                raise ValueError(f"there is no table {sorted(wrong)[0]!r}")
            for number, table in enumerate(tables.get(kind, ())):
                where = f"{kind} {number + 1} ({table.get('name', 'without a name')})"
                entry = validated(section, table, where)
                found[entry.name] = entry
        except OSError as error:
            raise ConfigError(
                f"--prices {path}: {error.strerror or error}. Give a price list, see docs/plan.md."
            ) from error
        except (TypeError, AttributeError, ValueError, ConfigError) as error:
            raise ConfigError(
                f"{path} is no price list: {error}. Expected tables [[device]] with name, peak_flops, "
                "memory_bytes, power_watts, price_per_hour, currency, or [[link]] with name, "
                "bytes_per_second, latency_seconds."
            ) from error
    return list(found.values())


def quotes(flops: float, peak_bytes: int, entries: Iterable[Device]) -> list[Quote]:
    """What ``flops`` operations take on every device but "here"."""
    return [_quote(flops, peak_bytes, device) for device in entries if device.peak_flops is not None]


def kilowatt_hours(seconds: float, watts: float) -> float:
    """Energy of ``watts`` for ``seconds``."""
    return seconds * watts / _JOULES_A_KWH


def _quote(flops: float, peak_bytes: int, device: Device) -> Quote:
    assert device.peak_flops is not None
    least, most = (flops / (device.peak_flops * share) for share in (MOST_SHARE, LEAST_SHARE))
    watts, price = device.power_watts, device.price_per_hour
    return Quote(
        device=device.name,
        seconds=(least, most),
        kilowatt_hours=(kilowatt_hours(least, watts), kilowatt_hours(most, watts)) if watts else None,
        cost=(price * least / 3600, price * most / 3600) if price is not None else None,
        currency=device.currency,
        fits=peak_bytes <= device.memory_bytes if device.memory_bytes else None,
        source=f"{device.source}; {device.price_source}",
    )
