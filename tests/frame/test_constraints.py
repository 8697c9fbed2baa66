"""constraints.txt pins what pyproject.toml names as ranges."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

CHECKOUT = Path(__file__).resolve().parents[2]
PINS = dict(
    line.split("==")
    for line in (CHECKOUT / "constraints.txt").read_text().splitlines()
    if not line.startswith("#")
)
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]


def requirements(*extras: str) -> list[Requirement]:
    lines = [*PROJECT["dependencies"]]
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    return [Requirement(line) for line in lines if not line.startswith("towpath[")]


def test_every_dependency_is_pinned_to_a_version_that_its_range_allows() -> None:
    pins = {canonicalize_name(name): Version(version) for name, version in PINS.items()}
    for requirement in requirements("samples", "hf", "dev"):
        pinned = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pinned), f"{requirement} does not allow {pinned}"


def test_torch_has_a_pin_here_and_no_range_there() -> None:
    assert PINS["torch"] == "2.13.0"
    assert [str(item.specifier) for item in requirements() if item.name == "torch"] == [""]


def test_pins_are_sorted_and_exact_and_fit_every_index() -> None:
    names = [name.lower() for name in PINS]
    assert names == sorted(names)
    assert all(re.fullmatch(r"[0-9][0-9a-z.]*", version) for version in PINS.values())
