"""Rules over columns, rules of one's own, and filters that are a function."""

from __future__ import annotations

import pickle
from typing import ClassVar, Literal

import pytest

from towpath.core.config import identity
from towpath.core.errors import ConfigError
from towpath.data import DataConfig
from towpath.data.annotating import Plan
from towpath.data.document import Document
from towpath.data.filters import KEEP, Verdict, drop
from towpath.data.filters.document_filter import DocumentFilter
from towpath.data.filters.length import LengthConfig
from towpath.data.filters.rule import RuleConfig
from towpath.data.judging import reasons_to_drop
from towpath.data.rules import check_rules, feature_sets, steps_of

from .conftest import document, prose


class NoRiddles(DocumentFilter):
    type: Literal["no_riddles"] = "no_riddles"
    reasons: ClassVar = ("riddle", "echo")
    marker: str = "What has"

    def judge(self, document: Document) -> Verdict:
        return drop("riddle") if document.text.startswith(self.marker) else KEEP


class Liar(DocumentFilter):
    type: Literal["liar"] = "liar"
    reasons: ClassVar = ("told",)

    def judge(self, document: Document) -> Verdict:
        return drop("untold")


def rule(drop_when: str, **fields: object) -> RuleConfig:
    return RuleConfig.model_validate({"reason": "mine", "drop_when": drop_when, **fields})


def test_a_rule_of_the_run_file_sees_the_columns_of_the_other_filters() -> None:
    config = DataConfig.model_validate(
        {
            "filters": [
                {"type": "language"},
                {"type": "rule", "reason": "mine", "drop_when": "language = 'en' AND characters > 50"},
            ]
        }
    )
    texts = [prose(1), prose(1, 5)[:40]]
    assert reasons_to_drop([document(text) for text in texts], config.filters)[0] == "mine"
    assert steps_of(config.filters)[1].name == "rule"


def test_a_rule_may_ask_for_columns_of_filters_that_drop_nothing() -> None:
    filters = [rule("n_words > 100", columns_of=[{"type": "gopher"}])]
    assert reasons_to_drop([document(prose(1, 120)), document("short")], filters) == ["mine", None]


def test_a_rule_that_cannot_be_evaluated_names_the_filter_the_expression_and_the_columns() -> None:
    with pytest.raises(
        ConfigError,
        match=r"the rule 'mine' of the filter 'rule' can't be evaluated: 'charcters > 5'.*"
        r"Did you mean 'characters'\? There are the columns: source, domain, .*characters\.",
    ):
        check_rules([rule("charcters > 5")])
    with pytest.raises(ConfigError, match="it gives Int64, and true or false is needed"):
        check_rules([rule("characters + 1")])
    with pytest.raises(ConfigError, match="Expected: an expression, found: EOF"):
        check_rules([rule("characters <")])


def test_equal_feature_sets_are_computed_once_and_thresholds_are_no_part_of_them() -> None:
    loose, strict = LengthConfig(min_chars=1), LengthConfig(min_chars=500)
    assert len(feature_sets([loose, strict])) == 1
    assert [step.name for step in steps_of([loose, strict])] == ["length", "length 2"]
    meanings = [Plan.of(DataConfig(filters=(section,))).meaning() for section in (loose, strict)]
    assert meanings[0] == meanings[1]


def test_two_sets_of_one_kind_with_other_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="the column 'no_riddles_reason' is computed twice"):
        feature_sets([NoRiddles(), NoRiddles(marker="Why")])


def test_a_function_of_one_document_is_a_filter() -> None:
    filters = pickle.loads(pickle.dumps([NoRiddles(domains=("prose",))]))
    documents = [document("What has keys?"), document("A key."), document("What has", domain="chat")]
    assert reasons_to_drop(documents, filters) == ["riddle", None, None]
    [found] = feature_sets(filters)
    assert identity(found) != identity(feature_sets([NoRiddles(marker="Why", domains=("prose",))])[0])


def test_a_reason_that_a_filter_does_not_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Liar\.judge gave the reason 'untold'.* its reasons: told\."):
        reasons_to_drop([document("x")], [Liar()])
