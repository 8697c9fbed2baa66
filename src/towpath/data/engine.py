"""The engine: where the work of the data room runs, and the only module that knows Daft and Ray.

A few verbs: tasks (``each``), rules over columns (``first_true``), groups of equal keys (``groups``).
The same code runs on one machine (worker processes, Daft's native runner) and on a Ray cluster (Ray
tasks, Daft's Ray runner). No verb's result depends on where it ran.

On Ray the cluster is the one at ``RAY_ADDRESS`` ("auto" finds one on this machine, "ray://host:10001"
or "host:6379" one elsewhere); without that variable a local cluster is started and ends with this
process. Since version 2.53 Ray asks for a token: it lies in ``~/.ray/auth_token`` or ``RAY_AUTH_TOKEN``
and is the same on all nodes. Tasks read and write files below the home folder, so that folder and
the sources' have to be on storage that all nodes see under the same path, and this package has to be
installed on each.
Daft and Ray would report their use over the network; that is switched off before they are imported.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from towpath.core.errors import ConfigError, need
from towpath.data import workers as processes

if TYPE_CHECKING:
    import daft
    import numpy as np
    import pyarrow as pa

Item = TypeVar("Item")
Result = TypeVar("Result")

Runner = Literal["native", "ray"]

_SETTINGS = {
    "DAFT_ANALYTICS_ENABLED": "0",
    "SCARF_NO_ANALYTICS": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "DAFT_PROGRESS_BAR": "0",
    "RAY_raylet_start_wait_time_s": "120",  # a busy machine needs more than the 30 of Ray
}
_RAY_TASKS_AHEAD = 4  # for each core of the cluster: what waits there does not wait here
_started: tuple[Runner, int | None] | None = None  # what this process runs on


class BadExpressionError(ValueError):
    """An expression that can't be read, or names a column that is not there, or is not true or false."""


@dataclass(frozen=True)
class Condition:
    """What a rule asks of a row: an SQL expression, and the kinds of text that it is asked of."""

    sql: str
    domains: tuple[str, ...]


def start(runner: Runner, workers: int | None) -> None:
    """Choose where the verbs run: here with ``workers`` processes (None: one a core), or on Ray.

    Daft can't change its runner, so the first choice of a process stays.

    Raises:
        ConfigError: this process already runs on the other runner.
        MissingPackageError: Ray is asked for and not installed.
    """
    global _started
    if runner == "ray":
        need("ray", install="towpath[ray]", why='data.engine = "ray"')
    if _started is not None and _started[0] != runner:
        raise ConfigError(
            f'data.engine = "{runner}" is not possible: this process already runs on "{_started[0]}". '
            "Start a new process."
        )
    if _started is None and runner == "ray":
        _start_ray()
    _started = (runner, workers)


def _start_ray() -> None:
    daft = _imported()
    ray = need("ray", install="towpath[ray]", why='data.engine = "ray"')
    address = os.environ.get("RAY_ADDRESS")
    if not ray.is_initialized():
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    daft.set_runner_ray(address=address, noop_if_initialized=True)


def each(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """``function`` of each of ``items``, in their order; several are at work at a time.

    Both have to be picklable. An error in ``function`` is raised here with its own type and text.
    """
    runner, workers = _started or ("native", None)
    if runner == "ray":
        return _each_on_ray(function, items)
    return processes.each(function, items, workers or len(os.sched_getaffinity(0)))


def _each_on_ray(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    import ray

    remote = ray.remote(_on_a_node).options(max_retries=3)
    ahead = max(1, int(ray.cluster_resources().get("CPU", 1))) * _RAY_TASKS_AHEAD
    waiting: deque[Any] = deque()
    for item in items:
        waiting.append(remote.remote(function, item))
        if len(waiting) > ahead:
            yield _result(waiting.popleft())
    while waiting:
        yield _result(waiting.popleft())


def _on_a_node(function: Callable[[Item], Result], item: Item) -> Result:
    """Runs in a worker of Ray: there, Daft must not start another cluster's work."""
    global _started
    _started = ("native", 1)
    return function(item)


def _result(reference: Any) -> Any:
    import ray
    from ray.exceptions import RayTaskError

    try:
        return ray.get(reference)
    except RayTaskError as error:
        raise error.cause from None


def first_true(table: pa.Table, conditions: Sequence[Condition]) -> np.ndarray:
    """For each row the number of the first of ``conditions`` that is true of it, int16; -1 for none.

    ``table`` has the column "domain" beside those that the expressions name. What is null is not true.
    """
    import numpy as np

    daft = _imported()
    from daft.expressions import ExpressionsProjection
    from daft.recordbatch import MicroPartition

    # Without a plan: Daft 0.7.26 panics ("unmaterialized stats") when two of the rules have a part in common.
    asked = [
        (daft.col("domain").is_in(list(condition.domains)) & daft.sql_expr(condition.sql))
        .fill_null(False)
        .alias(str(number))
        for number, condition in enumerate(conditions)
    ]
    first = np.full(table.num_rows, -1, np.int16)
    if asked:
        answers = MicroPartition.from_arrow(table).eval_expression_list(ExpressionsProjection(asked))
        for number, column in reversed(list(enumerate(answers.to_arrow().columns))):
            first[column.to_numpy()] = number
    return first


def check(schema: pa.Schema, sql: str) -> None:
    """See that ``sql`` can be evaluated over columns of ``schema`` and is true or false.

    Raises:
        BadExpressionError: with the reason in a few words.
    """
    daft = _imported() if on_ray() else _native()
    try:
        rows = daft.from_arrow(schema.empty_table()).select(daft.sql_expr(sql).alias("holds"))
        kind = rows.schema()["holds"].dtype
    except Exception as error:  # Daft's parser raises a class that it does not export
        raise BadExpressionError(_last_line(error)) from error
    if kind != daft.DataType.bool():
        raise BadExpressionError(f"it gives {kind}, and true or false is needed")


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].removeprefix("REASON: ").rstrip(".") if lines else type(error).__name__


def groups(keys: np.ndarray) -> Iterator[np.ndarray]:
    """The rows that have a key in common, ascending, where there is more than one; the groups in no order.

    Here they are sorted; on Ray it is a group-by of Daft.
    """
    import numpy as np

    if on_ray():
        yield from _groups_by_daft(keys)
        return
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(keys) else order
    ends = np.append(starts[1:], len(keys))
    for start, end in zip(starts[ends - starts > 1], ends[ends - starts > 1], strict=True):
        yield order[start:end]


def _groups_by_daft(keys: np.ndarray) -> Iterator[np.ndarray]:
    import numpy as np
    import pyarrow as pa

    daft = _imported()
    col = daft.col
    rows: daft.DataFrame = daft.from_arrow(pa.table({"key": keys, "row": np.arange(len(keys))}))
    counted = rows.groupby("key").agg(col("row").list_agg(), col("row").count().alias("n"))
    for members in counted.where(col("n") > 1).select("row").to_arrow()["row"]:
        yield np.sort(members.values.to_numpy())


def on_ray() -> bool:
    """Whether the verbs run on a Ray cluster."""
    return _started is not None and _started[0] == "ray"


def _native() -> Any:
    """Daft on one thread of this process: what is asked of it here is small."""
    daft = _imported()
    with suppress(daft.exceptions.DaftCoreException):  # it has its runner already
        daft.set_runner_native(num_threads=1)
    return daft


def _imported() -> Any:
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    import daft

    return daft
