from __future__ import annotations

import json
import random
import string
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.core.texts import Texts
from towpath.data.cleaners.pii import PiiCleanerConfig, mask
from towpath.data.features.pii import PiiFeatures
from towpath.data.filters.pii import PiiConfig
from towpath.data.kernels.pii_gate import pii_gate, reference_pii_gate
from towpath.data.parts import to_table
from towpath.data.personal_data import find_in_column, find_personal_data

from .conftest import document, prose

Make = Callable[[random.Random], str]


def column(*texts: str) -> pa.Array:
    return pa.array(texts, pa.large_string())


# The labelled set: forms of each kind, filled at random, in sentences.


def digits(chance: random.Random, count: int) -> str:
    return "".join(chance.choice("0123456789") for _ in range(count))


def filled(chance: random.Random, form: str) -> str:
    """``form`` with N a digit 2-9 and X any digit."""
    return "".join(
        chance.choice("23456789") if sign == "N" else digits(chance, 1) if sign == "X" else sign
        for sign in form
    )


def email(chance: random.Random) -> str:
    name, other = chance.sample(
        ["anna", "j.smith", "o'brien", "mueller", "info", "x_y", "li+news", "Ana-Maria"], 2
    )
    place = chance.choice(["example", "mail.uni-bonn", "gmail", "a1", "sub.dept.school", "münchen"])
    ending = chance.choice(["com", "de", "co.uk", "org", "museum", "io", "edu"])
    return f"{name}{chance.choice(['', '.', '_'])}{other if chance.random() < 0.4 else ''}1@{place}.{ending}"


AMERICAN = (
    "(2X4) NX5-XXXX|N02-NX6-XXXX|N13.NX7.XXXX|N04 NX8 XXXX|1-N05-NX9-XXXX|+1 (N06) NX3-XXXX|+1N07NX2XXXX|"
    "+1 N07 NX2 XXXX|N02-NX6-XXXX ext. XXX"
).split("|")

NATIONAL = (
    "020 7XXX XXXX|07N00 9XXXXX|(0161) NXX XXXX|01N3N 960 XXX|01.4X.6X.9X.2X|06 12 9X 1X 8X|030 1234XXX|"
    "089/12345XX|0171 12345XX|040-3001XXXX|02 9XXX XXXX|0412 3XX XXX|03-5XXX-XXXX|090-1234-XXXX|"
    "044 668 1X 0X|0470 12 3X 4X|8 (495) 123-4X-XX|138 0013 8XXX|(11) 91234-XXXX|(21) 3456-XXXX|020-1234XXX"
).split("|")

INTERNATIONAL = (
    "+44 20 7946 0XXX|+44 (0)20 7946 0XXX|+49 30 123456X|+49-171-12345XX|+33 1 4X 6X 9X 2X|+4930123456XX|"
    "+91 98765 4XXXX|+86 138 0013 8XXX|+81-3-5XXX-XXXX|+7 495 123-4X-XX|+55 11 91234-XXXX|+353 1 234 5XXX|"
    "+380 44 123 4XXX|0049 30 1234XXX|00 44 20 7946 0XXX"
).split("|")

CUED = "NN5XXXX|NN5-XXXX|N02NN5XXXX|98765 XXXXX|91 123 4X XX".split("|")  # numbers only after such a word
CUES = ["Phone: ", "tel. ", "Call us at ", "Fax ", "mobile no. ", "Telefon: ", "WhatsApp "]


def one_of(forms: Sequence[str]) -> Make:
    return lambda chance: filled(chance, chance.choice(forms))


def cued(chance: random.Random) -> str:
    return f"{chance.choice(CUES)}[{filled(chance, chance.choice(CUED))}]"


def ipv4(chance: random.Random) -> str:
    first = chance.choice([8, 52, 81, 130, 151, 203])
    return f"{first}.{chance.randint(21, 99)}.{chance.randint(0, 255)}.{chance.randint(1, 254)}"


def ipv6(chance: random.Random) -> str:
    groups = [f"{chance.randint(1, 0xFFFF):x}" for _ in range(6)]
    return chance.choice(
        ["2a01:4f8:" + ":".join(groups), f"2606:4700::{groups[0]}", f"2a02:{groups[1]}:0:1::{groups[2]}"]
    )


# Signs after the check digits.
IBANS = {"DE": 18, "GB": 18, "FR": 23, "NL": 14, "CH": 17, "ES": 20, "NO": 11, "PL": 24}
BANKS = {"GB": "NWBK", "NL": "ABNA"}


def iban(chance: random.Random) -> str:
    country = chance.choice(list(IBANS))
    bank = BANKS.get(country, "")
    own = bank + digits(chance, IBANS[country] - len(bank))
    check = 98 - int("".join(str(int(sign, 36)) for sign in f"{own}{country}00")) % 97
    code = f"{country}{check:02d}{own}"
    return code if chance.random() < 0.5 else " ".join(code[at : at + 4] for at in range(0, len(code), 4))


def key(chance: random.Random) -> str:
    signs = string.ascii_letters + string.digits
    own = "".join(chance.choice(signs) for _ in range(36))
    return chance.choice([f"ghp_{own}", f"npm_{own}", f"AKIA{own.upper()[:16].translate(AWS_SIGNS)}"])


AWS_SIGNS = str.maketrans("0189", "2345")


def luhn_completed(number: str) -> str:
    total = sum(sum(divmod(int(d) * (2 if at % 2 == 0 else 1), 10)) for at, d in enumerate(reversed(number)))
    return number + str(-total % 10)


CARDS = {"4": 16, "52": 16, "2221": 16, "37": 15, "6011": 16, "3530": 16}  # digits by how a number starts


def card(chance: random.Random) -> str:
    prefix, length = chance.choice(list(CARDS.items()))
    number = luhn_completed(prefix + digits(chance, length - 1 - len(prefix)))
    if chance.random() < 0.4:
        return number
    sign = chance.choice(" -")
    cuts = (4, 10) if length == 15 else (4, 8, 12)
    return sign.join(number[a:b] for a, b in zip((0, *cuts), (*cuts, length), strict=True))


POSITIVE: list[tuple[str, Make]] = [
    ("email", email), ("phone", one_of(AMERICAN)), ("phone", one_of(NATIONAL)),
    ("phone", one_of(INTERNATIONAL)), ("phone", cued),
    ("key", key), ("ip", ipv4), ("ip", ipv6), ("iban", iban), ("card", card),
]  # fmt: skip

NEGATIVE = (
    "version X.X.XX.X|firmware v10.2.XX.4|Section 3.2.1.X|release 2.4.1X.8|2015-0N-1X|12/0N/2019|1X.0N.2014|"
    "2014-03-1X 1X:30:15|ISBN 0-306-40615-X|ISBN 978-0-306-40615-X|978030640615X|ISSN 0378-59XX|$N,XXX.XX|"
    "€ 1 N50 XXX|1N,XXX,XXX people|3.14159265XXXX|0.00123X4567|-12.5X, 4X.75|pages 1234-12XX|pp. 101-1XX|"
    "lines 10234-10XXX|1X:45:3X|at 14XXXXXXXX seconds|timestamp 14NXXXXXXXXXX|commit 3f2a9NXX1c7e4bXXXXXXXX|"
    "md5 9e107d9d372bb6826bd81d3542a4NXXX|#123456XXX|id=4N8XXXXXXX|std::vector<int>::size|a::b|Foo::Bar::baz|"
    "12:34:56:78|00:1A:2B:3C:4D:NX|1 2 3 4 5 6 7 8 9 1X|01 02 03 04 05|10 20 30 40 50 6X|+5 10 15 20 2X|"
    "+1,000,XXX|+12.5X%|2010-2019|1999/2000|logo@2x.png|@someone said|lodash@4.17.2X|git@NX|5 @ 3.50|"
    "C:\\temp\\12345XX|"
    "GB2312|DE 2014|EN55022:2010|AB12CD34|SKU 1234-5678-90X|order 100-20XX|RFC 29NX|1.5 x 10^2X|53.4X, -2.2X|"
    "51.507NXX, -0.127XXX|1920x10X0|16 777 21X|4 294 967 29X|0x7fff5fbff8XX|CVE-2014-01XX|PMC31928XX|"
    "doi:10.1000/18X.2014.0123|arXiv:1411.NX01|192.168.1.NX|10.0.0.N|127.0.0.1|fe80::1|999.888.777.66N|"
    "256.300.1.2|https://site.org/p/4111111111111111|http://news.net/2014/555-123-45XX|0123-0145|"
    "2.5.29.1X|Table 4.2.3.X|"
    "6 feet 11 inches, 2X0 lbs|1 000 000 00X|Psalm 119:105-1NX|0-1-2 at home|3-4-5 triangle|5-10-15-20|x=555"
).split("|")  # fmt: skip

FRAMES = (
    "Please write to {} before Friday.|{}|We saw ({}) on the page.|Contact: {}, or come by.|"
    'The value is {}; see below.|- {}\n- another line|He noted "{}" in 2014 and left.|In the end {}. '
    "Then it rained.|a list: {}\tb"
).split("|")


def labelled(count: int) -> list[tuple[str, list[tuple[str, str]]]]:
    """(text, its personal data) of half positives and half negatives, the same every time."""
    chance = random.Random(7)
    made = []
    for number in range(count):
        frame = chance.choice(FRAMES)
        if number % 2:
            made.append((frame.format(filled(chance, chance.choice(NEGATIVE)).replace("NX", "2X")), []))
            continue
        kind, make = chance.choice(POSITIVE)
        item = make(chance)
        value = item[item.index("[") + 1 : -1] if "[" in item else item
        made.append((frame.format(item.replace("[", "").replace("]", "")), [(kind, value)]))
    return made


def core(kind: str, value: str) -> tuple[str, str]:
    """What has to agree: the digits of a number without its extension, the whole of an address."""
    return kind, "".join(filter(str.isdigit, value.split("ext")[0])) if kind == "phone" else value


def test_recall_and_precision_on_the_labelled_set() -> None:
    right = wanted_count = found_count = 0
    wrong = []
    for text, wanted in labelled(3_000):
        found = {core(kind, text[start:end]) for kind, start, end in find_personal_data(text)}
        expected = {core(*item) for item in wanted}
        right += len(found & expected)
        wanted_count += len(expected)
        found_count += len(found)
        if found != expected:
            wrong.append((text, expected, found))
    assert right / wanted_count >= 0.98, wrong[:40]
    assert right / found_count >= 0.95, wrong[:40]


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        pytest.param(
            "Mail a.b@c.org, call +44 20 7946 0958, pay DE89 3704 0044 0532 0130 00 "
            "or 4111 1111 1111 1111; 8.8.8.200",
            {},
            [
                ("email", "a.b@c.org"),
                ("phone", "+44 20 7946 0958"),
                ("iban", "DE89 3704 0044 0532 0130 00"),
                ("card", "4111 1111 1111 1111"),
                ("ip", "8.8.8.200"),
            ],
            id="kinds are told apart",
        ),
        pytest.param(
            "DE88 3704 0044 0532 0130 00 and 4111 1111 1111 1112", {}, [], id="a wrong check digit is nothing"
        ),
        pytest.param(
            "hosts 192.168.1.77, 10.20.30.40, fe80::1 and 93.184.216.34",
            {},
            [("ip", "93.184.216.34")],
            id="private is nothing",
        ),
        pytest.param(
            "hosts 192.168.1.77, 10.20.30.40, fe80::1 and 93.184.216.34",
            {"private_addresses": True},
            [
                ("ip", "192.168.1.77"),
                ("ip", "10.20.30.40"),
                ("ip", "fe80::1"),
                ("ip", "93.184.216.34"),
            ],
            id="private when asked for",
        ),
        pytest.param(
            "a@b.org 212-555-0143",
            {"kinds": ("phone",)},
            [("phone", "212-555-0143")],
            id="only kinds asked for",
        ),
        pytest.param(
            "password = 'q7Lk2vX9pRt4Zw8s' and AKIAZ7QW3ERTYUIOPLKJ",
            {},
            [("key", "q7Lk2vX9pRt4Zw8s"), ("key", "AKIAZ7QW3ERTYUIOPLKJ")],
            id="passwords and keys",
        ),
    ],
)
def test_spans_are_exact(text: str, options: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    in_column = find_in_column(column(text), **options)
    for spans in (find_personal_data(text, **options), in_column[0][1] if in_column else []):
        assert [(kind, text[start:end]) for kind, start, end in spans] == expected


def test_masking_writes_placeholders_and_counts() -> None:
    texts = column("Write to a@b.org or c@d.org!", "nothing here", "", "Call 212-555-0143.")
    cleaned = PiiCleanerConfig().clean(texts)
    assert cleaned.texts.to_pylist() == ["Write to <EMAIL> or <EMAIL>!", "nothing here", "", "Call <PHONE>."]
    assert cleaned.n_edits.tolist() == [2, 0, 0, 1]
    again = PiiCleanerConfig().clean(cleaned.texts)
    assert again.n_edits.tolist() == [0, 0, 0, 0]


def test_tagging_counts_and_leaves_the_text() -> None:
    texts = column("Write to a@b.org!")
    cleaned = PiiCleanerConfig(action="tag").clean(texts)
    assert cleaned.texts.equals(texts)
    assert cleaned.n_edits.tolist() == [1]


def test_features_count_each_kind_and_the_filter_names_the_reason() -> None:
    documents = to_table([document("a@b.org, c@d.org and 212-555-0143"), document(prose(1))])
    counted = PiiFeatures().compute(documents)
    assert counted.schema == PiiFeatures().columns()
    assert counted["pii_emails"].to_pylist() == [2, 0]
    assert counted["pii_phones"].to_pylist() == [1, 0]
    rules = {rule.reason: rule.drop_when for rule in PiiConfig(max_emails=1, max_ips=None).rules()}
    assert rules["too_many_emails"] == "pii_emails > 1"
    assert "too_many_ips" not in rules


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.sampled_from("0123456789 ().-/@:aAfFgGZ\n\u00a0é+")), max_size=6))
def test_the_gate_equals_its_reference(texts: list[str]) -> None:
    packed = Texts.of(column(*texts))
    assert pii_gate(packed).tolist() == reference_pii_gate(packed).tolist()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.sampled_from("0123456789 ().-/@:aAfFDE89\n\u00a0é+xt")), max_size=6))
def test_the_gate_hides_nothing_and_spans_are_in_order(texts: list[str]) -> None:
    found = find_in_column(column(*texts))
    for row, text in enumerate(texts):
        spans = find_personal_data(text)
        assert (found[row][1] if row in found else []) == spans
        assert all(0 <= a.start < a.end <= b.start for a, b in pairwise(spans))
        assert len(mask(text, spans)) >= len(text) - sum(span.end - span.start for span in spans)


def test_the_gate_hides_nothing_of_the_labelled_set() -> None:
    texts = [text for text, _ in labelled(1_000)]
    found = find_in_column(column(*texts))
    assert {row: spans for row, (_, spans) in found.items()} == {
        row: spans for row, text in enumerate(texts) if (spans := find_personal_data(text))
    }


@pytest.mark.parametrize(
    "piece", ["1 ", "1-", "a@b.de ", "+1(", "1.", "a.", ":1", "DE89 ", "01 ", "0", "@a.", "x" * 64 + "@"]
)
def test_one_piece_over_and_over_is_read_in_time(piece: str) -> None:
    start = time.process_time()
    find_personal_data(piece * (200_000 // len(piece)))
    assert time.process_time() - start < 5  # a pattern that goes back at each place takes minutes


def test_real_web_text_has_little_and_only_what_a_person_would_call_so(shared_data: Path) -> None:
    lines = (shared_data / "pretrain/web/c4.jsonl").read_text("utf-8").splitlines()
    found = find_in_column(column(*(json.loads(line)["text"] for line in lines)))
    values = {text[start:end] for text, spans in found.values() for _, start, end in spans}
    assert {"780-800-7092", "07885 577 899", "910.538.0115", "pr@mrstinkblog.com"} <= values
    assert len(found) == 8  # looked at one by one: all are what they are called
