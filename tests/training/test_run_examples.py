"""What a run makes, as the commands show it."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import small
import torch
from PIL import Image

from buttress.cli import main as cli
from buttress.core import DataSpec, Layout, Space
from buttress.data.images import Images
from buttress.decoders.conv import ConvDecoder
from buttress.encoders.conv import ConvEncoder
from buttress.experiments.examples import (
    as_observed,
    decoded,
    drawn_again,
    interpolations,
    reconstructed,
    sampled,
    seeded,
    some_held_out,
    tempered,
)
from buttress.experiments.inputs import typed as typed_input
from buttress.experiments.report_examples import save_run_examples
from buttress.experiments.traversal import _classes, _moves, traversal
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.likelihoods.categorical import Categorical
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.likelihoods.logistic_mixture import LogisticMixture
from buttress.posteriors.categorical import CategoricalPosterior
from buttress.report.examples import load_examples
from buttress.report.latent import load_latent
from buttress.report.run import write_report
from buttress.training.run import Run, train


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("pictures")
    np.save(folder / "images.npy", np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8))
    recipe = replace(
        small.joint(),
        data=Images(str(folder / "images.npy")),
        encoder=ConvEncoder(widths=(3, 4)),
        decoder=ConvDecoder(widths=(4, 3)),
        likelihood=LogisticMixture(2),
    )
    return train(recipe, folder / "run", progress=False)


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Run:
    return train(small.joint(), tmp_path_factory.mktemp("table") / "run", progress=False)


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("text")
    words = ("the", "a", "cat", "dog", "saw", "ate")
    lines = [f"{a} {b} {c}\n" for a in words for b in words for c in words]
    (folder / "lines.txt").write_text("".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUTTRESS_CACHE", str(folder / "cache"))
        return train(small.sentences(folder / "lines.txt", batch_size=8), folder / "run", progress=False)


def typed(*words: object) -> None:
    assert cli.main([str(word) for word in words]) == 0


def test_each_command_has_a_picture_of_its_own(pictures):
    for command, name in (
        ("sample", "samples"),
        ("reconstruct", "reconstructions"),
        ("interpolate", "interpolations"),
    ):
        before = {path.name for path in pictures.folder.iterdir()}
        typed(command, pictures.folder, "--count", 2)
        assert {path.name for path in pictures.folder.iterdir()} - before == {f"{name}.png"}


def test_a_picture_goes_where_it_is_asked_to(pictures, tmp_path: Path):
    typed("sample", pictures.folder, "--count", 2, "--out", tmp_path / "two.png")
    assert (tmp_path / "two.png").is_file()


def test_small_pictures_are_magnified_by_whole_factors(pictures, tmp_path: Path):
    typed("sample", pictures.folder, "--count", 4, "--out", tmp_path / "four.png")
    canvas = np.asarray(Image.open(tmp_path / "four.png"))
    assert canvas.shape == (18 * 34, 18 * 34, 4)  # two tiles of 8 and a gap of 2
    assert (canvas.reshape(18, 34, 18, 34, 4) == canvas[::34, None, ::34, None]).all()


def test_rows_say_what_they_are_in_the_fewest_digits(table, capsys):
    typed("reconstruct", table.folder, "--count", 2)
    head, *rows = csv.reader(capsys.readouterr().out.splitlines())
    assert head == ["which", "example", "x0", "x1", "x2", "x3"]
    assert [row[:2] for row in rows] == [[w, n] for n in "12" for w in ("original", "reconstruction")]
    stored = some_held_out(table, 2).x[0].float().tolist()
    assert rows[0][2:] == [str(np.float32(v)) for v in stored] and max(map(len, rows[0])) < 13
    typed("interpolate", table.folder, "--count", 2, "--steps", 3)
    head, *rows = csv.reader(capsys.readouterr().out.splitlines())
    assert head[:2] == ["position", "walk"]
    assert [row[:2] for row in rows] == [[p, n] for n in "12" for p in ("0.00", "0.50", "1.00")]


def test_sentences_stand_in_groups_behind_what_they_are(text, capsys):
    typed("reconstruct", text.folder, "--count", 2)
    lines = capsys.readouterr().out.splitlines()
    pair = ["original", "reconstruction"]
    assert [line.partition(" ")[0] for line in lines] == [*pair, "", *pair]
    typed("interpolate", text.folder, "--count", 2, "--steps", 3)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["0.00", "0.50", "1.00", "", "0.00", "0.50", "1.00"]


@pytest.mark.parametrize("kind", ["pictures", "table", "text"])
def test_a_walk_is_drawn_with_the_same_random_numbers_and_walks_with_others(kind, request):
    run = request.getfixturevalue(kind)
    z = torch.zeros(40, *run.model.space.shape)
    along = run.model.decode(z.expand(3, *z.shape)).sample_along()
    assert torch.equal(along[0], along[1]) and torch.equal(along[0], along[2])
    assert not all(torch.equal(along[0, 0], other) for other in along[0, 1:])


@pytest.mark.parametrize("kind", ["pictures", "table"])
def test_means_are_no_draws(kind, request, capsys):
    run = request.getfixturevalue(kind)
    raw = some_held_out(run, 2)
    one, other = (reconstructed(run, raw, seed, mean=True) for seed in (1, 2))
    assert torch.equal(one, other) and not torch.equal(reconstructed(run, raw, 1), reconstructed(run, raw, 2))
    assert torch.equal(one, run.model.decode(run.model.posterior(run.model.observe(raw.x)).mean).mean)
    way = interpolations(run, raw.take(slice(1)), raw.take(slice(1, None)), 3, mean=True)[0]
    assert torch.allclose(way[[0, 2]], one, rtol=1e-5)
    typed("reconstruct", run.folder, "--count", 2, "--mean", "true")
    typed("interpolate", run.folder, "--count", 1, "--mean", "true")


def test_a_decoder_without_a_mean_still_draws_x_from_the_mean_of_z(text):
    raw = some_held_out(text, 40)
    one, same, other = (reconstructed(text, raw, seed, mean=True) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not (one.shape == other.shape and torch.equal(one, other))
    assert interpolations(text, raw.take(slice(2)), raw.take(slice(2, 4)), 3, mean=True).shape[:2] == (2, 3)


@pytest.mark.parametrize("kind", ["pictures", "table", "text"])
def test_draws_of_a_row_share_one_z(kind, request, monkeypatch: pytest.MonkeyPatch):
    run = request.getfixturevalue(kind)
    raw, decode, read = some_held_out(run, 3), run.model.decode, []
    monkeypatch.setattr(run.model, "decode", lambda z, given: read.append(z) or decode(z, given))
    rows = drawn_again(run, raw, times=4, seed=1)
    assert [len(z) for z in read] == [3] and rows.shape[:2] == (3, 5)
    observed = as_observed(run, raw.x)
    padded = torch.nn.functional.pad(observed, (0, rows.shape[-1] - observed.shape[-1]))
    assert torch.equal(rows[:, 0], padded)
    assert not any(torch.equal(rows[:, 1], rows[:, i]) for i in (2, 3, 4))
    with pytest.raises(ValueError, match="at least 1"):
        drawn_again(run, raw, times=0)


@pytest.mark.parametrize("kind", ["pictures", "table", "text"])
def test_a_page_shows_several_draws_of_one_z(kind, request):
    run = request.getfixturevalue(kind)
    save_run_examples(run, count=4, ways=2, rows=3)
    found = load_examples(run.folder)
    assert found is not None and [len(row) for row in found.draws] == [5, 5, 5]
    assert "Several draws from one z" in write_report(run.folder).read_text(encoding="utf-8")


def test_a_page_shows_codes_of_which_q_is_not_sure(tmp_path):
    """Such as those of gumbel_softmax, whose runs a comparison once took for failed."""
    recipe = replace(small.two_stage(), posterior=CategoricalPosterior(codes=4, dim=2, slots=2))
    run = train(recipe, tmp_path / "run", progress=False)
    save_run_examples(run, count=2, ways=1, rows=2)
    view = load_latent(run.folder / "latent.json")
    assert view is not None
    counts = torch.tensor(view.codes)
    assert counts.shape == (2, 4) and (counts.sum(1) == len(run.splits().held_out)).all()


def test_samples_and_reconstructions_are_not_drawn_with_the_same_random_numbers(table):
    with torch.no_grad():  # a decoder that ignores z
        kept = [p.clone() for p in table.model.decoder.parameters()]
        for p in table.model.decoder.parameters():
            p.mul_(0)
        save_run_examples(table, count=4, ways=2)
        for p, before in zip(table.model.decoder.parameters(), kept, strict=True):
            p.copy_(before)
    found = load_examples(table.folder)
    assert found is not None and not np.allclose(found.samples, found.reconstructions)


def test_several_draws_stand_beside_each_original(pictures, table, capsys, tmp_path: Path):
    typed("reconstruct", table.folder, "--count", 2, "--draws", 3)
    _, *rows = csv.reader(capsys.readouterr().out.splitlines())
    assert [row[:2] for row in rows] == [[w, n] for n in "12" for w in ("original", "draw 1", "draw 2", "draw 3")]
    typed("reconstruct", pictures.folder, "--count", 2, "--draws", 3, "--out", tmp_path / "rows.png")
    with Image.open(tmp_path / "rows.png") as picture:
        wide, high = picture.size
    assert (wide // 38, high // 18) == (wide / 38, high / 18), "two rows of four tiles of 8"
    assert cli.main(["reconstruct", str(table.folder), "--draws", "2", "--mean", "true"]) == 2
    assert "only without --mean" in capsys.readouterr().err


def test_walks_that_cannot_be_walked_are_refused(table):
    raw = some_held_out(table, 3)
    with pytest.raises(ValueError, match="wanted as many ends"):
        interpolations(table, raw.take(slice(2)), raw.take(slice(2, None)), 3)
    with pytest.raises(ValueError, match="at least 2 steps"):
        interpolations(table, raw.take(slice(1)), raw.take(slice(1, 2)), 1)


def test_a_diagnosis_tells_what_it_does_and_gives_its_verdict_first(table, capsys):
    typed("diagnose", table.folder, "--nll_samples", 0, "--gap_steps", 0)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "diagnosing: bound (1/7)" and said[7] == "drawing examples for the report"
    assert said[8].startswith("verdict: ") and any(line.startswith("  because ") for line in said[9:11])


def test_samples_are_those_of_the_run_and_means_are_no_draws(pictures, table, text):
    for run in (pictures, table, text):
        assert torch.equal(sampled(run, 3, seed=4), run.sample(3, seed=4))
    for run in (pictures, table):
        assert torch.equal(sampled(run, 3, seed=4, mean=True), center_of_prior(run, 3, 4))
    assert torch.equal(sampled(text, 3, seed=4, mean=True), text.sample(3, seed=4)), "an LSTM has no mean"


def center_of_prior(run: Run, count: int, seed: int) -> torch.Tensor:
    with seeded(seed):
        return run.model.decode(run.model.prior().sample((count,))).mean


def test_a_temperature_of_0_is_greedy_and_repeats_itself(text):
    with seeded(0):
        z = torch.randn(5, *text.model.space.shape)
        cold = [decoded(text, z, temperature=0) for _ in range(2)]
        assert torch.equal(cold[0], cold[1])
        assert torch.equal(cold[0], text.model.decoder.likeliest(z))
        assert not torch.equal(decoded(text, z), decoded(text, z))


LIKELIHOODS = {
    "table": (GaussianLikelihood(),),
    "image": (GaussianLikelihood(), Bernoulli(), LogisticMixture(3), Categorical(levels=5)),
}


@pytest.mark.parametrize(("kind", "part"), [(k, part) for k, parts in LIKELIHOODS.items() for part in parts])
def test_a_temperature_narrows_every_likelihood(kind, part):
    """At 0 all draws are one; at 1 nothing changes; between, draws lie closer together than at 1."""
    spec = DataSpec(Layout.image(1, 2, 3) if kind == "image" else Layout.table(6))
    likelihood = part.build(spec)
    torch.manual_seed(0)
    places = (2, 3) if kind == "image" else (6,)
    p = likelihood(torch.randn(*places, likelihood.channels))
    spread = {}
    for temperature in (0.0, 0.3, 1.0):
        torch.manual_seed(1)
        with tempered(likelihood, temperature):
            spread[temperature] = p.sample((400,)).float().std(0)
    torch.manual_seed(1)
    assert torch.equal(spread[1.0], p.sample((400,)).float().std(0))
    assert (spread[0.0] <= 1e-4).all() and (spread[0.3] < spread[1.0] + 1e-6).all() and spread[0.3].sum() > 0


@pytest.mark.parametrize("temperature", ["-1", "nan", "inf"])
def test_a_temperature_that_is_none_is_refused(text, temperature, capsys):
    assert cli.main(["sample", str(text.folder), "--temperature", temperature]) == 2
    assert f"--temperature is {float(temperature)}, wanted at least 0" in capsys.readouterr().err


def test_a_walk_goes_between_what_a_person_gives(pictures, table, text, tmp_path, capsys):
    typed("interpolate", text.folder, "--from", "the cat saw", "--to", "a dog ate", "--steps", 3, "--temperature", 0)
    assert [line.partition(" ")[0] for line in capsys.readouterr().out.splitlines()] == ["0.00", "0.50", "1.00"]
    np.savetxt(tmp_path / "rows.csv", np.random.default_rng(1).normal(size=(40, 4)), delimiter=",")
    assert typed_input(table, "1,2,3,4.5").x.tolist() == [[1, 2, 3, 4.5]]
    Image.fromarray(np.full((16, 16), 77, np.uint8)).save(tmp_path / "grey.png")
    assert typed_input(pictures, str(tmp_path / "grey.png")).x.unique().tolist() == [77]
    stored = np.load(pictures.recipe.data.path)
    assert torch.equal(
        typed_input(pictures, f"{pictures.recipe.data.path}:7").x, torch.from_numpy(stored[7:8])[:, None]
    )
    typed("interpolate", pictures.folder, "--from", tmp_path / "grey.png", "--to", f"{pictures.recipe.data.path}:7")
    ids = typed_input(text, "the  cat saw").x[0].tolist()
    assert typed_input(text, f"{text.recipe.data.path}:1").x[0].tolist() == 3 * ids[:1] + ids[-1:]


@pytest.mark.parametrize(
    ("kind", "written", "complaint"),
    [
        ("table", "1,2", "expected 4 numbers with commas between"),
        ("table", "1,2,3,x", "expected 4 numbers"),
        ("table", "1,2,3,inf", "expected 4 numbers"),
        ("pictures", "nothing.png", "expected a picture's file"),
        ("pictures", "SELF:999", "there is no row or line 999"),
    ],
)
def test_an_end_that_does_not_fit_is_refused(kind, written, complaint, request):
    run = request.getfixturevalue(kind)
    with pytest.raises(ValueError, match=complaint):
        typed_input(run, written.replace("SELF", str(getattr(run.recipe.data, "path", ""))))


def test_one_end_alone_is_refused(text, capsys):
    assert cli.main(["interpolate", str(text.folder), "--to", "so"]) == 2
    assert "expected --from and --to together, found only --to" in capsys.readouterr().err


def test_all_latents_are_written_with_the_rows_they_come_from(pictures, table, text, tmp_path, capsys):
    for name, run in (("pictures", pictures), ("table", table), ("text", text)):
        typed("encode", run.folder, "--out", tmp_path / f"{name}.parquet")
        rows = pq.read_table(tmp_path / f"{name}.parquet").to_pylist()
        splits = run.splits()
        assert [row["split"] for row in rows] == ["train"] * len(splits.train) + ["held_out"] * len(splits.held_out)
        assert rows[3]["row"] == splits.train.where(3)
        assert f"{len(rows)} examples, {run.model.space.shape[0]} numbers each" in capsys.readouterr().out
    with seeded(0, 0):
        x = table.model.observe(table.splits().train.batch(torch.arange(5)))
        mean = table.model.posterior(x).mean
    rows = pq.read_table(tmp_path / "table.parquet").to_pylist()
    assert torch.allclose(torch.tensor([[row[f"z{i}"] for i in range(mean.shape[1])] for row in rows[:5]]), mean)


def test_latents_of_other_data_are_written_too(pictures, text, tmp_path, capsys):
    np.save(tmp_path / "other.npy", np.random.default_rng(5).integers(0, 256, (30, 8, 8), np.uint8))
    typed("encode", pictures.folder, tmp_path / "other.npy", "--out", tmp_path / "z.npy")
    z, rows = np.load(tmp_path / "z.npy"), list(csv.DictReader((tmp_path / "z.csv").read_text().splitlines()))
    assert z.shape == (30, *pictures.model.space.shape) and z.dtype == np.float32
    assert [(row["split"], row["row"].partition(", ")[2]) for row in rows] == [
        ("data", f"row {i} (from 0)") for i in range(30)
    ]
    (tmp_path / "two.txt").write_text("the cat\nzebras saw zebras\n")
    typed("encode", text.folder, tmp_path / "two.txt", "--out", tmp_path / "w.npy")
    assert len(np.load(tmp_path / "w.npy")) == 2
    np.save(tmp_path / "wide.npy", np.zeros((30, 8, 9), np.uint8) + np.arange(9, dtype=np.uint8) * 20)
    assert cli.main(["encode", str(pictures.folder), str(tmp_path / "wide.npy")]) == 2
    assert "expected examples of shape (1, 8, 8)" in capsys.readouterr().err
    assert cli.main(["encode", str(pictures.folder), "--out", str(tmp_path / "z.txt")]) == 2
    assert "expected a file ending in .npy or .parquet" in capsys.readouterr().err


def test_data_that_moved_are_found_where_they_are_now(pictures, tmp_path, capsys):
    folder = tmp_path / "there"
    folder.mkdir()
    old = Path(pictures.recipe.data.path)
    np.save(tmp_path / "more.npy", np.random.default_rng(5).integers(0, 256, (70, 8, 8), np.uint8))
    shutil.move(old, folder / "moved.npy")
    try:
        again = Run.load(pictures.folder).folder
        assert cli.main(["reconstruct", str(again), "--count", "2"]) == 2
        assert f"its data were at {old} and are not there now; give their new place" in capsys.readouterr().err
        typed("reconstruct", again, "--count", 2, "--data", folder / "moved.npy", "--out", tmp_path / "a.png")
        assert cli.main(["reconstruct", str(again), "--data", str(tmp_path / "more.npy")]) == 2
        assert "the data changed" in capsys.readouterr().err
    finally:
        shutil.move(folder / "moved.npy", old)


def test_a_traversal_moves_one_dimension_of_z_at_a_time(pictures, table, text, tmp_path, capsys):
    found = traversal(table, [0, 2], steps=3, width=2.0)
    z = torch.zeros(2, 3, *table.model.space.shape)
    z[0, :, 0] = z[1, :, 2] = torch.tensor([-2.0, 0.0, 2.0])
    with torch.no_grad():
        assert torch.allclose(found.x, table.model.decode(z).mean, atol=1e-6)
    assert (found.rows, found.columns) == (["z0", "z2"], ["-2", "0", "+2"])
    assert torch.equal(found.x[0, 1], found.x[1, 1]), "the middle is the prior's mean in every row"
    typed("traverse", pictures.folder, "--steps", 3, "--out", tmp_path / "moved.png")
    shape = np.asarray(Image.open(tmp_path / "moved.png")).shape
    assert shape[0] > shape[1] * 0.9 and shape[1] > 600, "three rows of three tiles, and labels"
    typed("traverse", text.folder, "--dims", "1", "--steps", 2, "--temperature", 0, "--example", 3)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["z1", "z1"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--dims 99", "dims has 99, but z has dimensions 0 to"),
        ("--steps 1", "--steps is 1"),
        ("--width 0", "--width is 0.0"),
        ("--example 9999", "--example is 9999"),
    ],
)
def test_a_traversal_that_cannot_be_is_refused(table, words, complaint, capsys):
    assert cli.main(["traverse", str(table.folder), *words.split()]) == 2
    assert complaint in capsys.readouterr().err


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> Run:
    """Two kinds of flowers far apart, and a model that is given the kind."""
    folder, rng = tmp_path_factory.mktemp("labelled"), np.random.default_rng(0)
    kinds = np.arange(160) % 2
    x = rng.normal(size=(160, 2)) * 0.3 + kinds[:, None] * [8.0, -8.0]
    rows = [f"{a:.3f},{b:.3f},{'rose' if k else 'tulip'}" for (a, b), k in zip(x, kinds, strict=True)]
    (folder / "flowers.csv").write_text("width,height,kind\n" + "\n".join(rows) + "\n")
    words = ["--data.label", "kind", "--condition", "embedding", "--posterior.dim", 1, "--training.steps", 400]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUTTRESS_CACHE", str(folder / "cache"))
        typed("train", folder / "flowers.csv", *words, "--no_diagnose", "--out", folder / "run")
    return Run.load(folder / "run")


def test_a_conditional_model_makes_what_it_is_given(labelled, capsys):
    names = labelled.spec.column("label").values
    for command in ("sample", "reconstruct", "traverse"):
        for kind in names:
            typed(
                command, labelled.folder, "--given", f"label={kind}", *(("--count", 6) if command != "traverse" else ())
            )
            rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
            made = [row for row in rows if row.get("which", "reconstruction") == "reconstruction"]
            assert made and all((float(row["width"]) > 4) == (kind == "rose") for row in made), command
    typed("sample", labelled.folder, "--count", 40)
    wide = [float(row["width"]) > 4 for row in csv.DictReader(capsys.readouterr().out.splitlines())]
    assert 5 < sum(wide) < 35, "kinds as held-out examples have them"


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("label=lily", "label: got 'lily', wanted "),
        ("height=3", "the data have no condition 'height'"),
        ("rose", "--given: expected NAME=VALUE"),
    ],
)
def test_a_condition_that_there_is_not_is_refused(labelled, given, complaint, capsys):
    assert cli.main(["sample", str(labelled.folder), "--given", given]) == 2
    assert complaint in capsys.readouterr().err


def test_a_model_without_conditions_takes_none(labelled, table, tmp_path, capsys):
    assert cli.main(["sample", str(table.folder), "--given", "label=1"]) == 2
    assert "the data have no condition 'label'" in capsys.readouterr().err


def test_latents_of_a_conditional_model_have_labels_and_its_networks_are_exported(labelled, tmp_path, capsys):
    path = labelled.recipe.data.path
    for words in ([], [path]):
        typed("encode", labelled.folder, *words, "--out", tmp_path / "z.parquet")
        rows = pq.read_table(tmp_path / "z.parquet").to_pylist()
        lines = Path(path).read_text().splitlines()
        names = labelled.spec.column("label").values
        for row in (rows[0], rows[-1]):
            assert lines[int(row["row"].rpartition(" ")[2]) - 1].endswith(names[row["label"]])
    typed("export", labelled.folder, "--out", tmp_path / "out")
    assert "encoder.pt2: (x, label) -> mean, std" in capsys.readouterr().out


def test_levels_of_codes_are_each_taken_through_their_own_codebook():
    space = Space.stacked([("voice", (1,), 4), ("top", (2,), 9), ("flag", (1,), 2)])
    codes, columns = _moves(_classes(space), torch.zeros(4), torch.zeros(4), 5, 2.0)
    assert codes.T.tolist() == [[0, 1, 2, 2, 3], [0, 2, 4, 6, 8], [0, 2, 4, 6, 8], [0, 0, 0, 1, 1]]
    assert columns == ["0%", "25%", "50%", "75%", "100%"]
    codes, columns = _moves(_classes(Space((2, 1), classes=3)), torch.zeros(2), torch.zeros(2), 5, 2.0)
    assert codes.T.tolist() == [[0, 1, 2, 2, 2]] * 2 and columns == ["0", "1", "2", "2", "2"]
