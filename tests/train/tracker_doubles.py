"""Trackers that do what trackers do in bad hours; imported by the process that they live in."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Literal

from towpath.train.trackers import TrackedRun, Tracker, TrackerConfig


class Bad(TrackerConfig):
    type: Literal["bad"] = "bad"
    hangs: Literal["load", "open", "log", "close", "never"] = "never"
    raises: Literal["load", "open", "log", "never"] = "never"
    asks: bool = False

    def load(self) -> None:
        self.suffer("load")

    def open(self, run: TrackedRun) -> Tracker:
        if self.asks:
            run.remembered["answer"] = input("Your key? ")
        self.suffer("open")
        return _Sufferer(self)

    def suffer(self, where: str) -> None:
        if self.hangs == where:
            time.sleep(3600)
        if self.raises == where:
            raise OSError(f"no route to host in {where}")
        print("chatter that is no answer", file=sys.stdout)


class _Sufferer:
    def __init__(self, config: Bad) -> None:
        self.config = config

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self.config.suffer("log")

    def close(self) -> None:
        self.config.suffer("close")
