"""Training until held-out data say it is enough: learning rates that fall, and a split of its own for choosing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from buttress.algorithms.target_rate import TargetRate
from buttress.baseline import baseline
from buttress.cli.commands.compare import show
from buttress.core.recipe import Training
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.training import checkpoint, engine
from buttress.training.folder import STATE, WEIGHTS
from buttress.training.held_out import HeldOut, divided, look
from buttress.training.run import Run, train

DATA = LinearGaussianData(dim=4, n=200, held_out=0.2)
SETTINGS = Training(steps=6, batch_size=20, learning_rate=0.5, validate_every=1, checkpoint_every=1)
HEARD = [-5.0, -4.0, -6.0, -3.0, -3.0, -7.0]  # no better at the third, fifth and sixth validation


def recipe(**settings):
    return replace(baseline(DATA, DATA.open().spec), training=replace(SETTINGS, **settings))


def heard(monkeypatch):
    """Let validations say what stands in HEARD; how many were made by now."""
    told = []

    def say(model, examples, seed):
        told.append(examples)
        return {**look(model, examples, seed), "elbo": HEARD[len(told) - 1]}

    monkeypatch.setattr(engine, "look", say)
    return told


def rates(folder):
    """The learning rates of all optimisers in a checkpoint."""
    optimizers = checkpoint.load(folder / STATE)["algorithm"]["_extra_state"]["optimizers"]
    return {group["lr"] for optimizer in optimizers for group in optimizer["param_groups"]}


@pytest.mark.parametrize(("decay", "left"), [(0.5, 0.5 / 8), (1.0, 0.5)])
def test_learning_rates_fall_where_validation_is_no_better(tmp_path, monkeypatch, decay, left):
    heard(monkeypatch)
    train(recipe(decay=decay), tmp_path / "run", progress=False)
    assert rates(tmp_path / "run") == {left}


def test_patience_ends_a_run_whose_learning_rate_falls(tmp_path, monkeypatch):
    heard(monkeypatch)
    run = train(recipe(decay=0.5, patience=2), tmp_path / "run", progress=False)
    assert (run.progress.step, run.progress.best_step) == (6, 4)


def test_a_resumed_run_has_the_learning_rate_it_had_fallen_to(tmp_path):
    whole = train(recipe(decay=0.5), tmp_path / "whole", progress=False)
    train(recipe(decay=0.5, steps=3), tmp_path / "parts", progress=False)
    parts = train(recipe(decay=0.5), tmp_path / "parts", progress=False, resume=True)
    assert rates(tmp_path / "parts") == rates(tmp_path / "whole") != {0.5}
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), parts.model.parameters(), strict=True))


@pytest.mark.parametrize(("target", "kept"), [(1e6, 6), (1e-6, 4)])
def test_a_target_that_is_missed_to_the_end_keeps_the_last_model(tmp_path, monkeypatch, target, kept):
    """And one that is met keeps the best, though an aim of less may come late."""
    heard(monkeypatch)
    run = train(replace(recipe(patience=9), algorithm=TargetRate(target=target)), tmp_path / "run", progress=False)
    assert run.progress.best_step == kept


def test_examples_that_choose_and_examples_that_judge_are_different_ones(tmp_path, monkeypatch):
    told = heard(monkeypatch)
    run = train(recipe(validation=0.25), tmp_path / "run", progress=False)
    chose = set(torch.cat(told[0].index).tolist())
    judge = set(torch.cat(run.held_out().index).tolist())
    assert len(chose) == 10
    assert chose.isdisjoint(judge)
    assert chose | judge == set(range(40))
    assert run.diagnose(nll_samples=0, gap_steps=0).estimates["elbo"].n == 30


def test_how_many_examples_validate_and_how_many_are_evidence_is_told(tmp_path, capsys):
    said = "data: of the 40 held-out examples, 10 are for validations in training and 30 for the evidence"
    train(recipe(validation=0.25, steps=1), tmp_path / "run")
    assert said in capsys.readouterr().err and "30 for the evidence" in (tmp_path / "run/notes.txt").read_text()
    show(recipe(validation=0.25, steps=1), ["none"], tmp_path / "table", 1, 1, {"nll_samples": 0, "gap_steps": 0})
    assert capsys.readouterr().err.count(said) == 1
    train(recipe(steps=1), tmp_path / "all")
    assert "for the evidence" not in capsys.readouterr().err


def test_labels_belong_to_the_examples_that_judge(tmp_path, monkeypatch):
    """The probe of z gets the labels of the held-out examples that are left for it."""
    from buttress.training import run as module

    splits = DATA.open()
    splits = replace(splits, labels=torch.arange(40))
    made = train(recipe(validation=0.25), tmp_path / "run", progress=False)
    seen = {}

    def measure(model, batches, **settings):
        seen.update(settings, order=torch.cat(batches.index))
        raise InterruptedError

    monkeypatch.setattr(module, "diagnose", measure)
    with pytest.raises(InterruptedError):
        Run.load(made.folder, splits).diagnose()
    assert seen["labels"].tolist() == seen["order"].tolist()


def test_what_runs_of_all_seeds_are_measured_on_is_the_same():
    held_out = DATA.open().held_out
    first, second = (divided(held_out, 0.25)[0] for _ in range(2))
    assert torch.equal(first, second)
    few = HeldOut(held_out, lambda x: x, seed=3, most=4, among=first)
    assert set(torch.cat(few.index).tolist()) < set(first.tolist())


@pytest.mark.parametrize("settings", [{"decay": 0.0}, {"decay": 1.5}, {"validation": -0.1}, {"validation": 1.0}])
def test_settings_that_mean_nothing_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        Training(**settings)


@pytest.mark.parametrize(("share", "said"), [(0.001, "0 of 40 .* and 40 for"), (0.98, "39 of 40 .* and 1 for")])
def test_a_split_with_too_few_on_a_side_is_refused_before_training(tmp_path, share, said):
    with pytest.raises(ValueError, match=said):
        train(recipe(validation=share), tmp_path / "run", progress=False)


def test_a_run_that_ends_before_it_is_rounded_keeps_its_model(tmp_path):
    run = train(recipe(quantize=4, quantize_after=100, patience=2), tmp_path / "run", progress=False)
    assert (run.folder / WEIGHTS).is_file()
