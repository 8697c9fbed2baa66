"""Looking at documents, and following one that is to be removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from towpath.core.artifacts import Artifact, Store
from towpath.core.errors import DataError
from towpath.data import Documents, make_documents
from towpath.data.looking import as_read, difference, find, look, summary
from towpath.data.removal import (
    LIST,
    Removal,
    add_removals,
    files_with,
    find_documents,
    made_from,
    read_removals,
)

from .conftest import WriteLines, files_config, prose


@pytest.fixture
def documents(store: Store, json_lines: WriteLines) -> Artifact:
    records = [{"text": prose(seed), "url": f"https://host.org/{seed}"} for seed in range(9)]
    records += [{"text": prose(3)}, {"text": "short"}]
    return make_documents(store, files_config(json_lines("in.jsonl", records)), "looked-at")


def test_kept_and_dropped_documents_are_seen_with_the_decision(documents: Artifact) -> None:
    kept = [*look(documents, "train"), *look(documents, "validation")]
    assert {seen.document.text for seen in kept} == {prose(seed) for seed in range(9)}
    [copy] = look(documents, "dropped", reason="exact_duplicate")
    assert copy.duplicate_of in {seen.document.id for seen in kept}
    assert "dropped: exact_duplicate of" in summary(copy, 20)


def test_a_mistyped_reason_or_source_is_answered_with_the_nearest(documents: Artifact) -> None:
    with pytest.raises(DataError, match="Did you mean 'too_short'"):
        list(look(documents, "dropped", reason="to_short"))
    with pytest.raises(DataError, match="Did you mean 'files'"):
        list(look(documents, "train", source="fils"))


def test_a_document_is_found_by_the_start_of_its_id(documents: Artifact) -> None:
    wanted = next(look(documents, "validation"))
    assert find(documents, wanted.document.id[:12]) == wanted
    with pytest.raises(DataError, match="no document has this id"):
        find(documents, "zz")
    with pytest.raises(DataError, match="11 documents have ids that start so"):
        find(documents, "")


def test_the_text_before_cleaning_is_read_from_the_source(documents: Artifact) -> None:
    for seen in look(documents, "train"):
        assert as_read(documents, seen.document) == seen.document.text


def test_a_source_that_has_changed_is_named(documents: Artifact, json_lines: WriteLines) -> None:
    seen = next(look(documents, "train"))
    json_lines("in.jsonl", [])
    with pytest.raises(DataError, match=r"no longer holds document|holds no file"):
        as_read(documents, seen.document)


def test_a_difference_shows_both_sides() -> None:
    assert difference("a\nb", "a\nb") == ""
    assert difference("a\nb", "a\nc").splitlines()[-2:] == ["-b", "+c"]


def test_a_removal_finds_the_document_its_files_and_what_was_made_from_it(
    store: Store, documents: Artifact
) -> None:
    wishes = [Removal(url="https://host.org/4")]
    [found] = find_documents(store, wishes)
    assert found.url == "https://host.org/4"
    assert found.part in files_with(documents, {found.id})
    child = store.make("tokens", "child", {}, [documents], lambda _: None)
    grandchild = store.make("checkpoint", "grandchild", {}, [child], lambda _: None)
    store.make("tokens", "stranger", {}, [], lambda _: None)
    assert {item.id for item in made_from(store, [documents])} == {child.id, grandchild.id}


def test_removals_are_listed_once_and_read_back(tmp_path: Path) -> None:
    wish = Removal(id="a" * 32, why="asked by its author")
    assert add_removals(tmp_path, [wish]) == [wish]
    assert add_removals(tmp_path, [wish, Removal(url="u")]) == [Removal(url="u")]
    assert read_removals(tmp_path) == [wish, Removal(url="u")]
    (tmp_path / LIST).write_text("{")
    with pytest.raises(DataError, match=LIST):
        read_removals(tmp_path)


def test_the_same_command_makes_the_documents_without_what_is_to_be_removed(
    store: Store, json_lines: WriteLines
) -> None:
    records = [{"text": prose(seed), "url": f"https://host.org/{seed}"} for seed in range(9)]
    config = files_config(json_lines("in.jsonl", records))
    before = make_documents(store, config)
    add_removals(store.home, [Removal(url="https://host.org/4"), Removal(url="https://elsewhere.org/")])
    after = make_documents(store, config)
    assert after.id != before.id
    assert make_documents(store, config).path == after.path
    counted = Documents(after).waterfall()["files"]
    assert counted["dropped"] == {"removed_on_request": 1}
    assert counted["kept"] == 8
    everything = b"".join(path.read_bytes() for path in after.path.rglob("*") if path.is_file())
    [removed] = after.config["removed"]
    assert removed.encode() not in everything.replace(removed.encode(), b"", 1)  # only in the manifest
    texts = {seen.document.text for split in ("train", "validation") for seen in look(after, split)}
    assert texts == {prose(seed) for seed in range(9) if seed != 4}
    assert list(look(after, "dropped")) == []


def test_without_the_earlier_datasets_the_records_say_what_is_to_be_removed(
    store: Store, json_lines: WriteLines
) -> None:
    records = [{"text": prose(seed), "url": f"https://host.org/{seed}"} for seed in range(9)]
    config = files_config(json_lines("in.jsonl", records))
    add_removals(store.home, [Removal(url="https://host.org/4")])
    first = make_documents(store, config)
    assert len(first.config["removed"]) == 1
    add_removals(store.home, [Removal(url="https://host.org/5")])
    assert len(make_documents(store, config).config["removed"]) == 2


def test_datasets_that_hold_nothing_of_it_stay_what_they_are(store: Store, json_lines: WriteLines) -> None:
    config = files_config(json_lines("in.jsonl", [{"text": prose(seed)} for seed in range(4)]))
    before = make_documents(store, config)
    add_removals(store.home, [Removal(url="https://elsewhere.org/")])
    assert make_documents(store, config).id == before.id
