r"""Whether log p(x|z) depends on z at all.

For some examples log p(x|z) is asked at a z of q(z|x), at that of another example and at three of the prior, and where
z is made of real numbers for its gradient too. An example is *reached* where one of the values differs from another in
any digit, or the gradient is not 0. A decoder that has learned to ignore z is still reached: its weights are small and
never 0 altogether. What is not reached is wired past z, or has weights of 0 that training does not move. So a decoder
whose last layer begins at 0 is asked again with small numbers there, as after a first step of training.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.evaluation import decode, draw, evaluating
from buttress.diagnostics.lint.reached import stirred
from buttress.diagnostics.modules import modules_of
from buttress.diagnostics.passes import Block
from buttress.diagnostics.protocol import Conditional
from buttress.diagnostics.residuals import some_at_once

__all__ = ["reached"]

EXAMPLES, DRAWS = 64, 3


def reached(model: Conditional, block: Block, z: Shaped[Tensor, "S B *event"]) -> Bool[Tensor, " B"]:
    """Whether log p(x|z) of each example differs between some z, or has a gradient there.

    Args:
        model: Keeps the protocol.
        block: Some examples.
        z: S of each, or gradients are asked at the first.

    Example:
        >>> from buttress.diagnostics.passes import passes
        >>> from buttress.diagnostics.protocol import conditional
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> for w in (0.0, 1e-6):
        ...     model = conditional(LinearGaussian(torch.full((2, 1), w).double(), torch.zeros(2).double(), 1.0))
        ...     block = next(passes(model, [torch.ones(3, 2)]))
        ...     reached(model, block, torch.randn(2, 3, 1)).tolist()
        [False, False, False]
        [True, True, True]
    """
    values = decode(model, block.x, z, block.given, block.index)
    differ = (values != values[:1]).any(0).cpu()
    return differ if bool(differ.any()) or not z.is_floating_point() else _sloped(model, block, z[:1])


def _sloped(model: Conditional, block: Block, z: Tensor) -> Tensor:
    """Whether log p(x|z) of each example has a gradient with respect to z."""
    with torch.enable_grad():
        moved = z.detach().clone().requires_grad_()
        value = model.log_likelihood(block.x, moved, block.given)
        if not value.requires_grad:
            return torch.zeros(len(block), dtype=torch.bool)
        (found,) = torch.autograd.grad(value.sum(), [moved], allow_unused=True)
    still = torch.zeros(len(block), dtype=torch.bool)
    return still if found is None else found[0].reshape(len(block), -1).ne(0).any(1).cpu()


def _begins_at_zero(model: Conditional, block: Block, z: Tensor) -> bool:
    """Whether weights that learn and are all 0 alone keep z from some example."""
    with ExitStack() as stack:
        for module in modules_of(model):
            stack.enter_context(stirred(module))
        return bool(reached(model, block, z).any())


@estimator("use of z by the decoder")
def measure(subject: Subject) -> Mapping[str, Estimate]:
    """The share of examples that z reaches, where it is not all of them."""
    if not subject.model.density:
        return {}
    with evaluating(subject.model, subject.seed) as asked:
        block = some_at_once(subject, EXAMPLES)
        own = draw(block.q, block.index, 1, subject.seed, "reach")
        elsewhere = draw(block.prior, block.index, DRAWS, subject.seed, "reach of the prior").to(own)
        z = torch.cat([own, own.roll(1, 1), elsewhere])
        found = reached(asked, block, z)
        if not bool(found.any()) and _begins_at_zero(asked, block, z):
            return {}
    if bool(found.all()):
        return {}
    note = "no unit: the share of examples whose log p(x|z) changes with z at all"
    return {"reached_by_z": Estimate(found.double().mean().item(), None, len(found), "counting", note=note)}
