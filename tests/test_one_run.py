"""A run of a comparison that a full disk ended goes on where it stopped, once there is room."""

from dataclasses import replace
from queue import SimpleQueue

import pytest

from buttress.baseline import baseline
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.experiments.one_run import run_one
from buttress.training.lock import lock

EFFORT = {"nll_samples": 0, "gap_steps": 0, "seed": 0}


def test_examples_for_which_there_was_no_room_are_made_later(tmp_path):
    data = LinearGaussianData(dim=4, n=60)
    recipe = baseline(data, data.open().spec)
    recipe = replace(recipe, training=replace(recipe.training, steps=2, batch_size=8)).to_yaml()

    def run() -> None:
        run_one(recipe, str(tmp_path), "none/seed-0", EFFORT, None, SimpleQueue())

    run()
    (examples,) = (tmp_path / "none" / "seed-0").glob("examples.*")
    evidence = (tmp_path / "none" / "seed-0" / "evidence.json").stat().st_mtime_ns
    examples.unlink()
    run()
    assert examples.exists() and (tmp_path / "none" / "seed-0" / "evidence.json").stat().st_mtime_ns == evidence


def test_a_lock_leaves_a_folder_as_it_was_where_nothing_was_written(tmp_path):
    (tmp_path / "recipe.yaml").touch()
    with pytest.raises(ValueError, match="damaged"), lock(tmp_path):
        raise ValueError("damaged")
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]
    with pytest.raises(ValueError, match="damaged"), lock(tmp_path):  # noqa: PT012
        (tmp_path / "spec.yaml").touch()
        raise ValueError("damaged")
    assert (tmp_path / ".lock").exists()
