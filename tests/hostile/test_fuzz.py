"""Valid files of which some bytes were changed, cut or repeated: each reader takes them or says what is wrong."""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from buttress.baseline import baseline
from buttress.core.recipe import Recipe
from buttress.data.images import Images
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.data.sentences import Sentences
from buttress.data.table import Table
from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.evidence import Evidence, Groups
from buttress.report.examples import load_examples, save_examples
from buttress.report.results import load_run
from buttress.runtime.plain_data import parse_json, parse_yaml
from buttress.training import checkpoint

from . import arrays, pictures, texts

EXAMPLES = 60


@st.composite
def damaged(draw: st.DrawFn, good: bytes) -> bytes:
    """Some of its bytes changed, its end cut off, a piece repeated or left out."""
    data = bytearray(good)
    for _ in range(draw(st.integers(0, 4))):
        data[draw(st.integers(0, len(good) - 1))] = draw(st.integers(0, 255))
    start, end = sorted(draw(st.tuples(*[st.integers(0, len(good))] * 2)))
    how = draw(st.sampled_from(["as it is", "cut", "without", "twice"]))
    changed = {"cut": data[:end], "without": data[:start] + data[end:], "twice": data[:end] + data[start:]}
    return bytes(changed.get(how, data))


def _npz(path: Path) -> None:
    np.savez_compressed(path, x=arrays.GOOD)


def _state(path: Path) -> None:
    checkpoint.save(path, {"model": {"a": torch.arange(3.0), "b": torch.ones(2, 2)}, "step": 3, "names": ("a", None)})


def _examples(path: Path) -> None:
    save_examples(path.parent, "table", samples=np.ones((3, 2)), columns=("a", "b"))


def _recipe() -> bytes:
    data = LinearGaussianData(dim=3, n=50)
    return baseline(data, data.open().spec).to_yaml().encode()


def _evidence() -> bytes:
    estimates = {"rate": Estimate(1.5, 0.1, 100, "closed form"), "elbo": Estimate(-3.0, None, 100, "Monte Carlo")}
    found = Evidence(100, "table", estimates, Groups(("z0", "z1"), (1.5, None), (0.1, 0.0), (0.9, 0.0)))
    return replace(found, settings={"seed": 0}).to_json().encode()


def _pictures(path: Path) -> None:
    folder = path.parent / "pictures"
    folder.mkdir()
    for i in range(12):
        (folder / f"{i}.png").write_bytes(pictures.picture())
    (folder / "x.png").write_bytes(path.read_bytes())
    Images(str(folder), tolerate=0.5).open()


def _bytes_of(name: str, write: Callable[[Path], object]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


READERS: dict[str, tuple[bytes, Callable[[Path], object]]] = {
    "x.npy": (arrays.npy_bytes(arrays.GOOD), lambda path: Table(str(path)).open()),
    "x.npz": (_bytes_of("x.npz", _npz), lambda path: Table(str(path)).open()),
    "x.csv": (texts.ROWS, lambda path: Table(str(path)).open()),
    "x.parquet": (
        pictures.parquet_bytes({"a": arrays.GOOD[:, 0], "b": arrays.GOOD[:, 1]}),
        lambda path: Table(str(path)).open(),
    ),
    "x.png": (pictures.picture(), _pictures),
    "x.txt.gz": (texts.gzip.compress(texts.LINES), lambda path: Sentences(str(path)).open()),
    "recipe.yaml": (_recipe(), lambda path: Recipe.load(path)),
    "evidence.json": (_evidence(), lambda path: Evidence.load(path)),
    "metrics.csv": (b"step,split,loss,rate/z0\n1,train,2.5,1\n2,held_out,,0.5\n", lambda path: load_run(path.parent)),
    "state.safetensors": (_bytes_of("state.safetensors", _state), lambda path: checkpoint.load(path)),
    "examples.safetensors": (_bytes_of("examples.safetensors", _examples), lambda path: load_examples(path.parent)),
}
"""File name -> a valid file, and what reads it."""


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_or_refused(name, own_cache):
    good, read = READERS[name]
    outcomes = set()

    @settings(max_examples=EXAMPLES)
    @given(damaged(good))
    def attempt(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="error"):
            path = Path(folder) / name
            path.write_bytes(data)
            with contextlib.suppress(ValueError):  # and nothing else
                read(path)
                outcomes.add("read")
                return
            outcomes.add("refused")

    attempt()
    assert "refused" in outcomes or name == "metrics.csv"  # of which all but the readable rows are passed over


@settings(max_examples=100)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(10**98), 10**98)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(codec="utf-8")),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
        max_leaves=20,
    )
)
def test_plain_data_comes_back_as_it_was(plain):
    import json

    assert parse_json(json.dumps(plain), "it") == plain


@pytest.mark.parametrize("depth", [99, 100, 101, 5000, 200_000])
@pytest.mark.parametrize("parse", [parse_json, parse_yaml])
def test_nesting_is_bounded(parse, depth):
    text = "[" * depth + "]" * depth
    if depth <= 100:
        assert isinstance(parse(text, "it"), list)
    else:
        with pytest.raises(ValueError, match="nested deeper than 100 levels"):
            parse(text, "it")


@pytest.mark.parametrize("text", ["a: 0x" + "f" * 500, "a: 1" + ":59" * 500, "a: !!int " + "9" * 500, "9" * 101])
def test_numbers_without_end_are_refused(text):
    with pytest.raises(ValueError, match=r"a number of \d+ digits"):
        parse_yaml(text, "it")


def test_long_words_are_no_numbers():
    assert parse_yaml(f"a: '{'9' * 500}'\nb: {'x' * 500}", "it") == {"a": "9" * 500, "b": "x" * 500}
