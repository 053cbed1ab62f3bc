"""Sentences of yours: text files of one sentence a line, columns of tables, or a Hugging Face dataset.

The text is read once, a block at a time, and its sentences written one a line to a scratch file. From there the
vocabulary is learned, from the training sentences only, and all are turned into ids. The ids go to the cache, so that a
run starts at once the next time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tokenizers import Tokenizer
from tokenizers import __version__ as tokenizers_version

from buttress.core import Column, Data, DataSpec, Layout, Splits
from buttress.data.reading import advice, corpus
from buttress.data.reading.cells import Fields
from buttress.data.reading.collected import Collected, collect
from buttress.data.reading.corpus import Corpus
from buttress.data.reading.encodings import checked
from buttress.data.reading.labels import numbered
from buttress.data.reading.memory import Array, cached, read_json, write_json
from buttress.data.reading.split import Division
from buttress.data.reading.tidy import Form, Tidy
from buttress.data.reading.token_files import Written, examples, write
from buttress.data.reading.tokens import SPECIAL, learn

__all__ = ["Sentences"]

_VERSION = 3  # of what is in the cache
_FORMS: dict[str, Form] = {"nfc": "NFC", "nfkc": "NFKC", "none": "none"}


@dataclass(frozen=True)
class Sentences(Data):
    r"""Sentences, as token ids that end in EOS.

    Args:
        path: A text file of one sentence a line, a .csv, .tsv, .jsonl or .parquet file with a column of sentences
            (.gz, .bz2 and .xz are unpacked), several of them with commas between or as a list, a folder of them, a
            folder that ``datasets.save_to_disk`` or parquet files made, or a name on the Hugging Face hub.
        held_out_path: Files that are held out as they are; None to split some off.
        column: The column of sentences; None for "text" or the only one of sentences.
        label: The column of class labels, words or whole numbers; None for none.
        delimiter: Between the cells of a .csv file; None for finding out.
        header: Whether the first line of a .csv file names the columns; None for finding out.
        subset: The split of a dataset to learn from.
        tokenizer: "word" for whole words, rare ones becoming UNK; "bpe" for pieces of words.
        vocabulary: Cap on the number of ids, the four special ones included.
        punctuation: Whether to split punctuation from words; leave off for text with spaces around it.
        lower: Whether to use lower case throughout.
        normalize: The Unicode normal form: "nfc", in which an accented letter is one character; "nfkc", in which
            ligatures and full-width letters are ordinary ones too; "none" to leave the spelling as it is.
        max_length: Longest sentence in tokens, EOS included.
        longer: Whether longer sentences are "set_aside" with a note, or "cut" to end early.
        limit: Use only so many sentences; None for all.
        sample: Which: the "first" ones or a "random" choice by ``split_seed``.
        encoding: Of the files; a byte order mark at their beginning counts for more.
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
            buttress train reviews.csv --data.column text --data.label stars
    """

    path: str | tuple[str, ...]
    held_out_path: str | tuple[str, ...] | None = None
    column: str | None = None
    label: str | None = None
    delimiter: str | None = None
    header: bool | None = None
    subset: str = "train"
    tokenizer: Literal["word", "bpe"] = "word"
    vocabulary: int = 10_000
    punctuation: bool = False
    lower: bool = False
    normalize: Literal["nfc", "nfkc", "none"] = "nfc"
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
        if self.delimiter is not None and len(self.delimiter) != 1:
            raise ValueError(f"sentences: delimiter is {self.delimiter!r}, wanted one character, such as ';'")
        checked(self.encoding)

    @classmethod
    def tiny(cls) -> tuple[Sentences, ...]:
        """None: sentences of yours need files."""
        return ()

    def open(self) -> Splits:
        """See :class:`buttress.core.Data`."""
        text, given = self._corpora()
        key = ("sentences", _VERSION, tokenizers_version, text.key, given and given.key, self._settings())
        folder = cached(key, lambda scratch: _Preparation(self, text, given, scratch).run())
        meta = read_json(folder / "meta.json")
        layout = Layout.text(meta["vocabulary"], longest=meta["longest"])
        names = tuple(meta["classes"])
        columns = (Column("label", len(names), values=names),) if names else ()
        spec = DataSpec(layout, tokenizer=meta["tokenizer"], given=columns)
        train, held_out = examples(folder, "train", text.name), examples(folder, "held_out", (given or text).name)
        return Splits(train, held_out, spec, tuple(meta["notes"]), held_out.conditions.get("label"), names)

    def _settings(self) -> list[Any]:
        return [value for name, value in vars(self).items() if name not in ("path", "held_out_path")]

    def _corpora(self) -> tuple[Corpus, Corpus | None]:
        paths = corpus.several(self.path)
        if len(paths) == 1 and corpus.is_dataset(paths[0]):
            self._refuse("not to a dataset", held_out_path=None, delimiter=None, header=None)
            return corpus.of_dataset(paths[0], self.subset, self.column, self.label), None
        self._refuse("to a dataset, not to files", subset="train")
        given = None if self.held_out_path is None else self.files(corpus.several(self.held_out_path))
        return self.files(paths), given

    def _refuse(self, why: str, **unset: Any) -> None:
        for name, value in unset.items():
            if getattr(self, name) != value:
                goes = "goes with text files" if name == "held_out_path" else "applies"
                raise ValueError(f"{self.path}: {name} {goes}, {why}; try leaving it out")

    def tidy(self) -> Tidy:
        """What brings sentences to the one spelling that the settings ask for."""
        return Tidy(self.lower, _FORMS[self.normalize])

    def files(self, paths: tuple[str, ...]) -> Corpus:
        """The sentences of files, read by these settings."""
        return corpus.of_files(paths, Fields(self.column, self.label, self.delimiter, self.header, self.encoding))


class _Preparation:
    """What is done once for each text and setting: files of ids, labels and what there is to know about them."""

    def __init__(self, part: Sentences, text: Corpus, given: Corpus | None, folder: Path) -> None:
        self.part, self.text, self.given, self.folder = part, text, given, folder
        self.division = Division(part.split, part.held_out, part.split_seed)
        self.notes: list[str] = []
        self.classes: list[str] = []

    def run(self) -> None:
        """Read, divide, learn the vocabulary, write."""
        found = self._collect(self.text, None if self.given else self.division)
        used = _sampled(self.part, len(found))
        held = self._divided(found, used)
        train = used & ~held
        other, rest = (self._collect(self.given, None), None) if self.given else (found, used & held)
        rest = np.ones(len(other), bool) if rest is None else rest
        self._number_classes([found] if other is found else [found, other])
        texts = (text for block in found.texts(train) for text in block)
        part, where = self.part, self.text.where
        tokenizer = learn(texts, part.tokenizer, part.vocabulary, part.punctuation, where)
        written = [self._write(tokenizer, self.text, found, train, "train")]
        written.append(self._write(tokenizer, self.given or self.text, other, rest, "held_out"))
        if self.given:
            self.notes.append(f"held out: {self.given.where}")
        self.notes += advice.of_vocabulary(part.tokenizer, part.vocabulary, tokenizer, written[1].unknown)
        self._finish(tokenizer, max(side.longest for side in written))
        for each in {found.path, other.path}:
            each.unlink()

    def _collect(self, source: Corpus, division: Division | None) -> Collected:
        part, tidy = self.part, self.part.tidy()
        limit = part.limit if part.sample == "first" else None
        path = self.folder / ("held_out.txt" if source is self.given else "all.txt")
        by_hash = division if division is not None and division.method == "hash" else None
        found = collect(source.blocks(), tidy, path, by_hash, limit, source.where)
        self.notes += [*source.notes, *advice.of_reading(found, source), *tidy.notes()]
        if source is self.text:
            advice.enough(found, source, self.division)
        elif not len(found):
            raise ValueError(f"{source.where}: there are no sentences; try another file, one sentence a line")
        return found

    def _divided(self, found: Collected, used: Array) -> Array:
        """True where a sentence is held out, shape (N,)."""
        held = np.zeros(len(found), bool)
        if self.given is None:
            division, count = self.division, int(used.sum())
            by_hash = division.method == "hash"
            held[used] = division.hashed(found.hashes[used]) if by_hash else division.drawn(count)
            division.both_sides(held[used], self.text.where)
            self.notes.append(division.note(held[used]))
        return held

    def _number_classes(self, sides: list[Collected]) -> None:
        """Replace the codes of all sentences by the numbers of their classes."""
        if self.part.label is None:
            return
        met = dict.fromkeys(value for found in sides for value in found.values)
        self.classes = list(self.text.classes) or numbered(list(met))[1]
        advice.few_classes(self.part.label, list(met), sum(map(len, sides)), self.text.where)
        number = {name: i for i, name in enumerate(self.classes)}
        for found in sides:
            found.codes = np.array([number[value] for value in found.values])[found.codes]

    def _write(self, tokenizer: Tokenizer, source: Corpus, found: Collected, wanted: Array, side: str) -> Written:
        part, numbers = self.part, found.numbers[wanted]
        done, kept = write(found.texts(wanted), tokenizer, part.max_length, part.longer == "cut", self.folder, side)
        if not len(kept):
            raise ValueError(
                f"{source.where}: all {len(numbers)} {side.replace('_', '-')} sentences are longer than max_length "
                f"{part.max_length}; try a larger max_length or longer='cut'"
            )
        np.save(self.folder / f"{side}.numbers.npy", numbers[kept])
        if found.codes is not None:
            np.save(self.folder / f"{side}.labels.npy", found.codes[wanted][kept].astype(np.int64))
        self.notes += advice.of_length(part.max_length, part.longer == "cut", source, numbers[done.too_long], side)
        return done

    def _finish(self, tokenizer: Tokenizer, longest: int) -> None:
        known = {"tokenizer": tokenizer.to_str(), "vocabulary": tokenizer.get_vocab_size(), "longest": longest}
        write_json(self.folder / "meta.json", {**known, "classes": self.classes, "notes": self.notes})


def _sampled(part: Sentences, count: int) -> Array:
    """True for the sentences that are used, shape (N,)."""
    used = np.ones(count, bool)
    if part.limit is not None and part.limit < count:
        order = (
            np.arange(count) if part.sample == "first" else np.random.default_rng(part.split_seed).permutation(count)
        )
        used[order[part.limit :]] = False
    return used
