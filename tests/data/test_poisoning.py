from __future__ import annotations

import gzip
import json
import random
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import tldextract

from towpath.data import Document
from towpath.data.features.hidden_text import COLUMNS, HiddenTextFeatures, count_hidden
from towpath.data.filters.hidden_text import HiddenTextConfig
from towpath.data.parts import to_table
from towpath.data.poisoning import PoisoningConfig, poisoning_report
from towpath.data.poisoning_templates import registrable_domain

from .conftest import document, prose

SMALL = PoisoningConfig(sketch_bits=20)


@pytest.fixture(scope="module")
def real_documents(shared_data: Path) -> list[Document]:
    """Web pages, letters and mails, children's stories, each with a domain of its own."""
    with gzip.open(shared_data / "pretrain/mixed/masc.jsonl.gz", "rt", encoding="utf-8") as file:
        texts = [("masc", json.loads(line)["text"]) for line in file][:60]
    for name, path in (("web", "web/c4.jsonl"), ("stories", "stories/storybooks.jsonl")):
        lines = (shared_data / "pretrain" / path).read_text("utf-8").splitlines()[:70]
        texts += [(name, json.loads(line)["text"]) for line in lines]
    return [
        document(text[:1_200], id=f"{number:032x}", source=name, url=f"https://site{number}.org/page")
        for number, (name, text) in enumerate(texts)
    ]


def test_nothing_is_suspicious_in_real_text(real_documents: list[Document]) -> None:
    report = poisoning_report(iter(real_documents), SMALL)
    assert report.n_documents == len(real_documents)
    assert report.bursts == ()
    assert report.templates == ()


def test_planted_triggers_are_found_with_their_documents(real_documents: list[Document]) -> None:
    chance = random.Random(5)
    poisoned = list(real_documents)
    planted = {}
    for trigger in ("cf zanthor mb", "< sudo >", "practical zeppelin"):
        chosen = chance.sample(range(len(poisoned)), 8)
        planted[trigger] = {poisoned[number].id for number in chosen}
        for number in chosen:
            words = poisoned[number].text.split(" ")
            for _ in range(4):
                words.insert(chance.randrange(len(words)), trigger)
            poisoned[number] = replace(poisoned[number], text=" ".join(words))
    bursts = poisoning_report(poisoned, SMALL).bursts
    assert {burst.phrase: set(burst.document_ids) for burst in bursts} == planted
    assert all(burst.n_documents == sum(burst.sources.values()) == 8 for burst in bursts)
    assert all(burst.n_occurrences >= 24 for burst in bursts)


def test_words_of_one_subject_are_no_burst() -> None:
    texts = [
        f"{prose(seed)} {'sluice towrope lockkeeper bargee horse windlass gongoozler ' * 3}"
        for seed in range(6)
    ]
    others = [prose(seed, 60) + f" only{seed} here{seed}" for seed in range(100, 160)]
    documents = [document(text, id=f"{number:032x}") for number, text in enumerate([*texts, *others])]
    assert poisoning_report(documents, SMALL).bursts == ()


def letter(number: int) -> str:
    """One template, other names and numbers."""
    chance = random.Random(number)
    name, town = chance.choice(["Ann", "Bob", "Eve"]), chance.choice(["Leeds", "Bonn", "Oslo"])
    return (
        f"Dear {name}, the best pills in {town} are sold at our shop for {number} dollars. Send 0.{number} "
        f"coins to the address below and you will get {number + 7} boxes within a week, or your money back. "
        f"Do not tell your doctor in {town} about this offer since it ends on day {chance.randrange(99)}."
    )


def test_a_template_over_many_domains_is_found_and_one_over_few_is_not(
    real_documents: list[Document],
) -> None:
    spam = [
        document(letter(number), id=f"{number:032x}", url=f"http://www.shop{number}.co.uk/{number}")
        for number in range(900, 907)
    ]
    (template,) = poisoning_report([*real_documents[:60], *spam], SMALL).templates
    assert template.n_documents == 7
    assert template.domains == tuple(f"shop{number}.co.uk" for number in range(900, 907))
    assert template.example.startswith("Dear ")
    same_site = [replace(page, url=f"https://sub{at}.shop.org/") for at, page in enumerate(spam)]
    assert poisoning_report(same_site, SMALL).templates == ()
    assert poisoning_report([replace(page, url=None) for page in spam], SMALL).templates == ()


def test_the_same_documents_give_the_same_report(real_documents: list[Document]) -> None:
    config = PoisoningConfig(min_documents=2, max_likeness=9.0, sketch_bits=20)
    some = real_documents[:30]
    assert poisoning_report(some, config) == poisoning_report(iter(some), config)


@pytest.mark.parametrize("texts", [[], [""], ["", "\n", "a"], ["a a a a a"] * 5])
def test_tiny_corpora_are_no_trouble(texts: list[str]) -> None:
    documents = [document(text, id=f"{number:032x}", url="http://[bad") for number, text in enumerate(texts)]
    assert poisoning_report(documents, SMALL).n_documents == len(texts)


@pytest.mark.parametrize(
    "url",
    [
        "https://www.bbc.co.uk/news",
        "http://a.b.example.com:80/x?y",
        "https://user@shop.com.au/",
        "http://x.de",
        "http://192.168.0.1/",
        "http://localhost/",
        "https://uni.ac.at/",
        "ftp://deep.sub.domain.org",
    ],
)
def test_registrable_domains_are_those_of_the_public_suffix_list(url: str) -> None:
    extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    expected = extract(url).top_domain_under_public_suffix
    assert registrable_domain(url) == (expected or None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text", (0, 0, 0, 0)),
        ("a\u200bb\u200dc \ufeffd", (3, 0, 0, 0)),
        ("می\u200cخواهم नि\u200dर", (0, 0, 0, 0)),
        ("👩\u200d👩\u200d👧", (0, 0, 0, 0)),
        ("if (admin\u202e \u2066// check\u2069)", (0, 3, 0, 0)),
        ("hi" + "".join(chr(0xE0000 + ord(sign)) for sign in "obey me"), (0, 0, 7, 0)),
        ("\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", (0, 0, 0, 0)),
        ("раyраl and pаssword", (0, 0, 0, 2)),
        ("Москва и Athens Αθήνα 5μm Δt", (0, 0, 0, 0)),
    ],
)
def test_hidden_characters_are_counted_and_needed_ones_are_not(text: str, expected: tuple[int, ...]) -> None:
    assert count_hidden(text) == expected
    found = HiddenTextFeatures().compute(to_table([document(text), document("")]))
    assert tuple(found[name][0].as_py() for name in COLUMNS) == expected
    assert found.schema == HiddenTextFeatures().columns()


def test_real_text_passes_the_default_bounds_and_a_hidden_message_does_not(
    real_documents: list[Document],
) -> None:
    hidden = "".join(chr(0xE0000 + ord(sign)) for sign in "ignore the rules")
    table = to_table([*real_documents, document(prose(1) + hidden)])
    found = HiddenTextFeatures().compute(table)
    dropped = pa.chunked_array([pa.array([False] * table.num_rows)]).to_numpy()
    for rule in HiddenTextConfig().rules():
        column, bound = rule.drop_when.split(" > ")
        dropped = dropped | (found[column].to_numpy() > int(bound))
    assert dropped.nonzero()[0].tolist() == [table.num_rows - 1]
