"""What likelihoods share whose parameters say everything about a place: layout, sampling and refusals.

Decoders give channels last, (..., *places, channels). Images x are channels first, (..., C, H, W), frames channels
last, (..., T, C); symbols in a row and tables have no axis of values. ``to_x`` and ``to_places`` go between the two.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.distributions import Distribution

from buttress.core import EMPTY, DataSpec, Given, LikelihoodModule

__all__ = ["SiteLikelihood", "Sites", "refuse", "refuse_not_finite", "refuse_not_levels"]


class SiteLikelihood(LikelihoodModule):
    """A likelihood under which places are independent given their parameters.

    An autoregressive decoder uses it too: it gives the parameters of every place by teacher forcing for ``log_prob``,
    or of one place at a time for ``pick``.

    ``symbols`` says whether x names things that have no order, so that a mean means nothing.

    Args:
        spec: What the data are made of.
    """

    def __init__(self, spec: DataSpec) -> None:
        super().__init__()
        self.layout = spec.layout
        self.values = spec.layout.channels if spec.layout.axes else 1
        self.draws = self.values
        self.symbols = spec.layout.tokens

    def forward(self, parameters: Float[Tensor, "*rest"], given: Given = EMPTY) -> Sites:
        """See :class:`buttress.core.LikelihoodModule`."""
        masked = self.layout.lengths and not self.layout.tokens  # sentences mark their own end
        return Sites(self, parameters, given.get("lengths") if masked else None)

    @abstractmethod
    def log_prob(self, parameters: Float[Tensor, "*rest"], x: Tensor) -> Float[Tensor, "*batch"]:
        """log p(x) in nats, summed over all sites; the batch of x broadcasts to that of the parameters."""

    def masked_log_prob(
        self, parameters: Float[Tensor, "*rest"], x: Tensor, valid: Bool[Tensor, "*rest2"]
    ) -> Float[Tensor, "*batch"]:
        """The same over the places (*batch, T) where ``valid``; only for sequences."""
        raise ValueError(f"{type(self).__name__} has no density for sequences with true lengths; try gaussian")

    @abstractmethod
    def center(self, parameters: Float[Tensor, "*rest"]) -> Tensor:
        """One x to show a person, channels last (..., values): the mean, or the likeliest symbol."""

    def to_x(self, values: Tensor) -> Tensor:
        """(..., *places, values) -> (..., *sites)."""
        if self.layout.axes == 2:
            return values.movedim(-1, -3)
        return values if self._vectors else values.squeeze(-1)

    def to_places(self, x: Tensor) -> Tensor:
        """(..., *sites) -> (..., *places, values)."""
        if self.layout.axes == 2:
            return x.movedim(-3, -1)
        return x if self._vectors else x.unsqueeze(-1)

    def total(self, per_site: Float[Tensor, "*rest"]) -> Float[Tensor, "*batch"]:
        """Sum over the sites, from (..., *sites)."""
        return per_site.flatten(-len(self.layout.shape)).sum(-1)

    @property
    def _vectors(self) -> bool:
        """Whether x is a sequence of vectors (..., T, C)."""
        return self.layout.axes == 1 and self.layout.numeric


class Sites(Distribution):
    """p(x) for parameters (*batch, *places, channels): batch shape ``batch``, event shape that of x.

    Args:
        likelihood: What the parameters mean.
        parameters: A decoder's output.
        lengths: True lengths of the examples, (B,), where places beyond them add nothing; None for none.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        likelihood: SiteLikelihood,
        parameters: Float[Tensor, "*rest"],
        lengths: Int[Tensor, " B"] | None = None,
    ) -> None:
        self.likelihood, self.parameters, self.lengths = likelihood, parameters, lengths
        axes = 1 + max(1, likelihood.layout.axes)
        event = likelihood.to_x(parameters[..., : likelihood.values]).shape[parameters.dim() - axes :]
        super().__init__(parameters.shape[:-axes], event, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Sites:
        """The same distribution for a larger batch, without copying."""
        expanded = self.parameters.expand(*batch_shape, *self.parameters.shape[self._lead :])
        return Sites(self.likelihood, expanded, self.lengths)

    def log_prob(self, value: Tensor) -> Float[Tensor, "*batch"]:
        """log p(x) in nats. The batch of ``value`` broadcasts to that of the distribution."""
        if self.lengths is None:
            return self.likelihood.log_prob(self.parameters, value)
        parameters = self.parameters[..., : value.shape[-2], :]  # decoders may write up to the longest of all data
        inside = torch.arange(value.shape[-2], device=value.device) < self.lengths[:, None]
        return self.likelihood.masked_log_prob(parameters, value, inside)

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Tensor:
        """x of shape (*sample_shape, *batch, *event)."""
        parameters = self.parameters.expand(*sample_shape, *self.parameters.shape)
        uniforms = torch.rand(*parameters.shape[:-1], self.likelihood.draws, device=parameters.device)
        return self.likelihood.to_x(self.likelihood.pick(parameters, uniforms))

    @torch.no_grad()
    def sample_along(self) -> Tensor:
        """x of shape (*batch, *event), with the same random numbers along the first dimension of the batch."""
        steps, *rest = self.parameters.shape[:-1]
        uniforms = torch.rand(*rest, self.likelihood.draws, device=self.parameters.device).expand(steps, *rest, -1)
        return self.likelihood.to_x(self.likelihood.pick(self.parameters, uniforms))

    @property
    def mean(self) -> Tensor:
        """The mean of x, (*batch, *event), in the units of x; not for symbols."""
        if self.likelihood.symbols:
            raise ValueError("the mean of token ids or codes means nothing; ask for the mode")
        return self.likelihood.to_x(self.likelihood.center(self.parameters))

    @property
    def mode(self) -> Tensor:
        """The likeliest symbol of every place; for tokens and codes only."""
        if not self.likelihood.symbols:
            raise ValueError("distributions over numbers have a mean and no mode here; use .mean")
        return self.likelihood.to_x(self.likelihood.center(self.parameters))

    @property
    def _lead(self) -> int:
        return len(self.batch_shape)


def refuse(raw: Tensor, bad: Bool[Tensor, "*rest"], wanted: str, advice: str) -> None:
    """Raise a ValueError that names the first value where ``bad`` holds, if there is one."""
    if not bad.any():
        return
    where = tuple(bad.nonzero()[0].tolist())
    raise ValueError(f"got the value {raw[where].item()} at {where}, wanted {wanted}; try: {advice}")


def refuse_not_finite(raw: Tensor, advice: str = "drop or fill in the examples concerned") -> None:
    """Raise a ValueError if a value is NaN or infinite."""
    if raw.is_floating_point():
        refuse(raw, ~raw.isfinite(), "finite numbers", advice)


def refuse_not_levels(raw: Tensor, advice: str, top: int = 255) -> None:
    """Raise a ValueError if a value is not a whole number from 0 to ``top``."""
    if raw.dtype == torch.uint8 and top >= 255:
        return
    refuse_not_finite(raw)
    if raw.is_floating_point() and top == 255 and raw.numel() and raw.max() == 1:
        raise ValueError(
            "got fractions or masks with 1 for white, wanted whole numbers 0 to 255, of which 1 is all but black; try: "
            f"the bernoulli likelihood for black and white, or {advice}"
        )
    bad = (raw < 0) | (raw > top)
    refuse(raw, bad | (raw != raw.round()) if raw.is_floating_point() else bad, f"whole numbers 0 to {top}", advice)
