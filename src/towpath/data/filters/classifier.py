"""Quality classifier filter: drop texts that a trained model finds unlike its good examples."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from towpath.core.config import Execution
from towpath.core.errors import ConfigError
from towpath.data.features import FeatureSet
from towpath.data.features.classifier import ClassifierFeatures, digest_of_model
from towpath.data.filters import FilterConfig, Rule


class ClassifierConfig(FilterConfig):
    """Which model, and how high a score has to be."""

    type: Literal["classifier"] = "classifier"
    path: Execution[str]
    """A folder that ``train_classifier(…).save`` wrote, or a fastText model (.bin, .ftz)."""
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    """Digest of the model's file, which is what the result depends on; None takes that of the file at
    ``path`` when the settings are read."""
    label: str = "hq"
    """The label of a fastText model whose probability is the score."""
    min_score: float = Field(default=0.5, ge=0, le=1)
    """Texts with a lower probability of being a good one are dropped."""

    @model_validator(mode="before")
    @classmethod
    def _digest_is_known(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and fields.get("sha256") is None and isinstance(fields.get("path"), str):
            try:
                return {**fields, "sha256": digest_of_model(fields["path"])}
            except ConfigError as error:
                raise ValueError(str(error)) from error
        return fields

    def features(self) -> tuple[FeatureSet, ...]:
        """The model's score."""
        assert self.sha256 is not None, "the digest is filled in before"
        return (ClassifierFeatures(path=self.path, sha256=self.sha256, label=self.label),)

    def rules(self) -> tuple[Rule, ...]:
        """``low_quality_score``."""
        return (Rule("low_quality_score", f"quality_score < {self.min_score}"),)
