"""Sections of a run file: typed, frozen, every field documented where it is declared.

A room declares a ``Section`` beside the code that it configures. A field that only changes how
fast something runs, never what comes out, is declared ``Execution[...]``; ``identity`` leaves such
fields out, so that a different number of workers does not make a different artifact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.fields import FieldInfo

T = TypeVar("T")
SectionT = TypeVar("SectionT", bound="Section")


class _ExecutionOnly:
    """Marks a field that is no part of what an artifact is."""

    def __repr__(self) -> str:
        return "ExecutionOnly"


EXECUTION_ONLY = _ExecutionOnly()

Execution = Annotated[T, EXECUTION_ONLY]
"""``workers: Execution[int] = 2``: a setting that changes speed or memory and nothing else."""


class Section(BaseModel):
    """One table of the run file: frozen, unknown keys refused, docstrings are the help."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,  # so that 3 is 3.0 in a float field, as it is when read from a file
        protected_namespaces=(),
        allow_inf_nan=False,
    )

    @model_validator(mode="before")
    @classmethod
    def _no_yes_for_a_number(cls, given: Any) -> Any:
        for name, value in given.items() if isinstance(given, Mapping) else ():
            if isinstance(value, bool) and (field := cls.model_fields.get(name)) and _takes_numbers(field):
                raise ValueError(f"{name} = {str(value).lower()} is a yes or no; a number is expected.")
        return given


def _takes_numbers(field: FieldInfo) -> bool:
    kinds = get_args(field.annotation) or (field.annotation,)
    return bool not in kinds and (int in kinds or float in kinds)


def is_execution_only(field: FieldInfo) -> bool:
    """Whether ``field`` was declared ``Execution[...]``."""
    return any(item is EXECUTION_ONLY for item in field.metadata)


def identity(value: Any) -> Any:
    """What ``value`` means, as plain JSON types: its fields without the execution-only ones."""
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return {
            name: identity(getattr(value, name))
            for name, field in sorted(fields.items())
            if not is_execution_only(field)
        }
    if isinstance(value, Mapping):
        return {str(key): identity(item) for key, item in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [identity(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def change(config: SectionT, changes: Mapping[str, Any]) -> SectionT:
    """A copy of ``config`` with dotted fields changed and everything validated again.

    >>> class Inner(Section):
    ...     width: int = 1
    >>> class Outer(Section):
    ...     inner: Inner = Inner()
    >>> change(Outer(), {"inner.width": 2}).inner.width
    2
    """
    tree = config.model_dump(mode="python", exclude_unset=True)
    for path, value in changes.items():
        *parents, leaf = path.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return type(config).model_validate(tree)


def leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting of a section as (dotted path, value), tables of a list by their index."""
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from leaves(getattr(value, name), f"{prefix}.{name}" if prefix else name)
    elif isinstance(value, list | tuple) and any(isinstance(item, BaseModel) for item in value):
        for position, item in enumerate(value):
            yield from leaves(item, f"{prefix}.{position}")
    else:
        yield prefix, value
