"""Runs that each have a pool of their own."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import subprocess
import sys
import time
from multiprocessing.managers import SyncManager

import pytest

from buttress.experiments.pool import _killed, run_apart, run_here
from buttress.runtime.system_errors import DiskFull


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
    assert "was killed" in failed["dead"] and "try fewer jobs or a smaller batch_size" in failed["dead"]
    assert sorted(told) == ["alive", "dead", "failing"]


def reporting(name: str, news: object) -> float:
    for step in range(5):
        news.put((name, step, 5))
        time.sleep(0.1)
    return 1.0


@pytest.mark.slow
def test_runs_go_on_though_the_process_that_hears_their_news_is_killed(monkeypatch):
    start, heard = SyncManager.start, {}

    def noted(self, *arguments):
        start(self, *arguments)
        heard["pid"] = self._process.pid

    def kill(run, step, total):
        if run == "deaf" and step == 0:
            os.kill(heard["pid"], signal.SIGKILL)

    monkeypatch.setattr(SyncManager, "start", noted)
    tasks = {name: (name,) for name in ("deaf", "alive")}
    assert run_apart(reporting, tasks, 1, kill, lambda *_: None) == ({"deaf": 1.0, "alive": 1.0}, {})


@pytest.mark.slow
@pytest.mark.parametrize("error", [EOFError, ConnectionResetError(104, "Connection reset by peer")])
def test_where_nothing_can_be_heard_from_the_first_the_run_is_told_as_lost(monkeypatch, error):
    def killed(self):
        raise error

    monkeypatch.setattr(SyncManager, "Queue", killed, raising=False)
    seconds, failed = run_apart(reporting, {"deaf": ("deaf",)}, 1, lambda *_: None, lambda *_: None)
    assert not seconds and failed["deaf"].startswith("its process was killed")


def test_a_script_without_a_guard_is_told_what_it_lacks(tmp_path):
    script = tmp_path / "compared.py"
    script.write_text(
        "import time\nfrom buttress.experiments.pool import run_all\n"
        "run_all(time.sleep, {f'run {i}': (0,) for i in range(9)}, 2, print, print)\n"
    )
    said = subprocess.run([sys.executable, str(script)], capture_output=True, text=True).stderr.splitlines()
    assert "below `if __name__ == '__main__':`" in said[-1] and len(said[-1]) < 400


def test_of_many_runs_that_are_lost_three_are_named():
    lost = _killed([f"run {i}" for i in range(9)])
    assert lost.startswith("a process was killed while run 0 and run 1 and run 2 and 6 other runs were under way")


def test_a_report_that_is_lost_ends_no_run():
    def deaf(run, step, total):
        raise BrokenPipeError(32, "Broken pipe")

    assert run_here(reporting, {"deaf": ("deaf",)}, deaf, lambda *_: None) == ({"deaf": 1.0}, {})


def test_a_full_disk_is_told_in_the_words_of_a_command_that_goes_on_by_itself(capsys):
    def full(error: OSError, news: object) -> float:
        raise error

    kept = DiskFull("runs/a: no space is left on the disk; no checkpoint had been made yet")
    errors = {"run": kept, "file": OSError(errno.ENOSPC, "No space left on device", "a.json"), "bare": OSError()}
    _, failed = run_here(full, {name: (error,) for name, error in errors.items()}, print, lambda *_: None)
    assert failed == {
        "run": f"{kept.found}; make room, and give the same command again",
        "file": "a.json: there is no room for more (No space left on device); make room, and give the same command "
        "again",
        "bare": "OSError",
    }
    assert str(pickle.loads(pickle.dumps(kept))) == f"{kept.found}; make room, and go on with --resume"
