"""Every file of papers is a command, and ``--full`` starts from the paper's sizes."""

from dataclasses import dataclass, is_dataclass

import pytest

from buttress.cli import main as cli
from buttress.core import registry
from buttress.experiments import papers
from buttress.experiments.claim import Claim
from buttress.experiments.papers._experiment import Experiment


@pytest.mark.parametrize("name", papers.experiments())
def test_every_experiment_can_be_written_down_and_read_back(name):
    kind = papers.experiments()[name]
    assert is_dataclass(kind)
    for experiment in (kind(), kind.full()):
        assert registry.from_plain(kind, registry.to_plain(experiment), "experiment") == experiment


@dataclass(frozen=True)
class Tried(Experiment):
    """A trial of the command.

    Args:
        steps: Of training.
        width: Of the model.
    """

    steps: int = 3
    width: int = 2

    @classmethod
    def full(cls):
        return cls(steps=300, width=200)

    def run(self, folder, jobs=1, watch=lambda run, step, total: None):
        watch("only", self.steps, self.steps)
        return [Claim(f"steps {self.steps}, width {self.width}, jobs {jobs}", "above", 0.5, (1.0,))]

    def figures(self, folder):
        return [folder / "picture.png"]


def test_full_starts_from_the_sizes_of_the_paper_and_flags_change_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("buttress.cli.commands.paper.experiments", lambda: {"tried": Tried})
    cli.functions.cache_clear()
    try:
        for words, said in (
            ([], "steps 3, width 2, jobs 1"),
            (["--full", "--steps", "7"], "steps 7, width 200, jobs 1"),
        ):
            assert cli.main(["paper", "tried", "--out", str(tmp_path), *words]) == 0
            out = " ".join(capsys.readouterr().out.split())
            assert said in out and f"written: {tmp_path}/picture.png" in out
    finally:
        cli.functions.cache_clear()
