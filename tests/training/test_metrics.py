import csv

import pytest
import torch

from buttress.training.metrics import Means, Metrics


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_one_row_for_each_step_and_split_with_all_columns(tmp_path):
    table = Metrics(tmp_path / "m.csv")
    table.append(50, "train", {"loss": 2.0, "rate/a,b": 0.5}, ["loss", "inner_steps", "rate/a,b"])
    table.append(50, "held_out", {"elbo": -1 / 3}, [])
    first, second = rows(tmp_path / "m.csv")
    assert (first["step"], first["split"], first["loss"], first["rate/a,b"]) == ("50", "train", "2", "0.5")
    assert first["inner_steps"] == first["elbo"] == "" and float(second["elbo"]) == pytest.approx(-1 / 3, abs=1e-9)
    assert list(first)[:2] == ["step", "split"] and list(first)[-2:] == ["inner_steps", "rate/a,b"]


def test_what_no_checkpoint_vouches_for_is_cut_off(tmp_path):
    path = tmp_path / "m.csv"
    table = Metrics(path)
    table.append(1, "train", {"loss": 1.0}, [])
    kept = table.position()
    table.append(2, "train", {"loss": 2.0}, [])
    with path.open("a") as file:
        file.write("3,tra")
    again = Metrics(path, kept)
    again.append(2, "train", {"loss": 2.5}, [])
    assert [(r["step"], r["loss"]) for r in rows(path)] == [("1", "1"), ("2", "2.5")]
    Metrics(path)
    assert path.read_bytes() == b""


def test_means_over_the_steps_since_the_last_row():
    means = Means(("a", "b"))
    means.add({"loss": torch.tensor(1.0), "distortion": 4.0, "rate": torch.tensor([1.0, 2.0]), "inner_steps": 3.0})
    copy = Means(("a", "b"))
    copy.load_state_dict(means.state_dict())
    for each in (means, copy):
        each.add({"loss": torch.tensor(3.0), "distortion": 6.0, "rate": torch.tensor([3.0, 2.0]), "inner_steps": 4.0})
    assert (
        means.take()
        == copy.take()
        == {
            "loss": 2.0,
            "distortion": 5.0,
            "inner_steps": 3.5,
            "rate/a": 2.0,
            "rate/b": 2.0,
            "rate": 4.0,
            "elbo": -9.0,
        }
    )
    means.add({"loss": 7.0, "distortion": 0.0, "rate": torch.zeros(2), "inner_steps": 0.0})
    assert means.take()["loss"] == 7.0
