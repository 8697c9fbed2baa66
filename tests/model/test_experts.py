"""Experts: parity with transformers, routing against plain formulas, losses beside the cross entropy."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor
from transformers.models.qwen3_moe.modeling_qwen3_moe import load_balancing_loss_func

from tests.model.conftest import awake
from towpath.core.config import change
from towpath.core.errors import ModelError
from towpath.model import count_parameters, flops_per_token, from_transformers, to_transformers
from towpath.model.config import ModernConfig
from towpath.model.decoder import Decoder
from towpath.model.experts import Routing, load_balance_loss, router_z_loss, sorted_by_expert
from towpath.model.experts_config import BiasBalance, LossBalance, MoEConfig, NoBalance
from towpath.model.experts_decoder import ExpertDecoder
from towpath.model.experts_figures import Loads
from towpath.model.language_model import build
from towpath.model.size import count_active_parameters

pytestmark = pytest.mark.usefixtures("checked_annotations")

SMALL = MoEConfig(
    vocab_size=101,
    n_positions=32,
    n_embd=32,
    n_layer=2,
    n_head=4,
    n_kv_head=2,
    n_inner=24,
    n_expert=6,
    experts_per_token=2,
)


def made(**changes: object) -> ExpertDecoder:
    model = awake(change(SMALL, changes))
    assert isinstance(model, ExpertDecoder)
    return model


def same_logits(ours: ExpertDecoder, theirs: transformers.PreTrainedModel, ids: Tensor) -> None:
    with torch.no_grad():
        torch.testing.assert_close(ours(ids).logits, theirs(ids).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"renormalise": False, "experts_per_token": 3},
        {"tie_embeddings": False, "balance": NoBalance(), "experts_per_token": 1},
        {"attention": {"type": "sliding_window", "window_tokens": 5}},
    ],
)
def test_ours_and_qwen3_moe_give_the_same_logits_both_ways(changes, ids: Tensor) -> None:
    model = made(**changes)
    theirs = to_transformers(model)
    assert type(theirs).__name__ == "Qwen3MoeForCausalLM"
    same_logits(model, theirs, ids)
    back = from_transformers(theirs)
    assert isinstance(back, ExpertDecoder)
    same_logits(back, theirs, ids)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in back.state_dict().items())
    same = {"n_expert", "experts_per_token", "renormalise", "balance", "attention", "tie_embeddings"}
    assert all(getattr(back.config, name) == getattr(model.config, name) for name in same)


def test_gradients_agree_with_qwen3_moe(ids: Tensor) -> None:
    model = made(balance=NoBalance())
    theirs = to_transformers(model)
    theirs(input_ids=ids, labels=ids).loss.backward()
    model.train()(ids, ids).loss.backward()
    pairs = {
        "blocks.0.feed_forward.experts.gate_up.weight": "model.layers.0.mlp.experts.gate_up_proj",
        "blocks.1.feed_forward.experts.out.weight": "model.layers.1.mlp.experts.down_proj",
        "blocks.0.feed_forward.router.weight": "model.layers.0.mlp.gate.weight",
    }
    for ours, name in pairs.items():
        torch.testing.assert_close(
            model.get_parameter(ours).grad, theirs.get_parameter(name).grad, rtol=1e-4, atol=1e-5
        )


def test_a_saved_folder_opens_in_transformers(ids: Tensor, tmp_path) -> None:
    model = made()
    to_transformers(model).save_pretrained(tmp_path)
    same_logits(model, transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval(), ids)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"shared_width": 8}, "shared_width = 8"),
        ({"scoring": "sigmoid"}, "scoring = 'sigmoid'"),
        ({"balance": BiasBalance()}, "balance.type = 'bias'"),
    ],
)
def test_what_qwen3_moe_lacks_is_refused(changes, named) -> None:
    with pytest.raises(ModelError, match=named):
        to_transformers(made(**changes))


def by_hand(model: ExpertDecoder, tokens: Tensor) -> Tensor:
    """The first layer's experts, a token and an expert at a time."""
    layer, config = model.expert_layers[0], model.config
    out = torch.zeros_like(tokens)
    for number, token in enumerate(tokens):
        logits = layer.router(token)
        scores = logits.softmax(-1) if config.scoring == "softmax" else logits.sigmoid()
        wanted = scores if layer.selection_bias is None else scores + layer.selection_bias
        chosen = wanted.topk(config.experts_per_token).indices
        whole = scores[chosen].sum() if config.renormalise else 1.0
        for expert in chosen:
            gate, up = (layer.experts.gate_up.weight[expert] @ token).chunk(2)
            made = layer.experts.out.weight[expert] @ (F.silu(gate) * up)
            out[number] += scores[expert] / whole * made
        if layer.shared is not None:
            out[number] += layer.shared(token[None, None])[0, 0]
    return out


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"scoring": "sigmoid", "balance": BiasBalance()},
        {"shared_width": 16, "renormalise": False},
        {"experts_per_token": 6},
    ],
)
def test_a_layer_is_its_formula_a_token_and_an_expert_at_a_time(changes) -> None:
    model = made(**changes)
    tokens = torch.randn(9, 32, generator=torch.Generator().manual_seed(2))
    mixed = model.expert_layers[0](tokens[None])[0]
    torch.testing.assert_close(mixed, by_hand(model, tokens), rtol=1e-5, atol=1e-5)


def test_torchs_grouped_product_gives_what_the_loop_gives() -> None:
    experts = made().expert_layers[0].experts
    x, loads = torch.randn(12, 32), [3, 0, 4, 1, 0, 4]
    torch.testing.assert_close(experts.grouped(x, loads), experts(x, loads), rtol=1e-4, atol=1e-4)


def test_slots_are_sorted_by_expert_and_first_choices_come_first() -> None:
    chosen = torch.tensor([[0, 1], [1, 0], [0, 2]])  # slots: 0, 1, 2 first choices; 3, 4, 5 second ones
    order, loads = sorted_by_expert(chosen, 4)
    assert (order.tolist(), loads) == ([0, 2, 4, 1, 3, 5], [3, 2, 1, 0])
    order, loads = sorted_by_expert(chosen, 4, capacity=2)
    assert (order.tolist(), loads) == ([0, 2, 1, 3, 5], [2, 2, 1, 0])


def test_tokens_over_capacity_pass_by_in_training_and_never_in_evaluation() -> None:
    model = made(capacity_factor=0.5, experts_per_token=1)
    layer = model.expert_layers[0]
    tokens = torch.randn(1, 32).expand(12, 32)  # all choose the same expert
    whole = layer(tokens)
    assert layer.capacity(12) == 1
    trained = layer.train()(tokens)
    torch.testing.assert_close(trained[0], whole[0])
    assert torch.equal(trained[1:], torch.zeros(11, 32))
    trained.sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in layer.experts.parameters())


def test_the_load_balance_loss_is_transformers_and_switchs() -> None:
    logits = torch.randn(40, 6)
    scores = logits.softmax(-1)
    for k in (1, 3):
        ours = load_balance_loss(scores, scores.topk(k).indices)
        torch.testing.assert_close(ours, load_balancing_loss_func((logits,), 6, k))
    even = torch.eye(6).repeat(3, 1)
    assert float(load_balance_loss(even, even.topk(1).indices)) == pytest.approx(1.0)
    crowded = torch.eye(6)[:1].repeat(18, 1)
    assert float(load_balance_loss(crowded, crowded.topk(1).indices)) == pytest.approx(6.0)


def test_the_z_loss_is_the_mean_square_of_log_sums() -> None:
    logits = torch.randn(5, 4)
    expected = sum(float(row.exp().sum().log() ** 2) for row in logits) / 5
    assert float(router_z_loss(logits)) == pytest.approx(expected, rel=1e-5)


def gradients(model: ExpertDecoder) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_auxiliary_losses_change_gradients_and_never_the_loss(ids: Tensor) -> None:
    found = {}
    for name, balance in (("none", NoBalance()), ("loss", LossBalance(coefficient=0.5))):
        model = made(balance=balance, z_loss=0.1 if name == "loss" else 0.0).train()
        found[name] = model(ids, ids).loss
        found[name].backward()
        found[f"{name} gradient"] = gradients(model)
    assert torch.equal(found["none"], found["loss"])
    router = "blocks.0.feed_forward.router.weight"
    assert not torch.allclose(found["none gradient"][router], found["loss gradient"][router], rtol=1e-2)


def auxiliary_by_hand(model: ExpertDecoder, ids: Tensor) -> Tensor:
    """The mean over layers of both losses of one pass, from the routings that its layers made."""
    seen = []
    for layer in model.expert_layers:
        layer.record = lambda layer, routing: seen.append(routing)
    model(ids, ids)
    config = model.config
    return torch.stack(
        [
            config.balance.loss_coefficient * load_balance_loss(r.scores, r.chosen)
            + config.z_loss * router_z_loss(r.logits)
            for r in seen
        ]
    ).mean()


@pytest.mark.parametrize("checkpointing", [False, True])
def test_over_accumulated_passes_the_auxiliary_gradient_is_the_mean_by_targets(ids, checkpointing) -> None:
    settings = {"balance": LossBalance(coefficient=0.5), "z_loss": 0.1}
    labels = ids.clone()
    labels[2, 5:] = -100  # the second pass has 4 targets, the first 38
    model = made(**settings).train()
    model.gradient_checkpointing = checkpointing
    for rows in (slice(0, 2), slice(2, 3)):
        model(ids[rows], labels[rows], loss_tokens=42).loss.backward()
    plain, other = made(balance=NoBalance()).train(), made(**settings).train()
    for rows, share in ((slice(0, 2), 38 / 42), (slice(2, 3), 4 / 42)):
        plain(ids[rows], labels[rows], loss_tokens=42).loss.backward()
        (share * auxiliary_by_hand(other, ids[rows])).backward()
    extra = gradients(other)
    for name, value in gradients(plain).items():
        expected = value + extra.get(name, torch.zeros_like(value))
        torch.testing.assert_close(gradients(model)[name], expected, rtol=1e-4, atol=1e-6)


def test_the_bias_is_told_of_the_loads_exactly_over_any_split(ids: Tensor) -> None:
    from towpath.model.experts import COUNT_UNIT, tokens_per_expert

    model = made(balance=BiasBalance()).train()
    seen = []
    for layer in model.expert_layers:
        layer.record = lambda layer, routing: seen.append((layer, tokens_per_expert(routing.chosen, 6)))
    for row in ids:
        model(row[None], row[None], loss_tokens=57).loss.backward()
    for layer in model.expert_layers:
        loads = torch.stack([load for of, load in seen if of is layer]).sum(0)
        assert torch.equal(layer.selection_bias.grad / COUNT_UNIT, loads * 6.0 - loads.sum())


def test_training_has_the_same_bits_on_every_run(ids: Tensor) -> None:
    runs = []
    for _ in range(2):
        model = made(capacity_factor=1.0, shared_width=8, z_loss=0.01).train()
        model(ids, ids).loss.backward()
        runs.append(gradients(model))
    assert all(torch.equal(value, runs[1][name]) for name, value in runs[0].items())


def test_counts_are_total_and_active() -> None:
    moe, dense = (
        SMALL,
        ModernConfig(
            **{**SMALL.model_dump(exclude={"type"}, include=set(ModernConfig.model_fields)), "n_inner": 48}
        ),
    )
    router, expert = 6 * 32, 3 * 24 * 32
    assert count_parameters(moe) == count_parameters(dense) + 2 * (router + 4 * expert)
    assert count_active_parameters(moe) == count_parameters(dense) + 2 * router
    assert flops_per_token(moe, training=False) == flops_per_token(dense, training=False) + 2 * 2 * router
    assert count_active_parameters(dense) == count_parameters(dense)


def test_an_expert_costs_what_a_dense_layer_costs_unless_told_otherwise() -> None:
    assert MoEConfig(n_embd=768, experts_per_token=2).inner_width == ModernConfig(n_embd=768).inner_width // 2


def test_more_experts_a_token_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match=r"experts_per_token = 9 is more than n_expert = 8. Try"):
        MoEConfig(experts_per_token=9)


def test_figures_of_load_and_specialisation_are_those_of_hand_made_routings() -> None:
    """Even tokens of source a choose experts 0 and 1, those of source b experts 0 and 2."""
    model = made(n_layer=1, capacity_factor=1.5)
    layer = model.expert_layers[0]
    loads = Loads(model)
    for source, chosen in (("a", [0, 1]), ("b", [0, 2])):
        with loads.of_source(source):
            scores = torch.full((12, 6), 1 / 6)
            layer.record(layer, Routing(scores, scores, torch.tensor([chosen]).expand(12, 2), scores[:, :2]))
    assert layer.record is None
    figures = loads.figures("validation")
    assert figures["validation/experts/max_load"] == pytest.approx(0.5 * 6)
    half, quarter = 0.5 * math.log(2), 0.5 * math.log(4)
    assert figures["validation/experts/0/load_entropy"] == pytest.approx((half + quarter) / math.log(6))
    assert figures["validation/experts/0/router_entropy"] == pytest.approx(math.log(6), rel=1e-5)
    assert figures["validation/experts/0/dropped"] == pytest.approx(24 / 48)  # 12 on each, room for 6
    assert figures["validation/experts/0/specialisation/a"] == pytest.approx(0.25)
    assert [figures[f"validation/experts/0/share/{expert}"] for expert in range(4)] == [0.5, 0.25, 0.25, 0]


def test_a_model_without_experts_has_no_figures_of_them(tiny_gpt: Decoder, ids: Tensor) -> None:
    loads = Loads(tiny_gpt)
    with loads.of_source("a"):
        tiny_gpt(ids)
    assert loads.figures("validation") == {}


def test_counting_changes_no_pass(ids: Tensor) -> None:
    model = made()
    loads = Loads(model)
    with torch.no_grad(), loads.of_source("a"):
        counted = model(ids).logits
    assert torch.equal(counted, model(ids).logits)
    shares = [value for name, value in loads.figures("x").items() if "/1/share/" in name]
    assert sum(shares) == pytest.approx(1)


def test_a_plan_follows_experts_by_their_shapes_alone() -> None:
    from towpath.plan.trace import trace_step
    from towpath.train.config import TrainConfig
    from towpath.train.optimizers.muon import MuonConfig

    train = TrainConfig(batch_size=2, gradient_accumulation_steps=1, optimizer=MuonConfig())
    trace = trace_step(change(SMALL, {"capacity_factor": 0.5, "balance": BiasBalance()}), train)
    name = "blocks.1.feed_forward.experts.gate_up.weight"
    assert trace.weights[name][0] == (6, 48, 32)
    assert trace.state[f"muon/momentum/{name}"][0] == (6, 48, 32)
    assert trace.peak()["parameters"] >= 4 * sum(math.prod(shape) for shape, _ in trace.weights.values())


def test_generation_with_a_cache_agrees_with_whole_passes() -> None:
    from towpath.model.config import SamplingConfig
    from towpath.model.generate import generate

    model, text = made(), [5, 9, 2]
    written = list(generate(model, text, SamplingConfig(temperature=0, max_new_tokens=8)))
    for token in written:
        assert int(model(torch.tensor([text])).logits[0, -1].argmax()) == token
        text = [*text, token]


def test_every_matrix_of_every_expert_is_made_orthogonal_by_itself() -> None:
    from towpath.train.config import TrainConfig
    from towpath.train.optimizer import build_optimizer
    from towpath.train.optimizers.muon import MuonConfig
    from towpath.train.optimizers.newton_schulz import orthogonalize

    model = build(SMALL, seed=3)
    optimizer = build_optimizer(model, TrainConfig(optimizer=MuonConfig(learning_rate=1.0, momentum=0.0)))
    stack = model.get_parameter("blocks.0.feed_forward.experts.gate_up.weight")
    before = stack.detach().clone()
    stack.grad = torch.randn(stack.shape, generator=torch.Generator().manual_seed(4))
    optimizer.step()
    for expert in range(6):
        for part in (slice(0, 24), slice(24, 48)):
            expected = orthogonalize(stack.grad[expert, part])
            moved = before[expert, part] - stack.detach()[expert, part]
            torch.testing.assert_close(moved, expected, rtol=1e-3, atol=1e-4)
