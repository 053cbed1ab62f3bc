"""Pairs of sentences of yours: a target, which is x, and its source, which is given beside it.

Both files are read together, line by line; what is done with the text of a pair is done as with that of ``sentences``.
One vocabulary is learned from both sides, so that names and numbers are the same tokens in both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers import __version__ as tokenizers_version
from torch import Tensor

from buttress.core import Batch, Column, Data, DataSpec, Layout, Splits
from buttress.data.reading import advice, corpus
from buttress.data.reading.cells import Fields
from buttress.data.reading.collected import Collected, collect
from buttress.data.reading.corpus import Corpus
from buttress.data.reading.encodings import checked
from buttress.data.reading.memory import Array, cached, read_json, write_json
from buttress.data.reading.records import TextBlock
from buttress.data.reading.split import Division
from buttress.data.reading.tidy import Form, Tidy
from buttress.data.reading.token_files import examples, write
from buttress.data.reading.tokens import SPECIAL, TokenEncoder, TokenExamples, learn

__all__ = ["Pairs"]

_VERSION = 1  # of what is in the cache
_FORMS: dict[str, Form] = {"nfc": "NFC", "nfkc": "NFKC", "none": "none"}
BETWEEN = "\ue000"
"""Stands between target and source while a pair is one line: a character of no language."""


@dataclass(frozen=True)
class Pairs(Data):
    r"""Pairs of a target and a source sentence: x is the target, ``given["source"]`` the source, both as token ids.

    Args:
        path: The target sentences, a text file of one a line; or a .csv, .tsv, .jsonl or .parquet file with a column of
            each.
        source_path: The source sentences, line by line those of ``path``; none where both are columns of one file.
        column: The column of target sentences; none for text files.
        source_column: The column of source sentences.
        held_out_path: Targets that are held out as they are; none to split some off.
        held_out_source_path: Their sources, where those are a file of their own.
        tokenizer: "bpe" for pieces of words; "word" for whole words, rare ones becoming UNK. One for both sides.
        vocabulary: Cap on the number of ids, the four special ones included.
        punctuation: Whether to split punctuation from words; leave off for text with spaces around it.
        lower: Whether to use lower case throughout.
        normalize: The Unicode normal form, "nfc", "nfkc" or "none".
        max_length: Longest sentence of either side in tokens, EOS included; pairs with a longer one are set aside.
        limit: Use only the first so many pairs; none for all.
        encoding: Of the files.
        held_out: Share of pairs held out.
        split: By content ("hash") or by position ("seed").
        split_seed: Another seed gives another split.

    Errors:
        ValueError: The files have other numbers of lines, or what :class:`buttress.data.sentences.Sentences` refuses.

    Example:
        >>> import os, tempfile
        >>> from unittest.mock import patch
        >>> from buttress.data.reading.tokens import decode
        >>> with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, BUTTRESS_CACHE=folder):
        ...     _ = Path(folder, "a.en").write_text("a dog runs\n" * 20)
        ...     _ = Path(folder, "a.de").write_text("ein hund läuft\n" * 20)
        ...     splits = Pairs(f"{folder}/a.en", f"{folder}/a.de", tokenizer="word", split="seed").open()
        ...     batch = splits.train.read(torch.tensor([0]))
        >>> decode(splits.spec, batch.x), decode(splits.spec, batch.given["source"])
        (['a dog runs'], ['ein hund läuft'])

        On the command line::

            buttress train train.en --data pairs --data.source_path train.de
    """

    path: str
    source_path: str | None = None
    column: str | None = None
    source_column: str | None = None
    held_out_path: str | None = None
    held_out_source_path: str | None = None
    tokenizer: Literal["bpe", "word"] = "bpe"
    vocabulary: int = 8000
    punctuation: bool = False
    lower: bool = False
    normalize: Literal["nfc", "nfkc", "none"] = "nfc"
    max_length: int = 64
    limit: int | None = None
    encoding: str = "utf-8"
    held_out: float = 0.1
    split: Literal["hash", "seed"] = "hash"
    split_seed: int = 0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.vocabulary < len(SPECIAL) + 2:
            raise ValueError(f"pairs: vocabulary is {self.vocabulary}, wanted at least 6: four special ids and two")
        if self.max_length < 2:
            raise ValueError(f"pairs: max_length is {self.max_length}, wanted at least 2: a word and EOS")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"pairs: limit is {self.limit}, wanted at least 1 or none")
        if (self.source_path is None) == (self.source_column is None):
            raise ValueError(
                "pairs: wanted either source_path, a file of source sentences, or source_column, the column of them in "
                "the file of path"
            )
        if self.source_path is not None and (self.held_out_path is None) != (self.held_out_source_path is None):
            raise ValueError("pairs: held_out_path and held_out_source_path go together; give both or neither")
        checked(self.encoding)

    @classmethod
    def tiny(cls) -> tuple[Pairs, ...]:
        """None: pairs of yours need files."""
        return ()

    def open(self) -> Splits:
        """See :class:`buttress.core.Data`."""
        text = self._corpus(self.path, self.source_path)
        given = None if self.held_out_path is None else self._corpus(self.held_out_path, self.held_out_source_path)
        settings = [value for name, value in vars(self).items() if not name.endswith("path")]
        key = ("pairs", _VERSION, tokenizers_version, text.key, given and given.key, settings)
        folder = cached(key, lambda scratch: _Preparation(self, text, given, scratch).run())
        meta = read_json(folder / "meta.json")
        source = Column("source", size=meta["longest_source"], symbols=meta["vocabulary"])
        layout = Layout.text(meta["vocabulary"], longest=meta["longest"])
        spec = DataSpec(layout, tokenizer=meta["tokenizer"], given=(source,))
        train, held_out = (
            PairExamples(examples(folder, side, name), examples(folder, f"{side}_source", name))
            for side, name in (("train", text.name), ("held_out", (given or text).name))
        )
        return Splits(train, held_out, spec, tuple(meta["notes"]))

    def tidy(self) -> Tidy:
        """What brings sentences to the one spelling that the settings ask for."""
        return Tidy(self.lower, _FORMS[self.normalize])

    def _corpus(self, target: str, source: str | None) -> Corpus:
        """Pairs, each as one line."""
        column = self.source_column
        one, other = (
            corpus.of_files((path,), Fields(column=name, encoding=self.encoding))
            for path, name in ((target, self.column), (source or target, column))
        )
        notes = tuple(dict.fromkeys((*one.notes, *other.notes)))
        return replace(one, key=(one.key, other.key), blocks=partial(_joined, one, other), notes=notes)


def _joined(one: Corpus, other: Corpus) -> Iterator[TextBlock]:
    """The lines of both, side by side."""
    targets, sources = _rows(one), _rows(other)
    numbers, texts = [], []
    for number, target in targets:
        _, source = next(sources, (0, None))
        if source is None:
            raise ValueError(f"{one.name(number)}: has no partner, as {other.where} has fewer lines; wanted as many")
        target, source = (text.replace(BETWEEN, " ").strip() for text in (target, source))
        numbers.append(number)
        texts.append(f"{target} {BETWEEN} {source}" if target and source else "")
        if len(texts) == 4096:
            yield TextBlock(np.array(numbers, np.int64), texts)
            numbers, texts = [], []
    if (rest := next(sources, None)) is not None:
        raise ValueError(f"{other.name(rest[0])}: has no partner, as {one.where} has fewer lines; wanted as many")
    if texts:
        yield TextBlock(np.array(numbers, np.int64), texts)


def _rows(read: Corpus) -> Iterator[tuple[int, str]]:
    for block in read.blocks():
        yield from zip(block.numbers.tolist(), block.texts, strict=True)


def _apart(texts: list[str]) -> tuple[list[str], list[str]]:
    """Targets and sources."""
    pairs = [text.split(f" {BETWEEN} ") for text in texts]
    return [target for target, _ in pairs], [source for _, source in pairs]


class PairExamples(TokenExamples):
    """Targets, and their sources as a condition; both are padded to the longest that is read with them.

    Args:
        targets: The target sentences.
        sources: The source sentences, as many.
    """

    def __init__(self, targets: TokenExamples, sources: TokenExamples) -> None:
        self.__dict__.update(targets.__dict__)
        self.sources = sources

    @property
    def sizes(self) -> Tensor:
        """See :class:`buttress.core.Examples`: the longer of the two."""
        return torch.maximum(self.lengths, self.sources.lengths)

    def read(self, index: Tensor, rows: slice = slice(None)) -> Batch:
        """See :class:`buttress.core.Examples`."""
        batch = super().read(index, rows)
        return Batch(batch.x, {**batch.given, "source": self.sources.batch(index, rows)})


class _Preparation:
    """What is done once for each text and setting: files of ids, and what there is to know about them."""

    def __init__(self, part: Pairs, text: Corpus, given: Corpus | None, folder: Path) -> None:
        self.part, self.text, self.given, self.folder = part, text, given, folder
        self.division = Division(part.split, part.held_out, part.split_seed)
        self.notes: list[str] = []

    def run(self) -> None:
        """Read, divide, learn the vocabulary, write."""
        found = self._collect(self.text, "all.txt", self.part.limit)
        advice.enough(found, self.text, self.division)
        other = found if self.given is None else self._collect(self.given, "held_out.txt", None)
        held = self._divided(found) if self.given is None else np.zeros(len(found), bool)
        rest = held if self.given is None else np.ones(len(other), bool)
        part = self.part
        every = (side for block in found.texts(~held) for sides in _apart(block) for side in sides)
        tokenizer = learn(every, part.tokenizer, part.vocabulary, part.punctuation, self.text.where)
        longest = [
            self._write(tokenizer, *which)
            for which in ((self.text, found, ~held, "train"), (self.given or self.text, other, rest, "held_out"))
        ]
        known = {"tokenizer": tokenizer.to_str(), "vocabulary": tokenizer.get_vocab_size(), "notes": self.notes}
        target, source = map(max, zip(*longest, strict=True))
        write_json(self.folder / "meta.json", {**known, "longest": target, "longest_source": source})
        for each in {found.path, other.path}:
            each.unlink()

    def _collect(self, source: Corpus, name: str, limit: int | None) -> Collected:
        tidy = self.part.tidy()
        division = self.division if self.given is None and self.division.method == "hash" else None
        found = collect(source.blocks(), tidy, self.folder / name, division, limit, source.where)
        self.notes += [*source.notes, *advice.of_reading(found, source), *tidy.notes()]
        if not len(found):
            raise ValueError(f"{source.where}: there are no pairs; try another file, one sentence a line")
        return found

    def _divided(self, found: Collected) -> Array:
        """True where a pair is held out, shape (N,)."""
        division = self.division
        by_hash = division.method == "hash"
        held = division.hashed(found.hashes) if by_hash else division.drawn(len(found))
        division.both_sides(held, self.text.where)
        self.notes.append(division.note(held))
        return held

    def _write(self, tokenizer: Tokenizer, text: Corpus, found: Collected, wanted: Array, side: str) -> tuple[int, int]:
        """Write the ids of both sides; the length of the longest of each."""
        part, encode = self.part, TokenEncoder(tokenizer)
        lengths = [np.stack([encode(texts)[1] for texts in _apart(block)], 1) for block in found.texts(wanted)]
        short: Array = np.concatenate(lengths).max(1) <= part.max_length
        places = np.flatnonzero(wanted)
        if not short.any():
            raise ValueError(
                f"{text.where}: all {len(short)} {side.replace('_', '-')} pairs have a sentence of more than "
                f"max_length {part.max_length} tokens; try a larger max_length"
            )
        self.notes += advice.of_length(part.max_length, False, text, found.numbers[places[~short]], side)
        kept = np.zeros(len(found), bool)
        kept[places[short]] = True
        longest = []
        for which, of in enumerate(("", "_source")):
            texts = (_apart(block)[which] for block in found.texts(kept))
            done, _ = write(texts, tokenizer, part.max_length, False, self.folder, f"{side}{of}")
            np.save(self.folder / f"{side}{of}.numbers.npy", found.numbers[kept])
            longest.append(done.longest)
        return longest[0], longest[1]
