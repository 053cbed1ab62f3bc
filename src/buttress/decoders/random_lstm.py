r"""p(x|z) of an LSTM with random weights that never change: a decoder whose truth is known, for who learns q alone.

$$ p(x|z) = \tfrac1W \prod_{t=2}^{T} p(x_t | x_{<t}, z), \qquad
   c_1 = A z, \; h_1 = \tanh c_1, \quad (h_t, c_t) = \mathrm{LSTM}([e(x_{t-1}); z], h_{t-1}, c_{t-1}),
   \quad p(x_t|\cdot) \propto e^{V h_t + U z} $$
The first of T words is any of the W, whatever z; EOS follows the last word for sure. Weights are uniform on (-1, 1),
those of U on (-u, u): it is through U, above all, that z chooses words.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from buttress.core import EMPTY, EOS, PAD, DataSpec, Decoder, Given, Layout, LikelihoodModule
from buttress.core.autoregressive import AutoregressiveModule
from buttress.nn.layers import run_lstm

__all__ = ["RandomLstm", "RandomLstmNetwork"]

FIRST_WORD = EOS + 2
"""The id of the first word: between it and EOS stands UNK, which is never written."""


@dataclass(frozen=True)
class RandomLstm(Decoder):
    """The generator of the data ``lstm_text`` as a decoder: nothing in it is learned.

    With the settings of the data, and z as theirs, p(x|z) is the true one. It knows sentences of one length only.

    Source: the oracle generator of Kim et al., Semi-Amortized Variational Autoencoders, 2018; sizes and weights are
    those of He et al. 2019, see the data ``lstm_text``.

    Args:
        hidden: Units of the LSTM and size of its word embeddings.
        direct: u, the largest weight between z and the logit of a word.
        seed: Of the weights.

    Errors:
        ValueError: A size below 1, or a number below 0; when asked, a sentence that the generator can't write.

    Example:
        >>> from buttress.likelihoods.categorical import Categorical
        >>> spec = DataSpec(Layout.text(7, longest=3))
        >>> p = RandomLstm(hidden=4).build(spec, (1,), Categorical().build(spec))(torch.zeros(5, 1))
        >>> p.log_prob(torch.tensor([[5, 6, EOS]])).shape
        torch.Size([5])
    """

    autoregressive: ClassVar[bool] = True

    hidden: int = 100
    direct: float = 3.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.hidden < 1 or min(self.direct, self.seed) < 0:
            raise ValueError(f"random_lstm decoder: wanted hidden of at least 1 and nothing below 0, got {self}")

    @classmethod
    def tiny(cls) -> tuple[RandomLstm, ...]:
        """None: the laws are about decoders that learn, and read sentences of all lengths."""
        return ()

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        return "" if layout.tokens else "it needs sentences: one place axis of tokens with true lengths"

    def build(self, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule) -> RandomLstmModule:
        """See :class:`buttress.core.Decoder`."""
        return RandomLstmModule(self, spec, z_shape, likelihood)


class RandomLstmNetwork(nn.Module):
    """The LSTM. Its weights follow from the seed, whatever torch's own random state, and need no gradient.

    Args:
        latent_dim: Dimensions of z.
        hidden: Units of the LSTM and size of its word embeddings.
        words: W.
        length: T.
        direct: u.
        seed: Of the weights.

    Example:
        >>> network = RandomLstmNetwork(latent_dim=1, hidden=4, words=2, length=2, direct=3.0, seed=0)
        >>> every = torch.tensor([[first, second, EOS] for first in (4, 5) for second in (4, 5)])
        >>> p = network.log_prob(every, z=torch.full((4, 1), 0.7)).exp()
        >>> round(p.sum().item(), 5), round(p[:2].sum().item(), 5)  # of all sentences; of those whose first word is 4
        (1.0, 0.5)
    """

    def __init__(self, latent_dim: int, hidden: int, words: int, length: int, direct: float, seed: int) -> None:
        super().__init__()
        self.words, self.length = words, length
        self.embedding = nn.Embedding(words, hidden)
        self.lstm = nn.LSTM(hidden + latent_dim, hidden, batch_first=True)
        self.start = nn.Linear(latent_dim, hidden, bias=False)
        self.out = nn.Linear(hidden, words, bias=False)
        self.direct = nn.Linear(latent_dim, words, bias=False)
        random = torch.Generator().manual_seed(seed)
        for weight in self.parameters():
            nn.init.uniform_(weight, -1, 1, generator=random)
        nn.init.uniform_(self.direct.weight, -direct, direct, generator=random)
        self.requires_grad_(False)

    def log_prob(self, x: Int[Tensor, "B T"], z: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
        """log p(x|z) in nats of sentences that end in EOS."""
        words = x[:, :-1] - FIRST_WORD
        log_p = self.logits(words, z).log_softmax(-1)
        return log_p.gather(-1, words[:, 1:, None]).squeeze(-1).sum(-1) - math.log(self.words)

    def logits(self, words: Int[Tensor, "B T"], z: Float[Tensor, "B K"]) -> Float[Tensor, "B T2 W"]:
        """Of the words from the second on, given those before."""
        h, _ = run_lstm(self.lstm, self._inputs(words[:, :-1], z), self._state(z))
        return self._logits(h, z)

    def write(
        self, first: Int[Tensor, "B one"], uniforms: Iterable[Float[Tensor, "B one"]], z: Float[Tensor, "B K"]
    ) -> Int[Tensor, "B T"]:
        """A sentence for every z: its first word is given, a uniform number chooses each of the others."""
        state, words = self._state(z), [first]
        for uniform in uniforms:
            h, state = run_lstm(self.lstm, self._inputs(words[-1], z), state)
            below = self._logits(h, z)[:, 0].softmax(-1).cumsum(-1)  # its inverse: faster than multinomial
            place = torch.searchsorted(below, below[:, -1:] * uniform, right=True)
            words.append(place.clamp(max=self.words - 1))
        return torch.cat([torch.cat(words, 1) + FIRST_WORD, first.new_full((len(z), 1), EOS)], 1)

    def _state(self, z: Float[Tensor, "B K"]) -> tuple[Tensor, Tensor]:
        c = self.start(z)[None]
        return c.tanh(), c

    def _inputs(self, words: Int[Tensor, "B T"], z: Float[Tensor, "B K"]) -> Float[Tensor, "B T E"]:
        return torch.cat([self.embedding(words), z[:, None].expand(-1, words.shape[1], -1)], -1)

    def _logits(self, h: Float[Tensor, "B T H"], z: Float[Tensor, "B K"]) -> Float[Tensor, "B T W"]:
        return self.out(h) + self.direct(z)[:, None]


class RandomLstmModule(AutoregressiveModule):
    """The module of :class:`RandomLstm`."""

    def __init__(
        self, part: RandomLstm, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule
    ) -> None:
        super().__init__()
        self.likelihood, self.vocabulary = likelihood, spec.vocabulary
        self.z_dims, self.event, self.places = len(z_shape), spec.shape, spec.shape
        size, words, length = torch.Size(z_shape).numel(), spec.vocabulary - FIRST_WORD, spec.shape[0] - 1
        if words < 2 or length < 1:
            raise ValueError(
                f"random_lstm decoder: got {words} words and sentences of {length}, wanted at least 2 and 1; it is the "
                "generator of lstm_text data"
            )
        self.network = RandomLstmNetwork(size, part.hidden, words, length, part.direct, part.seed)

    def log_prob(
        self, z: Float[Tensor, "*rest"], x: Int[Tensor, "*rest2"], given: Given = EMPTY
    ) -> Float[Tensor, "*batch"]:
        """See :class:`AutoregressiveModule`."""
        self._refuse_others(x)
        lead = torch.broadcast_shapes(z.shape[:-1], x.shape[:-1])
        z, x = (t.expand(*lead, t.shape[-1]).reshape(-1, t.shape[-1]) for t in (z, x))
        return self.network.log_prob(x, z).view(lead)

    def parameters_of(self, z: Float[Tensor, "*rest"], x: Int[Tensor, "*rest2"]) -> Float[Tensor, "*rest3"]:
        """See :class:`AutoregressiveModule`. What can't be written has a logit of minus infinity."""
        lead = torch.broadcast_shapes(z.shape[:-1], x.shape[:-1])
        z, x = (t.expand(*lead, t.shape[-1]).reshape(-1, t.shape[-1]) for t in (z, x))
        logits = z.new_full((*x.shape, self.vocabulary - EOS), -torch.inf)
        words = logits[..., FIRST_WORD - EOS :]
        words[:, 0] = 0.0
        words[:, 1:-1] = self.network.logits((x[:, :-1] - FIRST_WORD).clamp(min=0), z)  # words yet to come matter not
        words[:, -1] = -torch.inf
        logits[:, -1, 0] = 0.0
        return logits.view(*lead, *logits.shape[1:])

    def blank(self, count: int) -> Int[Tensor, "N T"]:
        """See :class:`AutoregressiveModule`."""
        return torch.full((count, *self.event), PAD, device=self.network.out.weight.device)

    def generate(self, z: Float[Tensor, "N D"], uniforms: Float[Tensor, "N T K"]) -> Int[Tensor, "N T"]:
        """See :class:`AutoregressiveModule`."""
        first = (uniforms[:, 0] * self.network.words).long().clamp(max=self.network.words - 1)
        return self.network.write(first, uniforms[:, 1:-1].unbind(1), z)

    def _refuse_others(self, x: Int[Tensor, "*rest"]) -> None:
        """Refuse sentences that the generator never writes."""
        if x.shape[-1] != self.event[0] or (x[..., :-1] < FIRST_WORD).any() or (x[..., -1] != EOS).any():
            raise ValueError(
                f"random_lstm decoder: got a sentence that is not {self.network.length} words and EOS, which is all "
                "that it writes; try lstm_text data, or the recurrent decoder"
            )
