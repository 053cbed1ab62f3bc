"""Training with rounded numbers: resumed bit for bit, the same in two processes, and after training."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest
import small
import torch

from buttress.nn.quantized.layers import Rounded
from buttress.training import checkpoint
from buttress.training.callbacks import Callback
from buttress.training.post_training import cost_of, quantize_run
from buttress.training.run import Run, train
from copies import run_apart


def rounded(recipe, **training):
    return replace(recipe, training=replace(recipe.training, **{"quantize": 4, "quantize_after": 6, **training}))


class End(Callback):
    """Asks for a stop after some steps."""

    def __init__(self, step):
        self.at = step

    def begin(self, engine):
        self.stop = engine.stop

    def on_step(self, step, total, latest):
        if step == self.at:
            self.stop.cell.value = signal.SIGTERM


@pytest.fixture
def sentences(tmp_path):
    (tmp_path / "text.txt").write_text("".join(f"the {a} sees a {b}\n" for a in "abcdefg" for b in "hijklmn"))
    return small.sentences(tmp_path / "text.txt")


@pytest.mark.parametrize(("which", "at"), [("table", 4), ("text", 9)])
def test_a_resumed_run_equals_one_that_never_stopped(which, at, sentences, tmp_path, own_cache):
    """Stopped before numbers are rounded, and after."""
    recipe = rounded(sentences if which == "text" else small.joint(steps=12, validate_every=4))
    train(recipe, tmp_path / "whole", progress=False)
    with pytest.raises(SystemExit):
        train(recipe, tmp_path / "run", progress=False, callbacks=[End(at)])
    assert Run.load(tmp_path / "run").model.ranges.rounding == (at > 6)
    train(recipe, tmp_path / "run", progress=False, resume=True)
    for name in ("state.safetensors", "weights.safetensors", "metrics.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "run" / name).read_bytes(), name


@pytest.mark.slow
def test_two_processes_follow_the_same_ranges(tmp_path):
    recipe = rounded(small.joint(steps=12, validate_every=12), quantize=8)
    for name, devices in (("one", 1), ("two", 2)):
        train(recipe, tmp_path / name, progress=False, devices=devices)
    one, two = (checkpoint.load(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    assert len(one["ranges.low"]) == 4 and one["ranges.steps"] == 12
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_early_stopping_looks_at_rounded_models_alone(tmp_path):
    recipe = rounded(small.joint(steps=12, validate_every=2, patience=50), quantize=2)
    run = train(recipe, tmp_path / "run", progress=False)
    assert run.progress.best_step >= 6 and run.model.ranges.rounding


def test_a_run_is_rounded_after_training(tmp_path):
    run = train(small.joint(steps=200, validate_every=200, checkpoint_every=200), tmp_path / "run", progress=False)
    errors = {}
    for bits in (2, 4, 8):
        after = quantize_run(run, tmp_path / f"{bits}", bits)
        assert after.recipe.training.quantize_after == 200 and after.model.ranges.rounding
        errors[bits] = cost_of(run).elbo.value - cost_of(after).elbo.value
        resumed = train(after.recipe, tmp_path / f"{bits}", progress=False, resume=True)  # finished, so nothing is done
        assert torch.equal(resumed.sample(5), after.sample(5))
    assert abs(errors[8]) < 0.05 and abs(errors[2]) > 5 * abs(errors[8])
    with pytest.raises(ValueError, match="is quantised already, to 8 bits"):
        quantize_run(after, tmp_path / "again", 4)


def test_one_part_is_rounded_alone(tmp_path):
    recipe = rounded(small.joint(), quantize_parts=("decoder",))
    model = recipe.model(recipe.data.open().spec)
    assert isinstance(model.decoder.out, Rounded) and not any(isinstance(m, Rounded) for m in model.encoder.modules())
    with pytest.raises(ValueError, match="no part 'decodr'"):
        rounded(recipe, quantize_parts=("decodr",)).model(recipe.data.open().spec)
    with pytest.raises(ValueError, match="quantize is 9 bits, wanted 2 to 8"):
        rounded(recipe, quantize=9)


# in a process of its own: what checks shapes in tests can't be compiled
BOTH_WAYS = """
import torch
from buttress.baseline import baseline
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.runtime.randomness import seed_step

data = LinearGaussianData(n=200)
splits = data.open()
model = baseline(data, splits.spec).model(splits.spec)
model.quantize(4, after=1)
x = model.observe(splits.train.batch(torch.arange(20)))
compiled = torch.compile(model, backend="eager", fullgraph=True)
for _ in range(3):
    found = []
    for way in (model, compiled):
        seed_step(0, 1)
        found.append(way(x).distortion)
    assert torch.equal(*found)
    model.after_step()
assert model.ranges.ready[0]
"""


def test_a_quantised_model_is_one_graph_with_the_same_numbers():
    run_apart(BOTH_WAYS)
