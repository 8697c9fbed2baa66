"""Code filter: drop files that are data, minified or generated rather than written.

Thresholds of The Stack's "basic" filter (bigcode-project/bigcode-dataset, preprocessing: line of at
most 1,000 characters, mean of at most 100, at least 0.25 alphanumeric) and of StarCoder 2
(arXiv:2402.19173: at most 100,000 lines, at least 0.25 alphabetic, at most half of the file encoded,
no phrase of a generator in the first five lines). Deviation: StarCoder 2 measures letters for all but two
assembly languages; here both shares are columns and the alphabetic bound is off unless it is set.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from towpath.data.document import Domain
from towpath.data.features import FeatureSet
from towpath.data.features.code import CodeFeatures
from towpath.data.filters import FilterConfig, Rule


class CodeConfig(FilterConfig):
    """What a file of code may look like; None sets no bound."""

    type: Literal["code"] = "code"
    domains: tuple[Domain, ...] = ("code",)
    """Kinds of text that the filter judges."""
    max_lines: int | None = Field(default=100_000, ge=1)
    """Files with more lines are dropped."""
    max_line_chars: int | None = Field(default=1_000, ge=1)
    """Files with a longer line are dropped."""
    max_mean_line_chars: float | None = Field(default=100, gt=0)
    """Files whose lines are longer on average are dropped."""
    min_alphanumeric_share: float | None = Field(default=0.25, ge=0, le=1)
    """Files with a smaller share of letters and digits are dropped."""
    min_alphabetic_share: float | None = Field(default=None, ge=0, le=1)
    """Files with a smaller share of letters are dropped."""
    max_encoded_share: float | None = Field(default=0.5, ge=0, le=1)
    """Files with a larger share in base64 or hexadecimal runs of 64 characters or more are dropped."""
    keep_generated: bool = False
    """Whether files that say they are generated stay."""

    def features(self) -> tuple[FeatureSet, ...]:
        """Measures of lines and characters."""
        return (CodeFeatures(),)

    def rules(self) -> tuple[Rule, ...]:
        """One rule a bound that is set."""
        bounds = [
            ("too_many_lines", "code_lines >", self.max_lines),
            ("line_too_long", "code_max_line >", self.max_line_chars),
            ("lines_too_long", "code_mean_line >", self.max_mean_line_chars),
            ("too_few_alphanumeric", "code_alphanumeric_share <", self.min_alphanumeric_share),
            ("too_few_alphabetic", "code_alphabetic_share <", self.min_alphabetic_share),
            ("encoded_data", "code_encoded_share >", self.max_encoded_share),
        ]
        rules = [
            Rule(reason, f"{condition} {bound}") for reason, condition, bound in bounds if bound is not None
        ]
        return tuple(rules) if self.keep_generated else (*rules, Rule("generated_code", "code_generated"))
