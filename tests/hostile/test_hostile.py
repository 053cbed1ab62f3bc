"""Hostile and broken inputs end in one sentence and code 2, in bounded time and memory; all: ``python -m tests.hostile``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from . import nodes, runner
from .arrays import written
from .case import Case
from .runner import attempts

ROOT = Path(__file__).parents[2]
FEWEST = 1000
"""Inputs that there must be."""


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """The names of all cases, the outcomes of a part of them, and what was said, of a process without the checks of shapes,
    which would change what is raised.
    """
    names, out = (tmp_path_factory.mktemp("hostile") / name for name in ("names.jsonl", "outcomes.jsonl"))
    words = ["--quick", "--jobs", "1", "--json", str(out), "--list", str(names), "--faults"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return *([json.loads(line) for line in file.read_text().splitlines()] for file in (names, out)), done.stdout


def test_there_are_a_thousand_inputs_and_each_has_its_own_name(tried):
    names = Counter(tried[0])
    assert len(names) >= FEWEST
    assert not [name for name, count in names.items() if count > 1]


def test_a_part_of_them_is_refused_clearly_or_accepted(tried):
    _, outcomes, said = tried
    wrong = [outcome for outcome in outcomes if outcome["kind"] not in ("accepted", "refused")]
    assert not wrong, said
    assert len(outcomes) >= 60


def _hangs(runs: Path) -> list[str]:
    nodes.os.mkfifo("pipe")
    Path("pipe").read_bytes()
    return []


def _crashes(runs: Path) -> list[str]:
    os.kill(os.getpid(), 11)
    return []


def _raises(runs: Path) -> list[str]:
    raise KeyError("so")


@pytest.mark.parametrize(("make", "kind"), [(_hangs, "hang"), (_crashes, "crash"), (_raises, "traceback")])
def test_the_runner_sees_what_goes_wrong(make, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "ASLEEP", 0.5)
    (outcome,) = attempts([Case("bad", make)], tmp_path, jobs=1)
    assert outcome.kind == kind


def test_the_runner_tells_a_refusal_from_what_is_accepted(tmp_path):
    def bad(runs: Path) -> list[str]:
        written(b"")(Path("x.npy"))
        return ["train", "x.npy"]

    found = {
        outcome.name: outcome
        for outcome in attempts([Case("bad", bad), Case("good", lambda runs: ["remedies"])], tmp_path, 2)
    }
    assert found["bad"].kind == "refused", found["bad"].said
    assert "the file is empty" in found["bad"].said
    assert found["good"].kind == "accepted"
