"""Evaluations inside training: any task on a schedule, of the model as it is, after the save.

Comes in: ``train.evaluations``, each a table with ``task``. Goes out: functions of a model and its
tokenizer that give figures. A task is one that the stage was given by name, one that a package offers
as entry point of the group ``towpath.tasks``, or ``"module:function"`` of anything that can be imported,
from the current folder too.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import Field

from towpath.core.config import Section
from towpath.core.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from towpath.model.language_model import LanguageModel

Task = Callable[["LanguageModel", Any], Mapping[str, float]]
"""Figures by name, of a model in evaluation mode and its tokenizer, which is None where there is none."""

GROUP = "towpath.tasks"


class EvaluationConfig(Section):
    """One evaluation inside training."""

    task: str
    """The task's name, or ``module:function``."""
    name: str | None = None
    """What its figures are called in the log; unset: the task's name."""
    every_steps: int = Field(default=1000, ge=1)
    """Steps between two; there is one after the last step in any case."""
    timeout_seconds: float = Field(default=600.0, gt=0)
    """A task that takes longer is broken off and reported; training goes on."""

    @property
    def label(self) -> str:
        """What the log calls it."""
        return self.name or self.task.rpartition(":")[2]

    def due(self, step: int, last: int) -> bool:
        """Whether it is made after ``step`` of ``last``."""
        return step % self.every_steps == 0 or step == last

    def find(self, given: Mapping[str, Task]) -> Task:
        """The task, out of ``given``, the installed packages, or a module.

        Raises:
            ConfigError: there is none of that name.
        """
        installed = {point.name: point for point in entry_points(group=GROUP)}
        if self.task in given:
            return given[self.task]
        if self.task in installed:
            return installed[self.task].load()
        module, colon, function = self.task.partition(":")
        if not colon:
            names = sorted({*given, *installed})
            raise ConfigError(
                f"train.evaluations: unknown task {self.task!r}.{did_you_mean(self.task, names)} "
                f"Available: {', '.join(names) or 'none'}; or name a function as module:function."
            )
        try:
            return getattr(_imported(module), function)
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"train.evaluations: {self.task!r} can't be imported: {error}.") from error


def tasks_of(evaluations: Sequence[EvaluationConfig], given: Mapping[str, Task]) -> dict[str, Task]:
    """The task of each of ``evaluations`` by its label.

    Raises:
        ConfigError: there is none of that name, or two have the same label.
    """
    tasks = {one.label: one.find(given) for one in evaluations}
    labels = [one.label for one in evaluations]
    if twice := [label for label in tasks if labels.count(label) > 1]:
        raise ConfigError(f"train.evaluations: two are called {twice[0]!r}. Give one of them another name.")
    return tasks


def _imported(name: str) -> ModuleType:
    """The module ``name``. The script ``towpath`` does not look in the current folder by itself.

    That folder comes last and for this import alone: what lies there by chance hides no package.
    """
    before = sys.path
    sys.path = [*before, str(Path.cwd())]
    try:
        return importlib.import_module(name)
    finally:
        sys.path = before
