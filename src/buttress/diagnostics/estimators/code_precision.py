r"""Whether codes hang on the numeric type: the share that is another one where the encoder computes in double
precision.

The nearest codeword is often found by $|z|^2 - 2 z^\top e + |e|^2$. Where z and e lie far from 0 beside the distances
between codewords, these terms cancel, and in 16 bits (or in 32, further out) the rounding chooses. So some examples are
encoded again with the parameters of the modules behind the model in float64, which holds all values of the smaller
types, and x too. The modules are put back. Where they can't compute in float64 nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from buttress.diagnostics.estimate import Estimate, mean
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.evaluation import evaluating
from buttress.diagnostics.modules import modules_of
from buttress.diagnostics.residuals import some_at_once
from buttress.distributions.inspect import point

__all__ = ["in_double_precision"]

EXAMPLES = 128


@contextmanager
def in_double_precision(modules: list[nn.Module]) -> Iterator[None]:
    """Parameters and buffers of real numbers are in float64 while the context lasts, and as they were afterwards.

    Example:
        >>> net = nn.Linear(2, 2).bfloat16()
        >>> with in_double_precision([net]):
        ...     net(torch.ones(1, 2).double()).dtype
        torch.float64
        >>> net.weight.dtype
        torch.bfloat16
    """
    every = {id(t): t for module in modules for t in (*module.parameters(), *module.buffers())}
    kept = [(t, t.data) for t in every.values() if t.is_floating_point()]
    try:
        for tensor, data in kept:
            tensor.data = data.double()
        yield
    finally:
        for tensor, data in kept:
            tensor.data = data


@estimator("active units")
def measure(subject: Subject) -> Mapping[str, Estimate]:
    """The share of codes that rounding changes; nothing where it changes none, or that can't be asked."""
    roots: list[Any] = modules_of(subject.model)
    if not any(p.is_floating_point() for root in roots for p in (*root.parameters(), *root.buffers())):
        return {}
    with evaluating(subject.model, subject.seed) as asked:
        block = some_at_once(subject, EXAMPLES)
        codes = _codes(block.q)
        if codes is None:
            return {}
        try:
            with in_double_precision(roots):
                x = block.x.double() if block.x.is_floating_point() else block.x
                finer = _codes(asked.posterior(x, block.given))
        except (RuntimeError, TypeError, ValueError):
            return {}
    if finer is None or finer.shape != codes.shape or torch.equal(finer, codes):
        return {}
    note = "no unit: the share of codes that are others where the encoder computes in double precision"
    changed = (finer != codes).double().reshape(len(codes), -1).mean(1)
    return {"codes_by_rounding": mean(changed, "encoded twice", note=note)}


def _codes(q: Any) -> Tensor | None:
    """Codes of a q that is a point on whole numbers."""
    found = point(q)
    return None if found is None or found.is_floating_point() else found.cpu()
