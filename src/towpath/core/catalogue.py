"""Catalogues: the named choices of a room, imported only when one is chosen.

A room lists its choices as ``{"length": "towpath.data.filters.length:LengthConfig"}``. A package
of its own adds one through an entry point of the catalogue's group. ``choice()`` makes the
pydantic annotation of a field that holds one of them, chosen by the key ``type``.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from towpath.core.config import Section
from towpath.core.errors import did_you_mean


@dataclass(frozen=True)
class Catalogue:
    """The choices of one kind. ``what`` names one of them in messages ("filter", "optimizer")."""

    what: str
    entries: Mapping[str, str]
    group: str | None = None
    _loaded: dict[str, type[Section]] = field(default_factory=dict, repr=False)

    def names(self) -> list[str]:
        """All names, those of installed entry points included, sorted."""
        return sorted({*self.entries, *self._entry_points()})

    def load(self, name: str) -> type[Section]:
        """The section class called ``name``.

        Raises:
            KeyError: no such choice; the text offers the nearest and lists all.
        """
        if name not in self._loaded:
            target = self.entries.get(name) or self._entry_points().get(name)
            if target is None:
                options = self.names()
                raise KeyError(
                    f"Unknown {self.what} {name!r}.{did_you_mean(name, options)} "
                    f"Available: {', '.join(options)}."
                )
            module, _, attribute = target.partition(":")
            self._loaded[name] = getattr(importlib.import_module(module), attribute)
        return self._loaded[name]

    def choice(self, default: str | None = None) -> Choice:
        """Annotation of a field that holds one choice; ``default`` is taken when ``type`` is absent."""
        return Choice(self, default)

    def _entry_points(self) -> dict[str, str]:
        if self.group is None:
            return {}
        return {point.name: point.value for point in entry_points(group=self.group)}


@dataclass(frozen=True)
class Choice:
    """The pydantic annotation of a field that holds one section of ``catalogue``."""

    catalogue: Catalogue
    default: str | None

    def validate(self, value: Any) -> Section:
        """The section that the table ``value`` describes."""
        if isinstance(value, Section):
            return value
        if not isinstance(value, Mapping):
            raise PydanticCustomError(
                "no_table", "expected a table with a key 'type', one of: {names}", self._context(value)
            )
        name = value.get("type", self.default)
        if name is None:
            raise PydanticCustomError("choice", "the key 'type' is missing, one of: {names}", self._context())
        try:
            section = self.catalogue.load(str(name))
        except KeyError as error:
            raise PydanticCustomError("choice", "{text}", {"text": str(error.args[0])}) from error
        return section.model_validate(value)

    def _context(self, meant: object = None) -> dict[str, Any]:
        names = self.catalogue.names()
        near = get_close_matches(str(meant), names, n=1) or [self.default or names[0]]
        return {"names": ", ".join(names), "near": near[0]}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.validate,
            serialization=core_schema.plain_serializer_function_ser_schema(_dump, info_arg=True),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        names = self.catalogue.names()
        if self.catalogue.what in _described.get():  # a choice that holds choices of its own kind
            return {"type": "object", "properties": {"type": {"enum": names}}}
        token = _described.set(_described.get() | {self.catalogue.what})
        try:
            return {"oneOf": [_json_schema(self.catalogue.load(name)) for name in names]}
        finally:
            _described.reset(token)


_described: ContextVar[frozenset[str]] = ContextVar("_described", default=frozenset())
"""The catalogues whose choices are being described."""


def _dump(value: Section, info: core_schema.SerializationInfo) -> dict[str, Any]:
    fields = value.model_dump(
        mode=info.mode, exclude_unset=info.exclude_unset, exclude_none=info.exclude_none
    )
    chosen = getattr(value, "type", None)
    return fields if chosen is None else {"type": chosen, **fields}


def _json_schema(section: type[Section]) -> dict[str, Any]:
    schema = section.model_json_schema()
    return _inlined(schema, schema.pop("$defs", {}))


def _inlined(value: Any, definitions: Mapping[str, Any]) -> Any:
    """``value`` with each reference to one of ``definitions`` replaced by it, so that it stands alone."""
    if isinstance(value, list):
        return [_inlined(item, definitions) for item in value]
    if not isinstance(value, dict):
        return value
    name = str(value.get("$ref", "")).removeprefix("#/$defs/")
    rest = {key: _inlined(item, definitions) for key, item in value.items() if key != "$ref"}
    return {**_inlined(definitions[name], definitions), **rest} if name in definitions else rest
