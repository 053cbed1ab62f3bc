"""What people do that is a little off: sizes beyond the machine, tables of few rows, moved files, odd arguments."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import buttress as bt
from buttress.api import recipe_for
from buttress.core.registry import part
from buttress.objectives.free_bits import FreeBits
from buttress.report.page import UNPRINTED
from buttress.runtime.memory import NoRoom
from buttress.training.fit import _kept
from buttress.training.progress import Progress
from copies import run_apart

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


def _after(first: str):
    """What is said of y that can't be labels."""
    return pytest.warns(UserWarning, match=first)


X = torch.randn(80, 4, generator=torch.Generator().manual_seed(0))
SENTENCES = [f"the cat sat {i} times" for i in range(100)]
SERVED = {
    "dict": ({"x": X, "label": torch.arange(80) % 3}, "table"),
    "list of lists": (X.tolist(), "table"),
    "bfloat16": (X.bfloat16(), "table"),
    "sparse": (X.relu().to_sparse(), "table"),
    "objects": (np.array(X.tolist(), dtype=object), "table"),
    "array of texts": (np.array(SENTENCES), "sentences"),
    "texts as objects": (np.array(SENTENCES, dtype=object), "sentences"),
}


@pytest.mark.parametrize(("data", "kind"), SERVED.values(), ids=SERVED)
def test_data_in_memory_are_served(data, kind):
    recipe = recipe_for(data)
    splits = recipe.data.open()
    assert recipe.data.name() == kind
    assert len(splits.train) + len(splits.held_out) == (100 if kind == "sentences" else 80)


def test_a_table_of_pandas_keeps_its_columns():
    pandas = pytest.importorskip("pandas")
    spec = recipe_for(pandas.DataFrame({"size": np.arange(80) / 7, "kind": ["u", "v"] * 40})).data.open().spec
    assert spec.columns == ("size", "kind")
    assert spec.categories == (0, 2)


REFUSED = {
    "NaN": (torch.full((80, 4), torch.nan), "NaN throughout"),
    "structured": (np.zeros(80, dtype=[("a", "f4")]), "wanted numbers"),
    "meta": (torch.empty(80, 4, device="meta"), "meta device"),
    "scalar": (torch.tensor(1.0), "wanted .N, columns."),
    "constant": (torch.ones(80, 4), "^your data: "),
    "empty": ("", "DATA is empty"),
    "empty list": ([], "hold no examples"),
}


@pytest.mark.parametrize(("data", "says"), REFUSED.values(), ids=REFUSED)
def test_data_in_memory_are_refused_without_the_name_of_a_hidden_file(data, says):
    with pytest.raises(ValueError, match=says) as refused:
        recipe_for(data)
    assert "in_memory" not in str(refused.value)


@pytest.mark.parametrize("y", [torch.randn(80), torch.ones(80, 3)])
def test_y_that_is_no_class_is_left_out_with_a_warning(y):
    with _after("not one class for each example"):
        recipe = recipe_for(torch.utils.data.TensorDataset(X, y))
    assert recipe.data.open().labels is None


def test_y_in_some_batches_is_left_out_with_a_warning():
    with _after("1 of 2 batches"):
        recipe_for([(X[:40], torch.arange(40)), X[40:]])


def test_a_link_that_leads_nowhere_is_left_alone(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (30, 8, 8), dtype=np.uint8)
    for number, one in enumerate(pixels):
        Image.fromarray(one).save(tmp_path / f"{number}.png")
    (tmp_path / "self.png").symlink_to("self.png")
    notes = recipe_for(tmp_path).data.open().notes
    assert any("lead nowhere were left alone: self.png" in note for note in notes)


def test_conditions_of_samples_come_as_lists_and_names(tmp_path):
    data = {"x": X, "label": np.array(["cat", "dog"] * 40)}
    run = bt.train(data, tmp_path / "run", steps=1, batch_size=8, condition="embedding", progress=False)
    one = run.sample(3, given={"label": torch.tensor([0, 1, 0])})
    for same in ([0, 1, 0], ["cat", "dog", "cat"], [0.0, 1.0, 0.0], np.array([0, 1, 0])):
        assert torch.equal(run.sample(3, given={"label": same}), one)
    for other, says in (([0], "got 1 values for 3"), ([0, 1, 7], "got '7'"), (1, "got 1 for 3")):
        with pytest.raises(ValueError, match=says):
            run.sample(3, given={"label": other})


SLIPS = """
from pathlib import Path
import torch
import buttress as bt
x, small, said = torch.randn(40, 3), {"likelihood": "mse"}, []
model = torch.nn.Linear(3, 3)
for call in (
    lambda: bt.diagnose(model, x, likelihood="gaussian", variance="a"),
    lambda: bt.diagnose(model, x, nll_samples=1.5, **small),
    lambda: bt.diagnose(model, x, samples=None, **small),
    lambda: bt.diagnose(model, x, samples=10**12, **small),
    lambda: bt.diagnose(model, x, seed="a", **small),
    lambda: bt.diagnose(model, x, foo=1, **small),
    lambda: bt.train(x, steps="a"),
    lambda: bt.train(x, remedies=None),
    lambda: bt.train(x, recipe=3),
    lambda: bt.train(x, devices="a"),
    lambda: bt.train(x, encoder="own"),
    lambda: bt.train(x, "a" + chr(0)),
    lambda: bt.load(None),
    lambda: bt.compare(x, ["none"], seeds=1.5),
    lambda: bt.compare(x, ["none"], evidence={"foo": 1}),
):
    try:
        call()
    except ValueError as error:
        said.append(str(error))
Path("said.txt").write_text("\\n".join(said))
"""


def test_slips_of_type_end_in_one_sentence(tmp_path):
    """In another process, for here every function checks its types itself."""
    run_apart(f"import os; os.chdir({str(tmp_path)!r})\n{SLIPS}")
    lines = (tmp_path / "said.txt").read_text().splitlines()
    assert len(lines) == SLIPS.count("lambda")
    assert max(map(len, lines)) < 300, lines
    assert not list(tmp_path.rglob("recipe.yaml"))


def test_a_full_disk_says_whether_there_is_a_checkpoint(tmp_path):
    assert _kept(tmp_path / "state.safetensors") == "no checkpoint had been made yet"
    (tmp_path / "state.safetensors").touch()
    Progress(step=7).write(tmp_path)
    assert "keeps its last checkpoint (step 7)" in _kept(tmp_path / "state.safetensors")


def test_pages_hold_no_control_characters():
    assert UNPRINTED.sub("", "a\x1b[31mb\r\tc\n\x9b") == "a[31mb\tc\n"


def test_the_version_is_in_one_place():
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert 'dynamic = ["version"]' in text
