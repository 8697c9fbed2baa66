"""Judging documents in memory: what filters say of them, without artifacts. To try filters and test them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from towpath.data.annotating import Plan, annotate
from towpath.data.document import Document
from towpath.data.filters import FilterConfig
from towpath.data.parts import to_table
from towpath.data.rules import check_rules, feature_sets, first_rule, steps_of


def reasons_to_drop(documents: Sequence[Document], filters: Sequence[FilterConfig]) -> list[str | None]:
    """For each document the reason of the first rule that drops it; None for those that stay.

    Raises:
        ConfigError: a rule can't be evaluated.
    """
    import pyarrow as pa

    check_rules(filters)
    table = to_table(documents)
    found = annotate(table, Plan(feature_sets(filters), shingle_words=1, n_hashes=0))
    table = table.append_column("n_edits", pa.array(np.zeros(len(documents), np.int32)))
    for name in found.column_names:
        table = table.append_column(name, found[name])
    reasons = [reason for step in steps_of(filters) for reason in step.reasons]
    return [None if number < 0 else reasons[number] for number in first_rule(table, filters).tolist()]
