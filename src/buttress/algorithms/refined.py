"""A model evaluated with a q(z|x) that is refined for each example, as semi-amortised training does it.

The noise of the refinement belongs to the example (to the contents of x), not to the batch it comes in, so the same x
always gives the same q; and it is other noise than any that an estimator draws, so a bound at the refined q is not
optimistic. Every q is found once and remembered.
"""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from buttress.algorithms.refinement import Refinement, given_of, standard, terms_at, twice_differentiable
from buttress.core import EMPTY, Batch, Given
from buttress.core.records import Terms
from buttress.distributions.inspect import normal
from buttress.runtime.memory import pairs_at_once
from buttress.runtime.randomness import draw, noise

__all__ = ["Refined", "fingerprints"]


class Refined:
    """A model that keeps the protocol, with q refined for each example. The model's weights must stand still.

    Args:
        model: Keeps the protocol, q a product of normals.
        refinement: What is done to q.
        beta: Weight of the rate that q is refined for; 1 for the true bound.
        from_prior: Start at the prior instead of at the model's own q.
        seed: Of the noise.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> lagging = LinearGaussian.random(dims=4, latents=1).lagging()
        >>> x, _ = lagging.model.sample(3)
        >>> refined = Refined(lagging, Refinement(steps=20))
        >>> nearer = refined.posterior(x).mean - lagging.model.posterior(x).mean
        >>> bool(nearer.norm() < (lagging.posterior(x).mean - lagging.model.posterior(x).mean).norm())
        True
    """

    def __init__(
        self, model: Any, refinement: Refinement, beta: float = 1.0, from_prior: bool = False, seed: int = 0
    ) -> None:
        self.model, self.refinement, self.beta = model, refinement, beta
        self.from_prior, self.seed = from_prior, seed
        self.known: dict[int, Tensor] = {}

    def describe_inference(self) -> str:
        """How q is found, in words."""
        r = self.refinement
        start = "the prior" if self.from_prior else "the encoder's q"
        clip = "" if r.clip is None else f", clipped at {r.clip:g}"
        noise = ", antithetic noise" if r.antithetic else ""
        return (
            f"refined for each example: {r.steps} gradient steps of {r.rate:g} (momentum {r.momentum:g}{clip}{noise}) "
            f"from {start}, at beta {self.beta:g}"
        )

    @property
    def amortised(self) -> Any | None:
        """The model with q as it was before, or None where that was the prior."""
        return None if self.from_prior else self.model

    @property
    def groups(self) -> Any:
        """Names of the model's latent groups, None where it has none."""
        return getattr(self.model, "groups", None)

    def prior(self, given: Given = EMPTY) -> Distribution:
        """p(z)."""
        return self.model.prior(given) if given else self.model.prior()

    def log_likelihood(self, x: Tensor, z: Tensor, given: Given = EMPTY) -> Tensor:
        """log p(x|z)."""
        return self.model.log_likelihood(x, z, *given_of(Batch(x, given)))

    def posterior(self, x: Tensor, given: Given = EMPTY) -> Distribution:
        """The refined q."""
        q = self._normal(Batch(x, given))
        return Independent(q, q.loc.dim() - 1)

    def __call__(self, x: Tensor, samples: int = 1, prior: Distribution | None = None, given: Given = EMPTY) -> Terms:
        """The terms of a batch at samples of the refined q."""
        q, p = self._normal(Batch(x, given)), self.prior(given) if prior is None else prior
        noise = draw(torch.randn, (samples, *q.loc.shape), batch_dim=1)
        return terms_at(self, p, Batch(x, given), q, noise)

    def _normal(self, batch: Batch) -> Normal:
        marks = fingerprints(batch)
        new = torch.tensor([i for i, mark in enumerate(marks.tolist()) if mark not in self.known], dtype=torch.long)
        with twice_differentiable(self.model):
            for few in new.split(max(1, pairs_at_once(batch.x) // 2)) if len(new) else ():
                found = self._refine(batch.take(few.to(batch.x.device)), marks[few])
                self.known.update(zip(marks[few].tolist(), torch.stack([found.loc, found.scale], 1), strict=True))
        loc, scale = torch.stack([self.known[mark] for mark in marks.tolist()]).unbind(1)
        return Normal(loc, scale)

    @torch.no_grad()
    def _refine(self, batch: Batch, marks: Int[Tensor, " B"]) -> Normal:
        given = given_of(batch)
        if self.from_prior:
            start = standard(self.prior(batch.given), batch)
        elif (own := normal(self.model.posterior(batch.x, *given))) is not None:
            start = own
        else:
            raise ValueError("only a q that is a product of normals can be refined; evaluate the model itself instead")
        e = noise(marks, self.refinement.steps, start.loc.shape[1:], self.seed, "semi-amortised")[:, None]
        return self.refinement(self.model, batch, start, e.to(start.loc), self.beta)


def fingerprints(batch: Batch) -> Int[Tensor, " B"]:
    """A number for the contents of each example, and of what is given with it except its number in the data.

    Sentences are read without the padding that a batch gives them.

    Example:
        >>> one, other = torch.tensor([[5, 2, 0]]), torch.tensor([[5, 2, 0, 0], [5, 0, 2, 0]])
        >>> (fingerprints(Batch(one)) == fingerprints(Batch(other))).tolist()
        [True, False]
    """
    columns = [batch.x, *(value for name, value in batch.given.items() if name != "index")]
    rows = zip(*(column.detach().cpu().contiguous() for column in columns), strict=True)
    return torch.tensor([_fingerprint(row) for row in rows], dtype=torch.long)


def _fingerprint(row: tuple[Tensor, ...]) -> int:
    digest = hashlib.blake2b(_unpadded(row[0]).numpy().tobytes(), digest_size=8)
    for value in row[1:]:
        digest.update(value.numpy().tobytes())
    return int.from_bytes(digest.digest(), "little") >> 1  # so that it is an int64


def _unpadded(x: Tensor) -> Tensor:
    if x.dim() != 1 or x.is_floating_point():
        return x
    return x[: int(x.ne(0).nonzero().max()) + 1] if x.any() else x[:0]
