"""Installing towpath leaves an installed torch alone. Needs a package index."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
OLD_TORCH = "2.7.0"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment that holds a stand-in for an older torch."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    wheel = empty_wheel(folder, "torch", OLD_TORCH)
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", wheel], check=True)
    return python


def empty_wheel(folder: Path, name: str, version: str) -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    tag = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files = {
        f"{name}/__init__.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": tag,
    }
    with zipfile.ZipFile(path, "w") as wheel:
        for place, text in files.items():
            wheel.writestr(place, text)
        wheel.writestr(f"{info}/RECORD", "".join(f"{place},,\n" for place in [*files, f"{info}/RECORD"]))
    return path


def checkout_copy(folder: Path) -> Path:
    """What pip builds from, so that the checkout itself is not written to."""
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(CHECKOUT / name, folder)
    shutil.copytree(
        CHECKOUT / "src", folder / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__")
    )
    return folder


def planned(python: Path, project: Path, extras: str) -> dict[str, str]:
    """What pip would install, by name; nothing is installed."""
    report = project / "report.json"
    command = [python, "-m", "pip", "install", "-q", "--dry-run", "--report", report, f"{project}[{extras}]"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0 and any(
        sign in answer.stderr for sign in ("No matching distribution found", "Connection", "timed out")
    ):
        pytest.skip(f"no package index answers: {answer.stderr.strip().splitlines()[-1]}")
    assert answer.returncode == 0, answer.stderr
    items = json.loads(report.read_bytes())["install"]
    return {item["metadata"]["name"].lower(): item["metadata"]["version"] for item in items}


@pytest.mark.slow
def test_installing_with_every_light_extra_does_not_touch_an_older_torch(
    environment: Path, tmp_path: Path
) -> None:
    plan = planned(environment, checkout_copy(tmp_path), "samples,hf")
    assert {"towpath", "daft", "chitchat-dataset", "transformers"} <= plan.keys()
    assert "torch" not in plan
    assert not [name for name in plan if name.startswith("nvidia-")]
