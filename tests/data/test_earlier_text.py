"""Stretches that documents of an earlier data set have are cut by its index alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from towpath.core.artifacts import Artifact, Store
from towpath.core.errors import ConfigError
from towpath.data import DataConfig, Documents, earlier_text, make_documents
from towpath.data.config import SubstringsConfig
from towpath.data.parts import part_paths, read_table
from towpath.data.removal import Removal, add_removals, files_with

from .conftest import WriteLines, files_config, prose

COMMON = [prose(seed, 180) for seed in range(100, 106)]


def config_of(path: Path, substrings: dict[str, Any] | None = None, **fields: Any) -> DataConfig:
    given = {"enabled": True, "min_rest_chars": 250, **(substrings or {})}
    return files_config(
        path, **{"filters": [], "validation_share": 0, "substrings": given, "workers": 1, **fields}
    )


def made_earlier(store: Store, json_lines: WriteLines, **fields: Any) -> Artifact:
    """Documents with a paragraph of ``COMMON`` each, of which only the index is left."""
    records = [
        {"text": f"{prose(number)}\n{text}\n{prose(50 + number)}"} for number, text in enumerate(COMMON)
    ]
    path = json_lines("earlier.jsonl", records)
    artifact = make_documents(store, config_of(path, **fields), "earlier")
    for folder in (artifact.path / "train", *(records.path for records in store.all("records"))):
        shutil.rmtree(folder)
    path.unlink()
    return artifact


def kept(artifact: Artifact) -> list[str]:
    return list(Documents(artifact).texts("train"))


def index_files(artifact: Artifact) -> dict[str, bytes]:
    paths = sorted(artifact.path.glob("index/*/*.fingerprints"))
    return {path.relative_to(artifact.path).as_posix(): path.read_bytes() for path in paths}


def test_paragraphs_of_an_earlier_data_set_are_cut_without_its_text(
    store: Store, json_lines: WriteLines
) -> None:
    made_earlier(store, json_lines)
    sentences = COMMON[2].split(". ")
    records = [
        {"text": f"{prose(21)}\nBefore ü.\n{COMMON[0]}\nAfter.\n{prose(22)}"},
        {"text": f"{prose(23)}\n{COMMON[4]}\n{prose(24)}\n{COMMON[1]}\n"},
        {"text": f"{prose(25)} Only {sentences[0].lower()}. {prose(26)}"},  # less than 200 bytes in common
        {"text": f"Short. {COMMON[3]} End."},
        {"text": prose(27)},
    ]
    config = config_of(json_lines("new.jsonl", records), against=("earlier",))
    artifact = make_documents(store, config, "new")
    first, second, *others = kept(artifact)
    assert others == [records[2]["text"], records[4]["text"]]
    assert first == f"{prose(21)}\nBefore ü.\n{rest_of(first, COMMON[0])}After.\n{prose(22)}"
    assert second.startswith(prose(23))
    assert prose(24) in second
    for text, common in ((first, COMMON[0]), (second, COMMON[1]), (second, COMMON[4])):
        assert len(rest_of(text, common)) < 150  # a sentence at either end, of 990 characters
    [counted] = Documents(artifact).waterfall().values()
    assert counted["dropped"] == {"repeated_text_of_earlier": 1}
    assert counted["characters"]["train"] == sum(map(len, kept(artifact)))
    steps = json.loads((artifact.path / "waterfall.json").read_bytes())["steps"]
    assert [step["step"] for step in steps[-2:]] == ["repeated text of earlier", "repeated text"]
    assert [(step["reached"], step["dropped"]) for step in steps[-2:]] == [(5, 1), (4, 0)]


def rest_of(text: str, common: str) -> str:
    """What of ``common`` is left in ``text``."""
    return "".join(sentence for sentence in sentences_of(common + "\n") if sentence in text)


def sentences_of(text: str) -> list[str]:
    return [part if part.endswith("\n") else f"{part}. " for part in text.split(". ")]


def test_cuts_of_earlier_text_and_of_the_same_data_set_are_one(store: Store, json_lines: WriteLines) -> None:
    made_earlier(store, json_lines)
    shared = prose(200, 60)
    records = [
        {"text": f"{prose(21)}\n{shared}\n{prose(22)}"},
        {"text": f"{prose(23)}\n{COMMON[0]}\n{shared}\n{prose(24)}"},
        {"text": f"Short. {COMMON[1]}\n{shared}\n{prose(25, 12)}"},
    ]
    config = config_of(json_lines("new.jsonl", records), against=("earlier",))
    artifact = make_documents(store, config, "new")
    first, second = kept(artifact)
    assert first == records[0]["text"]
    assert shared not in second
    assert len(second) < len(prose(23)) + len(prose(24)) + 170
    [counted] = Documents(artifact).waterfall().values()
    assert counted["dropped"] == {"repeated_text": 1}
    assert counted["characters"]["train"] == sum(map(len, kept(artifact)))
    off = config_of(json_lines("new.jsonl", records), {"of_earlier": False}, against=("earlier",))
    _, second, third = kept(make_documents(store, off))
    assert (COMMON[0] in second, COMMON[1] in third) == (True, True)


def test_the_index_has_sorted_fingerprints_of_what_is_kept(store: Store, json_lines: WriteLines) -> None:
    texts = [f"{prose(1)}\n{COMMON[0]}\n", f"{prose(2)}\n{COMMON[0]}\n{prose(3)}"]
    path = json_lines("a.jsonl", [{"text": text} for text in texts])
    artifact = make_documents(store, config_of(path))
    [content] = index_files(artifact).values()
    values = np.frombuffer(content, "<u8")
    assert (np.diff(values.astype(object)) > 0).all()
    n_bytes = sum(len(text.encode()) for text in kept(artifact))
    assert 0.2 < len(content) / n_bytes < 0.4
    assert not index_files(make_documents(store, config_of(path, {"fingerprints": False})))
    one = make_documents(store, config_of(path, {"fingerprints": True, "enabled": False}, part_documents=1))
    assert len(index_files(one)) == 2


def test_many_ranges_and_groups_give_the_same(
    store: Store, json_lines: WriteLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_earlier(store, json_lines, part_documents=1)
    records = [{"text": f"{prose(20 + n)}\n{text}\n{prose(40 + n)}"} for n, text in enumerate(COMMON)]
    path = json_lines("new.jsonl", records)
    config = config_of(path, against=("earlier",), part_documents=1)
    expected = make_documents(store, config)
    monkeypatch.setattr(earlier_text, "_IN_A_RANGE", 10)
    grouped = config.model_copy(update={"part_bytes": 500})
    assert kept(make_documents(store, grouped)) == kept(expected)
    assert sum(map(len, kept(expected))) < sum(len(record["text"]) for record in records) * 0.75


def test_an_index_that_cannot_answer_is_refused(store: Store, json_lines: WriteLines) -> None:
    made_earlier(store, json_lines, substrings={"enabled": False})
    config = config_of(json_lines("new.jsonl", [{"text": prose(1)}]), against=("earlier",))
    with pytest.raises(
        ConfigError, match=r"has no fingerprints of its text\. Make it again with data\.subst"
    ):
        make_documents(store, config)
    other = {"enabled": False, "fingerprints": True, "min_bytes": 100}
    config = config.model_copy(update={"against": (made_earlier(store, json_lines, substrings=other).id,)})
    with pytest.raises(
        ConfigError, match=r"substrings\.min_bytes = 100; here it is 200\. Use the same, or set"
    ):
        make_documents(store, config)
    off = SubstringsConfig(enabled=True, of_earlier=False)
    assert make_documents(store, config.model_copy(update={"substrings": off})).counts["kept"] == 1


def test_what_is_forgotten_leaves_no_fingerprint_and_is_cut_no_more(
    store: Store, json_lines: WriteLines
) -> None:
    records = [{"text": f"{prose(number)}\n{text}\n"} for number, text in enumerate(COMMON)]
    config = config_of(json_lines("earlier.jsonl", records))
    earlier = make_documents(store, config, "earlier")
    new = json_lines("new.jsonl", [{"text": f"{prose(31)}\n{COMMON[0]}\n{prose(32)}"}])
    before = make_documents(store, config_of(new, against=("earlier",)))
    [identifier] = [row.id for row in Documents(earlier).iterate("train", "files") if COMMON[0] in row.text]
    names = {
        path.relative_to(earlier.path).parts[0] + path.suffix for path in files_with(earlier, [identifier])
    }
    assert names == {"train.parquet", "index.parquet", "index.fingerprints"}
    add_removals(store.home, [Removal(id=identifier)])
    remade = make_documents(store, config, "earlier")
    numbers = [np.frombuffer(b"".join(index_files(item).values()), "<u8") for item in (earlier, remade)]
    assert len(np.setdiff1d(*numbers)) > 5
    assert not len(np.setdiff1d(*reversed(numbers)))
    after = make_documents(store, config_of(new, against=(remade.id,)))
    assert COMMON[0] in kept(after)[0]
    assert COMMON[0] not in kept(before)[0]


def test_the_texts_of_dropped_documents_are_whole(store: Store, json_lines: WriteLines) -> None:
    made_earlier(store, json_lines)
    path = json_lines("new.jsonl", [{"text": f"Short. {COMMON[3]} End."}, {"text": prose(30)}])
    artifact = make_documents(store, config_of(path, against=("earlier",)))
    [part] = part_paths(artifact.path / "dropped" / "files")
    assert read_table(part)["text"].to_pylist() == [f"Short. {COMMON[3]} End."]
