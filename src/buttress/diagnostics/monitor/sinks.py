"""Ways to a logger: TensorBoard, Lightning's loggers, MLflow, Weights & Biases, a CSV file, or a function."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from buttress.diagnostics.monitor.seen import PROBABILITY

__all__ = ["Sink", "sink"]

Sink = Callable[[Mapping[str, float], int], None]
"""Called with numbers by name, and the step."""
WANTED = (
    "wanted None, the path of a .csv file, a function of (numbers, step), or something with add_scalar (TensorBoard), "
    "log_metrics (Lightning, MLflow) or log (Weights & Biases: wandb, or a run of it)"
)


def sink(logger: Any) -> Sink:
    """A function that writes numbers to a logger.

    Args:
        logger: See :data:`WANTED`.

    Errors:
        TypeError: It is none of these.

    Example:
        >>> sink(lambda numbers, step: print(step, numbers))({"rate": 1.5}, 10)
        10 {'z/rate': 1.5}
    """
    write = _writer(logger)
    return lambda numbers, step: write({f"z/{name}": value for name, value in numbers.items()}, step)


def _writer(logger: Any) -> Sink:
    if logger is None:
        return lambda numbers, step: None
    if isinstance(logger, str | Path):
        return _Table(Path(logger))
    if hasattr(logger, "add_scalar"):
        return lambda numbers, step: _each(logger.add_scalar, numbers, step)
    if hasattr(logger, "log_metrics"):
        return lambda numbers, step: logger.log_metrics(dict(numbers), step=step)
    if hasattr(logger, "define_metric"):
        return _WandB(logger)
    if hasattr(logger, "log"):
        return lambda numbers, step: logger.log(dict(numbers), step=step)
    if callable(logger):
        return logger
    raise TypeError(f"the monitor's logger is a {type(logger).__name__}; {WANTED}")


def _each(add: Callable[[str, float, int], None], numbers: Mapping[str, float], step: int) -> None:
    for name, value in numbers.items():
        add(name, value, step)


class _WandB:
    """Hands numbers to the next row of Weights & Biases, with the step as their axis.

    A step of our own would move the count that a run keeps of its rows, and a run drops what comes below that count.
    """

    def __init__(self, run: Any) -> None:
        self.run, self.told = run, False

    def __call__(self, numbers: Mapping[str, float], step: int) -> None:
        if not self.told:  # not before: the module wandb has no run until wandb.init
            self.run.define_metric("z/step")
            self.run.define_metric("z/*", step_metric="z/step")
            self.told = True
        self.run.log({**numbers, "z/step": step}, commit=False)


class _Table:
    """Appends a row a look; the first decides the columns, and one is kept for what is only known later."""

    def __init__(self, path: Path) -> None:
        self.path, self.columns = path, []  # type: tuple[Path, list[str]]
        if path.exists() and (first := path.read_text("utf-8").partition("\n")[0]):
            self.columns = first.split(",")

    def __call__(self, numbers: Mapping[str, float], step: int) -> None:
        row = {"step": step, **numbers}
        new = not self.columns
        if new:
            self.columns = list(dict.fromkeys([*row, f"z/{PROBABILITY}"]))
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, self.columns, restval="", extrasaction="ignore", lineterminator="\n")
            if new:
                table.writeheader()
            table.writerow(row)
