"""The guard: spikes are found by a robust score, named, skipped or gone back from; the same every time."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from tests.train.conftest import assert_same, batches, model, stage, train_config, weights
from tests.train.test_resume import Killed, figures
from towpath.core.config import change
from towpath.core.errors import TrainError
from towpath.core.metrics import read_log
from towpath.train.batches import Batch
from towpath.train.config import TrainConfig
from towpath.train.events import EventLog, LeftOut
from towpath.train.guard import Guard, Rewind
from towpath.train.layers import layer_norms
from towpath.train.spikes import GuardConfig, Window
from towpath.train.stage import Stage, run_stage

POISONED = (9,)
"""Steps from 0: the update of step 10."""


def guarded(**changes: object) -> TrainConfig:
    settings = {"window_steps": 8, "min_steps": 4, "loss_threshold": 6.0, "gradient_threshold": 1e9}
    base = {"max_steps": 14, "warmup_steps": 0, "learning_rate": 1e-3, **changes}
    return train_config(guard={**settings, **base.pop("guard", {})}, **base)


class Poisoned:
    """Batches of which some have labels that nobody could foresee, or no finite loss."""

    def __init__(
        self, config: TrainConfig, steps: Sequence[int], *, finite: bool = True, deadly: int | None = None
    ) -> None:
        self.source = batches(config)
        self.steps = steps
        self.finite = finite
        self.deadly = deadly

    def batch(self, step: int) -> Batch:
        if step == self.deadly:
            raise Killed
        batch = self.source.batch(step)
        if step not in self.steps:
            return batch
        return Batch(batch.micro_batches, batch.target_tokens // 20 if self.finite else 0)

    def describe(self, step: int) -> str:
        return self.source.describe(step)

    def documents(self, step: int) -> list[str]:
        return [f"document-{step}a", f"document-{step}b"]


def poisoned(
    folder: Path,
    config: TrainConfig,
    steps: Sequence[int] = POISONED,
    *,
    finite: bool = True,
    deadly: int | None = None,
) -> Stage:
    one = stage(folder, config)
    one.batches = Poisoned(config, steps, finite=finite, deadly=deadly)
    return one


def events(folder: Path) -> list[dict]:
    return list(EventLog(folder / "events.jsonl").rows())


def test_the_score_is_a_number_of_standard_deviations_for_normal_noise() -> None:
    noise = random.Random(1)
    window = Window(1000, 1000)
    for _ in range(1000):
        window.add(noise.gauss(50.0, 2.0))
    assert window.score(50.0 + 5 * 2.0) == pytest.approx(5.0, rel=0.1)
    assert window.score(30.0) == 0.0


def test_the_score_is_that_of_the_formula() -> None:
    window = Window(5, 5)
    for value in (1.0, 2.0, 3.0, 4.0, 100.0):
        window.add(value)
    assert window.score(10.0) == pytest.approx((10.0 - 3.0) / (1.4826 * 1.0))


def test_a_level_that_changed_for_good_is_normal_after_half_a_window() -> None:
    window = Window(8, 4)
    for value in (3.0, 3.01, 2.99, 3.0, 3.02, 3.0, 3.01, 3.0):
        window.add(value)
    spikes = 0
    for value in (6.0, 6.01, 5.99, 6.0, 6.02, 6.0, 6.01, 6.0):
        spikes += window.score(value) > 6
        window.add(value)
    assert 4 <= spikes <= 5


def test_even_values_do_not_make_every_tremor_a_spike() -> None:
    window = Window(8, 4)
    for _ in range(8):
        window.add(2.0)
    assert window.score(2.02) == pytest.approx(1.0)
    assert window.score(2.4) == pytest.approx(20.0)


def test_a_window_that_can_not_hold_the_least_steps_is_refused() -> None:
    with pytest.raises(ValueError, match=r"min_steps = 32 is more than window_steps = 16.*Try min_steps = 4"):
        GuardConfig(window_steps=16)


def test_the_default_says_a_spike_and_changes_no_weight(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = guarded()
    warned, deaf = model(), model()
    run_stage(poisoned(tmp_path / "a", config), warned)
    run_stage(poisoned(tmp_path / "b", guarded(guard={"loss_threshold": 1e9})), deaf)
    assert_same(weights(warned), weights(deaf))
    (event,) = events(tmp_path / "a")
    assert (event["step"], event["kind"], event["action"]) == (10, "loss spike", "warn")
    assert event["data"] == "samples 72 to 79"
    assert event["documents"] == ["document-9a", "document-9b"]
    assert event["loss_score"] > 6
    assert "documents document-9a, document-9b): warn" in capsys.readouterr().err
    assert events(tmp_path / "b") == []


def test_a_skipped_spike_changes_no_weight_at_its_step(tmp_path: Path) -> None:
    """The whole run is one without that update, whose place in the schedule it keeps."""
    config = guarded(guard={"on_loss_spike": "skip"}, max_steps=10, save_steps=9, keep_checkpoints=9)
    decoder = model()
    run_stage(poisoned(tmp_path, config), decoder)
    (event,) = events(tmp_path)
    assert event["action"] == "skip"
    from safetensors.torch import load_file

    before = load_file(tmp_path / "checkpoints" / "step-000009" / "model.safetensors")
    assert_same(before, weights(decoder))


@pytest.mark.parametrize("finite", [True, False])
def test_a_rewind_is_the_run_that_never_saw_that_data(tmp_path: Path, finite: bool) -> None:
    policies = {"on_loss_spike": "rewind", "on_not_finite": "rewind"}
    decoder = model(dropout=0.0)
    config = guarded(guard=policies)
    facts = run_stage(poisoned(tmp_path / "a", config, finite=finite), decoder)
    assert facts["left_out_steps"] == [10]
    (event,) = events(tmp_path / "a")
    assert event["action"] == "rewind"
    assert event["documents"] == ["document-9a", "document-9b"]

    knowing = stage(tmp_path / "b", guarded())  # told beforehand; its data is sound
    (tmp_path / "b" / "left_out.json").write_text(json.dumps({"rewinds": [{**event}]}))
    other = model(dropout=0.0)
    run_stage(knowing, other)
    assert_same(weights(decoder), weights(other))
    assert figures(tmp_path / "a") == figures(tmp_path / "b")


@pytest.mark.parametrize("policy", ["warn", "skip", "rewind"])
def test_killed_anywhere_around_a_spike_gives_the_same_weights_log_and_events(
    tmp_path: Path, policy: str
) -> None:
    settings = {"on_loss_spike": policy, "loss_threshold": 6.0}
    config = guarded(guard=settings, save_steps=4)
    steps = (6, 9)
    whole = model()
    run_stage(poisoned(tmp_path / "whole", config, steps), whole)
    assert events(tmp_path / "whole")
    for step in (7, 10, 13):
        folder = tmp_path / f"at-{step}"
        with pytest.raises(Killed):
            run_stage(poisoned(folder, config, steps, deadly=step), model())
        resumed = model()
        run_stage(poisoned(folder, config, steps), resumed)
        assert_same(weights(whole), weights(resumed))
        assert figures(folder) == figures(tmp_path / "whole")
        assert events(folder) == events(tmp_path / "whole")


def test_killed_between_the_note_and_the_way_back_gives_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = guarded(guard={"on_loss_spike": "rewind"})
    whole = model()
    run_stage(poisoned(tmp_path / "whole", config), whole)
    note = LeftOut.add
    for dies_after_the_note in (False, True):
        folder = tmp_path / f"noted-{dies_after_the_note}"

        def deadly(self: LeftOut, event, *, write: bool, after: bool = dies_after_the_note) -> None:
            if after:
                note(self, event, write=write)
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(LeftOut, "add", deadly)
            with pytest.raises(Killed):
                run_stage(poisoned(folder, config), model())
        assert (folder / "left_out.json").exists() == dies_after_the_note
        resumed = model()
        run_stage(poisoned(folder, config), resumed)
        assert_same(weights(whole), weights(resumed))
        assert events(folder) == events(tmp_path / "whole")


def test_a_spike_before_the_first_checkpoint_goes_back_to_the_start(tmp_path: Path) -> None:
    config = guarded(guard={"on_not_finite": "rewind"}, optimizer={"type": "muon"}, max_steps=6)
    decoder = model()
    run_stage(poisoned(tmp_path / "a", config, (1, 2), finite=False), decoder)
    assert [event["step"] for event in events(tmp_path / "a")] == [2, 3]
    again = model()
    run_stage(poisoned(tmp_path / "b", config, (1, 2), finite=False), again)
    assert_same(weights(decoder), weights(again))


def test_more_rewinds_than_allowed_stop_the_run(tmp_path: Path) -> None:
    config = guarded(guard={"on_not_finite": "rewind", "max_rewinds": 2})
    with pytest.raises(TrainError, match=r"Step 8: not finite \(samples 56 to 63\) after 2 rewinds"):
        run_stage(poisoned(tmp_path, config, (5, 6, 7), finite=False), model())


def test_a_rewind_leaves_out_as_many_steps_as_asked() -> None:
    config = guarded(guard={"on_not_finite": "rewind", "rewind_span_steps": 3})
    guard = Guard(config, documents=lambda step: [f"d{step}"])
    with pytest.raises(Rewind) as rewind:
        guard.applies(2, math.nan, 1.0)
    assert rewind.value.event["left_out_steps"] == [1, 2]
    with pytest.raises(Rewind) as rewind:
        guard.applies(9, math.nan, 1.0)
    assert rewind.value.event["left_out_steps"] == [7, 8, 9]
    assert rewind.value.event["documents"] == ["d6", "d7", "d8"]


def test_the_gradient_has_a_threshold_of_its_own() -> None:
    config = guarded(guard={"gradient_threshold": 5.0, "on_gradient_spike": "skip"})
    told: list = []
    guard = Guard(config, report=told.append)
    for step in range(1, 8):
        assert guard.applies(step, 3.0, 1.0 + 0.01 * (step % 3))
    assert not guard.applies(8, 3.0, 9.0)
    assert guard.applies(9, 3.0, 1.0)
    assert [(event["step"], event["kind"]) for event in told] == [(8, "gradient spike")]


def test_a_guard_that_takes_back_its_state_judges_as_the_first() -> None:
    one = Guard(guarded())
    for step in range(1, 20):
        one.applies(step, 3.0 + 0.01 * (step % 5), 1.0)
    other = Guard(guarded())
    other.load(json.loads(json.dumps(one.state())))
    assert other.losses.score(3.7) == one.losses.score(3.7) > 0
    assert other.state() == one.state()


def test_layer_norms_are_those_before_clipping_and_add_up_to_the_whole() -> None:
    decoder = model(dropout=0.0)
    micro = batches(train_config()).batch(0).micro_batches[0]
    decoder(**micro, loss_tokens=1).loss.backward()
    expected = {
        name: float(value.grad.norm()) for name, value in decoder.named_parameters() if value.grad is not None
    }
    whole = float(torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0))
    found = layer_norms(decoder, whole, 1.0)
    assert math.hypot(*found.values()) == pytest.approx(whole, rel=1e-5)
    block = [name for name in found if name.endswith(".1")]
    assert len(block) == 1
    prefix = block[0].removeprefix("train/grad_norm/")
    of_block = [value for name, value in expected.items() if name.startswith(f"{prefix}.")]
    assert found[block[0]] == pytest.approx(math.hypot(*of_block), rel=1e-5)


def test_layer_norms_are_logged_when_asked_for(tmp_path: Path) -> None:
    config = change(train_config(max_steps=4, warmup_steps=0), {"guard.layer_norm_steps": 2})
    run_stage(stage(tmp_path, config), model())
    steps = {row["step"] for row in read_log(tmp_path / "log.jsonl") if "/grad_norm/" in row["name"]}
    assert steps == {2, 4}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["ddp", "fsdp"])
def test_two_processes_go_back_together_to_the_weights_of_one(tmp_path: Path, mode: str) -> None:
    """The first spike goes back to the start, where no optimizer has a state yet."""
    from safetensors.torch import load_file, save_file

    from tests.train.ranks import ended, start

    settings = {"guard": {"on_not_finite": "rewind"}, "optimizer": {"type": "adamw"}, "save_steps": 4}
    alone = model(dropout=0.0)
    run_stage(poisoned(tmp_path / "alone", guarded(**settings), (2, 6), finite=False), alone)
    folder = tmp_path / "together"
    folder.mkdir()

    def work(rank: int) -> None:
        torch.set_num_threads(1)
        decoder = model(dropout=0.0)
        config = guarded(**settings, parallel={"type": mode})
        run_stage(poisoned(folder, config, (2, 6), finite=False), decoder)
        if rank == 0:
            save_file(weights(decoder), folder / "weights.safetensors")

    assert ended(start(work, 2)) == [0, 0]
    together = load_file(folder / "weights.safetensors")
    for name, value in weights(alone).items():
        torch.testing.assert_close(together[name], value, rtol=0, atol=1e-5)
    found = [(event["step"], event["left_out_steps"]) for event in events(folder)]
    assert found == [(3, [3]), (7, [7])]
