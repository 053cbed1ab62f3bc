"""Run folders with hostile, missing or swapped files, under the commands that read them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from . import arrays, nodes, tensors, texts
from .arrays import GOOD
from .case import COMMANDS, COMPARED, Case

RESUMED = ["--nll_samples", "0", "--gap_steps", "0", "--mi_examples", "20", "--resume", "--out", "run"]


def _run(kind: str, file: str, make: Callable[[Path], object] | None, command: str, runs: Path) -> list[str]:
    shutil.copytree(runs / kind, "run")
    path = Path("run", file)
    path.unlink(missing_ok=True)
    if make is not None:
        make(path)
    if command == "resume":
        if file == "state.safetensors":
            Path("run/progress.json").unlink(missing_ok=True)  # else there is nothing to go on with
        return ["train", str(runs / "data" / DATA[kind]), "--from", str(runs / kind / "recipe.yaml"), *RESUMED]
    return COMMANDS[command]


DATA = {"table": "table.csv", "text": "text.txt", "codes": "pictures"}


def _comparison(make: Callable[[Path], object], again: bool, runs: Path) -> list[str]:
    Path("comparison").mkdir()
    make(Path("comparison/comparison.json"))
    if again:
        np.save("ok.npy", GOOD)
        return [*COMPARED, "comparison"]
    return COMMANDS["compare-report"]


def runs() -> Iterator[Case]:
    """Run folders in which one file is hostile, under the commands that read it."""
    for name, make in texts.yaml_files():
        yield Case(f"run/recipe/{name}-sample", partial(_run, "table", "recipe.yaml", make, "sample"))
        yield Case(f"run/recipe/{name}-report", partial(_run, "table", "recipe.yaml", make, "report"))
        yield Case(f"run/spec/{name}-sample", partial(_run, "text", "spec.yaml", make, "sample"))
    for name, make in texts.json_files():
        yield Case(f"run/progress/{name}", partial(_run, "table", "progress.json", make, "sample"))
        yield Case(f"run/progress/{name}-resume", partial(_run, "table", "progress.json", make, "resume"))
        yield Case(f"run/evidence/{name}", partial(_run, "table", "evidence.json", make, "report"))
        yield Case(f"run/tokenizer/{name}", partial(_run, "text", "tokenizer.json", make, "sample"))
        yield Case(f"run/examples/{name}", partial(_run, "text", "examples.json", make, "report"))
        yield Case(f"run/comparison/{name}", partial(_comparison, make, False))
        yield Case(f"run/comparison/{name}-again", partial(_comparison, make, True))
    for name, make in tensors.tensors():
        yield Case(f"run/weights/{name}", partial(_run, "table", "weights.safetensors", make, "sample"))
        yield Case(f"run/sites/{name}", partial(_run, "table", "spec.safetensors", make, "reconstruct"))
        yield Case(f"run/state/{name}", partial(_run, "table", "state.safetensors", make, "resume"))
        yield Case(f"run/examples/{name}", partial(_run, "codes", "examples.safetensors", make, "report"))
    for name, make in texts.metrics():
        yield Case(f"run/metrics/{name}", partial(_run, "table", "metrics.csv", make, "report"))
    for name, data_ in texts.bytes_of_text().items():
        yield Case(f"run/notes/{name}", partial(_run, "table", "notes.txt", arrays.written(data_), "report"))


FILES = (
    "recipe.yaml",
    "spec.yaml",
    "spec.safetensors",
    "weights.safetensors",
    "state.safetensors",
    "progress.json",
    "evidence.json",
    "metrics.csv",
    "notes.txt",
    "examples.safetensors",
    ".lock",
    "report.html",
)


def special_runs() -> Iterator[Case]:
    """Run folders in which a file is missing, empty, a pipe, a folder."""
    kinds: list[tuple[str, Callable[[Path], object] | None]] = [
        ("missing", None),
        ("empty", Path.touch),
        *nodes.nodes(),
    ]
    for file in FILES:
        for name, make in kinds:
            for command in (
                ("report", "reconstruct", "resume", "diagnose")
                if name in ("missing", "empty", "pipe", "folder")
                else ("report", "sample")
            ):
                yield Case(f"files/{file}-{name}-{command}", partial(_run, "table", file, make, command))
    for name, make in kinds:
        for file in ("tokenizer.json", "examples.json"):
            yield Case(
                f"files/{file}-{name}", partial(_run, "text", file, make, "sample" if file[0] == "t" else "report")
            )
        for command in ("sample", "report", "diagnose"):
            yield Case(
                f"files/run-is-{name}-{command}",
                lambda runs, m=make, c=command: (m(Path("run")) if m else None, COMMANDS[c])[1],
            )
        if make is not None:
            yield Case(f"files/comparison.json-{name}", partial(_comparison, make, False))


def _swapped(file: str, command: str, other: str, runs: Path) -> list[str]:
    return _run("table", file, lambda path: shutil.copyfile(runs / other / file, path), command, runs)


def mixed_runs() -> Iterator[Case]:
    """Run folders with a file of another run."""
    for other in ("text", "codes", "narrow"):
        for file in (f for f in FILES[:9] if (f, other) != ("spec.safetensors", "text")):  # sentences have no mean
            for command in ("sample", "diagnose", "report", "resume"):
                yield Case(f"mixed/{file}-of-{other}-{command}", partial(_swapped, file, command, other))
    for command in COMMANDS:
        yield Case(
            f"mixed/codes-of-real-z-{command}",
            lambda runs, c=command: (shutil.copytree(runs / "table", "run"), COMMANDS[c])[1],
        )


def _replaced(array: np.ndarray, command: str, runs: Path) -> list[str]:
    shutil.copytree(runs / "narrow", "run")
    recipe = Path("run/recipe.yaml")
    np.save("other.npy", array)
    recipe.write_text(
        "\n".join(
            f"  path: {Path('other.npy').resolve()}" if line.startswith("  path:") else line
            for line in recipe.read_text().splitlines()
        )
        + "\n"
    )
    return COMMANDS[command]


def other_data() -> Iterator[Case]:
    """A run whose data became wider, narrower, of another kind or type, or fewer."""
    wide = np.random.default_rng(2).normal(size=(80, 9)).astype(np.float32)
    for name, array in {
        "wider": wide,
        "narrower": wide[:, :1],
        "pictures": wide.reshape(80, 3, 3),
        "one-axis": wide[:, 0],
        "words": wide.astype(str),
        "few": wide[:3, :2],
        "nan": wide[:, :2] * np.nan,
    }.items():
        for command in ("diagnose", "reconstruct", "interpolate", "sample", "report"):
            yield Case(f"other-data/{name}-{command}", partial(_replaced, array, command))
