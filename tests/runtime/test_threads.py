"""No process takes more threads than the user, the scheduler and the container allow."""

from __future__ import annotations

import math
import os

import pytest
import torch

from buttress.experiments.pool import run_all
from buttress.runtime import threads
from buttress.runtime.threads import allowed_threads, quota


@pytest.fixture
def free(monkeypatch):
    """A machine of 16 cores that nothing limits."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr(threads, "quota", lambda: math.inf)


def test_the_smallest_limit_counts_and_is_shared_by_the_jobs(free, monkeypatch):
    assert allowed_threads() == 16 and allowed_threads(jobs=3) == 5 and allowed_threads(jobs=99) == 1
    monkeypatch.setattr(torch, "get_num_threads", lambda: 12)
    assert allowed_threads() == 12
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(9)))
    assert allowed_threads() == 9
    monkeypatch.setattr(threads, "quota", lambda: 6.5)
    assert allowed_threads() == 6 and allowed_threads(jobs=2) == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "4,2")
    assert allowed_threads() == 4 and allowed_threads(jobs=2) == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert allowed_threads() == 6


def test_the_quota_of_every_group_above_counts(tmp_path):
    own = tmp_path / "own"
    own.write_text("0::/a/b\n")
    (tmp_path / "a/b").mkdir(parents=True)
    assert quota(tmp_path, own) == math.inf
    (tmp_path / "a/cpu.max").write_text("300000 100000\n")
    (tmp_path / "a/b/cpu.max").write_text("max 100000\n")
    assert quota(tmp_path, own) == 3
    (tmp_path / "a/b/cpu.max").write_text("50000 100000\n")
    assert quota(tmp_path, own) == 0.5
    assert quota(tmp_path, tmp_path / "no such file") == math.inf


def test_the_quota_of_the_first_version_counts(tmp_path):
    folder = tmp_path / "cpu/box"
    folder.mkdir(parents=True)
    (tmp_path / "own").write_text("4:cpu,cpuacct:/box\n")
    (folder / "cpu.cfs_period_us").write_text("100000")
    for written, cores in (("-1", math.inf), ("250000", 2.5)):
        (folder / "cpu.cfs_quota_us").write_text(written)
        assert quota(tmp_path, tmp_path / "own") == cores


def threads_there(*_):
    return torch.get_num_threads()


def test_the_processes_of_a_comparison_take_what_is_allowed(free, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    seen, failed = run_all(threads_there, {"run": ()}, 1, lambda *_: None, lambda *_: None)
    assert seen == {"run": 3} and not failed
