"""Rules: which columns the filters of a run file need, and which rule drops a document first.

A filter names feature sets and rules over their columns. Equal feature sets are computed once; the
rules of all filters are evaluated together, in their order, and the first that holds names the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from towpath.core.errors import ConfigError, did_you_mean
from towpath.data import engine
from towpath.data.features import FeatureSet
from towpath.data.filters import FilterConfig

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

CHARACTERS = "characters"
CONTENT_HASH = "content_hash"
SIGNATURE = "signature"
OF_RECORDS = ("source", "domain", "licence", "url", "path", "date", "n_edits")
"""Columns of records that an expression may name."""


@dataclass(frozen=True)
class Step:
    """One filter of the run file as its rules."""

    name: str
    reasons: tuple[str, ...]
    conditions: tuple[engine.Condition, ...]


def steps_of(filters: Sequence[FilterConfig]) -> list[Step]:
    """The filters in their order; a second one of a kind has a number in its name."""
    names: list[str] = []
    steps = []
    for section in filters:
        kind = str(getattr(section, "type", type(section).__name__))
        names.append(kind)
        name = kind if names.count(kind) == 1 else f"{kind} {names.count(kind)}"
        rules = section.rules()
        conditions = tuple(engine.Condition(rule.drop_when, tuple(section.domains)) for rule in rules)
        steps.append(Step(name, tuple(rule.reason for rule in rules), conditions))
    return steps


def feature_sets(filters: Sequence[FilterConfig]) -> tuple[FeatureSet, ...]:
    """The distinct feature sets that ``filters`` need, in the order in which they are first named.

    Raises:
        ConfigError: two of them give a column of the same name.
    """
    distinct: list[FeatureSet] = []
    for section in filters:
        distinct += [found for found in section.features() if found not in distinct]
    owners: dict[str, FeatureSet] = {}
    for found in distinct:
        for name in found.columns().names:
            other = owners.setdefault(name, found)
            if other is not found or name in (CHARACTERS, CONTENT_HASH, SIGNATURE, *OF_RECORDS):
                raise ConfigError(
                    f"data.filters: the column {name!r} is computed twice, by {other!r} and by {found!r}. "
                    "Give the filters that use it the same settings."
                )
    return tuple(distinct)


def columns_of(sets: Sequence[FeatureSet]) -> pa.Schema:
    """What an expression may name, with types."""
    import pyarrow as pa

    strings = [pa.field(name, pa.string()) for name in OF_RECORDS if name != "n_edits"]
    own = [*strings, pa.field("n_edits", pa.int32()), pa.field(CHARACTERS, pa.int64())]
    return pa.schema([*own, *(column for found in sets for column in found.columns())])


def check_rules(filters: Sequence[FilterConfig], keep_by: Sequence[str] = ()) -> None:
    """See that each rule can be evaluated over the columns that there will be, and ``keep_by`` names some.

    Raises:
        ConfigError: names the filter, the expression, what is wrong and the columns.
    """
    schema = columns_of(feature_sets(filters))
    for name in keep_by:
        if name.removeprefix("-") not in schema.names:
            raise ConfigError(
                f"data.keep_by: there is no column {name!r}.{did_you_mean(name, schema.names)} "
                f"There are the columns: {', '.join(schema.names)}."
            )
    for step in steps_of(filters):
        for reason, condition in zip(step.reasons, step.conditions, strict=True):
            try:
                engine.check(schema, condition.sql)
            except engine.BadExpressionError as error:
                words = condition.sql.replace("(", " ").replace(")", " ").split()
                unknown = [word for word in words if word.isidentifier() and word not in schema.names]
                hints = "".join(did_you_mean(word, schema.names) for word in unknown)
                raise ConfigError(
                    f"data.filters: the rule {reason!r} of the filter {step.name!r} can't be evaluated: "
                    f"{condition.sql!r}: {error}.{hints} There are the columns: {', '.join(schema.names)}."
                ) from error


def first_rule(table: pa.Table, filters: Sequence[FilterConfig]) -> np.ndarray:
    """For each row the number of the first rule that drops it, counted over all filters; -1 for none.

    ``table`` has the columns of ``columns_of``. int16, one a row.
    """
    conditions = [condition for step in steps_of(filters) for condition in step.conditions]
    return engine.first_true(table, conditions)
