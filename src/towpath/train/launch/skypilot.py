"""A task file for SkyPilot (``sky launch``, or ``sky jobs launch``, which starts it again elsewhere)."""

from __future__ import annotations

from typing import Any

from towpath.train.launch.job import Job, torchrun
from towpath.train.launch.yaml_text import yaml_text


def skypilot_task(job: Job) -> str:
    """The YAML of the task. The run file is in the working folder that SkyPilot copies."""
    resources: dict[str, Any] = {"disk_size": job.storage_gb}
    if job.gpus:
        resources["accelerators"] = f"{job.gpus}:{job.processes}"
    else:
        resources["cpus"] = f"{2 * job.processes}+"
    command = torchrun(job, '"$SKYPILOT_NODE_RANK"', '$(echo "$SKYPILOT_NODE_IPS" | head -n 1)')
    return yaml_text(
        {
            "name": job.name,
            "num_nodes": job.nodes,
            "resources": resources,
            "workdir": ".",
            "envs": {"TOWPATH_HOME": job.home},
            "setup": "pip install --no-input towpath\n",
            "run": f"{command} {job.training()}\n",
        }
    )
