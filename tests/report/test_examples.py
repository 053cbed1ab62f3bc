from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file

from buttress.report.examples import gather, load_examples, save_examples
from buttress.report.gallery import parts
from buttress.report.pictures import spectrograms, strip, tiles, waveforms


@pytest.mark.parametrize("white", [1.0, 255.0])
@pytest.mark.parametrize("make", [torch.from_numpy, np.asarray])
def test_fractions_and_grey_levels_give_the_same_images(tmp_path: Path, white: float, make) -> None:
    images = (np.random.default_rng(0).random((3, 1, 4, 5)) > 0.5).astype(np.float32)
    save_examples(tmp_path, "image", samples=make(images * np.float32(white)))
    loaded = load_examples(tmp_path)
    assert loaded is not None and loaded.samples.dtype == np.uint8
    assert np.array_equal(loaded.samples, images * 255)
    assert loaded.originals is None


def test_rows_and_sentences_come_back(tmp_path: Path) -> None:
    rows, walks = np.arange(6.0).reshape(2, 3), np.zeros((1, 4, 3))
    given = {"samples": rows, "originals": rows, "reconstructions": rows + 1, "interpolations": walks}
    save_examples(tmp_path / "rows", "table", columns=["a", "b", "ü"], **given)
    save_examples(tmp_path / "text", "text", samples=["a b"], interpolations=[["a", "b"], ["c", "d"]])
    table, text = load_examples(tmp_path / "rows"), load_examples(tmp_path / "text")
    assert table is not None and text is not None
    assert np.array_equal(table.reconstructions - table.originals, np.ones((2, 3))) and table.columns == ("a", "b", "ü")
    assert (text.kind, text.samples, text.interpolations) == ("text", ["a b"], [["a", "b"], ["c", "d"]])
    assert load_examples(tmp_path) is None
    assert [len(parts(e)) for e in (table, text, None)] == [2, 2, 0], "interpolated rows of numbers are not shown"


@pytest.mark.parametrize("kind", ["image", "table", "text"])
def test_draws_of_one_z_come_back_and_have_a_part(tmp_path: Path, kind: str) -> None:
    shape = {"image": (3, 5, 1, 4, 4), "table": (3, 5, 2), "text": (3, 5)}[kind]
    rows = np.arange(np.prod(shape)).reshape(shape)
    given = [[str(v) for v in row] for row in rows] if kind == "text" else rows % 200
    save_examples(tmp_path, kind, samples=[row[1] for row in given], draws=given)  # type: ignore[arg-type]
    loaded = load_examples(tmp_path)
    assert loaded is not None and np.array_equal(loaded.draws, given)
    assert [part.title for part in parts(loaded)] == ["Samples: draws", "Several draws from one z"]
    assert "4 draws of x" in parts(loaded)[1].caption
    if kind == "table":
        assert parts(loaded)[1].together == 5


def test_where_space_is_short_draws_of_one_z_stand_for_reconstructions(tmp_path: Path) -> None:
    rows = np.zeros((8, 5, 1, 4, 4))
    for draws, titles in ((rows, ["Several draws from one z"]), (None, ["Reconstructions"])):
        save_examples(tmp_path, "image", originals=rows[:, 0], reconstructions=rows[:, 1], draws=draws)
        assert [part.title for part in parts(load_examples(tmp_path), few=True)] == titles


def test_others_may_read_examples_as_they_may_other_files(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    path = save_examples(tmp_path, "table", samples=np.zeros((2, 3)))
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    ("kind", "first", "second"), [("table", np.zeros((2, 3)), np.ones((2, 3))), ("text", ["a"], ["b"])]
)
def test_a_full_disk_leaves_the_examples_that_were_there(tmp_path: Path, monkeypatch, kind, first, second) -> None:
    def full(*args):
        raise OSError(28, "No space left on device")

    path = save_examples(tmp_path, kind, samples=first)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("buttress.runtime.atomic_write.os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            save_examples(tmp_path, kind, samples=second)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == [path.name]


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 originals and 1 recon"):
        save_examples(tmp_path, "text", originals=["a", "b"], reconstructions=["a"])
    with pytest.raises(ValueError, match="with 4 dimensions"):
        save_examples(tmp_path, "image", samples=np.zeros((2, 4, 4)))
    with pytest.raises(ValueError, match="1 originals and 2 mean_reconstructions"):
        save_examples(tmp_path, "text", originals=["a"], reconstructions=["a"], mean_reconstructions=["a", "b"])
    with pytest.raises(ValueError, match="unknown examples sample;"):
        save_examples(tmp_path, "text", sample=["a"])
    (tmp_path / "examples.safetensors").write_bytes(b"not a tensor")
    with pytest.raises(ValueError, match="not readable"):
        load_examples(tmp_path)


def test_tiles_show_every_image_unharmed() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 6), dtype=np.uint8)
    canvas = tiles(images, 3)
    assert canvas.shape == (10, 22, 4)
    assert np.array_equal(canvas[6:10, 8:14, :3], np.moveaxis(images[4], 0, -1))
    assert canvas[6:10, 16:, 3].max() == 0, "a tile that is not there is transparent"


@pytest.mark.parametrize(("size", "factor"), [(28, 4), (8, 8), (64, 2), (256, 1)])
def test_small_images_are_magnified_by_a_whole_factor(size: int, factor: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 1, size, size), dtype=np.uint8)
    below, beside = strip(images, "three"), strip(images, "three", across=True)
    canvas = np.asarray(Image.open(io.BytesIO(base64.b64decode(below.uri.split(",")[1]))))
    assert np.array_equal(canvas[-size:, :, 0], images[2, 0])
    assert (below.width, below.height) == (size * factor, (3 * size + 4) * factor) == (beside.height, beside.width)


def test_means_stand_between_originals_and_draws() -> None:
    made = {"samples": ["s"], "originals": ["a"], "reconstructions": ["b"], "mean_reconstructions": ["m"]}
    shown = {part.title: part for part in parts(gather("text", mean_samples=["t"], **made))}
    assert shown["Samples: means"].lines == [["t"]] and shown["Samples: draws"].lines == [["s"]]
    assert shown["Reconstructions"].lines == [["a", "m", "b"]]
    assert "mean of p(x|z)" in shown["Reconstructions"].caption
    del made["mean_reconstructions"]
    (plain,) = [part for part in parts(gather("text", **made)) if part.title == "Reconstructions"]
    assert plain.lines == [["a", "b"]] and "mean" not in plain.caption


def test_traversals_name_the_dimension_that_is_moved(tmp_path: Path) -> None:
    save_examples(tmp_path, "text", traversals=[["a", "b"], ["c", "d"]], traversed=["z7", "z2"])
    (part,) = parts(load_examples(tmp_path))
    assert part.lines == [["z7", "a", "b"], ["z2", "c", "d"]]
    rows = np.zeros((2, 5, 1, 4, 4))
    (part,) = parts(gather("image", traversals=rows, traversed=["z7", "z2"]))
    assert [picture.title for picture in part.pictures] == ["z7", "z2"] and part.across
    assert {(picture.width, picture.height) for picture in part.pictures} == {(8 * (5 * 4 + 4 * 2), 8 * 4)}


def test_examples_of_older_runs_still_open(tmp_path: Path) -> None:
    (tmp_path / "examples.json").write_text('{"format": 1, "kind": "text", "samples": ["a"]}')
    loaded = load_examples(tmp_path)
    assert loaded is not None and loaded.samples == ["a"] and loaded.traversals is None and loaded.traversed == ()
    save_file({"samples": np.zeros((1, 1, 2, 2), np.uint8)}, tmp_path / "examples.safetensors", {"kind": "image"})
    (tmp_path / "examples.json").unlink()
    assert load_examples(tmp_path).kind == "image"  # type: ignore[union-attr]


@pytest.mark.parametrize(("kind", "shape"), [("wave", (600,)), ("frames", (30, 12))])
def test_sounds_are_shown_as_pictures(tmp_path: Path, kind: str, shape: tuple[int, ...]) -> None:
    sounds = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    moved = np.stack([sounds, sounds], axis=1)
    save_examples(
        tmp_path, kind, samples=sounds, originals=sounds, reconstructions=sounds, traversals=moved, traversed=["z1"]
    )  # type: ignore[arg-type]
    loaded = load_examples(tmp_path)
    assert loaded is not None and np.array_equal(loaded.traversals, moved)
    assert [len(part.pictures) for part in parts(loaded)] == [3, 3, 3]
    with pytest.raises(ValueError, match="for kind"):
        save_examples(tmp_path, kind, samples=moved)  # type: ignore[arg-type]


def test_a_waveform_and_a_spectrogram_show_what_is_in_them() -> None:
    wave = np.sin(np.linspace(0, 20 * np.pi, 2400)).astype(np.float32)
    picture = waveforms(np.stack([wave, wave / 4]))
    assert picture.shape == (2, 1, 48, 240) and (picture[:, 0].max(1) == 255).all(), "each moment has a line"
    tall = (picture[:, 0].max(2) > 0).sum(1)
    assert tall[0] == 48 and tall[1] == pytest.approx(12, abs=2), "all to one scale"
    assert waveforms(np.zeros((1, 5), np.float32)).shape == (1, 1, 48, 5)
    frames = np.zeros((1, 4, 3), np.float32)
    frames[0, 2, 0] = 1.0
    assert np.argwhere(spectrograms(frames)[0, 0]).tolist() == [[2, 2]], "the first band is at the bottom"
