"""Records, features and documents: what is reused, what is cleaned, what is quarantined, what stops a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest

from towpath.core.artifacts import Artifact, Store
from towpath.core.config import change
from towpath.core.errors import ConfigError, DataError
from towpath.data import (
    DataConfig,
    Documents,
    NearDuplicatesConfig,
    annotating,
    make_documents,
    reading,
    sorting,
)
from towpath.data.cleaners import Cleaned, CleanerConfig
from towpath.data.config import SubstringsConfig
from towpath.data.filters.gopher import GopherConfig
from towpath.data.parts import part_paths, read_table
from towpath.data.sources.files import FilesSource

from .conftest import WriteLines, files_config, prose


class Shorten(CleanerConfig):
    """Takes every "boat" away, and a text of boats alone altogether."""

    type: Literal["shorten"] = "shorten"
    word: str = "boat"

    def clean(self, texts: pa.Array) -> Cleaned:
        found = texts.to_pylist()
        counts = np.array([text.count(self.word) for text in found], np.int32)
        return Cleaned(pa.array([text.replace(self.word, "").strip() for text in found]), counts)


def made(store: Store, kind: str) -> list[Artifact]:
    return list(store.all(kind))


def digests(artifact: Artifact) -> dict[str, Any]:
    return {name: facts["sha256"] for name, facts in artifact.files.items()}


def test_another_threshold_reads_and_computes_nothing_again(store: Store, json_lines: WriteLines) -> None:
    path = json_lines("a.jsonl", [{"text": prose(seed, 60 + 5 * seed)} for seed in range(12)])
    lengths = [files_config(path, filters=[{"type": "length", "min_chars": size}]) for size in (1, 500)]
    first, second = (make_documents(store, config) for config in lengths)
    assert second.id != first.id
    assert second.counts["kept"] < first.counts["kept"] == 12
    assert len(made(store, reading.KIND)) == len(made(store, annotating.KIND)) == 1
    assert second.parents == first.parents == (made(store, annotating.KIND)[0].id,)


def test_another_choice_among_the_same_sources_reads_only_what_is_new(
    store: Store, json_lines: WriteLines
) -> None:
    paths = [json_lines(f"{name}.jsonl", [{"text": prose(ord(name))}]) for name in "abc"]
    sources = [{"type": "files", "name": path.stem, "path": str(path)} for path in paths]
    make_documents(store, DataConfig(sources=sources[:2]))
    before = {artifact.path: artifact.id for artifact in made(store, reading.KIND)}
    make_documents(store, DataConfig(sources=[{**sources[1], "weight": 7.0}, sources[2]]))
    after = {artifact.path: artifact.id for artifact in made(store, reading.KIND)}
    assert set(after) > set(before)
    assert len(after) == 3  # a weight in the mixture is no reason to read again


def test_documents_outlive_their_records(store: Store, json_lines: WriteLines) -> None:
    config = files_config(json_lines("a.jsonl", [{"text": prose(1)}]))
    artifact = make_documents(store, config)
    for kind in (reading.KIND, annotating.KIND):
        for parent in made(store, kind):
            for path in parent.path.iterdir():
                path.unlink()
            parent.path.rmdir()
    assert make_documents(Store(store.home), config).id == artifact.id


Damage = Callable[[Path], object]


@pytest.mark.parametrize(
    ("module", "last", "part"),
    [
        (reading, "write_durably", "records/*/part-*.parquet"),
        (sorting, "_join_quarantine", "documents/*/train/*/part-*.parquet"),
        (sorting, "_join_quarantine", "documents/*/index/*/part-*.parquet"),
        (sorting, "_join_quarantine", "documents/*/work/decisions.parquet"),
    ],
)
@pytest.mark.parametrize(
    "damage", [lambda raw: raw[:-7], lambda raw: bytes([raw[9] ^ 1]).join([raw[:9], raw[10:]])]
)
def test_a_part_that_was_cut_short_or_altered_is_made_again(
    tmp_path: Path,
    json_lines: WriteLines,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    last: str,
    part: str,
    damage: Callable[[bytes], bytes],
) -> None:
    config = files_config(json_lines("a.jsonl", [{"text": prose(seed)} for seed in range(9)]))
    expected = digests(make_documents(Store(tmp_path / "whole"), config))
    store = Store(tmp_path / "killed")
    with monkeypatch.context() as patch:
        patch.setattr(module, last, interrupted)
        with pytest.raises(KeyboardInterrupt):
            make_documents(store, config)
    path = sorted(store.folder.glob(part))[0]
    path.write_bytes(damage(path.read_bytes()))
    assert digests(make_documents(store, config)) == expected


def interrupted(*_: Any) -> None:
    raise KeyboardInterrupt


def test_cleaners_change_texts_and_turns_before_anything_is_computed(
    store: Store, json_lines: WriteLines
) -> None:
    turns = [{"role": "user", "content": "a boat"}, {"role": "assistant", "content": "boat boat?"}]
    records = [
        {"text": "one boat and a boat"},
        {"text": "boat"},
        {"text": "a boat\nboat boat?", "messages": turns},
        {"text": "no vessel"},
        {"text": "a boat \0"},
    ]
    config = files_config(json_lines("a.jsonl", records), filters=[], validation_share=0)
    artifact = make_documents(store, config.model_copy(update={"cleaners": (Shorten(),)}))
    documents = Documents(artifact)
    found = list(documents.iterate("train", "files"))
    assert [item.text for item in found] == ["one  and a", "a \n ?", "no vessel"]
    assert [turn.content for turn in found[1].messages or ()] == ["a", "?"]
    assert (found[0].messages, found[2].messages) == (None, None)
    assert documents.reasons() == {"files": {"nul_byte": 1, "empty": 1}}
    [cleaned] = made(store, reading.KIND)
    assert column(cleaned, "n_edits") == [2, 1, 3, 0, 0]
    make_documents(store, config.model_copy(update={"cleaners": (Shorten(domains=("code",)),)}))
    other = next(item for item in made(store, reading.KIND) if item.id != cleaned.id)
    assert column(other, "n_edits") == [0] * 5


def column(artifact: Artifact, name: str) -> list[Any]:
    return [value for path in part_paths(artifact.path) for value in read_table(path)[name].to_pylist()]


def test_what_cannot_be_read_is_quarantined_with_its_place_and_digest(store: Store, tmp_path: Path) -> None:
    lines = [json.dumps({"text": prose(1)}).encode(), b"{broken \xff", b'{"text": "a\\u0000"}']
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    artifact = make_documents(store, files_config(tmp_path / "a.jsonl", filters=[]))
    rows = [json.loads(line) for line in (artifact.path / "quarantine.jsonl").read_text().splitlines()]
    broken, nul = rows
    assert broken == {
        "source": "files",
        "path": "a.jsonl",
        "url": None,
        "byte_offset": len(lines[0]) + 1,
        "sha256": hashlib.sha256(lines[1] + b"\n").hexdigest(),
        "n_bytes": len(lines[1]) + 1,
        "reason": "bad_json",
    }
    assert (nul["reason"], nul["sha256"]) == ("nul_byte", hashlib.sha256(b"a\0").hexdigest())
    counted = Documents(artifact).waterfall()["files"]
    assert counted["quarantined"] == {"bad_json": 1, "nul_byte": 1}
    assert counted["read"] == counted["kept"] + 2 == 3


def test_a_step_that_takes_nearly_everything_stops_the_run(store: Store, json_lines: WriteLines) -> None:
    records = [{"text": f"short {number}"} for number in range(1_100)]
    path = json_lines("a.jsonl", [*records, *({"text": prose(seed)} for seed in range(50))])
    config = files_config(path, filters=[{"type": "length"}], part_documents=500)
    with pytest.raises(
        DataError,
        match=r"The step 'length' takes 1,100 of the 1,150 documents that reach it, 95\.7%; "
        r"data\.max_drop_share = 0\.85 stops at that\.",
    ):
        make_documents(store, config)
    allowed = make_documents(store, config.model_copy(update={"max_drop_share": 1.0}))
    assert allowed.counts["kept"] == 50
    assert make_documents(store, config).id == allowed.id  # it says nothing of what comes out


def test_a_source_that_loses_all_to_filters_stops_the_run(store: Store, json_lines: WriteLines) -> None:
    paths = {
        "figures": json_lines(
            "a.jsonl", [{"text": f"1234 2345 3456 {number} " * 60} for number in range(20)]
        ),
        "prose": json_lines("b.jsonl", [{"text": prose(seed)} for seed in range(3)]),
    }
    sources = tuple(FilesSource(name=name, path=str(path)) for name, path in paths.items())
    config = DataConfig(sources=sources, filters=(GopherConfig(),), part_documents=500)
    with pytest.raises(
        DataError,
        match=r"the 20 documents of source 'figures'\. What took them: too_few_alphabetic_words 20\.",
    ):
        make_documents(store, config)
    assert make_documents(store, change(config, {"max_drop_share": 1.0})).counts["kept"] == 3
    assert make_documents(store, change(config, {"sources": sources[1:]})).counts["kept"] == 3


def test_each_step_counts_what_reached_it_and_what_it_took(store: Store, json_lines: WriteLines) -> None:
    records = [{"text": "short"}, {"text": ""}, *({"text": prose(seed)} for seed in (1, 2, 1)), "{"]
    artifact = make_documents(store, files_config(json_lines("a.jsonl", records)))
    steps = json.loads((artifact.path / "waterfall.json").read_bytes())["steps"]
    assert [(step["step"], step["reached"], step["dropped"]) for step in steps] == [
        ("reading", 6, 1),
        ("empty", 5, 1),
        ("length", 4, 1),
        ("language", 3, 0),
        ("gopher", 3, 0),
        ("exact duplicates", 3, 1),
        ("near duplicates", 2, 0),
    ]


def test_what_an_earlier_data_set_holds_is_dropped_without_reading_its_text(
    store: Store, json_lines: WriteLines
) -> None:
    long_text = prose(99, 400)
    earlier_path = json_lines("earlier.jsonl", [{"text": text} for text in (prose(1), prose(2), long_text)])
    earlier = make_documents(store, files_config(earlier_path, validation_share=0))
    ids = {item.text: item.id for item in Documents(earlier).iterate("train", "files")}
    for path in (earlier.path / "train").rglob("*.parquet"):
        path.unlink()
    changed = long_text.replace(long_text.split()[200], "changed", 1)
    records = [{"text": text} for text in (changed, prose(3), prose(1).replace(" ", "  "), prose(3), changed)]
    config = files_config(json_lines("new.jsonl", records), against=(earlier.id,), validation_share=0)
    artifact = make_documents(store, config, "new")
    assert kept(artifact) == [prose(3)]
    dropped = [
        row
        for path in part_paths(artifact.path / "dropped" / "files")
        for row in read_table(path).to_pylist()
    ]
    assert [(row["reason"], row["duplicate_of"]) for row in dropped] == [
        ("near_duplicate_of_earlier", ids[long_text]),
        ("exact_duplicate_of_earlier", ids[prose(1)]),
        ("exact_duplicate", next(Documents(artifact).iterate("train", "files")).id),
        ("exact_duplicate", ids[long_text]),
    ]
    assert earlier.id in artifact.parents
    with pytest.raises(ConfigError, match=r"near_duplicates\.bands = 14; here it is 7\. Use the same"):
        make_documents(store, config.model_copy(update={"near_duplicates": NearDuplicatesConfig(bands=7)}))


def kept(artifact: Artifact) -> list[str]:
    return list(Documents(artifact).texts("train"))


def test_of_near_duplicates_the_one_with_the_best_value_stays(store: Store, json_lines: WriteLines) -> None:
    texts = [prose(99, 400)]
    texts += [f"{texts[0]} And {number} more" + "s" * number for number in (1, 3, 2)]
    path = json_lines("a.jsonl", [{"text": text} for text in texts])
    for keep_by, best in (
        ((), 0),
        (("characters",), 2),
        (("-characters",), 0),
        (("n_edits", "characters"), 2),
    ):
        config = files_config(path, filters=[], validation_share=0, keep_by=keep_by)
        assert kept(make_documents(store, config)) == [texts[best]]
    with pytest.raises(
        ConfigError, match=r"data\.keep_by: there is no column 'n_edit'\. Did you mean 'n_edits'\?"
    ):
        make_documents(store, files_config(path, filters=[], keep_by=("n_edit",)))


def test_stretches_that_an_earlier_document_has_are_cut_out(store: Store, json_lines: WriteLines) -> None:
    common = prose(7, 60)
    texts = [
        f"{prose(1)}\n{common}\n{prose(2)}",
        f"{prose(3)} ü\n{common}\n{prose(4)}",
        f"Short.\n{common}\nEnd.",
    ]
    path = json_lines("a.jsonl", [{"text": text} for text in texts])
    off = {"enabled": False}
    config = files_config(
        path, filters=[], validation_share=0, near_duplicates=off, substrings={"enabled": True}
    )
    artifact = make_documents(store, config)
    assert kept(artifact) == [texts[0], texts[1].replace(f"{common}\n", "")]
    assert Documents(artifact).reasons() == {"files": {"repeated_text": 1}}
    assert artifact.counts["characters"] == sum(map(len, kept(artifact)))
    blocks = config.model_copy(
        update={"substrings": SubstringsConfig(enabled=True, block_bytes=1), "part_documents": 1}
    )
    assert kept(make_documents(store, blocks)) == texts


def test_the_index_holds_a_row_for_each_document_that_stayed(store: Store, json_lines: WriteLines) -> None:
    records = [{"text": "short"}, *({"text": prose(seed)} for seed in range(9))]
    artifact = make_documents(store, files_config(json_lines("a.jsonl", records)))
    rows = [
        row for path in part_paths(artifact.path / "index" / "files") for row in read_table(path).to_pylist()
    ]
    documents = Documents(artifact)
    kept = {item.id for split in ("train", "validation") for item in documents.iterate(split, "files")}
    assert {row["id"] for row in rows} == kept
    assert {(len(row["content_hash"]), len(row["signature"])) for row in rows} == {(16, 112 * 4)}
