"""The family of p(x|z)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from buttress.core.batch import EMPTY, Given
from buttress.core.layout import Layout
from buttress.core.part import DataPart
from buttress.core.spec import DataSpec

__all__ = ["COLDEST", "Likelihood", "LikelihoodModule"]

COLDEST = 1e-6
"""The temperature by which logits are divided where 0 is wanted."""


class LikelihoodModule(nn.Module, ABC):
    """What a decoder's outputs mean. Whatever changes a density stands here, beside its Jacobian.

    ``channels`` is how many numbers a decoder gives for each place: places are (H, W) for images, (T,) for sequences
    and (D,) for tables; a decoder's output has shape (..., *places, channels). ``values`` is how many numbers of x a
    place has (C for images and frames, else 1) and ``draws`` how many uniform numbers :meth:`pick` needs to choose
    them.

    Example:
        >>> import torch
        >>> from buttress.core import Layout
        >>> from buttress.likelihoods.bernoulli import Bernoulli
        >>> module = Bernoulli(binarize="threshold").build(DataSpec(Layout.table(2)))
        >>> module.observe(torch.tensor([[20, 200]], dtype=torch.uint8))
        tensor([[0., 1.]])
        >>> module.pick(torch.zeros(2, 1), uniforms=torch.tensor([[0.3], [0.7]]))  # 1 below a probability of one half
        tensor([[1.],
                [0.]])
    """

    channels: int
    values: int
    draws: int
    fractions: bool = True
    """Whether :meth:`features` of images lie in [0, 1], black to white."""

    @property
    def feature_channels(self) -> int:
        """Channels of :meth:`features` of an image: ``values``, where a number of x stays one number."""
        return self.values

    def places(self, layout: Layout) -> tuple[int, ...]:
        """Sizes of the place axes that a decoder's output has."""
        return layout.places or layout.shape

    def feature_layout(self, layout: Layout) -> Layout:
        """What :meth:`features` of such data are made of."""
        if layout.tokens or not layout.axes or (layout.numeric and self.feature_channels == layout.channels):
            return layout
        return replace(layout, channels=self.feature_channels, symbols=0)

    @abstractmethod
    def check(self, raw: Tensor) -> None:
        """Raise ValueError, saying which value and what to try, if raw data lies outside the support."""

    @abstractmethod
    def observe(self, raw: Tensor) -> Tensor:
        """From stored data to the variable x whose density is modelled (binarise, dequantise). May draw."""

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """x as a network should see it: floats of about unit scale; token ids stay token ids.

        Grey levels lie in [0, 1], black to white (see :attr:`fractions`); symbols without order become one-hot channels
        (see :attr:`feature_channels`).
        """

    @abstractmethod
    def forward(self, parameters: Float[Tensor, "*rest"], given: Given = EMPTY) -> Distribution:
        """The distribution of x: batch shape is what precedes the places, event shape that of x.

        Where ``given`` has true lengths, places beyond them add nothing to ``log_prob``.
        """

    @abstractmethod
    def pick(self, parameters: Float[Tensor, "*rest"], uniforms: Float[Tensor, "*rest2"]) -> Tensor:
        """The values of x, channels last (..., values), at any places with parameters (..., channels).

        A deterministic map of ``uniforms`` (..., draws) in [0, 1): one place at a time or all at once, equal parameters
        and uniforms give equal values, and uniform numbers give values of the right distribution.
        """

    def temper(
        self, parameters: Float[Tensor, "*rest"], uniforms: Float[Tensor, "*rest2"], temperature: float
    ) -> tuple[Tensor, Tensor]:
        """What :meth:`pick` must be given to draw at a temperature: 1 draws from p(x|z), 0 takes its likeliest values.

        Logits are divided by the temperature, the noise of numbers is multiplied by it.
        """
        raise ValueError(f"the likelihood {type(self).__name__} has no temperature; leave it at 1")

    def scores(self, x: Tensor) -> Float[Tensor, "N M"] | None:
        """Scores at the best constant parameters, whitened: F^(-1/2) d log p(x) / d eta, one row an example.

        :mod:`buttress.diagnostics.estimators.optimum` asks for them. None where it can find them from the derivative of
        ``log_prob`` with respect to x, or where there are none.
        """
        return None

    def shared_variance(self) -> float | None:
        """sigma^2 where x is normal about the decoder's means with one variance for all sites; None otherwise."""
        return None

    def after_step(self) -> None:
        """Update statistics that no gradient reaches. Training calls it once after each step."""

    @abstractmethod
    def start(self) -> Tensor | None:
        """Parameters (*places, channels) that match the data's mean, for a decoder's initial output; None for zero."""


class Likelihood(DataPart):
    """The family of p(x|z). ``discrete`` says whether it is a mass over values of x, or a density.

    Example:
        >>> from buttress.likelihoods.bernoulli import Bernoulli
        >>> from buttress.core import DataSpec, Layout
        >>> Bernoulli().build(DataSpec(Layout.image(1, 28, 28))).channels  # a logit for each pixel
        1
    """

    discrete: ClassVar[bool] = False

    def counts_bits(self, layout: Layout) -> bool:
        """Whether its nats on such data are worth reporting in bits per dimension.

        True of a mass, and of a density of whole numbers with uniform noise, which bounds one. Other densities hang on
        the units of x: the same images in [0, 1] and in [0, 255] differ by 8 bits.
        """
        return self.discrete

    @abstractmethod
    def build(self, spec: DataSpec) -> LikelihoodModule:
        """The module, for data of this kind and shape."""
