"""The mixture: shares of sources from a composition, and what a budget takes of each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from towpath.core.errors import ConfigError
from towpath.data.mixture import COMPOSITION, MixtureConfig, SourceSize, absent, portions, source_weights

WEB, NEWS = SourceSize("web", "web", 1.0, 6_000), SourceSize("news", "web", 1.0, 2_000)
BOOKS, CODE = SourceSize("books", "books", 1.0, 1_000), SourceSize("code", "code", 1.0, 500)


def test_the_default_composition_is_the_specifications() -> None:
    assert list(COMPOSITION.values()) == [0.60, 0.15, 0.10, 0.10, 0.05]
    assert MixtureConfig().composition == COMPOSITION


def test_without_a_mixture_the_weights_are_the_shares() -> None:
    sources = [SourceSize("a", "web", 3.0, 10), SourceSize("b", "web", 1.0, 10_000)]
    assert source_weights(sources, None) == {"a": 0.75, "b": 0.25}


def test_a_category_is_divided_by_size_and_weight() -> None:
    composition = MixtureConfig(composition={"web": 0.8, "books": 0.2})
    assert source_weights([WEB, NEWS, BOOKS], composition) == pytest.approx(
        {"web": 0.6, "news": 0.2, "books": 0.2}
    )
    doubled = SourceSize("news", "web", 3.0, 2_000)
    assert source_weights([WEB, doubled, BOOKS], composition) == pytest.approx(
        {"web": 0.4, "news": 0.4, "books": 0.2}
    )


def test_absent_categories_give_their_share_to_the_others_in_proportion() -> None:
    shares = source_weights([WEB, BOOKS], MixtureConfig())
    assert shares == pytest.approx({"web": 0.8, "books": 0.2})
    assert absent([WEB, BOOKS], MixtureConfig()) == ["academic", "code", "conversation"]


@given(
    st.lists(
        st.tuples(st.sampled_from(list(COMPOSITION)), st.floats(0.1, 10), st.integers(1, 10**12)), min_size=1
    )
)
def test_every_category_that_has_text_gets_its_share(rows: list[tuple[str, float, int]]) -> None:
    sources = [SourceSize(str(number), *row) for number, row in enumerate(rows)]
    shares = source_weights(sources, MixtureConfig())
    present = {source.category for source in sources}
    whole = sum(COMPOSITION[name] for name in present)
    for name in present:
        mine = sum(shares[source.name] for source in sources if source.category == name)
        assert mine == pytest.approx(COMPOSITION[name] / whole)


def test_a_source_that_cant_fill_its_share_is_named_with_its_passes() -> None:
    mixture = MixtureConfig(composition={"web": 0.5, "code": 0.5})
    rows = portions([WEB, CODE], source_weights([WEB, CODE], mixture), mixture, 10_000)
    assert [row.epochs for row in rows] == pytest.approx([5_000 / 6_000, 10.0])
    assert rows[0].warning is None
    assert rows[1].warning is not None
    assert "code can't fill its share: 5,000 tokens are wanted of 500, 10.0 passes" in rows[1].warning


def test_a_category_outside_the_composition_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'books'"):
        source_weights([SourceSize("x", "book", 1.0, 1)], MixtureConfig())


@pytest.mark.parametrize("composition", [{"web": -1.0}, {"web": 0.0}, {"web": float("inf")}, {}])
def test_impossible_compositions_are_refused(composition: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        MixtureConfig(composition=composition)
