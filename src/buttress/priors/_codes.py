r"""What learned priors over codes share: p(z) = prod_g p(z_g | z before g), z_g in 0 .. K - 1, groups in reading order.

$$ -\log p(z) = \sum_g -\log p(z_g \mid z_{<g}) \quad \text{nats: what each code costs, given those before it} $$

``log_prob`` is teacher forcing, one parallel pass; ``sample`` a loop in which nothing is computed twice, and
``sample_naively`` the loop that computes everything again for each code. The same uniforms give the same codes.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Distribution, constraints

from buttress.core import EMPTY, DataSpec, Decoder, Given, Layout, PriorModule, Space
from buttress.core.autoregressive import AutoregressiveModule
from buttress.likelihoods.categorical import Categorical, choose
from buttress.nn.layers import full

__all__ = ["CodeDistribution", "CodesModule", "MapCodesModule", "classes_of"]

LOGITS = 2**25
"""Most logits held at once where no gradient is wanted: more codes are scored a part at a time."""


def classes_of(space: Space, prior: str) -> int:
    """K, or a ValueError that names the prior where the space is none of codes.

    Example:
        >>> classes_of(Space((8,), classes=64), "recurrent")
        64
    """
    if space.classes is None:
        raise ValueError(f"{prior} prior: z is made of real numbers, wanted codes; try the standard_normal prior")
    if space.classes < 2:
        raise ValueError(f"{prior} prior: {space.classes} code says nothing, wanted at least 2; try more codes")
    return space.classes


class CodesModule(PriorModule):
    """p(z) over codes whose places see the places before them. ``space`` is where they live."""

    def __init__(self, space: Space, prior: str) -> None:
        super().__init__()
        self.space, self.classes = space, classes_of(space, prior)

    def forward(self, given: Given = EMPTY) -> CodeDistribution:
        """See :class:`buttress.core.PriorModule`."""
        return CodeDistribution(self)

    @abstractmethod
    def logits(self, codes: Int[Tensor, "N *shape"]) -> Float[Tensor, "N *rest"]:
        """The K logits (N, *shape, K) of every code, given those before it."""

    @abstractmethod
    def generate(self, uniforms: Float[Tensor, "N *shape"]) -> Int[Tensor, "N *shape"]:
        """Codes chosen one after the other with ``uniforms`` in [0, 1), nothing computed twice."""

    def generate_naively(self, uniforms: Float[Tensor, "N *shape"]) -> Int[Tensor, "N *shape"]:
        """The same by a full pass for each code."""
        codes = torch.zeros_like(uniforms, dtype=torch.long)
        for group in itertools.product(*map(range, self.space.shape)):
            here: Any = (slice(None), *group)
            codes[here] = choose(self.logits(codes)[here], uniforms[here][:, None]).squeeze(-1)
        return codes

    def score(self, codes: Int[Tensor, "N *shape"]) -> Float[Tensor, "N *shape"]:
        """log p of every code given those before it, in nats and float32, whatever the precision around it."""
        if torch.is_grad_enabled():
            return self._score(codes)
        rows = max(1, LOGITS // (self.classes * max(1, codes[:1].numel())))
        return torch.cat([self._score(part) for part in codes.split(rows)])

    def _score(self, codes: Int[Tensor, "N *shape"]) -> Float[Tensor, "N *shape"]:
        logits = full(self.logits(codes))
        return logits.gather(-1, codes[..., None]).squeeze(-1) - logits.logsumexp(-1)


class MapCodesModule(CodesModule):
    """An autoregressive image decoder as a prior over maps of codes (H', W', slots), by giving it a constant z.

    The place is the decoder's unit: the codes in the slots of one place are independent given the places before. So a
    prior over few places with many slots says little; read them as a sequence then (the recurrent prior).

    Args:
        decoder: Any decoder for images whose places see those before.
        space: Where the codes live.
        prior: The prior's name, for errors.

    Errors:
        ValueError: The space is none of maps of codes.
    """

    one: Tensor

    def __init__(self, decoder: Decoder, space: Space, prior: str) -> None:
        super().__init__(space, prior)
        if len(space.shape) != 3:
            raise ValueError(
                f"{prior} prior: codes of shape {space.shape} are no map (H', W', slots); try the recurrent prior, or "
                "an encoder with spatial features"
            )
        height, width, slots = space.shape
        spec = DataSpec(Layout.image(slots, height, width, symbols=self.classes))
        likelihood = Categorical(levels=self.classes, ordinal=False).build(spec)
        module = decoder.build(spec, (1,), likelihood)
        assert isinstance(module, AutoregressiveModule)
        self.decoder = module
        self.register_buffer("one", torch.ones(1, 1), persistent=False)  # not 0, from which no weight could learn

    def logits(self, codes: Int[Tensor, "N *shape"]) -> Float[Tensor, "N *rest"]:
        """See :class:`CodesModule`."""
        parameters = self.decoder.parameters_of(self.one.expand(len(codes), 1), codes.movedim(-1, 1))
        return parameters.unflatten(-1, (self.space.shape[-1], self.classes))

    def generate(self, uniforms: Float[Tensor, "N *shape"]) -> Int[Tensor, "N *shape"]:
        """See :class:`CodesModule`."""
        return self.decoder.generate(self.one.expand(len(uniforms), 1), uniforms).movedim(1, -1).long()


class CodeDistribution(Distribution):
    """p(z) of a learned prior over codes: batch shape (), event shape that of its space.

    Args:
        module: The prior.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, module: CodesModule) -> None:
        self.module = module
        super().__init__(torch.Size(), torch.Size(module.space.shape), validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """Whole numbers below K."""
        return constraints.independent(constraints.integer_interval(0, self.module.classes - 1), len(self.event_shape))

    def log_prob_by_group(self, value: Int[Tensor, "*rest"]) -> Float[Tensor, "*rest"]:
        """log p of every code given those before it, in nats, of the same shape (*batch, *event) as the codes."""
        flat = value.reshape(-1, *self.event_shape).long()
        return self.module.score(flat).view(value.shape)

    def log_prob(self, value: Int[Tensor, "*rest"]) -> Float[Tensor, "*batch"]:
        """log p(z) in nats, shape ``batch``, for codes (*batch, *event)."""
        return self.log_prob_by_group(value).flatten(-len(self.event_shape)).sum(-1)

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Int[Tensor, "*rest"]:
        """Codes of shape (*sample_shape, *event)."""
        return self._draw(self.module.generate, sample_shape)

    @torch.no_grad()
    def sample_naively(self, sample_shape: Any = ()) -> Int[Tensor, "*rest"]:
        """What :meth:`sample` gives for the same random state, slowly: the reference in tests and benchmarks."""
        return self._draw(self.module.generate_naively, sample_shape)

    def _draw(self, generate: Callable[[Tensor], Tensor], sample_shape: Any) -> Tensor:
        device = next(self.module.parameters()).device
        uniforms = torch.rand(*sample_shape, *self.event_shape, device=device)
        return generate(uniforms.view(-1, *self.event_shape)).view(uniforms.shape)
