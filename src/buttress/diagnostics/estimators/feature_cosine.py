r"""Whether the encoder's features tell examples apart: their mean cosine similarity over pairs.

$$ u_n = h_n / \lVert h_n \rVert, \quad S = \sum_n u_n, \qquad
   g_n = \frac{u_n \cdot (S - u_n)}{N - 1}, \qquad
   c = \frac1N \sum_n g_n = \frac{\lVert S \rVert^2 - \sum_n \lVert u_n \rVert^2}{N (N - 1)} $$

Over different examples, so without bias; by way of S, so in O(N F). Leaving example n out changes c by
$2 (c - g_n) / (N - 2)$, and the jackknife makes of that the standard error.

Long, Cao and Cheung 2020: where c is near 1, the features of all sentences are nearly one and the same vector, and a
posterior made of them must be nearly one and the same q.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from buttress.diagnostics.estimate import Estimate, with_error
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.evaluation import choose, evaluating
from buttress.diagnostics.passes import count, passes
from buttress.diagnostics.protocol import Batches, Model, taking_given
from buttress.nn.dispersion import unit

__all__ = ["feature_cosine"]

METHOD = "all pairs"


def feature_cosine(
    model: Model,
    batches: Batches,
    *,
    encode: Callable[[Tensor], Tensor] | None = None,
    examples: int | None = 5000,
    seed: int = 0,
) -> Estimate:
    """The mean cosine similarity of the features of different examples, with a jackknife error.

    Args:
        model: Is put into eval mode; and asked for ``encode``.
        batches: Held-out data.
        encode: x -> h, features (B, ...) of each example; None to take ``model.encode``. Where that is missing, or
            gives anything else than one such tensor, there is no value but a note.
        examples: N, at most: a random choice of the data where there is more. None for all.
        seed: Of the choice.

    Example:
        >>> h = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> round(feature_cosine(None, [h], encode=lambda x: x).value, 4)  # of three pairs: 0 and twice cos 45 degrees
        0.4714
    """
    encode = getattr(model, "encode", None) if encode is None else encode
    keep = choose(count(batches), examples, seed)
    n = count(batches) if keep is None else len(keep)
    if encode is None:
        return Estimate(None, None, n, METHOD, note="the model offers no encode(x) that gives its features")
    directions, norms, read = [], [], taking_given(encode, 1)
    with evaluating(model, seed):
        for block in passes(model, batches, keep=keep):
            x, h = block.x, read(block.x, given=block.given)
            if not isinstance(h, Tensor) or h.shape[:1] != (len(x),) or h.dim() < 2 or not h.is_floating_point():
                came = f"shape {tuple(h.shape)} of {h.dtype}" if isinstance(h, Tensor) else f"a {type(h).__name__}"
                return Estimate(None, None, n, METHOD, note=f"encode(x) gave {came}, wanted real features (B, F)")
            directions.append(unit(h).cpu())
            norms.append(h.flatten(1).double().norm(dim=1).cpu())
    value, error = _pairs(torch.cat(directions))
    length = torch.cat(norms)
    note = (
        f"norms of the features {with_error(length.mean().item(), length.std().item())} (standard deviation)"
        if n > 1
        else ""
    )
    return Estimate(value, error, n, METHOD, 1.0, note)


def _pairs(u: Tensor) -> tuple[float | None, float | None]:
    """The mean over pairs of different rows of u (N, F), and its jackknife error."""
    u, n = u.double(), len(u)
    if n < 2:
        return None, None
    g = (u @ u.sum(0) - u.square().sum(1)) / (n - 1)
    if n < 3:
        return g.mean().item(), None
    change = 2 * (g.mean() - g) / (n - 2)
    return g.mean().item(), math.sqrt((n - 1) / n * change.square().sum().item())


@estimator("use of z by the decoder")
def measure(subject: Subject) -> dict[str, Estimate]:
    """The dispersion of the encoder's features, where it offers them."""
    if subject.encode is None:
        return {}
    found = feature_cosine(subject.model.model, subject.data, encode=subject.encode, seed=subject.seed)
    return {"feature_cosine": found}
