"""A table of words, holes and far numbers from its file to a trained run and back to words."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
import small
import torch

from buttress.baseline import baseline
from buttress.cli import main as cli
from buttress.core.recipe import Training
from buttress.data.images import Images
from buttress.data.opened import opened
from buttress.data.table import Table
from buttress.experiments.inputs import other_rows, value_of
from buttress.experiments.present import cell
from buttress.experiments.report_examples import save_run_examples
from buttress.report.examples import load_examples
from buttress.training.run import Run, train

CITIES = ["Rome", "Oslo", "Lima", ""]
START = 1_700_000_000_000


def rows(n=120, order=CITIES):
    random = np.random.default_rng(n)
    for i in range(n):
        age = "" if i % 7 == 0 else f"{20 + random.integers(0, 50)}"
        yield [f"{START + 10 * i}", order[i % 4], age, ["yes", "no"][i % 2], f"{random.standard_normal():.3f}", "5"]


def write(path, lines):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["when", "city", "age", "sure", "x", "same"], *lines])


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("people")
    write(folder / "people.csv", rows())
    data = Table(str(folder / "people.csv"))
    recipe = baseline(data, opened(data).spec)
    return train(replace(recipe, training=Training(steps=30, batch_size=16)), folder / "run", progress=False)


def typed(*words: object) -> None:
    assert cli.main([str(word) for word in words]) == 0


def test_the_baseline_models_what_is_there(run):
    assert run.recipe.likelihood.name() == "mixed"
    assert run.spec.categories == (0, 4, 0, 2, 0, 0) and run.spec.missing and run.spec.offset[0] != 0


def test_a_run_comes_back_with_its_words(run):
    again = Run.load(run.folder).spec
    for name in ("categories", "words", "missing", "offset", "columns"):
        assert getattr(again, name) == getattr(run.spec, name), name


def test_a_diagnosis_is_finite(run):
    found = run.diagnose(nll_samples=5, gap_steps=2)
    assert np.isfinite([found.estimates[name].value for name in ("elbo", "rate", "nll")]).all()


def test_samples_are_printed_as_the_file_has_them(run, capsys):
    typed("sample", run.folder, "--count", 50)
    head, *printed = csv.reader(io.StringIO(capsys.readouterr().out))
    column = {name: [row[head.index(name)] for row in printed] for name in run.spec.columns}
    assert set(column["city"]) <= set(CITIES) and set(column["sure"]) <= {"yes", "no"}
    assert {float(value) for value in column["same"]} == {5.0} and "" not in column["age"]
    assert all(abs(float(value) - START) < 1e5 and len(value.partition(".")[0]) == 13 for value in column["when"])


def test_reconstructions_show_holes_as_holes(run, capsys):
    typed("reconstruct", run.folder, "--count", 12)
    text = capsys.readouterr().out
    assert "nan" not in text and ",,," not in text and any(city in text for city in CITIES[:3])


def test_the_page_has_the_words(run):
    save_run_examples(run, count=6, ways=2, rows=2)
    found = load_examples(run.folder)
    assert found.words == run.spec.words and found.offset == run.spec.offset
    typed("report", run.folder)
    page = next(run.folder.glob("*.html")).read_text(encoding="utf-8")
    assert "Oslo" in page and "1,700,000" in page


def test_cells_and_values_are_inverse_to_each_other(run):
    for name, batch in list(other_rows(run, run.recipe.data.path))[:8]:
        cells = [cell(run.spec, i, value) for i, value in enumerate(batch.x[0].tolist())]
        again = torch.tensor([value_of(run.spec, i, text) for i, text in enumerate(cells)])
        torch.testing.assert_close(again, batch.x[0], equal_nan=True, msg=name)


def test_another_file_is_read_in_the_words_of_the_run(run, tmp_path):
    write(tmp_path / "other.csv", rows(40, CITIES[::-1]))
    there = dict(other_rows(run, str(tmp_path / "other.csv")))
    for i, (line, wanted) in enumerate(zip(there.values(), rows(40, CITIES[::-1]), strict=True)):
        assert [cell(run.spec, j, value) for j, value in enumerate(line.x[0].tolist())][:2] == wanted[:2], i
    write(tmp_path / "new.csv", rows(40, ["Rome", "Paris", "Lima", "Oslo"]))
    with pytest.raises(ValueError, match=r"column 'city' holds 'Paris', which the run has not seen"):
        list(other_rows(run, str(tmp_path / "new.csv")))


def test_a_row_that_a_person_types_may_have_words(run, capsys):
    row = f"{START + 55},Oslo,31,no,0.5,5"
    typed("interpolate", run.folder, "--from", row, "--to", row.replace("Oslo", "Rome"), "--steps", 3)
    assert len(capsys.readouterr().out.splitlines()) >= 4
    assert cli.main(["interpolate", str(run.folder), "--from", row.replace("Oslo", "Paris"), "--to", row]) == 2
    assert "expected 6 numbers or words with commas between" in capsys.readouterr().err


@pytest.mark.parametrize("scale", [1.0, 1000.0, 1e-4])
def test_the_unit_of_an_image_changes_no_rate(tmp_path, scale):
    """A set of images and the same in another unit and from another zero give the same rate."""
    random = np.random.default_rng(0)
    place = random.random((120, 2)) * 7
    row, column = np.mgrid[:8, :8]
    distance = (row - place[:, :1, None]) ** 2 + (column - place[:, 1:, None]) ** 2
    bumps = np.exp(-distance / 4)
    rates = []
    for name, values in (("one", bumps), ("other", scale * bumps - 3 * scale)):
        np.save(tmp_path / f"{name}.npy", values.astype(np.float32))
        data = Images(str(tmp_path / f"{name}.npy"), split="seed")
        recipe = replace(small.joint(steps=40), data=data, likelihood=baseline(data, opened(data).spec).likelihood)
        found = train(recipe, tmp_path / name, progress=False).diagnose(nll_samples=0, gap_steps=0)
        rates.append(found.estimates["rate"].value)
    assert rates[0] > 0.1 and rates[1] == pytest.approx(rates[0], rel=0.01)
