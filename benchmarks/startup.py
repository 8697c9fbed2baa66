"""CPU seconds of ``towpath --help``, over several starts."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from statistics import median

STARTS = 10


def main() -> None:
    seconds = []
    for _ in range(STARTS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "towpath", "--help"], stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    print(f"min {min(seconds):.3f} s, max {max(seconds):.3f} s over {STARTS} starts")
    print(
        json.dumps({"row": "towpath --help", "ours": round(median(seconds), 3), "peer": 0.5, "unit": "CPU s"})
    )


if __name__ == "__main__":
    main()
