from __future__ import annotations

import json
import time
from pathlib import Path

import ftfy
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.core.texts import Texts
from towpath.data.cleaners.mojibake import MojibakeConfig
from towpath.data.kernels.mojibake_gate import mojibake_gate, reference_mojibake_gate

from .conftest import prose


def column(*texts: str | None) -> pa.Array:
    return pa.array(texts, pa.large_string())


def gate(*texts: str) -> list[int]:
    return mojibake_gate(Texts.of(column(*texts))).tolist()


@pytest.mark.parametrize(
    "text", ["naïve café", "„Grüße“ – ‘ja’", "Ελλάδα", "Москва", "東京", "emoji 😀", "« été »", "50 € • 3 ½"]
)
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_misread_words_are_suspicious_and_put_right(text: str, encoding: str) -> None:
    try:
        misread = text.encode().decode(encoding)
    except UnicodeDecodeError:
        pytest.skip("this encoding has no such byte")
    assert gate(text, misread)[0] == 0 < gate(text, misread)[1]
    cleaned = MojibakeConfig().clean(column(f"{prose(1)} {misread}", prose(2)))
    assert cleaned.texts.to_pylist() == [f"{prose(1)} {text}", prose(2)]
    assert cleaned.n_edits[0] >= 1
    assert cleaned.n_edits[1] == 0


def test_entities_and_control_characters_go_and_replacement_characters_stay() -> None:
    cleaned = MojibakeConfig().clean(column("fish &amp; chips", "a\x08b", "what \ufffd was", "AT&T; R&D"))
    assert cleaned.texts.to_pylist() == ["fish & chips", "ab", "what \ufffd was", "AT&T; R&D"]
    assert cleaned.n_edits.tolist() == [1, 1, 0, 0]
    assert MojibakeConfig(html_entities=False).clean(column("a &amp; b")).n_edits.tolist() == [0]


def test_clean_text_is_left_as_it_is_quotes_and_ligatures_included() -> None:
    texts = column("“curly” ﬁne ｆｕｌｌ", "e\u0301", "", None)
    cleaned = MojibakeConfig().clean(texts)
    assert cleaned.texts.equals(texts)
    assert not cleaned.n_edits.any()


def test_a_text_that_takes_too_long_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ftfy, "fix_text", lambda *_: time.sleep(5))
    assert MojibakeConfig(max_seconds=0.05).clean(column("cafÃ©")).texts.to_pylist() == ["cafÃ©"]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.text(
            st.sampled_from("ab &#;\x00\x1f\n\x7f\x80\x9fÂÃâðï»¿¼\ufffd\ufeff€œ™…“”‰ŠŽŸƒˆ˜é "), max_size=200
        )
    )
)
def test_the_gate_equals_its_reference(texts: list[str]) -> None:
    packed = Texts.of(column(*texts))
    assert mojibake_gate(packed).tolist() == reference_mojibake_gate(packed).tolist()


@settings(max_examples=50, deadline=None)
@given(
    st.text(st.characters(min_codepoint=0x80, max_codepoint=0x2FFFF, exclude_categories=["Cs"]), min_size=1)
)
def test_all_utf8_read_as_latin_1_is_suspicious(text: str) -> None:
    assert gate("x" * 70 + text.encode().decode("latin-1"))[0] >= 1


def test_hardly_any_real_web_text_is_suspicious_and_hardly_any_damage_is_missed(shared_data: Path) -> None:
    lines = (shared_data / "pretrain/web/c4.jsonl").read_text("utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    suspicious = gate(*texts)
    cleaned = MojibakeConfig().clean(column(*texts))
    assert sum(count > 0 for count in suspicious) <= len(texts) // 20
    config = ftfy.TextFixerConfig(
        uncurl_quotes=False, fix_latin_ligatures=False, fix_character_width=False, normalization=None
    )
    assert cleaned.texts.to_pylist() == [ftfy.fix_text(text, config) for text in texts]
