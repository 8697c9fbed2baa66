"""Memory of making documents from an input larger than the limit: completes under it, or is killed.

    python benchmarks/data/memory.py [--size-gb 2] [--limit-gb 2] [--folder FOLDER]

Writes random documents of English sentences (no two alike, one in ten a near copy of an earlier
one), then makes documents of them, all filters and near duplicates on, in a process whose memory is
limited: by a control group where one can be made (page cache counts, and is given back under
pressure), else by RLIMIT_DATA for each process. Ends with one JSON line.
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from paired import arguments

CONTROL_GROUPS = Path("/sys/fs/cgroup/memory")  # version 1
SENTENCES_A_DOCUMENT = 32  # about 4 kB
EARLIER = 1_000  # a near copy is of one of so many documents before it


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--size-gb", type=float, default=2.0)
    parser.add_argument("--limit-gb", type=float, default=2.0)
    parser.add_argument(
        "--folder", type=Path, help="for the input and the result; a temporary one if left out"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        n_documents = write_input(folder / "input", options.size_gb * 1e9)
        print(json.dumps(make_limited(folder, n_documents, int(options.limit_gb * 2**30))))


def sentences() -> list[str]:
    """English sentences without code of the Python documentation that comes with the interpreter."""
    import pydoc_data.topics

    text = " ".join(" ".join(topic.split()) for topic in pydoc_data.topics.topics.values())
    found = re.findall(r"(?<=[.] )[A-Z][a-z]+(?:,? [a-z]+){6,40}[.]", text)
    return sorted(set(found))


def documents(pool: list[str], size_bytes: float) -> Iterator[str]:
    chance = random.Random(0)
    earlier: list[list[str]] = []
    written = 0
    while written < size_bytes:
        if earlier and chance.random() < 0.1:
            chosen = list(chance.choice(earlier))
            chosen[chance.randrange(len(chosen))] = chance.choice(pool)
        else:
            chosen = [
                f"{chance.choice(pool)[:-1]} number {chance.randrange(10**6)}."
                for _ in range(SENTENCES_A_DOCUMENT)
            ]
        earlier.append(chosen)
        if len(earlier) > EARLIER:
            earlier.pop(0)
        text = "\n".join(chosen)
        written += len(text.encode())
        yield text


def write_input(folder: Path, size_bytes: float) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    per_file = 100_000
    file = None
    for count, text in enumerate(documents(sentences(), size_bytes)):
        if count % per_file == 0:
            if file:
                file.close()
            file = (folder / f"{count // per_file:03d}.jsonl").open("w")
        assert file is not None
        file.write(json.dumps({"text": text}) + "\n")
    if file:
        file.close()
    return count + 1


def make_limited(folder: Path, n_documents: int, limit_bytes: int) -> dict[str, object]:
    group = control_group(limit_bytes)
    command = [sys.executable, "-m", "towpath", "data", str(run_file(folder)), "--json"]
    start = time.monotonic()

    def limited() -> None:
        if group:
            (group / "cgroup.procs").write_text(str(os.getpid()))
        else:
            resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))

    environment = {**os.environ, "TOWPATH_HOME": str(folder / "home")}
    answer = subprocess.run(command, preexec_fn=limited, env=environment, stdout=subprocess.PIPE)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    facts: dict[str, object] = {
        "row": "memory of documents",
        "documents": n_documents,
        "limit_bytes": limit_bytes,
        "limited_by": "control group" if group else "RLIMIT_DATA",
        "finished": answer.returncode == 0,
        "largest_process_bytes": used.ru_maxrss * 1024,
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "seconds": round(time.monotonic() - start, 1),
    }
    if group:
        facts["failures_to_stay_below"] = int((group / "memory.oom_control").read_text().split()[-1])
        while (group / "cgroup.procs").read_text():  # workers on their way out
            time.sleep(0.1)
        group.rmdir()
    if answer.returncode == 0:
        facts["counts"] = json.loads(answer.stdout)["counts"]
    return facts


def control_group(limit_bytes: int) -> Path | None:
    group = CONTROL_GROUPS / f"towpath-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(limit_bytes))
    except OSError:
        return None
    return group


def run_file(folder: Path) -> Path:
    path = folder / "run.toml"
    path.write_text(f'name = "memory"\n[[data.sources]]\ntype = "files"\npath = "{folder / "input"}"\n')
    return path


if __name__ == "__main__":
    main()
