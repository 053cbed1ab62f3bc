"""Runs that each have a pool of their own."""

from __future__ import annotations

import os
import signal

import pytest

from buttress.experiments.pool import run_apart


def half_dead(name: str, news: object) -> float:
    if name == "dead":
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "failing":
        raise ValueError("on purpose")
    return 1.0


@pytest.mark.slow
def test_a_process_that_is_killed_loses_its_run_alone():
    told: list[str] = []
    tasks = {name: (name,) for name in ("dead", "alive", "failing")}
    seconds, failed = run_apart(half_dead, tasks, 2, lambda *_: None, lambda run, how: told.append(run))
    assert seconds == {"alive": 1.0} and list(failed) == ["dead", "failing"] and failed["failing"] == "on purpose"
    assert "was killed" in failed["dead"] and sorted(told) == ["alive", "dead", "failing"]
