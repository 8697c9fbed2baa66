from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from towpath.model import int8
from towpath.model.kernels import int8 as kernel

SHAPES = ((1, 1, 1), (6, 16, 16), (7, 5, 17), (13, 128, 96), (100, 33, 50), (64, 301, 48))


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)
    if not kernel.can_run(torch.ones(1, 1), torch.ones(1, 1)):
        pytest.skip("the kernel is not compiled here, or this processor has no AVX2")


def layouts(rows: int, columns: int, seed: int) -> list[Tensor]:
    """The same numbers row after row, column after column, with gaps, and neither."""
    x = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    x[0] *= 1e-3
    wide = torch.zeros(rows, columns + 3)
    wide[:, :columns] = x
    sparse = torch.zeros(2 * rows, 2 * columns)[::2, ::2]
    return [x, x.T.contiguous().T, wide[:, :columns], sparse.copy_(x)]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_kernel_gives_the_bits_of_torchs_integers(shape: tuple[int, int, int], threads: int) -> None:
    rows, terms, columns = shape
    lefts, rights = layouts(rows, terms, 0), layouts(terms, columns, 1)
    expected = int8.step_by_step(lefts[0], rights[0], largest=kernel.LARGEST)
    bias = torch.randn(columns)
    for left in lefts:
        for right in rights:
            assert torch.equal(kernel.product(left, right), expected)
            assert torch.equal(kernel.product(left, right, bias), expected + bias)


def test_halves_are_rounded_as_torch_rounds() -> None:
    left = torch.tensor([[63.0, 0.5, 1.5, 2.5, -0.5, -1.5, -62.5]])
    same = 63 * torch.eye(7)  # of scale 1
    assert torch.equal(kernel.product(left, same), 63 * left.round())
    assert torch.equal(kernel.product(same, left.T).T, 63 * left.round())


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_stays_so(bad: float) -> None:
    x = torch.randn(20, 30)
    x[3, 4] = bad
    for left in (x, x.T.contiguous().T):
        out = kernel.product(left, torch.randn(30, 8))
        assert not out[3].isfinite().any()
        assert out[:3].isfinite().all()
    for right in (x, x.T.contiguous().T):
        out = kernel.product(torch.randn(8, 20), right)
        assert not out[:, 4].isfinite().any()
        assert out[:, 5:].isfinite().all()


def test_the_largest_sum_that_fits_is_exact() -> None:
    left = torch.full((1, kernel.MOST_TERMS), 63.0)
    assert kernel.product(left, left.T).item() == float(torch.tensor(kernel.MOST_TERMS * 63**2).float())
    assert kernel.product(-left, left.T).item() == -kernel.product(left, left.T).item()
    assert not kernel.can_run(torch.ones(1, kernel.MOST_TERMS + 1), torch.ones(kernel.MOST_TERMS + 1, 1))


def test_what_is_not_plain_and_a_processor_with_vnni_are_left_to_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = torch.ones(2, 2)
    assert not kernel.can_run(x.bfloat16(), x.bfloat16())
    assert not kernel.can_run(x, x, x[0].double())
    assert not kernel.can_run(torch.ones(3, 0), torch.ones(0, 2))
    with FakeTensorMode() as mode:
        assert not kernel.can_run(mode.from_tensor(x), mode.from_tensor(x))
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True)
    assert not kernel.can_run(x, x)


def test_no_rows_give_no_rows() -> None:
    assert kernel.product(torch.ones(0, 5), torch.ones(5, 3)).shape == (0, 3)
