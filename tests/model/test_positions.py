"""Position encodings: each against its formula or transformers, and in a decoder."""

from __future__ import annotations

import math

import pytest
import torch
import transformers
from pydantic import ValidationError
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.t5.modeling_t5 import T5Attention

from tests.model.conftest import awake
from towpath.core.config import change
from towpath.core.errors import ModelError
from towpath.model import GPT2Config, ModernConfig, from_transformers, to_transformers
from towpath.model.config import DecoderConfig
from towpath.model.decoder import Decoder
from towpath.model.documents import documents_of, places_in_documents
from towpath.model.positions.added import sinusoids
from towpath.model.positions.alibi import alibi_slopes
from towpath.model.positions.biases import AlibiPositions, relative_buckets
from towpath.model.positions.rotations import RotaryPositions
from towpath.model.positions.scaling import SCALINGS, LinearScaling, NtkScaling, YarnScaling

pytestmark = pytest.mark.usefixtures("checked_annotations")

YARN = {"type": "yarn", "factor": 4.0, "original_positions": 8}
ENCODINGS: dict[str, dict[str, object]] = {
    "learned": {"type": "learned"},
    "sinusoidal": {"type": "sinusoidal"},
    "rope": {"type": "rope", "theta": 500.0},
    "rope-yarn": {"type": "rope", "scaling": YARN},
    "alibi": {"type": "alibi"},
    "t5": {"type": "t5", "n_buckets": 8, "max_distance": 16},
    "none": {"type": "none"},
}
LAYOUTS = {
    "gpt2": {"type": "gpt2", "n_embd": 24, "n_head": 3, "dropout": 0.0},
    "modern": {"type": "modern", "n_embd": 32, "n_head": 4, "n_kv_head": 2},
}


def decoder(encoding: str, layout: str = "modern", n_layer: int = 2) -> Decoder:
    kind = {"gpt2": GPT2Config, "modern": ModernConfig}[layout]
    settings = {"vocab_size": 101, "n_positions": 32, "n_layer": n_layer, "positions": ENCODINGS[encoding]}
    return awake(kind.model_validate(LAYOUTS[layout] | settings))


@pytest.fixture(params=[(layout, name) for layout in LAYOUTS for name in ENCODINGS], ids="-".join)
def encoded(request: pytest.FixtureRequest) -> Decoder:
    layout, encoding = request.param
    return decoder(encoding, layout)


@pytest.mark.parametrize("theta", [500.0, 1e4, 1e6])
@pytest.mark.parametrize("factor", [1.0, 2.0, 7.3, 32.0])
def test_scaled_frequencies_are_those_of_transformers(theta: float, factor: float) -> None:
    original, head = 2048, 64

    def theirs(kind: str, **settings: object) -> tuple[torch.Tensor, float]:
        rope = {"rope_type": kind, "rope_theta": theta, "factor": factor, **settings}
        config = transformers.Qwen3Config(
            head_dim=head, max_position_embeddings=original, rope_parameters=rope
        )
        return ROPE_INIT_FUNCTIONS[kind](config, torch.device("cpu"), seq_len=original * 2)

    ntk = NtkScaling(factor=factor + 1)  # what "dynamic" comes to at twice its context
    ours = {
        "linear": LinearScaling(factor=factor),
        "dynamic": ntk,
        "yarn": YarnScaling(factor=factor, original_positions=original),
    }
    for kind, scaling in ours.items():
        settings = {"original_max_position_embeddings": original} if kind == "yarn" else {}
        frequencies, magnitude = theirs(kind, **settings)
        torch.testing.assert_close(scaling.frequencies(theta, head), frequencies, rtol=2e-6, atol=0)
        assert scaling.magnitude == pytest.approx(magnitude)


def test_yarn_s_factor_is_on_queries_and_keys() -> None:
    plain = RotaryPositions(8, 4, 100.0)
    scaled = RotaryPositions(8, 4, 100.0, LinearScaling(factor=1))
    sharper = YarnScaling(factor=1, original_positions=8, attention_factor=1.5)
    longer = RotaryPositions(8, 4, 100.0, sharper)
    for positions in (plain, scaled, longer):
        positions.fill_()
    assert torch.equal(plain.cosine, scaled.cosine)
    torch.testing.assert_close(longer.sine, plain.sine * 1.5)


@pytest.mark.parametrize("n_head", [*range(1, 14), 16, 20])
def test_alibi_s_slopes_are_bloom_s(n_head: int) -> None:
    theirs = build_alibi_tensor(torch.ones(1, 2), n_head, torch.float32)[:, 0, 1]  # slope times place 1
    torch.testing.assert_close(torch.tensor(alibi_slopes(n_head)), theirs)


def test_alibi_falls_with_distance_to_both_sides() -> None:
    positions = AlibiPositions(4)
    positions.fill_()
    bias = positions.bias(2, 3)
    assert bias.shape == (4, 3, 5)
    assert bias[0, 0].tolist() == [-0.5, -0.25, 0.0, -0.25, -0.5]


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("n_buckets", "max_distance"), [(32, 128), (16, 300), (8, 20)])
def test_t5_s_buckets_are_those_of_transformers(
    bidirectional: bool, n_buckets: int, max_distance: int
) -> None:
    distances = torch.arange(-400, 401)
    theirs = T5Attention._relative_position_bucket(distances, bidirectional, n_buckets, max_distance)
    ours = relative_buckets(distances, n_buckets, max_distance, bidirectional=bidirectional)
    assert torch.equal(ours, theirs)


def test_sinusoids_are_the_formula() -> None:
    table = sinusoids(50, 6)
    for position in (0, 1, 17, 49):
        for pair in range(3):
            angle = position / 10_000 ** (2 * pair / 6)
            wave = [math.sin(angle), math.cos(angle)]
            assert table[position, 2 * pair : 2 * pair + 2].tolist() == pytest.approx(wave, abs=1e-6)


def test_what_comes_later_changes_nothing_before(encoded: Decoder, ids: torch.Tensor) -> None:
    changed = ids.clone()
    changed[:, 12:] = (changed[:, 12:] + 7) % 101
    before, after = encoded(ids).logits, encoded(changed).logits
    torch.testing.assert_close(before[:, :12], after[:, :12])
    assert (before[:, 12:] - after[:, 12:]).abs().max() > 0.01


@pytest.mark.parametrize("cuts", [[7, 8, 20], range(1, 21)], ids=["parts", "single"])
def test_a_cache_gives_the_same_logits(encoded: Decoder, ids: torch.Tensor, cuts: list[int]) -> None:
    cache, starts = encoded.new_cache(batch=3, max_tokens=20), [0, *cuts][:-1]
    parts = [encoded(ids[:, a:b], cache=cache).logits for a, b in zip(starts, cuts, strict=True)]
    torch.testing.assert_close(torch.cat(parts, dim=1), encoded(ids).logits, rtol=1e-5, atol=1e-5)


def test_packed_documents_give_what_each_gives_alone(encoded: Decoder, ids: torch.Tensor) -> None:
    ids[ids == 9] = 10
    for row, ends in enumerate([(4, 11), (0, 1, 15), ()]):
        ids[row, list(ends)] = 9
    documents = documents_of(ids, end_of_text=9)
    packed = encoded(ids, documents=documents, places=places_in_documents(documents)).logits
    for row in range(3):
        for document in documents[row].unique():
            own = documents[row] == document
            alone = encoded(ids[row : row + 1, own]).logits[0]
            torch.testing.assert_close(packed[row, own], alone, rtol=1e-4, atol=1e-4)


def test_documents_and_places_of_packed_rows() -> None:
    ids = torch.tensor([[5, 9, 5, 5, 9, 9, 5], [9, 1, 1, 1, 1, 1, 9]])
    documents = documents_of(ids, end_of_text=9)
    assert documents.tolist() == [[0, 0, 1, 1, 1, 2, 3], [0, 1, 1, 1, 1, 1, 1]]
    assert places_in_documents(documents).tolist() == [[0, 1, 0, 1, 2, 0, 0], [0, 0, 1, 2, 3, 4, 5]]


def test_the_loss_of_packed_documents_is_that_of_their_logits(ids: torch.Tensor) -> None:
    model, documents = decoder("rope"), torch.arange(20).div(6, rounding_mode="floor").expand(3, 20)
    settings = {"documents": documents, "places": places_in_documents(documents)}
    logits = model(ids, **settings).logits[:, :-1]
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
    torch.testing.assert_close(model(ids, ids, **settings).loss, expected)
    with pytest.raises(ModelError, match="documents, places and prefix_tokens are for whole windows"):
        model(ids, cache=model.new_cache(3, 20), **settings)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_order_matters_to_one_layer_where_positions_are_encoded(encoding: str, ids: torch.Tensor) -> None:
    model, swapped = decoder(encoding, n_layer=1), ids.clone()
    swapped[:, [3, 10]] = ids[:, [10, 3]]
    difference = (model(ids).logits[:, -1] - model(swapped).logits[:, -1]).abs().max()
    assert difference < 1e-5 if encoding == "none" else difference > 1e-3


@pytest.mark.parametrize("encoding", ["alibi", "t5", "rope"])
def test_checkpointing_changes_no_gradient(encoding: str, ids: torch.Tensor) -> None:
    model = decoder(encoding).train()
    model(ids, ids).loss.backward()
    expected = {name: value.grad.clone() for name, value in model.named_parameters()}
    model.zero_grad()
    model.gradient_checkpointing = True
    model(ids, ids).loss.backward()
    for name, value in model.named_parameters():
        torch.testing.assert_close(value.grad, expected[name])


def test_only_what_is_learned_is_saved(encoded: Decoder) -> None:
    saved = {name for name in encoded.state_dict() if name.startswith("positions.")}
    assert saved == {f"positions.{name}" for name, _ in encoded.positions.named_parameters()}


def test_a_section_survives_a_file(encoded: Decoder) -> None:
    written = encoded.config.model_dump(mode="json")
    assert type(encoded.config).model_validate(written) == encoded.config


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (
            {"n_embd": 36, "n_head": 12, "positions": {"type": "rope"}},
            "n_embd = 36 over n_head = 12 makes heads of 3 channels, an odd number.*Try n_embd = 48",
        ),
        (
            {"n_embd": 9, "n_head": 3, "positions": {"type": "sinusoidal"}},
            "n_embd = 9 is odd.*Try n_embd = 10",
        ),
        ({"positions": {"type": "t5", "max_distance": 16}}, "max_distance = 16 .*Try max_distance = 128"),
        ({"positions": {"type": "rope", "scaling": {"type": "yarn"}}}, "original_positions"),
        (
            {"positions": {"type": "alybi"}},
            "Unknown position encoding 'alybi'. Did you mean 'alibi'",
        ),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, object], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        GPT2Config.model_validate(settings)
    with pytest.raises(ValidationError):
        GPT2Config(positions={"type": "rope", "scaling": {"type": "linear", "factor": 0.5}})  # pyright: ignore


def test_one_setting_of_an_encoding_is_changed_alone() -> None:
    config: DecoderConfig = change(ModernConfig(), {"positions.theta": 5e5})
    assert config.positions.theta == 5e5
    assert SCALINGS.names() == ["linear", "none", "ntk", "yarn"]


SMALL_QWEN3 = {
    "vocab_size": 101,
    "max_position_embeddings": 32,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 48,
}
YARN_QWEN3 = {
    "rope_type": "yarn",
    "rope_theta": 500.0,
    "factor": 4.0,
    "original_max_position_embeddings": 8,
}
WINDOWS = {"use_sliding_window": True, "sliding_window": 5}


@pytest.mark.parametrize(
    "settings",
    [
        {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0}},
        {"rope_parameters": YARN_QWEN3},
        {"rope_parameters": YARN_QWEN3 | {"beta_fast": 8.0, "beta_slow": 0.5, "attention_factor": 1.7}},
        WINDOWS | {"layer_types": ["sliding_attention", "full_attention"] * 2},
        WINDOWS | {"layer_types": ["sliding_attention"] * 4},
    ],
    ids=["linear", "yarn", "yarn set", "windows between", "windows"],
)
def test_qwen3_with_scaled_rope_or_windows_gives_the_same_logits_both_ways(
    settings: dict[str, object], ids: torch.Tensor
) -> None:
    torch.manual_seed(3)
    theirs = transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**SMALL_QWEN3 | settings)).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
        expected = theirs(ids).logits
        ours = from_transformers(theirs)
        torch.testing.assert_close(ours(ids).logits, expected, rtol=1e-4, atol=1e-4)
        back = to_transformers(ours)
        torch.testing.assert_close(back(ids).logits, expected, rtol=1e-4, atol=1e-4)
    assert from_transformers(back).config == ours.config


def test_ntk_scaling_is_exported_as_a_larger_base(ids: torch.Tensor) -> None:
    positions = {"type": "rope", "scaling": {"type": "ntk", "factor": 3.0}}
    config = ModernConfig.model_validate({"vocab_size": 101, "n_layer": 1, "n_embd": 32, "n_head": 2})
    model = awake(change(config, {"positions": positions, "n_positions": 32}))
    with torch.no_grad():
        theirs = to_transformers(model)(ids).logits
        torch.testing.assert_close(theirs, model(ids).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (GPT2Config(positions={"type": "alibi"}), "positions.type = 'alibi'"),  # pyright: ignore
        (ModernConfig(positions={"type": "none"}), "positions.type = 'none'"),  # pyright: ignore
        (ModernConfig(attention={"type": "sinks"}), "attention.type = 'sinks'"),  # pyright: ignore
    ],
)
def test_what_transformers_has_not_is_not_exported(config: DecoderConfig, text: str) -> None:
    small = {"vocab_size": 101, "n_positions": 16, "n_embd": 24, "n_layer": 1, "n_head": 2}
    with pytest.raises(ModelError, match=text):
        to_transformers(awake(change(config, small)))
