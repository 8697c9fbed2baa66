"""Compiles the kernels: each C++ file in a room's folder ``kernels`` becomes a library beside it.

They are plain C functions, loaded with ctypes (``towpath.core.native``); without a compiler the
package installs all the same and uses the Python that stands beside each kernel.
"""

from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

FLAGS = ["-std=c++17", "-O3", "-fno-exceptions", "-fno-rtti", "-fvisibility=hidden", "-Wall", "-Wextra"]


class BuildKernels(build_ext):
    """Libraries without a Python interface: there is no init function to export."""

    def get_export_symbols(self, ext: Extension) -> list[str]:
        """Nothing: the sources mark what they export."""
        return []


def threads(source: Path) -> list[str]:
    """The flag for a kernel that shares its work among threads."""
    return ["-fopenmp"] if "#pragma omp" in source.read_text() else []


def kernels() -> list[Extension]:
    """``_name`` for each ``name.cpp``."""
    return [
        Extension(
            ".".join([*source.parts[1:-1], f"_{source.stem}"]),
            [str(source)],
            depends=sorted(map(str, source.parent.glob("*.h"))),
            language="c++",
            extra_compile_args=[*FLAGS, *threads(source)],
            extra_link_args=threads(source),
            optional=True,
        )
        for source in sorted(Path("src/towpath").glob("*/kernels/*.cpp"))
    ]


setup(ext_modules=kernels(), cmdclass={"build_ext": BuildKernels})
