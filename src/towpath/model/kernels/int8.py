"""Product of two matrices in 8-bit integers on a CPU with AVX2 (``int8.cpp``), quantised on the way.

Same codes, same sums and same numbers as quantising, multiplying and bringing back one after the other, to
the last bit. For processors without an instruction for 8-bit products (VNNI): where there is one torch's own
are faster, and elsewhere torch has a plain loop.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from towpath.core.native import library

if TYPE_CHECKING:
    from jaxtyping import Float

PANEL_ROWS, PANEL_COLUMNS = 6, 16
"""As ROWS and COLUMNS of the kernel."""
MOST_TERMS = (2**31 - 1) // 127**2
"""Products whose sum is sure to fit 32 bits."""


def can_run(left: Tensor, right: Tensor, bias: Tensor | None = None) -> bool:
    """Whether ``product`` takes these here."""
    kernel = _kernel()
    return (
        kernel is not None
        and all(_is_plain(x) for x in (left, right, bias) if x is not None)
        and 0 < left.shape[1] <= MOST_TERMS
        and bool(kernel.int8_here())
        and not torch.cpu._is_vnni_supported()
        and not torch.compiler.is_compiling()
    )


def _is_plain(x: Tensor) -> bool:
    """In this process's memory, and neither a part of something nor without numbers."""
    return type(x) in (Tensor, nn.Parameter) and x.device.type == "cpu" and x.dtype == torch.float32


def product(
    left: Float[Tensor, "R K"], right: Float[Tensor, "K C"], bias: Float[Tensor, " C"] | None = None
) -> Float[Tensor, "R C"]:
    """``left @ right + bias``, a scale for each row of the left and column of the right; see ``can_run``."""
    terms, threads = left.shape[1], torch.get_num_threads()
    factors = _Room(left, PANEL_ROWS), _Room(right.T, PANEL_COLUMNS)
    out = left.new_empty(len(left), right.shape[1])
    room = torch.empty(threads, 2 * max(terms + 1, *(room.lines for room in factors)), dtype=torch.int16)
    added = None if bias is None else bias.contiguous()
    call = _Call(terms, threads, *(one.factor for one in factors), out=out.data_ptr())
    call.bias = None if added is None else added.data_ptr()
    call.room, call.room_size = room.data_ptr(), room.shape[1]
    kernel = _kernel()
    assert kernel is not None
    kernel.int8_product(ctypes.byref(call))
    return out


class _Room:
    """A factor's lines, and place for their codes and scales."""

    def __init__(self, x: Float[Tensor, "N K"], panel_lines: int) -> None:
        self.x = x if 1 in x.stride() else x.contiguous()
        self.lines = -(-len(x) // panel_lines) * panel_lines
        self.codes = torch.empty(self.lines, x.shape[1] + x.shape[1] % 2, dtype=torch.int16)
        self.scales = torch.empty(self.lines)

    @property
    def factor(self) -> _Factor:
        """As the kernel reads it."""
        starts = (tensor.data_ptr() for tensor in (self.codes, self.scales))
        return _Factor(self.x.data_ptr(), len(self.x), *self.x.stride(), *starts)


class _Factor(ctypes.Structure):
    """``Factor`` of the kernel."""

    _fields_ = (
        ("numbers", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("lines", "along", "apart")),
        ("codes", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
    )


class _Call(ctypes.Structure):
    """``Call`` of the kernel."""

    _fields_ = (
        ("terms", ctypes.c_int64),
        ("threads", ctypes.c_int64),
        ("left", _Factor),
        ("right", _Factor),
        ("bias", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("room", ctypes.c_void_p),
        ("room_size", ctypes.c_int64),
    )


def _kernel() -> ctypes.CDLL | None:
    return library(__package__ or "", "int8")
