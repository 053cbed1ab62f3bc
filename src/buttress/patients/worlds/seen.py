r"""A linear-Gaussian VAE seen as a table, an image, a sentence, a conditional or a hierarchical model.

Closed forms stay what they are: an image is a row of pixels, a condition is added and subtracted, and levels are
names for coordinates of z. A sentence is rounded: the normal density at whole numbers sums to 1 but for
$2 e^{-2 \pi^2 \sigma^2}$, so with a $\sigma$ of 2 tokens it is a probability of each token, and what rounding adds to
the variance, 1/12, is a fiftieth of $\sigma^2$.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Distribution

from buttress.core import Space
from buttress.core.batch import Batch, Given
from buttress.diagnostics.protocol import Adapter
from buttress.patients.patient import Case

__all__ = ["as_conditional", "as_image", "as_levels", "as_sentences", "as_table"]

ROWS = 500
"""Examples of a batch."""
TOKENS = 60
"""Token ids run from 1 to this; 0 is padding."""


def as_table(vae: Any, x: Float[Tensor, "N D"], **settings: Any) -> Case:
    """The model as it is, and rows of a table.

    Args:
        vae: Keeps the protocol for rows x.
        x: The data.
        settings: Of the diagnosis.

    Example:
        >>> from buttress.patients.worlds.linear import factors
        >>> model = factors(6, [2.0], 0.5)
        >>> len(as_table(model.vae(), model.sample(600)[0]).batches)
        2
    """
    return Case(vae, list(x.split(ROWS)), settings)


def as_image(vae: Any, x: Float[Tensor, "N D"], height: int, **settings: Any) -> Case:
    """Columns as pixels of one channel.

    Args:
        vae: Keeps the protocol for rows x.
        x: The data.
        height: Rows of pixels.
        settings: Of the diagnosis.

    Example:
        >>> from buttress.patients.worlds.linear import factors
        >>> model = factors(6, [2.0], 0.5)
        >>> as_image(model.vae(), model.sample(5)[0], height=2).batches[0].shape
        torch.Size([5, 1, 2, 3])
    """
    pixels = x.reshape(len(x), 1, height, -1).float()
    seen = Adapter(
        lambda x: vae.posterior(x.flatten(1)),
        vae.prior,
        lambda x, z: vae.log_likelihood(x.flatten(1), z),
    )
    return Case(seen, list(pixels.split(ROWS)), settings)


def as_sentences(vae: Any, x: Float[Tensor, "N T"], **settings: Any) -> Case:
    """Columns as tokens: whole numbers from 1 to 60; every sentence is of T tokens.

    Args:
        vae: Keeps the protocol for rows x; its sigma is 2 tokens or more.
        x: The data, around 30.
        settings: Of the diagnosis.

    Example:
        >>> from buttress.patients.worlds.linear import factors
        >>> model = factors(6, [8.0], 2.0, middle=30.0)
        >>> as_sentences(model.vae(), model.sample(5)[0]).batches[0].dtype
        torch.int64
    """
    tokens = x.round().clamp(1, TOKENS).long()
    seen = Adapter(lambda x: vae.posterior(x.double()), vae.prior, lambda x, z: vae.log_likelihood(x.double(), z))
    return Case(seen, list(tokens.split(ROWS)), settings)


def as_conditional(vae: Any, x: Float[Tensor, "N D"], classes: int = 4, seed: int = 0, **settings: Any) -> Case:
    """A label is given beside x and moves it by an offset that encoder and decoder know.

    Args:
        vae: Keeps the protocol for rows x.
        x: The data without what the label adds.
        classes: Of the label.
        seed: Of labels and offsets.
        settings: Of the diagnosis.

    Example:
        >>> from buttress.patients.worlds.linear import factors
        >>> model = factors(6, [2.0], 0.5)
        >>> sorted(as_conditional(model.vae(), model.sample(5)[0]).batches[0].given)
        ['label']
    """
    own = torch.Generator().manual_seed(seed)
    label = torch.randint(classes, (len(x),), generator=own)
    offset = 5 * torch.randn(classes, x.shape[1], generator=own, dtype=torch.float64)

    def posterior(x: Tensor, given: Given) -> Distribution:
        found: Distribution = vae.posterior(x - offset[given["label"]])
        return found

    def log_likelihood(x: Tensor, z: Tensor, given: Given) -> Tensor:
        found: Tensor = vae.log_likelihood(x - offset[given["label"]], z)
        return found

    return Case(Adapter(posterior, vae.prior, log_likelihood), _batches(x + offset[label], {"label": label}), settings)


def _batches(x: Tensor, given: Mapping[str, Int[Tensor, " N"]]) -> list[Batch]:
    return [
        Batch(x[i : i + ROWS], {name: value[i : i + ROWS] for name, value in given.items()})
        for i in range(0, len(x), ROWS)
    ]


def as_levels(vae: Any, x: Float[Tensor, "N D"], sizes: Mapping[str, int], **settings: Any) -> Case:
    """Coordinates of z as levels, top first.

    Args:
        vae: Keeps the protocol for rows x.
        x: The data.
        sizes: Coordinates of each level.
        settings: Of the diagnosis.

    Example:
        >>> from buttress.patients.worlds.linear import factors
        >>> model = factors(6, [2.0, 1.0], 0.5)
        >>> case = as_levels(model.vae(), model.sample(5)[0], {"top": 1, "bottom": 1})
        >>> [level.name for level in case.model.space.levels]
        ['top', 'bottom']
    """
    space = Space.stacked([(name, (size,), None) for name, size in sizes.items()])
    return Case(Adapter(vae.posterior, vae.prior, vae.log_likelihood, space=space), list(x.split(ROWS)), settings)
