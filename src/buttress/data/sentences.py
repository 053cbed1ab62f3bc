"""Sentences of yours: text files of one sentence a line, or a Hugging Face dataset.

Three passes, each a line at a time: divide the lines by their text, learn the vocabulary from the training lines only,
turn all lines into ids. The ids go to the cache, so that a run starts at once the next time.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tokenizers import Tokenizer
from tokenizers import __version__ as tokenizers_version

from buttress.core import UNK, Data, DataSpec, Layout, Splits
from buttress.data.reading import corpus, lines
from buttress.data.reading.corpus import Corpus
from buttress.data.reading.memory import Array, NpyWriter, Rows, cached, few, name_at, read_json, write_json
from buttress.data.reading.split import Division
from buttress.data.reading.tokens import SPECIAL, TokenExamples, encode, learn

__all__ = ["Sentences"]

_VERSION = 2  # of what is in the cache


@dataclass(frozen=True)
class Sentences(Data):
    r"""Sentences, as token ids that end in EOS.

    Args:
        path: A text file of one sentence a line (.gz is unpacked), several of them with commas between or as a list, a
            folder of them, a folder that ``datasets.save_to_disk`` or parquet files made, or a name on the Hugging
            Face hub.
        held_out_path: Files that are held out as they are; None to split some off.
        column: The column of a dataset; None for "text" or the only one of strings.
        subset: The split of a dataset to learn from.
        tokenizer: "word" for whole words, rare ones becoming UNK; "bpe" for pieces of words.
        vocabulary: Cap on the number of ids, the four special ones included.
        punctuation: Whether to split punctuation from words; leave off for text with spaces around it.
        lower: Whether to use lower case throughout.
        max_length: Longest sentence in tokens, EOS included.
        longer: Whether longer sentences are "set_aside" with a note, or "cut" to end early.
        limit: Use only so many sentences; None for all.
        sample: Which: the "first" ones or a "random" choice by ``split_seed``.
        encoding: Of the files.
        held_out: Share of sentences held out.
        split: By content ("hash") or by position ("seed").
        split_seed: Another seed gives another split.

    Errors:
        ValueError: On anything that could only fail later; says which file and line, and what to try.

    Example:
        >>> import os, tempfile, torch
        >>> from unittest.mock import patch
        >>> from buttress.data.reading.tokens import decode
        >>> with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, BUTTRESS_CACHE=folder):
        ...     _ = Path(folder, "a.txt").write_text("So it is. \n" * 10)
        ...     splits = Sentences(f"{folder}/a.txt", punctuation=True, lower=True, held_out=0.2, split="seed").open()
        ...     ids = splits.held_out.batch(torch.tensor([0]))
        >>> len(splits.train), splits.spec.vocabulary, ids.shape  # four ids with a fixed meaning, and so it is .
        (8, 8, torch.Size([1, 5]))
        >>> decode(splits.spec, ids)
        ['so it is .']

        On the command line, a text file or a folder of them::

            buttress train DATA --data.vocabulary 5000 --data.lower true --data.max_length 40
    """

    path: str | tuple[str, ...]
    held_out_path: str | tuple[str, ...] | None = None
    column: str | None = None
    subset: str = "train"
    tokenizer: Literal["word", "bpe"] = "word"
    vocabulary: int = 10_000
    punctuation: bool = False
    lower: bool = False
    max_length: int = 100
    longer: Literal["set_aside", "cut"] = "set_aside"
    limit: int | None = None
    sample: Literal["first", "random"] = "first"
    encoding: str = "utf-8"
    held_out: float = 0.1
    split: Literal["hash", "seed"] = "hash"
    split_seed: int = 0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.vocabulary < len(SPECIAL) + 2:
            raise ValueError(f"sentences: vocabulary is {self.vocabulary}, wanted at least 6: four special ids and two")
        if self.max_length < 2:
            raise ValueError(f"sentences: max_length is {self.max_length}, wanted at least 2: a word and EOS")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"sentences: limit is {self.limit}, wanted at least 1 or none")
        if self.encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32", "utf16", "utf32")):
            raise ValueError(f"sentences: encoding is {self.encoding}, which has NUL bytes; try iconv -t utf-8")

    @classmethod
    def tiny(cls) -> tuple[Sentences, ...]:
        """None: sentences of yours need files."""
        return ()

    def open(self) -> Splits:
        """See :class:`buttress.core.Data`."""
        text, given = self._corpora()
        key = ("sentences", _VERSION, tokenizers_version, text.key, given and given.key, self._settings())
        folder = cached(key, lambda scratch: _prepare(self, text, given, scratch))
        meta = read_json(folder / "meta.json")
        spec = DataSpec(Layout.text(meta["vocabulary"], longest=meta["longest"]), tokenizer=meta["tokenizer"])
        train = _examples(folder, "train", text)
        return Splits(train, _examples(folder, "held_out", given or text), spec, tuple(meta["notes"]))

    def _settings(self) -> list[Any]:
        return [value for name, value in vars(self).items() if name not in ("path", "held_out_path")]

    def _corpora(self) -> tuple[Corpus, Corpus | None]:
        paths = corpus.several(self.path)
        if len(paths) == 1 and corpus.is_dataset(paths[0]):
            if self.held_out_path is not None:
                raise ValueError(
                    f"{self.path}: held_out_path goes with text files, not with a dataset; try leaving it out"
                )
            return corpus.of_dataset(paths[0], self.subset, self.column, self.lower), None
        given = None if self.held_out_path is None else self._files(corpus.several(self.held_out_path))
        return self._files(paths), given

    def _files(self, paths: tuple[str, ...]) -> Corpus:
        return corpus.of_files(paths, self.encoding, self.lower)


@dataclass
class _Choice:
    """The first pass: which sentences are used and on which side."""

    numbers: Array
    held: Array
    notes: list[str] = field(default_factory=list)


def _survey(part: Sentences, source: Corpus, division: Division | None) -> _Choice:
    numbers, digests, blank, huge = array("q"), array("Q"), array("q"), array("q")
    for number, text in source.read():
        if text is None:
            huge.append(number)
        elif not text:
            blank.append(number)
        else:
            numbers.append(number)
            if division is not None:
                digests.append(int(division.digest([text.encode()])[0]))
            if part.limit == len(numbers) and part.sample == "first":
                break
    kept = _sampled(part, len(numbers))
    chosen = np.frombuffer(numbers, np.int64)[kept] if len(numbers) else np.empty(0, np.int64)
    choice = _Choice(chosen, np.zeros(len(chosen), bool))
    if blank:
        choice.notes.append(f"{len(blank)} blank lines were left out: {few(source.name, blank)}")
    if huge:
        choice.notes.append(
            f"set aside {len(huge)} lines of more than {lines.LONGEST} bytes: {few(source.name, huge)}; try breaking "
            "them into sentences"
        )
    if division is not None:
        division.enough(len(chosen), source.where)
        hashes = np.frombuffer(digests, np.uint64)[kept]
        choice.held = division.hashed(hashes) if division.method == "hash" else division.drawn(len(chosen))
        division.both_sides(choice.held, source.where)
        choice.notes.append(division.note(choice.held))
    elif not len(chosen):
        raise ValueError(f"{source.where}: there are no sentences; try another file, one sentence a line")
    return choice


def _sampled(part: Sentences, count: int) -> Array:
    if part.limit is None or part.limit >= count:
        return np.arange(count)
    if part.sample == "first":
        return np.arange(part.limit)
    return np.sort(np.random.default_rng(part.split_seed).permutation(count)[: part.limit])


def _chosen(source: Corpus, numbers: Array) -> Iterator[tuple[int, str]]:
    """The sentences of these numbers (rising), with their place in ``numbers``."""
    position = 0
    for number, text in source.read():
        if position == len(numbers):
            return
        if number == numbers[position]:
            assert text is not None
            yield position, text
            position += 1


def _prepare(part: Sentences, source: Corpus, given: Corpus | None, folder: Path) -> None:
    division = Division(part.split, part.held_out, part.split_seed)
    choice = _survey(part, source, None if given else division)
    if given:
        division.enough(len(choice.numbers), source.where)
    training = (text for i, text in _chosen(source, choice.numbers) if not choice.held[i])
    tokenizer = learn(training, part.tokenizer, part.vocabulary, part.punctuation, source.where)
    train = _write(part, tokenizer, source, choice.numbers[~choice.held], folder, "train")
    if given:
        other = _survey(part, given, None)
        held = _write(part, tokenizer, given, other.numbers, folder, "held_out")
        notes = [*choice.notes, *other.notes, f"held out: {given.where}"]
    else:
        held = _write(part, tokenizer, source, choice.numbers[choice.held], folder, "held_out")
        notes = choice.notes
    size = tokenizer.get_vocab_size()
    unknown = f"vocabulary of {size} ids; {held.unknown:.2%} of held-out tokens are unknown to it"
    meta = {"tokenizer": tokenizer.to_str(), "vocabulary": size, "longest": max(train.longest, held.longest)}
    write_json(folder / "meta.json", {**meta, "notes": [*notes, *train.notes, *held.notes, unknown]})


@dataclass
class _Written:
    longest: int
    unknown: float
    notes: list[str]


def _write(part: Sentences, tokenizer: Tokenizer, source: Corpus, numbers: Array, folder: Path, side: str) -> _Written:
    kept, ends, too_long, unknown = array("q"), array("q", [0]), array("q"), 0
    with NpyWriter(folder / f"{side}.ids.npy", (), np.int32) as writer:
        texts = _chosen(source, numbers)
        while block := list(islice(texts, 512)):
            flat: list[int] = []
            for (i, _), ids in zip(block, encode(tokenizer, [text for _, text in block]), strict=True):
                if len(ids) > part.max_length:
                    too_long.append(int(numbers[i]))
                    if part.longer == "set_aside":
                        continue
                    del ids[part.max_length - 1 : -1]
                flat += ids
                kept.append(int(numbers[i]))
                ends.append(writer.rows + len(flat))
            unknown += flat.count(UNK)
            writer.append(np.array(flat, np.int32))
    if not kept:
        raise ValueError(
            f"{source.where}: all {len(numbers)} {side.replace('_', '-')} sentences are longer than max_length "
            f"{part.max_length}; try a larger max_length or longer='cut'"
        )
    np.save(folder / f"{side}.ends.npy", np.frombuffer(ends, np.int64))
    np.save(folder / f"{side}.numbers.npy", np.frombuffer(kept, np.int64))
    longest = int(np.diff(np.frombuffer(ends, np.int64)).max())
    return _Written(longest, unknown / ends[-1], _long_note(part, source, too_long, side))


def _long_note(part: Sentences, source: Corpus, too_long: array[int], side: str) -> list[str]:
    if not too_long:
        return []
    cut = part.longer == "cut"
    done, instead = ("cut", "") if cut else ("set aside", ", or longer='cut'")
    what = f"{done} {len(too_long)} {side.replace('_', '-')} sentences of more than {part.max_length} tokens"
    return [f"{what}: {few(source.name, too_long)}; try a larger max_length{instead}"]


def _examples(folder: Path, side: str, source: Corpus) -> TokenExamples:
    ends, numbers = np.load(folder / f"{side}.ends.npy"), np.load(folder / f"{side}.numbers.npy")
    ids = Rows(folder / f"{side}.ids.npy")
    return TokenExamples(ids, ends[:-1], np.diff(ends), partial(name_at, source.name, numbers))
