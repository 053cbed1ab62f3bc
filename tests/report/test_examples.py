from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from buttress.report.examples import load_examples, save_examples
from buttress.report.gallery import PAIRED, parts
from buttress.report.pictures import columns, rows_sheet, sheet


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
    save_examples(tmp_path / "rows", "table", rows, rows, rows + 1, walks, columns=["a", "b", "ü"])
    save_examples(tmp_path / "text", "text", ["a b"], interpolations=[["a", "b"], ["c", "d"]])
    table, text = load_examples(tmp_path / "rows"), load_examples(tmp_path / "text")
    assert table is not None and text is not None
    assert np.array_equal(table.reconstructions - table.originals, np.ones((2, 3))) and table.columns == ("a", "b", "ü")
    assert (text.kind, text.samples, text.interpolations) == ("text", ["a b"], [["a", "b"], ["c", "d"]])
    assert load_examples(tmp_path) is None
    assert [len(parts(e)) for e in (table, text, None)] == [3, 2, 0]


@pytest.mark.parametrize("kind", ["image", "table", "text"])
def test_draws_of_one_z_come_back_and_have_a_part(tmp_path: Path, kind: str) -> None:
    shape = {"image": (3, 5, 1, 4, 4), "table": (3, 5, 2), "text": (3, 5)}[kind]
    rows = np.arange(np.prod(shape)).reshape(shape)
    given = [[str(v) for v in row] for row in rows] if kind == "text" else rows % 200
    save_examples(tmp_path, kind, samples=[row[1] for row in given], draws=given)  # type: ignore[arg-type]
    loaded = load_examples(tmp_path)
    assert loaded is not None and np.array_equal(loaded.draws, given)
    assert [part.title for part in parts(loaded)] == ["Samples", "Originals, and several draws of one z"]
    assert "decoder 4 times" in parts(loaded)[1].caption
    if kind == "table":
        assert parts(loaded)[1].together == 5


def test_where_space_is_short_draws_of_one_z_stand_for_reconstructions(tmp_path: Path) -> None:
    rows = np.zeros((8, 5, 1, 4, 4))
    for draws, titles in ((rows, ["Originals, and several draws of one z"]), (None, [PAIRED])):
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
    with pytest.raises(ValueError, match="2 originals and 1 reconstructions"):
        save_examples(tmp_path, "text", originals=["a", "b"], reconstructions=["a"])
    with pytest.raises(ValueError, match="wanted 4 dimensions"):
        save_examples(tmp_path, "image", samples=np.zeros((2, 4, 4)))
    (tmp_path / "examples.safetensors").write_bytes(b"not a tensor")
    with pytest.raises(ValueError, match="not readable"):
        load_examples(tmp_path)


def test_a_sheet_shows_every_tile_unharmed() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 6), dtype=np.uint8)
    picture = sheet(images, 3, "five", width=70)
    canvas = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.uri.split(",")[1]))))
    assert canvas.shape == (10, 22, 4) and (picture.width, picture.height) == (66, 30)
    assert np.array_equal(canvas[6:10, 8:14, :3], np.moveaxis(images[4], 0, -1))
    assert canvas[6:10, 16:, 3].max() == 0, "a tile that is not there is transparent"


def test_originals_stand_above_their_reconstructions() -> None:
    left = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1)
    assert columns(left, left + 100, 2).ravel().tolist() == [0, 1, 100, 101, 2, 3, 102, 103]


def test_an_original_stands_apart_from_the_draws_of_its_z() -> None:
    rows = np.random.default_rng(0).integers(0, 256, (2, 3, 1, 4, 4), dtype=np.uint8)
    picture = rows_sheet(rows, "two rows", width=50)
    canvas = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.uri.split(",")[1]))))
    assert canvas.shape == (10, 4 + 6 + 10, 4) and picture.width == 40
    assert canvas[:, 4:10, 3].max() == 0
    assert np.array_equal(canvas[6:, :4, 0], rows[1, 0, 0]) and np.array_equal(canvas[6:, 16:, 0], rows[1, 2, 0])
