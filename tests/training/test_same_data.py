"""A run knows its data by their values: others are refused, whatever the file's name and time."""

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small
import torch
import yaml
from PIL import Image

from buttress.cli import main as cli
from buttress.core import Batch, Examples, Splits
from buttress.data.images import Images
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.data.sentences import Sentences
from buttress.data.table import Table
from buttress.decoders.conv import ConvDecoder
from buttress.encoders.conv import ConvEncoder
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.training.fingerprint import EXAMPLES, fingerprint
from buttress.training.run import Run, train
from buttress.training.spec_file import OtherData, data_differences, save_spec

pytestmark = pytest.mark.usefixtures("own_cache")


def numbers(rows=400):
    noise = np.random.default_rng(0)
    return noise.standard_normal((rows, 2)) @ noise.standard_normal((2, 4)) + 0.3 * noise.standard_normal((rows, 4))


@pytest.fixture
def table(tmp_path) -> Run:
    np.save(tmp_path / "table.npy", numbers())
    recipe = replace(small.joint(steps=11), data=Table(str(tmp_path / "table.npy"), split="seed"))
    return train(recipe, tmp_path / "run", progress=False)


def told(run: Run) -> str:
    with pytest.raises(OtherData) as refused:
        Run.load(run.folder).diagnose(nll_samples=0, gap_steps=0)
    assert "the data changed since the run in" in str(refused.value) and "\n" not in str(refused.value)
    return str(refused.value)


def one_value(x):
    x = x.copy()
    x[7, 2] += 50
    return x


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda x: 1000 * x + 5, "their values differ"),
        (lambda x: np.concatenate([x, x[:60] + 0.01]), r"train is 360 there and 4\d\d here"),
        (lambda x: x[:-40], "train is 360 there and 3"),
        (lambda x: x[:, :3], "shape is"),
        (lambda x: x[:, [1, 0, 2, 3]], "their values differ"),
        (lambda x: x[::-1], "their values differ"),
        (one_value, "their values differ"),
    ],
    ids=["rescaled", "grown", "shrunk", "column lost", "columns swapped", "rows reversed", "one value"],
)
def test_other_values_under_the_same_path_are_named(table, tmp_path, change, named):
    np.save(tmp_path / "table.npy", np.ascontiguousarray(change(numbers())))
    assert re.search(named, told(table))
    with pytest.raises(OtherData, match="Train a new run"):
        train(replace(table.recipe, training=replace(table.recipe.training, steps=20)), table.folder, resume=True)


def test_the_same_values_in_a_file_written_again_are_the_same_data(table, tmp_path):
    np.save(tmp_path / "table.npy", numbers())
    os.utime(tmp_path / "table.npy", (0, 0))
    assert Run.load(table.folder).diagnose(nll_samples=0, gap_steps=0).n == 40


def test_other_data_are_measured_where_one_says_so(table, tmp_path, capsys):
    np.save(tmp_path / "table.npy", 2 * numbers())
    words = ["diagnose", str(table.folder), "--nll_samples", "0", "--gap_steps", "0"]
    assert cli.main(words) == 2 and "--other_data true" in capsys.readouterr().err
    assert cli.main([*words, "--other_data", "true"]) == 0
    np.save(tmp_path / "table.npy", numbers()[:, :3])
    with pytest.raises(ValueError, match=r"shape is \[4\] there and \[3\] here; .* Bring the data back"):
        Run.load(table.folder, other_data=True).splits()


def test_a_text_with_other_lines_is_named(tmp_path):
    lines = [f"the {a} cat sat near the {b}" for a in ["red", "blue", "old", "new", "big", "fat"] for b in "abcdefgh"]
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(lines))
    save_spec(tmp_path, Sentences(str(path)).open())
    assert not data_differences(tmp_path, Sentences(str(path)).open())
    path.write_text("\n".join([*lines, *(f"more new words come here {w}" for w in ["today", "tonight", "never"] * 9)]))
    assert any(text.startswith("vocabulary is") for text in data_differences(tmp_path, Sentences(str(path)).open()))
    path.write_text("\n".join(line.replace("cat", "dog") for line in lines))
    assert data_differences(tmp_path, Sentences(str(path)).open())
    path.write_text("\n".join(line.replace("near the", "the near") for line in lines))
    assert data_differences(tmp_path, Sentences(str(path)).open())


def test_a_picture_that_was_replaced_is_noticed(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(40):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (8, 8), np.uint8)).save(folder / f"{i:02}.png")
    data = Images(str(folder))
    save_spec(tmp_path, data.open())
    assert not data_differences(tmp_path, data.open())
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "17.png")
    assert data_differences(tmp_path, data.open()) == ["their values differ"]


class Numbered(Examples):
    """Examples 0, 1, 2 ... with a condition."""

    def __init__(self, n, label=0):
        self.n, self.conditions = n, {"label": torch.full((n,), label)}

    def __len__(self):
        return self.n

    def batch(self, index, rows=slice(None)):
        return index[rows, None].float()


def test_conditions_and_labels_are_part_of_the_data_and_many_examples_are_sampled():
    spec = LinearGaussianData(dim=1).open().spec

    def of(n=10, label=0, labels=None):
        return fingerprint(Splits(Numbered(n, label), Numbered(4, label), spec, labels=labels))

    plain, labelled = of(), of(labels=torch.zeros(4))
    assert len({plain, labelled, of(label=1), of(labels=torch.ones(4)), of(n=11)}) == 5 and plain == of()
    read = []

    class Counted(Numbered):
        def read(self, index, rows=slice(None)):
            read.append(int(index[0]))
            return Batch(self.batch(index, rows))

    fingerprint(Splits(Counted(10 * EXAMPLES), Counted(2), spec))
    assert len(read) == EXAMPLES + 2 and read[0] == 0 and read[EXAMPLES - 1] == 10 * EXAMPLES - 1


def test_a_run_that_recorded_no_fingerprint_opens_and_is_checked_by_its_moments(table, tmp_path):
    path = Path(table.folder) / "spec.yaml"
    plain = yaml.safe_load(path.read_text())
    for name in ("fingerprint", "levels", "span", "given", "categories", "words", "missing", "offset"):
        plain.pop(name, None)
    path.write_text(yaml.safe_dump(plain))
    assert Run.load(table.folder).diagnose(nll_samples=0, gap_steps=0).n == 40
    np.save(tmp_path / "table.npy", 3 * numbers())
    assert "their values differ" in told(table)


def test_pictures_are_told_apart_from_the_run_by_a_command(tmp_path, capsys):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8)
    np.save(tmp_path / "images.npy", pixels)
    recipe = replace(
        small.joint(steps=11),
        data=Images(str(tmp_path / "images.npy")),
        encoder=ConvEncoder(widths=(3, 4)),
        decoder=ConvDecoder(widths=(4, 3)),
        likelihood=Bernoulli(),
    )
    train(recipe, tmp_path / "run", progress=False)
    np.save(tmp_path / "images.npy", 255 - pixels)
    for command in (["diagnose"], ["encode"], ["reconstruct", "--count", "2"]):
        assert cli.main([command[0], str(tmp_path / "run"), *command[1:]]) == 2
        assert "the data changed since" in capsys.readouterr().err
