r"""q(z|x) = a product of categorical distributions over K codes, sampled with gradients by the Gumbel trick.

$$ c = \arg\max_k (l_k + g_k), \quad g_k \sim \text{Gumbel}, \qquad
   y = \operatorname{softmax}\bigl((l + g) / \tau\bigr), \qquad
   z = e_c, \quad \frac{\partial z}{\partial l} := \frac{\partial (y E)}{\partial l} $$

c is an exact sample of q; the decoder reads its codeword, a row of E, and its gradient is that of the soft choice y.
The rate needs no such approximation. Against independent codes it is a sum, $\sum_k q_k (\log q_k - \log p_k)$; against
an autoregressive prior it is sampled, with the unbiased gradient of the score function,
$\nabla E_q f = E_q[f \nabla \log q]$.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, kl_divergence

from buttress.core import Posterior, PosteriorModule, Space
from buttress.core.posterior import group_names
from buttress.core.records import Latent
from buttress.distributions.gumbel import with_gumbel
from buttress.nn.layers import full
from buttress.posteriors._codebook import cost, spread

NEVER = -1e4
"""The logit of a code of which q is sure that it is not."""

__all__ = ["CategoricalPosterior"]


@dataclass(frozen=True)
class CategoricalPosterior(Posterior):
    """One of K codes at each place where the encoder gives features, or several, each with its probability.

    Source: Jang, Gu and Poole, Categorical Reparameterization with Gumbel-Softmax, 2017; Maddison, Mnih and Teh, The
    Concrete Distribution, 2017. The straight-through variant: the forward pass is exact. Several slots at a place, with
    ``hidden`` and perhaps one codebook: Baevski, Schneider and Auli, vq-wav2vec, 2020.

    Args:
        codes: Number K of codes.
        dim: Numbers D in a codeword.
        slots: Codes at each place; where the encoder gives one h for all of x, codes of the whole example.
        temperature: tau at the first step. Low: a gradient of little bias and much noise; high: the reverse.
        final_temperature: tau after ``anneal`` steps.
        anneal: Steps in which tau falls, by the same factor at each.
        shared: Whether the slots read their codewords in one codebook instead of one each.
        hidden: Numbers in a layer with ReLU between h and the log-odds of the codes; 0 for none.

    Errors:
        ValueError: A size that is too small, or a temperature that is not positive.

    Example:
        >>> module = CategoricalPosterior(codes=8, dim=4).build(features=5)
        >>> q = module(torch.zeros(7, 5))
        >>> q.event_shape, module.embed(q.sample()).shape
        (torch.Size([1]), torch.Size([7, 4]))
    """

    discrete: ClassVar[bool] = True

    codes: int = 64
    dim: int = 16
    slots: int = 1
    temperature: float = 1.0
    final_temperature: float = 0.5
    anneal: int = 1000
    shared: bool = False
    hidden: int = 0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        for name, least in {"codes": 2, "dim": 1, "slots": 1, "anneal": 1, "hidden": 0}.items():
            if not getattr(self, name) >= least:
                raise ValueError(f"categorical posterior: {name} is {getattr(self, name)}, wanted at least {least}")
        if not 0 < self.final_temperature <= self.temperature < float("inf"):
            raise ValueError(
                f"categorical posterior: temperatures are {self.temperature} and then {self.final_temperature}, wanted "
                "positive numbers of which the second is not larger"
            )

    @classmethod
    def tiny(cls) -> tuple[CategoricalPosterior, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(codes=3, dim=2), cls(codes=2, dim=2, slots=2), cls(codes=3, dim=2, slots=2, shared=True, hidden=4))

    def build(self, features: int, places: tuple[int, ...] = ()) -> CategoricalPosteriorModule:
        """See :class:`buttress.core.Posterior`."""
        return CategoricalPosteriorModule(self, features, places)


class CategoricalPosteriorModule(PosteriorModule):
    """The module of :class:`CategoricalPosterior`. ``steps`` counts those of training."""

    steps: Tensor

    def __init__(self, part: CategoricalPosterior, features: int, places: tuple[int, ...]) -> None:
        super().__init__()
        self.part, self.codes_shape = part, (*places, part.slots)
        self.z_shape = (*places, part.slots * part.dim)
        inner = [nn.Linear(features, part.hidden), nn.ReLU()] if part.hidden else []
        out = nn.Linear(part.hidden or features, part.slots * part.codes)
        self.linear = nn.Sequential(*inner, out) if inner else out
        self.groups = group_names(self.codes_shape)
        self.codebook = nn.Parameter(torch.randn(1 if part.shared else part.slots, part.codes, part.dim))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    @property
    def space(self) -> Space:
        """See :class:`buttress.core.PosteriorModule`."""
        return Space(self.codes_shape, classes=self.part.codes, shared=self.part.shared)

    @property
    def temperature(self) -> Float[Tensor, ""]:
        """tau of this step."""
        part, done = self.part, (self.steps / self.part.anneal).clamp(max=1)
        return part.temperature * (part.final_temperature / part.temperature) ** done

    def embed(self, value: Shaped[Tensor, "*rest"]) -> Float[Tensor, "*rest2"]:
        """See :class:`buttress.core.PosteriorModule`."""
        return self._books()[torch.arange(self.part.slots, device=value.device), value].flatten(-2)

    def _books(self) -> Float[Tensor, "slots K D"]:
        """The codebook of each slot."""
        return self.codebook.expand(self.part.slots, -1, -1)

    def logits(
        self, h: Float[Tensor, "B *places F"], valid: Bool[Tensor, "B *places"] | None = None
    ) -> Float[Tensor, "B *places slots K"]:
        """log q, in float32 at least, whatever the precision around it; sure of code 0 behind the true end."""
        raw = full(self.linear(h)).unflatten(-1, (self.part.slots, self.part.codes))
        if valid is not None:
            first = torch.arange(self.part.codes, device=h.device) == 0
            raw = torch.where(valid[..., None, None], raw, torch.where(first, 0.0, NEVER))
        return raw.log_softmax(-1)

    def inside(self, valid: Bool[Tensor, "B *places"]) -> Bool[Tensor, "B *event"]:
        """See :class:`buttress.core.PosteriorModule`."""
        return spread(valid, self.part.slots)

    def forward(self, h: Float[Tensor, "B *places F"], valid: Bool[Tensor, "B *places"] | None = None) -> Distribution:
        """See :class:`buttress.core.PosteriorModule`."""
        return Independent(Categorical(logits=self.logits(h, valid)), len(self.codes_shape))

    def latent(
        self,
        h: Float[Tensor, "B *places F"],
        prior: Distribution,
        samples: int = 1,
        valid: Bool[Tensor, "B *places"] | None = None,
    ) -> Latent:
        """See :class:`buttress.core.PosteriorModule`."""
        logits = self.logits(h, valid)
        noisy = with_gumbel(logits, samples)
        codes = noisy.argmax(-1)
        log_q = logits.expand_as(noisy).gather(-1, codes[..., None])[..., 0].flatten(2)
        paid = _costs(prior, codes)
        exact = _exact_kl(Categorical(logits=logits), prior)
        ratio = log_q + paid
        if exact is None:  # the score function: the value stays, and the gradient of the mean becomes unbiased
            ratio = ratio + (log_q - log_q.detach()) * ratio.detach().sum(-1, keepdim=True)
        return Latent(self._read(noisy, codes), ratio, exact, codes.flatten(2))

    def _read(self, noisy: Float[Tensor, "S B *places slots K"], codes: Int[Tensor, "S B *places slots"]) -> Tensor:
        """The codewords of ``codes`` with the gradient of the soft choice."""
        hard = nn.functional.one_hot(codes, self.part.codes).to(noisy)
        if self.training:
            soft = (noisy / self.temperature).softmax(-1)
            hard = hard + (soft - soft.detach())
        return torch.einsum("...sk,skd->...sd", hard, self._books()).flatten(-2)

    def after_step(self) -> None:
        """See :class:`buttress.core.PosteriorModule`."""
        self.steps += 1


def _costs(prior: Distribution, codes: Int[Tensor, "S B *places slots"]) -> Float[Tensor, "S B G"]:
    """What every code costs; in one pass, where the prior is the same for every example."""
    if prior.batch_shape:
        return torch.stack([cost(prior, drawn) for drawn in codes])
    return cost(prior, codes.flatten(0, 1)).unflatten(0, codes.shape[:2])


def _exact_kl(q: Categorical, prior: Distribution) -> Float[Tensor, "B G"] | None:
    """Of every code, where the prior has independent ones."""
    if not isinstance(prior, Independent) or not isinstance(prior.base_dist, Categorical):
        return None
    return kl_divergence(q, prior.base_dist).flatten(1)
