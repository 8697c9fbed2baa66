"""T5: parity with transformers, both ways, in both versions; generation with one reading of the source."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from torch import Tensor

from tests.model.conftest import awake
from towpath.core.errors import ModelError
from towpath.model import (
    build,
    count_parameters,
    from_transformers,
    load_weights,
    save_weights,
    to_transformers,
)
from towpath.model.config import SamplingConfig
from towpath.model.encoder_decoder import EncoderDecoder
from towpath.model.encoder_decoder_config import T5Config
from towpath.model.generate import generate
from towpath.model.text import generate_text, text_steps
from towpath.tokenizer import ByteTokenizer

SMALL = {
    "vocab_size": 101,
    "d_model": 24,
    "d_kv": 6,
    "d_ff": 40,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "num_heads": 3,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 12,
    "decoder_start_token_id": 0,
}
FIRST: dict[str, object] = {}
V1_1: dict[str, object] = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
OURS: dict[str, dict[str, object]] = {
    "v1.0": {},
    "v1.1": {"feed_forward": "gated-gelu", "tie_embeddings": False},
}


def config(version: str = "v1.0", **changes: object) -> T5Config:
    sizes = {
        "vocab_size": 101,
        "n_positions": 32,
        "n_embd": 24,
        "n_layer": 2,
        "n_decoder_layer": 3,
        "n_head": 3,
    }
    more = {"head_dim": 6, "n_inner": 40, "n_buckets": 8, "max_distance": 12, "dropout": 0.0}
    return T5Config.model_validate(sizes | more | OURS[version] | changes)


def theirs(**settings: object) -> transformers.PreTrainedModel:
    torch.manual_seed(5)
    model = transformers.T5ForConditionalGeneration(transformers.T5Config(**SMALL | settings))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
        model.shared.weight.mul_(0.3)  # drawn with deviation 1: logits would be in the tens
    return model.eval()


def inputs(ids: Tensor) -> dict[str, Tensor]:
    """Three sources of 20, 20 and 13 tokens; targets of 11."""
    mask = torch.ones_like(ids)
    mask[2, 13:] = 0
    return {"attention_mask": mask, "decoder_input_ids": ids.flip(0)[:, :11]}


def same_logits(ours: EncoderDecoder, hf_model: transformers.PreTrainedModel, ids: Tensor) -> None:
    with torch.no_grad():
        found, expected = ours(ids, **inputs(ids)).logits, hf_model(ids, **inputs(ids)).logits
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("settings", [FIRST, V1_1], ids=["v1.0", "v1.1"])
def test_transformers_to_ours_gives_the_same_logits(settings: dict[str, object], ids: Tensor) -> None:
    hf_model = theirs(**settings)
    same_logits(from_transformers(hf_model), hf_model, ids)


@pytest.mark.parametrize("version", OURS)
def test_ours_to_transformers_gives_the_same_logits_and_weights(version: str, ids: Tensor) -> None:
    model = awake(config(version))
    exported = to_transformers(model)
    same_logits(model, exported, ids)
    back = from_transformers(exported).state_dict()
    assert back.keys() == model.state_dict().keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("settings", [FIRST, V1_1], ids=["v1.0", "v1.1"])
def test_eight_layers_agree_with_transformers(settings: dict[str, object], ids: Tensor) -> None:
    hf_model = theirs(**settings, num_layers=8)
    ours = from_transformers(hf_model)
    with torch.no_grad():
        found, expected = ours(ids, **inputs(ids)).logits, hf_model(ids, **inputs(ids)).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("version", OURS)
def test_a_saved_folder_opens_as_any_seq2seq_model(version: str, ids: Tensor, tmp_path: Path) -> None:
    model = awake(config(version))
    to_transformers(model, pad=0).save_pretrained(tmp_path)
    opened = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    same_logits(model, opened, ids)
    same_logits(from_transformers(opened), opened, ids)


@pytest.mark.parametrize("settings", [FIRST, V1_1], ids=["v1.0", "v1.1"])
def test_loss_and_gradients_agree_with_transformers(settings: dict[str, object], ids: Tensor) -> None:
    hf_model = theirs(**settings)
    ours = from_transformers(hf_model)
    labels = ids.flip(0)[:, :11].clone()
    labels[1, 7:] = -100
    mask = inputs(ids)["attention_mask"]
    expected = hf_model(ids, labels=labels, attention_mask=mask).loss
    found = ours(ids, labels, attention_mask=mask).loss
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    if settings is V1_1:
        return  # theirs shares the head's gradient with the embedding
    expected.backward()
    found.backward()
    by_name = dict(hf_model.named_parameters())
    bias = "block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    for name, their_name in {
        "tokens.weight": "shared.weight",
        "encoder.positions.weight": f"encoder.{bias}",
        "decoder.positions.weight": f"decoder.{bias}",
        "decoder.blocks.1.cross_attention.query.weight": "decoder.block.1.layer.1.EncDecAttention.q.weight",
    }.items():
        torch.testing.assert_close(
            ours.get_parameter(name).grad, by_name[their_name].grad, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("version", OURS)
def test_greedy_generation_agrees_with_transformers(version: str) -> None:
    model = awake(config(version, n_decoder_layer=2))  # theirs makes a cache of as many layers as it reads
    prompt = [5, 9, 2, 77]
    ours = list(generate(model, prompt, SamplingConfig(temperature=0, max_new_tokens=20)))
    hf_model = to_transformers(model, pad=0)
    answer = hf_model.generate(torch.tensor([prompt]), max_new_tokens=20, do_sample=False)
    assert ours == answer[0, 1:].tolist()


@pytest.mark.parametrize("version", OURS)
def test_cached_states_equal_uncached(version: str, ids: Tensor) -> None:
    model = awake(config(version))
    target = ids.flip(1)
    with torch.no_grad():
        source = model.read(ids)
        whole = model.write(target, source)
        kept, cache = model.kept(source), model.new_cache(3, 20)
        parts = [model.write(target[:, :6], kept, cache)]
        parts += [model.write(target[:, t : t + 1], kept, cache) for t in range(6, 20)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-5, atol=1e-5)


def test_the_source_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = awake(config())
    calls = {"read": 0, "keys": 0}
    for block in model.encoder.blocks:
        block.register_forward_hook(lambda *_: calls.__setitem__("read", calls["read"] + 1))
    for block in model.decoder.blocks:
        block.cross_attention.key_value.register_forward_hook(
            lambda *_: calls.__setitem__("keys", calls["keys"] + 1)
        )
    assert len(list(generate(model, [1, 2, 3], SamplingConfig(temperature=0, max_new_tokens=12)))) == 12
    assert calls == {"read": 2, "keys": 3}  # once a layer


def test_an_answer_is_text_without_its_source() -> None:
    tokenizer = ByteTokenizer()
    model = awake(config(vocab_size=tokenizer.vocab_size))
    answer = generate_text(model, tokenizer, "read me", max_length=10, temperature=0)
    steps = text_steps(model, tokenizer, "read me", SamplingConfig(temperature=0, max_new_tokens=10))
    assert answer == "".join(step.text for step in steps)


def test_a_source_may_be_longer_than_the_answer_asked_for() -> None:
    tokenizer = ByteTokenizer()
    model = awake(config(vocab_size=tokenizer.vocab_size))
    assert isinstance(generate_text(model, tokenizer, "twenty bytes of text", max_length=3), str)


def test_padding_of_the_source_changes_nothing(ids: Tensor) -> None:
    model = awake(config())
    mask = torch.zeros(3, 20, dtype=torch.bool)
    mask[:, :13] = True
    target = ids[:, :7]
    with torch.no_grad():
        alone = model(ids[:, :13], decoder_input_ids=target).logits
        padded = model(ids, decoder_input_ids=target, attention_mask=mask).logits
    torch.testing.assert_close(alone, padded, rtol=1e-5, atol=1e-5)


def test_padding_of_the_target_changes_nothing(ids: Tensor) -> None:
    model = awake(config())
    target = ids[:, :9]
    longer = torch.cat((target, torch.full((3, 4), -100)), dim=1)
    with torch.no_grad():
        alone, padded = model(ids, target).loss, model(ids, longer).loss
    torch.testing.assert_close(alone, padded, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("version", OURS)
def test_recomputed_activations_give_the_same_gradients(version: str, ids: Tensor) -> None:
    grads = []
    for again in (False, True):
        model = build(config(version, dropout=0.1), seed=3).train()
        model.gradient_checkpointing = again
        torch.manual_seed(1)
        model(ids, ids[:, :9]).loss.backward()
        grads.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.equal(left, right) for left, right in zip(*grads, strict=True))


@pytest.mark.parametrize("version", OURS)
def test_the_first_loss_is_near_that_of_guessing(version: str) -> None:
    sizes = {"n_embd": 64, "head_dim": 16, "n_head": 4, "n_inner": 128}
    model = build(config(version, **sizes), seed=0).eval()
    ids = torch.randint(0, 101, (8, 30), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert float(model(ids, ids).loss) == pytest.approx(4.615, abs=1.5)  # ln 101


def test_weights_on_disk_come_back(tmp_path: Path) -> None:
    model = awake(config("v1.1"))
    save_weights(model, tmp_path / "model.safetensors")
    other = build(config("v1.1"))
    load_weights(other, tmp_path / "model.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_t5_small_has_the_parameters_that_it_is_known_for() -> None:
    """transformers' T5ForConditionalGeneration of t5-small counts as many."""
    assert count_parameters(T5Config(vocab_size=32128)) == 60_506_624


def test_neither_labels_nor_a_beginning_is_refused(ids: Tensor) -> None:
    with pytest.raises(ModelError, match="needs labels, or decoder_input_ids"):
        awake(config())(ids)


def test_another_feed_forward_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match="feed_forward_proj = 'gated-silu'"):
        from_transformers(theirs(feed_forward_proj="gated-silu"))


@pytest.mark.usefixtures("checked_annotations")
@pytest.mark.parametrize("version", OURS)
def test_shapes_are_those_of_the_annotations(version: str, ids: Tensor) -> None:
    model = build(config(version))
    assert model(ids, **inputs(ids)).logits.isfinite().all()
    assert model(ids, ids[:, :7], attention_mask=inputs(ids)["attention_mask"]).loss.isfinite()
    assert len(list(generate(model, [1, 2], SamplingConfig(temperature=0, max_new_tokens=3)))) == 3
