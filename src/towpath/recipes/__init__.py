"""Whole runs: what a run file may say, the stages in order, and recipes to start from.

A recipe is a function that returns a ``RunConfig``; a variant calls its parent and changes fields.
To add one: a file here and a line in ``RECIPES``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from towpath.core.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from towpath.recipes.run_config import RunConfig

RECIPES = {
    "tiny": "towpath.recipes.tiny:tiny",
    "tiny-baseline": "towpath.recipes.tiny:tiny_baseline",
    "mixed": "towpath.recipes.mixed:mixed",
    "own-text": "towpath.recipes.tiny:own_text",
    "gpt-125m": "towpath.recipes.gpt:gpt_125m",
    "gpt-350m": "towpath.recipes.gpt:gpt_350m",
    "gpt-1b": "towpath.recipes.gpt:gpt_1b",
    "moe-tiny": "towpath.recipes.moe:moe_tiny",
    "moe-gpt": "towpath.recipes.moe:moe_gpt",
    "bert-base": "towpath.recipes.bert:bert_base",
    "t5-small": "towpath.recipes.t5:t5_small",
}


def recipe(name: str) -> RunConfig:
    """The run called ``name``.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in RECIPES:
        raise ConfigError(
            f"Unknown recipe {name!r}.{did_you_mean(name, RECIPES)} Available: {', '.join(RECIPES)}."
        )
    module, _, function = RECIPES[name].partition(":")
    return getattr(importlib.import_module(module), function)()


def summary(name: str) -> str:
    """The first line of a recipe's docstring."""
    module, _, function = RECIPES[name].partition(":")
    text = getattr(importlib.import_module(module), function).__doc__
    return text.strip().splitlines()[0]
