from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.core.errors import ConfigError, DataError, MissingPackageError
from towpath.data import engine, workers


def run(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_importing_the_room_imports_nothing_heavy() -> None:
    heavy = (
        '[name for name in ("torch", "daft", "pyarrow", "transformers", "fasttext") if name in sys.modules]'
    )
    assert run(f"import sys, towpath.data; print({heavy})").strip() == "[]"
    catalogues = "[load(name) for load, names in loads for name in names]"
    program = (
        "import sys, towpath.data as d; loads = [(c.load, c.names()) for c in (d.SOURCES, d.FILTERS)]; "
        f"{catalogues}; d.make_documents; d.Documents; print({heavy})"
    )
    assert run(program).strip() == "[]"


def test_the_engine_is_told_not_to_report_its_use() -> None:
    program = (
        "import pyarrow as pa; from towpath.data import engine; "
        "engine.check(pa.schema([('a', pa.int64())]), 'a > 1'); "
        "from daft.scarf_telemetry import opted_out; print(opted_out())"
    )
    assert run(program).strip() == "True"


def test_ray_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    expected = r'ray is not installed; data\.engine = "ray" needs it.*pip install "towpath\[ray\]"'
    with pytest.raises(MissingPackageError, match=expected):
        engine.start("ray", None)


def test_the_runner_of_a_process_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_started", ("ray", None))
    expected = r'data\.engine = "native" is not possible: this process already runs on "ray"\. Start a new'
    with pytest.raises(ConfigError, match=expected):
        engine.start("native", None)


def first_true(conditions: list[tuple[str, tuple[str, ...]]], **columns: list[object]) -> list[int]:
    table = pa.table({"domain": ["prose", "chat", "code"], **columns})
    return engine.first_true(table, [engine.Condition(*condition) for condition in conditions]).tolist()


ALL = ("prose", "chat", "code")


def test_the_first_condition_that_is_true_counts_and_null_is_not_true() -> None:
    conditions = [("size < 5", ALL), ("size < 9 OR word = 'a'", ALL)]
    assert first_true(conditions, size=[3, 7, None], word=["b", None, "a"]) == [0, 1, 1]
    assert first_true(conditions, size=[None, 9, None], word=[None, None, "b"]) == [-1, -1, -1]
    assert first_true([], size=[1, 2, 3]) == [-1, -1, -1]


def test_a_condition_is_asked_of_its_domains_alone() -> None:
    conditions = [("size > 0", ("chat",)), ("size > 0", ("prose", "chat"))]
    assert first_true(conditions, size=[1, 1, 1]) == [1, 0, -1]


def test_conditions_may_repeat_parts_of_each_other() -> None:
    conditions = [("size > 5 AND size < 7", ALL), ("size > 5", ALL), ("size > 5", ALL)]
    assert first_true(conditions, size=[6, 8, 1]) == [0, 1, -1]


@pytest.mark.parametrize("sql", ["size <", "height < 2", "size + 1", "word < 2", "sum(size) > 2"])
def test_an_expression_that_cannot_be_evaluated_is_refused(sql: str) -> None:
    schema = pa.schema([("size", pa.int64()), ("word", pa.string())])
    with pytest.raises(engine.BadExpressionError):
        engine.check(schema, sql)
    engine.check(schema, "size BETWEEN 1 AND 3 OR (word IS NULL AND NOT word IN ('a', 'b'))")


@given(st.lists(st.integers(0, 4), max_size=12))
def test_groups_are_those_with_more_than_one_member(keys: list[int]) -> None:
    found = sorted(rows.tolist() for rows in engine.groups(np.array(keys, np.uint64)))
    rows = {key: [row for row, other in enumerate(keys) if other == key] for key in keys}
    assert found == sorted(members for members in rows.values() if len(members) > 1)


def test_daft_finds_the_same_groups() -> None:
    keys = np.array([5, 6, 5, 7, 6, 5], np.uint64)
    assert sorted(rows.tolist() for rows in engine._groups_by_daft(keys)) == [[0, 2, 5], [1, 4]]


def refuse(number: int) -> int:
    if number == 3:
        raise DataError("three is too many")
    return number * number


def process_of(_: int) -> int:
    return os.getpid()


def kill(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_tasks_run_in_other_processes_and_their_results_keep_their_order() -> None:
    assert list(workers.each(abs, range(-9, 0), 2)) == list(range(9, 0, -1))
    assert os.getpid() not in set(workers.each(process_of, range(4), 2))
    assert set(workers.each(process_of, range(4), 1)) == {os.getpid()}
    assert list(workers.each(process_of, [1], 4)) == [os.getpid()]


def test_an_error_in_a_worker_keeps_its_type_and_its_text() -> None:
    with pytest.raises(DataError, match="^three is too many$"):
        list(workers.each(refuse, range(9), 2))
    assert list(workers.each(refuse, range(3), 2)) == [0, 1, 4]


def test_a_worker_that_is_killed_is_explained_and_replaced() -> None:
    with pytest.raises(DataError, match=r"A worker process died .* set data\.workers lower"):
        list(workers.each(kill, range(2), 2))
    assert list(workers.each(abs, range(3), 2)) == [0, 1, 2]


def test_workers_die_with_a_killed_parent(tmp_path: Path) -> None:
    program = (
        "import time; from towpath.data import workers; from tests.data.test_engine import process_of\n"
        "if __name__ == '__main__':\n"
        "    print(*set(workers.each(process_of, range(2), 2)), flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    children = [int(word) for word in process.stdout.readline().split()]
    assert children
    process.kill()
    process.communicate()
    for _ in range(100):
        if not any(map(alive, children)):
            return
        time.sleep(0.05)
    pytest.fail("a worker outlived the process that started it")


def alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
