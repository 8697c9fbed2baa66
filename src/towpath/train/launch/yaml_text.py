"""Plain data as YAML: mappings, lists, numbers, booleans, and strings, those of many lines as blocks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def yaml_text(value: Mapping[str, Any]) -> str:
    """``value`` as one YAML document, in the order it is given in."""
    return "\n".join(_lines(value)) + "\n"


def _lines(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [line for key, item in value.items() for line in _entry(f"{key}:", item)]
    return [line for item in value for line in _item(item)]


def _entry(head: str, value: Any) -> list[str]:
    if isinstance(value, str) and "\n" in value:
        return [f"{head} |", *(f"  {line}".rstrip() for line in value.splitlines())]
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str) and value:
        return [head, *(f"  {line}" for line in _lines(value))]
    return [f"{head} {json.dumps(value, ensure_ascii=False)}"]


def _item(value: Any) -> list[str]:
    if isinstance(value, Mapping) and value:
        first, *rest = _lines(value)
        return [f"- {first}", *(f"  {line}" for line in rest)]
    return _entry("-", value)
