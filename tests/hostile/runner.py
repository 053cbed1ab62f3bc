"""Tries inputs, each in a process of its own that began as a copy of this one, and judges how the command ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .case import QUICK, Case
from .run_cases import DATA

SECONDS = 20.0
"""Longest that a command may take of a core: accepted input is trained on and diagnosed within it."""
ASLEEP = 15.0
"""Longest that it may wait without taking any, as one does who reads from a pipe."""
MEMORY = 3 * 2**30
"""Bytes that it may take beyond what the copy began with."""
LONGEST = 3000
"""Characters of a message."""
KNOWN = ("buttress: ", "data: ", "model: ", "latent: ", "training: ", "report: ", "diagnosing", "drawing")


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Args:
        name: Of the case.
        kind: "accepted", "refused", "unclear" (code 2, but no one sentence), "traceback", "crash" or "hang".
        said: The end of what came on stderr.
        seconds: That it took of a core.
    """

    name: str
    kind: str
    said: str
    seconds: float


GOOD_RUNS = {**DATA, "narrow": "narrow.npy"}
"""Kind of a good run -> its data."""


@contextlib.contextmanager
def good_runs(kinds: Iterable[str] = GOOD_RUNS) -> Iterator[Path]:
    """A folder of small good runs: a table, text, codes of pictures, a narrow table; made in processes of their own."""
    from . import pictures, texts
    from .arrays import GOOD

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data").mkdir()
        (folder / "data/table.csv").write_bytes(texts.ROWS)
        (folder / "data/text.txt").write_bytes(texts.LINES)
        import numpy as np

        np.save(folder / "data/narrow.npy", GOOD[:, :2])
        pictures.in_folder(lambda path: None, "x.png")(folder / "data/pictures")
        small = ["--data.held_out", "0.3"]
        remedies = {"codes": ["--remedies", "vector_quantized:codes=8", "--encoder", "conv", "--decoder", "conv"]}
        for kind in kinds:
            words = [
                "train",
                str(folder / "data" / GOOD_RUNS[kind]),
                *QUICK[:-1],
                str(folder / kind),
                *small,
                *remedies.get(kind, []),
            ]
            outcome = attempt(Case(f"good/{kind}", lambda runs, w=words: w), folder, seconds=60)
            if outcome.kind != "accepted":
                raise RuntimeError(f"the good run of {kind} failed: {outcome}")
        yield folder


def attempt(case: Case, runs: Path, seconds: float = SECONDS) -> Outcome:
    """Try one case."""
    (outcome,) = attempts([case], runs, jobs=1, seconds=seconds)
    return outcome


def attempts(cases: Iterable[Case], runs: Path, jobs: int, seconds: float = SECONDS) -> Iterator[Outcome]:
    """Try cases, ``jobs`` at a time, and give their outcomes as they end."""
    waiting = iter(cases)
    alive: dict[int, tuple[Case, Path, Clock, int]] = {}
    while True:
        while len(alive) < jobs and (case := next(waiting, None)) is not None:
            place = Path(tempfile.mkdtemp())
            reading, writing = _pipe()
            pid = _begin(case, place, runs, writing)
            os.close(writing)
            alive[pid] = (case, place, Clock(pid), reading)
        if not alive:
            return
        time.sleep(0.02)
        for pid, (case, place, clock, reading) in list(alive.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            if not done and not clock.over(seconds):
                continue
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)  # and whatever it started
            if not done:
                os.waitpid(pid, 0)
            del alive[pid]
            yield _judged(case, place, status if done else None, clock.taken, _read(reading))
            shutil.rmtree(place, ignore_errors=True)


class Clock:
    """What a process has taken of a core, since other work on the machine says nothing about it."""

    def __init__(self, pid: int) -> None:
        self.path, self.taken, self.since = Path(f"/proc/{pid}/stat"), 0.0, time.monotonic()

    def over(self, seconds: float) -> bool:
        """Whether it has taken too much, or has long been waiting."""
        fields = self.path.read_text().rpartition(")")[2].split()
        taken = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        if taken > self.taken or fields[0] == "R":
            self.taken, self.since = taken, time.monotonic()
        return self.taken > seconds or time.monotonic() - self.since > ASLEEP


def _pipe() -> tuple[int, int]:
    """What a command says goes through a pipe, which no limit on files touches; a full one is not waited for."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 2**20)
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    return reading, writing


def _read(reading: int) -> str:
    try:
        return os.read(reading, 2**20).decode(errors="replace").strip()
    except BlockingIOError:
        return ""
    finally:
        os.close(reading)


def _begin(case: Case, place: Path, runs: Path, writing: int) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    if pid := os.fork():
        return pid
    code = 99
    try:
        os.setpgid(0, 0)
        code = _within(case, place, runs, writing)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 98
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _within(case: Case, place: Path, runs: Path, writing: int) -> int:
    """In the copy: make the files, bound the memory, run the command."""
    from buttress.cli.main import main

    work = place / "work"
    work.mkdir()
    os.chdir(work)
    words = case.make(runs)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(0, 1)
    os.dup2(writing, 2)
    # in a test, it is the one that pytest captures
    sys.stderr = os.fdopen(2, "w", closefd=False, errors="backslashreplace")
    os.environ["BUTTRESS_CACHE"] = str(place / "cache")
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    return main(words)


def _judged(case: Case, place: Path, status: int | None, taken: float, said: str) -> Outcome:
    ran = any((place / "work" / name).exists() for name in ("ran", "unpickled"))
    return Outcome(case.name, "crash" if ran else _kind(status, said), said[-LONGEST:], taken)


def _kind(status: int | None, said: str) -> str:
    if status is None:
        return "hang"
    if os.WIFSIGNALED(status):
        return "crash"
    code = os.WEXITSTATUS(status)
    if code not in (0, 2) or "Traceback" in said:
        return "traceback"
    if code == 0:
        return "accepted"
    own = [line for line in said.split("\n") if not line.startswith(KNOWN[1:])]
    clear = len(own) == 1 and own[0].startswith(KNOWN[0]) and len(own[0]) < LONGEST and own[0].isprintable()
    return "refused" if clear else "unclear"
