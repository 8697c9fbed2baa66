"""The path: the stages of a run in order, each an artifact made from those before it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from towpath.core.artifacts import Artifact, Store
from towpath.core.errors import ConfigError
from towpath.core.runfile import to_toml
from towpath.core.runs import Run
from towpath.recipes.run_config import STAGES

if TYPE_CHECKING:
    from towpath.recipes.run_config import RunConfig
    from towpath.tokenizer import Tokenizer, TokenShards
    from towpath.train.stage import Validate


@dataclass(frozen=True)
class Stage:
    """A finished stage of the path."""

    name: str
    artifact: Artifact


class Path:
    """One run's way from raw text to an assistant. Stages that are done are found, not repeated."""

    def __init__(self, config: RunConfig, store: Store) -> None:
        self.config = config
        self.store = store
        self.run = Run(store.home, config.name)
        self.made: dict[str, Artifact] = {}

    def stages(self) -> list[str]:
        """The stages of this run in order."""
        last = self.config.until or STAGES[-1]
        names = STAGES[: STAGES.index(last) + 1]
        return [name for name in names if name != "tune" or self.config.tune.sft is not None]

    def walk(self, until: str | None = None) -> Iterator[Stage]:
        """Make stage after stage, the last being ``until``; each is yielded when it is there.

        Raises:
            LockedError: another process is at work on this run.
        """
        with self.run.held():
            self._check_training(until)
            self.run.describe(to_toml(self.config))
            for name in self.stages():
                yield Stage(name, self._make(name))
                if name == until:
                    return

    def _check_training(self, until: str | None) -> None:
        """Refuse now what training would refuse after hours of data and tokenizer."""
        stages = self.stages()
        last = until or stages[-1]
        if "train" in stages and STAGES.index(last) >= STAGES.index("train"):  # pyright: ignore[reportArgumentType]
            from towpath.train.start import check_start

            if not self.config.data.validation_share:
                raise ConfigError(
                    "data.validation_share = 0 holds out no text, and training validates every "
                    f"train.eval_steps = {self.config.train.eval_steps} steps. "
                    "Try data.validation_share = 0.01."
                )
            check_start(self.config.model, self.config.train)

    def upto(self, name: str) -> Artifact:
        """The artifact of stage ``name``, with everything before it made when missing."""
        for _ in self.walk(name):
            pass
        return self.made[name]

    def _make(self, name: str) -> Artifact:
        makers: dict[str, Callable[[], Artifact]] = {
            "data": self._documents,
            "tokenizer": self._tokenizer,
            "tokens": self._tokens,
            "statistics": self._statistics,
            "train": self._checkpoint,
            "evaluate": self._scores,
            "tune": self._assistant,
        }
        self.made[name] = makers[name]()
        self.run.record(name, str(self.made[name].path.relative_to(self.store.folder)))
        return self.made[name]

    def _documents(self) -> Artifact:
        from towpath.data import make_documents

        return make_documents(self.store, self.config.data, self.config.name)

    def _tokenizer(self) -> Artifact:
        from towpath.tokenizer import make_tokenizer

        return make_tokenizer(self.store, self.config.tokenizer, self.made["data"], self.config.name)

    def _tokens(self) -> Artifact:
        from towpath.tokenizer import make_tokens

        made = self.made
        return make_tokens(
            self.store, self.config.tokenizer, made["data"], made["tokenizer"], self.config.name
        )

    def _statistics(self) -> Artifact:
        from towpath.data.statistics_page import make_statistics
        from towpath.recipes.statistics import training_tokens

        tokens = self.made["tokens"]
        return make_statistics(self.store, self.made["data"], (tokens, training_tokens(tokens)))

    def _checkpoint(self) -> Artifact:
        from towpath.recipes.statistics import portions_of
        from towpath.train.pretrain import make_checkpoint

        settings = (self.config.model, self.config.train, self.config.seed)
        parents = (self.made["tokens"], self.made["tokenizer"])
        for portion in portions_of(self.config, self.made["data"], self.made["tokens"]):
            if portion.warning:
                print(f"data.mixture: {portion.warning}", file=sys.stderr)
        return make_checkpoint(self.store, self.run, settings, parents, self.validation)

    def validation(self, shards: TokenShards, tokenizer: Tokenizer, context_tokens: int) -> Validate:
        """What gives the figures of a validation in training; see ``MakeValidate``."""
        from towpath.evaluate.scores import validation

        objective = self.config.train.objective
        return validation(self.config.evaluate, shards, tokenizer, context_tokens, objective)

    def _scores(self) -> Artifact:
        from towpath.evaluate.scores import make_scores

        checkpoint, tokens = self.made["train"], self.made["tokens"]
        return make_scores(self.store, self.config.evaluate, checkpoint, tokens, self.config.name)

    def _assistant(self) -> Artifact:
        from towpath.tune.sft import make_assistant

        assert self.config.tune.sft is not None
        settings = (self.config.tune.sft, self.config.train, self.config.seed)
        return make_assistant(self.store, self.run, settings, (self.made["train"], self.made["data"]))
