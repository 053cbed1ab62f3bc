"""Every part of every room becomes plain data and comes back; bad names and settings are told apart and named."""

from __future__ import annotations

from dataclasses import fields

import pytest

from buttress.core import Objective, Schedule, registry
from buttress.core.recipe import Training

EVERY = [(room, kind) for room in registry.ROOMS for kind in registry.parts(room).values()]


@pytest.mark.parametrize(("room", "kind"), EVERY, ids=lambda v: v if isinstance(v, str) else v.__name__)
def test_a_part_survives_the_way_through_plain_data(room, kind):
    for part in kind.tiny():
        plain = registry.to_plain(part)
        assert plain["name"] == part.name()
        assert registry.from_plain(registry.ROOMS[room], plain) == part


@pytest.mark.parametrize(("room", "kind"), EVERY, ids=lambda v: v if isinstance(v, str) else v.__name__)
def test_every_setting_of_a_part_is_documented(room, kind):
    described = kind.__doc__
    assert all(f"{field.name}:" in described for field in fields(kind))


@pytest.mark.parametrize(
    ("plain", "complaint"),
    [
        ({"name": "elbow"}, r"no 'elbow'; did you mean 'elbo'"),
        ({"nam": "elbo"}, "wanted a mapping with 'name'"),
        ({"name": "elbo", "samples": "many"}, r"recipe.samples: got 'many', wanted int"),
        ({"name": "elbo", "sample": 1}, r"no setting 'sample'; did you mean 'samples'"),
        ({"name": "elbo", "samples": True}, "wanted int"),
        ({"name": "elbo", "beta": {"name": "linear", "steps": 1.5}}, r"recipe.beta.steps: got 1.5, wanted int"),
        (3, "wanted a mapping with 'name'"),
        ({"name": "os.system"}, "no 'os.system'"),
    ],
)
def test_what_cannot_be_read_is_named(plain, complaint):
    with pytest.raises(ValueError, match=complaint):
        registry.from_plain(Objective, plain)


def test_settings_that_are_not_parts_are_read_too():
    assert registry.from_plain(Training, {"clip": None, "learning_rate": "1e-3"}).clip is None
    with pytest.raises(ValueError, match=r"optimizer: got 'adum', wanted one of 'adam'"):
        registry.from_plain(Training, {"optimizer": "adum"})


def test_an_unknown_room_and_an_unwritable_value_are_refused():
    with pytest.raises(ValueError, match="there are no 'attic'"):
        registry.parts("attic")
    with pytest.raises(TypeError, match="a recipe holds"):
        registry.to_plain({1, 2})
    assert registry.room_of(Schedule) == "schedules"
