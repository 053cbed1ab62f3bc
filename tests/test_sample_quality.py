"""Samples of a run beside real examples: sets whose answer is known, errors, refusals, and the command."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from buttress import api
from buttress.cli import main as cli
from buttress.cli import watching
from buttress.core import Column, Layout
from buttress.experiments import sample_quality as module
from buttress.experiments.papers import _vqvae2_judge
from buttress.experiments.sample_quality import RESULT, _Bench, _Set, likeness, sample_quality

LABEL = Column("label", classes=2)


def halves(n, seed):
    """Noisy images whose upper half is bright, or whose lower half is: the label."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2  # as many of both, or their numbers are most of a distance
    x = torch.rand(n, 1, 8, 8, generator=generator)
    x[labels == 0, :, :4] += 0.4
    x[labels == 1, :, 4:] += 0.4
    return _Set(x / 1.4, labels)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A conditional model of images with labels, hardly trained."""
    place = tmp_path_factory.mktemp("quality")
    real = halves(300, 0)
    pixels = (255 * real.x).byte().numpy()
    np.savez(place / "images.npz", x=pixels, y=real.labels.numpy())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUTTRESS_CACHE", str(place / "cache"))
        words = ("--data.key", "x", "--data.labels_key", "y", "--data.held_out", "0.2", "--condition", "embedding")
        small = ("--training.steps", "2", "--encoder.widths", "3,4", "--decoder.widths", "4,3", "--no_diagnose")
        assert cli.main(["train", str(place / "images.npz"), *words, *small, "--out", str(place / "run")]) == 0
        yield place / "run"


def test_likeness_of_equal_sets_is_perfect_of_sets_apart_nothing_and_of_gaussians_the_closed_form():
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 2000, 3, generator=generator)
    assert likeness(one, one) == {"frechet": pytest.approx(0, abs=1e-9), "precision": 1, "recall": 1}
    far = likeness(one, 2 * other + 50)  # |50|^2 in each of 3 dimensions, and (2 - 1)^2
    assert (far["precision"], far["recall"]) == (0, 0) and far["frechet"] == pytest.approx(3 * (2500 + 1), rel=0.01)
    assert likeness(one, other[:500]) == likeness(one[:500], other[:500]), "both have one size"


def test_the_paper_is_judged_by_the_same_function():
    assert _vqvae2_judge.likeness is likeness


def test_the_error_of_a_distance_is_its_spread_over_sets():
    drawn = torch.randn(40, 2, 200, 2, generator=torch.Generator().manual_seed(0)) + torch.tensor([[[0.0]], [[1.0]]])
    found = [module._with_errors(one, other)["frechet"] for one, other in drawn]
    spread = np.std([each.value for each in found])
    assert np.mean([each.error for each in found]) == pytest.approx(spread, rel=0.3)


def test_samples_as_good_as_real_images_get_what_these_get_and_bad_ones_do_not():
    train, held_out = halves(500, 0), halves(200, 1)
    bench = _Bench(train, held_out, 100, LABEL, steps=60, seed=0)
    real, again = bench.row(train.take(slice(300)), True), bench.row(halves(300, 2), True)
    assert bench.accuracy().value > 0.95 and real["cas"].value > 0.95 and real["agreement"].value > 0.95
    assert again["frechet"].value < 3 * real["frechet"].value and again["cas"].value > 0.95
    wrong = bench.row(_Set(train.x[:300], 1 - train.labels[:300]), True)  # each is of the other label
    assert wrong["cas"].value < 0.05 and wrong["agreement"].value < 0.05 and wrong["frechet"] == real["frechet"]
    alike = bench.row(_Set(train.x[:1].expand(300, 1, 8, 8), train.labels[:300]), True)  # one image
    assert alike["recall"].value < 0.05 < real["recall"].value and alike["frechet"].value > 3 * real["frechet"].value


def test_the_accuracy_score_of_what_the_judge_learned_from_is_the_accuracy_of_such_a_classifier():
    train, held_out = halves(300, 0), halves(100, 1)
    bench = _Bench(train, held_out, 50, LABEL, steps=8, seed=3)
    same = bench.classifier(module.LEARNS).accuracy(held_out.x, held_out.labels)
    assert bench.row(train.take(slice(50, None)), True)["cas"].value == pytest.approx(same)


def test_the_judge_has_not_learned_from_the_real_images_that_stand_beside_samples(monkeypatch):
    train, seen, fit = halves(60, 0), [], module.fit_classifier
    monkeypatch.setattr(module, "fit_classifier", lambda x, *rest, **more: seen.append(x) or fit(x, *rest, **more))
    _Bench(train, halves(20, 1), 20, LABEL, steps=1, seed=0)
    assert torch.equal(seen[0], train.x[20:])


def test_the_command_prints_a_row_for_each_set_and_writes_the_numbers(folder, capsys):
    held_out = len(api.load(folder).splits().held_out)
    words = ("--samples", "80", "--keep", "0.5", "--classifier-steps", "20")
    assert cli.main(["sample-quality", str(folder), *words]) == 0
    said = capsys.readouterr()
    assert "drawing 160 samples" in said.err and "on features of a classifier of label" in said.out
    found = json.loads((folder / RESULT).read_text())
    assert [*found["rows"]] == ["real", "samples", "kept 50 %"]
    assert (found["count"], found["taught"]) == (held_out, 80)
    for row in found["rows"].values():
        assert set(row) == {"frechet", "precision", "recall", "agreement", "cas"}
        assert all(row[name]["error"] is not None for name in row)
    assert found["rows"]["real"]["frechet"]["value"] < found["rows"]["samples"]["frechet"]["value"]
    cas = found["rows"]["samples"]["cas"]
    assert f"{100 * cas['value']:.1f} ± {100 * cas['error']:.1f}" in said.out


def test_what_a_label_has_no_part_in_is_measured_without_one(tmp_path, own_cache):
    pixels = (255 * halves(300, 0).x).byte()
    plain = api.train(pixels, tmp_path / "plain", steps=2, batch_size=8, progress=False)
    found = sample_quality(plain, samples=20)
    assert found.accuracy is None and set(found.rows["samples"]) == {"frechet", "precision", "recall"}
    with pytest.raises(ValueError, match=r"--keep 0.5: .* this model reads no label of images; train one"):
        sample_quality(plain, samples=20, keep=0.5)
    with pytest.raises(ValueError, match="--label y: wanted a column of labels of images"):
        sample_quality(plain, label="y")


def test_a_model_that_reads_no_label_has_a_judge_and_no_accuracy_score(tmp_path, own_cache):
    real = halves(300, 0)
    data = [{"image": (255 * real.x).byte(), "label": real.labels}]
    run = api.train(data, tmp_path / "run", steps=2, batch_size=8, progress=False)
    found = sample_quality(run, samples=20, classifier_steps=5)
    assert found.accuracy is not None and set(found.rows["real"]) == {"frechet", "precision", "recall", "agreement"}
    assert "agreement" not in found.rows["samples"]


def test_what_cannot_be_judged_is_refused_before_anything_is_drawn(folder, tmp_path, own_cache, monkeypatch):
    run = api.load(folder)
    for wrong in ({"samples": 5}, {"keep": 0.0}, {"classifier_steps": 0}):
        with pytest.raises(ValueError, match=r"wanted at least 10, at least 1, and a share above 0"):
            sample_quality(run, **wrong)
    monkeypatch.setattr(type(run), "splits", lambda self: pytest.fail("the data were read"))
    for wrong, said in (({"seed": -1}, "seed is -1"), ({"seed": 2**62}, "seed is"), ({"temperature": -1.0}, "temp")):
        with pytest.raises(ValueError, match=said):
            sample_quality(run, **wrong)
    monkeypatch.undo()
    monkeypatch.setattr(module, "LEAST", 100)
    with pytest.raises(ValueError, match=r"examples to train on and .* held out, wanted at least 200 and 100"):
        sample_quality(run, samples=300)
    monkeypatch.setattr(run, "spec", replace(run.spec, layout=Layout.text(10, longest=5)))
    with pytest.raises(ValueError, match="wanted images or a table"):
        sample_quality(run)


@pytest.mark.parametrize("out", ["", "no/such/folder/a.json"])
@pytest.mark.parametrize("command", ["sample-quality", "sample", "encode", "reconstruct", "interpolate"])
def test_a_file_that_cannot_be_written_is_refused_before_the_work(command, out, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(api.load(folder).model.__class__, "observe", lambda *given: pytest.fail("it began"))
    assert cli.main([command, str(folder), "--out", str(tmp_path / out)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and ("is a folder, wanted a file" in said or "is no folder, wanted one" in said)
    assert not any(tmp_path.iterdir())


def test_the_largest_seed_reaches_every_classifier(folder):
    found = sample_quality(api.load(folder), samples=20, classifier_steps=1, seed=2**62 - 1)
    assert found.rows["samples"]["cas"].value is not None


def test_where_nobody_sees_a_line_change_there_is_one_now_and_then(folder, monkeypatch, capsys):
    monkeypatch.setattr(watching, "EVERY", 0.0)
    assert cli.main(["sample-quality", str(folder), "--samples", "20", "--classifier-steps", "3", "--keep", "0.5"]) == 0
    said = capsys.readouterr().err
    for what in ("training the classifier that judges", "training the classifier that rejects", "on its row alone"):
        assert f"{what}: 3 of 3\n" in said
    assert "drawing samples: 40 of 40\n" in said
    assert cli.main(["sample", str(folder), "--given", "label=1", "--count", "2", "--best_of", "2"]) == 0
    assert "training the classifier: 400 of 400\n" in capsys.readouterr().err


def test_a_run_that_is_not_finished_is_told(folder, tmp_path, capsys):
    assert cli.main(["sample", str(folder), "--count", "1", "--out", str(tmp_path / "a.png")]) == 0
    assert "not finished" not in capsys.readouterr().err
    shutil.copytree(folder, tmp_path / "run")
    known = json.loads((tmp_path / "run/progress.json").read_text())
    (tmp_path / "run/progress.json").write_text(json.dumps({**known, "finished": False, "step": 1}))
    for command in (["sample-quality", "--samples", "20", "--classifier-steps", "1"], ["sample", "--count", "1"]):
        assert cli.main([command[0], str(tmp_path / "run"), *command[1:]]) == 0
        said = capsys.readouterr().err
        assert "training is not finished: these are the weights of step 1 of 2; buttress train --resume" in said
