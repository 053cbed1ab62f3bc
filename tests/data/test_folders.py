"""Folders of images that say themselves what is held out and which class an image belongs to; packed arrays."""

import gzip
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from buttress.data.images import Images
from buttress.data.source import detect
from buttress.data.table import Table

pytestmark = pytest.mark.usefixtures("own_cache")
NOISE = np.random.default_rng(0)


def fill(root, counts):
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.fromarray(NOISE.integers(0, 256, (8, 8)).astype(np.uint8)).save(root / name / f"{i}.png")
    return str(root)


def told(splits, *words):
    return any(all(word in note for word in words) for note in splits.notes)


def sizes(splits):
    return len(splits.train), len(splits.held_out)


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("Training", "VAL"), ("train", "validation")])
def test_what_lies_in_test_is_held_out(tmp_path, train, test):
    splits = Images(fill(tmp_path, {train: 30, test: 12})).open()
    assert sizes(splits) == (30, 12) and splits.labels is None
    assert told(splits, f"learned from {train}/ (30), held out {test}/ (12)")
    assert f"/{test}/" in splits.held_out.where(3) and f"/{train}/" in splits.train.where(3)


def test_train_val_and_test_have_the_same_classes(tmp_path):
    counts = {"train/cat": 20, "train/dog": 15, "train/emu": 5, "val/cat": 3, "test/dog": 6, "test/cat": 4}
    splits = Images(fill(tmp_path, counts)).open()
    assert sizes(splits) == (40, 10) and told(splits, "not used: val/ (3)")
    assert splits.label_names == ("cat", "dog", "emu") and splits.spec.given[0].classes == 3
    for examples in (splits.train, splits.held_out):
        for i, label in enumerate(examples.conditions["label"]):
            assert f"/{splits.label_names[label]}/" in examples.where(i)
    other = Images(str(tmp_path), held_out_key="val").open()
    assert sizes(other) == (40, 3) and told(other, "not used: test/ (10)")
    assert sizes(Images(str(tmp_path), subset="test", held_out_key="val").open()) == (10, 3)


def test_copies_between_the_two_are_counted(tmp_path):
    fill(tmp_path, {"train": 30, "test": 12})
    (tmp_path / "test" / "0.png").write_bytes((tmp_path / "train" / "7.png").read_bytes())
    assert told(Images(str(tmp_path)).open(), "1 of 12 held-out rows are copies")


def test_folders_that_are_no_pair_are_put_together_and_told(tmp_path):
    splits = Images(fill(tmp_path, {"test": 20, "val": 20}), split="seed").open()
    assert sum(sizes(splits)) == 40 and told(splits, "test, val", "put together")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"held_out_key": "dev"}, r"no sub-folder 'dev' with such files; it has test, train"),
        ({"subset": "trian"}, r"no sub-folder 'trian' with such files"),
        ({"labels_key": "y"}, "labels_key does not apply"),
    ],
)
def test_sub_folders_that_are_not_there_are_refused(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        Images(fill(tmp_path, {"train": 30, "test": 12}), **settings).open()


def test_classes_lie_beneath_folders_that_all_share(tmp_path):
    splits = Images(fill(tmp_path, {"data/images/cat": 20, "data/images/dog": 20}), split="seed").open()
    assert splits.label_names == ("cat", "dog")


# arrays under other names


def idx(values):
    kinds = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}
    head = bytes([0, 0, kinds[values.dtype.str[1:]], values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return head + values.astype(values.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize(
    "name", ["train-images-idx3-ubyte.gz", "train-images-idx3-ubyte", "T10K.IDX.GZ", "a.idx3-ubyte", "digits.idx"]
)
def test_idx_files_are_read_by_what_they_hold(tmp_path, name):
    values = NOISE.integers(0, 256, (50, 8, 9)).astype("u1")
    (tmp_path / name).write_bytes(gzip.compress(idx(values)) if name.lower().endswith("gz") else idx(values))
    splits = detect(str(tmp_path / name), split="seed").open()
    x = torch.cat([e.batch(torch.arange(len(e))) for e in (splits.train, splits.held_out)])
    assert sorted(map(bytes, x.numpy())) == sorted(map(bytes, values)) and splits.spec.shape == (1, 8, 9)
    assert splits.train.where(0).startswith(str(tmp_path / name))


@pytest.mark.parametrize("dtype", ["i2", "i4", "f4", "f8"])
def test_idx_files_of_every_type(tmp_path, dtype):
    values = (300 * NOISE.standard_normal((50, 4))).astype(dtype)
    (tmp_path / "table-idx2").write_bytes(idx(values))
    splits = detect(str(tmp_path / "table-idx2"), split="seed").open()
    x = torch.cat([e.batch(torch.arange(len(e))) for e in (splits.train, splits.held_out)])
    assert sorted(map(bytes, x.numpy())) == sorted(map(bytes, values.astype("f4")))


@pytest.mark.parametrize("name", ["a.npy.gz", "A.NPY.GZ", "a.npz.gz", "B.NPY", "B.NPZ"])
def test_arrays_are_read_packed_and_with_endings_in_capitals(tmp_path, name):
    plain = tmp_path / ("plain.npz" if "npz" in name.lower() else "plain.npy")
    values = NOISE.integers(0, 256, (50, 8, 9)).astype("u1")
    np.savez(plain, x=values) if plain.suffix == ".npz" else np.save(plain, values)
    content = plain.read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.lower().endswith("gz") else content)
    splits = detect(str(tmp_path / name), split="seed").open()
    assert sum(sizes(splits)) == 50 and splits.spec.shape == (1, 8, 9)
    rows = detect(str(tmp_path / name)).path
    assert rows == str(tmp_path / name)


@pytest.mark.parametrize("cut", [6, 30, 200])
def test_a_packed_array_that_is_cut_short_is_refused_by_its_own_name(tmp_path, cut):
    values = NOISE.integers(0, 256, (50, 8, 9)).astype("u1")
    (tmp_path / "a-idx3-ubyte").write_bytes(idx(values)[:cut])
    (tmp_path / "b-idx3-ubyte.gz").write_bytes(gzip.compress(idx(values))[:-cut])
    for name in ("a-idx3-ubyte", "b-idx3-ubyte.gz"):
        with pytest.raises(ValueError, match=rf"{name}: not readable as (idx|gzip) .*copying it again"):
            detect(str(tmp_path / name)).open()


def test_errors_about_a_packed_archive_name_the_file_and_not_its_copy(tmp_path):
    for name, shape, part in (("a.npz.gz", (50, 3), Table), ("b.npz.gz", (50, 8, 9), Images)):
        np.savez(tmp_path / "plain.npz", x=NOISE.random(shape))
        (tmp_path / name).write_bytes(gzip.compress((tmp_path / "plain.npz").read_bytes()))
        with pytest.raises(ValueError, match=rf"^{tmp_path / name}: no array 'y'; "):
            part(str(tmp_path / name), key="y").open()
    np.savez(tmp_path / "plain.npz", x=np.array([[None]]))
    (tmp_path / "c.npz.gz").write_bytes(gzip.compress((tmp_path / "plain.npz").read_bytes()))
    with pytest.raises(ValueError, match=rf"^{tmp_path / 'c.npz.gz'}, array 'x': "):
        Table(str(tmp_path / "c.npz.gz")).open()


# labels of archives


def test_labels_of_training_images_are_read_beside_those_held_out(tmp_path):
    x = NOISE.integers(0, 256, (40, 8, 8)).astype("u1")
    y = x[:, 0, 0] % 4
    np.savez(tmp_path / "a.npz", x_train=x[:30], x_test=x[30:], y_train=y[:30], y_test=y[30:])
    splits = Images(str(tmp_path / "a.npz"), held_out_key="x_test", labels_key="y_test").open()
    for examples in (splits.train, splits.held_out):
        batch = examples.read(torch.arange(len(examples)))
        assert torch.equal(batch.given["label"], batch.x[:, 0, 0, 0].long() % 4)
    assert splits.spec.given[0].classes == 4
    one = Images(str(tmp_path / "a.npz"), key="x_train", labels_key="y_train", split="seed").open()
    assert torch.equal(one.train.conditions["label"], one.train.batch(torch.arange(27))[:, 0, 0, 0].long() % 4)


def test_labels_may_be_words_and_need_not_be_there_for_training(tmp_path):
    x = NOISE.integers(0, 256, (40, 8, 8)).astype("u1")
    np.savez(tmp_path / "a.npz", x_train=x[:30], x_test=x[30:], kinds=np.array(["dog", "cat"] * 5))
    splits = Images(str(tmp_path / "a.npz"), held_out_key="x_test", labels_key="kinds").open()
    assert splits.label_names == ("cat", "dog") and splits.labels.tolist() == [1, 0] * 5
    assert told(splits, "no labels of training images") and splits.spec.given == ()


# axes


@pytest.mark.parametrize("shape", [(80, 3, 16, 3), (80, 1, 9, 1), (80, 1, 9, 3), (80, 4, 9, 4)])
def test_axes_that_could_both_be_channels_are_refused(tmp_path, shape):
    np.save(tmp_path / "a.npy", NOISE.integers(0, 256, shape).astype("u1"))
    with pytest.raises(ValueError, match=r"both ends could be channels; try layout='NCHW' or 'NHWC'"):
        Images(str(tmp_path / "a.npy")).open()
    for layout, wanted in (("NCHW", shape[1:]), ("NHWC", (shape[3], *shape[1:3]))):
        assert Images(str(tmp_path / "a.npy"), layout=layout).open().spec.shape == wanted


@pytest.mark.parametrize(("shape", "wanted"), [((80, 4, 16, 3), (3, 4, 16)), ((80, 3, 16, 4), (3, 16, 4))])
def test_four_pixels_beside_three_channels_are_told(tmp_path, shape, wanted):
    np.save(tmp_path / "a.npy", NOISE.integers(0, 256, shape).astype("u1"))
    splits = Images(str(tmp_path / "a.npy")).open()
    assert splits.spec.shape == wanted and told(splits, "was read as layout")


@pytest.mark.parametrize("shape", [(32, 32, 3), (64, 48, 4), (3, 32, 32), (64, 64, 1)])
def test_one_colour_image_is_not_taken_for_many(tmp_path, shape):
    np.save(tmp_path / "a.npy", NOISE.integers(0, 256, shape).astype("u1"))
    with pytest.raises(ValueError, match=r"looks like one colour image, wanted .*; try an array of many images, or"):
        detect(str(tmp_path / "a.npy")).open()
    if shape[0] > 10:
        assert Images(str(tmp_path / "a.npy"), layout="NHW").open().spec.shape == (1, *shape[1:])


# datasets


def test_a_dataset_without_train_is_read_by_the_split_that_is_named(tmp_path):
    import datasets

    datasets.disable_progress_bars()
    data = datasets.Dataset.from_dict({"text": [f"the {i} cat" for i in range(40)]})
    datasets.DatasetDict({"validation": data}).save_to_disk(tmp_path / "words")
    assert sum(sizes(detect(str(tmp_path / "words"), subset="validation").open())) == 40
    fill(tmp_path / "files", {"": 40})
    rows = {"image": [str(tmp_path / "files" / f"{i}.png") for i in range(40)], "kind": [i % 2 for i in range(40)]}
    features = datasets.Features({"image": datasets.Image(), "kind": datasets.ClassLabel(names=["cat", "dog"])})
    data = datasets.Dataset.from_dict(rows, features)
    datasets.DatasetDict({"test": data}).save_to_disk(tmp_path / "pictures")
    data.to_parquet(tmp_path / "parquet" / "validation-00000-of-00001.parquet")
    for name, subset in (("pictures", "test"), ("parquet", "validation")):
        splits = detect(str(tmp_path / name), subset=subset, labels_key="kind", split="seed").open()
        assert sum(sizes(splits)) == 40 and splits.label_names == ("cat", "dog")
