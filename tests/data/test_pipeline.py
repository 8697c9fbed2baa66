from __future__ import annotations

import contextlib
import hashlib
import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from towpath.core.artifacts import Artifact, Draft, Store
from towpath.core.errors import ConfigError, DataError
from towpath.data import (
    DataConfig,
    Documents,
    make_documents,
    parts,
    pipeline,
    reading,
    sorting,
    waterfall_table,
)

from .conftest import WriteLines, files_config, prose


def digests(artifact: Artifact) -> dict[str, Any]:
    return {name: facts["sha256"] for name, facts in artifact.files.items()}


def kept(artifact: Artifact, split: str = "train") -> list[str]:
    return list(Documents(artifact).texts(split))


def reasons(artifact: Artifact) -> dict[str, int]:
    total = Counter[str]()
    for counted in Documents(artifact).reasons().values():
        total.update(counted)
    return dict(total)


def messy_records() -> list[Any]:
    """Some of everything: good texts, each kind of duplicate and malformed and bad records."""
    good = [{"text": prose(seed)} for seed in range(12)]
    long_text = prose(99, 400)
    return [
        *good,
        {"text": prose(0).replace(" ", "\n  ").replace("The", "THE")},
        {"text": long_text},
        {"text": long_text.replace(long_text.split()[200], "changed", 1)},
        {"text": "short"},
        {"text": "Der Fluss fließt langsam durch das Tal und die Boote liegen ruhig am Ufer. " * 3},
        {"text": prose(50) + "\0"},
        {"text": prose(51) + "\ud800"},
        "{broken",
        {"body": "no text"},
    ]


MESSY_REASONS = {
    "exact_duplicate": 1,
    "near_duplicate": 1,
    "too_short": 1,
    "other_language": 1,
    "nul_byte": 1,
    "lone_surrogate": 1,
    "bad_json": 1,
    "no_text": 1,
}


def test_every_record_is_kept_or_dropped_with_its_reason(store: Store, json_lines: WriteLines) -> None:
    artifact = make_documents(store, files_config(json_lines("a.jsonl", messy_records())), "messy")
    assert reasons(artifact) == MESSY_REASONS
    assert artifact.counts == {
        "read": 21,
        "kept": 13,
        "train": 12,
        "validation": 1,
        "dropped": 4,
        "quarantined": 4,
        "characters": sum(map(len, kept(artifact) + kept(artifact, "validation"))),
    }
    assert artifact.licences == ("unknown",)
    assert sorted(name.split("/")[0] for name in artifact.files if "/" in name) == sorted(
        ["train"] * 4 + ["validation"] + ["dropped"] * 3 + ["index"] * 4
    )


def test_nothing_is_lost_and_what_was_dropped_can_be_looked_at(store: Store, json_lines: WriteLines) -> None:
    documents = Documents(make_documents(store, files_config(json_lines("a.jsonl", messy_records()))))
    dropped = list(documents.iterate("dropped", "files"))
    assert len(dropped) == 8
    by_reason = {documents.find(item.id)[2]: item for item in dropped}
    assert set(by_reason) == set(MESSY_REASONS)
    assert by_reason["nul_byte"].text.endswith("\\x00")
    assert by_reason["lone_surrogate"].text.endswith("\\ud800")
    assert by_reason["bad_json"].text == "{broken\n"
    assert by_reason["bad_json"].byte_offset is not None


def test_a_duplicate_names_the_document_that_it_repeats(store: Store, json_lines: WriteLines) -> None:
    artifact = make_documents(store, files_config(json_lines("a.jsonl", messy_records())))
    rows = [
        row
        for path in parts.part_paths(artifact.path / "dropped" / "files")
        for row in parts.read_table(path).to_pylist()
    ]
    documents = Documents(artifact)
    originals = {
        row["reason"]: documents.find(row["duplicate_of"])[1].text for row in rows if row["duplicate_of"]
    }
    assert originals == {"exact_duplicate": prose(0), "near_duplicate": prose(99, 400)}


def test_the_source_listed_first_keeps_what_two_sources_share(store: Store, json_lines: WriteLines) -> None:
    one = json_lines("one.jsonl", [{"text": prose(seed)} for seed in (1, 2, 3)])
    two = json_lines("two.jsonl", [{"text": prose(seed)} for seed in (3, 2, 4, 5)])
    for first, second in ((one, two), (two, one)):
        sources = [{"type": "files", "name": path.stem, "path": str(path)} for path in (first, second)]
        artifact = make_documents(store, DataConfig(sources=sources))
        counted = Documents(artifact).waterfall()
        assert counted[first.stem]["dropped"] == {}
        assert counted[second.stem]["dropped"] == {"exact_duplicate": 2}


def test_documents_are_read_back_in_order_with_their_origin(store: Store, tmp_path: Path) -> None:
    texts = [prose(seed) for seed in range(9)]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.txt").write_text(text)
    config = files_config(tmp_path / "*.txt", validation_share=0)
    documents = Documents(make_documents(store, config))
    found = list(documents.iterate("train", "files"))
    assert [item.text for item in found] == texts == list(documents.texts("train", ["files"]))
    assert [(item.path, item.byte_offset) for item in found] == [(f"{number}.txt", 0) for number in range(9)]
    assert (documents.sources("train"), documents.sources("validation")) == (["files"], [])
    assert documents.weights() == {"files": 1.0}
    assert documents.find(found[7].id) == ("train", found[7], None)


def test_the_same_bytes_come_out_twice_and_nothing_is_done_again(
    tmp_path: Path, json_lines: WriteLines
) -> None:
    config = files_config(json_lines("a.jsonl", messy_records()))
    one = make_documents(Store(tmp_path / "one"), config)
    two = make_documents(Store(tmp_path / "two"), config)
    assert (one.id, digests(one)) == (two.id, digests(two))
    before = (one.path / "manifest.json").stat().st_mtime_ns
    assert make_documents(Store(tmp_path / "one"), config).id == one.id
    assert (one.path / "manifest.json").stat().st_mtime_ns == before


def test_other_input_is_another_artifact_and_more_workers_are_not(
    store: Store, json_lines: WriteLines
) -> None:
    path = json_lines("a.jsonl", messy_records())
    first = make_documents(store, files_config(path))
    json_lines("a.jsonl", messy_records()[1:])
    assert make_documents(store, files_config(path)).id != first.id
    json_lines("a.jsonl", messy_records())
    assert make_documents(store, files_config(path, workers=7)).id == first.id


def test_a_run_killed_at_every_write_and_every_mark_ends_with_the_same_bytes(
    tmp_path: Path, json_lines: WriteLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = files_config(json_lines("a.jsonl", messy_records()), part_documents=7)
    expected = digests(make_documents(Store(tmp_path / "whole"), config))
    store, crash = Store(tmp_path / "killed"), Crash(monkeypatch)
    for attempt in range(100):
        crash.left = 2 + attempt % 2  # enough for one part; the next is cut in its write, or before its mark
        with contextlib.suppress(KeyboardInterrupt):
            artifact = make_documents(store, config)
            assert digests(artifact) == expected
            assert attempt > 12
            return
    pytest.fail("the run never ended")


class Crash:
    """Lets ``left`` writes and marks happen, and then kills: a write half way, a mark before it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = 0
        self.write, self.mark = parts.write_durably, Draft.mark_done
        for module in (parts, reading, pipeline, sorting):
            monkeypatch.setattr(module, "write_durably", self.counted_write)
        monkeypatch.setattr(Draft, "mark_done", lambda *arguments: self.counted_mark(*arguments))

    def counted_write(self, path: Path, content: bytes) -> None:
        if self.left == 0:
            path.with_name(path.name + ".partial").write_bytes(content[: len(content) // 2])
            raise KeyboardInterrupt
        self.left -= 1
        self.write(path, content)

    def counted_mark(self, draft: Draft, part: str, fact: str = "") -> None:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        self.mark(draft, part, fact)


PROGRAM = """
import sys
from pathlib import Path
from towpath.core.artifacts import Store
from towpath.data import DataConfig, make_documents
home, corpus, workers, part_bytes = sys.argv[1:]
sources = [{"type": "files", "path": corpus}]
config = DataConfig(sources=sources, part_documents=3, workers=int(workers), part_bytes=int(part_bytes))
print(make_documents(Store(Path(home)), config).path)
"""


def command(home: Path, corpus: Path, workers: int) -> list[str]:
    return [sys.executable, "-c", PROGRAM, str(home), str(corpus), str(workers), "2000"]


def made(home: Path, corpus: Path, workers: int) -> dict[str, Any]:
    done = subprocess.run(command(home, corpus, workers), capture_output=True, text=True, check=True)
    return digests(Store(home).open(done.stdout.strip()))


def test_one_worker_and_four_make_the_same_bytes(tmp_path: Path, json_lines: WriteLines) -> None:
    for name in "abcd":
        json_lines(f"corpus/{name}.jsonl", messy_records())
    corpus = tmp_path / "corpus"
    assert made(tmp_path / "one", corpus, 1) == made(tmp_path / "four", corpus, 4)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_process_killed_at_random_instants_ends_with_the_same_bytes(
    tmp_path: Path, json_lines: WriteLines
) -> None:
    for name in range(4):
        records = [{"text": prose(seed)} for seed in range(15 * name, 15 * name + 15)]
        json_lines(f"corpus/{name}.jsonl", records)
    corpus = tmp_path / "corpus"
    start = time.monotonic()
    expected = made(tmp_path / "whole", corpus, 2)
    seconds = time.monotonic() - start
    instants, killed, attempt = random.Random(0), 0, 0
    while killed < 8 and attempt < 30:
        attempt += 1
        home = tmp_path / f"killed-{attempt}"
        process = subprocess.Popen(command(home, corpus, 2), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            process.communicate(timeout=instants.uniform(0.3, 1.0) * seconds)
            seconds *= 0.8  # it was through before: the first run was slower than this one
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            killed += 1
        assert made(home, corpus, 2) == expected
    assert killed == 8


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seeds=st.lists(st.integers(0, 6), min_size=3, max_size=12),
    broken=st.lists(
        st.sampled_from(["{", "[]", '{"text": 1}', '{"text": "a\\u0000"}', '{"text": ""}']), max_size=5
    ),
)
def test_read_is_kept_and_dropped_and_what_is_kept_has_no_duplicates(
    tmp_path: Path, seeds: list[int], broken: list[str]
) -> None:
    lines = [*broken, *(json.dumps({"text": prose(seed)}) for seed in seeds)]
    name = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
    corpus = tmp_path / f"{name}.jsonl"
    corpus.write_text("\n".join(lines))
    artifact = make_documents(Store(tmp_path / name), files_config(corpus, filters=[], part_documents=50))
    counts = Documents(artifact).waterfall()["files"]
    assert counts["read"] == len(lines) == counts["kept"] + sum(reasons(artifact).values())
    texts = kept(artifact) + kept(artifact, "validation")
    assert len(texts) == counts["kept"] == counts["train"] + counts["validation"]
    assert set(texts) == {prose(seed) for seed in seeds}
    assert len(set(texts)) == len(texts)


def test_an_empty_corpus_is_refused(store: Store, json_lines: WriteLines) -> None:
    config = files_config(json_lines("a.jsonl", ["", "  "]))
    for _ in range(2):  # the attempt that failed does not change what the next one says
        with pytest.raises(DataError, match=r"The corpus is empty: there is no document in 'files'\."):
            make_documents(store, config)
    with pytest.raises(ConfigError, match=r"data\.sources is empty\. Name what to read, for example"):
        make_documents(store, DataConfig())


def test_a_corpus_that_the_filters_empty_names_the_reasons(store: Store, json_lines: WriteLines) -> None:
    config = files_config(json_lines("a.jsonl", [{"text": "short"}] * 7 + ["{"]))
    with pytest.raises(
        DataError, match=r"Nothing is left of 8 documents\. .*: too_short 7, bad_json 1\. Change or"
    ):
        make_documents(store, config)


def test_a_line_of_50_megabytes_takes_little_memory(tmp_path: Path, json_lines: WriteLines) -> None:
    size = 50 << 20
    corpus = json_lines("a.jsonl", [{"text": prose(1)}, {"text": "x" * size}, {"text": prose(2)}])
    program = PROGRAM + ("from towpath.core.metrics import peak_memory_bytes\nprint(peak_memory_bytes())\n")
    arguments = [sys.executable, "-c", program, str(tmp_path / "home"), str(corpus), "1", "33554432"]
    path, peak_bytes = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.split()
    artifact = Store(tmp_path / "home").open(path)
    assert reasons(artifact) == {"record_too_long": 1}
    [line] = (artifact.path / "quarantine.jsonl").read_text().splitlines()
    assert json.loads(line)["reason"] == "record_too_long"
    assert int(peak_bytes) < 1_000 << 20


def test_the_waterfall_is_a_table(store: Store, json_lines: WriteLines) -> None:
    lines = waterfall_table(
        make_documents(store, files_config(json_lines("a.jsonl", messy_records())))
    ).splitlines()
    assert lines[0].split() == ["|", "|", "files", "|", "all", "|"]
    assert "| read | 21 | 21 |" in [" ".join(line.split()) for line in lines]
    assert "| - too_short | -1 | -1 |" in [" ".join(line.split()) for line in lines]
    assert "| kept | 13 | 13 |" in [" ".join(line.split()) for line in lines]
    assert len({len(line) for line in lines}) == 1


def test_questions_about_what_is_not_there_are_answered(store: Store, json_lines: WriteLines) -> None:
    documents = Documents(make_documents(store, files_config(json_lines("a.jsonl", messy_records()))))
    with pytest.raises(DataError, match=r"There is no split 'valid'\. Did you mean 'validation'\?"):
        documents.sources("valid")
    with pytest.raises(
        DataError, match=r"No source 'file' in train .* Did you mean 'files'\? There are: files\."
    ):
        documents.iterate("train", "file")
    with pytest.raises(DataError, match="No document 'ffff' in "):
        documents.find("ffff")
