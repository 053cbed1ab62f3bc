"""What the engine does for any algorithm and any data."""

import csv
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
import small
import torch
from lightning.fabric import Fabric
from torch import nn

from buttress.algorithms.descent import NonFinite
from buttress.algorithms.joint import Joint, JointModule
from buttress.core import Splits
from buttress.training.callbacks import ProgressBar
from buttress.training.engine import Engine
from buttress.training.metrics import Means, Metrics
from buttress.training.run import train
from buttress.training.stop import Stop


@dataclass(frozen=True)
class Remembering(Joint):
    """Joint training with a store of one number for each training example, filled before the first step."""

    def build(self, model, objective, training):
        return RememberingModule(model, objective, training)


class RememberingModule(JointModule):
    def __init__(self, model, objective, training):
        super().__init__(model, objective, training)
        self.register_buffer("store", torch.zeros(200))
        self.critic = nn.Linear(1, 1)
        self.passes = 0

    def begin(self, read):
        self.passes += 1
        for batch in read():
            self.store[batch.index] = batch.x.sum(1)

    def step(self, step):
        logs = super().step(step)
        self.store[step.batch.index] += 1
        return logs


def local():
    return Fabric(accelerator="cpu", devices=1)


def engine(tmp_path, state=None, **training):
    recipe = replace(small.joint(**training), algorithm=Remembering())
    return Engine(recipe, recipe.data.open(), tmp_path, Stop(), local(), state)


def test_an_algorithm_may_read_all_training_examples_before_the_first_step_and_never_again(tmp_path):
    one = engine(tmp_path, steps=6, checkpoint_every=6)
    one.run()
    every = one.splits.train.batch(torch.arange(len(one.splits.train))).sum(1)
    counted = (one.algorithm.store[: len(every)] - every).round()
    assert one.algorithm.passes == 1 and counted.sum() == 6 * 8 and counted.min() >= 0
    again = engine(tmp_path, one.state(), steps=12)
    assert torch.equal(again.algorithm.store, one.algorithm.store) and again.step_number == 6
    again.run()
    assert again.algorithm.passes == 0


def test_networks_of_the_algorithm_are_checkpointed_and_never_saved_broken(tmp_path):
    one = engine(tmp_path, steps=6)
    assert {"critic.weight", "critic.bias", "store"} <= set(one.state()["algorithm"])
    with torch.no_grad():
        one.algorithm.critic.bias.fill_(torch.nan)
    with pytest.raises(NonFinite, match=r"after step 5: critic\.bias is NaN"):
        one.run()
    assert not (tmp_path / "state.safetensors").exists()


def test_conditions_lengths_and_numbers_are_shared_out_as_x_is(tmp_path):
    recipe = small.joint()
    splits = recipe.data.open()
    n = len(splits.train)
    splits.train.conditions = {"label": 10 * torch.arange(n), "speaker": torch.rand(n, 2)}
    splits.train.lengths = torch.arange(n) + 1
    index, parts = torch.tensor([5, 3, 9, 0]), []
    for rank in range(2):
        one = Engine(recipe, Splits(splits.train, splits.held_out, splits.spec), tmp_path, Stop(), local())
        one.fabric = SimpleNamespace(world_size=2, global_rank=rank, device=torch.device("cpu"))
        parts.append(one._observed(index))
    assert [part.index.tolist() for part in parts] == [[5, 3], [9, 0]]
    assert [part.given["label"].tolist() for part in parts] == [[50, 30], [90, 0]]
    assert [part.lengths.tolist() for part in parts] == [[6, 4], [10, 1]]
    assert all(part.x.shape == (2, 4) and part.given["speaker"].shape == (2, 2) for part in parts)


def test_groups_of_levels_are_logged_by_their_names(tmp_path):
    means, table = Means(("top/0", "bottom/0", "bottom/1")), Metrics(tmp_path / "m.csv")
    means.add({"loss": 9.0, "distortion": 4.0, "rate": torch.tensor([1.0, 2.0, 3.0]), "rate/other": 7.0})
    row = means.take()
    assert row["rate"] == 6.0 and row["rate/bottom/1"] == 3.0 and row["rate/other"] == 7.0 and row["elbo"] == -10.0
    table.append(50, "train", row, means.names)
    with (tmp_path / "m.csv").open(newline="") as file:
        (read,) = csv.DictReader(file)
    assert [read[f"rate/{name}"] for name in ("top/0", "bottom/0", "bottom/1")] == ["1", "2", "3"]


def test_a_logger_of_ones_own_gets_what_the_table_gets(tmp_path):
    seen = {}

    class Own:
        def log_metrics(self, metrics, step):
            seen.setdefault(step, {}).update(metrics)

        def finalize(self, status):
            seen["ended"] = True

    train(small.joint(steps=12), tmp_path / "run", progress=False, loggers=[Own()])
    assert seen["ended"] and {"train/loss", "held_out/elbo", "held_out/rate/z0"} <= set(seen[12])
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_progress_goes_to_a_file_in_lines(capsys, monkeypatch):
    monkeypatch.setattr("buttress.training.callbacks.LINE_EVERY", -1.0)
    bar = ProgressBar(10, 40)
    for step in (11, 40):
        bar.show(step, {"held_out/elbo": -2.0})
    bar.close()
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("training: 28% 11/40, elbo=-2.00, about 00:0") and first.endswith(" left")
    assert last == "training: 100% 40/40, elbo=-2.00"


@pytest.mark.parametrize("where", ["metrics.Metrics.append", "engine.Engine.save"])
def test_a_full_disk_is_one_sentence_and_the_last_checkpoint_stays(tmp_path, monkeypatch, where):
    train(small.joint(steps=12), tmp_path / "run", progress=False)
    kept = (tmp_path / "run" / "state.safetensors").read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(f"buttress.training.{where}", full)
        with pytest.raises(OSError, match=r"run: no space is left on .* keeps its last checkpoint \(step 12\)"):
            train(small.joint(steps=24), tmp_path / "run", resume=True, progress=False)
    assert (tmp_path / "run" / "state.safetensors").read_bytes() == kept
    assert train(small.joint(steps=24), tmp_path / "run", resume=True, progress=False).progress.step == 24
