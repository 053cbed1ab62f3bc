r"""How good and how diverse the samples of a trained model are, beside what real examples reach.

Images with labels are judged on features of a classifier that learned from the run's own training images; other
images, and rows of tables, on the principal components of the training data, which need no labels. Every number has
that of real examples beside it, measured in the same way with as many of them:

$$ d(\text{held-out}, \text{samples}) \quad \text{beside} \quad d(\text{held-out}, \text{training examples apart}) $$

where those apart are ones that the classifier did not learn from, so that it is as sure of them as of any other.
All sets have one size, because the Fréchet distance is biased by it. Rejection keeps the samples of each label that a
second classifier is surest of, so that none is chosen by the one it is judged by. Errors of distance, precision and
recall leave out a tenth of both sets at a time (jackknife); those of shares are binomial, for one training of a
classifier.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from buttress.core import Column, Examples
from buttress.diagnostics.estimate import Estimate, jackknife, share
from buttress.experiments.examples import check_temperature, decoded, means_wanted, seeded
from buttress.quality.accuracy_score import classification_accuracy_score
from buttress.quality.classifier import LabelClassifier, fit_classifier
from buttress.quality.frechet import frechet_distance
from buttress.quality.manifold import precision_recall
from buttress.quality.rejection import surest
from buttress.runtime.atomic_write import write_text
from buttress.runtime.memory import check_memory
from buttress.runtime.randomness import MOST_SEEDS, check_seed
from buttress.training.run import Run

__all__ = ["RESULT", "SampleQuality", "likeness", "sample_quality"]

RESULT = "sample_quality.json"
"""File in the folder of a run."""
PARTS = 64
"""Principal components, where no classifier gives features."""
AT_ONCE = 500
"""Examples read or decoded at a time."""
NUMBERS = 2**27
"""Numbers in the training examples that are read, at most: half a gigabyte."""
MOST = 20_000
"""Training examples that are read, at most."""
LEAST = 10
"""Examples on each side of a comparison, at least."""

REJECTS, JUDGES, LEARNS = 0, 1, 2
"""The parts of three classifiers: each has weights and an order of its own."""
TASKS = ("training the classifier that rejects", "training the classifier that judges", "training one on its row alone")
"""What is said while each learns."""


@dataclass(frozen=True)
class SampleQuality:
    """What was measured of a run's samples.

    Args:
        features: On what they are compared.
        count: Examples on each side of distance, precision and recall.
        taught: Examples that the classifier of the accuracy score learns from.
        accuracy: Share of held-out images that the judging classifier gets right; None without one.
        rows: For "real", "samples" and, with rejection, "kept ...", by name: ``frechet``, ``precision``, ``recall``,
            with a classifier ``agreement`` (the share that it takes for the label asked for) and ``cas``.
    """

    features: str
    count: int
    taught: int
    accuracy: Estimate | None
    rows: dict[str, dict[str, Estimate]]

    def write(self, path: Path) -> Path:
        """Write it as JSON, and return where."""
        write_text(path, json.dumps(asdict(self), indent=1) + "\n")
        return path


def likeness(real: Float[Tensor, "N F"], others: Float[Tensor, "M F"]) -> dict[str, float]:
    """Fréchet distance, precision and recall of two sets of features, the larger of which is cut to the other's size.

    Args:
        real: Features of real examples, in random order.
        others: Of samples, or of other real examples.

    Example:
        >>> x = torch.arange(20.0)[:, None]
        >>> found = likeness(x, x + 3)
        >>> round(found["frechet"], 6), found["recall"], likeness(x, x + 100)["recall"]
        (9.0, 1.0, 0.0)
    """
    number = min(len(real), len(others))
    precision, recall = precision_recall(real[:number], others[:number])
    distance = frechet_distance(real[:number], others[:number])
    return {"frechet": distance, "precision": precision, "recall": recall}


def sample_quality(
    run: Run,
    samples: int = 1000,
    keep: float = 1.0,
    classifier_steps: int = 400,
    label: str = "",
    mean: bool | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    say: Callable[[str], None] = lambda what: None,
    watch: Callable[[str, int, int], None] = lambda what, step, steps: None,
) -> SampleQuality:
    """Draw samples of a run and compare them with its held-out data.

    Args:
        run: A run on images or on a table.
        samples: How many are judged; the accuracy score uses all of them, the rest as many as there are held-out
            examples.
        keep: Share of the samples of each label that rejection keeps; more are drawn, so that as many are judged.
        classifier_steps: Training steps of each classifier.
        label: The column of labels; empty for one that the model reads, or else the first.
        mean: Judge means of p(x|z) in place of draws; None for means of images under a Gaussian.
        temperature: Of p(x|z).
        seed: Of all draws, and of the classifiers.
        say: Is told what is done next.
        watch: Called with (what, step, steps) while samples are drawn and classifiers learn.

    Errors:
        ValueError: Data of another kind, too few examples, no such label, rejection without a label that the model
            reads, or a number out of range; found before anything is drawn.

    Example:
        >>> import tempfile
        >>> from buttress.api import train
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = train("linear_gaussian", f"{folder}/a", steps=20, progress=False)
        ...     found = sample_quality(run, samples=100)
        >>> found.features, found.count, sorted(found.rows)
        ('the 8 principal components of the training data', 100, ['real', 'samples'])
    """
    _check_numbers(samples, keep, classifier_steps, temperature, seed)
    column = _label(run, label)
    _check(run, column, samples, keep)
    order = torch.Generator().manual_seed(seed)
    train = _labelled(run.splits().train, torch.arange(len(run.splits().train)), column)
    held_out = _labelled(run.splits().held_out, torch.cat(run.held_out(seed).index), column)
    most = min(MOST, NUMBERS // math.prod(run.spec.shape))
    train, held_out = (index[torch.randperm(len(index), generator=order)][:most] for index in (train, held_out))
    count = min(samples, len(held_out), len(train) // 2)
    if count < LEAST:
        raise ValueError(
            f"sample quality: {len(train)} examples to train on and {len(held_out)} held out, wanted at least "
            f"{2 * LEAST} and {LEAST}; hold out more (--data.held_out), or take larger data"
        )
    total = math.ceil(samples / keep)
    say(f"drawing {total:,} samples")
    drawn = _drawn(
        run, train[torch.randint(len(train), (total,), generator=order)], column, mean, temperature, seed, watch
    )
    real = _read(run, run.splits().train, train, column, seed)
    bench = _Bench(
        real, _read(run, run.splits().held_out, held_out, column, seed), count, column, classifier_steps, seed, watch
    )
    say("comparing" if column is None else "training classifiers")
    taught = min(samples, len(train))
    scored = drawn.labels is not None
    rows = {name: bench.row(own.take(slice(taught)), scored) for name, own in {"real": real, "samples": drawn}.items()}
    if keep < 1:
        assert drawn.labels is not None  # see _check
        kept = surest(bench.classifier(REJECTS).probabilities(drawn.x), drawn.labels, keep)[:taught]
        rows[f"kept {100 * keep:.3g} %"] = bench.row(drawn.take(kept), scored)
    return SampleQuality(bench.name, count, taught, bench.accuracy(), rows)


@dataclass(frozen=True, eq=False)
class _Set:
    """Examples as a network sees them, and their labels where they have any."""

    x: Float[Tensor, "N *shape"]
    labels: Int[Tensor, " N"] | None

    def take(self, rows: slice | Tensor) -> _Set:
        return _Set(self.x[rows], None if self.labels is None else self.labels[rows])


class _Bench:
    """What sets of examples are judged by: held-out ones, and classifiers that learned from the training data.

    Args:
        train: In random order; the first ``count`` are set apart from what the judging classifier learns from.
        held_out: In random order.
        count: Examples on each side of distance, precision and recall.
        column: The label; None to compare principal components.
        steps: Of each classifier.
        seed: Theirs.
        watch: As of :func:`sample_quality`.
    """

    def __init__(
        self,
        train: _Set,
        held_out: _Set,
        count: int,
        column: Column | None,
        steps: int,
        seed: int,
        watch: Callable[[str, int, int], None] = lambda what, step, steps: None,
    ) -> None:
        self.learned_from, self.held_out = train.take(slice(count, None)), held_out
        self.count, self.column, self.steps, self.seed, self.watch = count, column, steps, seed, watch
        self._fitted: dict[int, LabelClassifier] = {}
        if column is None:
            directions = _principal(self.learned_from.x.flatten(1), seed)
            self.features: Callable[[Tensor], Tensor] = lambda x: x.flatten(1) @ directions
            self.name = f"the {directions.shape[1]} principal components of the training data"
        else:
            self.features = self.classifier(JUDGES).features
            self.name = f"features of a classifier of {column.name}"
        self.real = self.features(held_out.x[:count])

    def classifier(self, part: int) -> LabelClassifier:
        """That which rejects or judges; weights and order of each are its own."""
        if part not in self._fitted:
            x, labels = self.learned_from.x, self.learned_from.labels
            assert labels is not None and self.column is not None  # only then is one asked for
            self._fitted[part] = fit_classifier(x, labels, self.column.classes, **self._training(part))
        return self._fitted[part]

    def accuracy(self) -> Estimate | None:
        """How often the judge is right about held-out images."""
        return None if self.column is None else self._right(self.held_out)

    def row(self, judged: _Set, scored: bool) -> dict[str, Estimate]:
        """All that is measured of a set, in random order; the accuracy score where that is wanted."""
        some = judged.take(slice(self.count))
        found = _with_errors(self.real, self.features(some.x))
        if self.column is None or judged.labels is None:
            return found
        found["agreement"] = self._right(some)
        if scored:
            x, labels, training = self.held_out.x, self.held_out.labels, self._training(LEARNS)
            assert labels is not None  # as those of the training data
            own = judged.x, judged.labels
            score = classification_accuracy_score(*own, x, labels, self.column.classes, **training)
            found["cas"] = _share(score, len(x))
        return found

    def _right(self, judged: _Set) -> Estimate:
        assert judged.labels is not None
        return _share(self.classifier(JUDGES).accuracy(judged.x, judged.labels), len(judged.x))

    def _training(self, part: int) -> dict[str, Any]:
        return {
            "steps": self.steps,
            "seed": (10 * self.seed + part) % MOST_SEEDS,
            "watch": partial(self.watch, TASKS[part]),
        }


def _label(run: Run, name: str) -> Column | None:
    """The label that a classifier learns, and where the user names none that of the model first."""
    known = [column for column in run.spec.given if column.classes]
    if name:
        if run.spec.kind != "image" or name not in [column.name for column in known]:
            which = ", ".join(column.name for column in known) or "none"
            raise ValueError(
                f"--label {name}: wanted a column of labels of images; this run, on {run.spec.kind} data, has {which}"
            )
        return run.spec.column(name)
    read = [column for column in known if column.name in run.model.reads]
    return next(iter(read + known), None) if run.spec.kind == "image" else None


def _check_numbers(samples: int, keep: float, steps: int, temperature: float, seed: int) -> None:
    """Refuse numbers out of range."""
    check_seed(seed)
    check_temperature(temperature)
    if samples < LEAST or steps < 1 or not 0 < keep <= 1:
        raise ValueError(
            f"sample quality: samples is {samples}, classifier_steps {steps} and keep {keep}; wanted at least {LEAST}, "
            "at least 1, and a share above 0 and at most 1"
        )


def _check(run: Run, column: Column | None, samples: int, keep: float) -> None:
    """Refuse what cannot be judged, before anything is drawn."""
    if run.spec.kind not in ("image", "table"):
        raise ValueError(
            f"sample quality: this run is on {run.spec.kind} data, wanted images or a table; try buttress diagnose"
        )
    if keep < 1 and (column is None or column.name not in run.model.reads):
        raise ValueError(
            f"--keep {keep}: the classifier keeps samples of the label they were drawn for, and this model reads no "
            "label of images; train one with --condition embedding, or codes with --prior.given 16"
        )
    numbers = math.ceil(samples / keep) * math.prod(run.spec.shape)
    check_memory(4 * numbers, f"{math.ceil(samples / keep):,} samples", "fewer --samples, or a larger --keep")


def _labelled(examples: Examples, index: Int[Tensor, " N"], column: Column | None) -> Int[Tensor, " M"]:
    """Those that have a label."""
    return index if column is None else index[examples.conditions[column.name][index] >= 0]


def _read(run: Run, examples: Examples, index: Int[Tensor, " N"], column: Column | None, seed: int) -> _Set:
    """Stored examples as a network sees them."""
    with seeded(seed):
        x = torch.cat([_seen(run, run.model.observe(examples.read(part).x)) for part in index.split(AT_ONCE)])
    return _Set(x, None if column is None else examples.conditions[column.name][index])


def _drawn(
    run: Run,
    like: Int[Tensor, " N"],
    column: Column | None,
    mean: bool | None,
    temperature: float,
    seed: int,
    watch: Callable[[str, int, int], None],
) -> _Set:
    """Samples given what is given beside some training examples, so that labels are as frequent as they are there."""
    examples, parts = run.splits().train, []
    for number, part in enumerate(like.split(AT_ONCE)):
        given = {name: examples.conditions[name][part] for name in run.model.reads}
        run.check_room(len(part))
        with seeded(seed, number):
            z = run.model.sample_z(len(part), None, given)
            x = decoded(run, z, given, means_wanted(run, mean, temperature), temperature)
            parts.append(_seen(run, x))
        watch("drawing samples", min(len(like), AT_ONCE * (number + 1)), len(like))
    asked = column is not None and column.name in run.model.reads
    return _Set(torch.cat(parts), examples.conditions[column.name][like] if column and asked else None)


def _seen(run: Run, x: Tensor) -> Float[Tensor, "N *shape"]:
    """x as a network sees it: of symbols, a channel for each."""
    return run.model.likelihood.features(x).float()


def _principal(x: Float[Tensor, "N D"], seed: int) -> Float[Tensor, "D P"]:
    """The directions in which the data vary most."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return torch.pca_lowrank(x, min(PARTS, *x.shape), niter=4)[2]


def _with_errors(real: Float[Tensor, "N F"], others: Float[Tensor, "N F"]) -> dict[str, Estimate]:
    """The likeness of two sets of one size, with standard errors."""
    found = likeness(real, others)

    def without(keep: Tensor) -> Tensor:
        return torch.tensor([*likeness(real[keep], others[keep]).values()])

    errors = jackknife(without, len(real), each=True)
    assert errors is not None  # there are more than three
    return {
        name: Estimate(value, error, len(real), "as many of both; error by jackknife")
        for (name, value), error in zip(found.items(), errors.tolist(), strict=True)
    }


def _share(value: float, n: int) -> Estimate:
    """A share of ``n`` images, with its error."""
    return share(torch.arange(n) < round(value * n), "counting")
