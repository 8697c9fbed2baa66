from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from towpath.core.config import Section, identity
from towpath.core.errors import ConfigError, ModelError
from towpath.core.runfile import validated
from towpath.model import MODELS, GPT2Config, ModelConfig, ModernConfig, SamplingConfig, build

SPECIFICATION = {
    "vocab_size": 50257,
    "n_positions": 2048,
    "n_embd": 768,
    "n_layer": 12,
    "n_head": 12,
    "n_inner": 3072,
    "activation": "gelu",
    "dropout": 0.1,
}


class Run(Section):
    model: ModelConfig


def refusal(model: dict[str, object]) -> str:
    with pytest.raises(ConfigError) as caught:
        validated(Run, {"model": model}, "run.toml")
    return str(caught.value)


def test_the_specification_s_model_config_is_a_gpt2_as_it_stands() -> None:
    config = validated(Run, {"model": SPECIFICATION}, "run.toml").model
    assert config == GPT2Config.model_validate(SPECIFICATION)
    assert set(identity(config)) == {"type", "positions", "attention", *SPECIFICATION}


def test_a_model_is_chosen_by_its_type() -> None:
    assert isinstance(validated(Run, {"model": {"type": "modern"}}, "run.toml").model, ModernConfig)
    assert MODELS.names() == ["bert", "gpt2", "modern", "moe", "recurrent", "t5"]


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (
            {"n_embd": 770},
            "run.toml: model.n_embd = 770 is not a multiple of n_head = 12. Try 768.",
        ),
        (
            {"type": "modern", "n_embd": 4, "n_head": 12},
            "run.toml: model.n_embd = 4 is not a multiple of n_head = 12. Try 24.",
        ),
        (
            {"type": "modern", "n_kv_head": 5},
            "run.toml: model.n_head = 12 is not a multiple of n_kv_head = 5. Try n_kv_head = 4.",
        ),
        (
            {"type": "modern", "head_dim": 63},
            "run.toml: model.head_dim = 63 is odd, and rotary positions turn pairs of channels. Try 64.",
        ),
        (
            {"type": "modern", "n_embd": 36},
            "run.toml: model.n_embd = 36 over n_head = 12 makes heads of 3 channels, an odd number, "
            "and rotary positions turn pairs of channels. Try n_embd = 48.",
        ),
        (
            {"n_lyer": 3},
            "run.toml: unknown field 'model.n_lyer'. Did you mean 'model.n_layer'?",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_a_value_that_works(model: dict[str, object], text: str) -> None:
    assert refusal(model) == text


def test_every_offered_value_works() -> None:
    GPT2Config(n_embd=768)
    ModernConfig(n_embd=12, n_head=12, head_dim=2)
    ModernConfig(n_kv_head=4)
    ModernConfig(head_dim=64)
    ModernConfig(n_embd=48)


def test_a_vocabulary_left_out_is_the_tokenizer_s_rounded_up_to_64() -> None:
    assert GPT2Config().for_tokenizer(4097).vocab_size == 4160
    assert GPT2Config().for_tokenizer(4096).vocab_size == 4096
    assert GPT2Config(vocab_size=50257).for_tokenizer(50257).vocab_size == 50257


def test_a_vocabulary_smaller_than_the_tokenizer_s_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="vocab_size = 100 is smaller than the tokenizer's 262 tokens. Try 320"
    ):
        ModernConfig(vocab_size=100).for_tokenizer(262)


def test_a_model_without_a_vocabulary_size_is_not_built() -> None:
    with pytest.raises(ModelError, match="vocab_size is not set"):
        build(GPT2Config())


def test_widths_left_out_follow_the_layout() -> None:
    assert GPT2Config(n_embd=384, n_head=6).inner_width == 1536
    assert ModernConfig(n_embd=384, n_head=6).inner_width == 1024
    assert ModernConfig(n_embd=256, n_head=4).inner_width == 704


@pytest.mark.parametrize(
    "setting",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": 1e9},
        {"top_k": 0},
        {"top_p": 1.1},
        {"repetition_penalty": 0.0},
        {"max_new_tokens": 0},
        {"max_new_tokens": 10**9},
        {"seed": -1},
    ],
)
def test_sampling_settings_out_of_range_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(setting))):
        SamplingConfig.model_validate(setting)


def test_configs_and_the_package_start_no_torch() -> None:
    code = "import sys, towpath.model; towpath.model.GPT2Config(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
