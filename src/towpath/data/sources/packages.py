"""Files inside installed packages, which the sample sources read. Nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

from towpath.core.errors import DataError, need


def packaged_file(package: str, name: str, source: str) -> Path:
    """The path of ``name`` inside ``package``; ``source`` is the source that asks.

    Raises:
        MissingPackageError: the package is not installed.
        DataError: it is, without that file.
    """
    origin = need(package, install="towpath[samples]", why=f"the source {source!r}").__file__
    path = Path(origin or "").parent / name
    if not path.exists():
        raise DataError(
            f"The source {source!r} found no {name} in the installed {package} ({path.parent}). "
            'Install the version it was written for: pip install --force-reinstall "towpath[samples]"'
        )
    return path
