from __future__ import annotations

import subprocess
import sys

import pyarrow as pa
import pytest

from towpath.core.errors import ConfigError, MissingPackageError
from towpath.data import engine


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
        "from towpath.data import engine; engine.start('native', 1); "
        "from daft.scarf_telemetry import opted_out; print(opted_out())"
    )
    assert run(program).strip() == "True"


def test_ray_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    expected = r'ray is not installed; data\.engine = "ray" needs it.*pip install "towpath\[ray\]"'
    with pytest.raises(MissingPackageError, match=expected):
        engine.start("ray", None)


def test_the_runner_of_a_process_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    engine.start("native", None)
    engine.start("native", None)
    with pytest.warns(
        UserWarning, match=r"data\.workers = 3 is ignored: this process already has its threads"
    ):
        engine.start("native", 3)
    monkeypatch.setattr("daft.runners.get_or_infer_runner_type", lambda: "ray")
    expected = r'data\.engine = "native" is not possible: this process already runs on "ray"\. Start a new'
    with pytest.raises(ConfigError, match=expected):
        engine.start("native", None)


def test_map_batches_keeps_rows_and_types() -> None:
    table = pa.table({"row": range(1_000), "text": ["ab"] * 1_000})
    schema = pa.schema([("row", pa.int64()), ("size", pa.int64())])

    def sizes(batch: pa.Table) -> pa.Table:
        return pa.table({"row": batch["row"], "size": [len(text) for text in batch["text"].to_pylist()]})

    result = engine.from_table(table).map_batches(sizes, schema).to_table().sort_by("row")
    assert result["row"].to_pylist() == list(range(1_000))
    assert set(result["size"].to_pylist()) == {2}


def test_groups_are_those_with_more_than_one_member() -> None:
    table = pa.table({"key": [5, 6, 5, 7, 6], "row": [0, 1, 2, 3, 4]})
    found = engine.from_table(table).groups("key", "row").to_table()["row"].to_pylist()
    assert sorted(map(sorted, found)) == [[0, 2], [1, 4]]


def test_minhash_is_null_for_null_and_equal_for_equal_words() -> None:
    table = pa.table({"row": [0, 1, 2, 3], "words": ["a b c d e f", None, "a b c d e f", "a b c"]})
    frame = engine.from_table(table).replace_by_minhash("words", "signature", 4, 5)
    signatures = frame.to_table().sort_by("row")["signature"].to_pylist()
    assert signatures[1] is None
    assert signatures[0] == signatures[2] != signatures[3]
