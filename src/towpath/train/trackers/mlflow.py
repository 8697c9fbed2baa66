"""MLflow: a run of an experiment, on a server or in files."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, Literal

from towpath.core.errors import need
from towpath.train.trackers import TrackedRun, Tracker, TrackerConfig


class MLflowConfig(TrackerConfig):
    """A run of MLflow."""

    type: Literal["mlflow"] = "mlflow"
    experiment: str = "towpath"
    """The experiment that the run belongs to; made when it is missing."""
    tracking_uri: str | None = None
    """Server or folder; unset: MLFLOW_TRACKING_URI, else ``mlruns`` in the stage's folder of trackers."""

    def load(self) -> None:
        """See ``TrackerConfig.load``."""
        need("mlflow.tracking", install="towpath[mlflow]", why="train.trackers (mlflow)")

    def open(self, run: TrackedRun) -> Tracker:
        """See ``TrackerConfig.open``: the server's id of the run is remembered for the next start."""
        from mlflow.tracking import MlflowClient

        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        place = self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or (run.folder / "mlruns").as_uri()
        client = MlflowClient(place)
        if "run" not in run.remembered:
            found = client.get_experiment_by_name(self.experiment)
            experiment = found.experiment_id if found else client.create_experiment(self.experiment)
            made = client.create_run(experiment, run_name=run.name)
            run.remembered["run"] = made.info.run_id
        else:
            client.update_run(run.remembered["run"], status="RUNNING")
        return _Run(client, run.remembered["run"])


class _Run:
    def __init__(self, client: Any, run: str) -> None:
        self.client = client
        self.run = run

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        rows = [Metric(name.replace(":", "_"), value, now, step) for name, value in metrics.items()]
        self.client.log_batch(self.run, metrics=rows)

    def close(self) -> None:
        self.client.set_terminated(self.run)
