r"""Whether the noise of q is lost in the numbers it is stored in.

z = mu + sigma e moves in steps of about $\epsilon |\mu|$, with $\epsilon$ the spacing of its numeric type at 1 (1.2e-7
for float32, 7.8e-3 for bfloat16, 9.8e-4 for float16). Where $\sigma < \epsilon |\mu|$ the decoder gets the mean and
nothing else, while the rate counts $-\ln \sigma$ in full. Where $\sigma^2$ is beyond the largest number it overflows.
The type is the coarser one of q's own and of the model's parameters.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from buttress.diagnostics.estimate import Estimate, mean
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.evaluation import evaluating
from buttress.diagnostics.modules import modules_of
from buttress.diagnostics.passes import passes
from buttress.distributions.rows import parameters

__all__ = ["coarsest"]


def coarsest(model: object, *more: torch.dtype) -> torch.dtype:
    """The type of real numbers with the largest spacing, of the parameters of a model and of some more.

    Example:
        >>> coarsest(torch.nn.Linear(2, 2).bfloat16(), torch.float32)
        torch.bfloat16
    """
    own = [p.dtype for root in modules_of(model) for p in root.parameters() if p.is_floating_point()]
    return max((*more, *own), key=lambda kind: torch.finfo(kind).eps)


@estimator("active units")
def measure(subject: Subject) -> Mapping[str, Estimate]:
    """The share of the coordinates of q whose noise is lost; nothing where none is."""
    rows, kind = [], None
    with evaluating(subject.model, subject.seed) as asked:
        for block in passes(asked, subject.data):
            found = parameters(block.q)
            if found is None or not {"loc", "scale"} <= set(found.tensors):
                return {}
            loc, scale = (found.tensors[name].reshape(len(block), -1) for name in ("loc", "scale"))
            kind = coarsest(asked.model, loc.dtype) if kind is None else kind
            limits = torch.finfo(kind)
            lost = (scale < limits.eps * loc.abs()) | (scale > limits.max**0.5)
            rows.append(lost.double().mean(1).cpu())
    share = torch.cat(rows)
    if kind is None or not share.any():
        return {}
    note = f"no unit: the share of coordinates of z whose noise is lost in {str(kind).removeprefix('torch.')}"
    return {"rounded_noise": mean(share, "counting", note=note)}
