"""Reddit threads, of records as Pushshift published them (arXiv:2001.08435); no real ones are at hand."""

from __future__ import annotations

import io
import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from towpath.core.errors import DataError
from towpath.data.document import Document, Rejected
from towpath.data.sources.reddit import RedditSource


def submission(own: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": own, "title": f"Title {own}", "selftext": f"Text {own}", "author": "ann", "score": 5,
        "subreddit": "books", "created_utc": 1_325_376_000, "num_comments": 2, "over_18": False,
        "is_self": True,
        "permalink": f"/r/books/comments/{own}/title/", "url": "", "subreddit_id": "t5_x", **fields,
    }  # fmt: skip


def comment(own: str, parent: str, link: str = "s1", **fields: Any) -> dict[str, Any]:
    return {
        "id": own, "body": f"Comment {own}", "author": "bob", "score": 1, "subreddit": "books",
        "link_id": f"t3_{link}",
        "parent_id": parent, "created_utc": "1325376060", "controversiality": 0,
        "gilded": 0, "edited": False, **fields,
    }  # fmt: skip


def dump(path: Path, records: list[Any]) -> Path:
    """Written as Pushshift's files are: lines, compressed with a window of 2 GiB."""
    lines = "".join((item if isinstance(item, str) else json.dumps(item)) + "\n" for item in records)
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=31, hash_log=12, chain_log=12)
    compressed = io.BytesIO()
    with zstandard.ZstdCompressor(compression_params=parameters).stream_writer(
        compressed, closefd=False
    ) as file:
        file.write(lines.encode())
    path.write_bytes(compressed.getvalue())
    return path


def read(folder: Path, **fields: Any) -> list[Document | Rejected]:
    return list(RedditSource(path=str(folder), **fields).documents())


def texts(folder: Path, **fields: Any) -> list[str]:
    return [item.text for item in read(folder, **fields) if isinstance(item, Document)]


THREAD = [
    comment("c1", "t3_s1", score=1),
    comment("c2", "t3_s1", score=9),
    comment("c3", "t1_c1", score=4, body="Fish &amp; chips"),
    comment("c4", "t1_c1", score=7),
    comment("c5", "t1_c2", body="[deleted]", author="[deleted]"),
    comment("c6", "t1_c5", score=2),
    comment("c7", "t3_s1", author="automoderator", score=99),
]


def test_a_thread_is_rebuilt_depth_first_with_the_best_first(tmp_path: Path) -> None:
    dump(tmp_path / "RS_2012-01.zst", [submission("s1")])
    dump(tmp_path / "RC_2012-01.zst", THREAD)
    (found,) = read(tmp_path)
    assert isinstance(found, Document)
    assert found.text.split("\n\n") == [
        *("Title s1", "Text s1", "Comment c2", "Comment c6", "Comment c1", "Comment c4", "Fish & chips"),
    ]
    assert found.url == "https://www.reddit.com/comments/s1/"
    assert found.date == "2012-01-01T00:00:00+00:00"
    assert found.meta == {"subreddit": "books", "score": 5, "n_comments": 5}
    assert found.domain == "chat"
    assert (found.path, found.byte_offset) == ("RS_2012-01.zst", 0)


def test_comments_can_be_chosen_by_score_and_number(tmp_path: Path) -> None:
    dump(tmp_path / "RS.zst", [submission("s1"), submission("s2", subreddit="Films", score=0)])
    dump(tmp_path / "RC.zst", THREAD)
    assert "Comment c4" not in texts(tmp_path, min_comment_score=2)[0]
    assert texts(tmp_path, max_comments=1)[0].endswith("Text s1\n\nComment c2")
    assert texts(tmp_path, subreddits=("films",)) == ["Title s2\n\nText s2"]
    assert len(texts(tmp_path, min_score=1)) == 1
    assert "Comment c7" in texts(tmp_path, bots=())[0]


def test_what_was_deleted_is_not_a_document(tmp_path: Path) -> None:
    records = [
        submission("s1", title="[deleted]"),
        submission("s2", over_18=True),
        submission("s3", selftext="[removed]"),
    ]
    dump(tmp_path / "RS.zst", records)
    found = read(tmp_path)
    assert [item.reason for item in found if isinstance(item, Rejected)] == ["deleted", "adult"]
    assert texts(tmp_path) == ["Title s3"]
    assert len(texts(tmp_path, adult=True)) == 2


def test_comments_whose_submission_is_elsewhere_are_a_thread_of_their_own(tmp_path: Path) -> None:
    dump(tmp_path / "RC.zst", [comment("c1", "t1_c0", "s9"), comment("c2", "t1_c1", "s9")])
    (found,) = read(tmp_path)
    assert isinstance(found, Document)
    assert found.text == "Comment c1\n\nComment c2"
    assert found.url == "https://www.reddit.com/comments/s9/"
    assert "score" not in found.meta


def test_lines_that_are_no_posts_are_rejected_with_their_place(tmp_path: Path) -> None:
    good = submission("s1")
    dump(tmp_path / "RS.zst", [good, "{broken", '{"id": "x"}', "[1]", '{"id": "y", "body": "no link"}', ""])
    found = [item for item in read(tmp_path) if isinstance(item, Rejected)]
    assert [item.reason for item in found] == ["bad_json", "no_post", "bad_json", "no_post"]
    assert found[0].document.byte_offset == len(json.dumps(good)) + 1
    assert len(texts(tmp_path)) == 1


def test_a_deep_thread_and_one_that_answers_itself_are_read(tmp_path: Path) -> None:
    chain = [comment("d0", "t3_s1"), *(comment(f"d{n}", f"t1_d{n - 1}") for n in range(1, 3_000))]
    loop = [comment("a", "t1_b", "s2"), comment("b", "t1_a", "s2"), comment("c", "t3_s2", "s2")]
    random.Random(0).shuffle(chain)
    dump(tmp_path / "RS.zst", [submission("s1"), submission("s2"), *chain, *loop])
    long, short = texts(tmp_path)
    assert long.split("\n\n")[2:] == [f"Comment d{n}" for n in range(3_000)]
    assert short.endswith("Comment c")


FIELDS = ["id", "title", "selftext", "body", "link_id", "parent_id", "score", "created_utc", "author"]
VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["t3_a", "t1_b", "b", "\ud800"])
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), VALUES) | st.text(max_size=9)))
def test_any_records_give_documents_and_rejected_records(tmp_path: Path, records: list[Any]) -> None:
    (tmp_path / "RC.json").write_text("".join(json.dumps(record) + "\n" for record in records))
    with suppress(DataError):
        found = read(tmp_path)
        assert all(isinstance(item, Document | Rejected) for item in found)
        assert bool(found) == bool(records)
