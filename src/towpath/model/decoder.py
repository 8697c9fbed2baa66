"""The decoder: token ids in, logits or a loss out. One device, plain PyTorch, built of parts.

Knows nothing of text, tokenizers, precision or parallelism: ``train`` wraps those around it. Which
parts it has is decided in ``layouts.py``.

B batch, T tokens, C width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from towpath.core.errors import ModelError
from towpath.model.attention import Placement
from towpath.model.backends import BackendName, choose
from towpath.model.backends.case import Case
from towpath.model.cache import KeyValueCache, RollingCache
from towpath.model.config import DecoderConfig
from towpath.model.elsewhere import Elsewhere
from towpath.model.language_model import LanguageModel, Output
from towpath.model.language_model import build as build
from towpath.model.loss import chunked_cross_entropy
from towpath.model.patterns import Pattern, of_layer
from towpath.model.positions.base import Positions
from towpath.model.sight import Part, Sight

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

_WITH_WHOLE_MASKS = ("sdpa", "reference")
"""Backends that take all that a sight says as one tensor."""


@dataclass(frozen=True)
class Parts:
    """What a layout chooses."""

    positions: Positions
    blocks: Sequence[nn.Module]
    final_norm: nn.Module
    tied: bool
    """Whether the token embedding is the output head too."""
    initialise_: Callable[[Decoder, torch.Generator], None]
    """Sets every weight, drawing from the generator alone."""
    dropout: float = 0.0
    attention: Pattern | None = None
    """What tokens see. None: everything before them."""


class Decoder(LanguageModel):
    """A causal language model."""

    config: DecoderConfig
    positions: Positions
    head: nn.Linear | None

    def __init__(self, config: DecoderConfig, parts: Parts) -> None:
        super().__init__(config, parts.initialise_)
        self.positions = parts.positions
        self.patterns = [of_layer(parts.attention, layer) for layer in range(len(parts.blocks))]
        """What the tokens of each layer see, besides the past alone. None: all of it."""
        self.backend: BackendName | None = None
        """How attention is computed, for tests and comparisons. None: the best that can run."""
        self.elsewhere: Elsewhere | None = None
        """Where the other tokens of each window are, when they are not all given here."""
        self.dropout = nn.Dropout(parts.dropout)
        self.blocks = nn.ModuleList(parts.blocks)
        self.final_norm = parts.final_norm
        self.head = None if parts.tied else nn.Linear(config.n_embd, self.tokens.num_embeddings, bias=False)

    def forward(
        self,
        input_ids: Int[Tensor, "B T"],
        labels: Int[Tensor, "B T"] | None = None,
        *,
        cache: KeyValueCache | None = None,
        loss_tokens: float | Tensor | None = None,
        documents: Int[Tensor, "B T"] | None = None,
        places: Int[Tensor, "B T"] | None = None,
        prefix_tokens: Int[Tensor, " B"] | None = None,
    ) -> Output:
        """The loss when ``labels`` are given, else logits.

        ``labels[:, t]`` is predicted at ``t - 1``, as in transformers: usually they are ``input_ids``
        themselves, with -100 where nothing is to be learned. Windows may be ``n_positions + 1`` long,
        since nothing is predicted after the last token. The loss is summed over all labels and
        divided by ``loss_tokens``, or by their number when it is None: give the number of all targets
        of a step to accumulate its mean over several passes.

        ``documents`` numbers the document of each token of packed windows: tokens see none of another.
        ``places`` are positions of the tokens, where they don't follow each other;
        ``places_in_documents`` makes them start anew in each document. ``prefix_tokens`` says how many
        tokens each row begins with that see each other in both directions.

        Raises:
            ModelError: a token id beyond the vocabulary, more tokens than the context or cache holds,
                or ``documents``, ``places`` or ``prefix_tokens`` with a cache.
        """
        if labels is None:
            hidden = self.trunk(
                input_ids, cache, documents=documents, places=places, prefix_tokens=prefix_tokens
            )
            return Output(None, self.logits(hidden))
        hidden = self.trunk(
            input_ids[:, :-1],
            cache,
            documents=None if documents is None else documents[:, :-1],
            places=None if places is None else places[:, :-1],
            prefix_tokens=prefix_tokens,
        )
        loss = chunked_cross_entropy(
            hidden.flatten(0, 1),
            self.head_weight,
            labels[:, 1:].flatten(),
            loss_tokens=loss_tokens,
            product=self.head_product if self.training else None,
        )
        return Output(loss, None)

    def trunk(
        self,
        input_ids: Int[Tensor, "B T"],
        cache: KeyValueCache | None = None,
        *,
        documents: Int[Tensor, "B T"] | None = None,
        places: Int[Tensor, "B T"] | None = None,
        prefix_tokens: Int[Tensor, " B"] | None = None,
    ) -> Float[Tensor, "B T C"]:
        """Everything before the output head: the normalised state of every token; see ``forward``."""
        if cache is not None and not (documents is None and places is None and prefix_tokens is None):
            raise ModelError(
                "documents, places and prefix_tokens are for whole windows. Leave them out with a cache."
            )
        batch, n_tokens = input_ids.shape
        if cache is not None:
            cache.check_room(batch, n_tokens)
        if isinstance(cache, RollingCache):
            start, place = self._rolling_place(cache, n_tokens)
        else:
            start, place = self._place(cache, n_tokens, (documents, prefix_tokens), places)
        x = self.dropout(self.positions.add(self.embed(input_ids), start, places))
        for layer, block in enumerate(self.blocks):
            x = self.through(block, x, place, layer)
        if cache is not None:
            cache.advance(n_tokens)
        return self.final_norm(x)

    def logits(self, hidden: Float[Tensor, "*B C"]) -> Float[Tensor, "*B V"]:
        """Scores of every token of the vocabulary, from what ``trunk`` gave."""
        return F.linear(hidden, self.head_weight)

    def new_cache(self, batch: int, max_tokens: int) -> KeyValueCache:
        """An empty cache for ``batch`` rows of at most ``max_tokens`` tokens.

        Raises:
            ModelError: ``max_tokens`` is beyond the context.
        """
        self.check_context(max_tokens)
        config, weight = self.config, self.tokens.weight
        shape = (config.n_layer, batch, config.kv_heads, max_tokens, config.head_width)
        return KeyValueCache(shape, dtype=weight.dtype, device=weight.device)

    def new_rolling_cache(self, batch: int, sink_tokens: int, window_tokens: int) -> RollingCache:
        """An empty cache that keeps the first and the newest tokens, for texts without an end.

        Raises:
            ModelError: both together are beyond the context, or positions are added to embeddings.
        """
        if self.positions.adds:
            raise ModelError(
                "This model adds positions to its embeddings, so its tokens can't move to another position, "
                "as an endless text asks. Train one with positions.type = rope, alibi, t5 or none."
            )
        self.check_context(sink_tokens + window_tokens)
        config, weight = self.config, self.tokens.weight
        shape = (config.n_layer, batch, config.kv_heads, sink_tokens + window_tokens, config.head_width)
        return RollingCache(shape, sink_tokens=sink_tokens, dtype=weight.dtype, device=weight.device)

    def fill_(self) -> None:
        """See ``LanguageModel.fill_``."""
        self.positions.fill_()

    def _place(
        self,
        cache: KeyValueCache | None,
        n_tokens: int,
        grouping: tuple[Tensor | None, Tensor | None],
        places: Int[Tensor, "B T"] | None,
    ) -> tuple[int, Placement]:
        """Where new tokens begin, and what they see; ``grouping``: documents and prefix_tokens."""
        if self.elsewhere is not None:
            return 0, self._shared_place(self.elsewhere, grouping, places)
        start = 0 if cache is None else cache.n_tokens
        self.check_context(start + n_tokens)
        sights = self._sights(self._base_sight(n_tokens, *grouping), n_tokens, start + n_tokens)
        rotation = self.positions.rotation(start, n_tokens, places)
        return start, Placement(sights[0], rotation, cache, sights)

    def _shared_place(
        self, elsewhere: Elsewhere, grouping: tuple[Tensor | None, Tensor | None], places: Tensor | None
    ) -> Placement:
        """The same where tokens of the window lie elsewhere: what those here see of all."""
        documents, prefix_tokens = grouping
        here = elsewhere.places(self.device)  # (t)
        keys = torch.arange(elsewhere.n_keys, device=self.device)  # (S)
        of_all = None if documents is None else elsewhere.whole(documents)
        base = self._base_sight(len(keys), of_all, prefix_tokens)
        found: dict[Pattern | None, Sight] = {}
        for pattern in self.patterns:
            if pattern not in found:
                sight = replace(base, pattern=pattern)
                found[pattern] = sight.folded_to(Part(here, keys), self.tokens.weight.dtype, len(keys))
        sights = [found[pattern] for pattern in self.patterns]
        return Placement(sights[0], self.positions.rotation(0, len(here), places), elsewhere, sights)

    def _rolling_place(self, cache: RollingCache, n_tokens: int) -> tuple[int, Placement]:
        """The same for a cache whose tokens move: positions are those inside the cache."""
        places = cache.places(n_tokens)  # (S,)
        n_keys = len(places)
        start = n_keys - n_tokens
        if n_tokens > 1:  # nothing went yet, so all stand in order
            sights = self._sights(self._base_sight(n_tokens), n_tokens, n_keys)
        else:
            sights = [self._newest_sight(places, pattern) for pattern in self.patterns]
        turned = self.positions.rotation(start, n_tokens)
        return start, Placement(sights[0], turned, cache, sights, self.positions.rotation(0, n_keys, places))

    def _newest_sight(self, places: Int[Tensor, " S"], pattern: Pattern | None) -> Sight:
        """What the newest token sees of keys that stand at ``places``."""
        newest = torch.tensor([[len(places) - 1]], device=places.device)
        mask = None if pattern is None else pattern.sees(newest, places, len(places))
        bias = None
        if self.positions.biases_scores:
            bias = self.positions.at_distance(places - newest)
        return Sight(causal=False, mask=mask, bias=bias)

    def _base_sight(
        self, n_tokens: int, documents: Tensor | None = None, prefix_tokens: Tensor | None = None
    ) -> Sight:
        at_distance = self.positions.at_distance if self.positions.biases_scores else None
        return Sight(
            causal=prefix_tokens is None,
            mask=None if prefix_tokens is None else _past_or_prefix(n_tokens, prefix_tokens),
            documents=documents,
            at_distance=at_distance,
            backend=self.backend,
        )

    def _sights(self, base: Sight, n_queries: int, n_keys: int) -> list[Sight]:
        """What each layer sees, worked out once for all layers of a pattern."""
        found: dict[Pattern | None, Sight] = {}
        dropout = self.dropout.p if self.training else 0.0
        device, weights = self.device.type, self.tokens.weight.dtype
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weights
        case = Case(n_queries, n_keys, device, dtype, dropout, self.training)
        for pattern in self.patterns:
            if pattern not in found:
                sight = replace(base, pattern=pattern)
                if not sight.is_plain(n_queries, n_keys) and choose(sight, case).name in _WITH_WHOLE_MASKS:
                    sight = sight.folded(n_queries, n_keys, weights, self.device)
                found[pattern] = sight
        return [found[pattern] for pattern in self.patterns]


def _past_or_prefix(n_tokens: int, prefix_tokens: Int[Tensor, " B"]) -> Bool[Tensor, "B 1 T T"]:
    places = torch.arange(n_tokens, device=prefix_tokens.device)
    in_prefix = places < prefix_tokens.unsqueeze(1)  # (B, T)
    return ((places <= places.unsqueeze(1)) | in_prefix.unsqueeze(1)).unsqueeze(1)


class Block(nn.Module):
    """One layer: attention, then feed-forward, each on the normalised stream and added to it."""

    def __init__(
        self,
        attention: nn.Module,
        feed_forward: nn.Module,
        norm: Callable[[], nn.Module],
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.attention_norm, self.attention = norm(), attention
        self.feed_forward_norm, self.feed_forward = norm(), feed_forward
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "B T C"], place: Placement, layer: int) -> Float[Tensor, "B T C"]:
        """The stream after this block."""
        x = x + self.dropout(self.attention(self.attention_norm(x), place, layer))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
