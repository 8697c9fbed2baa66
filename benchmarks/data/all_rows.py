"""Every row of the data room's table, one after the other; the last lines are one JSON object a row.

    python benchmarks/data/all_rows.py [ROW …]

A row is a file in this folder that is named as its row with underscores. Each runs in a process of
its own; its table is shown as it comes, and the row that it ends with is shown again at the end.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from paired import arguments, is_row

ROWS = (
    "language_quality_minhash",
    "quality_features",
    "minhash_end_to_end",
    "exact_substring",
    "warc_to_text",
    "bpe_training",
    "encode_and_pack",
)


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", default=ROWS, help=", ".join(ROWS))
    chosen = parser.parse_args().rows
    results, failed = [], []
    for row in chosen:
        print(f"== {row}", flush=True)
        script = Path(__file__).parent / f"{row}.py"
        lines = run(script)
        if lines is None:
            failed.append(row)
        else:
            results.append(lines[-1])
    print(*results, sep="\n")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def run(script: Path) -> list[str] | None:
    """The lines that ``script`` printed, shown as they come; None when it failed or ended without a row."""
    lines = []
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.rstrip("\n"))
    return None if process.returncode or not lines or not is_row(lines[-1]) else lines


if __name__ == "__main__":
    sys.exit(main())
