"""Factors of the data go with a run: into its diagnosis, its traversals and its page, in the order of its examples."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from buttress.baseline import baseline
from buttress.cli import main as cli
from buttress.data.shapes2d import Shapes2d
from buttress.decoders.mlp import MlpDecoder
from buttress.diagnostics.estimators.mutual_information_gap import mutual_information_gap
from buttress.diagnostics.evidence import Evidence
from buttress.diagnostics.representation import representation
from buttress.encoders.mlp import MlpEncoder
from buttress.experiments.traversal import by_rate, titles
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.report.examples import load_examples
from buttress.training.run import Run, train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    data = Shapes2d(size=8, scales=1, orientations=1, positions=5, held_out=0.5)
    start = baseline(data, data.open().spec)
    parts = {
        "encoder": MlpEncoder(hidden=(16,)),
        "decoder": MlpDecoder(hidden=(16,)),
        "posterior": GaussianPosterior(2),
    }
    training = replace(start.training, steps=60, batch_size=16, validate_every=60)
    return train(replace(start, **parts, training=training), tmp_path_factory.mktemp("run") / "a", progress=False)


def test_a_diagnosis_has_the_factors_of_its_own_examples(run):
    evidence = run.diagnose(nll_samples=0, gap_steps=0)
    splits = run.splits()
    x = run.model.observe(splits.held_out.batch(torch.arange(len(splits.held_out))))
    read = representation(run.model, [x], splits.factors)
    apart = mutual_information_gap(read.z, read.factors).value
    assert evidence.estimates["mutual_information_gap"].value == pytest.approx(apart)
    shuffled = mutual_information_gap(read.z, splits.factors.take(torch.randperm(len(x))))
    assert shuffled.value != pytest.approx(apart)
    assert len(evidence.groups.followed) == 2


def test_traversals_name_dimensions_with_rate_and_factor(run, tmp_path):
    assert titles(run, [1, 0])[0].startswith("z1, KL ")
    evidence = Evidence.load(run.folder / "evidence.json")
    told = replace(evidence, groups=replace(evidence.groups, followed=("x 0.91", "")))
    told.save(run.folder / "evidence.json")
    assert titles(run, [0])[0].endswith("x 0.91") and "x" not in titles(run, [1])[0]
    assert cli.main(["traverse", str(run.folder), "--out", str(tmp_path / "moved.png")]) == 0
    assert cli.main(["report", str(run.folder)]) == 0
    (run.folder / "evidence.json").unlink()
    assert titles(run, by_rate(run)) == ["z0", "z1"]


def test_the_page_shows_them(run):
    from buttress.experiments.report_examples import save_run_examples

    run.diagnose(nll_samples=0, gap_steps=0)
    save_run_examples(run)
    assert all(", KL " in name for name in load_examples(run.folder).traversed)
    assert Run.load(run.folder).splits().factors.names == ("shape", "x", "y")
