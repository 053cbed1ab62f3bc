"""Tables from text, parquet and arrays; bad cells and columns are named."""

import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from buttress.data.table import Table

pytestmark = pytest.mark.usefixtures("own_cache")
REFUSE = {"missing": "refuse"}
ROWS = [[f"{i}", f"{i * i % 7 / 2}", f"{'ab'[i % 2]}"] for i in range(60)]


def whole(splits):
    return torch.cat([e.batch(torch.arange(len(e))) for e in (splits.train, splits.held_out)])


def written(tmp_path, rows, header=("age", "income", "city"), name="a.csv", delimiter=","):
    lines = [delimiter.join(r) for r in ([header] if header else []) + rows]
    (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(tmp_path / name)


def changed(line, column, cell):
    """The rows with one cell replaced, the line counted as in the file with its header."""
    rows = [row[:] for row in ROWS]
    rows[line - 2][column] = cell
    return rows


def test_columns_and_labels_come_out_as_they_went_in(tmp_path):
    splits = Table(written(tmp_path, ROWS), label="city").open()
    assert splits.spec.kind == "table" and splits.spec.shape == (2,) and splits.spec.columns == ("age", "income")
    assert whole(splits).dtype == torch.float32
    assert sorted(whole(splits).tolist()) == [[float(a), float(b)] for a, b, _ in ROWS]
    ages = splits.held_out.batch(torch.arange(len(splits.held_out)))[:, 0]
    assert torch.equal(splits.labels, ages.long() % 2)
    for i, age in enumerate(ages):
        assert splits.held_out.where(i).endswith(f"a.csv, line {int(age) + 2}")


def test_columns_can_be_chosen(tmp_path):
    splits = Table(written(tmp_path, ROWS), columns=("income", "age")).open()
    assert splits.spec.columns == ("income", "age")
    assert sorted(whole(splits)[:, 1].tolist()) == list(range(60))


def test_a_table_needs_no_header(tmp_path):
    splits = Table(written(tmp_path, [r[:2] for r in ROWS], header=None)).open()
    assert len(whole(splits)) == 60 and splits.spec.columns == ("column0", "column1")
    wordy = Table(written(tmp_path, ROWS, header=None), header=False, label="column2").open()
    assert len(whole(wordy)) == 60


def test_gzip_tabs_quotes_and_line_breaks_in_cells(tmp_path):
    rows = [[a, b, f'"{c}\nand\tmore"'] for a, b, c in ROWS]
    path = written(tmp_path, rows, name="a.tsv", delimiter="\t")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress((tmp_path / "a.tsv").read_bytes().replace(b"\t", b",")))
    assert len(whole(Table(path, label="city").open())) == 60
    assert len(whole(Table(str(tmp_path / "b.csv.gz"), columns=("age", "income")).open())) == 60


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        (changed(17, 1, ""), {"missing": "refuse"}, r"a\.csv, line 17, column 'income': a missing value; try"),
        (changed(17, 0, "NA"), {"missing": "refuse"}, r"line 17, column 'age': a missing value"),
        (changed(17, 1, "abc"), {}, r"line 17, column 'income': 'abc' is no plain number; try repairing it, columns="),
        (changed(17, 1, "inf"), {}, r"line 17, column 'income': the value is inf; wanted finite"),
        (changed(17, 1, "1e99"), {}, r"line 17, column 'income': the value is inf; wanted finite numbers within"),
        (changed(17, 1, "1,2"), {}, r"line 17: 4 cells, wanted 3 as in the first line"),
        ([[a, b] for a, b, _ in ROWS[:9]], {}, r"line 2: 2 cells, wanted 3"),
        ([["1", "0.1", c] for _, _, c in ROWS], {"split": "seed"}, r"a\.csv: all columns are constant in all"),
        (ROWS[:3], {}, r"a\.csv: 3 examples, too few"),
        ([], {}, r"a\.csv: 0 examples, too few"),
        (ROWS, {"columns": ("aeg",)}, r"no column 'aeg'; did you mean 'age'\? It has age, income, city"),
        (ROWS, {"label": "town"}, r"no column 'town'"),
        (ROWS, {"delimiter": ";"}, r"one column 'age,income,city' with the delimiter ';'; try delimiter=','"),
    ],
)  # fmt: skip
def test_bad_tables_are_refused_by_line_and_column(tmp_path, rows, settings, message):
    with pytest.raises(ValueError, match=message):
        Table(written(tmp_path, rows), **{"columns": ("age", "income"), **settings}).open()


def test_the_wrong_delimiter_is_recognised(tmp_path):
    with pytest.raises(ValueError, match=r"try delimiter=';'"):
        Table(written(tmp_path, ROWS, delimiter=";")).open()
    assert len(whole(Table(written(tmp_path, ROWS, delimiter=";"), delimiter=";", label="city").open())) == 60


def test_two_columns_of_one_name_are_refused(tmp_path):
    with pytest.raises(ValueError, match="columns of the same name: 'age'"):
        Table(written(tmp_path, ROWS, header=("age", "age", "city"))).open()


def test_rows_that_lack_a_value_can_be_set_aside(tmp_path):
    splits = Table(written(tmp_path, changed(17, 1, "?")), label="city", missing="set_aside").open()
    assert len(whole(splits)) == 59
    assert any("set aside 1 rows that lack a value: line 17;" in note for note in splits.notes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.csv: the file is empty"),
        (b"\n\n\n", r"a\.csv: the file has no rows"),
        (
            "größe,b\n1,2\n".encode("latin-1"),
            r"a\.csv, line 1: not text in the encoding utf-8 .*try encoding='latin-1'",
        ),
        (b'a,b\n1,"2\n', r"a\.csv, line 2: not readable as a table"),
        (b"a,b\n" + b"1," * 10**6, r"line 2: longer than 1048576 bytes"),
    ],
)
def test_files_that_are_no_tables_are_refused(tmp_path, content, message):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Table(str(tmp_path / "a.csv")).open()


def parquet(tmp_path, **columns):
    table = {"age": list(range(60)), "income": [i * i % 7 / 2 for i in range(60)], "city": ["a", "b"] * 30}
    pq.write_table(pa.table({**table, **columns}), tmp_path / "a.parquet")
    return str(tmp_path / "a.parquet")


def test_parquet_says_the_same_as_text(tmp_path):
    one = Table(parquet(tmp_path), label="city").open()
    other = Table(written(tmp_path, ROWS), label="city").open()
    assert torch.equal(whole(one), whole(other)) and torch.equal(one.labels, other.labels)
    assert one.spec.columns == other.spec.columns
    age = int(one.held_out.batch(torch.tensor([0]))[0, 0])
    assert one.held_out.where(0).endswith(f"a.parquet, row {age} (from 0)")


@pytest.mark.parametrize(
    ("columns", "settings", "message"),
    [
        ({"income": [[1.5]] * 60}, {}, r"a\.parquet, column 'income': of type list<.*>, wanted numbers or words; try"),
        ({"income": [1.5] * 17 + [None] + [2.5] * 42}, REFUSE, r"row 17 .*, column 'income': a missing value; try"),
        ({"income": [1.5] * 17 + [np.nan] + [2.5] * 42}, REFUSE, r"row 17 .*, column 'income': a missing value"),
        ({"income": [1.5] * 17 + [np.inf] + [2.5] * 42}, {}, r"row 17 \(from 0\), column 'income': the value is inf"),
    ],
)  # fmt: skip
def test_bad_parquet_is_refused_by_row_and_column(tmp_path, columns, settings, message):
    with pytest.raises(ValueError, match=message):
        Table(parquet(tmp_path, **columns), **{"columns": ("age", "income"), **settings}).open()


def test_rows_of_parquet_that_lack_a_value_can_be_set_aside(tmp_path):
    path = parquet(tmp_path, income=[None] + [i / 2 for i in range(59)])
    splits = Table(path, label="city", missing="set_aside").open()
    assert len(whole(splits)) == 59
    assert any("lack a value: row 0 (from 0);" in note for note in splits.notes)


@pytest.mark.parametrize(("content", "message"), [(b"", "the file is empty"), (b"PAR1 no more", "not readable")])
def test_broken_parquet_is_refused(tmp_path, content, message):
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.parquet: .*{message}.*try"):
        Table(str(tmp_path / "a.parquet")).open()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((50, 4, 4)), r"shape \(50, 4, 4\), wanted \(rows, columns\); try as images"),
        (np.zeros(50), r"shape \(50,\), wanted \(rows, columns\); try np\.reshape"),
        (np.where(np.arange(100).reshape(50, 2) == 35, np.inf, 1), r"row 17 \(from 0\), column 'column1': the value"),
        (np.array([["a", "b"]] * 50), r"values of type <U1, wanted real numbers"),
    ],
)  # fmt: skip
def test_bad_arrays_are_refused(tmp_path, values, message):
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(ValueError, match=message):
        Table(str(tmp_path / "a.npy")).open()


def test_arrays_inside_an_archive(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.random.default_rng(0).normal(size=(50, 3)), y=np.arange(50))
    assert Table(str(tmp_path / "a.npz")).open().spec.shape == (3,)


@pytest.mark.parametrize(
    ("path", "message"), [("no.csv", "there is no such file"), ("a.xlsx", "wanted a file ending in")]
)
def test_other_files_are_refused(tmp_path, path, message):
    (tmp_path / "a.xlsx").write_text("1")
    with pytest.raises(ValueError, match=message):
        Table(str(tmp_path / path)).open()


def test_a_delimiter_is_one_character():
    with pytest.raises(ValueError, match="wanted one character"):
        Table("a.csv", delimiter=", ")
