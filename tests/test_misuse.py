"""What people do that is a little off: sizes beyond the machine, tables of few rows, moved files, odd arguments."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import buttress as bt
from buttress.api import recipe_for
from buttress.core.registry import part
from buttress.objectives.free_bits import FreeBits
from buttress.report.page import UNPRINTED
from buttress.runtime.memory import NoRoom

PARTS = {
    "a latent of many dimensions": {"posterior": part("posteriors", "gaussian")(dim=10**9)},
    "many codes": {
        "posterior": part("posteriors", "vector_quantized")(slots=10**9),
        "prior": part("priors", "uniform")(),
    },
    "many components": {"prior": part("priors", "vamp")(components=10**10)},
    "wide layers": {"encoder": part("encoders", "mlp")(hidden=(10**8, 10**8))},
    "names of groups alone": {
        "encoder": part("encoders", "mlp")(hidden=(1,)),
        "posterior": part("posteriors", "gaussian")(dim=10**9),
    },
}


@pytest.fixture(scope="module")
def spec():
    return recipe_for("linear_gaussian").data.open().spec


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_a_model_beyond_memory_is_refused_before_any_of_it_is_made(parts, spec, monkeypatch):
    monkeypatch.setattr("buttress.runtime.memory.total_memory", lambda: 10**10)
    made = []
    real = torch.nn.Parameter.__new__
    monkeypatch.setattr(
        torch.nn.Parameter,
        "__new__",
        lambda cls, data=None, requires_grad=True: (made.append(data), real(cls, data, requires_grad))[1],
    )
    with pytest.raises(NoRoom, match="of memory, and there are about 10"):
        replace(recipe_for("linear_gaussian"), **parts).model(spec)
    assert all(data.is_meta for data in made)


def test_counting_parameters_draws_nothing(spec):
    recipe = recipe_for("linear_gaussian")
    torch.manual_seed(0)
    one = recipe.model(spec)
    torch.manual_seed(0)
    other = recipe._model(spec)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("floor", [{"per_group": 1e39}, {"total": 1e39}])
def test_a_floor_beyond_32_bits_is_refused(floor):
    with pytest.raises(ValueError, match="wanted at most"):
        FreeBits(**floor)


def test_a_small_table_gets_a_batch_that_fits(tmp_path):
    np.save(tmp_path / "t.npy", np.random.default_rng(0).normal(size=(60, 4)))
    run = bt.train(tmp_path / "t.npy", tmp_path / "run", steps=2, progress=False)
    assert run.recipe.training.batch_size == len(run.splits().train) < 60
    with pytest.raises(ValueError, match="batch_size is 64 and there are"):
        bt.train(tmp_path / "t.npy", tmp_path / "other", steps=2, batch_size=64, progress=False)


def test_a_run_whose_data_were_moved_goes_on(tmp_path):
    table = np.random.default_rng(0).normal(size=(60, 4))
    old, new, out = tmp_path / "t2.npy", tmp_path / "t3.npy", tmp_path / "run"
    np.save(old, table)
    bt.train(old, out, steps=2, batch_size=8, progress=False)
    shutil.move(old, new)
    assert (
        bt.train(new, out, steps=2, batch_size=8, resume=True, progress=False).splits().train
    )  # finished, and found again
    assert bt.train(new, out, steps=4, batch_size=8, resume=True, progress=False).step == 4
    np.save(new, table + 1)
    with pytest.raises(ValueError, match="the data changed since the run"):
        bt.train(new, out, steps=6, batch_size=8, resume=True, progress=False)


def test_pages_hold_no_control_characters():
    assert UNPRINTED.sub("", "a\x1b[31mb\r\tc\n\x9b") == "a[31mb\tc\n"


def test_the_version_is_in_one_place():
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert 'dynamic = ["version"]' in text
