from __future__ import annotations

import io
import json
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from towpath.core.errors import DataError
from towpath.data.document import Document, Rejected
from towpath.data.sources.pile import PILE_EPOCHS, OpenWebText2Source, PileSource


def read(path: Path, **fields: Any) -> list[Document | Rejected]:
    return list(PileSource(path=str(path), **fields).documents())


def documents(path: Path, **fields: Any) -> list[Document]:
    return [item for item in read(path, **fields) if isinstance(item, Document)]


def write_pile(path: Path, subsets: list[str]) -> Path:
    records = [{"text": f"text {n}", "meta": {"pile_set_name": name}} for n, name in enumerate(subsets)]
    path.write_bytes(zstandard.compress("".join(json.dumps(record) + "\n" for record in records).encode()))
    return path


def test_the_file_of_the_piles_own_tool_gives_its_text(shared_data: Path) -> None:
    found = documents(shared_data / "raw/pile/blns.jsonl.zst.tar")
    text = (shared_data / "raw/pile/blns.txt").read_text()
    assert [item.text for item in found] == [
        text,
        "testing 123\n\ntesting 345",
        text,
        "testing 123456789",
    ] * 2
    assert {item.path for item in found} == {
        "blns.jsonl.zst.tar#test_dir/1.zst",
        "blns.jsonl.zst.tar#test_dir/2.zst",
    }
    assert len({item.id for item in found}) == len(found)


def test_documents_of_the_pile_tell_their_subset_and_its_licence(shared_data: Path) -> None:
    path = shared_data / "raw/pile/pile_like.jsonl.zst"
    found = read(path)
    raw = zstandard.ZstdDecompressor().stream_reader(path.open("rb"), read_across_frames=True).read()
    records = [json.loads(line) for line in raw.splitlines()]
    assert [item.text for item in found if isinstance(item, Document)] == [row["text"] for row in records]
    for item, row in zip(found, records, strict=True):
        assert isinstance(item, Document)
        assert item.meta["subset"] == row["meta"]["pile_set_name"]
        assert item.licence == ("CC-BY-SA-3.0" if item.meta["subset"] == "Wikipedia (en)" else "unknown")
        assert raw[item.byte_offset :].startswith(b'{"text"')


def test_documents_of_openwebtext2_tell_url_and_score(shared_data: Path) -> None:
    source = OpenWebText2Source(path=str(shared_data / "raw/pile/openwebtext2_like.jsonl.zst"))
    found = list(source.documents())
    assert len(found) == 120
    scores = []
    for item in found:
        assert isinstance(item, Document)
        assert item.url is not None
        assert item.meta["lang"] == "en"
        scores.append(item.meta["max_reddit_scores"])
    assert all(isinstance(score, int) for score in scores)
    best = max(scores)
    kept = source.model_copy(update={"min_reddit_score": best}).documents()
    assert len(list(kept)) == scores.count(best)


def test_a_subset_is_thinned_by_its_weight_and_the_same_documents_stay(tmp_path: Path) -> None:
    path = write_pile(tmp_path / "00.jsonl.zst", ["Pile-CC", "ArXiv", "Github"] * 2_000)
    chosen = documents(path, subsets={"Pile-CC": 0.25, "Github": 2.0})
    count = {name: sum(item.meta["subset"] == name for item in chosen) for name in PILE_EPOCHS}
    assert (count["Github"], count["ArXiv"]) == (2_000, 0)
    assert 400 < count["Pile-CC"] < 600
    assert chosen == documents(path, subsets={"Pile-CC": 0.25, "Github": 2.0})
    more = documents(path, subsets={"Pile-CC": 0.5})
    assert {item.id for item in chosen if item.meta["subset"] == "Pile-CC"} < {item.id for item in more}
    assert {item.domain for item in chosen} == {"prose", "code"}


def test_a_mistyped_subset_is_named() -> None:
    with pytest.raises(ValidationError, match=r"no subset 'Pile-C'\. Did you mean 'Pile-CC'\?"):
        PileSource(path=".", subsets={"Pile-C": 1.0})


def test_bad_lines_are_rejected_and_a_damaged_member_ends_that_member_alone(tmp_path: Path) -> None:
    good = zstandard.compress(b'{"text": "a"}\n{"txt": "b"}\nnone\n{"text": "c"}\n')
    path = tmp_path / "data.jsonl.zst.tar"
    with tarfile.open(path, "w") as archive:
        for name, content in (("1.zst", good[:-9]), ("2.zst", good), ("link", b"")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if name == "link":
                member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(member, io.BytesIO(content))
    found = read(path)
    second = [item for item in found if "2.zst" in str(getattr(item, "document", item))]
    reasons = [item.reason if isinstance(item, Rejected) else None for item in second]
    assert reasons == [None, "no_text", "bad_json", None]
    assert [item.reason for item in found if isinstance(item, Rejected) and item not in second] == [
        "truncated_file"
    ]
    path.write_bytes(path.read_bytes()[: 512 + 512 + 512 + 20])
    assert isinstance(read(path)[-1], Rejected)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.integers(0, 600), st.sampled_from(["a.jsonl.zst", "a.jsonl.zst.tar"]))
def test_any_bytes_give_documents_and_rejected_records(
    tmp_path: Path, noise: bytes, at: int, name: str
) -> None:
    write_pile(tmp_path / name, ["Github"] * 9)
    if name.endswith(".tar"):
        with tarfile.open(tmp_path / "b", "w") as archive:
            archive.add(tmp_path / name, "1.zst")
        (tmp_path / "b").rename(tmp_path / name)
    raw = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(raw[:at] + noise + raw[at + len(noise) :])
    with suppress(DataError):
        assert all(isinstance(item, Document | Rejected) for item in read(tmp_path / name))
    (tmp_path / name).unlink()
