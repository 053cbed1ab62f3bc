r"""What learned priors over codes share: p(z|y) = prod_g p(z_g | z before g, y), z_g in 0 .. K - 1, in reading order.

$$ -\log p(z|y) = \sum_g -\log p(z_g \mid z_{<g}, y) \quad \text{nats: what each code costs, given those before it} $$

y is what the data offer beside x, such as a label, where the prior reads that; else nothing.

Behind the true end of an example, where its length is known, every code is 0 and costs nothing.

``log_prob`` is teacher forcing, one parallel pass; ``sample`` a loop in which nothing is computed twice, and
``sample_naively`` the loop that computes everything again for each code. The same uniforms give the same codes.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.distributions import Distribution, constraints

from buttress.conditions.embedding import Embedding
from buttress.core import EMPTY, DataSpec, Decoder, Given, Layout, LikelihoodModule, PriorModule, Space
from buttress.core.autoregressive import AutoregressiveModule
from buttress.likelihoods.categorical import Categorical, choose
from buttress.nn.layers import full

__all__ = ["CodeDistribution", "CodesModule", "MapCodesModule", "check_given", "classes_of", "impossible"]

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


def impossible(space: Space) -> Float[Tensor, "*shape K"]:
    """Logits that are minus infinity for codes that a level of fewer classes than K does not have, and else 0.

    Example:
        >>> impossible(Space.stacked([("top", (1, 1), 3), ("bottom", (2, 1), 2)])).tolist()
        [[0.0, 0.0, 0.0], [0.0, 0.0, -inf], [0.0, 0.0, -inf]]
    """
    found = torch.zeros(*space.shape, space.classes or 0)
    for level in space.levels:
        found[level.start : level.stop, level.classes :] = -torch.inf
    return found


def check_given(part: Any) -> None:
    """Refuse a vector of what is given that has fewer than no numbers.

    Example:
        >>> from types import SimpleNamespace
        >>> check_given(SimpleNamespace(given=-1, name=lambda: "pixelcnn"))
        Traceback (most recent call last):
        ValueError: pixelcnn prior: given is -1, wanted 0 (no condition is read) or more
    """
    if part.given < 0:
        raise ValueError(f"{part.name()} prior: given is {part.given}, wanted 0 (no condition is read) or more")


class CodesModule(PriorModule):
    """p(z) over codes whose places see the places before them. ``space`` is where they live.

    Args:
        space: Where the codes live.
        prior: The prior's name, for errors.
        given: E, numbers in the vector c(y) of what is given, to which every condition adds its own; 0 where the prior
            reads no condition.
    """

    one: Tensor

    def __init__(self, space: Space, prior: str, given: int = 0) -> None:
        super().__init__()
        self.space, self.classes = space, classes_of(space, prior)
        self.prior, self.given = prior, given
        self.names: tuple[str, ...] = ()
        self.register_buffer("one", torch.ones(1, 1), persistent=False)  # not 0, from which no weight could learn

    def bind(self, posterior: Callable[[Tensor], Distribution], likelihood: LikelihoodModule, spec: DataSpec) -> None:
        """See :class:`buttress.core.PriorModule`. What reads the conditions is made here, where they are known."""
        if not self.given:
            return
        try:
            self.condition = Embedding(dim=self.given).build(spec)
        except ValueError as error:
            raise ValueError(f"{self.prior} prior: {error}, or set its given to 0") from error
        self.names = self.condition.names

    def forward(self, given: Given = EMPTY) -> CodeDistribution:
        """See :class:`buttress.core.PriorModule`."""
        inside = self.inside(given)
        if not self.given:
            return CodeDistribution(self, inside=inside)
        each = self.condition(given).unflatten(-1, (-1, self.given))
        return CodeDistribution(self, each.sum(-2), inside)

    @abstractmethod
    def logits(self, codes: Int[Tensor, "N *shape"], c: Float[Tensor, "N E"]) -> Float[Tensor, "N *rest"]:
        """The K logits (N, *shape, K) of every code, given those before it and c(y), a constant where there is no y."""

    @abstractmethod
    def generate(self, uniforms: Float[Tensor, "N *shape"], c: Float[Tensor, "N E"]) -> Int[Tensor, "N *shape"]:
        """Codes chosen one after the other with ``uniforms`` in [0, 1), nothing computed twice."""

    def generate_naively(self, uniforms: Float[Tensor, "N *shape"], c: Float[Tensor, "N E"]) -> Int[Tensor, "N *shape"]:
        """The same by a full pass for each code."""
        codes = torch.zeros_like(uniforms, dtype=torch.long)
        for group in itertools.product(*map(range, self.space.shape)):
            here: Any = (slice(None), *group)
            codes[here] = choose(self.logits(codes, c)[here], uniforms[here][:, None]).squeeze(-1)
        return codes

    def score(self, codes: Int[Tensor, "N *shape"], c: Float[Tensor, "N E"]) -> Float[Tensor, "N *shape"]:
        """log p of every code given those before it, in nats and float32, whatever the precision around it."""
        if torch.is_grad_enabled():
            return self._score(codes, c)
        rows = max(1, LOGITS // (self.classes * max(1, codes[:1].numel())))
        return torch.cat([self._score(*part) for part in zip(codes.split(rows), c.split(rows), strict=True)])

    def _score(self, codes: Int[Tensor, "N *shape"], c: Float[Tensor, "N E"]) -> Float[Tensor, "N *shape"]:
        logits = full(self.logits(codes, c))
        return logits.gather(-1, codes[..., None]).squeeze(-1) - logits.logsumexp(-1)


class MapCodesModule(CodesModule):
    """An autoregressive image decoder as a prior over maps of codes (H', W', slots), its z being c(y) or a constant.

    The place is the decoder's unit: the codes in the slots of one place are independent given the places before. So a
    prior over few places with many slots says little; read them as a sequence then (the recurrent prior).

    Args:
        decoder: Any decoder for images whose places see those before.
        space: Where the codes live.
        prior: The prior's name, for errors.
        given: As in :class:`CodesModule`.

    Errors:
        ValueError: The space is none of maps of codes.
    """

    def __init__(self, decoder: Decoder, space: Space, prior: str, given: int = 0) -> None:
        super().__init__(space, prior, given)
        if len(space.shape) != 3:
            raise ValueError(
                f"{prior} prior: codes of shape {space.shape} are no map (H', W', slots); try the recurrent prior, or "
                "an encoder with spatial features"
            )
        height, width, slots = space.shape
        spec = DataSpec(Layout.image(slots, height, width, symbols=self.classes))
        likelihood = Categorical(levels=self.classes, ordinal=False).build(spec)
        module = decoder.build(spec, (given or 1,), likelihood)
        assert isinstance(module, AutoregressiveModule)
        self.decoder = module

    def logits(self, codes: Int[Tensor, "N *shape"], c: Float[Tensor, "N E"]) -> Float[Tensor, "N *rest"]:
        """See :class:`CodesModule`."""
        parameters = self.decoder.parameters_of(c, codes.movedim(-1, 1))
        return parameters.unflatten(-1, (self.space.shape[-1], self.classes))

    def generate(self, uniforms: Float[Tensor, "N *shape"], c: Float[Tensor, "N E"]) -> Int[Tensor, "N *shape"]:
        """See :class:`CodesModule`."""
        return self.decoder.generate(c, uniforms).movedim(1, -1).long()


class CodeDistribution(Distribution):
    """p(z) of a learned prior over codes: event shape that of its space, batch shape () or, given y, (B,).

    Args:
        module: The prior.
        c: What is given to each of B examples, (B, E); None where nothing is.
        inside: Which codes of each of B examples lie within its true length, (B, *event); None where all do.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        module: CodesModule,
        c: Float[Tensor, "B E"] | None = None,
        inside: Bool[Tensor, "B *event"] | None = None,
    ) -> None:
        self.module, self.c, self.within = module, c, inside
        batch = torch.broadcast_shapes(*(found.shape[:1] for found in (c, inside) if found is not None))
        super().__init__(batch, torch.Size(module.space.shape), validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """Whole numbers below K."""
        return constraints.independent(constraints.integer_interval(0, self.module.classes - 1), len(self.event_shape))

    def log_prob_by_group(self, value: Int[Tensor, "*rest"]) -> Float[Tensor, "*rest"]:
        """log p of every code given those before it, in nats, of the same shape (*batch, *event) as the codes."""
        lead = torch.broadcast_shapes(value.shape[: value.dim() - len(self.event_shape)], self.batch_shape)
        value = value.expand(*lead, *self.event_shape)
        flat = value.reshape(-1, *self.event_shape).long()
        found = self.module.score(flat, self._beside(lead)).view(value.shape)
        if self.within is None:
            return found
        return torch.where(self.within, found, torch.where(value == 0, 0.0, -torch.inf))

    def log_prob(self, value: Int[Tensor, "*rest"]) -> Float[Tensor, "*batch"]:
        """log p(z) in nats, shape ``batch``, for codes (*batch, *event)."""
        return self.log_prob_by_group(value).flatten(-len(self.event_shape)).sum(-1)

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Int[Tensor, "*rest"]:
        """Codes of shape (*sample_shape, *batch, *event)."""
        return self._draw(self.module.generate, sample_shape)

    @torch.no_grad()
    def sample_naively(self, sample_shape: Any = ()) -> Int[Tensor, "*rest"]:
        """What :meth:`sample` gives for the same random state, slowly: the reference in tests and benchmarks."""
        return self._draw(self.module.generate_naively, sample_shape)

    def _draw(self, generate: Callable[[Tensor, Tensor], Tensor], sample_shape: Any) -> Tensor:
        lead = torch.Size((*sample_shape, *self.batch_shape))
        uniforms = torch.rand(*lead, *self.event_shape, device=self.module.one.device)
        if self.within is not None:
            uniforms = torch.where(self.within, uniforms, 0.0)  # at which code 0 is chosen
        return generate(uniforms.view(-1, *self.event_shape), self._beside(lead)).view(uniforms.shape)

    def _beside(self, lead: torch.Size) -> Float[Tensor, "N E"]:
        """c(y), or the constant where nothing is given, once for each of a batch of values of z."""
        c = self.module.one[0] if self.c is None else self.c
        return c.expand(*lead, c.shape[-1]).reshape(-1, c.shape[-1])
