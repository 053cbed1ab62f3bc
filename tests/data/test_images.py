"""Images from folders, archives and datasets; every kind of bad input is refused or set aside by name."""

import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from buttress.data.images import Images

pytestmark = pytest.mark.usefixtures("own_cache")


def picture(i, shape=(8, 9), mode=None):
    return Image.fromarray(np.random.default_rng(i).integers(0, 256, shape, dtype=np.uint8), mode)


@pytest.fixture
def folder(tmp_path):
    """120 grey images of 8 x 9 in two sub-folders."""
    for name in ("cats", "dogs"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(60):
            picture(100 * len(name) + i + (name == "dogs") * 500).save(tmp_path / "pets" / name / f"{i:02}.png")
    return tmp_path / "pets"


def whole(splits):
    return torch.cat([e.batch(torch.arange(len(e))) for e in (splits.train, splits.held_out)])


def test_a_folder_is_read_through_its_sub_folders(folder):
    (folder / "notes.txt").write_text("not an image")
    splits = Images(str(folder)).open()
    stored = {np.asarray(Image.open(f)).tobytes() for f in folder.rglob("*.png")}
    assert {bytes(x.numpy()) for x in whole(splits)} == stored
    assert splits.spec.kind == "image" and splits.spec.shape == (1, 8, 9)
    assert any("1 of .txt" in note for note in splits.notes)
    for i, label in enumerate(splits.labels):
        assert ("cats", "dogs")[label] in splits.held_out.where(i)


def test_a_decoded_folder_is_read_anew_when_a_file_changes(folder):
    before = whole(Images(str(folder)).open())
    picture(9999).save(folder / "cats" / "00.png")
    after = whole(Images(str(folder)).open())
    assert len({bytes(x.numpy()) for x in before} & {bytes(x.numpy()) for x in after}) == 119


def test_any_colour_makes_three_channels(folder):
    picture(1, (8, 9, 3)).save(folder / "cats" / "red.png")
    assert Images(str(folder)).open().spec.shape == (3, 8, 9)
    assert Images(str(folder), color=False).open().spec.shape == (1, 8, 9)


def test_corrupt_images_among_many_are_set_aside_by_name(folder):
    (folder / "cats" / "header.png").write_bytes(b"no image")
    good = (folder / "cats" / "00.png").read_bytes()
    (folder / "cats" / "cut.png").write_bytes(good[: len(good) // 2])
    with pytest.raises(ValueError, match=r"pets: 2 of 122 images cannot be read: .*cut\.png.*header\.png.*tolerate"):
        Images(str(folder)).open()
    splits = Images(str(folder), tolerate=0.05).open()
    assert len(whole(splits)) == 120
    note = next(n for n in splits.notes if "set aside" in n)
    assert "2 of 122" in note and "cut.png" in note and "header.png" in note and "try repairing" in note
    for i, label in enumerate(splits.labels):  # names and labels do not slip past those set aside
        assert ("cats", "dogs")[label] in splits.held_out.where(i)


def test_mixed_shapes_are_refused_with_their_counts_or_brought_to_one(folder):
    for i in range(3):
        picture(i, (4, 6)).save(folder / "dogs" / f"small{i}.png")
    with pytest.raises(
        ValueError,
        match=r"120 of 8x9 \(such as .*00\.png\); 3 of 4x6 \(such as .*try --data.resize 8,9, with --data.fit crop",
    ):
        Images(str(folder)).open()
    for fit in ("stretch", "crop"):
        assert Images(str(folder), resize=(4, 4), fit=fit).open().spec.shape == (1, 4, 4)


def test_cropping_keeps_proportions(tmp_path):
    for i in range(30):
        values = np.zeros((10, 30), np.uint8)
        values[:, 10:20] = 200 + i  # the middle square alone is bright
        Image.fromarray(values).save(tmp_path / f"{i}.png")
    cropped = whole(Images(str(tmp_path), resize=(10, 10), fit="crop", split="seed").open())
    stretched = whole(Images(str(tmp_path), resize=(10, 10), split="seed").open())
    assert cropped.min() >= 200 and stretched.min() < 20


@pytest.mark.parametrize("ending", ["png", "webp", "tif"])
def test_photos_stand_upright(tmp_path, ending):
    stored = []
    for i in range(30):
        exif = Image.Exif()
        exif[274] = 6
        image = picture(i, (8, 12))
        image.save(tmp_path / f"{i}.{ending}", exif=exif, lossless=True)
        stored.append(np.rot90(np.asarray(image), -1))
    upright = whole(Images(str(tmp_path), split="seed").open())
    assert upright.shape == (30, 1, 12, 8)
    assert {bytes(x) for x in upright.numpy()} == {np.ascontiguousarray(x).tobytes() for x in stored}


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"there are no images; wanted files ending in \.png"):
        Images(str(tmp_path)).open()


def test_images_all_alike_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.full((50, 5, 5), 7, "u1"))
    with pytest.raises(ValueError, match=r"a\.npy: every value of every image is 7"):
        Images(str(tmp_path / "a.npy")).open()


def saved(tmp_path, change=lambda a: a, dtype="f4"):
    values = np.random.default_rng(0).integers(0, 2, (50, 4, 5)).astype(dtype)
    np.save(tmp_path / "a.npy", change(values))
    return str(tmp_path / "a.npy")


def put(value, at=(17, 1, 2)):
    def change(values):
        values[at] = value
        return values

    return change


@pytest.mark.parametrize(
    ("change", "dtype", "message"),
    [
        (put(np.nan), "f4", r"a\.npy, row 17 \(from 0\), pixel row 1, column 2: the value is nan; wanted finite"),
        (put(-np.inf), "f8", r"row 17 .* the value is -inf"),
        (put(1e300), "f8", r"row 17 .* the value is inf; wanted finite numbers within float32"),
        (
            lambda a: a,
            "u1",
            r"the largest value is 1, but whole numbers mean grey levels 0 to 255.*saving them as bool",
        ),
        (lambda a: a, "i8", r"a\.npy: the largest value is 1, but whole numbers .*or multiplying them by 255"),
        (lambda a: a.astype("c8"), "f4", r"values of type complex64, wanted real numbers"),
        (lambda a: a.astype("U1"), "u1", r"values of type <U1, wanted real numbers"),
        (lambda a: a.reshape(50, 20), "f4", r"shape \(50, 20\), wanted \(N, H, W\).*try as a table"),
        (lambda a: np.zeros((50, 5, 5, 7)), "f4", r"no axis of 1, 3 or 4 channels; try layout="),
        (lambda a: a.astype(object), "f4", r"a\.npy: holds Python objects.*try saving plain numbers"),
        (lambda a: a[:5], "f4", r"a\.npy: 5 examples, too few"),
        (lambda a: a[:0], "f4", r"a\.npy: 0 examples, too few"),
    ],
)
def test_bad_arrays_are_refused_by_row(tmp_path, change, dtype, message):
    with pytest.raises(ValueError, match=message):
        Images(saved(tmp_path, change, dtype)).open()


def test_masks_of_0_and_1_are_refused_wherever_they_are_stored_as_whole_numbers(tmp_path, own_cache):
    mask = np.random.default_rng(0).integers(0, 2, (20, 5, 5))
    np.savez(tmp_path / "a.npz", train=(mask * 255).astype(np.uint8), test=mask)
    with pytest.raises(ValueError, match="array 'test': the largest value is 1, but"):
        Images(str(tmp_path / "a.npz"), key="train", held_out_key="test").open()
    (tmp_path / "files").mkdir()
    for i, image in enumerate(mask.astype(np.uint8)):
        Image.fromarray(image).save(tmp_path / "files" / f"{i}.png")
    with pytest.raises(ValueError, match=r"files: the largest value is 1, but .*multiplying them by 255"):
        Images(str(tmp_path / "files")).open()
    np.save(tmp_path / "a.npy", mask.astype(bool))
    assert Images(str(tmp_path / "a.npy"), split="seed").open().train.batch(torch.arange(5)).max() == 1.0


def test_a_pickle_is_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was run",))

    np.save(tmp_path / "a.npy", np.array([Bomb()] * 20, dtype=object))
    np.savez(tmp_path / "a.npz", x=np.array([[[Bomb()]]] * 20, dtype=object))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(ValueError, match=rf"{name}.*holds Python objects"):
            Images(str(tmp_path / name)).open()


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "the file is empty"), (b"no array", "not readable"), (None, "perhaps cut short")]
)
@pytest.mark.parametrize("name", ["a.npy", "b.npz"])
def test_broken_files_are_refused(tmp_path, name, content, message):
    save = np.save if name == "a.npy" else np.savez
    save(tmp_path / name, np.zeros((50, 8, 8)))
    whole_file = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole_file[: len(whole_file) // 2] if content is None else content)
    if content is None and name == "b.npz":
        message = "not readable as a .npz archive"
    with pytest.raises(ValueError, match=rf"{name}: .*{message}.*try"):
        Images(str(tmp_path / name)).open()


def test_a_broken_member_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.random.default_rng(0).random((50, 8, 8)))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[2000] ^= 0xFF
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz, array 'images': .*CRC"):
        Images(str(tmp_path / "a.npz")).open()


@pytest.mark.parametrize("path", ["nothing.npy", "nothing.npz", "no/such/folder"])
def test_what_is_not_there_is_said_to_be_looked_for(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"there is no such file.*looked in .*try an absolute path"):
        Images(path).open()


@pytest.fixture
def archive(tmp_path):
    random = np.random.default_rng(0)
    arrays = {f"x_{s}": random.integers(0, 256, (n, 5, 5), dtype="u1") for s, n in (("train", 40), ("test", 20))}
    arrays |= {f"y_{s}": np.arange(n) for s, n in (("train", 40), ("test", 20))}
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    return str(tmp_path / "a.npz"), arrays


def test_an_archive_is_split_or_brings_its_held_out_array(archive):
    path, arrays = archive
    splits = Images(path, labels_key="y_train").open()
    assert len(splits.train) + len(splits.held_out) == 40
    assert any("'x_test' was not used; held_out_key='x_test'" in note for note in splits.notes)
    x = splits.held_out.batch(torch.arange(len(splits.held_out)))[:, 0].numpy()
    assert (x == arrays["x_train"][splits.labels.numpy()]).all()
    given = Images(path, held_out_key="x_test", labels_key="y_test").open()
    assert (len(given.train), len(given.held_out)) == (40, 20)
    assert (given.held_out.batch(torch.arange(20))[:, 0].numpy() == arrays["x_test"]).all()
    assert given.labels.tolist() == list(range(20))


def test_held_out_rows_that_are_copies_of_training_rows_are_counted(tmp_path, own_cache, monkeypatch):
    path, rows = tmp_path / "a.npz", np.random.default_rng(0).integers(0, 256, (40, 5, 5, 3), np.uint8)
    other = np.random.default_rng(1).integers(0, 256, (5, 5, 5, 3), np.uint8)
    np.savez(path, train=rows, same=rows[:20], some=np.concatenate([other, rows[[7, 7, 9]]]), other=other)

    def notes(key):
        return [note for note in Images(str(path), key="train", held_out_key=key).open().notes if "copies" in note]

    assert notes("same")[0].startswith("20 of 20 held-out rows are copies of training rows, ")
    assert notes("some")[0].startswith("3 of 8 held-out rows are copies")
    assert notes("other") == []
    monkeypatch.setattr("buttress.data.reading.arrays.COMPARED", 1000)
    assert notes("same")[0].startswith("whether held-out rows are copies of training rows was not looked at")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"key": "x_trian"}, "no array 'x_trian'; did you mean 'x_train'"),
        ({"labels_key": "y_test"}, r"labels of type int64 and shape \(20,\), wanted whole numbers or words of shape"),
        ({"resize": (2, 2)}, "resize does not apply"),
        ({"key": "y_train"}, r"shape \(40,\), wanted \(N, H, W\)"),
    ],
)
def test_settings_that_do_not_fit_an_archive_are_refused(archive, settings, message):
    with pytest.raises(ValueError, match=message):
        Images(archive[0], **settings).open()


def test_an_archive_of_several_arrays_asks_which(tmp_path):
    np.savez(tmp_path / "a.npz", one=np.zeros((9, 2, 2)), two=np.zeros((9, 2, 2)), note=np.zeros(3))
    with pytest.raises(ValueError, match=r"wanted one array of 3 or 4 axes, got one \(9, 2, 2\), two .*; try key="):
        Images(str(tmp_path / "a.npz")).open()
    with zipfile.ZipFile(tmp_path / "b.npz", "w"):
        pass
    with pytest.raises(ValueError, match=r"got no arrays"):
        Images(str(tmp_path / "b.npz")).open()


@pytest.fixture(params=["saved", "parquet", "dict"])
def dataset(tmp_path, request, folder):
    import datasets

    datasets.disable_progress_bars()
    paths = [str(p) for p in sorted(folder.rglob("*.png"))]
    (tmp_path / "bad.png").write_bytes(b"no image")
    paths[7] = str(tmp_path / "bad.png")
    data = datasets.Dataset.from_dict({"picture": paths, "label": list(range(120))})
    data = data.cast_column("picture", datasets.Image())
    target = tmp_path / "data"
    if request.param == "parquet":
        target.mkdir()
        data.to_parquet(target / "train-00000-of-00001.parquet")
    elif request.param == "saved":
        data.save_to_disk(target)
    else:
        datasets.DatasetDict({"train": data, "test": data.select(range(20, 50))}).save_to_disk(target)
    return target, request.param


def test_a_dataset_is_read_and_its_corrupt_row_named(dataset):
    path, kind = dataset
    splits = Images(str(path), labels_key="label").open()
    assert len(whole(splits)) == 119 and splits.spec.shape == (1, 8, 9)
    assert any("split 'train', row 7 (from 0)" in note for note in splits.notes)
    for i, label in enumerate(splits.labels):
        assert splits.held_out.where(i).endswith(f"row {label} (from 0)")
    with pytest.raises(ValueError, match=r"column 'label' is not one of images; it has .*try one of picture"):
        Images(str(path), key="label").open()
    if kind == "dict":
        assert len(Images(str(path), held_out_key="test").open().held_out) == 30
        with pytest.raises(ValueError, match="no split 'trian'; did you mean 'train'"):
            Images(str(path), subset="trian").open()


def test_a_dataset_on_a_hub_out_of_reach_is_a_plain_error():
    with pytest.raises(ValueError, match=r"owner/nothing: there is no such file.*network"):
        Images("owner/nothing").open()


@pytest.mark.parametrize("settings", [{"resize": (0, 4)}, {"tolerate": 2.0}])
def test_contradictions_are_refused_at_once(settings):
    with pytest.raises(ValueError, match="wanted"):
        Images("anywhere", **settings)


def test_real_images(shared_data):
    splits = Images(str(shared_data / "cifar10_sub.npz"), held_out_key="x_test", labels_key="y_test").open()
    with np.load(shared_data / "cifar10_sub.npz") as stored:
        assert (splits.held_out.batch(torch.arange(9)).numpy() == stored["x_test"][:9].transpose(0, 3, 1, 2)).all()
        assert (splits.labels.numpy() == stored["y_test"]).all()
    frey = Images(str(shared_data / "frey_faces_28x20.npz")).open()
    assert frey.spec.shape == (1, 28, 20) and len(frey.train) + len(frey.held_out) == 1965
