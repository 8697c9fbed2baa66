"""Context parallelism: the tokens of each window are shared out, keys and values are gathered.

Llama Team 2024, arXiv:2407.21783, section 3.3.2: a window is cut into 2n chunks and process r of n
takes chunks r and 2n - 1 - r, so that all have as many keys to look at; each gathers the keys and
values of all and computes what its own queries gather. Everything else of a block is local. Weights
are those of data parallelism: whole in every process, their gradients added up; so are the saves.
torch's own ``context_parallel`` (2.13) replaces kernels of GPUs alone, and refuses masks.
Deviation: scores that are masked are computed too.

B batch, K key-value heads, T tokens of a window, t those of a process (T / n, padded), D width.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from towpath.model.decoder import Decoder
from towpath.model.language_model import Output
from towpath.train.objectives.drawing import IGNORED
from towpath.train.parallel.group import Group
from towpath.train.parallel.replicated import Replicated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jaxtyping import Float, Int

    from towpath.model.language_model import LanguageModel

_PER_TOKEN = ("documents", "places")
"""Arguments of a decoder with a number a token, beside ``input_ids`` and ``labels``."""


class SharedContext(Replicated):
    """The whole model in every process, and every process a part of each window."""

    def _data_place(self) -> tuple[int, int]:
        self.sharers = self.world_size
        return 0, 1

    def _stream(self) -> int:
        return self.rank  # dropout differs: these are other tokens

    def in_training(self, model: LanguageModel) -> nn.Module:
        """See ``Replicated.in_training``."""
        return SharedWindows(cast("Decoder", model), Chunks(self.group))


class SharedWindows(nn.Module):
    """``model`` of this process's part of each window; its loss is a part of the window's."""

    def __init__(self, model: Decoder, chunks: Chunks) -> None:
        super().__init__()
        self.model, self.chunks = model, chunks

    def forward(self, input_ids: Int[Tensor, "B T"], labels: Int[Tensor, "B T"], **more: Any) -> Output:
        """The loss of the targets after this process's tokens, divided by ``loss_tokens``.

        The model drops the last token and shifts labels by one, so both get a token more.
        """
        n_tokens = input_ids.shape[1] - 1
        self.model.check_context(n_tokens)
        mine = self.chunks.places(n_tokens, input_ids.device)  # (t)
        real = mine.clamp(max=n_tokens - 1)
        after = torch.where(mine < n_tokens, labels[:, real + 1], IGNORED)
        for name in _PER_TOKEN:
            if more.get(name) is not None:
                more[name] = _and_one_more(more[name][:, real])
        if more.get("places") is None:
            more["places"] = _and_one_more(real.expand(len(input_ids), -1))
        with self._shared(n_tokens):
            return self.model(
                _and_one_more(input_ids[:, real]), torch.cat((after[:, :1], after), dim=1), **more
            )

    @contextmanager
    def _shared(self, n_tokens: int) -> Iterator[None]:
        """While it lasts, the model's tokens are this process's part of windows."""
        self.model.elsewhere = Elsewhere(self.chunks, n_tokens)
        try:
            yield
        finally:
            self.model.elsewhere = None


class Chunks:
    """Which tokens of a window are whose: chunks r and 2n - 1 - r of 2n."""

    def __init__(self, group: Group) -> None:
        self.group = group

    def length(self, n_tokens: int) -> int:
        """Tokens of a chunk; the last chunks may reach beyond a window of ``n_tokens``."""
        return -(-n_tokens // (2 * self.group.size))

    def places(self, n_tokens: int, device: torch.device) -> Int[Tensor, " t"]:
        """The places of this process's tokens in a window of ``n_tokens``; beyond it they are padding."""
        chunks = torch.arange(2 * self.group.size * self.length(n_tokens), device=device)
        chunks = chunks.unflatten(0, (2 * self.group.size, -1))
        return torch.cat((chunks[self.group.rank], chunks[-1 - self.group.rank]))

    def in_order(self, parts: Tensor, dimension: int) -> Tensor:
        """Parts (n, …, t, …) of all processes as one (…, n t, …), the first token first."""
        early, late = parts.chunk(2, dim=dimension + 1)
        return torch.cat((*early.unbind(), *late.flip(0).unbind()), dim=dimension)

    def by_process(self, whole: Tensor, dimension: int) -> Tensor:
        """``in_order`` undone."""
        chunks = whole.chunk(2 * self.group.size, dim=dimension)
        count = self.group.size
        return torch.stack(
            [torch.cat((chunks[rank], chunks[-1 - rank]), dim=dimension) for rank in range(count)]
        )


class Elsewhere:
    """See ``towpath.model.elsewhere.Elsewhere``: tokens of this window lie in other processes."""

    def __init__(self, chunks: Chunks, n_tokens: int) -> None:
        self.chunks = chunks
        self.n_keys = n_tokens

    def places(self, device: torch.device) -> Int[Tensor, " t"]:
        """The places of the tokens that are here; padding stands where the last token does."""
        return self.chunks.places(self.n_keys, device).clamp(max=self.n_keys - 1)

    def whole(self, value: Int[Tensor, "B t"]) -> Int[Tensor, "B S"]:
        """A number a token, of all tokens in order."""
        return self.chunks.in_order(_gathered(value, self.chunks.group), 1)[:, : self.n_keys]

    def append(
        self, layer: int, keys: Float[Tensor, "B K t D"], values: Float[Tensor, "B K t D"]
    ) -> tuple[Float[Tensor, "B K T D"], Float[Tensor, "B K T D"]]:
        """Keys and values of all tokens in order; gradients come back to those that are here."""
        both = torch.stack((keys, values))  # one message instead of two
        whole = cast("Tensor", _Whole.apply(both, self.chunks))[:, :, :, : self.n_keys]
        return whole[0], whole[1]


class _Whole(torch.autograd.Function):
    """All tokens of (2, B, K, t, D); backward, the sum of what all processes say of those here."""

    @staticmethod
    def forward(context: Any, here: Tensor, chunks: Chunks) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        context.chunks = chunks
        return chunks.in_order(_gathered(here, chunks.group), 3)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        of_all = context.chunks.by_process(gradients[0], 3)
        here = torch.empty_like(of_all[0])
        dist.reduce_scatter(here, list(of_all))
        return here, None


def _gathered(here: Tensor, group: Group) -> Tensor:
    """``here`` of every process, by rank."""
    return torch.stack(group.gather(here.contiguous()))


def _and_one_more(values: Tensor) -> Tensor:
    return torch.cat((values, values[:, -1:]), dim=1)
