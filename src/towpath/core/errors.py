"""Errors that a person can cause, each saying what happened, what was expected and what to do.

The command line prints the text alone; ``--debug`` adds the traceback. What only a bug can cause
is an ``assert`` and not here.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class TowpathError(Exception):
    """Base of every error whose text is meant for the person at the keyboard."""

    exit_code = 1
    """What the command line exits with: 1 failed, 2 used wrongly."""


class ConfigError(TowpathError):
    """A run file, an override or a command line that cannot be meant as written."""

    exit_code = 2


class DataError(TowpathError):
    """Input text that cannot be read, or a corpus with nothing left in it."""


class ArtifactError(TowpathError):
    """An artifact or checkpoint that is missing, unfinished, damaged or not what was asked for."""


class TokenizerError(TowpathError):
    """A tokenizer that cannot be trained, read, or used with the model or shards at hand."""


class ModelError(TowpathError):
    """A model that cannot be built, loaded or asked for what was asked."""


class TrainError(TowpathError):
    """Training that cannot start or go on."""


class ServeError(TowpathError):
    """A server that cannot start."""


class LockedError(TowpathError):
    """Another process is at work on the same run or artifact."""


class DiskFullError(TowpathError):
    """No room left on the device; what was complete before is untouched."""


class MissingPackageError(TowpathError):
    """An optional package is not installed; the text holds the line that installs it."""


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """A sentence that offers the nearest of ``options``, or nothing when none is near."""
    near = difflib.get_close_matches(name, list(options), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


def need(module: str, *, install: str, why: str) -> ModuleType:
    """Import ``module``, or say which line installs it.

    ``install`` is what follows ``pip install``, for example ``"towpath[samples]"``; ``why`` names
    the setting that asked for it.

    Raises:
        MissingPackageError: ``module`` is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or module).partition(".")[0]
        if missing != module.partition(".")[0]:
            raise
        raise MissingPackageError(
            f'{missing} is not installed; {why} needs it. Install it with: pip install "{install}"'
        ) from error
