"""What the columns of a table hold: numbers, words, missing values, indices, headers of years, far offsets."""

import gzip
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from buttress.data.reading.delimited import is_header
from buttress.data.source import detect
from buttress.data.table import Table

pytestmark = pytest.mark.usefixtures("own_cache")
X = np.random.default_rng(0).standard_normal((80, 3))


def lines(*columns):
    return "".join(",".join(str(cell) for cell in row) + "\n" for row in zip(*columns, strict=True))


def opened(tmp_path, text, name="t.csv", **settings):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return Table(str(tmp_path / name), **{"split": "seed", **settings}).open()


def whole(splits):
    return torch.cat([e.batch(torch.arange(len(e))) for e in (splits.train, splits.held_out)])


def told(splits, *words):
    return any(all(word in note for word in words) for note in splits.notes)


# indices


@pytest.mark.parametrize("first", ["", "Unnamed: 0", "index", "row_id", "PassengerId"])
def test_row_numbers_are_set_aside_with_a_note(tmp_path, first):
    splits = opened(tmp_path, f"{first},height,age\n" + lines(range(80), X[:, 0], X[:, 1]))
    assert splits.spec.columns == ("height", "age") and told(splits, "set aside, not learned")


def test_an_index_without_a_name_is_set_aside_whatever_it_holds_and_may_be_chosen(tmp_path):
    shuffled = np.random.default_rng(0).permutation(80)
    text = ",height\n" + lines(shuffled, X[:, 0])
    assert opened(tmp_path, text).spec.columns == ("height",)
    assert opened(tmp_path, text, columns=("column0", "height")).spec.columns == ("column0", "height")


@pytest.mark.parametrize("name", ["age", "day", "paid", "width"])
def test_a_column_that_counts_under_another_name_stays(tmp_path, name):
    assert opened(tmp_path, f"{name},a\n" + lines(range(80), X[:, 0])).spec.columns == (name, "a")


def test_the_index_of_a_parquet_file_is_set_aside(tmp_path):
    pq.write_table(pa.table({"a": X[:, 0], "__index_level_0__": np.arange(80)}), tmp_path / "t.parquet")
    assert Table(str(tmp_path / "t.parquet")).open().spec.columns == ("a",)


# headers


@pytest.mark.parametrize(
    ("first", "below", "header"),
    [
        ("region,2019,2020", ["0.5,1.5,2.5"] * 3, True),
        ("region,2019,2020", ["north,1.5,2.5", "south,0.5,1"], True),
        ("2019,2020,2021", ["1.5,0.5,3", "2,1,0.1"], True),
        ("2019,2020,2021", ["2020,2021,2022"] * 3, False),
        ("a,b", ["1,2"] * 3, True),
        (",a,b", ["0,1,2"] * 3, True),
        ("x1,x2", ["one,two"] * 3, True),
        ("1.5,2", ["0.5,3"] * 3, False),
        ("north,1.5", ["south,0.5"] * 3, False),
        (",1.5", ["2,0.5"] * 3, False),
        ("NA,1.5", ["2,0.5"] * 3, False),
        ("2019", ["1.5", "2.5"], False),
    ],
)
def test_a_header_is_told_from_data(first, below, header):
    assert is_header(first.split(","), [row.split(",") for row in below]) is header


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    assert opened(tmp_path, "\ufeffa,b\n" + lines(X[:, 0], X[:, 1])).spec.columns == ("a", "b")
    assert opened(tmp_path, '\ufeff"a","b"\n' + lines(X[:, 0], X[:, 1])).spec.columns == ("a", "b")


@pytest.mark.parametrize("name", ["T.CSV", "t.Csv", "T.TSV", "t.CSV.gz"])
def test_endings_in_capitals_are_the_same_endings(tmp_path, name):
    text = "a,b\n" + lines(X[:, 0], X[:, 1])
    text = text.replace(",", "\t") if "tsv" in name.lower() else text
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    assert detect(str(tmp_path / name), split="seed").open().spec.columns == ("a", "b")


# cells that are no plain numbers


@pytest.mark.parametrize("cell", ["1_00", "1 000", "1'000", "12%", "$5", "0x10", "1,5", "one", "1.2.3"])
def test_a_cell_that_is_no_plain_number_is_named_with_its_line_and_column(tmp_path, cell):
    a = [f'"{cell}"' if i == 40 else value for i, value in enumerate(X[:, 0])]
    with pytest.raises(ValueError, match=r"t\.csv, line 42, column 'a': .* is no plain number; .*try repairing it"):
        opened(tmp_path, "a,b\n" + lines(a, X[:, 1]))


@pytest.mark.parametrize("form", ['"1,{0:03d}.5"', '"{0},5"', "1_{0:03d}", "{0}%", "€{0}", "1 {0:03d}"])
def test_a_column_of_numbers_in_another_writing_is_refused_and_not_taken_for_words(tmp_path, form):
    with pytest.raises(ValueError, match=r"line 2, column 'a': .*wanted digits and at most one point, as in 1234\.5"):
        opened(tmp_path, "a,b\n" + lines([form.format(i) for i in range(80)], X[:, 1]))


# words and missing values


def test_words_become_codes_with_names(tmp_path):
    city = ["Rome", "Oslo", "Rome", "NA"] * 20
    splits = opened(tmp_path, "a,city,sure\n" + lines(X[:, 0], city, [True, False] * 40))
    assert splits.spec.categories == (0, 3, 2)
    assert splits.spec.words == ((), ("Rome", "Oslo", ""), ("True", "False"))
    assert splits.spec.missing is False and told(splits, "read as categories: 'city' (3: Rome, Oslo, missing)")
    rows = {row[0]: row[1:] for row in whole(splits).tolist()}
    for i, a in enumerate(X[:, 0]):
        assert rows[np.float32(a).item()] == [[0, 1, 0, 2][i % 4], i % 2]


def test_rows_appended_leave_codes_and_sides_as_they_are(tmp_path):
    before = ["x", "y"] * 40
    one = opened(tmp_path, "a,w\n" + lines(X[:, 0], before), split="hash")
    more = np.random.default_rng(1).standard_normal(40)
    text = "a,w\n" + lines([*X[:, 0], *more], [*before, *["a", "", "b", "x"] * 10])
    other = opened(tmp_path, text, "u.csv", split="hash")
    kept = {tuple(row) for row in one.held_out.batch(torch.arange(len(one.held_out))).tolist()}
    now = {tuple(row) for row in other.held_out.batch(torch.arange(len(other.held_out))).tolist()}
    assert kept <= now and len(kept) > 2 and other.spec.words[1] == ("x", "y", "a", "", "b")


def test_missing_numbers_are_nan_and_counted_and_leave_mean_and_spread_alone(tmp_path):
    a = [value if i % 4 else ("", "NaN", "n/a", "-")[i // 4 % 4] for i, value in enumerate(X[:, 0])]
    splits = opened(tmp_path, "a,b\n" + lines(a, X[:, 1]))
    x = whole(splits)
    assert splits.spec.missing and x[:, 0].isnan().sum() == 20 and told(splits, "'a' lacks 20 of 80")
    there = splits.train.batch(torch.arange(len(splits.train)))[:, 0].double()
    there = there[~there.isnan()]
    torch.testing.assert_close(splits.spec.mean[0], there.mean().float())
    torch.testing.assert_close(splits.spec.std[0], there.std(unbiased=False).float())
    aside = opened(tmp_path, "a,b\n" + lines(a, X[:, 1]), missing="set_aside")
    assert len(whole(aside)) == 60 and not aside.spec.missing


def test_arrays_may_lack_values_too(tmp_path):
    x = X.copy()
    x[::5, 1] = np.nan
    np.save(tmp_path / "a.npy", x)
    splits = Table(str(tmp_path / "a.npy")).open()
    assert splits.spec.missing and told(splits, "'column1' lacks 16 of 80")


def test_identifiers_and_other_columns_without_use_are_set_aside_with_their_reason(tmp_path):
    names = [f"Mr. No {i} of Somewhere" for i in range(80)]
    columns = (names, [f"T{i}" for i in range(80)], [""] * 80, ["same"] * 80, *X.T)
    splits = opened(tmp_path, "name,ticket,empty,one,a,b,c\n" + lines(*columns))
    assert splits.spec.columns == ("a", "b", "c") and not splits.spec.categories
    assert told(
        splits, "'name' (sentences, 80 different)", "'ticket' (identifiers, 80 different)", "'empty' (no values)"
    )


def test_a_table_of_little_but_sentences_is_sent_to_sentences(tmp_path):
    text = [f'"the {i} cat sat here, really"' for i in range(80)]
    with pytest.raises(ValueError, match=r"column 'text': sentences, .*try data sentences with column='text'"):
        opened(tmp_path, "label,text\n" + lines([0, 1] * 40, text))
    assert opened(tmp_path, "label,b,text\n" + lines([0, 1] * 40, X[:, 0], text), columns=("label", "b"))


def test_more_words_than_can_be_learned_are_set_aside(tmp_path):
    words = [f"w{i % 6000}" for i in range(13_000)]
    splits = opened(tmp_path, "w,a\n" + lines(words, np.random.default_rng(0).random(13_000)))
    assert splits.spec.columns == ("a",) and told(splits, "'w' (identifiers, over 5000 different)")


def test_more_sentences_than_can_be_learned_are_still_sentences(tmp_path):
    words = [f"the cat number {i} sat here" for i in range(13_000)]
    with pytest.raises(ValueError, match=r"column 'text': sentences, which are no categories"):
        opened(tmp_path, "text,a\n" + lines(words, np.random.default_rng(0).random(13_000)))


def test_a_table_of_another_encoding_is_read(tmp_path):
    text = "größe,Stadt\n" + lines(X[:, 0], ["Köln", "Bonn"] * 40)
    for name, encoding, setting in (("a.csv", "utf-16", "utf-8"), ("b.csv", "latin-1", "latin-1")):
        (tmp_path / name).write_bytes(text.encode(encoding))
        spec = Table(str(tmp_path / name), encoding=setting, split="seed").open().spec
        assert spec.columns == ("größe", "Stadt") and spec.words[1] == ("Köln", "Bonn")


def test_numbers_can_be_read_as_words(tmp_path):
    splits = opened(tmp_path, "kind,a\n" + lines([7, 3, 7, 9] * 20, X[:, 0]), categories=("kind",))
    assert splits.spec.words == (("7", "3", "9"), ())
    with pytest.raises(ValueError, match="no column 'knd'; did you mean 'kind'"):
        opened(tmp_path, "kind,a\n" + lines([7, 3, 7, 9] * 20, X[:, 0]), categories=("knd",))


def test_parquet_has_the_same_words_and_holes_as_text(tmp_path):
    city, sure = ["Rome", "Oslo", None, "Rome"] * 20, [True, None] * 40
    a = [None if i % 9 == 0 else float(value) for i, value in enumerate(X[:, 0])]
    kinds = pa.array(["u", "v"] * 40).dictionary_encode()
    pq.write_table(pa.table({"a": a, "city": city, "sure": sure, "kind": kinds}), tmp_path / "t.parquet")
    one = Table(str(tmp_path / "t.parquet"), split="seed").open()
    written = [["" if value is None else value for value in column] for column in (a, city, sure, ["u", "v"] * 40)]
    other = opened(tmp_path, "a,city,sure,kind\n" + lines(*written))
    assert one.spec.words == other.spec.words and one.spec.missing and other.spec.missing
    torch.testing.assert_close(whole(one), whole(other), equal_nan=True)


# constant columns


def test_constant_columns_stay_and_at_most_a_handful_is_named(tmp_path):
    grey = np.zeros((60, 400), np.uint8)
    grey[:, 100:150] = np.random.default_rng(0).integers(0, 256, (60, 50))
    np.save(tmp_path / "rows.npy", grey)
    splits = Table(str(tmp_path / "rows.npy")).open()
    assert splits.spec.shape == (400,)
    note = next(note for note in splits.notes if "constant" in note)
    assert "350 of 400 columns are constant" in note and len(note) < 300 + len(str(tmp_path))


def test_columns_and_labels_of_arrays_are_chosen_by_their_place(tmp_path):
    rows = np.column_stack([X, [2, 7, 7, 2] * 20])
    np.save(tmp_path / "a.npy", rows)
    splits = Table(str(tmp_path / "a.npy"), columns=("column2", "column0"), label="column3", split="seed").open()
    assert splits.spec.columns == ("column2", "column0") and splits.label_names == ("2", "7")
    assert sorted(whole(splits)[:, 1].tolist()) == sorted(X[:, 0].astype("f4").tolist())
    np.savez(tmp_path / "a.npz", x=X, y=np.array(["no", "yes"] * 40))
    assert Table(str(tmp_path / "a.npz"), label="y").open().label_names == ("no", "yes")


# far offsets


@pytest.mark.parametrize(
    ("start", "step"),
    [
        (1_700_000_000_000, 10),
        (1_700_000_000, 1),
        (int(datetime(2024, 1, 1, tzinfo=UTC).timestamp()) * 10**9, 10**6),
        (-5_000_000, 0.01),
        (20240000, 0.001),
    ],
)
def test_values_far_from_zero_keep_their_digits(tmp_path, start, step):
    times = [start + step * i for i in range(300)]
    noise = np.random.default_rng(0).standard_normal(300)
    splits = opened(tmp_path, "when,b\n" + lines([f"{t:.4f}" for t in times], noise), split="hash")
    offset = splits.spec.offset[0]
    x = whole(splits)[:, 0].double() + offset
    np.testing.assert_allclose(np.sort(x.numpy()), times, rtol=0, atol=step / 100 + 1e-15 * abs(start))
    assert told(splits, "column 'when'", "32 bits") and splits.spec.offset[1] == 0
    assert splits.spec.std[0] > 0 and len(whole(splits)[:, 0].unique()) == 300


def test_a_single_far_column_is_divided_by_all_its_digits(tmp_path):
    np.save(tmp_path / "a.npy", 1e9 + np.random.default_rng(0).standard_normal((300, 1)))
    splits = Table(str(tmp_path / "a.npy")).open()
    assert 10 < len(splits.held_out) < 60


def test_columns_near_zero_are_left_as_they_are(tmp_path):
    np.save(tmp_path / "a.npy", X + 100)
    splits = Table(str(tmp_path / "a.npy")).open()
    assert splits.spec.offset == () and whole(splits).mean() > 90


# labels


def test_labels_come_with_training_and_held_out_rows(tmp_path):
    label = np.where(X[:, 0] > 0, "plus", "minus")
    splits = opened(tmp_path, "a,b,sign\n" + lines(X[:, 0], X[:, 1], label), label="sign")
    assert splits.label_names == ("minus", "plus")
    for examples in (splits.train, splits.held_out):
        batch = examples.read(torch.arange(len(examples)))
        assert torch.equal(batch.given["label"], (batch.x[:, 0] > 0).long())
    assert torch.equal(splits.labels, splits.held_out.conditions["label"])
    (column,) = splits.spec.given
    assert (column.name, column.classes, column.values) == ("label", 2, ("minus", "plus"))
