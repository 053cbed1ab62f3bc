"""Text out of columns of files and datasets: which column, which labels, and every kind of bad row."""

import csv
import gzip
import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from buttress.core import Column
from buttress.data.reading.tokens import decode
from buttress.data.sentences import Sentences
from buttress.data.source import detect
from buttress.data.table import Table

pytestmark = pytest.mark.usefixtures("own_cache")
datasets.disable_progress_bars()
KINDS = ["red", "blue", "old", "new", "big", "fat", "sly", "wet"]
TEXT = [f"the {a} cat, it sat near {b}" for a in KINDS for b in "abcdefghij"]
STARS = [1 + i // 3 % 5 for i in range(80)]
WORDS = [("good", "bad", "so so")[i % 3] for i in range(80)]
FORMS = ["csv", "tsv", "csv.gz", "jsonl", "parquet", "saved", "folder"]


def made(tmp_path, form, columns):
    """A file or folder with these columns."""
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    path = tmp_path / f"a.{form}"
    if form == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    elif form == "parquet":
        pq.write_table(pa.table(columns), path)
    elif form == "saved":
        datasets.Dataset.from_dict(columns).save_to_disk(path)
    elif form == "folder":
        path.mkdir()
        datasets.Dataset.from_dict(columns).to_parquet(path / "train.parquet")
    else:
        with (gzip.open if form.endswith(".gz") else open)(path, "wt", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(columns), delimiter="\t" if form == "tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return str(path)


def read_back(splits):
    """(sentence, class name or number) of all examples, in the order of the source."""
    found = []
    for side in (splits.train, splits.held_out):
        batch = side.read(torch.arange(len(side)))
        labels = batch.given["label"].tolist() if "label" in batch.given else [None] * len(side)
        names = [splits.label_names[k] if k is not None else None for k in labels]
        places = [int(side.where(i).removesuffix(" (from 0)").split()[-1]) for i in range(len(side))]
        found += zip(places, decode(splits.spec, batch.x), names, strict=True)
    return [pair for _, *pair in sorted(found)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("labels", "names"), [(STARS, ("1", "2", "3", "4", "5")), (WORDS, ("bad", "good", "so so"))])
def test_sentences_and_labels_of_every_kind_of_file(tmp_path, form, labels, names):
    path = made(tmp_path, form, {"id": range(80), "stars": labels, "text": TEXT, "note": ["-"] * 80})
    found = detect(path, label="stars")
    assert type(found) is Sentences and found.path == path
    splits = found.replace(split="seed").open()
    assert read_back(splits) == [[text, str(label)] for text, label in zip(TEXT, labels, strict=True)]
    assert splits.label_names == names and splits.spec.given == (Column("label", len(names), values=names),)
    assert splits.train.conditions["label"].dtype == torch.int64
    assert (splits.labels == splits.held_out.conditions["label"]).all() and len(splits.labels) == 8
    assert any("read the sentences of column 'text'" in note for note in splits.notes)


@pytest.mark.parametrize("form", FORMS)
def test_the_only_column_of_sentences_is_found(tmp_path, form):
    columns = {"id": [f"a{i}" for i in range(80)], "what people said": TEXT, "kind": WORDS, "stars": STARS}
    path = made(tmp_path, form, columns)
    assert type(detect(path)) is Sentences
    splits = detect(path).open()
    assert sorted(text for text, _ in read_back(splits)) == sorted(TEXT)
    assert splits.labels is None and splits.label_names == () and splits.spec.given == ()
    assert any("of column 'what people said'" in note for note in splits.notes)


@pytest.mark.parametrize("form", FORMS)
def test_two_columns_of_sentences_are_ambiguous(tmp_path, form):
    path = made(tmp_path, form, {"title": [t.upper() for t in TEXT], "review": TEXT, "stars": STARS})
    assert type(detect(path)) is Sentences
    with pytest.raises(ValueError, match=r"a\..*title.*review|try one of title, review"):
        detect(path).open()
    assert [text for text, _ in read_back(detect(path, column="review", split="seed").open())] == TEXT
    assert len(detect(path, column="title").open().train) > 60


@pytest.mark.parametrize("form", ["csv", "tsv", "parquet"])
@pytest.mark.parametrize(
    "columns",
    [
        {"a": [0.5 * i for i in range(80)], "b": range(80)},
        {"a": range(80), "kind": WORDS},
        {"a": range(80), "name": [f"Ann Miller{i}" for i in range(80)]},
        {"when": [f"2026-11-28 10:{i:02d} 17" for i in range(80)], "a": range(80)},
        {"a": range(80), "answer": [("I agree with that", "I do not agree at all")[i % 2] for i in range(80)]},
    ],
)
def test_a_table_stays_a_table(tmp_path, form, columns):
    path = made(tmp_path, form, columns)
    assert type(detect(path)) is Table
    assert type(detect(path, columns=("a",))) is Table


def test_settings_tell_what_is_meant(tmp_path):
    path = made(tmp_path, "csv", {"text": TEXT, "a": range(80)})
    assert type(detect(path, columns=("a",))) is Table and type(detect(path, column="text")) is Sentences
    words = made(tmp_path, "tsv", {"name": [f"Ann Miller{i}" for i in range(80)], "a": range(80)})
    assert len(detect(words, column="name").open().train) > 60


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
@pytest.mark.parametrize("names", [["neg", "pos"], ["World", "Sports", "Business"]])
def test_classes_of_a_dataset_keep_their_order(tmp_path, form, names):
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)})
    numbers = [i % len(names) for i in range(78)] + [-1, -1]
    datasets.Dataset.from_dict({"text": TEXT, "label": numbers}, features).save_to_disk(tmp_path / "data")
    splits = Sentences(str(tmp_path / "data"), label="label", split="seed").open()
    assert splits.label_names == tuple(names)
    assert [name for _, name in read_back(splits)] == [names[n] for n in numbers[:78]]
    assert any("2 sentences without a label were left out" in note for note in splits.notes)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([10, 9, None] * 26 + [9, 9], ("9", "10")),
        ([True, False] * 40, ("false", "true")),
        ([2.0, -1.0] * 40, ("-1", "2")),
    ],
)
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "saved"])
def test_labels_are_numbered_as_numbers_and_missing_ones_left_out(tmp_path, form, labels, names):
    splits = detect(made(tmp_path, form, {"text": TEXT, "y": labels}), label="y", split="seed").open()
    if form == "csv" and labels[0] is True:
        names = ("False", "True")
    if form == "csv" and labels[0] == 2.0:
        names = ("-1.0", "2.0")
    assert splits.label_names == names
    wanted = [text for text, label in zip(TEXT, labels, strict=True) if label is not None]
    assert [text for text, _ in read_back(splits)] == wanted


def test_labels_go_with_their_sentences_through_every_setting(tmp_path):
    texts = [f"w{i % 7} {'so ' * (i % 9)}it is" for i in range(300)]
    path = made(tmp_path, "csv", {"text": texts, "length": [f"c{i % 9}" for i in range(300)]})
    plain = Sentences(path, label="length")
    for settings in (
        {"max_length": 8},
        {"max_length": 5, "longer": "cut"},
        {"limit": 100},
        {"limit": 100, "sample": "random"},
        {"split": "seed"},
        {"tokenizer": "bpe", "vocabulary": 60},
    ):
        splits = plain.replace(**settings).open()
        pairs = read_back(splits)
        assert len(pairs) >= 100
        if "max_length" not in settings or "longer" not in settings:
            assert all(text.split().count("so") == int(name[1]) for text, name in pairs)


def test_held_out_files_share_the_classes(tmp_path):
    path = made(tmp_path, "csv", {"text": TEXT, "y": ["a", "c"] * 40})
    other = tmp_path / "b.csv"
    other.write_text("y,text\nb,it sat near b\nc,it sat near c\n")
    splits = Sentences(path, held_out_path=str(other), label="y", column="text").open()
    assert splits.label_names == ("a", "b", "c") and splits.labels.tolist() == [1, 2]
    assert splits.train.conditions["label"].tolist() == [0, 2] * 40


@pytest.mark.parametrize(
    ("content", "settings", "wanted"),
    [
        ('text;y\n"so; it is, now";1\nso be it;2\n', {}, ["so; it is, now", "so be it"]),
        ("text|y\nso, it is|1\n", {}, ["so, it is"]),
        ("0,so it is\n1,so be it\n", {}, ["so it is", "so be it"]),
        ("pos\tso it is now\nneg\tso be it then\npos\tbe it so\n", {}, ["so it is now", "so be it then", "be it so"]),
        ("What did you say to them?,y\nso it is,1\n", {}, ["so it is"]),
        ("so it is now then\nso be it here then\n", {}, ["so it is now then", "so be it here then"]),
        ("kind of text,said\nso it is,be it so\n", {"header": False, "column": "column1"}, ["said", "be it so"]),
        (',text\n0,"two\nlines, one ""cell"""\n\n1,so be it\n', {}, ['two lines, one "cell"', "so be it"]),
        ('y\ttext\n1\t"So," he said\n2\tHe said "so" and "it"\n', {}, ['"So," he said', 'He said "so" and "it"']),
        ('y\ttext\n1\t"so it is"\n2\t"it is ""so"""\n', {}, ["so it is", 'it is "so"']),
        ("text\r1 so it is\rso be it\r", {}, ["1 so it is", "so be it"]),
        ("text,y\nso\u2028it is,1\n", {}, ["so it is"]),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_delimiters_headers_and_quotes(tmp_path, content, settings, wanted, encoding):
    tsv = "\t" in content and ";" not in content
    path = tmp_path / ("a.tsv" if tsv else "A.CSV")
    repeats = 12
    header, *rest = content.splitlines(keepends=True) if settings.get("header", True) else ["", content]
    if wanted[0] in (header.strip(), header.strip().partition("\t")[2], header.strip().partition(",")[2]):
        header, rest = "", [content]
    path.write_bytes((header + "".join(rest) * repeats).encode(encoding))
    found = read_back(Sentences(str(path), split="seed", **settings).open())
    assert [text for text, _ in found] == wanted * repeats


@pytest.mark.parametrize(
    ("name", "content", "settings", "message"),
    [
        ("a.csv", "text,y\nso it is,1\nso,be,it,2\n", {}, r"a\.csv, line 3: 4 cells, wanted 2 as in the first line"),
        ("a.csv", 'text,y\n"so it" is,1\n', {}, r"a\.csv, line 2: not readable as a table .*try doubling the quotes"),
        ("a.csv", 'text,y\n"so it is,1\n' + "so,1\n" * 9, {}, r"a\.csv, line \d+: not readable as a table"),
        ("a.csv", "text,text\nso,it\n", {}, r"columns of the same name: 'text'"),
        ("a.csv", "text,y\n", {}, r"the file has no rows"),
        ("a.csv", "text,y\nso it is,1\n", {"column": "txet"}, r"no column 'txet'; did you mean 'text'"),
        ("a.csv", "text,y\nso it is,1\n", {"label": "z"}, r"no column 'z'; it has text, y"),
        ("a.csv", "text,y\nso it is,1\n", {"column": "y"}, r"column 'y' has no text; it has text, y"),
        ("a.csv", "a,b\n1,2\n3,4\n", {}, r"no column has sentences; it has a, b; try --data.column NAME"),
        ("a.csv", "", {}, r"a\.csv: the file is empty"),
        ("a.csv", "\n\n", {}, r"a\.csv: the file has no rows"),
        ("a.jsonl", '{"text": "so"}\n{"text": \n', {}, r"a\.jsonl, line 2: not readable as JSON, one object a line"),
        ("a.json", '[{"text": "so"},\n', {}, r"a\.json, line 1: not readable as JSON.*try jq -c '\.\[\]'"),
        ("a.json", '[{"text": "so"}]\n', {}, r"a\.json, line 1: wanted an object .*try jq -c '\.\[\]'"),
        (
            "a.jsonl",
            '{"text": "so"}\n{"text": 7}\n',
            {"column": "text"},
            r"a\.jsonl, line 2, column 'text': '7' is no text",
        ),
        ("a.jsonl", '{"text": ["so", "it"]}\n', {"column": "text"}, r"a\.jsonl"),
        ("a.jsonl", "[" * 100_000, {}, r"a\.jsonl, line 1: not readable as JSON"),
        ("a.jsonl", '{"text": "so it is", "y": {"a": 1}}\n' * 20, {"label": "y"}, r"column 'y': .* is no class label"),
        ("a.parquet", "no parquet", {}, r"a\.parquet: not readable as parquet"),
    ],
)
def test_bad_files_are_refused_by_line(tmp_path, name, content, settings, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message) as refused:
        Sentences(str(tmp_path / name), **settings).open()
    assert "\n" not in str(refused.value)


def test_labels_that_are_no_classes_are_refused(tmp_path):
    path = made(tmp_path, "csv", {"text": TEXT, "id": range(80)})
    with pytest.raises(ValueError, match=r"column 'id' has 80 different values for 80 sentences, wanted classes"):
        Sentences(path, label="id").open()


def test_missing_texts_are_blank_and_odd_characters_are_mended(tmp_path):
    rows = [{"text": "so it is", "y": 1}, {"y": 2}, {"text": None}, {"text": "so \ud83d it\0is"}, {"text": " "}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows * 10)))
    splits = Sentences(str(tmp_path / "a.jsonl"), column="text", split="seed").open()
    assert [text for text, _ in read_back(splits)] == ["so it is", "so \ufffd it is"] * 10
    assert any("30 blank lines were left out" in note for note in splits.notes)


def test_damaged_parquet_files_are_refused(tmp_path):
    table = pa.table({"text": TEXT * 20, "y": STARS * 20})
    pq.write_table(table, tmp_path / "a.parquet", compression="none", use_dictionary=False)
    whole = (tmp_path / "a.parquet").read_bytes()
    for damaged in (whole[: len(whole) // 2], whole.replace(b"the red cat", b"the \xff\xfed cat")):
        (tmp_path / "a.parquet").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"a\.parquet: not readable as parquet .* try writing it again"):
            Sentences(str(tmp_path / "a.parquet"), column="text").open()


def test_strings_a_line_are_sentences(tmp_path):
    (tmp_path / "a.ndjson").write_text("\n".join(map(json.dumps, TEXT)))
    assert [text for text, _ in read_back(detect(str(tmp_path / "a.ndjson"), split="seed").open())] == TEXT


def test_a_folder_of_tables_and_several_files(tmp_path):
    (tmp_path / "texts").mkdir()
    for i, name in enumerate(("a.csv", "b.jsonl")):
        path = made(tmp_path, name[2:], {"text": TEXT[40 * i : 40 * i + 40], "y": [i] * 40})
        (tmp_path / f"a.{name[2:]}").rename(tmp_path / "texts" / name)
    for path in (str(tmp_path / "texts"), tuple(str(tmp_path / "texts" / name) for name in ("a.csv", "b.jsonl"))):
        splits = Sentences(path, label="y").open()
        assert sorted(map(tuple, read_back(splits))) == sorted((text, str(i // 40)) for i, text in enumerate(TEXT))
    assert type(detect(str(tmp_path / "texts"))) is Sentences


@pytest.mark.parametrize("setting", [{"held_out_path": "b.txt"}, {"delimiter": ";"}, {"header": True}])
def test_settings_of_files_are_refused_for_datasets(tmp_path, setting):
    path = made(tmp_path, "saved", {"text": TEXT})
    with pytest.raises(ValueError, match=rf"{next(iter(setting))} .*not to a dataset; try leaving it out"):
        Sentences(path, **setting).open()
