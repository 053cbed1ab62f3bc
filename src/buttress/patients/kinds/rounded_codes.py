r"""Encoders whose numeric type is too coarse for the distances between codewords, and near misses.

Codewords are the colours of a slot, moved far from 0, and $|z|^2 - 2 z^\top e + |e|^2$ is computed in the module's
type.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from buttress.diagnostics.causes.rounded_codes import BY_ROUNDING
from buttress.diagnostics.protocol import Adapter
from buttress.distributions.point import Point
from buttress.patients.patient import HEALTHY, Case, patient
from buttress.patients.worlds.codes import colours


class Nearest(nn.Module):
    """The nearest codeword of each slot.

    Args:
        table: The codewords, (G, K, width).
        away: What is added to z and to codewords before distances are computed.
        expanded: Compute the square as a sum of three terms, which cancel; else from the difference.
    """

    def __init__(self, table: Tensor, away: float, expanded: bool = True) -> None:
        super().__init__()
        self.table, self.away, self.expanded = nn.Parameter(table), away, expanded

    def forward(self, x: Tensor) -> Tensor:
        """Codes (B, G) of rows x."""
        g, _, width = self.table.shape
        z = x.to(self.table.dtype).reshape(len(x), g, 1, width) + self.away
        e = self.table + self.away
        if not self.expanded:
            return (z - e).square().sum(-1).argmin(-1)
        return (z.square().sum(-1) - 2 * (z * e).sum(-1) + e.square().sum(-1)).argmin(-1)


def encoded(seed: int, away: float, kind: torch.dtype, expanded: bool = True, classes: int = 6) -> Case:
    """Rows of colours behind such an encoder, and a decoder in full precision."""
    made = colours(slots=2, classes=classes, width=4, noise=0.3, seed=seed)
    own = torch.Generator().manual_seed(seed)
    table = 2 * torch.randn(2, classes, 4, generator=own)  # the colours that the data were made of
    nearest = Nearest(table, away, expanded).to(kind)

    def posterior(x: Tensor) -> Distribution:
        return Independent(Point(nearest(x)), 1)

    exact = made.model()
    return Case(Adapter(posterior, exact.prior, exact.log_likelihood, module=nearest), [made.x])


@patient(BY_ROUNDING, over="codes")
def cancelled_in_sixteen_bits() -> Case:
    """Codewords around 20 in bfloat16, whose steps there are 2 for squares of 400."""
    return encoded(120, 20.0, torch.bfloat16)


@patient(BY_ROUNDING, over="codes")
def cancelled_in_half_precision() -> Case:
    """Codewords around 100 in float16, whose steps are 32 for squares of 40,000."""
    return encoded(121, 100.0, torch.float16)


@patient(BY_ROUNDING, over="codes")
def cancelled_far_out() -> Case:
    """Codewords around 6,000 in float32, whose steps are 16 for squares of 144 million."""
    return encoded(122, 6000.0, torch.float32)


@patient(BY_ROUNDING, over="codes")
def all_as_near() -> Case:
    """Codewords around 2,000 in bfloat16: every distance is the same, and the first code takes everything."""
    return encoded(123, 2000.0, torch.bfloat16)


@patient(HEALTHY, over="codes", allowed=[BY_ROUNDING])
def a_few_by_rounding() -> Case:
    """Codewords around 3 in bfloat16: some codes are exchanged."""
    return encoded(124, 3.0, torch.bfloat16)


@patient(HEALTHY, over="codes")
def differences_in_sixteen_bits() -> Case:
    """Codewords around 0 in bfloat16, and distances from the difference."""
    return encoded(125, 0.0, torch.bfloat16, expanded=False)


@patient(HEALTHY, over="codes")
def far_out_by_differences() -> Case:
    """Codewords around 1,000 in float32, and distances from the difference."""
    return encoded(126, 1000.0, torch.float32, expanded=False)
