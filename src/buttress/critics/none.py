"""No critic: a decoder gives p(x|z)."""

from __future__ import annotations

from dataclasses import dataclass

from buttress.core import Critic, DataSpec, LikelihoodModule

__all__ = ["NoCritic"]


@dataclass(frozen=True)
class NoCritic(Critic):
    """Train a decoder.

    Example:
        >>> from buttress.core import Layout
        >>> from buttress.likelihoods.gaussian import GaussianLikelihood
        >>> spec = DataSpec(Layout.table(3))
        >>> NoCritic().build(spec, (2,), GaussianLikelihood().build(spec)) is None
        True
    """

    def build(self, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule) -> None:
        """See :class:`buttress.core.Critic`."""
