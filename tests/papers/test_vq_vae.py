"""Two VQ-VAEs, one on the other: what is trained on what, what is claimed, and that labels reach the second one."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from buttress.cli import main as cli
from buttress.data.images import Images
from buttress.experiments.claim import Claim
from buttress.experiments.papers import vq_vae as paper
from buttress.report import comparison
from buttress.report import run as report


def write_pictures(path):
    """Bars that stand or lie, which is their label."""
    rng = np.random.default_rng(0)
    pictures = np.zeros((160, 8, 8), np.uint8)
    labels = rng.integers(0, 2, 160)
    for picture, lies, at in zip(pictures, labels, rng.integers(0, 6, 160), strict=True):
        (picture if lies else picture.T)[at : at + 2] = 255
    np.savez(path, x_train=pictures[:100], x_test=pictures[100:], y_test=labels[100:])
    return Images(str(path), held_out_key="x_test", labels_key="y_test")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vq")
    small = paper.VqVae(
        write_pictures(folder / "bars.npz"), first_codes=8, first_dim=4, first_steps=20, codes=6, dim=3, steps=12,
        batch_size=20, seeds=1,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paper, "EFFORT", {"nll_samples": 4, "nll_examples": 8, "gap_steps": 0})
        return small, folder / "out", small.run(folder / "out")


def numbers(folder):
    return json.loads((folder / paper.RESULT).read_text())


@pytest.mark.slow
def test_the_second_model_reads_the_codes_of_the_first_and_its_labels_come_along(done):
    small, folder, found = done
    first, second = small.first(), small.second(folder)
    assert first.decoder.name() == "conv" and first.prior.name() == "pixelcnn" and first.posterior.codes == 8
    assert second.data.name() == "codes" and second.decoder.field is None and second.posterior.name() == "gaussian"
    result = numbers(folder)
    gaussian, codes = result["second"]
    assert (gaussian["arm"], codes["arm"]) == small.arms
    assert result["first"]["places"] == 4 and codes["places"] == 3
    assert codes["rate_uniform"] == pytest.approx(3 * math.log(6), rel=1e-6)
    assert torch.equal(second.data.open().labels, small.data.open().labels)
    assert all(0 < run["label_accuracy"] <= 1 for run in (result["first"], codes, gaussian))
    assert all(0.5 <= run["label_accuracy_chance"] < 0.7 for run in (result["first"], codes, gaussian))
    assert [claim["held"] for claim in result["claims"]] == [claim.held for claim in found]


@pytest.mark.slow
def test_a_finished_experiment_is_not_done_again(done, monkeypatch):
    small, folder, found = done
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("weights.safetensors")}
    monkeypatch.setattr("buttress.training.run.Run.diagnose", None)
    assert small.run(folder) == found and len(before) == 3
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_images_without_labels_are_refused_before_anything_is_trained(tmp_path):
    data = replace(write_pictures(tmp_path / "bars.npz"), labels_key=None)
    with pytest.raises(ValueError, match="no labels"):
        paper.VqVae(data).run(tmp_path / "out")
    assert not (tmp_path / "out").exists()


FIRST = {"code_perplexity": 32.0, "rate": 49 * 4.2 * math.log(2), "places": 49}


def test_the_marks_are_those_set_before_the_runs():
    codes = {"arm": "vector_quantized", "worth_shuffled": 5.0, "label_accuracy": 0.5, "rate": 9.0}
    gaussian = {"arm": "none", "worth_shuffled": 0.1, "label_accuracy": 0.1, "rate": 0.2}
    found = paper.claims(FIRST, [gaussian, codes])
    assert [claim.held for claim in found] == [True] * 5
    assert [claim.median for claim in found] == pytest.approx([32, 0.8, 5, 0.5, 0.2])
    worse = paper.claims(
        {**FIRST, "code_perplexity": 18.0}, [{**gaussian, "rate": 0.6}, {**codes, "label_accuracy": None}]
    )
    assert [claim.held for claim in worse] == [False, False, True, False, False]
    assert [claim.held for claim in paper.claims(FIRST, [gaussian])] == [True, True, False, False, True]


@pytest.mark.parametrize("name", ["slots", "codes", "dim", "steps", "first_steps", "seeds"])
def test_what_would_fail_late_is_refused_early(name):
    with pytest.raises(ValueError, match=f"vq_vae: {name} is 0, wanted at least"):
        paper.VqVae(**{name: 0})


def test_the_command_passes_its_flags_on_and_says_what_held(tmp_path, monkeypatch, capsys):
    data, asked = write_pictures(tmp_path / "bars.npz"), []

    def run(self, folder, jobs, watch):
        asked.append((self, jobs))
        return [Claim("codes: worth", "above", 1.0, (2.5,)), Claim("gaussian: rate, nats", "below", 0.5, (0.7,))]

    monkeypatch.setattr(paper.VqVae, "run", run)
    monkeypatch.setattr(report, "write_report", lambda folder: folder / "report.html")
    monkeypatch.setattr(comparison, "write_comparison", lambda folder: folder / "report.html")
    keys = ["--data.held_out_key", "x_test", "--data.labels_key", "y_test"]
    words = [*keys, "--slots", "2", "--first_dim", "5", "--jobs", "2", "--out", str(tmp_path)]
    for named in (["--data", data.path], ["--data", "images", "--data.path", data.path]):
        assert cli.main(["paper", "vq_vae", *named, *words]) == 0
        assert asked.pop() == (paper.VqVae(data, slots=2, first_dim=5), 2)
    assert cli.main(["paper", "vq_vae", "--data", "mnist5k", "--out", str(tmp_path)]) == 0
    assert asked.pop() == (paper.VqVae(), 1)
    out = capsys.readouterr().out
    assert out.count("did not hold") == 3
    assert f"written: {tmp_path}/second/report.html" in out
    assert cli.main(["paper", "vq_vae", "--data", "mnsit5k"]) == 2
    assert "no data 'mnsit5k'; did you mean 'mnist5k'?" in capsys.readouterr().err and not asked


def test_the_command_line_starts_and_a_run_is_opened_without_lightning_which_takes_seconds():
    look = "import sys, buttress.training.run, buttress.cli.main"
    look += "; from buttress.experiments.papers import experiments; experiments()"
    subprocess.run([sys.executable, "-c", f"{look}; sys.exit('lightning' in sys.modules)"], check=True)
