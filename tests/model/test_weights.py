from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from towpath.core.errors import ModelError
from towpath.model import build, load_weights, save_weights
from towpath.model.config import DecoderConfig
from towpath.model.decoder import Decoder


def test_saved_and_loaded_weights_are_equal(
    model: Decoder, config: DecoderConfig, ids: Tensor, tmp_path: Path
) -> None:
    save_weights(model, tmp_path / "w.safetensors")
    other = build(config, seed=99).eval()
    load_weights(other, tmp_path / "w.safetensors")
    assert torch.equal(other(ids).logits, model(ids).logits)


def test_equal_weights_make_equal_bytes(model: Decoder, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_weights(model, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_tied_head_is_stored_once(model: Decoder, tmp_path: Path) -> None:
    save_weights(model, tmp_path / "w")
    stored = load_file(tmp_path / "w")
    assert sum(tensor.numel() for tensor in stored.values()) == model.num_parameters()


def test_tensors_that_do_not_fit_are_named_and_nothing_is_loaded(model: Decoder, tmp_path: Path) -> None:
    save_weights(model, tmp_path / "w")
    stored = load_file(tmp_path / "w")
    del stored["tokens.weight"]
    stored["extra.weight"] = torch.zeros(3)
    stored["final_norm.weight"] = torch.zeros(99)
    save_file(stored, tmp_path / "w")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ModelError) as caught:
        load_weights(model, tmp_path / "w")
    message = str(caught.value)
    assert "missing: tokens.weight" in message
    assert "unexpected: extra.weight" in message
    width = before["final_norm.weight"].numel()
    assert f"final_norm.weight has shape [99], expected [{width}]" in message
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_many_missing_tensors_are_counted(tiny_gpt: Decoder, tmp_path: Path) -> None:
    save_file({"tokens.weight": tiny_gpt.tokens.weight.detach()}, tmp_path / "w")
    with pytest.raises(ModelError, match=r"missing: positions.weight, .* and 24 more"):
        load_weights(tiny_gpt, tmp_path / "w")


def test_a_missing_and_a_damaged_file_are_named(tiny_gpt: Decoder, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="none.safetensors does not exist"):
        load_weights(tiny_gpt, tmp_path / "none.safetensors")
    save_weights(tiny_gpt, tmp_path / "w")
    (tmp_path / "w").write_bytes((tmp_path / "w").read_bytes()[:-10])
    with pytest.raises(ModelError, match=r"w is no readable safetensors file"):
        load_weights(tiny_gpt, tmp_path / "w")


def test_weights_are_taken_in_the_type_that_the_model_has(tiny_gpt: Decoder, tmp_path: Path) -> None:
    save_weights(tiny_gpt, tmp_path / "w")
    half = build(tiny_gpt.config).to(torch.bfloat16)
    load_weights(half, tmp_path / "w")
    assert torch.equal(half.tokens.weight, tiny_gpt.tokens.weight.bfloat16())
