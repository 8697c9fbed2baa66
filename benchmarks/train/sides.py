"""Ours and the peers: each trains the same architecture on the same batches, a step at a time.

- ours: the ``learn`` of ``towpath.train.loop``, with the preset ``gpt2``.
- nanoGPT's settings in our model: GPT-2 layout without dropout, torch's attention and GELU instead of our
  kernels, cross entropy of all logits at once, AdamW as its train.py makes it on a CPU (not fused), decay
  on matrices alone, clipping at 1.
- nanoGPT itself, of a checkout: its model.py and its optimizer.
- HF Trainer with GPT2LMHeadModel of the installed transformers, in its own loop.
- LitGPT: its model and its loss; GPT-NeoX's layout with rotary positions is what it has nearest.

All: fp32, exact GELU, no dropout, betas 0.9 and 0.95, weight decay 0.1, gradients clipped at 1.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from towpath.model.config import DecoderConfig, GPT2Config
from towpath.model.feed_forward import FeedForward
from towpath.model.language_model import build
from towpath.model.size import flops_per_token
from towpath.train.batches import Batch
from towpath.train.config import TrainConfig
from towpath.train.guard import Guard
from towpath.train.loop import learn
from towpath.train.precision import choose_precision
from towpath.train.smaller_batches import SmallerBatches

LEARNING_RATE, BETAS, WEIGHT_DECAY, CLIP = 1e-3, (0.9, 0.95), 0.1, 1.0
NOT_NEEDED = ("lightning", "jsonargparse", "lightning_utilities", "litdata")
"""What LitGPT's modules import and its model does not use; stood in for where not installed."""


@dataclass(frozen=True)
class Size:
    """An architecture and the batch of one step."""

    what: str
    layers: int
    width: int
    heads: int
    context: int
    vocabulary: int
    batch: int

    def with_layers(self, layers: int | None) -> Size:
        """The same with another depth; None: as it is."""
        if layers is None:
            return self
        return replace(self, layers=layers, what=f"{self.what}, but {layers} layers")

    def model(self) -> GPT2Config:
        """Our section for it."""
        return GPT2Config(
            vocab_size=self.vocabulary,
            n_positions=self.context,
            n_embd=self.width,
            n_layer=self.layers,
            n_head=self.heads,
            dropout=0.0,
        )

    def ids(self) -> Iterator[Tensor]:
        """The batches, (B, T + 1): the same for every side."""
        for seed in count():
            draw = torch.Generator().manual_seed(seed)
            yield torch.randint(self.vocabulary, (self.batch, self.context + 1), generator=draw)


SIZES = {
    "small": Size("6 layers of 384, T 256, vocabulary 8,192, 2,048 tokens a step", 6, 384, 6, 256, 8192, 8),
    "124M": Size("12 layers of 768, T 1,024, vocabulary 50,257, batch 1", 12, 768, 12, 1024, 50257, 1),
}


@dataclass(frozen=True)
class Side:
    """One of those compared. ``step`` trains once and gives the loss."""

    name: str
    step: Callable[[], float]
    tokens: int
    """A step."""
    flops: int
    """A token, of our model: the same for all."""
    parameters: int


def peers(size: Size, nanogpt: Path | None, litgpt: Path | None) -> list[Callable[[], Side]]:
    """What makes each peer that is here; what is not is said."""
    found = [partial(nanogpt_settings, size), partial(hf_trainer, size)]
    if nanogpt:
        found.append(partial(nanogpt_itself, size, nanogpt))
    if litgpt or importlib.util.find_spec("litgpt"):
        found.append(partial(litgpt_model, size, litgpt))
    else:
        print("LitGPT is left out: pip install litgpt, or give --litgpt WHEEL_OR_FOLDER")
    return found


def ours(size: Size, **settings: Any) -> Side:
    """Our model in our loop; ``settings`` are changes of ``[train]``."""
    defaults = {"learning_rate": LEARNING_RATE, "batch_size": size.batch, "threads": 1}
    config = TrainConfig(**{"gradient_accumulation_steps": 1, **defaults, **settings})
    return in_our_loop("ours", size, size.model(), config)


def in_our_loop(name: str, size: Size, model_config: DecoderConfig, config: TrainConfig) -> Side:
    """A model of ours in our loop, on the batches of ``size``."""
    precision = choose_precision(config)
    strategy = config.parallel.strategy(config, precision)
    model = build(model_config, seed=0)
    precision.prepare_(model)
    strategy.prepare(model)
    keepers, steps, data = (Guard(config), SmallerBatches(config.auto_micro_batch)), count(1), size.ids()

    def step() -> float:
        parts = next(data).split(config.batch_size)[strategy.data_rank :: strategy.data_ranks]
        batch = Batch([{"input_ids": ids, "labels": ids} for ids in parts], size.batch * size.context)
        figures = learn(strategy.trained, batch, next(steps), strategy.optimizer, strategy, keepers)
        strategy.optimizer.zero_grad(set_to_none=True)
        return figures["train/loss"]

    return _side(f"{name} {precision.name}", step, size, model)


def lean(size: Size) -> Side:
    """Ours with ``lean_memory``."""
    return ours(size, lean_memory=True)


def nanogpt_settings(size: Size) -> Side:
    """See the head of this file."""
    model = build(size.model(), seed=0)
    model.backend = "sdpa"
    for part in model.modules():
        if isinstance(part, FeedForward):
            part.activation = partial(F.gelu, approximate="none")

    def loss(x: Tensor, y: Tensor) -> Tensor:
        logits = model.logits(model.trunk(x))
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), y.reshape(-1), ignore_index=-1)

    return _side("nanoGPT's settings", _plain_step(model, loss, size), size, model)


def nanogpt_itself(size: Size, checkout: Path) -> Side:
    """nanoGPT's own model.py and optimizer."""
    spec = importlib.util.spec_from_file_location("nanogpt_model", checkout / "model.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["nanogpt_model"] = module
    spec.loader.exec_module(module)
    config = module.GPTConfig(
        block_size=size.context,
        vocab_size=size.vocabulary,
        n_layer=size.layers,
        n_head=size.heads,
        n_embd=size.width,
        dropout=0.0,
        bias=True,
    )
    model = module.GPT(config)
    optimizer = model.configure_optimizers(WEIGHT_DECAY, LEARNING_RATE, BETAS, "cpu")
    step = _plain_step(model, lambda x, y: model(x, y)[1], size, optimizer)
    return _side("nanoGPT, its own model.py", step, size, model)


def hf_trainer(size: Size) -> Side:
    """``Trainer.train`` in a thread of its own, held before each step until its turn comes."""
    from transformers import GPT2Config as TheirConfig
    from transformers import GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments
    from transformers.trainer_callback import PrinterCallback
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    no_dropout = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    model = GPT2LMHeadModel(
        TheirConfig(
            vocab_size=size.vocabulary,
            n_positions=size.context,
            n_embd=size.width,
            n_layer=size.layers,
            n_head=size.heads,
            activation_function="gelu",
            **no_dropout,
        )
    )
    turn, done, losses = threading.Semaphore(0), threading.Semaphore(0), [float("nan")]

    class InTurn(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            turn.acquire()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            done.release()

        def on_log(self, *_: Any, logs: dict[str, float] | None = None, **__: Any) -> None:
            losses[0] = float((logs or {}).get("loss", losses[0]))

    class Rows(torch.utils.data.IterableDataset):
        def __iter__(self) -> Iterator[dict[str, Tensor]]:
            for ids in size.ids():
                for row in ids:  # the last id is a label for those who shift by themselves
                    yield {"input_ids": row[:-1], "labels": row[:-1]}

    settings = TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=size.batch,
        max_steps=1_000_000,
        learning_rate=LEARNING_RATE,
        adam_beta1=BETAS[0],
        adam_beta2=BETAS[1],
        weight_decay=WEIGHT_DECAY,
        max_grad_norm=CLIP,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
    )
    trainer = Trainer(model, settings, train_dataset=Rows(), callbacks=[InTurn()])
    trainer.remove_callback(PrinterCallback)

    def train() -> None:
        torch.set_num_threads(1)
        trainer.train()

    thread = threading.Thread(target=train, daemon=True)

    def step() -> float:
        if not thread.is_alive():
            thread.start()
        turn.release()
        done.acquire()
        return losses[0]

    return _side("HF Trainer", step, size, model)


def litgpt_model(size: Size, where: Path | None) -> Side:
    """LitGPT's model and loss; the package's head, which starts lightning, is not run."""
    _make_importable(where)
    config = importlib.import_module("litgpt.config").Config(
        block_size=size.context,
        vocab_size=size.vocabulary,
        padded_vocab_size=size.vocabulary,
        n_layer=size.layers,
        n_head=size.heads,
        n_embd=size.width,
        intermediate_size=4 * size.width,
        parallel_residual=False,
        rotary_percentage=1.0,
        bias=True,
        mlp_class_name="GptNeoxMLP",
        gelu_approximate="none",
    )
    model = importlib.import_module("litgpt.model").GPT(config)
    model.transformer.wte.weight = model.lm_head.weight  # its pretrain.py with --train.tie_embeddings
    model.apply(_small)
    cross_entropy = importlib.import_module("litgpt.utils").chunked_cross_entropy
    step = _plain_step(model, lambda x, y: cross_entropy(model(x), y, chunk_size=0), size)
    return _side("LitGPT's model", step, size, model)


def _small(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)


def _make_importable(where: Path | None) -> None:
    if where is None:
        spec = importlib.util.find_spec("litgpt")
        assert spec
        assert spec.submodule_search_locations
        folder = Path(next(iter(spec.submodule_search_locations)))
    elif where.suffix == ".whl":
        target = Path(tempfile.mkdtemp())
        zipfile.ZipFile(where).extractall(target)
        folder = target / "litgpt"
    else:
        folder = where / "litgpt" if (where / "litgpt").is_dir() else where
    package = ModuleType("litgpt")
    package.__path__ = [str(folder)]
    sys.modules["litgpt"] = package
    sys.meta_path.append(_StandIn())


class _StandIn(MetaPathFinder, Loader):
    """Finds what is not installed of ``NOT_NEEDED``, and makes it of nothing."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if fullname.split(".", maxsplit=1)[0] not in NOT_NEEDED:
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> Any:
        module = MagicMock()
        module.__path__ = []
        return module

    def exec_module(self, module: ModuleType) -> None:
        pass


def _plain_step(
    model: nn.Module,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    size: Size,
    optimizer: torch.optim.Optimizer | None = None,
) -> Callable[[], float]:
    """A step as in nanoGPT's train.py: zero, forward, backward, clip, update."""
    optimizer = optimizer or _two_groups(model)
    data = size.ids()

    def step() -> float:
        ids = next(data)
        loss = loss_of(ids[:, :-1].contiguous(), ids[:, 1:].contiguous())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step


def _two_groups(model: nn.Module) -> torch.optim.Optimizer:
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in weights if weight.dim() >= 2], "weight_decay": WEIGHT_DECAY},
        {"params": [weight for weight in weights if weight.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=BETAS)


def _side(name: str, step: Callable[[], float], size: Size, model: nn.Module) -> Side:
    parameters = sum(weight.numel() for weight in model.parameters())
    return Side(name, step, size.batch * size.context, flops_per_token(size.model()), parameters)
