"""docs/data.md names every source, filter and cleaner, and its examples work as written."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from towpath.core.catalogue import Catalogue
from towpath.data import DataConfig, Document
from towpath.data.cleaners import CLEANERS
from towpath.data.filters import FILTERS
from towpath.data.sources import SOURCES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text()


@pytest.mark.parametrize("catalogue", [SOURCES, FILTERS, CLEANERS], ids=lambda found: found.what)
def test_every_entry_is_on_the_page(catalogue: Catalogue) -> None:
    missing = [name for name in catalogue.entries if f"`{name}`" not in PAGE]
    assert missing == []


@pytest.mark.parametrize("example", re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))
def test_run_file_examples_are_valid(example: str) -> None:
    tables: dict[str, Any] = tomllib.loads(example)
    DataConfig.model_validate(tables["data"])


def test_the_examples_of_a_source_and_a_filter_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source_file = tmp_path / "page_examples.py"
    source_file.write_text("\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)))
    specification = importlib.util.spec_from_file_location("page_examples", source_file)
    assert specification is not None
    assert specification.loader is not None
    examples = importlib.util.module_from_spec(specification)
    sys.modules["page_examples"] = examples
    specification.loader.exec_module(examples)
    assert capsys.readouterr().out == "['shouting']\n"
    (tmp_path / "a.diary").write_bytes(b"Monday was fine.\n---\nTUESDAY WAS NOT.")
    days = [
        item for item in examples.DiarySource(path=str(tmp_path)).documents() if isinstance(item, Document)
    ]
    assert [(day.text, day.byte_offset) for day in days] == [
        ("Monday was fine.", 0),
        ("TUESDAY WAS NOT.", 21),
    ]
    shouting = examples.NoShoutingConfig()
    assert [shouting.judge(day).reason for day in days] == [None, "shouting"]
    assert [rule.reason for rule in shouting.rules()] == ["shouting"]
