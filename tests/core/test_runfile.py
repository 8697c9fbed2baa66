"""Run files: what is accepted, where values come from, and the wording of what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, model_validator

from towpath.core import runfile
from towpath.core.catalogue import Catalogue
from towpath.core.config import Execution, Section, change, identity
from towpath.core.errors import ConfigError


class AdamW(Section):
    type: Literal["adamw"] = "adamw"
    learning_rate: float = Field(6e-4, gt=0)
    """Peak learning rate."""


class Muon(Section):
    type: Literal["muon"] = "muon"
    momentum: float = Field(0.95, ge=0, lt=1)
    """Momentum."""


OPTIMIZERS = Catalogue("optimizer", {"adamw": f"{__name__}:AdamW", "muon": f"{__name__}:Muon"})
sys.modules.setdefault(__name__, sys.modules[AdamW.__module__])


class Model(Section):
    n_embd: int = 12
    """Width."""
    n_head: int = 4
    """Heads."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Model:
        if self.n_embd % self.n_head:
            raise ValueError(f"n_embd = {self.n_embd} is not a multiple of n_head = {self.n_head}. Try 12.")
        return self


class Train(Section):
    max_steps: int = Field(100, ge=1)
    """Optimizer updates."""
    workers: Execution[int] = 1
    """Processes that prepare batches."""
    optimizer: Annotated[Section, OPTIMIZERS.choice("adamw")] = AdamW()
    """How parameters are updated."""
    checkpointing: bool | Literal["selective"] = False
    """A field of two types."""


class Run(Section):
    name: str
    """Name of the run."""
    model: Model = Model()
    """The model."""
    train: Train = Train()
    """The training."""
    filters: list[Annotated[Section, OPTIMIZERS.choice()]] = []
    """A list of choices."""


def parse(text: str, *overrides: str) -> runfile.RunFile[Run]:
    return runfile.parse(Run, text, "run.toml", overrides)


def refusal(text: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, *overrides)
    return str(caught.value)


def test_origins_name_file_command_line_and_default() -> None:
    run_file = parse('name = "a"\n[train]\nmax_steps = 3', "model.n_embd=24")
    origins = {key: origin for key, _, origin in runfile.rows(run_file)}
    assert origins["train.max_steps"] == "run.toml"
    assert origins["model.n_embd"] == "command line"
    assert origins["train.workers"] == "default"


def test_an_unknown_key_offers_the_nearest_key() -> None:
    assert (
        refusal('name = "a"\n[train]\nmax_stps = 3')
        == "run.toml: unknown field 'train.max_stps'. Did you mean 'train.max_steps'?"
    )


def test_a_key_in_the_wrong_table_names_the_right_table() -> None:
    assert "Did you mean 'train.max_steps'?" in refusal('name = "a"\nmax_steps = 3')


def test_an_unknown_key_inside_a_choice_offers_that_choices_keys() -> None:
    text = 'name = "a"\n[train.optimizer]\ntype = "muon"\nmomentm = 0.9'
    assert "Did you mean 'train.optimizer.momentum'?" in refusal(text)


def test_an_unknown_key_inside_a_list_of_choices_offers_that_choices_keys() -> None:
    text = 'name = "a"\n[[filters]]\ntype = "muon"\nmomentm = 0.9'
    assert "Did you mean 'filters.0.momentum'?" in refusal(text)


def test_an_unknown_choice_lists_what_there_is() -> None:
    message = refusal('name = "a"\n[train.optimizer]\ntype = "adanw"')
    assert message == (
        "run.toml: train.optimizer: Unknown optimizer 'adanw'. Did you mean 'adamw'? Available: adamw, muon."
    )


def test_a_choice_that_is_no_table_is_answered_with_one() -> None:
    assert refusal('name = "a"', "train.optimizer=muno") == (
        "command line: train.optimizer = 'muno': expected a table with a key 'type', one of: adamw, muon. "
        "Try 'train.optimizer={type=\"muon\"}'."
    )


def test_keys_that_another_type_left_behind_are_explained() -> None:
    text = 'name = "a"\n[train.optimizer]\ntype = "muon"\nmomentum = 0.9'
    assert refusal(text, "train.optimizer.type=adamw") == (
        "command line: train.optimizer.type = 'adamw' has no momentum, which run.toml gives for another "
        "type. Give the whole table: 'train.optimizer={type=\"adamw\"}', with any of learning_rate."
    )


def test_a_field_of_two_types_is_named_as_it_stands_in_the_file() -> None:
    lines = refusal('name = "a"', "train.checkpointing=selectiv").splitlines()
    assert all(line.startswith("command line: train.checkpointing = 'selectiv': ") for line in lines)
    assert lines[-1].endswith("input should be 'selective'.")


def test_a_number_where_a_table_or_a_list_stands_is_told_so() -> None:
    assert refusal('name = "a"', "train=3") == "command line: train = 3: expected a table."
    assert refusal('name = "a"', "filters=3") == "command line: filters = 3: expected a list."


def test_a_rule_between_fields_names_both_numbers() -> None:
    message = refusal('name = "a"\n[model]\nn_embd = 13')
    assert message == "run.toml: model.n_embd = 13 is not a multiple of n_head = 4. Try 12."


def test_a_bad_override_is_named_by_the_command_line() -> None:
    message = refusal('name = "a"', "train.max_steps=0")
    assert message == "command line: train.max_steps = 0: input should be greater than or equal to 1."
    assert "is not KEY=VALUE" in refusal('name = "a"', "train.max_steps")


def test_a_broken_rule_is_blamed_on_the_override_that_broke_it() -> None:
    assert refusal('name = "a"', "model.n_embd=13").startswith("command line: model.n_embd = 13 is not")


def test_a_missing_key_says_what_it_is() -> None:
    assert refusal("") == "run.toml: 'name' is missing. Name of the run."


def test_a_missing_file_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"towpath recipe tiny > absent.toml"):
        runfile.load(Run, tmp_path / "absent.toml")


def test_a_list_entry_is_overridden_by_position_or_type() -> None:
    text = 'name = "a"\n[[filters]]\ntype = "muon"\n[[filters]]\ntype = "adamw"'
    by_type = parse(text, "filters.muon.momentum=0.5").config
    assert by_type == parse(text, "filters.0.momentum=0.5").config
    assert identity(by_type)["filters"][0]["momentum"] == 0.5
    assert parse(text, "filters.muon.momentum=0.5").origin("filters.0.momentum") == "command line"


def test_strings_on_the_command_line_need_no_quotes() -> None:
    assert parse("", "name=plain").config.name == "plain"


def test_the_resolved_file_means_the_same() -> None:
    config = parse('name = "a"', "train.optimizer.type=muon").config
    assert parse(runfile.to_toml(config)).config == config


def test_execution_settings_are_no_part_of_the_identity() -> None:
    one, two = parse('name = "a"').config, parse('name = "a"', "train.workers=8").config
    assert identity(one) == identity(two)
    assert identity(one) != identity(parse('name = "a"', "train.max_steps=8").config)


def test_change_validates_again() -> None:
    config = parse('name = "a"').config
    assert change(config, {"model.n_embd": 16}).model.n_embd == 16
    with pytest.raises(ValueError, match="not a multiple"):
        change(config, {"model.n_embd": 13})


def test_the_schema_describes_every_key_by_its_docstring() -> None:
    schema = runfile.json_schema(Run)
    assert "Optimizer updates." in schema
    assert '"momentum"' in schema


def test_a_default_means_the_same_as_its_value_in_a_file() -> None:
    class Ratio(Section):
        num_epochs: float = 3
        """An integer as default of a float."""

    written = runfile.parse(Ratio, runfile.to_toml(Ratio()), "run.toml").config
    assert repr(identity(Ratio())) == repr(identity(written))


def test_a_value_inside_a_table_of_the_command_line_is_blamed_on_it() -> None:
    message = refusal('name = "a"', 'train.optimizer={type="muon",momentum=2}')
    assert message.startswith("command line: train.optimizer.momentum = 2")


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_bytes(b"\xef\xbb\xbfname = 'a'\r\n")
    assert runfile.load(Run, tmp_path / "run.toml").config.name == "a"
