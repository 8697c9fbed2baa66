"""Rules that hold for every module of the package."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "towpath"
TREES = {path: ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}

PICKLES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
READS_OR_WRITES_PICKLES = {"torch.load", "torch.save", "yaml.load", "yaml.unsafe_load"}
RUNS_WHAT_IT_IS_GIVEN = {"eval", "exec", "os.system"}
FORBIDDEN_ARGUMENTS = {"allow_pickle", "shell", "trust_remote_code"}
NAMES_OF_NOTHING = {"utils", "util", "common", "helpers", "misc"}


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def called(tree: ast.AST) -> Iterator[str]:
    return (ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))


def keywords(tree: ast.AST) -> Iterator[ast.keyword]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.keyword))


def is_switched_on(word: ast.keyword) -> bool:
    return word.arg in FORBIDDEN_ARGUMENTS and ast.unparse(word.value) != "False"


def offenders(is_wrong: Callable[[ast.Module], bool]) -> list[str]:
    return [str(path.relative_to(PACKAGE)) for path, tree in TREES.items() if is_wrong(tree)]


def test_nothing_is_written_or_read_as_a_pickle() -> None:
    assert offenders(lambda tree: not PICKLES.isdisjoint(imported(tree))) == []
    assert offenders(lambda tree: not READS_OR_WRITES_PICKLES.isdisjoint(called(tree))) == []


def test_nothing_that_comes_in_is_run() -> None:
    assert offenders(lambda tree: not RUNS_WHAT_IT_IS_GIVEN.isdisjoint(called(tree))) == []
    assert offenders(lambda tree: any(is_switched_on(word) for word in keywords(tree))) == []


def test_every_module_says_what_it_is_and_is_named_for_something() -> None:
    assert offenders(lambda tree: ast.get_docstring(tree) is None) == []
    assert [path for path in TREES if path.stem in NAMES_OF_NOTHING] == []


def test_every_module_is_read_in_one_sitting() -> None:
    assert [path for path in TREES if len(path.read_text().splitlines()) > 500] == []
