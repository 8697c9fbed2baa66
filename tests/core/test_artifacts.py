"""Artifacts: made once, found again, refused when damaged, continued when killed."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.core.artifacts import Artifact, Draft, Store, artifact_id
from towpath.core.errors import ArtifactError, ConfigError, DiskFullError, LockedError
from towpath.core.files import disk_full_explained, seal, verify, write_durably
from towpath.core.lineage import ancestors
from towpath.core.locks import locked


def write_two_files(draft: Draft) -> None:
    (draft.path / "inner").mkdir(exist_ok=True)
    (draft.path / "a.txt").write_bytes(b"first")
    (draft.path / "inner" / "b.txt").write_bytes(b"second")
    draft.counts["files"] = 2


def make(store: Store, config: dict[str, object] | None = None, *parents: Artifact) -> Artifact:
    return store.make("documents", "demo", config or {"x": 1}, parents, write_two_files)


def test_a_finished_artifact_is_not_made_again(tmp_path: Path) -> None:
    first = make(Store(tmp_path))
    calls: list[Draft] = []
    again = Store(tmp_path).make("documents", "demo", {"x": 1}, [], calls.append)
    assert calls == []
    assert again == first
    assert again.counts == {"files": 2}


def test_a_draft_that_a_run_of_another_name_left_gets_the_name_of_who_ends_it(tmp_path: Path) -> None:
    def broken_off(draft: Draft) -> None:
        write_two_files(draft)
        draft.mark_done("a", "1")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Store(tmp_path).make("documents", "first", {"x": 1}, [], broken_off)
    parts: list[str | None] = []

    def go_on(draft: Draft) -> None:
        parts.append(draft.fact_of("a"))
        write_two_files(draft)

    ended = Store(tmp_path).make("documents", "second", {"x": 1}, [], go_on)
    assert parts == ["1"]
    assert ended.name == "second"
    assert [path.name for path in (tmp_path / "artifacts" / "documents").iterdir()] == [ended.path.name]


def test_the_id_depends_on_kind_config_and_parents() -> None:
    ids = {
        artifact_id("a", {"x": 1}, []),
        artifact_id("b", {"x": 1}, []),
        artifact_id("a", {"x": 2}, []),
        artifact_id("a", {"x": 1}, ["p"]),
    }
    assert len(ids) == 4


@given(flip=st.integers(0, 10_000), bit=st.integers(0, 7))
@settings(max_examples=40, deadline=None)
def test_any_flipped_bit_is_found_and_named(
    tmp_path_factory: pytest.TempPathFactory, flip: int, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("flip")
    make(Store(folder))
    path = next(folder.rglob("b.txt"))
    content = bytearray(path.read_bytes())
    content[flip % len(content)] ^= 1 << bit
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="b.txt is damaged"):
        Store(folder).open("demo")


@pytest.mark.parametrize("content", [b"", b"fir", b"first and more"])
def test_a_file_of_another_size_is_found_and_named(tmp_path: Path, content: bytes) -> None:
    artifact = make(Store(tmp_path))
    (artifact.path / "a.txt").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"a.txt has \d+ bytes where 5 were written"):
        Store(tmp_path).open("demo")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (make(Store(tmp_path)).path / "a.txt").unlink()
    with pytest.raises(ArtifactError, match="a.txt is missing"):
        Store(tmp_path).open("demo")


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    path = make(Store(tmp_path)).path / "manifest.json"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ArtifactError, match="manifest.json is damaged"):
        make(Store(tmp_path))


def test_an_unfinished_artifact_is_refused_and_then_continued(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def stop_after_one_part(draft: Draft) -> None:
        (draft.path / "a.txt").write_bytes(b"part one")
        draft.mark_done("one")
        raise KeyboardInterrupt

    def go_on(draft: Draft) -> None:
        assert draft.is_done("one")
        assert (draft.path / "a.txt").read_bytes() == b"part one"
        (draft.path / "b.txt").write_bytes(b"part two")

    with pytest.raises(KeyboardInterrupt):
        store.make("tokens", "demo", {}, [], stop_after_one_part)
    with pytest.raises(ArtifactError, match=r"is unfinished. 1 of its parts are done"):
        store.open(next((tmp_path / "artifacts" / "tokens").iterdir()))
    artifact = store.make("tokens", "demo", {}, [], go_on)
    assert sorted(artifact.files) == ["a.txt", "b.txt"]


def test_what_an_attempt_without_finished_parts_left_is_cleared(tmp_path: Path) -> None:
    def fail(draft: Draft) -> None:
        (draft.path / "stray.txt").write_bytes(b"stray")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Store(tmp_path).make("documents", "demo", {"x": 1}, [], fail)
    assert sorted(make(Store(tmp_path)).files) == ["a.txt", "inner/b.txt"]


def test_an_unknown_reference_offers_the_nearest(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = make(store).path.name
    with pytest.raises(ArtifactError, match=f"Did you mean '{folder}'"):
        store.open(folder[:-1] + "z")
    with pytest.raises(ArtifactError, match="There are: none yet"):
        Store(tmp_path / "empty").open("demo")


def test_an_artifact_of_another_kind_is_refused(tmp_path: Path) -> None:
    artifact = make(Store(tmp_path))
    with pytest.raises(ArtifactError, match="is a documents; a tokens is needed here"):
        Store(tmp_path).open(artifact.path, kind="tokens")


def test_lineage_leads_back_to_the_first_artifact(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = make(store)
    second = make(store, {"x": 2}, first)
    third = make(store, {"x": 3}, second, first)
    assert [(item.depth, item.id) for item in ancestors(store, third)] == [
        (0, third.id),
        (1, second.id),
        (2, first.id),
    ]


def test_a_second_holder_of_a_lock_is_refused(tmp_path: Path) -> None:
    with locked(tmp_path / "lock", "run 'demo'"):
        with pytest.raises(LockedError, match=f"run 'demo' is in use by process {os.getpid()}"):
            with locked(tmp_path / "lock", "run 'demo'"):
                pass
    with locked(tmp_path / "lock", "run 'demo'"):
        pass


def test_a_full_disk_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match="no space left on the device"), disk_full_explained(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_sealed_folder_verifies(tmp_path: Path) -> None:
    write_durably(tmp_path / "weights", b"x" * 100)
    manifest = seal(tmp_path, {"step": 3})
    assert manifest["step"] == 3
    verify(tmp_path, manifest)


@pytest.mark.parametrize(("number", "kind"), [(errno.EROFS, ConfigError), (errno.ENOSPC, DiskFullError)])
def test_a_folder_that_takes_no_lock_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    def refused(*arguments: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(kind, match=re.escape(str(tmp_path))), locked(tmp_path / "lock", "run 'demo'"):
        pass
