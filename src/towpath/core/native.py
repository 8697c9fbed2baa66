"""Kernels: small C++ functions over Arrow buffers, loaded with ctypes, which frees the GIL.

``library("towpath.data.kernels", "minhash")`` is the compiled ``minhash.cpp`` of that folder, or None
where the package was installed without a compiler; then the Python beside it takes its place, and
one line says so.
``TOWPATH_KERNELS=off`` asks for that Python (tests compare the two).
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

import numpy as np

SWITCH = "TOWPATH_KERNELS"


@cache
def library(package: str, name: str) -> ctypes.CDLL | None:
    """The compiled ``name.cpp`` of ``package``; None when there is none or it is switched off."""
    if os.environ.get(SWITCH) == "off":
        return None
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for suffix in EXTENSION_SUFFIXES:
            path = Path(folder) / f"_{name}{suffix}"
            if path.exists():
                return ctypes.CDLL(str(path))
    _say_once(package)
    return None


@cache
def _say_once(package: str) -> None:
    print(_MISSING.format(package=package), file=sys.stderr)


_MISSING = (
    "towpath: {package} is not compiled, so slower Python does its work. To compile it, install a C++ "
    "compiler (Debian, Ubuntu: apt-get install g++) and install towpath again."
)


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    """Where ``array`` starts in memory, for a kernel. The array must be contiguous and outlive the call."""
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)
