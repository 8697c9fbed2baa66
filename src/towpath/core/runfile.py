"""Run files: TOML in, one validated section out, with the origin of every value.

Defaults < recipe < file < ``key=value`` on the command line. A key that is not known is refused
with the nearest that is; every message names the file and the dotted key.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from towpath.core.catalogue import Choice
from towpath.core.config import Section, leaves
from towpath.core.errors import ConfigError, did_you_mean

ConfigT = TypeVar("ConfigT", bound=Section)
COMMAND_LINE = "command line"
DEFAULT = "default"
_PLAIN = {"model_type": "expected a table", "tuple_type": "expected a list", "list_type": "expected a list"}


@dataclass(frozen=True)
class RunFile(Generic[ConfigT]):
    """A validated run file. ``origins`` maps a dotted key to the file or "command line" that set it."""

    config: ConfigT
    origins: Mapping[str, str]

    def origin(self, key: str) -> str:
        """Where the value of ``key`` came from."""
        parts = key.split(".")
        for end in range(len(parts), 0, -1):
            if found := self.origins.get(".".join(parts[:end])):
                return found
        return DEFAULT


def load(config_class: type[ConfigT], path: Path, overrides: Sequence[str] = ()) -> RunFile[ConfigT]:
    """Read ``path`` and apply ``overrides`` such as ``train.max_steps=200``.

    Raises:
        ConfigError: the file is missing or not TOML, or a value can't be meant as written.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows editors begin with a BOM
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror or error}. Write one with: towpath recipe tiny > {path.name}"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}). A run file is TOML.") from error
    return parse(config_class, text, str(path), overrides)


def parse(
    config_class: type[ConfigT], text: str, place: str, overrides: Sequence[str] = ()
) -> RunFile[ConfigT]:
    """Like ``load``, from TOML text; ``place`` names it in messages."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{place} is not valid TOML: {error}.") from error
    origins = {key: place for key, _ in _leaves_of_tree(tree)}
    for override in overrides:
        origins[_apply(tree, override)] = COMMAND_LINE
    return RunFile(validated(config_class, tree, place, origins), origins)


def validated(
    config_class: type[ConfigT], tree: Mapping[str, Any], place: str, origins: Mapping[str, str] | None = None
) -> ConfigT:
    """``tree`` as a section.

    Raises:
        ConfigError: one line for each thing that is wrong.
    """
    try:
        return config_class.model_validate(tree)
    except ValidationError as error:
        lines = [_explain(item, config_class, tree, place, origins or {}) for item in error.errors()]
        raise ConfigError("\n".join(dict.fromkeys(lines))) from error


def to_toml(config: Section, schema: str | None = None) -> str:
    """``config`` as TOML with every default filled in; unset optional values are left out."""
    import tomli_w

    tree = config.model_dump(mode="json", exclude_none=True)
    head = f"#:schema {schema}\n" if schema else ""
    return head + tomli_w.dumps(tree)


def json_schema(config_class: type[Section]) -> str:
    """JSON Schema of the run file, for completion and checking in editors."""
    schema = config_class.model_json_schema()
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"


def _apply(tree: dict[str, Any], override: str) -> str:
    """Set one value in ``tree``. Returns its dotted key, entries of lists by position."""
    key, sign, text = override.partition("=")
    if not sign or not key.strip():
        raise ConfigError(f"{override!r} is not KEY=VALUE, for example train.max_steps=200.")
    *parents, leaf = key.strip().split(".")
    node: Any = tree
    place: list[str] = []
    for parent in parents:
        if isinstance(node, list):
            parent = str(_position(node, parent, override))
            node = node[int(parent)]
        else:
            node = node.setdefault(parent, {})
        place.append(parent)
        if not isinstance(node, dict | list):
            raise ConfigError(f"{override!r}: {'.'.join(place)!r} is a value, not a table.")
    if isinstance(node, list):
        leaf = str(_position(node, leaf, override))
        node[int(leaf)] = _value(text)
    else:
        node[leaf] = _value(text)
    return ".".join([*place, leaf])


def _position(items: list[Any], key: str, override: str) -> int:
    named = [
        index
        for index, item in enumerate(items)
        if isinstance(item, dict) and key in (item.get("name"), item.get("type"))
    ]
    if len(named) == 1:
        return named[0]
    if key.isdigit() and int(key) < len(items):
        return int(key)
    raise ConfigError(
        f"{override!r}: {key!r} is not one of the {len(items)} entries; use 0 to {len(items) - 1} or a name."
    )


def _value(text: str) -> Any:
    """``text`` as TOML when it is TOML, else as it stands, so that strings need no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _leaves_of_tree(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _leaves_of_tree(value, f"{prefix}.{key}" if prefix else key)
    elif isinstance(tree, list) and any(isinstance(item, dict) for item in tree):
        for index, item in enumerate(tree):
            yield from _leaves_of_tree(item, f"{prefix}.{index}")
    else:
        yield prefix, tree


def _explain(
    item: ErrorDetails,
    config_class: type[Section],
    tree: Mapping[str, Any],
    place: str,
    origins: Mapping[str, str],
) -> str:
    key = _key_of(item)
    left = item["type"] == "extra_forbidden" and _of_another_type(key, config_class, tree, origins)
    if left:
        return f"{COMMAND_LINE}: {left[0]}, which {place} gives for another type. {left[1]}"
    place = _blamed(key, place, origins)
    if item["type"] == "extra_forbidden":
        return f"{place}: unknown field {key!r}.{_nearest(key, config_class, tree)}"
    if item["type"] == "missing":
        return f"{place}: {key!r} is missing. {_help(config_class, key)}".rstrip()
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "value_error":  # a rule between fields: it names the fields itself
        return f"{place}: {key + '.' if key else ''}{message}"
    if item["type"] == "choice":
        return f"{place}: {key}: {message}"
    if item["type"] == "no_table":
        message += f". Try {_table(key, item.get('ctx', {})['near'])}"
    message = _PLAIN.get(item["type"], message)
    return f"{place}: {key} = {item['input']!r}: {message[:1].lower() + message[1:]}."


def _key_of(item: ErrorDetails) -> str:
    """The dotted key that ``item`` is about. Of a field of several types pydantic adds which it tried."""
    *parents, leaf = [str(part) for part in item["loc"]] or [""]
    tried = leaf in ("bool", "int", "float", "str") or leaf.startswith("literal[")
    return ".".join(parents if tried else [*parents, leaf])


def _of_another_type(
    key: str, config_class: type[Section], tree: Mapping[str, Any], origins: Mapping[str, str]
) -> tuple[str, str] | None:
    """What is wrong with a key that stayed when the command line changed its table's type; what to do."""
    parent = key.rpartition(".")[0]
    if origins.get(f"{parent}.type") != COMMAND_LINE or origins.get(key) == COMMAND_LINE:
        return None
    table: Any = tree
    for part in parent.split("."):
        table = _inside(table, part)
    known = {name for name, _ in _fields(section_at(config_class, parent, tree))}
    strange = ", ".join(sorted(table.keys() - known))
    what = f"{parent}.type = {table['type']!r} has no {strange}"
    others = f", with any of {', '.join(sorted(known - {'type'}))}" if known - {"type"} else ""
    return what, f"Give the whole table: {_table(parent, table['type'])}{others}."


def _table(key: str, kind: str) -> str:
    """A choice as it is written on a command line."""
    return f"'{key}={{type=\"{kind}\"}}'"


def _blamed(key: str, place: str, origins: Mapping[str, str]) -> str:
    """Where the value of ``key``, one inside it or the table around it was last changed."""
    if not key and COMMAND_LINE in origins.values():
        return f"{place} with the {COMMAND_LINE}"
    near = {
        origin
        for name, origin in origins.items()
        if f"{name}.".startswith(f"{key}.") or f"{key}.".startswith(f"{name}.")
    }
    return COMMAND_LINE if COMMAND_LINE in near else place


def _nearest(key: str, config_class: type[Section], tree: Mapping[str, Any]) -> str:
    """'Did you mean' for a key: first among its neighbours, then anywhere in the file."""
    parent, _, leaf = key.rpartition(".")
    neighbours = [name for name, _ in _fields(section_at(config_class, parent, tree))]
    everywhere = list(known_keys(config_class))
    if key in everywhere:  # another choice of this table has it
        return f" This choice has: {', '.join(sorted(neighbours))}."
    if hint := did_you_mean(leaf, neighbours):
        return hint.replace("'", "'" + (parent + "." if parent else ""), 1)
    same_leaf = [name for name in everywhere if name.rpartition(".")[2] == leaf]
    if same_leaf:
        return f" Did you mean {same_leaf[0]!r}?"
    if hint := did_you_mean(key, everywhere):
        return hint
    return f" Known here: {', '.join(sorted(neighbours))}." if neighbours else ""


def _help(config_class: type[Section], key: str) -> str:
    parent, _, leaf = key.rpartition(".")
    fields = dict(_fields(section_at(config_class, parent, {})))
    description = getattr(fields.get(leaf), "description", None)
    return " ".join((description or "").split())


def _fields(section: type[BaseModel] | None) -> Iterable[tuple[str, Any]]:
    return section.model_fields.items() if section else ()


def section_at(config_class: type[BaseModel], key: str, tree: Mapping[str, Any]) -> type[BaseModel] | None:
    """The section class behind the dotted ``key``; ``tree`` says which choice was made where there is one."""
    current: type[BaseModel] | None = config_class
    node: Any = tree
    for part in key.split(".") if key else ():
        node = _inside(node, part)
        if part.isdigit():
            continue
        field = current.model_fields.get(part) if current else None
        current = _section_of(field, node) if field else None
        if current is None:
            return None
    return current


def _inside(node: Any, part: str) -> Any:
    if isinstance(node, list):
        return node[int(part)] if part.isdigit() and int(part) < len(node) else None
    return node.get(part) if isinstance(node, dict) else None


def _section_of(field: Any, node: Any) -> type[BaseModel] | None:
    choices = [
        item for item in (*field.metadata, *_nested_metadata(field.annotation)) if isinstance(item, Choice)
    ]
    if choices:
        table = node[0] if isinstance(node, list) and node else node
        name = (table.get("type") if isinstance(table, dict) else None) or choices[0].default
        return choices[0].catalogue.load(name) if name in choices[0].catalogue.names() else None
    return next((kind for kind in (field.annotation, *get_args(field.annotation)) if _is_section(kind)), None)


def _nested_metadata(annotation: Any) -> Iterator[Any]:
    for inner in get_args(annotation):
        yield inner
        yield from _nested_metadata(inner)


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def known_keys(config_class: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every dotted key that a run file may hold, the default choice's where there is a choice."""
    for name, field in config_class.model_fields.items():
        key = f"{prefix}.{name}" if prefix else name
        yield key
        inner = _section_of(field, None)
        if inner is not None:
            yield from known_keys(inner, key)


def rows(run_file: RunFile[Any]) -> list[tuple[str, Any, str]]:
    """Every setting as (dotted key, value, origin), in the order of the sections."""
    return [(key, value, run_file.origin(key)) for key, value in leaves(run_file.config)]
