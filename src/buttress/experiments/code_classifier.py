r"""Which codes tell a label, and which to swap so that all of them together tell another.

With codes z = (z_1 .. z_M), a logistic regression on their indicators is a table of what each code says at each place:

$$ \log p(y|z) = b_y + \sum_m w_{y m z_m} - \log \sum_{y'} \exp\bigl(b_{y'} + \sum_m w_{y' m z_m}\bigr) $$

To move z to the label t, with y the likeliest other label, the place m whose code speaks most for y, by
$w_{y m z_m} - w_{t m z_m}$, is given the code k that makes $\log p(t|z') + \log p(z')$ largest among those that speak
for t: it is to go with the codes that stay. This is repeated at other places until $p(t|z)$ is high enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

__all__ = ["CodeClassifier", "fit_code_classifier", "swap_at_random", "swap_towards"]

LogPrior = Callable[[Tensor], Tensor]
"""log p(z) of codes, (N, M) -> (N,)."""
STRENGTH = 1.0
"""Inverse of the penalty on squared weights: codes that are rare say little for sure."""


@dataclass(frozen=True)
class CodeClassifier:
    """What every code says of the label.

    Args:
        classes: The labels that were met, in ascending order.
        weight: w, (C, M, K), a row for each label.
        bias: b, (C,).

    Example:
        >>> told = CodeClassifier((0, 1), torch.tensor([[[0.0, 0.0]], [[-1.0, 1.0]]]), torch.zeros(2))
        >>> told.log_p(torch.tensor([[1], [0]])).exp()
        tensor([[0.2689, 0.7311],
                [0.7311, 0.2689]])
    """

    classes: tuple[int, ...]
    weight: Float[Tensor, "C M K"]
    bias: Float[Tensor, " C"]

    def log_p(self, codes: Int[Tensor, "*batch M"]) -> Float[Tensor, "*batch C"]:
        """log p(y|z) of every label."""
        return (self.bias + self.said(codes).sum(-2)).log_softmax(-1)

    def said(self, codes: Int[Tensor, "*batch M"]) -> Float[Tensor, "*batch M C"]:
        """What each of the codes adds to the logit of every label."""
        return self.weight.permute(1, 2, 0)[torch.arange(codes.shape[-1]), codes]

    def row(self, label: int) -> int:
        """The row of a label.

        Errors:
            ValueError: No example had it.
        """
        if label not in self.classes:
            raise ValueError(
                f"no training example has the label {label}; there are {', '.join(map(str, self.classes))}"
            )
        return self.classes.index(label)


def fit_code_classifier(codes: Int[Tensor, "N M"], labels: Int[Tensor, " N"], number: int) -> CodeClassifier:
    """The regression of labels on codes; a negative label is none.

    Args:
        codes: Of training examples.
        labels: Theirs.
        number: K.

    Errors:
        ValueError: There are fewer than two labels.

    Example:
        >>> codes = torch.tensor([[0, 1], [0, 0], [1, 1], [1, 0]] * 20)
        >>> told = fit_code_classifier(codes, codes[:, 0], 2)  # the first code is the label, the second says nothing
        >>> told.log_p(torch.tensor([[1, 0], [0, 0]])).argmax(-1).tolist(), bool(told.weight[:, 1].abs().max() < 1e-3)
        ([1, 0], True)
    """
    from sklearn.linear_model import LogisticRegression

    codes, labels = codes[labels >= 0], labels[labels >= 0]
    classes = tuple(labels.unique().tolist())
    if len(classes) < 2:
        raise ValueError(
            f"the training examples have {len(classes)} different labels, wanted two or more to tell apart"
        )
    regression: Any = LogisticRegression(C=STRENGTH, max_iter=1000)
    regression.fit(one_hot(codes, number).flatten(1).numpy(), labels.numpy())
    weight, bias = torch.from_numpy(regression.coef_), torch.from_numpy(regression.intercept_)
    if len(classes) == 2:  # one row: the log-odds of the second
        weight, bias = torch.cat([-weight / 2, weight / 2]), torch.cat([-bias / 2, bias / 2])
    return CodeClassifier(classes, weight.view(len(classes), -1, number).float(), bias.float())


def swap_towards(
    codes: Int[Tensor, "B M"], told: CodeClassifier, label: int, log_prior: LogPrior, most: int, sure: float
) -> Int[Tensor, "B M"]:
    """Codes that tell another label.

    Args:
        codes: Of the examples to change.
        told: What codes say.
        label: t, what they are to tell.
        log_prior: log p(z) of codes, (N, M) -> (N,).
        most: Codes to swap in an example, at most.
        sure: p(t|z) at which an example is left as it is.

    Errors:
        ValueError: No code or no probability to reach, or a label that no training example has.

    Example:
        >>> says = torch.tensor([[1.0, -1.0], [0.1, -0.1]])  # at both places code 0 speaks for label 0
        >>> told = CodeClassifier((0, 1), torch.stack([says, -says]), torch.zeros(2))
        >>> uniform = lambda codes: torch.zeros(len(codes))
        >>> swap_towards(torch.tensor([[0, 0], [1, 0]]), told, 1, uniform, most=2, sure=0.8)
        tensor([[1, 0],
                [1, 0]])
    """
    if not (most >= 1 and 0 < sure < 1):
        raise ValueError(f"got {most} codes to swap up to a probability of {sure}; wanted 1 or more, and 0 to 1")
    target, codes, done = told.row(label), codes.clone(), torch.zeros_like(codes, dtype=torch.bool)
    for _ in range(min(most, codes.shape[1])):
        rows = (told.log_p(codes)[:, target] < math.log(sure)).nonzero()[:, 0]
        if not len(rows):
            break
        codes[rows], done[rows] = _swap_one(codes[rows], done[rows], told, target, log_prior)
    return codes


def _swap_one(
    codes: Int[Tensor, "B M"], done: Bool[Tensor, "B M"], told: CodeClassifier, target: int, log_prior: LogPrior
) -> tuple[Int[Tensor, "B M"], Bool[Tensor, "B M"]]:
    """One more place of each done: its code is swapped, unless none speaks for the target."""
    speaks = _speaks_for(codes, told, target)
    each = torch.arange(len(codes))
    mine = speaks.gather(2, codes[..., None])[..., 0]
    place = mine.masked_fill(done, math.inf).argmin(1)
    tried = codes[:, None].repeat(1, speaks.shape[2], 1)
    tried[each, :, place] = torch.arange(speaks.shape[2])
    score = told.log_p(tried)[..., target] + log_prior(tried.flatten(0, 1)).view(tried.shape[:2])
    fits = speaks[each, place] > mine[each, place].clamp(min=0)[:, None]
    best, some = score.masked_fill(~fits, -math.inf).argmax(1), fits.any(1)
    codes[each, place] = torch.where(some, best, codes[each, place])
    done[each, place] = True
    return codes, done


def _speaks_for(codes: Int[Tensor, "B M"], told: CodeClassifier, target: int) -> Float[Tensor, "B M K"]:
    """By how much every code would speak for the target rather than for the likeliest other label."""
    log_p = told.log_p(codes)
    log_p[:, target] = -math.inf
    return told.weight[target] - told.weight[log_p.argmax(1)]


def swap_at_random(
    codes: Int[Tensor, "B M"], count: Int[Tensor, " B"], others: Int[Tensor, "N M"]
) -> Int[Tensor, "B M"]:
    """The control: as many codes swapped, at random places, for those of other examples.

    Args:
        codes: Of the examples to change.
        count: How many codes to swap in each.
        others: Codes of training examples, to draw from place by place.

    Example:
        >>> swap_at_random(torch.zeros(2, 3, dtype=torch.long), torch.tensor([1, 3]), torch.ones(5, 3).long()).sum(1)
        tensor([1, 3])
    """
    chosen = torch.rand(codes.shape).argsort(1).argsort(1) < count[:, None]
    drawn = others.gather(0, torch.randint(len(others), codes.shape))
    return torch.where(chosen, drawn, codes)
