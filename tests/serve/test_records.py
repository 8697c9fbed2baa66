from __future__ import annotations

import json
import stat
from datetime import datetime
from pathlib import Path

import pytest

from towpath.core.errors import ServeError
from towpath.serve.config import ServeConfig
from towpath.serve.records import RecordFile

SECRET = "the-text-of-a-prompt"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "records"


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "requests.jsonl").read_text().splitlines()]


def test_an_answer_leads_back_to_its_model_and_can_be_made_again(client_of, folder: Path) -> None:
    client = client_of(config=ServeConfig(records_folder=folder))
    response = client.post("/generate", json={"prompt": "Hi", "max_length": 5, "temperature": 0.5})
    (record,) = records(folder)
    assert record["id"] == response.headers["X-Request-Id"]
    assert record["model"] == response.headers["X-Towpath-Model"] == "0123456789abcdef"
    assert (record["prompt_tokens"], record["completion_tokens"], record["finish_reason"]) == (2, 3, "length")
    assert (record["endpoint"], record["temperature"]) == ("/generate", 0.5)
    assert isinstance(record["seed"], int)
    assert 0 <= record["queue_ms"] <= record["first_token_ms"] <= record["latency_ms"]
    assert datetime.fromisoformat(record["time"]).tzinfo is not None


def test_no_text_of_prompt_or_answer_is_kept(client_of, folder: Path) -> None:
    client = client_of(config=ServeConfig(records_folder=folder))
    client.post("/v1/completions", json={"prompt": SECRET})
    written = (folder / "requests.jsonl").read_text()
    assert SECRET not in written
    assert "To be" not in written


def test_a_request_that_failed_is_recorded_as_that(client_of, folder: Path) -> None:
    client = client_of(config=ServeConfig(records_folder=folder))
    client.post("/generate", json={"prompt": "FAIL"})
    (record,) = records(folder)
    assert (record["finish_reason"], record["completion_tokens"], record["first_token_ms"]) == (
        "error",
        0,
        None,
    )


def test_records_of_a_second_start_follow_those_of_the_first(client_of, folder: Path) -> None:
    for _ in range(2):
        client_of(config=ServeConfig(records_folder=folder)).post("/generate", json={"prompt": "x"})
    assert len(records(folder)) == 2


def test_only_the_owner_may_read_the_records(folder: Path) -> None:
    RecordFile(folder).close()
    assert stat.S_IMODE((folder / "requests.jsonl").stat().st_mode) == 0o600


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServeError, match=r"serve\.records_folder: .*file/records.*Choose another folder"):
        RecordFile(tmp_path / "file" / "records")


def test_without_a_folder_nothing_is_written(client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    client.post("/generate", json={"prompt": "x"})
    assert list(tmp_path.iterdir()) == []
