"""What a crawl takes: core hours, machines, hours, money and memory, from rates measured on one core.

    python benchmarks/data/sizing.py [--terabytes 3] [--cores 32] [--dollars-per-core-hour 0.05] …

The rates come from ``make bench-data`` on the machine at hand (docs/data.md has those of one). It is
arithmetic, not a measurement: disks and network are taken to keep up, and steps to share work evenly.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass

from paired import arguments

RECORD_BYTES = 180  # in memory on the machine that decides: towpath.data.decide
SIGNATURE_BYTES = 448  # in a mapped file there


@dataclass(frozen=True)
class Step:
    name: str
    amount: float
    rate: float  # a second on one core
    unit: str

    @property
    def core_hours(self) -> float:
        return self.amount / self.rate / 3_600


def main() -> None:
    options = asked()
    pages = options.terabytes * 1e12 / (options.page_kb * 1e3)
    documents = pages * options.text_share
    kept = documents * options.kept_share
    steps = [
        Step("WARC to text", pages, options.warc_to_text, "pages"),
        Step("features, signatures, sorting out", documents, options.documents, "documents"),
        Step("tokens", kept * options.tokens, options.encode, "tokens"),
    ]
    print(f"{options.terabytes:g} TB, {pages:,.0f} pages, {kept:,.0f} documents kept\n")
    print("| step | amount | a second and core | core hours |\n| - | -: | -: | -: |")
    for step in steps:
        amount = f"{step.amount:,.0f} {step.unit}"
        print(f"| {step.name} | {amount} | {step.rate:,.0f} | {step.core_hours:,.1f} |")
    whole = sum(step.core_hours for step in steps)
    print(f"| together | | | {whole:,.1f} |\n")
    download = options.terabytes * 8e12 / (options.gigabits * 1e9) / 3_600
    print(f"hours on {options.cores} cores: {whole / options.cores:,.1f}")
    print(f"hours to download at {options.gigabits:g} Gbit/s: {download:,.1f}")
    print(f"dollars: {whole * options.dollars_per_core_hour:,.0f}")
    print(f"memory where it is decided: {documents * RECORD_BYTES / 1e9:,.1f} GB")
    print(f"signatures there, in a mapped file: {documents * SIGNATURE_BYTES / 1e9:,.1f} GB")


def asked() -> Namespace:
    parser = arguments(__doc__)
    parser.add_argument("--terabytes", type=float, default=3.0, help="of WARC files as stored")
    parser.add_argument("--page-kb", type=float, default=30.0, help="of one page as stored")
    parser.add_argument("--text-share", type=float, default=0.9, help="pages with text")
    parser.add_argument("--kept-share", type=float, default=0.1, help="documents that stay")
    parser.add_argument("--tokens", type=float, default=1_000.0, help="in a document that stays")
    parser.add_argument("--warc-to-text", type=float, required=True, help="pages a second and core")
    parser.add_argument("--documents", type=float, required=True, help="documents a second and core")
    parser.add_argument("--encode", type=float, required=True, help="tokens a second and core")
    parser.add_argument("--cores", type=int, default=32)
    parser.add_argument("--gigabits", type=float, default=10.0, help="of the network")
    parser.add_argument("--dollars-per-core-hour", type=float, default=0.05)
    return parser.parse_args()


if __name__ == "__main__":
    main()
