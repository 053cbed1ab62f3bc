r"""Is the codebook in use? How often each code is taken, over the held-out data and not over a batch.

$$ p_k = \frac{1}{N P} \sum_{n, p} [c_{np} = k], \qquad \text{perplexity} = \exp\Bigl(-\sum_k p_k \log p_k\Bigr) $$

All P places of N examples share the codebook of K codes; the slots of a place, the last dimension of z, may have
codebooks of their own, so each slot is counted apart and the mean of their entropies is taken. Perplexity is between 1,
where one code takes all and the codebook is dead, and K, where all are taken equally often; a code that is never taken
is dead. Neither number says that codes change with x: a place may take its own code for every x. So the same is counted
for each place alone.

Van den Oord et al. 2017 report the perplexity of a batch; with fewer tokens than codes that one is far too low.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Int
from torch import Tensor

from buttress.diagnostics.estimate import Estimate, Moments
from buttress.diagnostics.evaluation import blocks, evaluating
from buttress.diagnostics.protocol import Batches, Model
from buttress.diagnostics.rate import classes
from buttress.distributions.code_counts import CodeCounts, entropy
from buttress.distributions.inspect import point

__all__ = ["HEALTH", "code_perplexity", "codebook", "codes_used", "count_codes", "health"]

HEALTH = ("code_perplexity", "codes_used_share")
"""What :func:`health` gives."""


def count_codes(model: Model, batches: Batches) -> CodeCounts:
    """Count the codes of all of the data.

    Args:
        model: Keeps the protocol, with a q that is a point on codes.
        batches: Held-out data, all of which is used.

    Errors:
        ValueError: q(z|x) is not a point on codes.

    Example:
        >>> from types import SimpleNamespace
        >>> from torch.distributions import Independent
        >>> from buttress.distributions.point import Point
        >>> model = SimpleNamespace(posterior=lambda x: Independent(Point(x), 1))  # each x is its own code
        >>> count_codes(model, [torch.tensor([[0, 2], [0, 1]])]).table.tolist()
        [[2, 0, 0], [0, 1, 1]]
    """
    counts = CodeCounts()
    with evaluating(model):
        for _, x in blocks(batches):
            codes = point(q := model.posterior(x))
            if codes is None:
                raise ValueError(
                    f"codebook: q(z|x) is a {type(q).__name__}, wanted a point on codes (buttress.distributions.point)"
                )
            counts.add(codes.reshape(len(x), -1))
    return counts


def codebook(model: Model, batches: Batches, counts: CodeCounts | None = None) -> dict[str, Estimate]:
    """Usage and perplexity of the codebook, all places together, slots apart.

    Args:
        model: Keeps the protocol, with a q that is a point on codes.
        batches: Held-out data, all of which is used.
        counts: Of these data, where they have been counted already.

    Returns:
        ``code_perplexity`` with its ceiling K, and ``codes_used`` with K times the number of slots, if K is known.

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
    counts = count_codes(model, batches) if counts is None else counts
    k, slots = classes(model), _slots(model)
    return {
        "code_perplexity": _perplexity(model, batches, counts, slots, k),
        "codes_used": _used(counts, slots, k),
    }


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
    k, slots = classes(model), _slots(model)
    total = _of_slots(counts, slots)
    used = int((total > 0).sum())
    return {"code_perplexity": _evenness(total), "codes_used_share": math.nan if k is None else used / (k * slots)}


def code_perplexity(model: Model, batches: Batches) -> Estimate:
    """exp(H) of the codes of all places, see :func:`codebook`.

    Example:
        >>> from types import SimpleNamespace
        >>> from torch.distributions import Categorical, Independent
        >>> from buttress.distributions.point import Point
        >>> uniform = Independent(Categorical(torch.ones(1, 4)), 1)
        >>> model = SimpleNamespace(posterior=lambda x: Independent(Point(x), 1), prior=lambda: uniform)
        >>> print(code_perplexity(model, [torch.tensor([[3], [3], [3]])]))  # one code for everything: a dead codebook
        1 ± 0
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


def _perplexity(model: Model, batches: Batches, counts: CodeCounts, slots: int, k: int | None) -> Estimate:
    """With the standard error over examples: the places of one example are no independent draws."""
    total = _of_slots(counts, slots)
    surprise = -(total.double() / total.sum(1, keepdim=True)).log()
    of_examples = Moments()
    with evaluating(model):
        for _, x in blocks(batches):
            codes = point(model.posterior(x))
            assert codes is not None
            each = surprise[torch.arange(slots), codes.reshape(len(x), -1, slots).cpu().long()]
            of_examples.add(each.flatten(1).mean(1, keepdim=True))
    value = _evenness(total)
    note = f"not nats; {len(counts.table) // slots} places x {slots} slots{_alone(counts)}"
    return Estimate(
        value, value * of_examples.error.item(), counts.n, "counting", None if k is None else float(k), note
    )


def _slots(model: Model) -> int:
    event = model.prior().event_shape
    return event[-1] if event else 1


def _evenness(total: Int[Tensor, "slots K"]) -> float:
    """exp of the mean entropy of the slots."""
    return entropy(total).mean().exp().item()


def _of_slots(counts: CodeCounts, slots: int) -> Int[Tensor, "slots K"]:
    """Counts of all places together."""
    return counts.table.unflatten(0, (-1, slots)).sum(0)


def _alone(counts: CodeCounts) -> str:
    if len(counts.table) < 2:
        return ""
    each = counts.perplexities
    return f", each alone {each.min():.3g} to {each.max():.3g}"


def _used(counts: CodeCounts, slots: int, k: int | None) -> Estimate:
    total = _of_slots(counts, slots)
    used, tokens = int((total > 0).sum()), int(total.sum())
    if k is None:
        return Estimate(float(used), None, counts.n, "counting", note=f"codes, in {tokens} tokens")
    few = f"; {tokens} tokens can show no more than {tokens} codes" if tokens < k * slots else ""
    of = f"{k}" if slots == 1 else f"{slots} x {k}"
    note = f"codes, of {of}, in {tokens} tokens; {k * slots - used} never taken (dead){few}"
    return Estimate(float(used), None, counts.n, "counting", float(k * slots), note)
