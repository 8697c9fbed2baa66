"""The same bytes on a real Ray cluster of two nodes as on this machine, also after a kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from towpath.core.artifacts import Store

from .conftest import prose

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PROGRAM = """
import sys
from pathlib import Path
from towpath.core.artifacts import Store
from towpath.data import DataConfig, make_documents
home, corpus, engine = sys.argv[1:]
common = dict(part_bytes=8_000, engine=engine, substrings={"enabled": True})
config = DataConfig(sources=[{"type": "files", "path": corpus}], **common)
earlier = make_documents(Store(Path(home)), config)
later = DataConfig(sources=[{"type": "files", "path": corpus + "-later"}], against=(earlier.id,), **common)
print(make_documents(Store(Path(home)), later).counts)
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster of two nodes with one CPU each, which outlives the programs that use it."""
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        yield cluster.address
    finally:
        cluster.shutdown()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six files with duplicates among them and some lines that are no JSON."""
    folder = tmp_path_factory.mktemp("corpus")
    for file in range(6):
        texts = [prose(seed) for seed in range(8 * file, 8 * file + 10)]
        changed = prose(file, 400).split()
        texts += [prose(file, 400), " ".join([*changed[:200], "changed", *changed[201:]])]
        lines = [*(json.dumps({"text": text}) for text in texts), "{"]
        (folder / f"{file}.jsonl").write_text("\n".join(lines))
    later = folder.with_name(f"{folder.name}-later")
    later.mkdir()
    for file in range(3):
        texts = [f"{prose(80 + 8 * file + seed)}\n{prose(8 * file + seed)}" for seed in range(8)]
        lines = [json.dumps({"text": text}) for text in texts]
        (later / f"{file}.jsonl").write_text("\n".join(lines))
    return folder


def start(home: Path, corpus: Path, engine: str, address: str | None) -> subprocess.Popen[str]:
    environment = {**os.environ, **({} if address is None else {"RAY_ADDRESS": address})}
    command = [sys.executable, "-c", PROGRAM, str(home), str(corpus), engine]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def made(home: Path, corpus: Path, engine: str, address: str | None = None) -> dict[str, Any]:
    """Every artifact below ``home`` after a whole run: its kind and id, and the SHA-256 of its files."""
    process = start(home, corpus, engine, address)
    _, messages = process.communicate(timeout=300)
    assert process.returncode == 0, messages
    return {
        f"{item.kind} {item.id}": {name: facts["sha256"] for name, facts in item.files.items()}
        for item in Store(home).all()
    }


def test_ray_makes_the_same_bytes_as_this_machine_also_after_a_kill(
    address: str, corpus: Path, tmp_path: Path
) -> None:
    expected = made(tmp_path / "native", corpus, "native")
    assert {key.split()[0] for key in expected} == {"records", "features", "documents"}
    assert any(name.endswith(".fingerprints") for files in expected.values() for name in files)
    datasets = {item.id: item for item in Store(tmp_path / "native").all("documents")}
    [later] = [item for item in datasets.values() if datasets.keys() & set(item.parents)]
    assert later.counts["characters"] < 0.8 * later.counts["kept"] * 2 * len(prose(0))  # half is earlier text
    assert made(tmp_path / "ray", corpus, "ray", address) == expected
    for done in ("records/*/done/part-*", "features/*/done/part-*", "documents/*/done/train*"):
        home = tmp_path / done.partition("/")[0]
        process = start(home, corpus, "ray", address)
        while process.poll() is None and not list((home / "artifacts").glob(done)):
            time.sleep(0.01)
        process.kill()
        process.communicate()
        assert list((home / "artifacts").glob(done)) or process.returncode == 0
        assert made(home, corpus, "ray", address) == expected
