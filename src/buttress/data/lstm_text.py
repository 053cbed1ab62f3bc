r"""Synthetic sentences with known truth: an LSTM with random weights reads z and writes words.

$$ z \sim \tfrac14 \sum_{c=1}^{4} N(m_c, I), \qquad x \sim p(x|z), \text{ that of the decoder } \texttt{random\_lstm} $$
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from buttress.core import Data, DataSpec, Layout, Splits
from buttress.data.reading.memory import Rows, cached, row_name
from buttress.data.reading.tokens import SPECIAL, TokenExamples, word_tokenizer
from buttress.decoders.random_lstm import RandomLstm, RandomLstmNetwork
from buttress.runtime.memory import check_memory

__all__ = ["Generator", "LstmText"]


@dataclass(frozen=True)
class LstmText(Data):
    """Sentences of one length from a random LSTM, on which an inference network's lag can be seen.

    Source: He et al., Lagging Inference Networks and Posterior Collapse, 2019 (the synthetic set), with the code that
    made it, ``synthetic-data/lm_lstm.py`` of jxhe/vae-lagging-encoder; sizes, weights, means and lengths are those of
    the code (an earlier version of it had a ``direct`` of 5). Ours: for one dimension of z the means are -3, -1, 1 and
    3 times ``spread / 2`` on a line, and what z has beyond two is spread around 0.

    Args:
        latent_dim: Dimensions of z.
        spread: Half the side of the square whose corners are the components' means.
        direct: u, the largest weight between z and the logit of a word; at 0, z reaches words only through the LSTM.
        hidden: Units of the LSTM and size of its word embeddings.
        words: Number of words; ids are 4 more.
        length: Words in every sentence.
        train: Number of training sentences.
        held_out: Number of held-out sentences.
        test: Number of sentences kept for :meth:`test_examples`.
        seed: Of the weights and the sentences.

    Example:
        >>> data = LstmText(words=20, length=4, train=30, held_out=10, test=10, hidden=8)
        >>> splits = data.open()
        >>> x = splits.train.batch(torch.arange(3))
        >>> x.shape, splits.spec.vocabulary
        (torch.Size([3, 5]), 24)
        >>> data.generator().log_prob(x, torch.zeros(3, 2)).shape
        torch.Size([3])
    """

    latent_dim: int = 2
    spread: float = 2.0
    direct: float = 3.0
    hidden: int = 100
    words: int = 1000
    length: int = 10
    train: int = 16_000
    held_out: int = 2_000
    test: int = 2_000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        sizes = (self.latent_dim, self.hidden, self.words - 1, self.length, self.train, self.held_out, self.test + 1)
        if min(sizes) < 1 or min(self.spread, self.direct, self.seed) < 0:
            raise ValueError(
                f"lstm_text data: wanted at least 2 words, no size below 1 and nothing below 0, got {self}"
            )
        count = self.train + self.held_out + self.test
        numbers = 2 * count * (self.length + self.latent_dim) + self.hidden * (self.words + 8 * self.hidden)
        check_memory(4 * numbers, f"{count:,} sentences of {self.words:,} words", "smaller sizes")

    @classmethod
    def tiny(cls) -> tuple[LstmText, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(hidden=8, words=20, length=4, train=60, held_out=20, test=20),)

    def open(self) -> Splits:
        """See :class:`buttress.core.Data`. Draws are independent, so the split is by position."""
        total = self.train + self.held_out
        spec = DataSpec(
            Layout.text(self.words + len(SPECIAL), longest=self.length + 1),
            tokenizer=word_tokenizer(f"w{i}" for i in range(self.words)).to_str(),
        )
        note = (
            f"{self.train} training and {self.held_out} held-out sentences, drawn independently with seed {self.seed}"
        )
        return Splits(self._part(0, self.train), self._part(self.train, total), spec, (note,))

    def test_examples(self) -> TokenExamples:
        """Sentences that are neither trained on nor held out."""
        total = self.train + self.held_out
        return self._part(total, total + self.test)

    def latents(self) -> Float[Tensor, "N K"]:
        """The z of all sentences: training, held-out and test, in this order."""
        return _drawn(self)[1]

    def generator(self) -> Generator:
        """The true p(x|z)."""
        return Generator(self)

    def decoder(self) -> RandomLstm:
        """The same as a part of recipes; p(z) is N(0, I), as theirs, where ``spread`` is 0."""
        return RandomLstm(self.hidden, self.direct, self.seed)

    def _part(self, start: int, end: int) -> TokenExamples:
        ids = _drawn(self)[0][start:end].numpy().astype(np.int32)
        count, width = ids.shape
        name = partial(row_name, "lstm_text")
        return TokenExamples(Rows(ids.reshape(-1)), np.arange(count) * width, np.full(count, width), name)


class Generator(RandomLstmNetwork):
    """The random LSTM of :class:`LstmText`, with the z it was asked for.

    Example:
        >>> data = LstmText(words=20, length=4, train=30, held_out=10, test=10, hidden=8)
        >>> generator = data.generator()
        >>> generator.sample(torch.zeros(3, 2), torch.Generator().manual_seed(0)).shape  # four words and the end
        torch.Size([3, 5])
    """

    def __init__(self, part: LstmText) -> None:
        super().__init__(part.latent_dim, part.hidden, part.words, part.length, part.direct, part.seed)
        self.part = part

    def means(self) -> Float[Tensor, "C K"]:
        """Means of the four components of p(z)."""
        corners = torch.zeros(4, self.part.latent_dim)
        if self.part.latent_dim == 1:
            corners[:, 0] = torch.tensor([-1.5, -0.5, 0.5, 1.5])
        else:
            corners[:, :2] = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
        return corners * self.part.spread

    def log_prior(self, z: Float[Tensor, "*batch K"]) -> Float[Tensor, "*batch"]:
        """log p(z) in nats."""
        normal = torch.distributions.Normal(self.means(), 1.0)
        return normal.log_prob(z[..., None, :]).sum(-1).logsumexp(-1) - math.log(4)

    def sample(self, z: Float[Tensor, "B K"], random: torch.Generator) -> Int[Tensor, "B T"]:
        """A sentence for every z."""
        first = torch.randint(self.words, (len(z), 1), generator=random)
        return self.write(first, (torch.rand(len(z), 1, generator=random) for _ in range(self.length - 1)), z)


@cache
def _drawn(part: LstmText) -> tuple[Int[Tensor, "N T"], Float[Tensor, "N K"]]:
    """All sentences and their z: kept, for a comparison opens the same set many times."""
    folder = cached(("lstm_text", 2, torch.__version__, part), partial(_draw, part))
    return torch.from_numpy(np.load(folder / "ids.npy")), torch.from_numpy(np.load(folder / "z.npy"))


def _draw(part: LstmText, folder: Path) -> None:
    model, random = part.generator(), torch.Generator().manual_seed(part.seed + 2**32)
    count = part.train + part.held_out + part.test
    component = torch.randint(4, (count,), generator=random)
    z = model.means()[component] + torch.randn(count, part.latent_dim, generator=random)
    np.save(folder / "ids.npy", torch.cat([model.sample(some, random) for some in z.split(2048)]).numpy())
    np.save(folder / "z.npy", z.numpy())
