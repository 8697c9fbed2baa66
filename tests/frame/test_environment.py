"""``.ci/environment`` on a stand-in project that installs without a package index."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
TOOLS = ("cat", "cksum", "dirname", "flock", "grep", "mkdir", "rm", "sh", "touch")

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""

# An editable wheel with a module, a command and the extras. It waits while the file "slow" is there.
BACKEND = """
import time, zipfile
from pathlib import Path

METADATA = "Metadata-Version: 2.1\\nName: towpath\\nVersion: 0\\nProvides-Extra: dev\\n"
METADATA += "Provides-Extra: samples\\n"
WHEEL = "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"

def get_requires_for_build_editable(config_settings=None):
    return []

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    Path("building").touch()
    while Path("slow").exists():
        time.sleep(0.05)
    name = "towpath-0-py3-none-any.whl"
    files = {
        "towpath.py": "",
        "towpath-0.dist-info/entry_points.txt": "[console_scripts]\\ntowpath = towpath:main\\n",
        "towpath-0.dist-info/METADATA": METADATA,
        "towpath-0.dist-info/WHEEL": WHEEL,
    }
    with zipfile.ZipFile(Path(wheel_directory) / name, "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
        rows = [*files, "towpath-0.dist-info/RECORD"]
        wheel.writestr("towpath-0.dist-info/RECORD", "".join(row + ",,\\n" for row in rows))
    return name
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / ".ci").mkdir(parents=True)
    shutil.copy(CHECKOUT / ".ci" / "environment", folder / ".ci")
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "backend.py").write_text(BACKEND)
    (folder / "constraints.txt").write_text("numpy==2.4.6\ntorch==2.13.0\n")
    return folder


def surroundings(**changes: str) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "PYTHON"))
    }
    return kept | {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PYTHON": sys.executable} | changes


def setup(project: Path, extras: str = "samples", **changes: str) -> subprocess.CompletedProcess[str]:
    command = [str(project / ".ci" / "environment"), extras]
    return subprocess.run(command, env=surroundings(**changes), capture_output=True, text=True, check=False)


def start_setup(project: Path) -> subprocess.Popen[str]:
    command = [str(project / ".ci" / "environment"), "samples"]
    return subprocess.Popen(
        command, env=surroundings(), stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.02)


def is_ready(project: Path) -> bool:
    python = project / ".venv" / "bin" / "python"
    imports = subprocess.run([python, "-c", "import towpath"], check=False).returncode == 0
    return imports and (project / ".venv" / "bin" / "towpath").exists() and setup(project).stderr == ""


def tools_only(folder: Path) -> Path:
    folder.mkdir()
    for tool in TOOLS:
        if found := shutil.which(tool):
            (folder / tool).symlink_to(found)
    return folder


def test_without_any_python_it_says_what_to_install(project: Path, tmp_path: Path) -> None:
    answer = setup(project, PATH=str(tools_only(tmp_path / "tools")), PYTHON="")
    assert answer.returncode == 1
    assert "Python 3.11, 3.12 or 3.13 is needed, and none was found." in answer.stderr
    assert "apt-get install python3 python3-venv" in answer.stderr
    assert not (project / ".venv").exists()


def test_a_python_without_the_venv_module_names_the_debian_package(project: Path, tmp_path: Path) -> None:
    tools = tools_only(tmp_path / "tools")
    lame = tools / "python3"
    lame.write_text(f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1 ;; esac\nexec {sys.executable} "$@"\n')
    lame.chmod(0o755)
    answer = setup(project, PATH=str(tools), PYTHON="")
    assert answer.returncode == 1
    assert f"apt-get install python3.{sys.version_info.minor}-venv" in answer.stderr
    assert not (project / ".venv").exists()


def test_a_python_that_is_too_old_is_refused_by_name(project: Path, tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    answer = setup(project, PYTHON=str(old))
    assert answer.returncode == 1
    assert f"PYTHON={old} is not Python 3.11 or newer." in answer.stderr


def test_unknown_extras_and_installers_are_refused(project: Path) -> None:
    assert "there are: samples, dev" in setup(project, "all").stderr
    assert "there are: pip, uv" in setup(project, INSTALLER="conda").stderr


@pytest.mark.slow
def test_a_second_call_installs_nothing_until_the_pins_change(project: Path) -> None:
    first = setup(project, "dev")  # which contains the samples, asked for from here on
    assert first.returncode == 0, first.stderr
    assert is_ready(project)
    kept = project / ".venv" / "kept"
    kept.touch()
    (project / "pyproject.toml").touch()
    assert setup(project).stderr == ""
    (project / "constraints.txt").write_text("numpy==2.4.5\ntorch==2.13.0\n")
    assert "installing towpath[samples]" in setup(project).stderr
    assert kept.exists()
    assert setup(project).stderr == ""


@pytest.mark.slow
def test_an_installation_killed_half_way_is_made_again(project: Path) -> None:
    (project / "slow").touch()
    killed = start_setup(project)
    wait_for(project / "building")
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    (project / "slow").unlink()
    canary = project / ".venv" / "half-unpacked"
    canary.touch()
    again = setup(project)
    assert again.returncode == 0, again.stderr
    assert "unfinished; it is made again" in again.stderr
    assert not canary.exists()
    assert is_ready(project)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["empty folder", "no interpreter"])
def test_a_broken_environment_is_made_again(project: Path, damage: str) -> None:
    venv = project / ".venv"
    if damage == "empty folder":
        venv.mkdir()
    else:
        assert setup(project).returncode == 0
        (venv / "bin" / "python").unlink()
    again = setup(project)
    assert again.returncode == 0, again.stderr
    assert "no working interpreter; it is made again" in again.stderr
    assert is_ready(project)


@pytest.mark.slow
def test_a_moved_checkout_gets_a_new_environment(project: Path) -> None:
    assert setup(project).returncode == 0
    moved = project.with_name("moved")
    project.rename(moved)
    assert f"was made for {project}; it is made again" in setup(moved).stderr
    assert is_ready(moved)


@pytest.mark.slow
def test_a_persons_own_environment_is_kept_and_so_is_its_torch(project: Path) -> None:
    venv = project / ".venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    (site_packages,) = (venv / "lib").glob("python*/site-packages")
    (site_packages / "torch-2.7.0.dist-info").mkdir()
    (site_packages / "torch-2.7.0.dist-info" / "METADATA").write_text("Name: torch\nVersion: 2.7.0\n")
    answer = setup(project)
    assert answer.returncode == 0, answer.stderr
    assert (venv / "constraints.txt").read_text() == "numpy==2.4.6\n"
    assert (site_packages / "torch-2.7.0.dist-info").exists()
    assert is_ready(project)


@pytest.mark.slow
def test_of_two_at_once_one_waits_and_one_installs(project: Path) -> None:
    (project / "slow").touch()
    first = start_setup(project)
    wait_for(project / "building")
    second = start_setup(project)
    assert second.stderr is not None
    assert "waiting for another make" in second.stderr.readline()
    (project / "slow").unlink()
    assert "ready" in first.communicate(timeout=60)[1]
    assert second.communicate(timeout=60)[1] == ""
    assert is_ready(project)
