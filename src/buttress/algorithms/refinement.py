r"""Refining q(z|x) for each example, and letting gradients flow back through it.

$$ f(\lambda) = -\mathbb{E}_{q_\lambda} \log p(x|z) + \beta\, \mathrm{KL}(q_\lambda \| p), \qquad
   \lambda = (\mu, \log \sigma) $$
$$ v_{k+1} = \gamma v_k - c(\nabla_\lambda f(\lambda_k; \epsilon_k)), \qquad \lambda_{k+1} = \lambda_k + a\, v_{k+1} $$

with $v_0 = 0$, noise $\epsilon_k$ that is given, and $c$ the clip of an example's gradient. Everything is per example
and in nats, so a step does not depend on the batch an example is in. $\lambda$, $v$ and the KL stay in float32 or
better whatever the precision of the networks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from buttress.core import Batch, Given
from buttress.core.records import Terms
from buttress.posteriors.gaussian import latent_at
from buttress.runtime.memory import check_memory

__all__ = ["LOG_SCALE", "Refinement", "given_of", "negative_elbo", "standard", "terms_at", "twice_differentiable"]

LOG_SCALE = (-6.0, 4.0)
"""Bounds of log sigma after a step: those of the gaussian posterior by default. Without any it is NaN after hours."""


NOISE = 256
"""Bytes of the noise of one step on one example, roughly."""


@dataclass(frozen=True)
class Refinement:
    """K steps of gradient descent with momentum on lambda.

    Args:
        steps: K. With 0 nothing is refined.
        rate: a, the step size for each example's own gradient in nats.
        momentum: gamma.
        clip: Largest norm of one example's gradient, in nats per unit of lambda; None for no clipping.
        antithetic: Take each noise epsilon with -epsilon beside it. Where f is near to quadratic the noise of the
            gradient for the mean then cancels; a step costs two evaluations of the decoder in place of one.

    Example:
        >>> from buttress.core import Batch
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian.random(dims=4, latents=1)
        >>> batch = Batch(model.sample(3)[0])
        >>> q = Refinement(steps=100, rate=0.1)(model, batch, standard(model.prior(), batch), torch.zeros(100, 1, 3, 1))
        >>> torch.allclose(q.loc, model.posterior(batch.x).mean, atol=1e-4)  # without noise only the mean is right
        True
    """

    steps: int = 10
    rate: float = 1 / 32
    momentum: float = 0.5
    clip: float | None = 5.0
    antithetic: bool = False

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.steps < 0:
            raise ValueError(f"refinement: steps is {self.steps}, wanted 0 or more")
        check_memory(NOISE * self.steps, f"the noise of {self.steps:,} steps", "fewer of them")
        if not self.rate > 0 or not 0 <= self.momentum < 1:
            raise ValueError(
                f"refinement: rate is {self.rate} and momentum {self.momentum}; wanted a rate above 0 and a momentum "
                "from 0 to below 1"
            )
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"refinement: clip is {self.clip}, wanted a norm above 0, or None for no clipping")

    def __call__(
        self,
        model: Any,
        batch: Batch,
        start: Normal,
        noise: Float[Tensor, "K S B *event"],
        beta: float = 1.0,
        through: bool = False,
    ) -> Normal:
        """lambda_K.

        Args:
            model: Keeps the protocol of the diagnostics; only ``prior`` and ``log_likelihood`` are called.
            batch: The examples; a model reads what is given with them where there is something.
            start: lambda_0, batch shape (B, *event).
            noise: epsilon of each step, without its mirror image.
            beta: Weight of the rate.
            through: Keep the graph of every step, so that a loss at lambda_K differentiates exactly through all of
                them: with respect to lambda_0 and to whatever else f depends on. Else lambda_K is a constant.
        """
        moving = [start.loc, start.scale.log()] if through else [start.loc.detach(), start.scale.detach().log()]
        velocity = [torch.zeros_like(part) for part in moving]
        with torch.enable_grad():
            prior = model.prior(*given_of(batch))
            for e in torch.cat([noise, -noise], 1) if self.antithetic else noise:
                moving = [part if part.requires_grad else part.detach().requires_grad_() for part in moving]
                cost = negative_elbo(model, prior, batch, _normal(moving), e, beta).sum()
                slopes = self._clipped(torch.autograd.grad(cost, moving, create_graph=through))
                velocity = [self.momentum * v - g for v, g in zip(velocity, slopes, strict=True)]
                moving = [part + self.rate * v for part, v in zip(moving, velocity, strict=True)]
                moving = [moving[0], moving[1].clamp(*LOG_SCALE)]
                if not through:
                    moving = [part.detach() for part in moving]
        return _normal(moving) if self.steps else start

    def _clipped(self, slopes: tuple[Tensor, ...]) -> list[Tensor]:
        """Each example's gradient, shortened to ``clip``."""
        if self.clip is None:
            return list(slopes)
        squares = torch.stack([g.square().flatten(1).sum(1) for g in slopes]).sum(0)
        norm = (squares + 1e-12).sqrt()  # a root has no derivative at 0
        shrink = (self.clip / norm).clamp(max=1)
        return [g * shrink.view(-1, *[1] * (g.dim() - 1)) for g in slopes]


def _normal(moving: list[Tensor]) -> Normal:
    return Normal(moving[0], moving[1].exp(), validate_args=False)


def given_of(batch: Batch) -> tuple[Given, ...]:
    """The last argument of a model's calls: what is given, or nothing, which models without conditions need not take.

    Example:
        >>> given_of(Batch(torch.zeros(1))), given_of(Batch(torch.zeros(1), {"label": torch.tensor([4])}))
        ((), ({'label': tensor([4])},))
    """
    return (batch.given,) if batch.given else ()


def terms_at(model: Any, prior: Distribution, batch: Batch, q: Normal, noise: Float[Tensor, "S B *event"]) -> Terms:
    """The terms of a batch under any Gaussian q, at z = mu + sigma epsilon.

    Example:
        >>> from buttress.core import Batch
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model, batch = LinearGaussian.random(dims=4, latents=2), Batch(torch.zeros(3, 4))
        >>> terms = terms_at(model, model.prior(), batch, standard(model.prior(), batch), torch.zeros(5, 3, 2))
        >>> terms.distortion.shape, terms.latent.rate.sum().item()  # S = 5, B = 3; q is the prior
        (torch.Size([5, 3]), 0.0)
    """
    latent = latent_at(q, prior, noise)
    return Terms(-model.log_likelihood(batch.x, latent.z, *given_of(batch)), latent)


def negative_elbo(
    model: Any,
    prior: Distribution,
    batch: Batch,
    q: Normal,
    noise: Float[Tensor, "S B *event"],
    beta: float = 1.0,
) -> Float[Tensor, " B"]:
    """f of each example.

    Example:
        >>> from buttress.core import Batch
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian(torch.zeros(1, 1).double(), torch.zeros(1).double(), 1.0)  # x = N(0, 1), whatever z
        >>> batch = Batch(torch.zeros(1, 1))
        >>> f = negative_elbo(model, model.prior(), batch, standard(model.prior(), batch), torch.zeros(1, 1, 1))
        >>> round(f.item(), 4)  # ln(2 pi) / 2
        0.9189
    """
    terms = terms_at(model, prior, batch, q, noise)
    return terms.distortion.mean(0) + beta * terms.latent.rate.sum(-1)


def standard(prior: Distribution, batch: Batch) -> Normal:
    """The prior as lambda_0 of every example; N(0, I) where it is not a product of normals.

    Example:
        >>> from buttress.core import Batch
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> standard(LinearGaussian.random(dims=4, latents=2).prior(), Batch(torch.zeros(3, 4)))
        Normal(loc: torch.Size([3, 2]), scale: torch.Size([3, 2]))
    """
    if isinstance(prior, Independent) and isinstance(prior.base_dist, Normal):
        loc, scale = prior.base_dist.loc.detach(), prior.base_dist.scale.detach()
    else:
        loc = torch.zeros(prior.batch_shape + prior.event_shape, device=batch.x.device)
        scale = torch.ones_like(loc)
    if prior.batch_shape:  # a prior of each example's own
        return Normal(loc, scale)
    return Normal(loc.expand(len(batch), *loc.shape), scale.expand(len(batch), *scale.shape))


@contextmanager
def twice_differentiable(model: Any) -> Iterator[None]:
    """Without cuDNN where the model has recurrent layers: its recurrent kernels have no second derivative.

    Example:
        >>> with twice_differentiable(nn.LSTM(2, 2)):
        ...     torch.backends.cudnn.enabled
        False
        >>> with twice_differentiable(nn.Linear(2, 2)):
        ...     torch.backends.cudnn.enabled
        True
    """
    recurrent = isinstance(model, nn.Module) and any(isinstance(module, nn.RNNBase) for module in model.modules())
    with torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled and not recurrent):
        yield
