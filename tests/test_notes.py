"""What was set aside of the data is told where a person looks: before training, and on the page of the run."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from buttress.cli import main as cli
from buttress.cli.commands.compare import bars
from buttress.data.images import Images
from buttress.data.opened import opening_once
from buttress.report.run import write_report

SMALL = [
    *("--training.steps", "2", "--training.batch_size", "8", "--encoder", "mlp", "--encoder.hidden", "[6]"),
    *("--decoder", "mlp", "--decoder.hidden", "[6]"),
]


@pytest.fixture
def folder(tmp_path):
    """120 pictures, one of them cut short."""
    (tmp_path / "pictures").mkdir()
    for i in range(120):
        pixels = np.random.default_rng(i).integers(0, 256, (6, 6), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{i:03}.png")
    (tmp_path / "pictures" / "007.png").write_bytes(b"no picture")
    return tmp_path / "pictures"


def test_a_corrupt_image_is_told_before_training_and_on_the_page(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        "buttress.training.run.carry_out", lambda *_, **__: (_ for _ in ()).throw(ValueError("not this far"))
    )
    assert cli.main(["train", str(folder), *SMALL, "--out", str(tmp_path / "run")]) == 2
    aside, split, ended = capsys.readouterr().err.splitlines()
    assert aside.startswith("data: set aside 1 of 120 images") and "007.png (" in aside and "; try repairing" in aside
    assert split.startswith("data: held out ") and " of 119 examples" in split and "not this far" in ended
    page = write_report(tmp_path / "run").read_text(encoding="utf-8")
    assert "About the data" in page and "set aside 1 of 120 images" in page and "held out " in page


def test_a_comparison_tells_it_once(folder, capsys):
    with opening_once(), bars(Console(quiet=True), Images(str(folder))) as watch:
        for run in ("none/seed-0", "free_bits/seed-0"):
            watch(run, 0, 10)
            watch(run, 10, 10)
    assert capsys.readouterr().err.count("set aside 1 of 120 images") == 1


def test_where_nothing_is_to_be_known_nothing_is_said(tmp_path, capsys):
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "About the data" not in page and capsys.readouterr().err == ""
