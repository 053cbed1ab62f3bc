"""What is left of x when the decoder has said what it can, site by site and in its own standard deviations."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.diagnostics.estimator import Subject
from buttress.diagnostics.evaluation import choose, draw, evaluating
from buttress.diagnostics.passes import Block, count, passes
from buttress.diagnostics.protocol import Conditional
from buttress.diagnostics.site_family import SiteFamily, recognise, slope
from buttress.runtime.memory import pairs_at_once

__all__ = ["residuals", "some_at_once"]

PROBED = 32
"""Examples from which the family is found."""
LEAST = 20
"""Examples below which nothing is said."""


def some_at_once(subject: Subject, most: int) -> Block:
    """Some of the examples, drawn at random, all at once; of one shape where shapes differ.

    Args:
        subject: The model and its data.
        most: Number of them.
    """
    n = count(subject.data)
    keep = choose(n, most, subject.seed)
    return next(passes(subject.model, subject.data, most, torch.arange(n) if keep is None else keep, joined=True))


def residuals(subject: Subject, most: int, *, of_prior: bool = False) -> Float[Tensor, "N sites"] | str:
    r"""$(x_i - E[x_i|z]) / \sqrt{\operatorname{Var}[x_i|z]}$ of some examples; in a sentence why there are none.

    Args:
        subject: The model and its data.
        most: Examples.
        of_prior: Take z from the prior and not from q(z|x).

    Example:
        >>> from buttress.diagnostics.passes import Encoded
        >>> from buttress.diagnostics.protocol import conditional
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian(torch.zeros(2, 1).double(), torch.zeros(2).double(), 4.0)
        >>> asked = conditional(model.vae())
        >>> x = model.sample(30)[0]
        >>> torch.allclose(residuals(Subject(asked, Encoded(asked, [x]), {"seed": 0}), 30), x / 2)  # sigma is 2
        True
    """
    if not subject.model.density:
        return "the model has no p(x|z)"
    n = count(subject.data)
    shapes = {subject.data[i].x.shape[1:] for i in range(len(subject.data))}
    if len(shapes) > 1 or "lengths" in subject.data[0].given:
        return "the examples differ in length"
    if n < LEAST:
        return f"{n} examples are too few"
    with evaluating(subject.model, subject.seed) as asked:
        few = some_at_once(subject, PROBED)
        if not few.x.is_floating_point():
            return "x is made of whole numbers"
        latents = [draw(p, few.index, 1, subject.seed, "optimum") for p in (few.q, few.prior)]
        family = recognise(asked, few, *(z.to(few.x.device) for z in latents))
        if isinstance(family, str):
            return family
        return _of_blocks(asked, subject, family, choose(n, most, subject.seed), latents[0], of_prior)


def _of_blocks(
    asked: Conditional, subject: Subject, family: SiteFamily, keep: Tensor | None, like: Tensor, of_prior: bool
) -> Float[Tensor, "N sites"]:
    rows = []
    for block in passes(asked, subject.data, keep=keep):
        for part in block.split(max(1, pairs_at_once(block.x) // 2)):
            z = draw(part.prior if of_prior else part.q, part.index, 1, subject.seed, "residuals")
            g = slope(asked, part, part.x, z.to(like))[1]
            rows.append(family.standardised(part.x, g).cpu())
    return torch.cat(rows)
