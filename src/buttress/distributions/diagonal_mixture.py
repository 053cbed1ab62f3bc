r"""A mixture of diagonal Gaussians with as many components as there is memory for their parameters.

$$ p(z) = \sum_k \pi_k N(z; \mu_k, \operatorname{diag}(\sigma_k^2)), \qquad
   \log N = -\tfrac12 \sum_j \Bigl[ z_j^2 \sigma_{kj}^{-2} - 2 z_j \mu_{kj} \sigma_{kj}^{-2}
   + \mu_{kj}^2 \sigma_{kj}^{-2} + \log 2 \pi \sigma_{kj}^2 \Bigr] $$

Where all z share one mixture the sums are two matrix products, in float64 since their terms cancel, some z at a time.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Categorical, Distribution, Normal, constraints
from torch.utils.checkpoint import checkpoint

__all__ = ["DiagonalMixture"]

PAIRS = 2**21
"""Pairs of a z and a component held at once."""
NOTHING = -60.0
"""Log of a weight, beside the largest, that no sum shows; exp of less than -87 takes ten times as long."""


class DiagonalMixture(Distribution):
    """A mixture of K diagonal Gaussians, batch shape () or any other.

    Args:
        logits: Of the weights, shape (*batch, K).
        loc: Means, shape (*batch, K, *event).
        scale: Standard deviations, the same shape.

    Example:
        >>> p = DiagonalMixture(torch.zeros(2), torch.tensor([[-1.0], [1.0]]), torch.ones(2, 1))
        >>> p.mean.item(), p.variance.item()  # 1 within and 1 between the components
        (0.0, 2.0)
        >>> round(p.log_prob(torch.zeros(1)).item(), 4)  # -1/2 - log(2 pi) / 2
        -1.4189
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        logits: Float[Tensor, "*batch K"],
        loc: Float[Tensor, "*batch K *event"],
        scale: Float[Tensor, "*batch K *event"],
        validate_args: bool | None = None,
    ) -> None:
        self.log_weight, self.loc, self.scale = logits.log_softmax(-1), loc, scale
        self._made: tuple[Tensor, Tensor, Tensor] | None = None
        super().__init__(logits.shape[:-1], loc.shape[logits.dim() :], validate_args=False)

    @property
    def support(self) -> Any:
        """All real numbers."""
        return constraints.independent(constraints.real, len(self.event_shape))

    @property
    def mean(self) -> Float[Tensor, "*batch_and_event"]:
        """The weighted mean of the means."""
        return (self._weight() * self.loc).sum(len(self.batch_shape))

    @property
    def variance(self) -> Float[Tensor, "*batch_and_event"]:
        """Of each coordinate: within the components and between them."""
        axis = len(self.batch_shape)
        between = (self.loc - self.mean.unsqueeze(axis)).square()
        return (self._weight() * (self.scale.square() + between)).sum(axis)

    @property
    def mode(self) -> Float[Tensor, "*batch_and_event"]:
        """The mean of the component at whose mean the density is largest: near the mode, and it where K = 1."""
        axis = len(self.batch_shape)
        centers = self.loc.movedim(axis, 0)
        best = self.log_prob(centers).argmax(0)
        at = best.reshape(*best.shape, *[1] * (self.loc.dim() - axis)).expand(*best.shape, 1, *self.event_shape)
        return self.loc.gather(axis, at).squeeze(axis)

    def _weight(self) -> Tensor:
        return self.log_weight.exp().reshape(*self.log_weight.shape, *[1] * len(self.event_shape))

    def expand(self, batch_shape: Any, _instance: Any = None) -> DiagonalMixture:
        """The same distribution for a larger batch, without copying."""
        k, batch = self.log_weight.shape[-1], tuple(batch_shape)
        loc, scale = (value.expand(*batch, k, *self.event_shape) for value in (self.loc, self.scale))
        return DiagonalMixture(self.log_weight.expand(*batch, k), loc, scale)

    def log_prob(self, value: Float[Tensor, "*rest"]) -> Float[Tensor, "*rest2"]:
        """log p(z) in nats."""
        if not self.batch_shape:
            return self._shared(value)
        apart = Normal(self.loc, self.scale, validate_args=False).log_prob(value.unsqueeze(-1 - len(self.event_shape)))
        each = apart.flatten(-len(self.event_shape)).sum(-1) if self.event_shape else apart
        return (each + self.log_weight).logsumexp(-1)

    def _shared(self, value: Float[Tensor, "*rest"]) -> Float[Tensor, "*rest2"]:
        """The same of many z under one mixture."""
        lead = value.shape[: value.dim() - len(self.event_shape)]
        learned = torch.is_grad_enabled() and any(
            part.requires_grad for part in (self.log_weight, self.loc, self.scale)
        )
        middle, constant, read = self._tables() if learned else self._kept()
        z = value.reshape(-1, len(middle)).double() - middle

        def of(part: Tensor) -> Tensor:
            return _terms(part, constant, read, value.dtype).logsumexp(1)

        some = z.split(max(1, PAIRS // len(constant)))
        if learned:  # computed again on the way back, so that no more is held where a gradient is wanted
            parts = [checkpoint(of, part, use_reentrant=False) for part in some]
        else:
            parts = [_Fixed.apply(part, constant, read, value.dtype) for part in some]
        return torch.cat(parts).view(lead)

    def _kept(self) -> tuple[Tensor, Tensor, Tensor]:
        """The tables, made once where nothing learns."""
        if self._made is None:
            with torch.no_grad():
                self._made = self._tables()
        return self._made

    def _tables(self) -> tuple[Float[Tensor, " D"], Float[Tensor, " K"], Float[Tensor, "D2 K"]]:
        """The middle of the means, and what the squares and the numbers of z - middle are multiplied by."""
        loc, scale = (v.double().flatten(1) for v in (self.loc, self.scale))
        middle, precision = loc.mean(0), scale.pow(-2)
        pull = (loc - middle) * precision
        constant = self.log_weight.double() - scale.log().sum(1) - 0.5 * (pull * (loc - middle)).sum(1)
        constant = constant - 0.5 * loc.shape[1] * math.log(2 * math.pi)
        return middle, constant, torch.cat([-0.5 * precision, pull], 1).T.contiguous()

    def rsample(self, sample_shape: Any = ()) -> Float[Tensor, "*rest"]:
        """Unavailable: which component a sample is of has no gradient."""
        raise NotImplementedError

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Float[Tensor, "*rest"]:
        """z of shape (*sample_shape, *batch, *event)."""
        shape, axis = torch.Size(sample_shape), len(self.batch_shape)
        chosen = Categorical(logits=self.log_weight, validate_args=False).sample(shape)
        if not axis:
            loc, scale = self.loc[chosen], self.scale[chosen]
        else:
            at = chosen.reshape(*chosen.shape, *[1] * (self.loc.dim() - axis))
            at = at.expand(*chosen.shape, 1, *self.event_shape)
            n = len(shape)
            loc, scale = (
                v.expand(*shape, *v.shape).gather(n + axis, at).squeeze(n + axis) for v in (self.loc, self.scale)
            )
        return loc + scale * torch.randn_like(loc)

    def kl_from(self, q: Normal) -> Float[Tensor, "*batch"] | None:
        """KL(q || p) in nats for q of batch shape (*batch, *event), its coordinates independent; None where K > 1."""
        if self.log_weight.shape[-1] > 1:
            return None
        axis = len(self.batch_shape)
        loc, scale = self.loc.squeeze(axis), self.scale.squeeze(axis)
        ratio = (q.scale / scale).square()
        each = 0.5 * (ratio + ((q.loc - loc) / scale).square() - 1 - ratio.log())
        return each.flatten(len(q.batch_shape) - len(self.event_shape)).sum(-1)


def _terms(z: Float[Tensor, "C D"], constant: Float[Tensor, " K"], read: Tensor, dtype: Any) -> Float[Tensor, "C K"]:
    """log of each weighted component; the digits of z suffice once the terms are summed."""
    return torch.addmm(constant, torch.cat([z.square(), z], 1), read).to(dtype)


class _Fixed(torch.autograd.Function):
    """log p(z) of a mixture that does not learn, and its slope in z made along with it.

    On the way back no component is asked again, and of the slope only those are read that weigh anything: in many
    dimensions they are few.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, constant: Tensor, read: Tensor, dtype: Any) -> Tensor:
        terms = _terms(z, constant, read, dtype)
        top = terms.amax(1, keepdim=True)
        weight = terms.sub_(top.nan_to_num(0, 0, 0)).clamp_(min=NOTHING).exp_()
        total = weight.sum(1, keepdim=True)
        if ctx.needs_input_grad[0]:
            near = (weight > math.exp(NOTHING)).any(0).nonzero()[:, 0]
            share = (weight[:, near] / total).double()
            square, linear = (share @ read[:, near].T).chunk(2, 1)
            ctx.save_for_backward(z, 2 * z * square + linear)
            ctx.rest = constant, read, dtype
        return (total.log() + top).squeeze(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (above,), (z, slope) = gradients, ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted
            value = _terms(z, *ctx.rest).logsumexp(1)
            (slope,) = torch.autograd.grad(value.sum(), z, create_graph=True)
        return above.to(slope)[:, None] * slope, None, None, None
