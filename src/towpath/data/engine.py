"""The engine: the only module that knows Daft.

A few verbs over tables: the same code runs on Daft's native runner on one machine and on its Ray
runner on a cluster. No verb promises an order of rows; whoever needs one sorts.
Daft would report its use over the network; that is switched off before it is imported.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from towpath.core.errors import ConfigError, need

if TYPE_CHECKING:
    import daft
    import pyarrow as pa

Runner = Literal["native", "ray"]

_SETTINGS = {
    "DAFT_ANALYTICS_ENABLED": "0",
    "SCARF_NO_ANALYTICS": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "DAFT_PROGRESS_BAR": "0",
}
_ROWS_PER_BATCH = 256  # small enough that the batches of one part occupy all workers
_workers: int | None = None  # the threads that this process started with


def start(runner: Runner, workers: int | None) -> None:
    """Choose where the verbs run: here on ``workers`` threads (None: all cores), or on Ray.

    Ray's address is taken from ``RAY_ADDRESS``; without it a local cluster is started. Daft can't
    change its runner, nor its threads, so the first choice of a process stays.

    Raises:
        ConfigError: this process already runs on the other runner.
        MissingPackageError: Ray is asked for and not installed.
    """
    global _workers
    if runner == "ray":
        need("ray", install="towpath[ray]", why='data.engine = "ray"')
    daft = _daft()
    try:
        if runner == "ray":
            daft.set_runner_ray(address=os.environ.get("RAY_ADDRESS"), noop_if_initialized=True)
        else:
            daft.set_runner_native(num_threads=workers)
        _workers = workers
    except daft.exceptions.DaftCoreException as error:  # there is a runner already
        current = daft.runners.get_or_infer_runner_type()
        if current != runner:
            raise ConfigError(
                f'data.engine = "{runner}" is not possible: this process already runs on "{current}". '
                "Start a new process."
            ) from error
        if workers not in (None, _workers):
            warnings.warn(
                f"data.workers = {workers} is ignored: this process already has its threads.", stacklevel=2
            )


def read_parquet(paths: Sequence[Path], columns: Sequence[str]) -> Frame:
    """Some columns of Parquet files."""
    return Frame(_daft().read_parquet([str(path) for path in paths]).select(*columns))


def from_table(table: pa.Table) -> Frame:
    """The rows of a table in memory."""
    return Frame(_daft().from_arrow(table))


@dataclass(frozen=True)
class Frame:
    """Rows that the engine holds; nothing is computed before ``to_table``."""

    rows: daft.DataFrame

    def map_batches(self, function: Callable[[pa.Table], pa.Table], schema: pa.Schema) -> Frame:
        """Each few hundred rows through ``function``, which returns as many, with columns ``schema``.

        ``function`` is sent to other processes on Ray, so it has to be picklable.
        """
        import pyarrow as pa

        daft = _daft()
        names = self.rows.column_names
        struct = pa.struct(list(schema))

        def on_series(*columns: Any) -> pa.Array:
            arrays = [column.to_arrow() for column in columns]
            result = function(pa.table(arrays, names=names)).cast(schema).combine_chunks()
            return pa.StructArray.from_arrays(
                [_one(column) for column in result.columns], fields=list(schema)
            )

        batched = daft.func.batch(
            return_dtype=daft.DataType.from_arrow_type(struct), unnest=True, batch_size=_ROWS_PER_BATCH
        )
        return Frame(self.rows.select(batched(on_series)(*(daft.col(name) for name in names))))

    def replace_by_minhash(self, column: str, into: str, n_hashes: int, shingle_words: int) -> Frame:
        """``into``, a list of ``n_hashes`` uint32 for the words of ``column``, in that column's place.

        Words are what single spaces part. Null stays null.
        """
        signature = (
            _daft().col(column).minhash(num_hashes=n_hashes, ngram_size=shingle_words, hash_function="xxhash")
        )
        return Frame(self.rows.with_column(into, signature).exclude(column))

    def groups(self, key: str, member: str) -> Frame:
        """One row for each value of ``key`` that more than one row has: the list ``member`` of theirs."""
        col = _daft().col
        counted = self.rows.groupby(key).agg(col(member).list_agg(), col(member).count().alias("_n"))
        return Frame(counted.where(col("_n") > 1).select(member))

    def to_table(self) -> pa.Table:
        """Compute the rows."""
        return self.rows.to_arrow()


def _daft() -> Any:
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    import daft

    return daft


def _one(column: pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa

    return column.chunk(0) if column.num_chunks else pa.array([], column.type)
