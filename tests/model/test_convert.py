"""Parity with transformers: the same weights give the same logits, both ways."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from torch import Tensor

from towpath.core.errors import ModelError
from towpath.model import GPT2Config, from_transformers, to_transformers
from towpath.model.config import DecoderConfig
from towpath.model.decoder import Decoder

SMALL_GPT2 = {"vocab_size": 101, "n_positions": 32, "n_embd": 24, "n_layer": 2, "n_head": 3}
SMALL_QWEN3 = {
    "vocab_size": 101,
    "max_position_embeddings": 32,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 48,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500.0},
    "rms_norm_eps": 1e-5,
}


def shaken(model: transformers.PreTrainedModel) -> transformers.PreTrainedModel:
    """``model`` with weights large enough for every part to matter."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.eval()


def gpt2(**settings: object) -> transformers.PreTrainedModel:
    return shaken(transformers.GPT2LMHeadModel(transformers.GPT2Config(**SMALL_GPT2, **settings)))


def qwen3(**settings: object) -> transformers.PreTrainedModel:
    return shaken(transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**SMALL_QWEN3 | settings)))


def same_logits(ours: Decoder, theirs: transformers.PreTrainedModel, ids: Tensor) -> None:
    with torch.no_grad():
        torch.testing.assert_close(ours(ids).logits, theirs(ids).logits, rtol=1e-5, atol=1e-5)


def test_ours_to_transformers_gives_the_same_logits(model: Decoder, ids: Tensor) -> None:
    same_logits(model, to_transformers(model), ids)


@pytest.mark.parametrize(
    "theirs",
    [
        lambda: gpt2(),
        lambda: gpt2(activation_function="gelu", n_inner=40),
        lambda: qwen3(),
        lambda: qwen3(tie_word_embeddings=True, num_key_value_heads=1),
    ],
)
def test_transformers_to_ours_gives_the_same_logits(theirs, ids: Tensor) -> None:
    hf_model = theirs()
    same_logits(from_transformers(hf_model), hf_model, ids)


def test_there_and_back_gives_the_same_weights(model: Decoder) -> None:
    back = from_transformers(to_transformers(model)).state_dict()
    assert back.keys() == model.state_dict().keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in model.state_dict().items())


def test_gradients_agree_with_transformers(model: Decoder, ids: Tensor) -> None:
    theirs = to_transformers(model)
    theirs(input_ids=ids, labels=ids).loss.backward()
    model(ids, ids).loss.backward()
    name = "transformer.wte.weight" if model.config.type == "gpt2" else "model.embed_tokens.weight"
    expected = dict(theirs.named_parameters())[name].grad
    torch.testing.assert_close(model.tokens.weight.grad, expected, rtol=1e-4, atol=1e-5)


def test_a_saved_folder_opens_as_any_transformers_model(
    model: Decoder, config: DecoderConfig, ids: Tensor, tmp_path: Path
) -> None:
    to_transformers(model, end_of_text=3, pad=4).save_pretrained(tmp_path)
    opened = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    same_logits(model, opened, ids)
    assert (opened.config.eos_token_id, opened.config.pad_token_id) == (3, 4)
    same_logits(from_transformers(opened), opened, ids)


def test_conversion_leaves_other_randomness_alone(model: Decoder) -> None:
    before = torch.get_rng_state()
    from_transformers(to_transformers(model))
    assert torch.equal(torch.get_rng_state(), before)


def test_greedy_generation_agrees_with_transformers(model: Decoder) -> None:
    from towpath.model.config import SamplingConfig
    from towpath.model.generate import generate

    prompt = [5, 9, 2, 77]
    ours = list(generate(model, prompt, SamplingConfig(temperature=0, max_new_tokens=20)))
    theirs = to_transformers(model).generate(torch.tensor([prompt]), max_new_tokens=20, do_sample=False)
    assert ours == theirs[0, 4:].tolist()


@pytest.mark.parametrize(
    ("theirs", "text"),
    [
        (lambda: gpt2(activation_function="silu"), "activation_function = 'silu'"),
        (lambda: gpt2(layer_norm_epsilon=1e-6), "layer_norm_epsilon = 1e-06"),
        (lambda: qwen3(attention_bias=True), "attention_bias = True"),
        (
            lambda: qwen3(rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}),
            "rope_type = 'dynamic'",
        ),
        (
            lambda: transformers.BertModel(transformers.BertConfig(num_hidden_layers=1, hidden_size=24)),
            "BertModel cannot be converted. Convertible: BertForMaskedLM, .*GPT2LMHeadModel",
        ),
    ],
)
def test_what_no_layout_has_is_refused_by_name(theirs, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        from_transformers(theirs())


def test_different_dropout_rates_are_said_aloud() -> None:
    with pytest.warns(UserWarning, match="Dropout rates .* differ; the first is used"):
        converted = from_transformers(gpt2(resid_pdrop=0.3))
    assert isinstance(converted.config, GPT2Config)
    assert converted.config.dropout == 0.3
