r"""Is the codebook in use? How often each code is taken, over the held-out data and not over a batch.

$$ p_k = \frac{1}{N P} \sum_{n, p} [c_{np} = k], \qquad \text{perplexity} = \exp\Bigl(-\sum_k p_k \log p_k\Bigr) $$

P is the number of places that share a codebook of K codes. All places of z share one unless the model has a ``space``:
then the entries of its last dimension, the slots of a place, have a codebook each, unless they are said to share it,
and so have its levels. Each codebook is counted apart and the mean of their entropies is taken. Perplexity is between
1, where one code takes all and the codebook is dead, and K, where all are taken equally often; a code that is never
taken is dead. Neither number says that codes change with x: a place may take its own code for every x. So the same is
counted for each place alone.
Where q(z|x) is a distribution over codes, as with Gumbel-softmax, one draw of each code is counted.

Van den Oord et al. 2017 report the perplexity of a batch; with fewer tokens than codes that one is far too low.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Distribution

from buttress.diagnostics.estimate import Estimate, Moments
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.estimators.rate import classes, uniform_rate
from buttress.diagnostics.evaluation import draw, evaluating
from buttress.diagnostics.levels import levels_of
from buttress.diagnostics.passes import Block, one_hot, one_hot_vectors, passes
from buttress.diagnostics.protocol import Batches, Model, conditional
from buttress.distributions.code_counts import CodeCounts, entropy
from buttress.distributions.inspect import categorical, is_discrete, point

__all__ = [
    "DRAWN",
    "HEALTH",
    "books_of",
    "code_perplexity",
    "codebook",
    "codes_of",
    "codes_used",
    "count_codes",
    "health",
    "taken",
]

DRAWN = "counting one draw of each code"
"""The method where q(z|x) is not sure of its codes."""
HEALTH = ("code_perplexity", "codes_used_share")
"""What :func:`health` gives."""


@dataclass(frozen=True)
class Book:
    """Places of z that share a codebook.

    Args:
        places: Their numbers in the flat z.
        classes: K, or None where it is not known.
    """

    places: Int[Tensor, " P"]
    classes: int | None

    def total(self, counts: CodeCounts) -> Int[Tensor, " K"]:
        """How often each code is taken at all of these places together."""
        return counts.table[self.places].sum(0)


def codes_of(q: Distribution) -> Int[Tensor, "B J"] | None:
    """The codes that q is sure of, flat: of a point, or of one-hot vectors; None where it is neither.

    Example:
        >>> from torch.distributions import OneHotCategorical
        >>> codes_of(OneHotCategorical(probs=torch.eye(3)[[2, 0]][:, None])).tolist()
        [[2], [0]]
    """
    value, base = point(q), one_hot_vectors(q)
    if base is not None and one_hot(q):
        value = base.probs.argmax(-1)
    return None if value is None else value.reshape(len(value), -1)


def taken(block: Block, seed: int = 0) -> Int[Tensor, "B J"] | None:
    """The codes of a block, flat: those that q is sure of, else one draw of each; None where q is not over codes.

    Args:
        block: Some examples.
        seed: Of the draws.
    """
    if (sure := codes_of(block.q)) is not None or not _soft(block.q):
        return sure
    drawn = draw(block.q, block.index, 1, seed, "codes")[0]
    return (drawn if one_hot_vectors(block.q) is None else drawn.argmax(-1)).reshape(len(block), -1)


def _soft(q: Distribution) -> bool:
    """Whether q gives every code a probability."""
    return categorical(q) is not None or one_hot_vectors(q) is not None


def count_codes(model: Model, batches: Batches, seed: int = 0) -> CodeCounts:
    """Count the codes of all of the data.

    Args:
        model: Keeps the protocol, with a q over codes.
        batches: Held-out data, all of which is used.
        seed: Of the draws, where q is not sure of its codes.

    Errors:
        ValueError: q(z|x) is not over codes.

    Example:
        >>> from types import SimpleNamespace
        >>> from torch.distributions import Independent
        >>> from buttress.distributions.point import Point
        >>> model = SimpleNamespace(posterior=lambda x: Independent(Point(x), 1))  # each x is its own code
        >>> count_codes(model, [torch.tensor([[0, 2], [0, 1]])]).table.tolist()
        [[2, 0, 0], [0, 1, 1]]
    """
    counts = CodeCounts()
    with evaluating(model) as asked:
        for block in passes(asked, batches):
            if (codes := taken(block, seed)) is None:
                raise ValueError(
                    f"codebook: q(z|x) is a {type(block.q).__name__}, wanted a point on codes "
                    "(buttress.distributions.point), or a Categorical or OneHotCategorical over them"
                )
            counts.add(block.counted(codes))
    return counts


def codebook(model: Model, batches: Batches, counts: CodeCounts | None = None, seed: int = 0) -> dict[str, Estimate]:
    """Usage and perplexity of the codebook.

    Args:
        model: Keeps the protocol, with a q over codes.
        batches: Held-out data, all of which is used.
        counts: Of these data, where they have been counted already.
        seed: Of the draws, where q is not sure of its codes.

    Returns:
        ``code_perplexity`` with its ceiling K, and ``codes_used`` with K times the number of codebooks, if K is known.

    Example:
        >>> from types import SimpleNamespace
        >>> from torch.distributions import Categorical, Independent
        >>> from buttress.distributions.point import Point
        >>> uniform = Independent(Categorical(torch.ones(1, 4)), 1)
        >>> model = SimpleNamespace(posterior=lambda x: Independent(Point(x), 1), prior=lambda: uniform)
        >>> found = codebook(model, [torch.tensor([[0], [0], [1], [1]])])
        >>> {name: (round(estimate.value, 6), estimate.ceiling) for name, estimate in found.items()}
        {'code_perplexity': (2.0, 4.0), 'codes_used': (2.0, 4.0)}
    """
    counts = count_codes(model, batches, seed) if counts is None else counts
    books = books_of(model, batches, len(counts.table))
    perplexity = _perplexity(model, batches, counts, books, seed)
    used = replace(_used(counts, books, _stated(model)), method=perplexity.method)
    return {"code_perplexity": perplexity, "codes_used": used}


def health(model: Model, counts: CodeCounts) -> dict[str, float]:
    """The same two in passing, without errors, so that the codes are not looked at again; the use as a share of all.

    Args:
        model: Keeps the protocol, with a q that is a point on codes.
        counts: Of its codes.

    Returns:
        ``code_perplexity``, and ``codes_used_share``, which is NaN where K is not known.

    Example:
        >>> from types import SimpleNamespace
        >>> from torch.distributions import Categorical, Independent
        >>> uniform = Independent(Categorical(torch.ones(1, 4)), 1)
        >>> model, counts = SimpleNamespace(prior=lambda: uniform), CodeCounts().add(torch.tensor([[0], [0], [3], [3]]))
        >>> {name: round(value, 6) for name, value in health(model, counts).items()}  # two of four codes, equally often
        {'code_perplexity': 2.0, 'codes_used_share': 0.5}
    """
    books = books_of(model, (), len(counts.table))
    found = _used(counts, books, True)
    share = math.nan if found.ceiling is None or found.value is None else found.value / found.ceiling
    return {"code_perplexity": _evenness(counts, books), "codes_used_share": share}


def code_perplexity(model: Model, batches: Batches) -> Estimate:
    """exp(H) of the codes of all places, see :func:`codebook`.

    Example:
        >>> from types import SimpleNamespace
        >>> from torch.distributions import Categorical, Independent
        >>> from buttress.distributions.point import Point
        >>> uniform = Independent(Categorical(torch.ones(1, 4)), 1)
        >>> model = SimpleNamespace(posterior=lambda x: Independent(Point(x), 1), prior=lambda: uniform)
        >>> print(code_perplexity(model, [torch.tensor([[3], [3], [3]])]))  # one code for everything: a dead codebook
        1
    """
    return codebook(model, batches)["code_perplexity"]


def codes_used(model: Model, batches: Batches) -> Estimate:
    """How many of the K codes are taken at all, see :func:`codebook`.

    Example:
        >>> from types import SimpleNamespace
        >>> from torch.distributions import Categorical, Independent
        >>> from buttress.distributions.point import Point
        >>> uniform = Independent(Categorical(torch.ones(1, 4)), 1)
        >>> model = SimpleNamespace(posterior=lambda x: Independent(Point(x), 1), prior=lambda: uniform)
        >>> codes_used(model, [torch.tensor([[0], [2], [3], [3]])]).note
        'codes, of 4, in 4 tokens; 1 never taken (dead)'
    """
    return codebook(model, batches)["codes_used"]


def _space(model: Model) -> Any:
    return getattr(conditional(model).model, "space", None)


def _stated(model: Model) -> bool:
    """Whether the model states which places share a codebook."""
    return bool(getattr(_space(model), "shape", ()))


def books_of(model: Model, batches: Batches, places: int) -> list[Book]:
    """Which places share a codebook: all of them, unless a space says otherwise."""
    space, k = _space(model), classes(model, batches)
    if levels := levels_of(conditional(model).model):
        return [book for level in levels for book in _slots(level.places, level.slots, level.classes or k)]
    shape: tuple[int, ...] = getattr(space, "shape", ())
    apart = shape and math.prod(shape) == places and not getattr(space, "shared", False)
    slots = shape[-1] if apart else 1
    return _slots(torch.arange(places), slots, k)


def _slots(places: Int[Tensor, " P"], slots: int, k: int | None) -> list[Book]:
    return [Book(places[slot::slots], k) for slot in range(slots)]


def _perplexity(model: Model, batches: Batches, counts: CodeCounts, books: list[Book], seed: int) -> Estimate:
    """With the standard error over examples: the places of one example are no independent draws."""
    surprise = _surprise(counts, books)
    of_examples, sure = Moments(), True
    with evaluating(model) as asked:
        for block in passes(asked, batches):
            codes = taken(block, seed)
            assert codes is not None
            sure = sure and codes_of(block.q) is not None
            codes = block.counted(codes).long()
            each = torch.where(codes.T >= 0, surprise.gather(1, codes.T.clamp(min=0)), 0.0)
            of_examples.add(each.mean(0)[:, None])
    value, known = _evenness(counts, books), [book.classes for book in books]
    note = f"not nats; {_shape(books)}{_alone(counts)}"
    ceiling = None if None in known else float(max(k or 0 for k in known))
    how = "counting" if sure else DRAWN
    return Estimate(value, value * of_examples.error.item(), counts.n, how, ceiling, note)


def _surprise(counts: CodeCounts, books: list[Book]) -> Float[Tensor, "J K"]:
    """-log p of each code at each place, weighted so that its mean over the places is that of the books' entropies."""
    found = torch.zeros(counts.table.shape, dtype=torch.float64)
    for book in books:
        total = book.total(counts).double()
        weight = len(counts.table) / (len(books) * len(book.places))
        found[book.places] = -weight * (total / total.sum()).log()
    return found


def _evenness(counts: CodeCounts, books: list[Book]) -> float:
    """exp of the mean entropy of the codebooks."""
    return torch.stack([entropy(book.total(counts)) for book in books]).mean().exp().item()


def _shape(books: list[Book]) -> str:
    sizes = {len(book.places) for book in books}
    return f"{sizes.pop()} places x {len(books)} slots" if len(sizes) == 1 else f"{len(books)} codebooks"


def _alone(counts: CodeCounts) -> str:
    if len(counts.table) < 2:
        return ""
    each = counts.perplexities
    return f", each alone {each.min():.3g} to {each.max():.3g}"


def _used(counts: CodeCounts, books: list[Book], stated: bool) -> Estimate:
    totals = [book.total(counts) for book in books]
    used, tokens = sum(int((total > 0).sum()) for total in totals), int(sum(total.sum() for total in totals))
    shared = (
        f"; all {len(counts.table)} places are taken to share one codebook: give the model a space "
        "(buttress.core.Space) whose last dimension runs over codebooks if they do not"
    ) * (not stated and len(counts.table) > 1)
    known = [book.classes for book in books if book.classes is not None]
    if len(known) < len(books):
        return Estimate(float(used), None, counts.n, "counting", note=f"codes, in {tokens} tokens{shared}")
    few = f"; {tokens} tokens can show no more than {tokens} codes" if tokens < sum(known) else ""
    of = f"{known[0]}" if len(books) == 1 else f"{len(books)} x {known[0]}" if len(set(known)) == 1 else f"{sum(known)}"
    note = f"codes, of {of}, in {tokens} tokens; {sum(known) - used} never taken (dead){few}{shared}"
    return Estimate(float(used), None, counts.n, "counting", float(sum(known)), note)


@estimator("active units")
def measure(subject: Subject) -> dict[str, Estimate]:
    """Of a discrete z alone: its rate under the uniform prior, and the health of its codebook."""
    q = next(iter(subject.data.blocks())).q
    if not is_discrete(q) and one_hot_vectors(q) is None:
        return {}
    found = {"rate_uniform": uniform_rate(subject.model, subject.kept["activity"].n, subject.data)}
    if point(q) is not None or _soft(q):
        found |= codebook(subject.model, subject.data, subject.kept["activity"].codes, subject.seed)
    return found
