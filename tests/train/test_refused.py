"""Settings that can't be are refused before anything is made, with the numbers and a value that works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from towpath.core import runfile
from towpath.core.errors import ConfigError, TowpathError, TrainError
from towpath.recipes import recipe
from towpath.recipes.run_config import RunConfig
from towpath.tokenizer import Samples
from towpath.train.start import check_start

ADAMW = 'train.optimizer={type="adamw"}'

MEMORY = (
    "model.type=recurrent",
    "model.n_positions=64",
    "model.segment_tokens=32",
    "model.memory_tokens=32",
)

REFUSED = {
    "heads that don't divide the width": (["model.n_embd=100", "model.n_head=3"], "100.*n_head = 3. Try 102"),
    "key heads that don't divide the heads": (
        ["model.n_kv_head=4"],
        "n_head = 3.*n_kv_head = 4. Try n_kv_head = 3",
    ),
    "an odd head and rotary positions": (["model.head_dim=33"], "head_dim = 33 is odd.*Try 34"),
    "an odd width and sines": (
        ['model.positions={type="sinusoidal"}', "model.n_embd=33", "model.n_head=3", "model.n_kv_head=3"],
        "n_embd = 33 is odd.*Try n_embd = 34",
    ),
    "a vocabulary smaller than the tokenizer's": (["model.vocab_size=100"], "= 100 .* = 4096.*Try 4096"),
    "no room for special tokens": (
        ["model.vocab_size=4096", 'train.objective={type="prefix_lm"}', "tokenizer.vocab_size=5000"],
        "vocab_size = 4096 .*vocab_size = 5000.*Try 5056",
    ),
    "warmup beyond the end": (["train.warmup_steps=5000"], "= 5000 .*max_steps = 320. Try warmup_steps = 32"),
    "warmup to the very end": (
        ["train.warmup_steps=9", "train.max_steps=9"],
        "= 9 .*= 9. Try warmup_steps = 0",
    ),
    "two precisions": (["train.fp16=true", "train.precision=bf16"], 'fp16 = true contradicts.*"bf16"'),
    "fp8 on a CPU": (
        ["train.precision=fp8", "train.device=cpu"],
        'fp8.*device = "cpu".*Take precision = "auto"',
    ),
    "a hidden-token objective for a decoder": (
        ['train.objective={type="masked"}'],
        "'masked' cannot train model.type = 'modern'.*Try objective = { type = 'causal' }",
    ),
    "a decoder's objective for an encoder": (
        ["bert-base", 'train.objective={type="causal"}'],
        "'causal' cannot train model.type = 'bert'.*Try objective = { type = 'masked' }",
    ),
    "chat with an encoder": (
        ["bert-base", "tune.sft={}"],
        "tune.sft .* 'bert'.*Remove",
    ),
    "more experts a token than there are": (
        ["model.type=moe", "model.n_expert=4", "model.experts_per_token=9"],
        "experts_per_token = 9 is more than n_expert = 4. Try experts_per_token = 2",
    ),
    "a memory larger than the context": (
        ["model.type=recurrent"],
        "segment_tokens = 512 and memory_tokens = 512 .*n_positions = 256. Try n_positions = 1024",
    ),
    "places in a memory": (
        ["model.type=recurrent", "model.n_positions=1024", 'model.positions={type="learned"}'],
        "positions.type = 'learned'.*Try positions.type = rope",
    ),
    "a memory and a prefix": (
        [*MEMORY, 'train.objective={type="prefix_lm"}'],
        "'recurrent' carries its memory over documents.*Try objective = { type = 'causal'",
    ),
    "a memory and documents that are hidden from each other": (
        [*MEMORY, "train.objective.document_mask=true"],
        "'recurrent' carries its memory over documents.*document_mask = false",
    ),
    "parts of tensors and Adafactor": (
        ['train.parallel={type="fsdp"}', 'train.optimizer={type="adafactor"}'],
        '"adafactor" updates whole tensors.*"fsdp" cuts them up. Take parallel.type = "ddp"',
    ),
    "parts of tensors and moments of a byte": (
        ['train.parallel={type="tensor"}', 'train.optimizer={type="adamw8bit"}'],
        '"adamw8bit" updates whole tensors.*"tensor" cuts them up',
    ),
    "parts of products in int8": (
        ['train.parallel={type="tensor"}', "train.precision=int8"],
        'precision = "int8".*"tensor" cuts matrices up.*Take parallel.type = "ddp"',
    ),
    "parts of products of an encoder-decoder": (
        ["t5-small", 'train.parallel={type="tensor"}'],
        'model.type = "t5" adds a number to the scores.*Take train.parallel.type = "fsdp"',
    ),
    "parts of windows of experts": (
        ["model.type=moe", 'train.parallel={type="context"}'],
        'model.type = "moe" is none. Take train.parallel.type = "fsdp"',
    ),
    "a name that leaves its folder": (["name=../x"], "name = '../x' can't name a folder. Use up to 100"),
    "no name": (["name="], "name = '' can't name a folder"),
    "a name longer than folders have": ([f"name={'x' * 300}"], "can't name a folder"),
    "a seed that no generator takes": ([f"seed={2**70}"], "seed = .*less than 9223372036854775808"),
    "a yes for a number": (["train.max_steps=true"], "max_steps = true is a yes or no; a number"),
    "more threads than a machine has": (["train.threads=100000"], "threads = 100000.*1024"),
    "a step of more sequences than anyone has": (["train.batch_size=100000000000"], "batch_size.*1048576"),
    "ZeRO and Muon": (
        ['train.parallel={type="deepspeed"}'],
        '"muon" is not for parallel.type = "deepspeed".*optimizer.type = "adamw"',
    ),
    "ZeRO and a bias that moves by itself": (
        ['train.parallel={type="deepspeed"}', ADAMW, "model.type=moe", 'model.balance={type="bias"}'],
        'balance.type = "bias".*Set model.balance.type = "loss"',
    ),
    "ZeRO's offload on a CPU": (
        ['train.parallel={type="deepspeed",offload_optimizer=true}', ADAMW, "train.device=cpu"],
        'offload_optimizer = true.*device = "cpu".*= false',
    ),
    "FSDP's offload on a CPU": (
        ['train.parallel={type="fsdp",offload=true}', "train.device=cpu"],
        'offload = true.*device = "cpu".*offload = false',
    ),
    "a stage that ZeRO has not": (
        ['train.parallel={type="deepspeed",zero_stage=4}', ADAMW],
        "zero_stage = 4: input should be 1, 2 or 3",
    ),
    "scores with a bias, cut by heads": (
        ['train.parallel={type="tensor"}', 'model.positions={type="alibi"}'],
        'positions.type = "alibi".*Take train.parallel.type = "fsdp"',
    ),
    "a memory of spikes that is too short": (
        ["train.guard={min_steps=100,window_steps=10}"],
        "min_steps = 100 .*window_steps = 10 .*Try min_steps = 4",
    ),
    "phases that don't begin at the start": (
        ['train.curriculum={type="domains",phases=[{from_share=0.5,weights={a=1.0}}]}'],
        r"from_share = \[0.5\].*Try \[0.0\]",
    ),
    "phases out of order": (
        [
            'train.curriculum={type="domains",phases=[{weights={a=1.0}},{from_share=0.9,weights={a=1.0}},'
            "{from_share=0.2,weights={a=1.0}}]}"
        ],
        r"from_share = \[0.0, 0.9, 0.2\].*Try \[0.0, 0.333, 0.667\]",
    ),
    "what another kind of model has": (
        ["model.type=t5"],
        r"has no attention, n_kv_head, positions, which .* another type.*any of .*dropout.*n_buckets",
    ),
    "no sequence": (
        ["train.batch_size=0"],
        "train.batch_size = 0: input should be greater than or equal to 1",
    ),
}


def run_of(settings: list[str]) -> RunConfig:
    """The recipe tiny, or another that ``settings`` begin with, with those settings."""
    name, *others = settings if settings and "=" not in settings[0] else ["tiny", *settings]
    return runfile.parse(RunConfig, runfile.to_toml(recipe(name)), "run.toml", others).config


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_with_the_numbers_and_a_value_that_works(case: str) -> None:
    settings, expected = REFUSED[case]
    with pytest.raises(ConfigError) as caught:
        run_of(settings)
    assert re.search(expected, str(caught.value)), str(caught.value)


STARTS = {
    "no processes": (['train.parallel={type="ddp"}'], {}, "RANK, .* not set.*towpath launch local -n 2"),
    "too many processes": ([], {"WORLD_SIZE": "2"}, "2 processes were started.*train.parallel.type=ddp"),
    "micro-batches that can't be shared": (
        ['train.parallel={type="fsdp"}', "train.gradient_accumulation_steps=3"],
        {"WORLD_SIZE": "2"},
        "3 micro-batches can't be shared evenly by 2 processes.*= 4",
    ),
    "a shared expert that can't be cut": (
        [
            *("model.type=moe", "model.n_head=4", "model.n_kv_head=2", "model.shared_width=33"),
            'train.parallel={type="tensor"}',
        ],
        {"WORLD_SIZE": "2"},
        "shared_width = 33 can't be cut into 2 equal parts.*shared_width = 34",
    ),
    "heads that can't be cut": (
        ['train.parallel={type="tensor"}'],
        {"WORLD_SIZE": "4"},
        "n_head = 3 can't be cut into 4 equal parts.*Start 3 processes, or set model.n_head = 4",
    ),
    "no GPU": (["train.device=cuda"], {}, 'torch sees no GPU here. Try device = "auto"'),
    "no GPU for fp8": (["train.precision=fp8"], {}, 'fp8.*capability 8.9.*Use precision = "auto"'),
}


@pytest.mark.parametrize("case", STARTS)
def test_what_this_machine_or_job_cannot_do_is_refused_before_anything_is_made(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    settings, environment, expected = STARTS[case]
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = run_of(settings)
    with pytest.raises(TrainError) as caught:
        check_start(config.model, config.train)
    assert re.search(expected, str(caught.value)), str(caught.value)


def test_a_window_that_no_span_fits_into_is_refused() -> None:
    from towpath.model.encoder_decoder_config import T5Config
    from towpath.train.config import TrainConfig

    train = TrainConfig.model_validate({"objective": {"type": "span_corruption"}, "device": "cpu"})
    with pytest.raises(TowpathError, match="n_positions"):
        check_start(T5Config(n_positions=1), train)
    check_start(T5Config(n_positions=512), train)


@pytest.mark.parametrize("pattern", ["sliding_window", "sinks", "longformer"])
def test_a_window_that_hides_nothing_is_refused(pattern: str) -> None:
    table = f'model.attention={{type="{pattern}",window_tokens=%d}}'
    config = run_of([table % 256])
    with pytest.raises(ConfigError, match=r"window_tokens = 256 .*n_positions = 256. Try window_tokens = 64"):
        check_start(config.model, config.train)
    check_start(run_of([table % 64]).model, config.train)


def test_the_path_refuses_before_it_reads_a_document(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from towpath.cli import main

    monkeypatch.setenv("TOWPATH_HOME", str(tmp_path))
    monkeypatch.delenv("RANK", raising=False)
    assert main(["train", "tiny", 'train.parallel={type="ddp"}']) == 1
    assert "towpath launch local -n 2" in capsys.readouterr().err
    assert main(["train", "tiny", "--extend", "64"]) == 2
    assert "n_positions = 64" in capsys.readouterr().err
    assert not (tmp_path / "artifacts").exists()


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ('train.evaluations=[{task="x"}]', "unknown task 'x'"),
        ('train.evaluations=[{task="os:getcwdd"}]', "'os:getcwdd' can't be imported"),
        ('train.curriculum={type="difficulty",by="column",path="no.parquet"}', "'no.parquet' can't be read"),
        ('train.curriculum={type="difficulty",by="column",path="pyproject.toml"}', "columns id and score"),
        (
            "data.validation_share=0",
            "validation_share = 0 holds out no text.* = 80 steps. Try data.validation_share = 0.01",
        ),
    ],
)
def test_what_training_would_miss_is_missed_before_a_document_is_read(
    setting: str,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    from towpath.cli import main

    monkeypatch.setenv("TOWPATH_HOME", str(tmp_path))
    assert main(["train", "tiny", setting]) in (1, 2)
    assert re.search(expected, capsys.readouterr().err)
    assert not (tmp_path / "artifacts").exists()


def test_a_context_longer_than_the_text_is_refused_with_one_that_fits() -> None:
    class Stream:
        n_tokens = 100

    class Shards:
        weights = {"prose": 1.0}

        def sources(self, split: str) -> list[str]:
            return ["prose"]

        def stream(self, split: str, source: str) -> Stream:
            return Stream()

    with pytest.raises(ConfigError, match=r"'prose' has 100 tokens.* 129.*n_positions = 99"):
        Samples(Shards(), "train", 128, 0)  # pyright: ignore[reportArgumentType]
    assert Samples(Shards(), "train", 99, 0).sizes == {"prose": 1}  # pyright: ignore[reportArgumentType]
