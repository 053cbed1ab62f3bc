r"""Which examples use z: all of them a little, or a few of them fully?

An example n loses $v_{ns}$ nats when it reads the z of another in round s of S. Where the decoder makes no use of its
own z, its losses are spread evenly about 0, as own and other z are two draws of the same. So

$$ \text{share used} = P_n[\bar v_n > 0] - P_n[\bar v_n < 0] $$

is 0 where nobody uses z and 1 where everybody does beyond the noise. Where the noise is not small beside the losses, or
others often have the same z, it falls short of the share that uses z. Where a share of 1 % has a special z and the rest
a common one, it is up to S times that, as one in a hundred of the rest reads a special z in each round.

An example with a default z loses too when the z that it reads is special, though its own tells it little. Such
accidents come in one round and not in another, and so does luck. So examples are ranked by one half of the rounds and
judged by the other half, which knows nothing of the ranking, and the other way round:

$$ T = E[v_n \mid n \text{ among the 1 \% that lose most in the other half}], \qquad
   C = \min \Bigl\{ \tfrac kN : \sum_{i \le k} v_{(i)} \ge \tfrac13 \sum_i v_{(i)} \Bigr\} $$

T is what z is worth to the hundredth part of the examples that use it most, and C the share of the examples that
carries a third of all: 1/3 where all lose the same, 0.15 to 0.25 in linear-Gaussian models, below 0.01 where one in a
hundred uses z. (A third and not half: where few have a special z, half of all losses are those of the others that read
it.) The errors of T and C are a jackknife over tenths of the examples.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.diagnostics.estimate import Estimate, mean
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.thresholds import ERRORS

__all__ = ["concentration", "share_used", "top_worth"]

TOP = 0.01
"""Share of the examples whose worth is measured apart."""
LEAST = 5
"""Examples in it, at least."""
GROUPS = 10
"""Parts of the examples that are left out in turn for an error."""
ONE_ROUND = "of one sample of z per example; raise samples to 2 or more"


def share_used(loss: Float[Tensor, "S N"]) -> Estimate:
    """The share of examples whose own z lowers their distortion, beyond what chance does.

    Args:
        loss: Nats that each example loses by reading the z of another, in each of S rounds.

    Example:
        >>> print(share_used(torch.tensor([[1.0, 2.0, 0.0, 0.0], [3.0, 1.0, 0.0, 0.0]])))
        0.5 ± 0.3
    """
    note = "share of examples that read their own z better than another, less those that read it worse"
    return mean(loss.double().mean(0).sign(), "Monte Carlo", 1.0, note)


def top_worth(loss: Float[Tensor, "S N"]) -> Estimate:
    """T, what z is worth to the hundredth part of the examples that use it most, in nats.

    Args:
        loss: See :func:`share_used`.

    Example:
        >>> loss = torch.zeros(4, 1000)
        >>> loss[:, :10] = 20.0  # a hundredth of the examples
        >>> top_worth(loss).value, share_used(loss).value
        (20.0, 0.01)
    """
    if len(loss) < 2:
        return Estimate(None, None, loss.shape[1], "Monte Carlo", note=ONE_ROUND)
    n = loss.shape[1]
    note = f"nats lost by the {_few(n)} of {n} examples that use z most, when each reads the z of another"
    return Estimate(_of_top(loss), _jackknife(_of_top, loss), n, "Monte Carlo", note=note)


def concentration(loss: Float[Tensor, "S N"]) -> Estimate:
    """C, the share of the examples that carries a third of what z is worth.

    Args:
        loss: See :func:`share_used`.

    Example:
        >>> concentration(torch.ones(2, 100)).value
        0.34
    """
    n, how = loss.shape[1], "Monte Carlo"
    if len(loss) < 2:
        return Estimate(None, None, n, how, note=ONE_ROUND)
    total = mean(loss.double().mean(0), how)
    if (total.value or 0.0) <= ERRORS * (total.error or 0.0) or not total.value:
        return Estimate(
            None, None, n, how, note="z is worth nothing beyond the noise, so there is nothing to share out"
        )
    note = "share of the examples that carries a third of worth_shuffled: a third where all lose the same"
    return Estimate(_carrying(loss), _jackknife(_carrying, loss), n, how, note=note)


def _jackknife(measure: Callable[[Tensor], float], loss: Float[Tensor, "S N"]) -> float:
    """Standard error of a measure, from its values without each tenth of the examples."""
    n = loss.shape[1]
    tenth = torch.randperm(n, generator=torch.Generator().manual_seed(0)) % min(GROUPS, n)
    without = torch.tensor([measure(loss[:, tenth != i]) for i in range(min(GROUPS, n))], dtype=torch.float64)
    return (without.var(correction=0) * (len(without) - 1)).sqrt().item()


def _few(n: int) -> int:
    """How many examples the hundredth part is."""
    return min(n, max(LEAST, round(TOP * n)))


def _of_top(loss: Float[Tensor, "S N"]) -> float:
    """T of some examples."""
    return torch.stack([judged[: _few(len(judged))] for judged in _ranked(loss)]).mean().item()


def _ranked(loss: Float[Tensor, "S N"]) -> list[Float[Tensor, " N"]]:
    """The losses in one half of the rounds, largest first by those in the other; both ways."""
    halves = [part.double().mean(0) for part in (loss[::2], loss[1::2])]
    return [halves[1 - i][halves[i].argsort(descending=True, stable=True)] for i in (0, 1)]


def _third(judged: Float[Tensor, " N"]) -> float:
    """The share of examples, in this order, that carries a third of the sum."""
    running = judged.cumsum(0)
    return ((running < running[-1] / 3).sum().item() + 1) / len(judged) if running[-1] > 0 else 1 / 3


def _carrying(loss: Float[Tensor, "S N"]) -> float:
    """C of some examples."""
    return sum(_third(judged) for judged in _ranked(loss)) / 2


@estimator("use of z by the decoder")
def measure(subject: Subject) -> dict[str, Estimate]:
    """How what z is worth is spread over the examples."""
    if (loss := subject.kept.get("losses")) is None:  # there is no p(x|z)
        return {}
    return {
        "share_used": share_used(loss),
        "worth_top_percent": top_worth(loss),
        "worth_concentration": concentration(loss),
    }
