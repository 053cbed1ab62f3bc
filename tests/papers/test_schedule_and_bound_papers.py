"""The experiments of Fu, Burda, Bowman, Li, Long and Chen, small: arms, claims, result files and pictures."""

import json
import math
import queue

import pytest
import torch

from buttress.core import EOS
from buttress.data.long_documents import LongDocuments
from buttress.data.lstm_text import LstmText
from buttress.data.mnist5k import Mnist5k
from buttress.data.one_hot_sequences import OneHotSequences
from buttress.data.shapes2d import Shapes2d
from buttress.experiments import compare
from buttress.experiments.papers import bowman2016, burda2015, chen2016, fu2019, li2019, long2020
from buttress.experiments.papers._arms import claim, seen
from buttress.runtime.plain_data import load_json

TEXT = LstmText(hidden=8, words=20, length=4, train=60, held_out=20, test=1)
BEFORE = 35011  # as they were before documents could have several topics
DOCUMENTS = LongDocuments(3, 20, 4, shortest=6, longest=9, train=60, held_out=20, pieces=2)
SMALL = {
    "fu": fu2019.Fu2019(OneHotSequences(4, 15, 5), hidden=6, steps=8, batch_size=8, seeds=1),
    "burda": burda2015.Burda2015(samples=(1, 3), hidden=6, latents=3, steps=4, nll_samples=4, nll_examples=8, seeds=1),
    "bowman": bowman2016.Bowman2016(TEXT, embedding=4, hidden=6, latents=2, steps=10, batch_size=8, seeds=1),
    "li": li2019.Li2019(TEXT, embedding=4, hidden=6, latents=2, steps=20, batch_size=8, seeds=1),
    "long": long2020.Long2020(DOCUMENTS, size=6, latents=2, steps=10, batch_size=8, seeds=1),
    "chen": chen2016.Chen2016(
        Shapes2d(size=8, scales=1, orientations=1, positions=3), (1, 3, 5), 1, 2, 2, hidden=4, widths=(2, 2), steps=3,
        batch_size=4, nll_samples=2, nll_examples=4, seeds=1,
    ),
}  # fmt: skip


def one_after_the_other(work, tasks, jobs, watch, ended):
    """The runs of a comparison in this process, for others take seconds to start."""
    return {name: work(*task, queue.Queue()) for name, task in tasks.items()}, {}


@pytest.mark.parametrize("name", SMALL)
def test_an_experiment_leaves_a_result_with_every_arm_and_pictures(name, tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "run_all", one_after_the_other)
    threads = torch.get_num_threads()
    found = SMALL[name].run(tmp_path)
    torch.set_num_threads(threads)
    result = load_json(tmp_path / "result.json")
    assert [one["says"] for one in result["claims"]] == [one.says for one in found]
    assert all(len(one.seen) == 1 and math.isfinite(one.seen[0]) for one in found)
    arms = {"fu": 4, "burda": 2, "bowman": 4, "li": 6, "long": 6, "chen": 5}[name]
    assert len({run["arm"] for run in result["runs"]}) == arms
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in SMALL[name].figures(tmp_path))


def test_one_hot_sequences_are_all_different_and_equally_frequent():
    splits = OneHotSequences(count=5, copies=3, held_out_copies=2).open()
    x = splits.train.batch(torch.arange(15))
    rows, counts = x.unique(dim=0, return_counts=True)
    assert len(rows) == 5 and counts.tolist() == [3] * 5
    assert ((x == 5).sum(1) == 1).all() and (x[:, -1] == EOS).all()
    assert torch.equal(splits.held_out.batch(torch.arange(10)).eq(5).int().argmax(1), splits.labels)


@pytest.mark.parametrize(("pieces", "shortest", "longest"), [(1, 2, 3), (2, 4, 5)])
def test_the_true_nll_of_documents_is_how_often_they_are_drawn(pieces, shortest, longest):
    count = 20_000
    data = LongDocuments(3, 12, 3, shortest, longest, 0.6, train=5, held_out=count, pieces=pieces)
    x, p = data.open().held_out.batch(torch.arange(count)), torch.exp(-data.true_nll())
    _, which, counts = x.unique(dim=0, return_inverse=True, return_counts=True)
    expected = torch.zeros(len(counts), dtype=p.dtype).scatter(0, which, count * p)
    often = expected > 20
    assert often.sum() >= 10
    assert 0.5 < ((counts - expected)[often] ** 2 / expected[often]).mean() < 1.7


def test_documents_of_one_piece_are_what_they_were():
    ids = LongDocuments.tiny()[0].open().train.batch(torch.arange(60))
    assert int((ids * torch.arange(1, ids.shape[1] + 1)).sum()) == BEFORE


def test_a_toy_of_one_sequence_is_refused():
    with pytest.raises(ValueError, match="wanted 2 sequences or more"):
        OneHotSequences(count=1)


def test_the_second_monotonic_ramp_has_the_mean_weight_of_the_cycles():
    from buttress.core import remedy

    recipe = fu2019.Fu2019().recipe()
    ramp, waves = (remedy.apply(arm, recipe).objective.beta for arm in (fu2019.SAME_MEAN, fu2019.CYCLICAL))
    steps = range(recipe.training.steps)
    assert sum(map(ramp, steps)) == pytest.approx(sum(map(waves, steps)), rel=2e-3)


def test_differences_are_between_runs_of_one_seed_and_a_missing_number_does_not_pass():
    runs = [{"arm": arm, "seed": s, "nll": nll} for arm, s, nll in [("a", 1, 5.0), ("b", 0, 1.0), ("b", 1, 2.0)]]
    gap = claim("gap", "above", 0.0, seen(runs, "a", "nll"), seen(runs, "b", "nll"))
    assert math.isnan(gap.seen[0]) and gap.seen[1] == 3.0 and not gap.held


def test_k_must_rise():
    with pytest.raises(ValueError, match="rising numbers"):
        burda2015.Burda2015(Mnist5k(), samples=(5, 1))


def test_the_arms_of_the_lossy_autoencoder_differ_in_window_prior_and_floor_alone():
    from buttress.core import remedy

    trial = chen2016.Chen2016()
    recipes = [remedy.apply(written, trial.recipe()) for written in trial.arms().values()]
    assert [recipe.decoder.field for recipe in recipes] == [1, 5, 27, 5, 5]
    assert len({recipe.decoder.replace(field=1) for recipe in recipes}) == 1
    assert [getattr(recipe.objective, "total", 0) for recipe in recipes] == [7.84] * 4 + [0]
    assert all(recipe.prior.mean_only and recipe.prior.hidden == (640, 640) for recipe in recipes[:3])
    assert [recipe.prior.name() for recipe in recipes[3:]] == ["standard_normal"] * 2
    with pytest.raises(ValueError, match="rising odd numbers"):
        chen2016.Chen2016(windows=(1, 4, 27))


def test_results_are_plain_json(tmp_path):
    assert json.loads(json.dumps(claim("x", "above", 0.0, (1.0,)).plain()))["held"]
