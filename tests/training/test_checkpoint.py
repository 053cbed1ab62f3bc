import math
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from buttress.training import checkpoint
from buttress.training.checkpoint import load, save

TREE = {
    "step": 12,
    "none": None,
    "flags": [True, False],
    "betas": (0.9, 0.999),
    "odd": [math.inf, -math.inf, 0.1 + 0.2],
    "state": {0: {"step": torch.tensor(3.0), "half": torch.randn(3).bfloat16()}, 1: {}},
    "dot.ted": torch.tensor([1, 2]),
    "dot": {"ted": torch.tensor([True])},
    "empty": torch.zeros(0, 3),
    "text": "größer",
}


def same(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return a == b


def test_a_tree_comes_back_as_it_was(tmp_path):
    save(tmp_path / "x", TREE)
    assert same(load(tmp_path / "x"), TREE)


def test_weights_keep_their_names_for_any_reader(tmp_path):
    model = nn.Linear(2, 3)
    save(tmp_path / "x", model.state_dict())
    assert same(load_file(tmp_path / "x"), dict(model.state_dict()))


def test_tied_and_overlapping_tensors(tmp_path):
    whole = torch.arange(6.0)
    save(tmp_path / "x", {"a": whole, "b": whole, "view": whole[2:], "turned": whole.view(2, 3).T})
    loaded = load(tmp_path / "x")
    assert same(loaded["view"], whole[2:]) and same(loaded["turned"], whole.view(2, 3).T)
    assert loaded["a"] is loaded["b"]


def test_only_plain_things_are_stored(tmp_path):
    with pytest.raises(ValueError, match=r"a checkpoint holds .* but hook\.0 is <built-in function print>"):
        save(tmp_path / "x", {"hook": [print]})


def test_pickles_are_refused_and_never_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "sprung"),))

    torch.save({"a": Trap()}, tmp_path / "zip")
    (tmp_path / "raw").write_bytes(pickle.dumps(Trap()))
    for name in ("zip", "raw"):
        with pytest.raises(ValueError, match="a pickled checkpoint"):
            load(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_foreign_files_are_refused(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "foreign")
    with pytest.raises(ValueError, match="no checkpoint of buttress"):
        load(tmp_path / "foreign")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        load(tmp_path / "text")
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        load(tmp_path / "absent")


def test_cut_files_are_refused(tmp_path):
    save(tmp_path / "x", TREE)
    whole = (tmp_path / "x").read_bytes()
    for length in {0, 1, 7, 8, 9, len(whole) // 2, len(whole) - 1}:
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="not a whole safetensors file"):
            load(tmp_path / "cut")


def test_a_changed_byte_is_noticed(tmp_path):
    save(tmp_path / "x", {"a": torch.randn(50), "step": 7})
    whole = (tmp_path / "x").read_bytes()
    for place in (len(whole) - 1, len(whole) - 100, whole.index(b"step")):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        (tmp_path / "damaged").write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged"):
            load(tmp_path / "damaged")


@pytest.mark.parametrize(
    "step", ["runtime.atomic_write.os.fsync", "runtime.atomic_write.os.replace", "training.checkpoint.save_file"]
)
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, step):
    def full(*args):
        raise OSError(28, "No space left on device")

    save(tmp_path / "x", {"a": torch.zeros(2)})
    with monkeypatch.context() as patch:
        patch.setattr(f"buttress.{step}", full)
        with pytest.raises(OSError, match="No space left") as refused:
            save(tmp_path / "x", {"a": torch.ones(2)})
    assert refused.value.filename == str(tmp_path / "x")
    assert same(load(tmp_path / "x"), {"a": torch.zeros(2)})
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_what_safetensors_reports_is_an_oserror(tmp_path):
    with pytest.raises(OSError, match="x"):
        save(tmp_path / "no folder" / "x", {"a": torch.zeros(2)})


def test_others_may_read_a_checkpoint_as_they_may_other_files(tmp_path: Path):
    (tmp_path / "plain").touch()
    checkpoint.save(tmp_path / "x", {"a": torch.zeros(1)})
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "plain").stat().st_mode
