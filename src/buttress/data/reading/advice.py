"""What a person should know about a text that was read, with what to try, and why some texts are refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tokenizers import Tokenizer

from buttress.data.reading import lines
from buttress.data.reading.collected import Collected
from buttress.data.reading.corpus import Corpus
from buttress.data.reading.memory import Array, few
from buttress.data.reading.split import FEWEST, Division
from buttress.data.reading.tidy import spelled_twice

__all__ = ["enough", "few_classes", "of_length", "of_reading", "of_vocabulary"]

MANY_UNKNOWN = 0.05
"""Share of unknown tokens from which on something should be done about them."""
_BREAK = "try breaking them into sentences"
_NO_SPACES = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
"""Thai, Lao, Burmese, Khmer, Japanese, Chinese."""


def of_reading(found: Collected, source: Corpus) -> Iterator[str]:
    """The sentences that were left out, and why."""
    if count := len(found.blank):
        yield f"{count} blank lines were left out: {few(source.name, found.blank.tolist())}"
    if count := len(found.long):
        named = few(source.name, found.long.tolist())
        yield f"set aside {count} lines of more than {lines.LONGEST} characters: {named}; {_BREAK}"
    if count := len(found.unlabelled):
        yield f"{count} sentences without a label were left out: {few(source.name, found.unlabelled.tolist())}"


def enough(found: Collected, source: Corpus, division: Division) -> None:
    """Refuse a text of too few sentences to divide.

    Errors:
        ValueError: There are fewer than ``FEWEST``; says so where lines are too long, or not broken at all.
    """
    if len(found) < FEWEST and len(found.long):
        raise ValueError(
            f"{source.where}: {len(found)} example{'s' * (len(found) != 1)} and {len(found.long)} lines of more than "
            f"{lines.LONGEST} characters; wanted one sentence a line; {_BREAK}"
        )
    if 0 < len(found) < FEWEST and found.path.stat().st_size > 1000 * len(found):
        raise ValueError(
            f"{source.where}: {len(found)} example{'s' * (len(found) != 1)}, too few and very long: more than 1,000 "
            f"characters a line; wanted one sentence a line; {_BREAK}"
        )
    division.enough(len(found), source.where)


def few_classes(label: str, names: Sequence[str], count: int, where: str) -> None:
    """Refuse labels that are no classes.

    Errors:
        ValueError: There is a class for every second sentence, or more.

    Example:
        >>> few_classes("id", ["7", "8", "9"], 3, "a.csv")
        Traceback (most recent call last):
        ValueError: a.csv: column 'id' has 3 different values for 3 sentences, wanted classes; try another label
    """
    if len(names) > 2 and 2 * len(names) > count:
        raise ValueError(
            f"{where}: column {label!r} has {len(names)} different values for {count} sentences, wanted classes; "
            "try another label"
        )


def of_length(longest: int, cut: bool, source: Corpus, too_long: Array, side: str) -> Iterator[str]:
    """The sentences that had more tokens than ``longest``."""
    if len(too_long):
        done, instead = ("cut", "") if cut else ("set aside", ", or longer='cut'")
        what = f"{done} {len(too_long)} {side.replace('_', '-')} sentences of more than {longest} tokens"
        yield f"{what}: {few(source.name, too_long.tolist())}; try a larger max_length{instead}"


def of_vocabulary(kind: str, cap: int, tokenizer: Tokenizer, unknown: float) -> Iterator[str]:
    """How well the vocabulary fits, and what to try where it does not.

    Args:
        kind: Of the tokenizer, "word" or "bpe".
        cap: What its size was limited to.
        tokenizer: The tokenizer.
        unknown: Share of the held-out tokens that are not in the vocabulary.

    Example:
        >>> from buttress.data.reading.tokens import word_tokenizer
        >>> list(of_vocabulary("word", 6, word_tokenizer(["so", "it"]), unknown=0.37))
        ['vocabulary of 6 ids; 37.00% of held-out tokens are unknown to it: raise --data.vocabulary or use ... bpe']
    """
    size = tokenizer.get_vocab_size()
    told = f"vocabulary of {size} ids; {unknown:.2%} of held-out tokens are unknown to it"
    wishes = ["raise --data.vocabulary"] * (size >= cap) + ["use --data.tokenizer bpe"] * (kind == "word")
    if unknown < MANY_UNKNOWN or not wishes:
        yield told
    else:
        yield f"{told}: {' or '.join(wishes)}"
    if kind == "word" and _unseparated(list(tokenizer.get_vocab())):
        yield "most words are of a script without spaces between words: use --data.tokenizer bpe"
    if pairs := spelled_twice(tokenizer.get_vocab()):
        word, other = pairs[0]
        yield (
            f"{len(pairs)} words of the vocabulary are in it in another spelling too, such as {word!r} and {other!r}; "
            "try --data.normalize nfkc to read them as one"
        )


def _unseparated(words: list[str]) -> bool:
    """Whether words are mostly of a script without spaces, and so long that they are not words."""
    found = [word for word in words if _NO_SPACES.search(word)]
    return 2 * len(found) > len(words) and sum(map(len, found)) > 4 * len(found)
