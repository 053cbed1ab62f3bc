"""Sentences rewritten towards another label, such as a sentiment, by swapping the codes that tell it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Distribution

from buttress.core import EMPTY, Batch, Examples
from buttress.data.reading.tokens import decode
from buttress.experiments.code_classifier import CodeClassifier, fit_code_classifier, swap_at_random, swap_towards
from buttress.experiments.examples import decoded, latent_of, posterior_of, seeded
from buttress.quality.bleu import bleu
from buttress.quality.sentence_classifier import SentenceClassifier
from buttress.runtime.atomic_write import write_text
from buttress.training.run import Run

__all__ = ["LabelledCodes", "Rewritten", "rewrite", "scores", "sources", "write_rewritten"]

BATCH = 256


class LabelledCodes:
    """The codes of a run's labelled training sentences, and what is learned from both.

    Args:
        run: A run whose z is made of codes, whose data are labelled sentences, and whose model is not given the label.
        seed: Of what is drawn.

    Errors:
        ValueError: It is none such.
    """

    def __init__(self, run: Run, seed: int = 0) -> None:
        _check(run)
        self.run, self.seed = run, seed
        self.labels = run.splits().train.conditions["label"]

    @cached_property
    def codes(self) -> Int[Tensor, "N M"]:
        """Codes of every training sentence."""
        train = self.run.splits().train
        rows = torch.arange(len(train)).split(BATCH)
        return torch.cat([self.codes_of(train.read(index), number) for number, index in enumerate(rows)])

    @cached_property
    def told(self) -> CodeClassifier:
        """Which codes tell the label."""
        return fit_code_classifier(self.codes, self.labels, self.run.model.space.classes or 0)

    @cached_property
    def judge(self) -> SentenceClassifier:
        """A classifier of the training sentences themselves."""
        train = self.run.splits().train
        known = (self.labels >= 0).nonzero()[:, 0]
        return SentenceClassifier(_texts(self.run, train, known), self.labels[known])

    def codes_of(self, raw: Batch, number: int = 0) -> Int[Tensor, "B M"]:
        """The codes of stored sentences."""
        with seeded(self.seed, number):
            return latent_of(posterior_of(self.run, raw, self.seed), mean=True).flatten(1)


def _check(run: Run) -> None:
    if run.spec.kind != "text" or run.model.space.classes is None:
        raise ValueError(
            "transfer swaps the codes of sentences, and this run has "
            + ("no sentences" if run.spec.kind != "text" else "a z of real numbers")
            + "; train one on labelled sentences with --remedies discretized_bottleneck"
        )
    if "label" not in run.splits().train.conditions:
        raise ValueError("the run's training sentences have no labels; train one with --data.label COLUMN")
    if "label" in run.model.reads:
        raise ValueError("this model is given the label; try buttress reconstruct RUN --given label=...")


def _texts(run: Run, examples: Examples, index: Tensor) -> list[str]:
    return [text for rows in index.split(BATCH) for text in decode(run.spec, examples.batch(rows))]


@dataclass(frozen=True)
class Rewritten:
    """Sentences and what became of them.

    Args:
        sources: As they were.
        copies: Decoded from their own codes.
        results: Decoded from the swapped codes.
        swapped: How many codes were, (N,).
        label: What they were moved to.

    Example:
        >>> Rewritten(["so bad"], ["so bad"], ["so good"], torch.tensor([1]), label=1).results
        ['so good']
    """

    sources: list[str]
    copies: list[str]
    results: list[str]
    swapped: Int[Tensor, " N"]
    label: int


def sources(run: Run, label: int, count: int, seed: int = 0) -> Batch:
    """Held-out sentences of other labels, drawn without replacement.

    Args:
        run: The run.
        label: What they are to be moved to.
        count: How many, at most.
        seed: Of the draw.

    Errors:
        ValueError: A count below 1, or no such sentence.
    """
    held_out = run.splits().held_out
    labels = held_out.conditions["label"]
    other = ((labels >= 0) & (labels != label)).nonzero()[:, 0]
    if count < 1 or not len(other):
        raise ValueError(f"count is {count} and {len(other)} held-out sentences have another label, wanted 1 or more")
    order = torch.randperm(len(other), generator=torch.Generator().manual_seed(seed))
    return held_out.read(other[order[:count]].sort().values)


def rewrite(
    known: LabelledCodes,
    raw: Batch,
    label: int,
    atoms: int = 0,
    sure: float = 0.9,
    temperature: float = 0.0,
    random: bool = False,
) -> Rewritten:
    """Move sentences towards a label.

    Args:
        known: The codes of training sentences.
        raw: Stored sentences.
        label: Where to.
        atoms: Codes to swap in a sentence, at most; 0 for any number.
        sure: Probability of the label, as the codes tell it, at which swapping ends.
        temperature: Of p(x|z); 0 takes the likeliest word each time.
        random: The control: as many codes swapped as else would be, but at random.

    Errors:
        ValueError: A number is out of range.
    """
    run, codes = known.run, known.codes_of(raw)
    shape = (-1, *run.model.space.shape)
    with seeded(known.seed):
        log_prior = partial(_log_prior, run.model.prior(EMPTY), shape)
        moved = swap_towards(codes, known.told, label, log_prior, atoms or codes.shape[1], sure)
        swapped = (moved != codes).sum(1)
        if random:
            moved = swap_at_random(codes, swapped, known.codes)
        both = decoded(run, torch.cat([codes, moved]).view(shape), temperature=temperature)
    texts = decode(run.spec, both)
    return Rewritten(decode(run.spec, raw.x), texts[: len(raw)], texts[len(raw) :], swapped, label)


def _log_prior(prior: Distribution, shape: tuple[int, ...], codes: Int[Tensor, "N M"]) -> Float[Tensor, " N"]:
    found: Tensor = prior.log_prob(codes.view(shape))
    return found


def scores(found: Rewritten, judge: SentenceClassifier) -> dict[str, float]:
    """How well the sentences were moved: shares that a judge takes for the label, BLEU to the sources, codes swapped.

    Args:
        found: The sentences.
        judge: A classifier that was fitted to real ones.

    Example:
        >>> judge = SentenceClassifier(["so good", "so bad"], torch.tensor([1, 0]))
        >>> scores(Rewritten(["so bad"], ["so bad"], ["so good"], torch.tensor([1]), 1), judge)
        {'accuracy': 1.0, 'accuracy_copies': 0.0, 'bleu': 0.0, 'bleu_copies': 0.0, 'swapped': 1.0}
    """
    share = {name: float((judge(texts) == found.label).double().mean()) for name, texts in _made(found)}
    kept = {name: bleu(texts, found.sources) for name, texts in _made(found)}
    return {
        "accuracy": share["results"],
        "accuracy_copies": share["copies"],
        "bleu": kept["results"],
        "bleu_copies": kept["copies"],
        "swapped": float(found.swapped.double().mean()),
    }


def _made(found: Rewritten) -> list[tuple[str, list[str]]]:
    return [("results", found.results), ("copies", found.copies)]


def write_rewritten(found: Rewritten, out: Path) -> Path:
    """Write sentences as a table of tab-separated columns: source, reconstruction, result and codes swapped.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     made = Rewritten(["so bad"], ["so bad"], ["so good"], torch.tensor([1]), 1)
        ...     write_rewritten(made, Path(folder, "a.tsv")).read_text().split()[-3:]
        ['so', 'good', '1']
    """
    rows = zip(found.sources, found.copies, found.results, map(str, found.swapped.tolist()), strict=True)
    head = ("source", "reconstruction", "result", "swapped")
    write_text(out, "".join("\t".join(row) + "\n" for row in (head, *rows)))
    return out
