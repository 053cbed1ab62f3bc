r"""What z says about class labels that no model was shown: a linear probe.

$$ p(y | v) \propto \exp(w_y \cdot v + b_y), \qquad v = E_{q(z|x)}[z] \;\text{ or }\; v = z \sim q(z|x) $$

Each held-out example is classified by a logistic regression fitted on the other folds, on standardised v or, where z is
discrete, on indicators of its codes. Means show what the encoder knows, even where they differ by far less than the
noise of q; samples show what arrives at the decoder. Whoever knows nothing of z guesses the commonest label: only what
is above its share speaks of z. A z can be used without telling labels (it may tell lengths, say), which mutual
information does not show.
"""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.distributions import Distribution

from buttress.diagnostics.estimate import Estimate, mean
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.evaluation import choose, draw, evaluating
from buttress.diagnostics.passes import count, passes
from buttress.diagnostics.protocol import Batches, Model
from buttress.distributions.inspect import mean_of

__all__ = ["FOLDS", "chance", "class_numbers", "label_accuracy"]

FOLDS = 5
SAMPLES = 8
"""Averaged in place of a mean that q does not know."""
GUESS = "the commonest label for every example"
FEW = f"fewer than two labels have {FOLDS} examples or more"
ITERATIONS = 200
"""Of L-BFGS at most, which at its end is near enough for an accuracy."""


def class_numbers(labels: object, n: int) -> Int[Tensor, " N"]:
    """Labels in any form that PyTorch reads (a tensor, a NumPy array, a list) as whole numbers, one for each example.

    A negative number, and NaN, stand for no label.

    Args:
        labels: What came.
        n: Number of examples.

    Errors:
        ValueError: They are no whole numbers, or not one for each example.

    Example:
        >>> class_numbers([2, 0, 1], 3)
        tensor([2, 0, 1])
    """
    try:
        found = torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"labels: got a {type(labels).__name__} that is no array of numbers, wanted a class number for each of {n} "
            "examples; try np.unique(labels, return_inverse=True)[1]"
        ) from error
    if found.shape != (n,):
        raise ValueError(
            f"labels: got shape {tuple(found.shape)} for {n} examples, wanted ({n},): a class number for each, in the "
            "order of the batches"
        )
    if found.is_floating_point():
        found = found.nan_to_num(nan=-1.0)
    if found.is_floating_point() and not torch.equal(found, found.round()):
        raise ValueError("labels: got real numbers, wanted whole ones that name classes; try torch.bucketize")
    return found.long()


def label_accuracy(
    model: Model,
    batches: Batches,
    labels: object,
    *,
    of: Literal["means", "samples"] = "means",
    examples: int | None = 2000,
    seed: int = 0,
) -> Estimate:
    """The share of labels that a cross-validated logistic regression reads from z.

    Args:
        model: Keeps the protocol.
        batches: Held-out data.
        labels: Class of each example, in the order of ``batches``: anything that ``torch.as_tensor`` reads.
        of: Whether the regression reads means of q(z|x), or a sample of each.
        examples: At most so many: a random choice of the data where there is more. None for all.
        seed: Of the choice, the folds and the noise.

    Errors:
        ValueError: There are more or fewer labels than examples, or they are no whole numbers.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian(torch.ones(2, 1).double(), torch.zeros(2).double(), 1.0)
        >>> x, z = model.sample(1000)
        >>> print(label_accuracy(model.vae(), [x], (z[:, 0] > 0).long()))  # 1/2 + arcsin(sqrt(2/3)) / pi = 0.804
        0.8... ± 0.01
    """
    n = count(batches)
    labels, keep = class_numbers(labels, n), choose(n, examples, seed)
    rows, seen = [], []
    with evaluating(model, seed) as asked:
        for block in passes(asked, batches, keep=keep):
            v = _read(block.q, block.index, of, seed)
            rows.append(v.reshape(len(block), -1).cpu())
            seen.append(labels[block.index.to(labels.device)].cpu())
    return _probe(torch.cat(rows), torch.cat(seen), f"logistic regression on {of}, {FOLDS} folds", seed)


def chance(labels: Int[Tensor, " N"], *, examples: int | None = 2000, seed: int = 0) -> Estimate:
    """The share of the commonest label among those that :func:`label_accuracy` asks for: what z must beat.

    Args:
        labels: Class of each example.
        examples: As there.
        seed: As there.

    Example:
        >>> chance(torch.tensor([0] * 30 + [1] * 10)).value
        0.75
    """
    keep = choose(len(labels), examples, seed)
    y = (labels if keep is None else labels[keep.to(labels.device)]).cpu()
    y = y[_common(y)]
    classes, number = y.unique(return_counts=True)
    if len(classes) < 2:
        return Estimate(None, None, len(y), GUESS, note=FEW)
    return mean((y == classes[number.argmax()]).double(), GUESS, note=f"of {len(classes)} labels")


def _common(y: Int[Tensor, " N"]) -> Bool[Tensor, " N"]:
    """Which examples have a label that every fold can have; a negative one is no label."""
    classes, number = y.unique(return_counts=True)
    return torch.isin(y, classes[(number >= FOLDS) & (classes >= 0)])


def _read(q: Distribution, index: Int[Tensor, " B"], of: str, seed: int) -> Tensor:
    """What the regression reads of each example: (B, ...), integers where z is discrete."""
    if of == "means" and (middle := mean_of(q)) is not None:
        return middle.double()
    z = draw(q, index, SAMPLES if of == "means" else 1, seed, "probe of labels")
    return z.double().mean(0) if z.is_floating_point() else z[0]


def _probe(z: Tensor, y: Int[Tensor, " N"], method: str, seed: int) -> Estimate:
    common, without = _common(y), int((y < 0).sum())
    rarer = int((~common).sum()) - without
    notes = [f"{rarer} examples of rarer labels left out"] * (rarer > 0)
    notes += [f"{without} examples without a label left out"] * (without > 0)
    z, y = z[common], y[common]
    if len(y.unique()) < 2:
        return Estimate(None, None, len(y), method, note="; ".join([FEW, *notes]))
    return mean(_right(z, y, seed), method, 1.0, "; ".join(notes))


def _right(z: Tensor, y: Int[Tensor, " N"], seed: int) -> Tensor:
    """1 for every example whose label a regression on the other folds finds, else 0."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    scaled = StandardScaler() if z.is_floating_point() else OneHotEncoder(handle_unknown="ignore")
    regression = make_pipeline(scaled, LogisticRegression(max_iter=ITERATIONS))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = cross_val_predict(regression, z.numpy(), y.numpy(), cv=folds)
    return torch.from_numpy(np.asarray(found) == y.numpy()).double()


@estimator("use of z by the decoder")
def measure(subject: Subject) -> dict[str, Estimate]:
    """What z tells of labels, where the data have some."""
    model, data, labels, seed = subject.model, subject.data, subject.labels, subject.seed
    if labels is None:
        return {}
    return {
        "label_accuracy": label_accuracy(model, data, labels, seed=seed),
        "label_accuracy_sampled": label_accuracy(model, data, labels, of="samples", seed=seed),
        "label_accuracy_chance": chance(labels, seed=seed),
    }
