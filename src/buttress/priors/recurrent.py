r"""p(z) = prod_g p(z_g | z_1 .. z_{g-1}) over codes in a row, by an LSTM.

$$ (h_g, c_g) = \mathrm{LSTM}(e(z_{g-1}) + w_g, h_{g-1}, c_{g-1}), \qquad
   p(z_g | z_{<g}) = \mathrm{softmax}(U h_g + b_g)[z_g], \quad z_0 = \mathrm{start} $$

with w_g, b_g and the first state learned, since a code's place in the row says much about it. A map of codes is read
place after place, and at every place slot after slot, so that also the codes of one place see each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from buttress.core import Prior, Space
from buttress.likelihoods.categorical import choose
from buttress.nn.layers import run_lstm
from buttress.priors._codes import CodesModule, impossible

__all__ = ["RecurrentPrior"]


@dataclass(frozen=True)
class RecurrentPrior(Prior):
    """An LSTM over sequences of codes, such as the slots of a sentence.

    Source: van den Oord, Vinyals and Kavukcuoglu, Neural Discrete Representation Learning, 2017 (an autoregressive
    prior over the codes); the LSTM is ours.

    Args:
        embedding: Size of a code's embedding.
        hidden: Size of the LSTM's state.

    Errors:
        ValueError: A size below 1; or, when built, z is not made of codes.

    Example:
        >>> p = RecurrentPrior(hidden=4).build(Space((3,), classes=8))()
        >>> p.sample((5,)).shape, p.log_prob_by_group(torch.zeros(5, 3, dtype=torch.long)).shape
        (torch.Size([5, 3]), torch.Size([5, 3]))
    """

    discrete: ClassVar[bool] = True

    embedding: int = 32
    hidden: int = 128

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if min(self.embedding, self.hidden) < 1:
            raise ValueError(f"recurrent prior: sizes are {self.embedding} and {self.hidden}, wanted at least 1")

    @classmethod
    def tiny(cls) -> tuple[RecurrentPrior, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(embedding=2, hidden=3),)

    def build(self, space: Space) -> RecurrentPriorModule:
        """See :class:`buttress.core.Prior`."""
        return RecurrentPriorModule(self, space)


class RecurrentPriorModule(CodesModule):
    """The module of :class:`RecurrentPrior`. The start token has the number K."""

    never: Tensor

    def __init__(self, part: RecurrentPrior, space: Space) -> None:
        super().__init__(space, part.name())
        self.length = torch.Size(space.shape).numel()
        self.embed = nn.Embedding(self.classes + 1, part.embedding)
        self.where = nn.Parameter(0.1 * torch.randn(self.length, part.embedding))
        self.first = nn.Parameter(torch.zeros(2, part.hidden))
        self.lstm = nn.LSTM(part.embedding, part.hidden, batch_first=True)
        self.out = nn.Linear(part.hidden, self.classes, bias=False)
        self.bias = nn.Parameter(torch.zeros(self.length, self.classes))
        self.register_buffer("never", impossible(space).view(self.length, self.classes), persistent=False)
        with torch.no_grad():
            self.out.weight.mul_(0.1)  # start near the uniform distribution

    def logits(self, codes: Int[Tensor, "N *shape"], c: Float[Tensor, "N E"]) -> Float[Tensor, "N *rest"]:
        """See :class:`CodesModule`."""
        before = F.pad(codes.reshape(len(codes), -1)[:, :-1], (1, 0), value=self.classes)
        h, _ = run_lstm(self.lstm, self.embed(before) + self.where, self.begin(len(codes)))
        return (self.out(h) + self.bias + self.never).view(*codes.shape, self.classes)

    def begin(self, count: int) -> tuple[Tensor, Tensor]:
        """(h_0, c_0), with the dimension of layers that an LSTM wants in front."""
        h, c = self.first[:, None, None].expand(-1, -1, count, -1)
        return h.contiguous(), c.contiguous()

    def generate(self, uniforms: Float[Tensor, "N *shape"], c: Float[Tensor, "N E"]) -> Int[Tensor, "N *shape"]:
        """See :class:`CodesModule`."""
        flat, state = uniforms.reshape(len(uniforms), -1), self.begin(len(uniforms))
        codes = torch.full((len(flat), self.length + 1), self.classes, device=flat.device)
        for g in range(self.length):
            read = self.embed(codes[:, g]) + self.where[g]
            h, state = run_lstm(self.lstm, read[:, None], state)
            codes[:, g + 1] = choose(self.out(h[:, 0]) + self.bias[g] + self.never[g], flat[:, g, None]).squeeze(-1)
        return codes[:, 1:].reshape(uniforms.shape)
