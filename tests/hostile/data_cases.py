"""Data files and recipes given to ``train``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from . import arrays, nodes, pictures, texts
from .arrays import GOOD, File
from .case import QUICK, Case


def _data(make: Callable[[Path], object], name: str, more: list[str], runs: Path) -> list[str]:
    make(Path(name))
    return ["train", name, *QUICK, *more]


def data() -> Iterator[Case]:
    """Data files given to ``train``."""
    readers: list[tuple[Callable[[], Iterator[File]], str]] = [
        (arrays.npy, "x.npy"),
        (arrays.npz, "x.npz"),
        (texts.txt, "x.txt"),
        (texts.gz, "x.txt.gz"),
        (texts.csv, "x.csv"),
        (pictures.parquet, "x.parquet"),
        (pictures.datasets, "x"),
    ]
    for family, ending in readers:
        for name, make in family():
            yield Case(f"data/{name}", partial(_data, make, ending, []))


def data_of_kinds() -> Iterator[Case]:
    """Files that meet a reader in another way: under another name, in a folder, with settings."""
    for name, make in texts.gz():
        yield Case(f"data/csv-{name}", partial(_data, make, "x.csv.gz", []))
        yield Case(f"data/folder-{name}", partial(_data, pictures.in_folder(make, "y.gz"), "x", []))
    for name, make in texts.csv():
        yield Case(f"data/tsv-{name}", partial(_data, make, "x.tsv", ["--data.delimiter", ","]))
    for name, make in pictures.images():
        for ending in ("png", "jpg"):
            yield Case(f"data/{name}-as-{ending}", partial(_data, pictures.in_folder(make, f"y.{ending}"), "x", []))
        yield Case(
            f"data/{name}-set-aside", partial(_data, pictures.in_folder(make, "y.tif"), "x", ["--data.tolerate", "0.5"])
        )
    for name, make in [*texts.json_files(), *texts.txt()]:
        yield Case(f"data/jsonl-{name}", partial(_data, make, "x.jsonl", []))
    for name, make in texts.txt():
        yield Case(f"data/bpe-{name}", partial(_data, make, "x.txt", ["--data.tokenizer", "bpe"]))


def special_data() -> Iterator[Case]:
    """Pipes, devices and the like, given as data or inside a folder."""
    endings = ("npy", "npz", "csv", "csv.gz", "parquet", "txt", "txt.gz", "png", "jsonl")
    for kind, make in nodes.nodes():
        for ending in endings:
            yield Case(f"special/{kind}-as-{ending}", partial(_data, make, f"x.{ending}", []))
        for ending in ("png", "txt", "gz", "parquet", "wav"):
            yield Case(
                f"special/{kind}-in-folder-as-{ending}",
                partial(_data, pictures.in_folder(make, f"y.{ending}"), "x", []),
            )
        yield Case(
            f"special/{kind}-in-texts", partial(_data, pictures.in_folder(make, "y.txt"), "x", ["--data", "sentences"])
        )
    for place in (
        "/dev/zero",
        "/dev/stdin",
        "/proc/self/mem",
        "/dev",
        "/proc/self/fd",
        "/dev/fd/0",
        ".",
        "..",
        "",
        " ",
        "\0",
        "x" * 5000,
        "a/" * 3000,
        "-",
        "--",
        "hf:",
        "hf:../x",
        "~nobody/x",
        "a\nb",
        "\udcff.npy",
        ",",
        ",,,",
        "x.txt,x.txt",
    ):
        yield Case(f"special/{place[:20]!r}", lambda runs, p=place: ["train", p, *QUICK])


def _from(make: Callable[[Path], object], more: list[str], runs: Path) -> list[str]:
    np.save("ok.npy", GOOD)
    make(Path("from.yaml"))
    return ["train", "ok.npy", "--from", "from.yaml", *QUICK, *more]


def recipes() -> Iterator[Case]:
    """Recipes after ``--from``: broken files, and good ones with one setting broken."""
    for name, make in [*texts.yaml_files(), *nodes.nodes()]:
        yield Case(f"recipe/{name}", partial(_from, make, []))
    for i, value in enumerate(VALUES):
        for line in LINES:
            yield Case(f"recipe/value-{line}-{i}", partial(_changed, line, value))
    deep = "[" * 3000
    for i, words in enumerate(
        [
            "kl_annealing:fraction=" + deep,
            "kl_annealing:fraction=" + "9" * 6000,
            "kl_annealing:fraction=1e999",
            "kl_annealing:start=&a [*a]",
            "free_bits:per_group=!!bool so",
            "free_bits:per_group=2001-99-99",
            "none+" * 500 + "none",
            "[red]",
            "a\nb",
            "+",
            ":",
            "free_bits:=",
            "\0",
        ]
    ):
        yield Case(
            f"recipe/remedies-{i}",
            lambda runs, w=words: (np.save("ok.npy", GOOD), ["train", "ok.npy", "--remedies", w, *QUICK])[1],
        )


LINES = ("steps", "batch_size", "learning_rate", "dim", "hidden", "path", "name", "seed", "remedies", "clip", "beta")
VALUES = [
    "1e999",
    "-1",
    "0",
    "[]",
    "{}",
    "null",
    "true",
    "so",
    ".nan",
    ".inf",
    "9" * 400,
    "1.5",
    "'" + "x" * 100_000 + "'",
    "2001-01-01",
    "[" * 90 + "]" * 90,
    "'\\0'",
    "!!binary aGk=",
]


def _changed(key: str, value: str, runs: Path) -> list[str]:
    text = (runs / "table" / "recipe.yaml").read_text().splitlines()
    out, at = [], 0
    for line in text:
        name, colon, _ = line.partition(":")
        if name.strip() == key and not at:
            line, at = f"{name}: {value}", 1
        out.append(line)
    Path("from.yaml").write_text("\n".join(out) + "\n")
    np.save("ok.npy", GOOD)
    return ["train", "ok.npy", "--from", "from.yaml", "--nll_samples", "0", "--gap_steps", "0", "--out", "run"]
