"""What a run makes, as the commands show it."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small
import torch
from PIL import Image

from buttress.cli import main as cli
from buttress.data.images import Images
from buttress.decoders.conv import ConvDecoder
from buttress.encoders.conv import ConvEncoder
from buttress.experiments.showcase import (
    as_observed,
    drawn_again,
    reconstructed,
    save_run_examples,
    some_held_out,
    walks,
)
from buttress.likelihoods.logistic_mixture import LogisticMixture
from buttress.report.examples import load_examples
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
    stored = some_held_out(table, 2)[0].float().tolist()
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
    assert torch.equal(one, run.model.decode(run.model.posterior(run.model.observe(raw)).mean).mean)
    way = walks(run, raw[:1], raw[1:], 3, mean=True)[0]
    assert torch.allclose(way[[0, 2]], one, rtol=1e-5)
    typed("reconstruct", run.folder, "--count", 2, "--mean", "true")
    typed("interpolate", run.folder, "--count", 1, "--mean", "true")


def test_a_decoder_without_a_mean_still_draws_x_from_the_mean_of_z(text):
    raw = some_held_out(text, 40)
    one, same, other = (reconstructed(text, raw, seed, mean=True) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not (one.shape == other.shape and torch.equal(one, other))
    assert walks(text, raw[:2], raw[2:4], 3, mean=True).shape[:2] == (2, 3)


@pytest.mark.parametrize("kind", ["pictures", "table", "text"])
def test_draws_of_a_row_share_one_z(kind, request, monkeypatch: pytest.MonkeyPatch):
    run = request.getfixturevalue(kind)
    raw, decode, read = some_held_out(run, 3), run.model.decode, []
    monkeypatch.setattr(run.model, "decode", lambda z: read.append(z) or decode(z))
    rows = drawn_again(run, raw, times=4, seed=1)
    assert [len(z) for z in read] == [3] and rows.shape[:2] == (3, 5)
    observed = as_observed(run, raw)
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
    assert "Originals, and several draws of one z" in write_report(run.folder).read_text(encoding="utf-8")


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
        walks(table, raw[:2], raw[2:], 3)
    with pytest.raises(ValueError, match="at least 2 steps"):
        walks(table, raw[:1], raw[1:2], 1)


def test_a_diagnosis_tells_what_it_does_and_gives_its_verdict_first(table, capsys):
    typed("diagnose", table.folder, "--nll_samples", 0, "--gap_steps", 0)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "diagnosing: bound (1/7)" and said[7] == "drawing examples for the report"
    assert said[8].startswith("verdict: ") and said[9].startswith("  because mutual information")
