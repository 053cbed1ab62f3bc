"""A run's folder, what is refused, and what stops a run."""

import csv
import json
import math
import os
import random
import re
import shutil
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small
import torch
from lightning.fabric import Fabric

import copies
from buttress.algorithms.descent import NonFinite
from buttress.algorithms.two_stage import TwoStage
from buttress.cli import main as cli
from buttress.core.recipe import Recipe
from buttress.data.images import Images
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.data.mnist5k import Mnist5k
from buttress.data.table import Table
from buttress.diagnostics.estimators.codebook import HEALTH, codebook
from buttress.diagnostics.evidence import Evidence
from buttress.encoders.recurrent import RecurrentEncoder
from buttress.experiments.examples import as_observed, interpolations, reconstructed, some_held_out
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.objectives.elbo import ELBO
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.runtime.randomness import seed_step
from buttress.schedules.cyclical import Cyclical
from buttress.schedules.linear import Linear
from buttress.training import checkpoint
from buttress.training.batch_sampler import BatchSampler
from buttress.training.callbacks import Callback
from buttress.training.differences import differences
from buttress.training.engine import INITIAL, Engine
from buttress.training.held_out import VALIDATION_EXAMPLES, look
from buttress.training.lock import lock
from buttress.training.progress import Progress
from buttress.training.run import Run, train
from buttress.training.stop import Stop


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Run:
    return train(small.joint(), tmp_path_factory.mktemp("runs") / "joint", progress=False)


def rows(folder: Path):
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_refused_before_its_first_step_leaves_the_folder_free(tmp_path):
    hopeless = replace(small.joint(), algorithm=TwoStage(first=0.999))
    with pytest.raises(ValueError, match="two_stage"):
        train(hopeless, tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match="batch_size"):
        train(small.joint(batch_size=10_000), tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match="got 1 held-out example, wanted at least 2"):
        train(replace(small.joint(), data=LinearGaussianData(dim=4, n=12)), tmp_path / "run", progress=False)
    assert train(small.joint(steps=12), tmp_path / "run", progress=False).progress.finished


def test_weights_of_another_recipe_are_refused_with_its_name(finished, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(finished.folder, folder)
    replace(small.joint(), posterior=GaussianPosterior(4)).save(folder / "recipe.yaml")
    with pytest.raises(ValueError, match=r"the weights are not those of recipe\.yaml"):
        Run.load(folder)


@pytest.mark.parametrize("seed", [-1, 2**62, 2**80])
def test_a_seed_that_is_none_is_refused(finished, seed):
    raw = some_held_out(finished, 4)
    for ask in (
        lambda: finished.diagnose(seed=seed),
        lambda: finished.sample(2, seed),
        lambda: finished.reconstruct(raw.x, seed),
        lambda: finished.interpolate(raw.x[:2], raw.x[2:], 3, seed),
        lambda: some_held_out(finished, 4, seed),
        lambda: as_observed(finished, raw.x, seed),
        lambda: reconstructed(finished, raw, seed, mean=True),
        lambda: interpolations(finished, raw.take(slice(2)), raw.take(slice(2, None)), 3, seed),
    ):
        with pytest.raises(ValueError, match=rf"seed is {seed}, wanted 0 or more and below 2\*\*62"):
            ask()


@pytest.mark.parametrize("command", ["diagnose", "sample", "reconstruct", "interpolate"])
def test_a_seed_that_is_none_is_refused_in_one_line_of_the_command(finished, capsys, command):
    assert cli.main([command, str(finished.folder), "--seed", str(2**70)]) == 2
    assert capsys.readouterr().err.startswith(f"buttress: --seed is {2**70}, wanted 0 or more and below 2**62")


def test_no_examples_are_not_drawn(finished):
    for ask in (lambda: finished.sample(0), lambda: some_held_out(finished, 0)):
        with pytest.raises(ValueError, match="wanted at least 1"):
            ask()


def test_the_folder_holds_everything(finished):
    assert {p.name for p in finished.folder.iterdir()} == {
        "recipe.yaml",
        "spec.yaml",
        "spec.safetensors",
        "notes.txt",
        "metrics.csv",
        "tensorboard",
        "state.safetensors",
        "weights.safetensors",
        "progress.json",
        ".lock",
    }
    assert Recipe.load(finished.folder / "recipe.yaml") == small.joint()
    assert any((finished.folder / "tensorboard").glob("events.out.*"))
    assert finished.progress.finished and finished.progress.step == 24 and finished.seconds > 0


def test_metrics_are_tidy(finished):
    found = [(int(r["step"]), r["split"]) for r in rows(finished.folder)]
    assert found == [(8, "held_out"), (16, "held_out"), (24, "train"), (24, "held_out")]
    for row in rows(finished.folder):
        assert float(row["elbo"]) == pytest.approx(-float(row["distortion"]) - float(row["rate"]), abs=1e-4)
        assert float(row["rate"]) == pytest.approx(sum(float(row[f"rate/z{i}"]) for i in range(3)), abs=1e-5)
    train_row, held_out = rows(finished.folder)[-2:]
    assert train_row["beta"] == "1" and held_out["beta"] == "" and 0 <= float(held_out["active_units"]) <= 3


def test_the_health_of_codes_is_followed_and_a_resumed_run_follows_it_alike(tmp_path):
    recipe = small.two_stage(learning_rate=0.02, seed=1)
    whole = train(recipe, tmp_path / "whole", progress=False)
    with pytest.raises(SystemExit):
        train(recipe, tmp_path / "run", progress=False, callbacks=[Raise(signal.SIGTERM, 11)])
    train(recipe, tmp_path / "run", resume=True, progress=False)
    assert_equal_runs(tmp_path / "run", whole.folder)
    found = rows(whole.folder)
    assert list(found[0])[9:11] == list(HEALTH) and {r[n] for r in found if r["split"] == "train" for n in HEALTH} == {
        ""
    }
    last = codebook(whole.model, whole.held_out(0, VALIDATION_EXAMPLES))
    assert float(found[-1]["code_perplexity"]) == pytest.approx(last["code_perplexity"].value, rel=1e-6)
    assert float(found[-1]["codes_used_share"]) == last["codes_used"].value / last["codes_used"].ceiling > 0


def test_a_real_z_has_no_columns_of_codes(finished):
    assert not set(HEALTH) & set(rows(finished.folder)[0])


def test_saved_weights_give_the_recorded_bound(finished):
    seen = look(finished.model, finished.held_out(0, VALIDATION_EXAMPLES), 0)
    last = rows(finished.folder)[-1]
    assert {k: float(f"{v:.9g}") for k, v in seen.items()} == {k: float(last[k]) for k in seen}


def test_a_run_is_the_loop_one_would_write(finished):
    recipe, splits = small.joint(), small.joint().data.open()
    settings = recipe.training
    seed_step(settings.seed, INITIAL)
    model = recipe.model(splits.spec)
    adam = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    order = BatchSampler(len(splits.train), settings.batch_size, settings.seed)
    for step in range(settings.steps):
        seed_step(settings.seed, step)
        loss = recipe.objective(model(model.observe(splits.train.batch(order.indices(step)))), step)
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        adam.step()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(finished.model.state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_inner_batches_are_others_of_this_epoch_and_the_same_at_every_resume(tmp_path):
    recipe = small.aggressive()
    splits = recipe.data.open()
    engine = Engine(recipe, splits, tmp_path, Stop(), Fabric(accelerator="cpu", devices=1))
    epoch = [splits.train.batch(engine.sampler.indices(i)) for i in range(13, 26)]
    draws = [[more().x for _ in range(6)] for more in map(engine._next_batch, (14, 14, 15))]
    assert engine.sampler.epoch_steps == 13
    assert all(any(torch.equal(x, batch) for batch in epoch) for x in draws[0])
    assert all(map(torch.equal, draws[0], draws[1])) and not all(map(torch.equal, draws[0], draws[2]))
    assert len({x.sum().item() for x in draws[0]}) > 2


def test_the_best_weights_are_kept_where_there_is_patience(tmp_path):
    recipe = small.joint(patience=2, learning_rate=0.5, steps=200, checkpoint_every=999)  # a rate that soon does harm
    run = train(recipe, tmp_path / "run", progress=False)
    curve = {int(r["step"]): float(r["elbo"]) for r in rows(run.folder) if r["split"] == "held_out"}
    best = max(curve, key=curve.__getitem__)
    assert run.progress.finished and run.progress.step == max(curve) == best + 16 < 200
    assert run.progress.best_step == best
    assert look(run.model, run.held_out(0, VALIDATION_EXAMPLES), 0)["elbo"] == pytest.approx(curve[best], rel=1e-7)


def test_patience_is_not_lost_while_the_objective_still_changes():
    progress = Progress()
    assert progress.judge(-5.0, counts=False, patience=1)
    assert not progress.judge(-6.0, counts=False, patience=1) and not progress.out_of_patience
    assert not progress.judge(-6.0, counts=True, patience=1) and progress.out_of_patience


def test_patience_outlasts_every_cycle_but_the_last(tmp_path, monkeypatch):
    monkeypatch.setattr("buttress.training.engine.look", lambda *_: {"elbo": -1.0})  # never better than at first
    recipe = small.joint(patience=1, steps=48, validate_every=4)
    recipe = replace(recipe, objective=ELBO(beta=Cyclical(steps=40, cycles=4, ratio=0.2)))  # settles at step 32
    assert train(recipe, tmp_path / "run", progress=False).progress.step == 32


def test_a_finished_run_is_returned_at_once(finished, monkeypatch):
    monkeypatch.setattr("buttress.training.course.fit", lambda *_, **__: pytest.fail("it was trained again"))
    again = train(small.joint(), finished.folder, resume=True)
    assert all(torch.equal(a, b) for a, b in zip(again.model.parameters(), finished.model.parameters(), strict=True))


def test_a_folder_with_a_run_is_not_overwritten(finished):
    with pytest.raises(ValueError, match=r"holds a run already; continue it \(--resume"):
        train(small.joint(), finished.folder)


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match=r"holds 'thesis\.tex' but no run"):
        train(small.joint(), tmp_path, resume=True)


def test_another_recipe_is_refused_by_name(finished):
    with pytest.raises(ValueError, match=r"training\.steps is 24 there and 48 here; training\.seed is 0 there and 3"):
        train(small.joint(steps=48, seed=3), finished.folder, resume=True)
    with pytest.raises(ValueError, match="algorithm is joint there and aggressive here"):
        train(small.aggressive(), finished.folder, resume=True)


def test_differences_name_parts_that_come_and_go():
    assert differences({"a": {"name": "x"}}, {"a": {"name": "y", "b": 1}}) == ["a is x there and y here"]
    assert differences({"a": 1}, {}) == ["a is 1 there and None here"]


def test_other_data_is_refused_on_resume(tmp_path, monkeypatch):
    with pytest.raises(SystemExit):
        train(small.joint(), tmp_path / "run", progress=False, callbacks=[Raise(signal.SIGTERM, 6)])
    text = (tmp_path / "run" / "spec.yaml").read_text()
    (tmp_path / "run" / "spec.yaml").write_text(re.sub(r"train: \d+", "train: 99", text))
    with pytest.raises(ValueError, match=r"the data changed .*train is 99 there and 10\d here"):
        train(small.joint(), tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda r: replace(r, objective=r.objective.replace(beta=Linear(steps=24))),
            "its final value after 24",
        ),
        (lambda r: replace(r, training=replace(r.training, batch_size=500)), "batch_size is 500 and there are 10"),
        (lambda r: replace(r, encoder=RecurrentEncoder()), "the recurrent encoder does not fit table data"),
        (
            lambda r: replace(r, data=Mnist5k(), likelihood=Bernoulli(), encoder=RecurrentEncoder()),
            "does not fit image data",
        ),
    ],
)
def test_what_would_fail_is_refused_before_training(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        train(change(small.joint()), tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "state.safetensors").exists()


def test_data_outside_the_support_is_refused(tmp_path, monkeypatch):
    def narrow(self, raw):
        if raw.max() > 2:
            raise ValueError(f"value {raw.max():.1f}, wanted at most 2")

    monkeypatch.setattr("buttress.likelihoods.gaussian.GaussianLikelihoodModule.check", narrow)
    with pytest.raises(ValueError, match=r"linear_gaussian data, row \d+ .*: value"):
        train(small.joint(), tmp_path / "run", progress=False)


def test_a_batch_must_divide_among_the_devices(tmp_path):
    with pytest.raises(ValueError, match=r"batch_size is 8 and devices is 3: .* try batch_size 6"):
        train(small.joint(), tmp_path / "run", devices=3)


class Spoil(Callback):
    """Make a decoder weight NaN after some steps."""

    def __init__(self, step):
        self.step = step

    def begin(self, engine):
        self.engine = engine

    def on_step(self, step, total, latest):
        if step == self.step:
            list(self.engine.model.decoder.parameters())[-1].data.fill_(torch.nan)


def test_nan_stops_the_run_names_the_tensor_and_keeps_the_checkpoint(tmp_path):
    with pytest.raises(
        NonFinite, match=r"step 8: the parameter decoder\..* The checkpoint of step 6 is kept\. Try a lea"
    ):
        train(small.joint(), tmp_path / "run", progress=False, callbacks=[Spoil(8)])
    state = checkpoint.load(tmp_path / "run" / "state.safetensors")
    assert state["progress"]["step"] == 6 and all(v.isfinite().all() for v in state["model"].values())
    assert train(small.joint(), tmp_path / "run", resume=True, progress=False).progress.finished


def test_a_spoilt_model_is_never_saved(tmp_path):
    with pytest.raises(NonFinite, match=r"after step 5: decoder.*No checkpoint had been made yet"):
        train(small.joint(), tmp_path / "run", progress=False, callbacks=[Spoil(6)])
    assert not (tmp_path / "run" / "state.safetensors").exists()


def test_a_model_that_starts_with_nan_is_refused(tmp_path, monkeypatch):
    def spoilt(self, spec):
        model = original(self, spec)
        next(model.encoder.parameters()).data.fill_(torch.inf)
        return model

    original = Recipe.model
    monkeypatch.setattr(Recipe, "model", spoilt)
    with pytest.raises(NonFinite, match=r"before the first step the parameter encoder\."):
        train(small.joint(), tmp_path / "run", progress=False)


class Raise(Callback):
    """Send a signal to this process after some steps."""

    def __init__(self, number, step, times=1):
        self.number, self.step, self.times = number, step, times

    def on_step(self, step, total, latest):
        if step == self.step:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)


def test_sigterm_saves_and_ends_with_a_message(tmp_path, finished, capsys):
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stopped:
        train(small.joint(), tmp_path / "run", progress=False, callbacks=[Raise(signal.SIGTERM, 11)])
    assert stopped.value.code == 143
    assert "stopped at step 11 of 24 and saved; go on with --resume" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == handler
    assert json.loads((tmp_path / "run" / "progress.json").read_text())["stopped"] == signal.SIGTERM
    train(small.joint(), tmp_path / "run", resume=True, progress=False)
    assert_equal_runs(tmp_path / "run", finished.folder)


def test_ctrl_c_lets_the_step_end_and_saves(tmp_path, finished):
    before = signal.getsignal(signal.SIGINT)  # not always the default: a background shell ignores it
    with pytest.raises(KeyboardInterrupt, match="stopped at step 4 of 24 and saved"):
        train(small.joint(), tmp_path / "run", progress=False, callbacks=[Raise(signal.SIGINT, 4)])
    assert signal.getsignal(signal.SIGINT) == before
    train(small.joint(), tmp_path / "run", resume=True, progress=False)
    assert_equal_runs(tmp_path / "run", finished.folder)


def test_ctrl_c_twice_stops_at_once(tmp_path, finished):
    before = signal.getsignal(signal.SIGINT)  # not always the default: a background shell ignores it
    with pytest.raises(KeyboardInterrupt, match="stopped at once"):
        train(small.joint(), tmp_path / "run", progress=False, callbacks=[Raise(signal.SIGINT, 9, times=2)])
    assert checkpoint.load(tmp_path / "run" / "state.safetensors")["progress"]["step"] == 6
    assert signal.getsignal(signal.SIGINT) == before
    train(small.joint(), tmp_path / "run", resume=True, progress=False)
    assert_equal_runs(tmp_path / "run", finished.folder)


class Small(Callback):
    """What 1e-40 is worth in a training step."""

    def on_step(self, *_):
        self.seen = (torch.full((), 1e-40) * 1).item()


def test_subnormal_numbers_are_zero_in_training_and_nowhere_else(tmp_path):
    small_one = Small()
    train(small.joint(steps=12), tmp_path / "run", progress=False, callbacks=[small_one])
    assert small_one.seen == 0 and (torch.full((), 1e-40) * 1).item() > 0


def assert_equal_runs(one: Path, other: Path) -> None:
    """Weights, optimiser, phase, means under way, and metrics: bit for bit."""
    for name in ("state.safetensors", "weights.safetensors", "metrics.csv"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


DESCENT = "buttress.algorithms.descent:Descent.__call__"
REPLACE = "os:replace"
MOMENTS = {
    "joint": [
        ("buttress.training.course:save_spec", 1, False),  # before anything is known
        (REPLACE, 1, False),
        (DESCENT, 3, True),  # before the first checkpoint
        ("buttress.training.metrics:Metrics.append", 1, True),  # a row is written that no checkpoint knows
        (REPLACE, 2, True),  # weights are new, state is old
        (REPLACE, 2, False),
        ("buttress.training.checkpoint:save_file", 1, True),  # a scratch file is left behind
        (DESCENT, 9, True),
        ("buttress.training.progress:Progress.write", 1, False),
    ],
    "aggressive": [
        (DESCENT, 5, True),  # inside the first inner loop
        (DESCENT, 61, False),
        (DESCENT, 40, True),
        ("buttress.training.engine:look", 1, True),
        (DESCENT, 50, True),
        (DESCENT, 8, True),  # the phase is over
    ],
    "semi_amortized": [
        ("buttress.algorithms.descent:Descent.follow", 3, True),
        ("buttress.algorithms.refined:Refined.posterior", 1, True),  # in a look at held-out data
        ("buttress.algorithms.descent:Descent.follow", 9, True),
    ],
    "code_maps": [
        (DESCENT, 9, True),  # in the first stage, behind a checkpoint and revivals
        ("buttress.algorithms.two_stage:TwoStageModule.begin_second", 1, True),  # at the border
        ("buttress.algorithms.two_stage:TwoStageModule._fit", 8, False),  # in the second, behind a checkpoint
        ("buttress.algorithms.two_stage:TwoStageModule.after_validation", 1, True),  # the best prior was put back
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["joint", "aggressive", "semi_amortized"])
def test_kill_9_at_any_moment_changes_nothing(kind, tmp_path):
    recipe = getattr(small, kind)()
    whole = train(recipe, tmp_path / "whole", progress=False)
    folder = tmp_path / "run"
    for wound in MOMENTS[kind]:
        assert in_a_process(recipe, folder, wound) == -signal.SIGKILL, f"it ended before {wound}"
    assert in_a_process(recipe, folder, None) == 0
    assert_equal_runs(folder, whole.folder)
    assert [p.name for p in folder.iterdir() if p.name.startswith(".")] == [".lock"]


@pytest.mark.slow
def test_kill_9_in_either_stage_of_code_maps_changes_nothing(tmp_path):
    np.save(tmp_path / "pictures.npy", np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8))
    recipe = small.code_maps(tmp_path / "pictures.npy", learning_rate=0.02)
    whole = train(recipe, tmp_path / "whole", progress=False)
    assert whole.model.space.shape == (2, 2, 1)
    folder = tmp_path / "run"
    for wound in MOMENTS["code_maps"]:
        assert in_a_process(recipe, folder, wound) == -signal.SIGKILL, f"it ended before {wound}"
    assert in_a_process(recipe, folder, None) == 0
    assert_equal_runs(folder, whole.folder)


@pytest.mark.slow
def test_kill_9_from_outside_changes_nothing(tmp_path):
    recipe = small.aggressive(steps=60, checkpoint_every=5)
    whole = train(recipe, tmp_path / "whole", progress=False)
    folder = tmp_path / "run"
    for steps in (5, 20, 35):
        process = start(recipe, folder, None)
        while process.is_alive() and Progress.read(folder).step < steps:
            time.sleep(0.002)
        process.kill()
        process.join()
    assert in_a_process(recipe, folder, None) == 0
    assert_equal_runs(folder, whole.folder)


def test_of_two_processes_at_once_one_gets_the_folder_and_the_other_one_line(tmp_path):
    context, recipe = copies.CONTEXT, small.joint().to_yaml()
    for attempt in range(8):
        barrier, over, said = context.Barrier(2), context.Event(), context.Queue()
        args = (recipe, str(tmp_path / f"{attempt}"), barrier, over, said)
        rivals = [context.Process(target=small.rush, args=args) for _ in range(2)]
        for rival in rivals:
            rival.start()
        heard = sorted(said.get(timeout=60) for _ in rivals)
        over.set()
        for rival in rivals:
            rival.join(60)
        lost = f"ValueError: another process is training in {args[1]}; wait for it, or choose another folder"
        assert heard == [lost, "new"]
        assert sorted(p.name for p in Path(args[1]).iterdir()) == [".lock", "recipe.yaml"]


def test_a_folder_in_use_is_refused_and_left_as_it_is(tmp_path):
    with lock(tmp_path / "run"), pytest.raises(ValueError, match="another process is training in"):
        train(small.joint(), tmp_path / "run", progress=False)
    assert [p.name for p in (tmp_path / "run").iterdir()] == [".lock"]


@pytest.mark.parametrize("before", [[], ["a"], ["a", "a/b"], ["a", "a/b", "a/b/c"]])
def test_a_run_that_is_refused_leaves_nothing(before, tmp_path):
    for name in before:
        (tmp_path / name).mkdir()
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        train(small.joint(), tmp_path / "a/b/c", init=tmp_path / "none", progress=False)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == before


def test_a_lock_file_stays_beside_what_was_written_and_where_it_was_before(tmp_path):
    def fails(folder, writes=()):
        with lock(folder):
            for name in writes:
                (folder / name).touch()
            raise ValueError("on purpose")

    (tmp_path / "old").mkdir()
    (tmp_path / "old/.lock").touch()
    for folder, writes in (("old", []), ("new", ["recipe.yaml"])):
        with pytest.raises(ValueError, match="on purpose"):
            fails(tmp_path / folder, writes)
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == [".lock", ".lock", "recipe.yaml"]


def test_what_a_killed_process_left_half_written_is_swept_away_by_the_next(tmp_path):
    (tmp_path / ".state.safetensors.12345.tmp").touch()
    (tmp_path / ".recipe.yaml.tmp").touch()
    (tmp_path / ".evidence.json.12345.tmp").touch()  # a diagnosis needs no lock, and may be under way
    with lock(tmp_path):
        assert {p.name for p in tmp_path.iterdir()} == {".lock", ".evidence.json.12345.tmp"}


def start(recipe, folder, wound):
    process = copies.CONTEXT.Process(target=small.attempt, args=(recipe.to_yaml(), str(folder), wound))
    process.start()
    return process


def in_a_process(recipe, folder, wound):
    """The exit code of an attempt."""
    process = start(recipe, folder, wound)
    process.join(120)
    return process.exitcode


def test_sentences_train_stop_resume_and_speak(tmp_path, monkeypatch):
    monkeypatch.setenv("BUTTRESS_CACHE", str(tmp_path / "cache"))
    words = ["the", "a", "cat", "dog", "saw", "ate", "big", "old"]
    rng = random.Random(0)
    lines = {" ".join(rng.choices(words, k=rng.randint(1, 9))) for _ in range(150)}
    (tmp_path / "text").write_text("".join(f"{line}\n" for line in sorted(lines)))
    recipe = small.sentences(tmp_path / "text")
    whole = train(recipe, tmp_path / "whole", progress=False)
    with pytest.raises(SystemExit):
        train(recipe, tmp_path / "run", progress=False, callbacks=[Raise(signal.SIGTERM, 6)])
    run = train(recipe, tmp_path / "run", progress=False, resume=True)
    assert_equal_runs(run.folder, whole.folder)
    assert run.spec.tokenizer is not None and run.spec == run.splits().spec
    raw = run.splits().held_out.batch(torch.arange(4))
    for drawn in (run.sample(4), run.reconstruct(raw), run.interpolate(raw[:2], raw[2:], 2).flatten(0, 1)):
        assert drawn.dtype == torch.int64 and drawn.shape[0] == 4 and int(drawn.max()) < run.spec.vocabulary


def test_only_one_process_at_a_time_may_train_in_a_folder(tmp_path):
    class Intrude(Callback):
        def on_step(self, *_):
            with pytest.raises(ValueError, match="another process is training in"):
                train(small.joint(), tmp_path / "run", resume=True, progress=False)

    train(small.joint(), tmp_path / "run", progress=False, callbacks=[Intrude()])


class End(Callback):
    """A user's own early stopping."""

    def on_step(self, step, total, latest):
        return step == 10


def test_a_users_callback_may_end_the_run(tmp_path):
    run = train(small.joint(), tmp_path / "run", progress=False, callbacks=[End()])
    assert run.progress.finished and run.progress.step == 10
    assert [(r["step"], r["split"]) for r in rows(run.folder)][-2:] == [("10", "train"), ("10", "held_out")]


def test_the_aggressive_phase_was_on_and_off_in_these_tests(tmp_path):
    train(small.aggressive(), tmp_path / "run", progress=False)
    state = checkpoint.load(tmp_path / "run" / "state.safetensors")
    assert not state["algorithm"]["_extra_state"]["active"] and 3 < float(rows(tmp_path / "run")[-2]["inner_steps"]) < 7


def test_training_is_quiet_and_touches_nothing_global(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before, handler = torch.get_rng_state(), signal.getsignal(signal.SIGTERM)
    train(small.joint(), "run", progress=False)
    assert capfd.readouterr() == ("", "")
    assert torch.equal(torch.get_rng_state(), before) and signal.getsignal(signal.SIGTERM) == handler
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_the_progress_bar_counts_the_whole_run(tmp_path, capfd):
    with pytest.raises(SystemExit):
        train(small.joint(), tmp_path / "run", progress=False, callbacks=[Raise(signal.SIGTERM, 11)])
    train(small.joint(), tmp_path / "run", resume=True)
    assert re.search(r"training: 100% 24/24, elbo=-\d+\.\d\d", capfd.readouterr().out)


def test_training_works_outside_the_main_thread(tmp_path):
    worker = threading.Thread(target=train, args=(small.joint(), tmp_path / "run"), kwargs={"progress": False})
    worker.start()
    worker.join()
    assert Progress.read(tmp_path / "run").finished


def test_bf16_trains_and_its_quantities_are_float32(tmp_path, finished):
    run = train(small.aggressive(precision="bf16-mixed"), tmp_path / "run", progress=False)
    assert all(p.dtype == torch.float32 for p in run.model.parameters())
    mine, full = rows(run.folder)[-1], rows(train(small.aggressive(), tmp_path / "f", progress=False).folder)[-1]
    assert float(mine["elbo"]) == pytest.approx(float(full["elbo"]), rel=0.05)


def test_draws_repeat(finished):
    raw = finished.splits().held_out.batch(torch.arange(4))
    before = torch.get_rng_state()
    for call in (
        lambda seed: finished.sample(3, seed),
        lambda seed: finished.reconstruct(raw, seed),
        lambda seed: finished.interpolate(raw[:2], raw[2:], 3, seed),
    ):
        assert torch.equal(call(1), call(1)) and not torch.equal(call(1), call(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert finished.interpolate(raw[:2], raw[2:], 3).shape == (3, 2, 4)
    with pytest.raises(ValueError, match="got 2 and 1 examples"):
        finished.interpolate(raw[:2], raw[2:3])


def test_a_diagnosis_repeats_and_is_written(finished, tmp_path):
    settings = {"nll_samples": 5, "gap_steps": 2}
    evidence = finished.diagnose(**settings)
    again = Run.load(finished.folder).diagnose(**settings)
    assert evidence.to_json() == again.to_json()
    assert Evidence.load(finished.folder / "evidence.json").to_json() == evidence.to_json()
    assert evidence.n == len(finished.splits().held_out)


@pytest.mark.parametrize(("stored", "dequantize", "told"), [(np.uint8, True, True), (np.float32, False, False)])
def test_images_are_told_in_bits_where_they_are_whole_numbers_with_noise(tmp_path, stored, dequantize, told):
    np.save(tmp_path / "grey.npy", np.random.default_rng(0).integers(0, 256, (60, 1, 4, 4)).astype(stored))
    data, likelihood = Images(str(tmp_path / "grey.npy")), GaussianLikelihood(dequantize=dequantize)
    recipe, splits = replace(small.joint(), data=data, likelihood=likelihood), data.open()
    run = Run(tmp_path, recipe, splits.spec, recipe.model(splits.spec), splits)
    assert ("bits_per_dim" in run.diagnose(nll_samples=2, gap_steps=0).estimates) == told


def test_a_table_is_told_in_bits_where_its_likelihood_is_a_mass(finished, tmp_path):
    np.save(tmp_path / "bits.npy", np.random.default_rng(0).random((60, 5)) < 0.5)
    recipe = replace(small.joint(steps=11), data=Table(str(tmp_path / "bits.npy")), likelihood=Bernoulli())
    run = train(recipe, tmp_path / "run", progress=False)
    of_bits, of_reals = (r.diagnose(nll_samples=2, gap_steps=0).estimates for r in (run, finished))
    assert of_bits["bits_per_dim"].value == pytest.approx(of_bits["nll"].value / 5 / math.log(2))
    assert "nll" in of_reals and "bits_per_dim" not in of_reals


def test_loading_says_what_is_missing(tmp_path, finished):
    with pytest.raises(FileNotFoundError, match="holds no trained run"):
        Run.load(tmp_path)
    with pytest.raises(SystemExit):
        train(small.joint(patience=9), tmp_path / "run", progress=False, callbacks=[Raise(signal.SIGTERM, 3)])
    assert not (tmp_path / "run" / "weights.safetensors").exists()
    assert Run.load(tmp_path / "run").progress.step == 3  # from the checkpoint
    (tmp_path / "run" / "state.safetensors").write_bytes(b"PK\x03\x04 something")
    with pytest.raises(ValueError, match="a pickled checkpoint"):
        Run.load(tmp_path / "run")


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    """A copy of a finished run, to do harm to."""
    return Path(shutil.copytree(finished.folder, tmp_path / "copy"))


def test_a_run_without_what_it_knew_of_the_data_is_refused(copied):
    (copied / "spec.safetensors").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"spec\.safetensors is missing, and the run in .* can't be read without it"
    ):
        Run.load(copied)


def test_folders_from_before_the_files_of_the_data_were_recorded_open_where_they_are_whole(copied):
    text = (copied / "spec.yaml").read_text()
    assert re.search(r"files:\n- spec.safetensors\n(.*\n)+fingerprint: \w{32}\n$", text)
    (copied / "spec.yaml").write_text(text.partition("files:")[0])
    (copied / "progress.json").unlink()
    assert train(small.joint(), copied, resume=True, progress=False).progress.finished
    assert (copied / "spec.yaml").read_text() == text
    (copied / "spec.yaml").write_text(text.partition("files:")[0])
    (copied / "spec.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"spec\.safetensors is missing"):
        Run.load(copied)


def test_the_spec_of_another_run_is_refused(copied):
    checkpoint.save(copied / "spec.safetensors", {"mean": torch.zeros(5), "std": torch.ones(5)})
    with pytest.raises(ValueError, match=r"spec\.safetensors: wanted mean and std of shape \(4,\)"):
        Run.load(copied)


@pytest.mark.parametrize("name", ["spec.yaml", "recipe.yaml"])
@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "got None, wanted a mapping"),
        (b"- 3\n", r"got \[3\], wanted a mapping"),
        (b"a: [1, 2", "not readable as YAML: "),
        (b"a: !!python/object/apply:os.mkdir [sprung]", "not readable as YAML: could not determine a constructor"),
        (b"3: 4\n", "no setting 3; it has"),
        (b"\xff\xfe\x00abc", "not a text .* perhaps damaged"),
        (b"{}", "the setting '(kind|data)' is missing"),
        (b"a: 2020-99-99", "not readable as YAML: month must be in"),
    ],
)
def test_damaged_text_is_refused_in_one_line_with_its_file(copied, name, content, complaint, monkeypatch):
    monkeypatch.chdir(copied)
    (copied / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"copy/{name}: {complaint}") as refused:
        Run.load(copied)
    assert "\n" not in str(refused.value) and not (copied / "sprung").exists()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda text: text.replace("shape:\n- 4\n", ""), "the setting 'shape' is missing"),
        (lambda text: text.replace("shape:\n- 4\n", "shape: 5\n"), r"spec\.yaml\.shape: got 5, wanted"),
    ],
)
def test_a_spec_that_lacks_something_is_refused(copied, change, complaint):
    text = (copied / "spec.yaml").read_text()
    (copied / "spec.yaml").write_text(change(text))
    assert change(text) != text
    with pytest.raises(ValueError, match=complaint):
        Run.load(copied)


@pytest.mark.parametrize("content", ["", "[]", "null", '{"step": "x"}', '{"finished": "no"}', '{"step"'])
def test_damaged_progress_is_named_with_the_way_out(copied, content):
    (copied / "progress.json").write_text(content)
    with pytest.raises(ValueError, match=r"copy/progress\.json: damaged \(.*delete it, and --resume") as refused:
        train(small.joint(), copied, resume=True, progress=False)
    assert "\n" not in str(refused.value)
    (copied / "progress.json").unlink()
    assert train(small.joint(), copied, resume=True, progress=False).progress.finished


@pytest.mark.parametrize("kind", ["another run's", "weights", "text"])
def test_a_state_that_is_not_this_runs_is_refused_in_one_line(copied, tmp_path, kind):
    (copied / "progress.json").unlink()
    state = copied / "state.safetensors"
    if kind == "weights":
        shutil.copy(copied / "weights.safetensors", state)
    elif kind == "text":
        checkpoint.save(state, {"model": "x"})
    else:
        other = train(replace(small.joint(), posterior=GaussianPosterior(4)), tmp_path / "other", progress=False)
        shutil.copy(other.folder / "state.safetensors", state)
    with pytest.raises(ValueError, match=r"copy/state\.safetensors: not the state of this run \(") as refused:
        train(small.joint(), copied, resume=True, progress=False)
    assert "\n" not in str(refused.value)
    if kind == "weights":
        (copied / "weights.safetensors").unlink()
        with pytest.raises(ValueError, match=r"state\.safetensors: holds no state of a run"):
            Run.load(copied)
