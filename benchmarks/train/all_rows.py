"""Every row of the train room's table, one after the other; the last lines are one JSON object a row.

    python benchmarks/train/all_rows.py [--nanogpt PATH] [--litgpt PATH] [ROW …]

A row is a file in this folder, run in a process of its own; its table is shown as it comes, and the
row that it ends with is shown again at the end. ``time_to_loss`` takes hours, and goes on where it was
stopped.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from turns import arguments, is_row

ROWS = (
    "tokens_small_fp32",
    "tokens_124m_fp32",
    "tokens_int8",
    "mfu_fp32",
    "peak_memory_124m",
    "two_processes",
    "loader",
    "scaling",
    "time_to_loss",
)
WITH_PEERS = ("tokens_small_fp32", "tokens_124m_fp32", "peak_memory_124m")


def main() -> int:
    parser = arguments(__doc__, 0)
    parser.add_argument("rows", nargs="*", metavar="ROW", default=ROWS, help=", ".join(ROWS))
    options = parser.parse_args()
    peers = [
        part
        for name in ("nanogpt", "litgpt")
        if (path := getattr(options, name))
        for part in (f"--{name}", str(path))
    ]
    results, failed = [], []
    for row in options.rows:
        print(f"== {row}", flush=True)
        lines = run([str(Path(__file__).parent / f"{row}.py"), *(peers if row in WITH_PEERS else [])])
        if lines is None:
            failed.append(row)
        else:
            results.append(lines[-1])
    print(*results, sep="\n")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def run(command: list[str]) -> list[str] | None:
    """The lines that a script printed, shown as they come; None when it failed or ended without a row."""
    lines = []
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.rstrip("\n"))
    return None if process.returncode or not lines or not is_row(lines[-1]) else lines


if __name__ == "__main__":
    sys.exit(main())
