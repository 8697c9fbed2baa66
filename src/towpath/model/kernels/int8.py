"""Product of two matrices in 8-bit integers on a CPU with AVX2 (``int8.cpp``), quantised on the way.

Same codes, same sums and same numbers as quantising, multiplying and bringing back one after the other, to
the last bit. For processors without an instruction for 8-bit products (VNNI): where there is one torch's own
are faster, and elsewhere torch has a plain loop.
"""

from __future__ import annotations

import ctypes
import threading
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from towpath.core.native import library

if TYPE_CHECKING:
    from jaxtyping import Float

LARGEST = 63
"""Code of the largest number of a line; the instruction for 32 pairs of bytes has no room for more."""
PANEL_ROWS, PANEL_COLUMNS, STEP, RUN = 4, 16, 8, 8
"""As ROWS, COLUMNS, STEP and the longest run of the kernel."""
MOST_TERMS = (2**31 - 1) // (LARGEST * (LARGEST + 64))
"""Products whose sum is sure to fit 32 bits."""

_rooms = threading.local()


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
    left: Float[Tensor, "R K"],
    right: Float[Tensor, "K C"],
    bias: Float[Tensor, " C"] | None = None,
    out: Float[Tensor, "R C"] | None = None,
) -> Float[Tensor, "R C"]:
    """``left @ right + bias``, a scale for each row of the left and column of the right; see ``can_run``.

    ``out`` is contiguous room for it.
    """
    terms, threads = left.shape[1], torch.get_num_threads()
    factors = _Room(left, PANEL_ROWS, totals=True), _Room(right.T, PANEL_COLUMNS, totals=False)
    if out is None:
        out = left.new_empty(len(left), right.shape[1])
    room = torch.empty(threads, RUN * max(terms + STEP, *(room.lines for room in factors)), dtype=torch.uint8)
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

    def __init__(self, x: Float[Tensor, "N K"], panel_lines: int, *, totals: bool) -> None:
        self.x = x if 1 in x.stride() else x.contiguous()
        self.lines = _whole(len(x), panel_lines)
        self.codes = _kept("left" if totals else "right", self.lines * _whole(x.shape[1], STEP))
        self.scales = torch.empty(self.lines)
        self.totals = torch.empty(self.lines if totals else 0, dtype=torch.int32)

    @property
    def factor(self) -> _Factor:
        """As the kernel reads it."""
        starts = (x.data_ptr() if x.numel() else None for x in (self.codes, self.scales, self.totals))
        return _Factor(self.x.data_ptr(), len(self.x), *self.x.stride(), *starts)


def _kept(name: str, size_bytes: int) -> Tensor:
    """This thread's room of that name, the same in every call: new pages from the system take time."""
    room: Tensor | None = getattr(_rooms, name, None)
    if room is None or len(room) < size_bytes:
        room = torch.empty(size_bytes, dtype=torch.uint8)
        setattr(_rooms, name, room)
    return room


def _whole(count: int, size: int) -> int:
    """``count`` rounded up to a multiple of ``size``."""
    return -(-count // size) * size


class _Factor(ctypes.Structure):
    """``Factor`` of the kernel."""

    _fields_ = (
        ("numbers", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("lines", "along", "apart")),
        *((name, ctypes.c_void_p) for name in ("codes", "scales", "totals")),
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
