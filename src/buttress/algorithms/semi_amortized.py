r"""Semi-amortised inference: the encoder's q is where a refinement of each example's own q starts.

$$ \lambda_0 = \mathrm{enc}_\phi(x), \qquad \lambda_K = \text{K steps of } \lambda \leftarrow \lambda - a \nabla_\lambda
   f(\lambda, \theta, x), \qquad L = \text{objective}(\text{terms at } \lambda_K) $$

"sa" follows the whole derivative, dL/dtheta and dL/dphi through all K steps, exactly, by differentiating the steps
themselves. "vae_svi" cuts it: theta gets the gradient at a constant lambda_K, phi that of the objective at lambda_0, as
if nothing were refined. "svi" has no encoder: lambda_0 is the prior, theta gets the gradient at a constant lambda_K.

A step costs, in passes through the decoder as long as its forward pass (plain training: one forward, two backward):
an inner step one forward and one backward, since only z needs a slope; "sa" then also goes backward through both, which
is four more. So K inner steps cost 2 K passes beside the 3 of plain training ("vae_svi" 2 more, "svi" none more), or
6 K with "sa": 21 times a plain step at K = 10, in a decoder that dominates. Multiplications counted at K = 10: 63
passes ("sa"), 25 ("vae_svi"), 23 ("svi") with a perceptron; 58, 23, 21 with a PixelCNN. "sa" keeps the graphs of all K
steps. With antithetic noise, as the remedy takes it, an inner step passes twice as many examples: 12 K with "sa".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal

from buttress.algorithms.descent import Descent, NonFinite, make_optimizer
from buttress.algorithms.refined import Refined
from buttress.algorithms.refinement import Refinement, standard, terms_at, twice_differentiable
from buttress.core import Algorithm, AlgorithmModule, Batch, Objective, Step, Training
from buttress.core.model import with_penalty
from buttress.core.records import Terms
from buttress.distributions.inspect import normal
from buttress.posteriors.gaussian import GaussianPosteriorModule
from buttress.runtime.randomness import draw

__all__ = ["SemiAmortized", "SemiAmortizedModule", "Variant"]

Variant = Literal["sa", "vae_svi", "svi"]


@dataclass(frozen=True)
class SemiAmortized(Algorithm):
    """Refine q(z|x) for each example by gradient steps, and train through them.

    Source: Kim et al., Semi-Amortized Variational Autoencoders, 2018, with its code. Ours: the derivative through the
    steps is exact, where the code takes finite differences; lambda is (mean, log sigma) where the code has log
    sigma^2, so that for one rate our sigma moves four times as fast; the gradient is clipped for each example, where
    the code clips that of the whole batch, which would make an example depend on its neighbours. Each step draws its
    own noise, one sample, as in the code; the loss draws noise of its own, so it is not optimistic.

    The refinement minimises distortion + beta * rate with the objective's beta at that step (1 where it has none); a
    floor under the rate, or several samples in a logarithm, are the final loss's alone. ``training.compile`` does not
    reach it: what torch.compile makes has no second derivative. It needs a gaussian posterior.

    Penalties on the encoder's features are added as they are; "svi" has none.

    With "svi" the encoder gets no gradient and stays as it is; samples and evidence never use it.

    Evidence, held-out curves and reconstructions refine q in the same way.

    Args:
        refine_steps: K. With 0, "sa" is joint training. The paper has 20.
        refine_rate: a, for each example's own gradient in nats. The paper's f is the mean over a batch of B, so that
            its rate of 1 is 1/B here: 1/32 for its sentences, 1/50 for its images.
        momentum: gamma.
        clip: Largest norm of one example's inner gradient; None for no clipping. The paper's 5, of a mean over B, binds
            where examples' norms are typically 5 sqrt(B).
        antithetic: The noise of each step comes in a pair, epsilon and -epsilon (ours). Without, as in the paper, a
            step costs half as much, and q jitters: before the generator of ``buttress paper semi_amortized`` twenty
            single draws from the encoder's q end 0.4 nats above twenty pairs, and 0.3 above five.
        variant: "sa", "vae_svi" or "svi".

    Errors:
        ValueError: A setting out of range; on building, a posterior that is not gaussian.

    Example:
        >>> SemiAmortized(refine_steps=20).refinement
        Refinement(steps=20, rate=0.03125, momentum=0.5, clip=5.0, antithetic=False)
    """

    refine_steps: int = 10
    refine_rate: float = 1 / 32
    momentum: float = 0.5
    clip: float | None = 5.0
    antithetic: bool = False
    variant: Variant = "sa"

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.variant not in get_args(Variant):
            raise ValueError(f"semi_amortized algorithm: variant is {self.variant!r}, wanted sa, vae_svi or svi")
        try:
            _ = self.refinement
        except ValueError as error:
            raise ValueError(f"semi_amortized algorithm: {error}") from None

    @property
    def refinement(self) -> Refinement:
        """What is done to each q."""
        return Refinement(self.refine_steps, self.refine_rate, self.momentum, self.clip, self.antithetic)

    @classmethod
    def tiny(cls) -> tuple[SemiAmortized, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(refine_steps=2), cls(refine_steps=2, variant="vae_svi"), cls(refine_steps=2, variant="svi"))

    def build(self, model: nn.Module, objective: Objective, training: Training) -> SemiAmortizedModule:
        """See :class:`buttress.core.Algorithm`."""
        posterior = getattr(model, "inference", None)
        if not isinstance(posterior, GaussianPosteriorModule):
            raise ValueError(
                f"semi_amortized algorithm: got a posterior of type {type(posterior).__name__}, wanted a gaussian one, "
                "whose mean and scale can be refined; try the gaussian posterior or the joint algorithm"
            )
        return SemiAmortizedModule(self, model, objective, training)

    def evaluation_model(self, model: Any, objective: Objective, step: int, seed: int) -> Any:
        """See :class:`buttress.core.Algorithm`."""
        return Refined(model, self.refinement, _beta(objective, step), self.variant == "svi", seed)


class SemiAmortizedModule(AlgorithmModule):
    """The module of :class:`SemiAmortized`.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> data = LinearGaussianData(dim=4, n=50).open()
        >>> recipe, batch = baseline(LinearGaussianData(dim=4, n=50), data.spec), data.held_out.read(torch.arange(5))
        >>> model = recipe.model(data.spec)
        >>> module = SemiAmortized(variant="svi").build(model, recipe.objective, recipe.training)
        >>> _, loss = module.terms(batch, number=0)
        >>> loss.backward()
        >>> [p.grad for p in model.encoder.parameters()][0], model.decoder.out.weight.grad.any().item()
        (None, True)
    """

    def __init__(self, part: SemiAmortized, model: Any, objective: Objective, training: Training) -> None:
        super().__init__(model)
        self.part, self.objective = part, objective
        self.descend = Descent(model, objective, training)
        self.optimizers = (make_optimizer(model.parameters(), training),)

    def step(self, step: Step) -> dict[str, float | Tensor]:
        """See :class:`buttress.core.AlgorithmModule`."""
        with twice_differentiable(self.model):
            try:
                terms, loss = self.terms(step.batch, step.number)
            except ValueError as error:  # torch's distributions refuse NaN
                raise NonFinite(f"while q was refined the decoder's output became NaN or infinite ({error})") from error
            return self.descend.follow(step, terms, loss, *self.optimizers)

    def terms(self, batch: Batch, number: int) -> tuple[Terms, Float[Tensor, ""]]:
        """The terms at lambda_K, and the scalar whose gradient the variant wants; its value is the loss at lambda_K."""
        start, penalty = self._start(batch)
        variant, event = self.part.variant, start.loc.shape
        inner = draw(torch.randn, (self.part.refine_steps, 1, *event), batch_dim=2).to(start.loc)
        beta = _beta(self.objective, number)
        refined = self.part.refinement(self.model, batch, start, inner, beta, through=variant == "sa")
        if variant != "sa":
            refined = _constant(refined)
        noise = draw(torch.randn, (self.objective.samples, *event), batch_dim=1).to(start.loc)
        plain = terms_at(self.model, self.model.prior(batch.given), batch, refined, noise)
        terms = Terms(plain.distortion, with_penalty(plain.latent, penalty))
        loss = self.descend.loss(terms, number)
        if variant == "vae_svi":
            loss = loss + self._encoders_own(batch, start, noise, number)
        return terms, loss

    def _start(self, batch: Batch) -> tuple[Normal, dict[str, Tensor]]:
        """lambda_0, and what the encoder's features cost."""
        if self.part.variant == "svi":
            return standard(self.model.prior(batch.given), batch), {}
        h, q = self.model.infer(batch.x, batch.given)
        start = normal(q)
        assert start is not None  # build has checked
        return start, self.model.encoder.penalty(h)

    def _encoders_own(self, batch: Batch, start: Normal, noise: Tensor, number: int) -> Float[Tensor, ""]:
        """Zero, with the gradient of the loss at lambda_0 for the encoder alone."""
        free = [start.loc.detach().requires_grad_(), start.scale.detach().requires_grad_()]
        own = Normal(free[0], free[1], validate_args=False)
        terms = terms_at(self.model, self.model.prior(batch.given), batch, own, noise)
        slopes = torch.autograd.grad(self.descend.loss(terms, number), free)
        pull = (slopes[0] * start.loc).sum() + (slopes[1] * start.scale).sum()
        return pull - pull.detach()


def _constant(q: Normal) -> Normal:
    return Normal(q.loc.detach(), q.scale.detach(), validate_args=False)


def _beta(objective: Objective, step: int) -> float:
    """Weight of the rate at a step, 1 where the objective has none."""
    beta = objective.weight(step)
    return 1.0 if beta is None else beta
