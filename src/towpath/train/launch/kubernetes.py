"""Kubernetes: an indexed Job, one pod a machine, with the run file and a volume that all pods share."""

from __future__ import annotations

from typing import Any

from towpath.train.launch.job import NOTICE_SECONDS, PORT, Job, torchrun
from towpath.train.launch.yaml_text import yaml_text

_RUN_FOLDER = "/run-file"
_HOME = "/work"


def kubernetes_job(job: Job, run_toml: str) -> str:
    """The YAML of four objects: volume claim, run file, service for the pods' names, job."""
    objects = (_claim(job), _run_file(job, run_toml), _service(job), _job(job))
    return "---\n".join(yaml_text(one) for one in objects)


def _claim(job: Job) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": f"{job.name}-work"},
        "spec": {
            "accessModes": ["ReadWriteMany" if job.nodes > 1 else "ReadWriteOnce"],
            "resources": {"requests": {"storage": f"{job.storage_gb}Gi"}},
        },
    }


def _run_file(job: Job, run_toml: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{job.name}-run"},
        "data": {"run.toml": run_toml},
    }


def _service(job: Job) -> dict[str, Any]:
    """So that the first pod has a name: ``job-0.job``."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": job.name},
        "spec": {
            "clusterIP": "None",
            "selector": {"job-name": job.name},
            "ports": [{"name": "rendezvous", "port": PORT}],
        },
    }


def _job(job: Job) -> dict[str, Any]:
    pod = {
        "subdomain": job.name,
        "restartPolicy": "OnFailure",
        "terminationGracePeriodSeconds": NOTICE_SECONDS,
        "containers": [_container(job)],
        "volumes": [
            {"name": "work", "persistentVolumeClaim": {"claimName": f"{job.name}-work"}},
            {"name": "run", "configMap": {"name": f"{job.name}-run"}},
            {"name": "memory", "emptyDir": {"medium": "Memory"}},
        ],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job.name},
        "spec": {
            "completions": job.nodes,
            "parallelism": job.nodes,
            "completionMode": "Indexed",
            "backoffLimit": job.max_restarts * job.nodes,
            "activeDeadlineSeconds": job.hours * 3600,
            "template": {"spec": pod},
        },
    }


def _container(job: Job) -> dict[str, Any]:
    command = torchrun(job, '"$JOB_COMPLETION_INDEX"', f"{job.name}-0.{job.name}")
    limits: dict[str, Any] = {"nvidia.com/gpu": job.processes} if job.gpus else {"cpu": 2 * job.processes}
    return {
        "name": "train",
        "image": job.image,
        "command": ["/bin/sh", "-c", f"exec {command} {job.training(f'{_RUN_FOLDER}/run.toml')}"],
        "env": [{"name": "TOWPATH_HOME", "value": _HOME}],
        "resources": {"limits": limits},
        "volumeMounts": [
            {"name": "work", "mountPath": _HOME},
            {"name": "run", "mountPath": _RUN_FOLDER},
            {"name": "memory", "mountPath": "/dev/shm"},
        ],
    }
