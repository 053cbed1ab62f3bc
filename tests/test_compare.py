"""A comparison's processes end with the one that started them, whatever ended it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SCRIPT = """
import sys
from dataclasses import replace
from buttress.baseline import baseline
from buttress.compare import compare
from buttress.data.linear_gaussian import LinearGaussian

if __name__ == "__main__":
    data = LinearGaussian(dim=4, n=300)
    recipe = baseline(data, data.open().spec)
    recipe = replace(recipe, training=replace(recipe.training, steps=10**7, checkpoint_every=100))
    compare(recipe, ["none"], sys.argv[1], seeds=2, jobs=2)
"""


def holders(folder: Path) -> list[Path]:
    """Processes that hold a file of the folder open."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            opened = [os.readlink(fd) for fd in (process / "fd").iterdir()]
        except OSError:
            continue
        if any(name.startswith(str(folder)) for name in opened):
            found.append(process)
    return found


def over(process: Path) -> bool:
    """Whether it has ended, though nobody may have asked for its exit status yet."""
    try:
        return process.joinpath("stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_until(condition, seconds: float) -> bool:
    """Whether the condition came true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.2)
    return False


def test_no_process_outlives_a_comparison_that_was_killed(tmp_path):
    script, out = tmp_path / "script.py", tmp_path / "out"
    script.write_text(SCRIPT)
    parent = subprocess.Popen([sys.executable, str(script), str(out)])
    try:
        assert wait_until(lambda: len(list(out.glob("none/*/weights.safetensors"))) == 2, 120)
        workers = [w for w in holders(out) if w.name != str(parent.pid)]
        assert len(workers) >= 2
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert wait_until(lambda: all(map(over, workers)), 60)
