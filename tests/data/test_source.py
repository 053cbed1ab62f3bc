"""What a word on the command line means."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from buttress.data.images import Images
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.data.long_documents import LongDocuments
from buttress.data.lstm_text import LstmText
from buttress.data.mnist5k import Mnist5k
from buttress.data.sentences import Sentences
from buttress.data.source import detect
from buttress.data.table import Table

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def files(tmp_path, monkeypatch):
    """One of each; the working directory is theirs."""
    monkeypatch.chdir(tmp_path)
    for name, axes in (("table", 2), ("grey", 3), ("color", 4), ("line", 1)):
        np.save(tmp_path / f"{name}.npy", np.zeros((9,) * axes))
        np.savez(tmp_path / f"{name}.npz", x=np.zeros((9,) * axes), y=np.zeros(9))
    for name in ("a.txt", "b.txt", "c.txt.gz", "d.csv", "e.tsv", "f.csv.gz", "odd.xyz", "texts/one.txt", "none/x.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1,2\n")
    pq.write_table(pa.table({"a": [1.0]}), tmp_path / "t.parquet")
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "photos" / "deep" / "a.png")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("table.npy", Table), ("grey.npy", Images), ("color.npy", Images), ("table.npz", Table), ("grey.npz", Images),
        ("a.txt", Sentences), ("c.txt.gz", Sentences), ("d.csv", Table), ("e.tsv", Table), ("f.csv.gz", Table),
        ("t.parquet", Table), ("photos", Images), ("texts", Sentences),
    ],
)  # fmt: skip
def test_files_and_folders(files, name, kind):
    found = detect(name)
    assert type(found) is kind
    assert found.path == str(files / name)  # so that the recipe holds wherever it is read


def test_several_files(files):
    assert detect("a.txt, b.txt") == Sentences((str(files / "a.txt"), str(files / "b.txt")))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mnist5k", Mnist5k),
        ("linear_gaussian", LinearGaussianData),
        ("lstm_text", LstmText),
        ("long_documents", LongDocuments),
    ],
)
def test_names(name, kind):
    assert detect(name) == kind()
    assert detect(name, **({"held_out": 0.5} if kind is Mnist5k else {"seed": 3})) != kind()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "mnsit5k",
            r"there is no data 'mnsit5k'; did you mean 'mnist5k'\? It can be one of linear_gaussian, long_documents",
        ),
        ("photso", r"did you mean 'photos'\?.*Looked in"),
        ("no/such/folder", r"there is no data 'no/such/folder'"),
        ("missing.npy", r"there is no data 'missing.npy'"),
        ("images", r"there is no data 'images'"),
        ("odd.xyz", r"no telling what the file holds from its ending; wanted \.npy"),
        ("photos/deep/a.png", r"one image; try the folder that holds all of them"),
        ("none", r"no images .*, no text .* and no saved dataset in this folder"),
        ("line.npy", r"an array of 1 axes; wanted 2 for a table, 3 or 4 for images"),
        ("line.npz", r"an array of 1 axes"),
        ("owner/name", r"owner/name: there is no such file or folder .* and the Hugging Face hub did not give"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_could(files, name, message):
    with pytest.raises(ValueError, match=message):
        detect(name)


def test_an_unknown_setting_is_named():
    with pytest.raises(ValueError, match="mnist5k data: no setting 'heldout'; did you mean 'held_out'"):
        detect("mnist5k", heldout=0.2)


def test_saved_datasets_are_told_by_their_columns(tmp_path):
    import datasets

    datasets.disable_progress_bars()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.png")
    images = datasets.Dataset.from_dict({"image": [str(tmp_path / "a.png")], "caption": ["a"]})
    images.cast_column("image", datasets.Image()).save_to_disk(tmp_path / "images")
    datasets.Dataset.from_dict({"text": ["a"], "stars": [1]}).save_to_disk(tmp_path / "texts")
    datasets.Dataset.from_dict({"stars": [1]}).save_to_disk(tmp_path / "stars")
    assert type(detect(str(tmp_path / "images"))) is Images
    assert type(detect(str(tmp_path / "texts"))) is Sentences
    with pytest.raises(ValueError, match="a dataset without images or text; it has stars"):
        detect(str(tmp_path / "stars"))
