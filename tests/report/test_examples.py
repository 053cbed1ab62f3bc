from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from buttress.report.examples import load_examples, save_examples
from buttress.report.gallery import parts
from buttress.report.pictures import columns, sheet


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
        patch.setattr("buttress.whole.os.fsync", full)
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
