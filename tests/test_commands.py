"""The first hour: what `train` tells and where it puts runs, what `diagnose` keeps, what `export` proves."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from buttress.baseline import baseline
from buttress.cli import main as cli
from buttress.cli import preview
from buttress.cli.commands import compare
from buttress.cli.commands.train import say_if_lost
from buttress.core import remedy
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.evidence import Evidence, Groups
from buttress.diagnostics.merge import merge
from buttress.posteriors.vector_quantized import VectorQuantized
from buttress.training.run import Run

LITTLE = ("--nll_samples", "0", "--gap_steps", "0")
SMALL = (
    *("linear_gaussian", "--data.n", "120", "--data.dim", "4", "--training.steps", "6", "--training.batch_size", "8"),
    *("--encoder.hidden", "6", "--decoder.hidden", "6", "--posterior.dim", "2"),
)


def buttress(*words: object) -> int:
    return cli.main([str(word) for word in words])


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder in which one run was trained without a word on where, and measured a little."""
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert buttress("train", *SMALL, *LITTLE) == 0
    return folder


@pytest.fixture
def here(place: Path, monkeypatch) -> Path:
    monkeypatch.chdir(place)
    return place


def test_settings_of_a_part_that_a_remedy_replaces_are_said_to_be_lost(capsys):
    data = LinearGaussianData(dim=4, n=50)
    splits = data.open()
    start = baseline(data, splits.spec, len(splits.train))
    say_if_lost(start, replace(start, posterior=VectorQuantized()))
    asked = replace(start, posterior=start.posterior.replace(dim=2))
    say_if_lost(asked, asked)
    assert capsys.readouterr().err == ""
    say_if_lost(asked, replace(asked, posterior=VectorQuantized()))
    assert "posterior.dim has no effect: remedies put vector_quantized in the place of" in capsys.readouterr().err


def test_a_run_takes_the_next_free_folder_and_latest_leads_to_it(here, capsys):
    assert Path("runs/latest").resolve() == (here / "runs/linear_gaussian-1").resolve()
    assert buttress("train", *SMALL, "--diagnose", "false", "--training.seed", 7) == 0
    said = capsys.readouterr()
    assert Path("runs/latest").resolve() == (here / "runs/linear_gaussian-2").resolve()
    assert not Path("runs/linear_gaussian-2/evidence.json").exists() and "buttress diagnose runs/linear" in said.out
    assert "run in runs/linear_gaussian-2" in said.err


def test_the_model_and_its_training_are_told_before_it_starts(here, capsys):
    assert buttress("train", *SMALL, "--no_diagnose", "--remedies", "free_bits") == 0
    told = [
        line for line in capsys.readouterr().err.splitlines() if line.startswith(("model: ", "latent: ", "training: "))
    ]
    model, latent, training = told[:3]
    size = sum(p.numel() for p in Run.load("runs/latest").model.parameters())
    assert model.startswith("model: mlp encoder, gaussian posterior") and model.endswith(f"; {size:,} parameters")
    assert latent == "latent: 2 real numbers"
    assert training.startswith("training: 6 steps of 8 examples (0.444 passes over 108)") and "free_bits" in training


def test_a_run_is_resumed_without_its_data_being_named(here, capsys):
    assert buttress("train", *SMALL, "--no_diagnose", "--training.seed", 3, "--out", "runs/mine") == 0
    before = Path("runs/mine/weights.safetensors").read_bytes()
    assert buttress("train", "--resume", "--out", "runs/mine", "--no_diagnose") == 0
    assert Path("runs/mine/weights.safetensors").read_bytes() == before
    assert Run.load("runs/mine").recipe.training.seed == 3
    assert buttress("train", "--resume", "--out", "runs/nothing") == 2
    assert "runs/nothing holds no run to resume" in capsys.readouterr().err


def test_a_recipe_may_be_that_of_a_run(here):
    assert buttress("train", "--from", "runs/linear_gaussian-1", "--training.seed", 5, "--no_diagnose") == 0
    old, new = Run.load("runs/linear_gaussian-1").recipe, Run.load("runs/latest").recipe
    assert new == replace(old, training=replace(old.training, seed=5))


def test_the_time_is_estimated_once_after_some_steps(monkeypatch):
    clock, told = iter(np.arange(0, 100, 0.5).tolist()), []
    monkeypatch.setattr(preview.time, "monotonic", lambda: next(clock))
    hear = preview.estimate(told.append)
    for step in range(1, 40):
        hear(step, 1000)
    (line,) = told
    assert line == "training: 500 ms a step, so about 8 min for the rest"


def test_long_steps_are_told_in_seconds(monkeypatch):
    clock, told = iter(np.arange(0, 1000, 4.62).tolist()), []
    monkeypatch.setattr(preview.time, "monotonic", lambda: next(clock))
    hear = preview.estimate(told.append)
    for step in range(1, 40):
        hear(step, 1000)
    assert told[0].startswith("training: 4.6 s a step, so about ")


def test_a_comparison_writes_a_line_about_a_run_now_and_then(monkeypatch, capsys):
    clock = iter(range(0, 10_000, 20))
    monkeypatch.setattr(compare.time, "monotonic", lambda: next(clock))
    tell = compare._lines(Console())
    for step in range(6):
        tell("none/seed-0", step, 10)
    assert capsys.readouterr().out.splitlines() == [
        "none/seed-0: step 2 of 10, about 3 min left",
        "none/seed-0: step 4 of 10, about 2 min left",
    ]


def test_a_run_of_another_comparison_with_the_same_name_has_a_pace_of_its_own(monkeypatch, capsys):
    monkeypatch.setattr(compare, "LINE_EVERY", 0)
    clock = iter([0, 10, 1_000, 1_010])
    monkeypatch.setattr(compare.time, "monotonic", lambda: next(clock))
    tell = compare._lines(Console())
    for step in (0, 2, 0, 2):
        tell("none/seed-0", step, 4)
    assert capsys.readouterr().out.splitlines() == ["none/seed-0: step 2 of 4, about 10 s left"] * 2


def test_a_cheaper_diagnosis_keeps_what_a_richer_one_measured(here, capsys):
    run = "runs/linear_gaussian-1"
    assert buttress("diagnose", run, "--nll_samples", 20, "--gap_steps", 0) == 0
    rich = Evidence.load(f"{run}/evidence.json")
    assert buttress("diagnose", run, "--nll_samples", 0, "--gap_steps", 2) == 0
    said, found = capsys.readouterr().out, Evidence.load(f"{run}/evidence.json")
    assert "kept from an earlier diagnosis with more effort: nll, " in " ".join(said.split())
    assert found.estimates["nll"] == rich.estimates["nll"] and found.settings["nll_samples"] == 20
    assert "amortisation_gap" in found.estimates
    assert buttress("diagnose", run, *LITTLE, "--keep", "false") == 0
    assert "nll" not in Evidence.load(f"{run}/evidence.json").estimates


def found(k: int | None, examples: int | None = 100, **settings: object) -> Evidence:
    estimates = {} if k == 0 else {"nll": Estimate(float(k or 0), 0.1, 100, "IWAE")}
    settings = {"nll_samples": k, "nll_examples": examples, "step": 9, "seed": 0, **settings}
    return Evidence(100, "table", estimates, Groups((), (), (), ()), settings)


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        (found(50), found(20), 50),
        (found(50), found(0), 50),
        (found(50, None), found(50, 100), 50),
        (found(50), found(50), 50),
        (found(50, 10), found(20, 100), 20),  # neither is richer
        (found(50), found(20, step=10), 20),  # another model
        (found(50), found(20, seed=1), 20),
        (found(50), found(0, inference="refined"), None),
    ],
)
def test_only_more_effort_on_the_same_model_is_kept(before, after, kept):
    merged, _ = merge(before, after)
    assert (merged.estimates["nll"].value if kept else merged.estimates.get("nll")) == kept
    assert merged.settings["nll_samples"] == (kept or 0)


def test_advice_is_what_the_next_command_takes(here, capsys):
    data = LinearGaussianData(n=50)
    recipe = baseline(data, data.open().spec)
    names = list(remedy.catalogue())
    fits = remedy.fitting(names, recipe)
    assert "kl_annealing" in fits and "word_dropout" not in fits and "local_decoder" not in fits
    once = remedy.apply("kl_annealing", recipe)
    assert "kl_annealing" not in remedy.fitting(names, once) and "cyclical_annealing" not in remedy.fitting(names, once)
    assert "kl_annealing" not in remedy.fitting(names, replace(recipe, training=replace(recipe.training, steps=1)))


def test_a_run_too_short_for_its_schedule_is_told_what_can_be_done(here, capsys):
    assert buttress("train", *SMALL, "--training.steps", 1, "--remedies", "kl_annealing") == 2
    said = capsys.readouterr().err
    assert "try a longer run" in said and "below 1" not in said


def test_networks_run_outside_and_give_the_same(here, capsys, tmp_path):
    assert buttress("export", "runs/linear_gaussian-1", "--out", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert len(re.findall(r"reloaded without buttress, the largest difference is \S+", said)) == 2
    run = Run.load("runs/linear_gaussian-1")
    x, z = torch.randn(5, 4), torch.randn(7, 2)
    encoder, decoder = (torch.export.load(tmp_path / "out" / f"{n}.pt2").module() for n in ("encoder", "decoder"))
    with torch.no_grad():
        q, p = run.model.posterior(x), run.model.decode(z)
        mean, std = encoder(x)
        assert torch.allclose(mean, q.base_dist.loc, atol=1e-5) and torch.allclose(std, q.base_dist.scale, atol=1e-5)
        assert torch.allclose(decoder(z)[1], p.mean, atol=1e-5)


def test_help_of_each_command_is_short(capsys):
    for name in ("sample", "encode", "traverse", "export", "diagnose"):
        assert buttress(name, "--help") == 0
        out = capsys.readouterr().out
        assert out.startswith(f"usage: buttress {name} RUN") and out.count("\n") < 60
    assert buttress("encode", "-h") == 0 and "buttress encode RUN [DATA]" in capsys.readouterr().out
