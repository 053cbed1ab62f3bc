"""Beginning with another run's weights, and training a finished run further."""

import os
import shutil
import signal
from dataclasses import replace

import pytest
import small
import torch

from buttress.core.remedy import apply
from buttress.objectives.elbo import ELBO
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.training import checkpoint
from buttress.training.callbacks import Callback
from buttress.training.differences import lengthened
from buttress.training.run import Run, train


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Run:
    return train(small.joint(), tmp_path_factory.mktemp("runs") / "joint", progress=False)


class Stop(Callback):
    """SIGTERM after some steps."""

    def __init__(self, step):
        self.step = step

    def on_step(self, step, total, latest):
        if step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


class First(Callback):
    """The weights before the first step."""

    def begin(self, engine):
        self.weights = {name: value.clone() for name, value in engine.model.state_dict().items()}
        raise RuntimeError("seen enough")


def test_a_finished_run_is_trained_further_as_if_it_had_never_ended(finished, tmp_path):
    folder = shutil.copytree(finished.folder, tmp_path / "run")
    run = train(small.joint(steps=40), folder, resume=True, progress=False)
    whole = train(small.joint(steps=40), tmp_path / "whole", progress=False)
    assert run.progress.step == 40 and run.progress.finished and run.recipe == small.joint(steps=40)
    for (name, value), other in zip(run.model.state_dict().items(), whole.model.state_dict().values(), strict=True):
        assert torch.equal(value, other), name
    again = train(small.joint(steps=40), folder, resume=True, progress=False)
    assert again.progress.step == 40


def test_a_run_that_is_trained_further_may_be_stopped_and_resumed(finished, tmp_path):
    folder = shutil.copytree(finished.folder, tmp_path / "run")
    with pytest.raises(SystemExit):
        train(small.joint(steps=40), folder, resume=True, progress=False, callbacks=[Stop(29)])
    assert Run.load(folder).progress.step == 29 and not Run.load(folder).progress.finished
    with pytest.raises(ValueError, match=r"training\.steps is 40 there and 24 here"):
        train(small.joint(), folder, resume=True, progress=False)
    assert train(small.joint(steps=40), folder, resume=True, progress=False).progress.step == 40


def test_more_steps_and_anything_else_is_another_recipe(finished):
    with pytest.raises(ValueError, match=r"training\.steps is 24 there and 48 here; training\.seed is 0 there and 3"):
        train(small.joint(steps=48, seed=3), finished.folder, resume=True, progress=False)


def test_schedules_stay_as_the_run_began_with_them_and_that_is_said(tmp_path, capsys):
    def annealed(steps):
        return apply("kl_annealing:fraction=0.5", replace(small.joint(steps=steps), objective=ELBO()))

    old, new = annealed(24), annealed(48)
    assert (old.objective.beta.steps, new.objective.beta.steps) == (12, 24)
    assert lengthened(old, new).objective == old.objective
    train(old, tmp_path / "run", progress=False)
    run = train(new, tmp_path / "run", resume=True)
    assert run.progress.step == 48 and run.recipe.objective.beta.steps == 12
    assert "the schedules stay as the run began with them" in capsys.readouterr().err


def test_an_algorithm_that_divides_its_steps_is_not_made_longer():
    with pytest.raises(ValueError, match=r"two_stage algorithm divides training\.steps .* from 24 to 48"):
        lengthened(small.two_stage(), small.two_stage(steps=48))
    assert lengthened(small.aggressive(), small.aggressive(steps=48)) == small.aggressive(steps=48)
    assert lengthened(small.joint(steps=48), small.joint()) is None


def test_the_state_of_an_earlier_version_is_refused_before_anything_is_written(finished, tmp_path):
    folder = shutil.copytree(finished.folder, tmp_path / "run")
    state = checkpoint.load(folder / "state.safetensors")
    state["algorithm"] = {"optimizer": state["algorithm"]["_extra_state"]["optimizers"][0]}
    checkpoint.save(folder / "state.safetensors", state)
    with pytest.raises(ValueError, match=r"the training state of an earlier version.* \(--init "):
        train(small.joint(steps=40), folder, resume=True, progress=False)
    assert Run.load(folder).recipe == small.joint()
    assert train(small.joint(), tmp_path / "new", init=folder, progress=False).progress.finished


def test_a_run_that_early_stopping_ended_says_so(tmp_path):
    recipe = small.joint(patience=1, learning_rate=0.5, steps=200, checkpoint_every=999)
    run = train(recipe, tmp_path / "run", progress=False)
    assert run.progress.step < 200
    longer = replace(recipe, training=replace(recipe.training, steps=400))
    with pytest.raises(ValueError, match=r"ended at step \d+ by early stopping"):
        train(longer, tmp_path / "run", resume=True, progress=False)


def test_a_new_run_begins_with_the_weights_of_another(finished, tmp_path):
    first = First()
    with pytest.raises(RuntimeError, match="seen enough"):
        train(small.joint(seed=5), tmp_path / "run", init=finished.folder, progress=False, callbacks=[first])
    saved = finished.model.state_dict()
    assert all(torch.equal(first.weights[name], value) for name, value in saved.items())


def test_one_that_is_killed_before_its_first_checkpoint_still_begins_with_them(finished, tmp_path):
    folder = tmp_path / "run"
    for _ in range(2):  # the second time, nobody says so again
        first = First()
        wish = {} if folder.exists() else {"init": finished.folder}
        with pytest.raises(RuntimeError):
            train(small.joint(seed=5), folder, resume=True, progress=False, callbacks=[first], **wish)
        assert torch.equal(first.weights["decoder.out.weight"], finished.model.state_dict()["decoder.out.weight"])
    whole = train(small.joint(seed=5), tmp_path / "whole", init=finished.folder, progress=False)
    with pytest.raises(SystemExit):
        train(small.joint(seed=5), folder, resume=True, progress=False, callbacks=[Stop(9)])
    train(small.joint(seed=5), folder, resume=True, progress=False)
    for name in ("state.safetensors", "weights.safetensors", "metrics.csv"):
        assert (folder / name).read_bytes() == (whole.folder / name).read_bytes(), name


def test_what_does_not_fit_is_drawn_anew_and_said(finished, tmp_path, capsys):
    wider = replace(small.joint(seed=5), posterior=GaussianPosterior(4))
    train(wider, tmp_path / "run", init=finished.folder)
    own, saved = wider.model(finished.spec).state_dict(), finished.model.state_dict()
    kept = [name for name, value in own.items() if name in saved and saved[name].shape == value.shape]
    said = capsys.readouterr().err
    assert f"begins with {len(kept)} of {len(own)} tensors from {finished.folder}; the rest is drawn anew, in" in said


def test_weights_that_fit_nowhere_are_refused_and_leave_the_folder_free(finished, tmp_path):
    checkpoint.save(tmp_path / "weights.safetensors", {"other": torch.zeros(3)})
    with pytest.raises(ValueError, match="none of the 1 tensors"):
        train(small.joint(), tmp_path / "run", init=tmp_path, progress=False)
    with pytest.raises(FileNotFoundError):
        train(small.joint(), tmp_path / "run", init=tmp_path / "nowhere", progress=False)
    assert train(small.joint(steps=12), tmp_path / "run", progress=False).progress.init == ""
