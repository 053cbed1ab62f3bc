"""The last pass over a text: sentences as token ids in files, from which examples are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from buttress.core import EMPTY, UNK
from buttress.data.reading.memory import Array, NpyWriter, Rows, name_at
from buttress.data.reading.progress import ReadingProgress
from buttress.data.reading.tokens import TokenEncoder, TokenExamples

__all__ = ["Written", "examples", "write"]


@dataclass
class Written:
    """What was written.

    Args:
        longest: Tokens of the longest sentence, EOS included; 0 where there is none.
        unknown: Share of the tokens that are not in the vocabulary.
        too_long: Positions of the sentences that had more tokens than allowed, shape (n,).

    Example:
        >>> Written(longest=7, unknown=0.25, too_long=np.array([3])).unknown
        0.25
    """

    longest: int
    unknown: float
    too_long: Array


def write(
    texts: Iterable[list[str]], tokenizer: Tokenizer, longest: int, cut: bool, folder: Path, side: str
) -> tuple[Written, Array]:
    """Write ``{side}.ids.npy``, all ids one after the other, and ``{side}.ends.npy``, where each sentence ends.

    Args:
        texts: The sentences, a list at a time.
        tokenizer: Makes the ids.
        longest: Tokens that a sentence may have, EOS included.
        cut: Whether longer ones end early; else they are left out.
        folder: Where to write.
        side: Names the files.

    Returns:
        What was written, and the positions of the sentences that are in the files.

    Example:
        >>> import tempfile
        >>> from buttress.data.reading.tokens import word_tokenizer
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     words, texts = word_tokenizer(["so", "it"]), [["so it", "it so it"]]
        ...     done, kept = write(texts, words, longest=3, cut=False, folder=Path(folder), side="train")
        ...     np.load(f"{folder}/train.ids.npy").tolist(), kept.tolist(), done.too_long.tolist()
        ([4, 5, 2], [0], [1])
    """
    encode, progress = TokenEncoder(tokenizer), ReadingProgress(f"writing {side.replace('_', '-')} ids")
    start, unknown, parts = 0, 0, [np.empty(0, np.int64)]
    dtype = np.uint16 if tokenizer.get_vocab_size() <= 2**16 else np.uint32
    with NpyWriter(folder / f"{side}.ids.npy", (), dtype) as writer:
        for block in texts:
            ids, lengths = encode(block)
            ids = ids[_within(lengths, longest, cut)]
            unknown += int((ids == UNK).sum())
            writer.append(ids)
            parts.append(lengths)
            progress(start := start + len(block))
        total = writer.rows
    lengths = np.concatenate(parts)
    too_long = lengths > longest
    kept = np.arange(len(lengths)) if cut else np.flatnonzero(~too_long)
    stored = lengths[kept].clip(max=longest)
    np.save(folder / f"{side}.ends.npy", np.concatenate([[0], stored.cumsum()]))
    done = Written(int(stored.max(initial=0)), unknown / max(1, total), np.flatnonzero(too_long))
    return done, kept


def _within(lengths: Array, longest: int, cut: bool) -> Array:
    """True for the ids that are kept of sentences of these lengths; where one is cut, its last id stays."""
    if not cut:
        return np.repeat(lengths <= longest, lengths)
    place = np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)
    return (place < longest - 1) | (place == np.repeat(lengths, lengths) - 1)


def examples(folder: Path, side: str, name: Callable[[int], str]) -> TokenExamples:
    """The sentences in such files, with the labels in ``{side}.labels.npy`` where there are some.

    Args:
        folder: Where the files are.
        side: Names the files.
        name: Names a sentence by its number in ``{side}.numbers.npy``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for file, values in {"ids": [4, 5, 2, 5, 2], "ends": [0, 3, 5], "numbers": [1, 2]}.items():
        ...         np.save(f"{folder}/train.{file}.npy", np.array(values))
        ...     examples(Path(folder), "train", "a.txt, line {}".format).batch(torch.tensor([1])).tolist()
        [[5, 2]]
    """
    ends, numbers = np.load(folder / f"{side}.ends.npy"), np.load(folder / f"{side}.numbers.npy")
    labels = folder / f"{side}.labels.npy"
    given = {"label": torch.from_numpy(np.load(labels))} if labels.is_file() else EMPTY
    ids = Rows(folder / f"{side}.ids.npy")
    return TokenExamples(ids, ends[:-1], np.diff(ends), partial(name_at, name, numbers), given)
