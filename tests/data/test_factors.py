"""Images drawn from known factors are what they say, and factors go with held-out examples."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from buttress.core import Factors
from buttress.data.images import Images
from buttress.data.opened import opened
from buttress.data.scenes3d import Scenes3d
from buttress.data.shapes2d import Shapes2d
from buttress.nn.raycast import room
from buttress.training.fingerprint import fingerprint

SHAPES = Shapes2d(size=16, scales=2, orientations=2, positions=5)
SCENES = Scenes3d(size=12, shapes=("cube", "sphere"), hues=3, scales=2, azimuths=3)


def whole(examples):
    return examples.batch(torch.arange(len(examples)))


def everything(splits):
    """All images, and the factors of each."""
    x = torch.cat([whole(splits.train), whole(splits.held_out)])
    return x, torch.cat([splits.train.factors.values, splits.held_out.factors.values])


@pytest.mark.parametrize("data", [SHAPES, SCENES, Shapes2d()])
def test_every_combination_is_one_image_and_no_two_are_equal(data):
    splits = data.open()
    x, values = everything(splits)
    assert len(values.unique(dim=0)) == len(x) == np.prod(list(data.sizes.values()))
    assert len({hashlib.blake2b(image.numpy().tobytes()).digest() for image in x}) == len(x)
    assert splits.spec.levels == 256 and x.dtype == torch.uint8
    assert splits.factors.sizes == tuple(size for size in data.sizes.values() if size > 1)


@pytest.mark.parametrize("data", [SHAPES, SCENES])
def test_images_are_the_same_whenever_and_in_whatever_order_they_are_read(data):
    one, other = data.open(), data.open()
    index = torch.randperm(len(one.train))
    assert torch.equal(whole(one.train)[index], other.train.batch(index))
    assert fingerprint(one) == fingerprint(other) != fingerprint(replace(data, split_seed=1).open())
    assert torch.equal(one.factors.values, one.held_out.factors.values)


def test_shapes_are_where_and_as_large_as_their_factors_say():
    x, values = everything(Shapes2d(size=32, orientations=1, positions=5).open())
    white = (x[:, 0] > 0).double()
    assert set(x.unique().tolist()) == {0, 255}
    places = torch.arange(32) + 0.5
    across, down = ((white.sum(axis) * places).sum(1) / white.sum((1, 2)) for axis in (1, 2))
    steps = torch.linspace(8, 24, 5)
    assert (across - steps[values[:, 2]]).abs().max() < 1e-9
    assert (down - steps[values[:, 3]])[values[:, 0] < 2].abs().max() < 1e-9  # a heart's middle is not that of its mass
    area = torch.stack([white[values[:, 1] == scale].sum((1, 2)).mean() for scale in range(4)])
    assert (area.diff() > 10).all()
    of_shape = white.sum((1, 2)), 4 * values[:, 0] + values[:, 1]
    assert all(len(of_shape[0][of_shape[1] == one].unique()) == 1 for one in range(12))  # the edges cut none


def test_a_heart_stands_upright_and_turns():
    x, values = everything(Shapes2d(size=32, shapes=("heart",), scales=1, orientations=2, positions=3).open())
    middle = (values[:, 1] == 1) & (values[:, 2] == 1)
    upright, turned = (x[middle & (values[:, 0] == i)][0, 0] for i in (0, 1))
    assert torch.equal(upright, upright.flip(1)) and torch.equal(turned, upright.flip((0, 1)))
    width = (upright > 0).sum(1)
    assert width[width > 0][0] > width[width > 0][-1]  # wide on top, a tip below


def test_scenes_show_their_hues_and_sizes_where_they_belong():
    splits = Scenes3d(size=24, hues=3, scales=3, azimuths=3).open()
    x, values = everything(splits)
    names = splits.factors.names
    f = {name: values[:, i] for i, name in enumerate(names)}
    assert names == ("shape", "scale", "azimuth", "floor_hue", "wall_hue", "object_hue")
    floor, wall = x[:, :, -1, 0].argmax(1), x[:, :, 0, -1].argmax(1)  # hues of three: red, green, blue
    assert torch.equal(floor, f["floor_hue"]) and torch.equal(wall, f["wall_hue"])
    middle = x[:, :, 13, 12].argmax(1)
    assert torch.equal(middle, f["object_hue"])
    apart = (f["floor_hue"] == 0) & (f["wall_hue"] == 0) & (f["object_hue"] == 2)
    area = torch.stack([(x[apart & (f["scale"] == s)].argmax(1) == 2).double().mean() for s in range(3)])
    assert (area.diff() > 0.01).all()


def test_a_sphere_is_as_large_as_geometry_says_and_lit_from_one_side():
    picture = room("sphere", 0.5, 0.0, size=60, fine=1).astype(float)
    solid = picture[..., 2] > 0
    eye, aim = np.array([0.0, -3.7, 2.2]), np.array([0.0, 0.0, 0.75])
    away = np.linalg.norm(np.array([0, 0, 0.5]) - eye)
    ahead = (aim - eye) / np.linalg.norm(aim - eye)
    off = np.arccos(np.dot((np.array([0, 0, 0.5]) - eye) / away, ahead))
    half = np.arcsin(0.5 / away)
    ellipse = np.pi * (np.sin(half) * np.cos(half)) * np.sin(half) / (np.cos(off) ** 2 - np.sin(half) ** 2) ** 1.5
    assert solid.mean() == pytest.approx(1.5**2 / 4 * ellipse, rel=0.03)  # a cone's section with the picture
    left, right = picture[:, :30, 2].max(), picture[:, 30:, 2][solid[:, 30:]].min()
    assert left > right


def test_turning_the_camera_the_other_way_mirrors_the_walls():
    one, other = (room("sphere", 0.5, angle, size=31, fine=1)[:12, :, 1] > 0 for angle in (0.4, -0.4))
    assert np.array_equal(one, other[:, ::-1])


@pytest.mark.parametrize(
    ("part", "settings", "complaint"),
    [
        (Shapes2d, {"size": 15}, "wanted an even number of at least 8"),
        (Shapes2d, {"shapes": ("heart", "heart")}, "wanted some of square, ellipse, heart, each once"),
        (Shapes2d, {"shapes": ()}, "each once"),
        (Shapes2d, {"positions": 40}, "40 positions do not fit into 17 pixels"),
        (Shapes2d, {"scales": 0}, "the factor scale takes 0 values"),
        (Shapes2d, {"count": 10**9}, "wanted 1 to 18,432"),
        (Shapes2d, {"shapes": ("heart",), "scales": 1, "orientations": 1, "positions": 1}, "at least one that varies"),
        (Scenes3d, {"size": 4}, "wanted at least 8"),
        (Scenes3d, {"angle": 90.0}, "the room is square"),
        (Scenes3d, {"shapes": ("cube", "cube")}, "each once"),
    ],
)
def test_impossible_sets_are_refused(part, settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        part(**settings)


def test_a_count_takes_so_many_combinations_each_once():
    x, values = everything(replace(SHAPES, count=50).open())
    assert len(x) == len(values.unique(dim=0)) == 50


@pytest.mark.usefixtures("own_cache")
def test_factors_of_an_archive_go_with_its_held_out_images(tmp_path):
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, 3, 60) * 0.5 + 1, rng.integers(0, 4, 60), np.full(60, 7)], 1)
    x = rng.integers(0, 255, (60, 4, 4)).astype(np.uint8)
    x[:, 0, 0], x[:, 0, 1] = factors[:, 0] * 2, factors[:, 1]
    np.savez(tmp_path / "a.npz", images=x, latents=factors)
    data = Images(str(tmp_path / "a.npz"), key="images", factors_key="latents", factor_names=("size", "turn", "color"))
    splits = opened(data)
    assert splits.factors.names == ("size", "turn") and splits.factors.sizes == (3, 4)
    held = whole(splits.held_out)
    assert torch.equal(held[:, 0, 0, 0] - 2, splits.factors.values[:, 0])
    assert torch.equal(held[:, 0, 0, 1], splits.factors.values[:, 1])
    np.savez(tmp_path / "b.npz", train=x, test=x[:20], f=factors[:20])
    apart = opened(Images(str(tmp_path / "b.npz"), key="train", held_out_key="test", factors_key="f"))
    assert len(apart.factors) == 20 and apart.factors.names == ("factor0", "factor1")


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"factors_key": "none"}, "no array 'none'"),
        ({"factors_key": "short"}, r"factors of 10 examples, wanted those of 60"),
        ({"factors_key": "real"}, r"factor 'factor0' takes 60 values in 60 examples, .* np.digitize"),
        ({"factors_key": "still"}, "every factor has one value throughout"),
        ({"factors_key": "whole", "factor_names": ("a", "b")}, "2 names for 1 factors"),
        ({"factors_key": "nan"}, "a value is not finite"),
        ({"factors_key": "words"}, "wanted numbers"),
        ({"factor_names": ("a",)}, "factors_key names no array"),
    ],
)
def test_what_is_no_table_of_factors_is_refused(tmp_path, settings, complaint):
    x = np.arange(60 * 16, dtype=np.uint8).reshape(60, 4, 4)
    whole = np.arange(60) % 4
    lacking = np.where(np.arange(60) == 5, np.nan, whole)
    np.savez(
        tmp_path / "a.npz", images=x, short=whole[:10], real=np.linspace(0, 1, 60), still=np.ones(60), whole=whole,
        nan=lacking, words=np.array(["a", "b"] * 30),
    )  # fmt: skip
    with pytest.raises(ValueError, match=complaint):
        Images(str(tmp_path / "a.npz"), key="images", **settings).open()


def test_factors_are_refused_where_there_can_be_none(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((20, 4, 4), np.uint8))
    with pytest.raises(ValueError, match="factors_key does not apply"):
        Images(str(tmp_path / "a.npy"), factors_key="f").open()


def test_values_are_numbered_in_order_and_need_a_name_each():
    found = Factors.of({"b": [2.5, -1.0, 2.5], "a": [3, 3, 4]})
    assert found.names == ("b", "a") and found.values.tolist() == [[1, 0], [0, 0], [1, 1]]
    with pytest.raises(ValueError, match="wanted a column for each"):
        Factors(("a",), torch.zeros(3, 2).long(), (1,))
