"""What a run makes, as the commands show it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small

from buttress import cli
from buttress.data.images import Images
from buttress.decoders.conv import Conv as ConvDecoder
from buttress.encoders.conv import Conv as ConvEncoder
from buttress.likelihoods.logistic_mixture import LogisticMixture
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
