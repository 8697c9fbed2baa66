"""The run file: one section a room."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, model_validator

from towpath.core.config import Execution, Section
from towpath.core.errors import ConfigError
from towpath.core.runs import problem_of_name
from towpath.data.config import DataConfig
from towpath.evaluate.scores import EvaluateConfig
from towpath.model.config import GPT2Config, ModelConfig
from towpath.serve.config import ServeConfig
from towpath.tokenizer.config import TokenizerConfig
from towpath.train.config import TrainConfig
from towpath.train.objectives import check_fits
from towpath.tune.config import TuneConfig

StageName = Literal["data", "tokenizer", "tokens", "statistics", "train", "evaluate", "tune"]
STAGES: tuple[StageName, ...] = get_args(StageName)
"""The stages of the path, in order."""


class RunConfig(Section):
    """A whole run, from documents to a server."""

    name: str
    """Name of the run, of its folder below runs/ and of the artifacts that it makes."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Start of every random stream: weights, order of samples, dropout."""
    until: Execution[StageName | None] = None
    """The last stage of the path that is made; None makes all."""
    data: DataConfig
    """Sources, filters, deduplication, what is held out."""
    tokenizer: TokenizerConfig = TokenizerConfig()
    """The tokenizer and its shards."""
    model: ModelConfig = GPT2Config()
    """The model: gpt2, modern, bert or t5."""
    train: TrainConfig = TrainConfig()
    """Pre-training."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """Scoring on held-out text."""
    tune: TuneConfig = TuneConfig()
    """Fine-tuning into an assistant."""
    serve: ServeConfig = ServeConfig()
    """The server."""

    @model_validator(mode="after")
    def _is_named(self) -> RunConfig:
        if problem := problem_of_name(self.name):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _objective_fits(self) -> RunConfig:
        try:
            check_fits(self.train.objective, self.model)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        if self.tune.sft is not None and self.model.family != "decoder":
            raise ValueError(
                f"tune.sft makes a chat model of a decoder, and model.type = {self.model.type!r} is an "
                f"{self.model.family}. Remove tune.sft, or take model.type = 'gpt2' or 'modern'."
            )
        self.train.parallel.check_model(self.model)
        return self

    @model_validator(mode="after")
    def _vocabulary_fits(self) -> RunConfig:
        own, special = self.tokenizer.vocab_size, len(self.train.objective.special_tokens)
        rows, ids = self.model.vocab_size, own + special
        if rows is not None and rows < ids:
            more = f" and {special} special tokens of train.objective" if special else ""
            raise ValueError(
                f"model.vocab_size = {rows} is smaller than tokenizer.vocab_size = {own}{more}: "
                f"tokens would have no embedding. Try {-(-ids // 64) * 64}, or leave it out."
            )
        return self
