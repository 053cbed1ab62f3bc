"""Data is opened once for all of a command, and anew for the next."""

from __future__ import annotations

import pytest
import small

from buttress.cli import main as cli
from buttress.core.recipe import Recipe
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.data.opened import opened, opening_once
from buttress.training.run import Run, train

COMMAND = [
    *("train", "linear_gaussian", "--data.n", "120", "--data.dim", "4", "--training.steps", "2"),
    *("--training.batch_size", "8", "--encoder.hidden", "[6]", "--decoder.hidden", "[6]"),
]


@pytest.fixture
def openings(monkeypatch):
    """Every part that was opened, in order."""
    seen, plain = [], LinearGaussianData.open
    monkeypatch.setattr(LinearGaussianData, "open", lambda part: seen.append(part) or plain(part))
    return seen


def test_a_command_opens_its_data_once(openings, tmp_path, monkeypatch):
    asked = []

    def conclude(run, **effort):
        asked.append(effort)
        run.diagnose(nll_samples=0, gap_steps=0)

    monkeypatch.setattr("buttress.cli.commands.diagnose.conclude", conclude)
    assert cli.main([*COMMAND, "--out", str(tmp_path / "run"), "--nll_samples", "2"]) == 0
    assert asked[0]["nll_samples"] == 2 and asked[0]["gap_steps"] == 100
    assert openings == [LinearGaussianData(n=120, dim=4)]
    assert cli.main([*COMMAND, "--out", str(tmp_path / "run"), "--resume"]) == 0
    assert len(openings) == 2, "the next command looks at the disk again"


def test_training_and_diagnosis_share_what_training_opened(openings, tmp_path):
    run = train(small.joint(), tmp_path / "run", progress=False)
    run.splits()
    assert len(openings) == 1
    Run.load(tmp_path / "run").splits()
    assert len(openings) == 2


def test_other_data_is_other_data(openings):
    with opening_once():
        assert opened(LinearGaussianData(n=50)) is opened(LinearGaussianData(n=50))
        assert len(opened(LinearGaussianData(n=60)).train) > len(opened(LinearGaussianData(n=50)).train)
    assert len(openings) == 2
    opened(LinearGaussianData(n=50))
    assert len(openings) == 3


def test_what_could_not_be_opened_is_tried_again(monkeypatch):
    def refuse(part):
        raise ValueError("not yet")

    with opening_once():
        with monkeypatch.context() as patch:
            patch.setattr(LinearGaussianData, "open", refuse)
            with pytest.raises(ValueError, match="not yet"):
                opened(LinearGaussianData(n=50))
        assert opened(LinearGaussianData(n=50)).train


def test_a_script_reads_its_command_line_as_a_command_does() -> None:
    seen = []

    def main(recipe: Recipe, every: int = 3) -> None:
        seen.append((recipe.posterior.dim, recipe.training.steps, every))  # type: ignore[attr-defined]

    cli.script(main, ["linear_gaussian", "--posterior.dim", "2", "--training.steps=7", "--every", "5"])
    cli.script(main, ["--posterior.dim", "2", "--training.steps=7", "linear_gaussian", "--every", "5"])
    cli.script(main, ["--every", "5", "--posterior.dim", "2", "--training.steps=7", "linear_gaussian"])
    assert seen == 3 * [(2, 7, 5)]
