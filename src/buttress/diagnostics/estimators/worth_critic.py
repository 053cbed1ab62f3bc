r"""What codes are worth to a critic: the nats that its predictions lose when the codes change places.

$$ W_\text{critic} = E_x \frac1K \sum_{k=1}^{K} \sum_t \bigl[ d_{tk}(\pi c) - d_{tk}(c) \bigr] $$

$\pi$ is a random permutation of the places within the true length, of each example its own, and $d_{tk}$ the -log
softmax of the true future k places ahead among the candidates. A critic compares codes with codes, so with the codes
of another example it would do as well: what it lives by is their order, and without it a future is as any other
candidate and $E[d] \ge \log N$ where the candidates know nothing of the context. A critic that ignores the codes loses
nothing. Steps ahead are averaged and not added: each of them asks for the same code again. An overconfident critic may
lose more than codes tell, as a decoder may, so the verdict takes the smallest of information, rate and this.

How much more often the critic is right than with shuffled codes is told as well. In a short sequence chance is not
exactly 1/N, as the place that is known may be among the others and is never the future; shuffling leaves that as it
is.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.core.critic import Contrast
from buttress.diagnostics.estimate import Estimate, mean, ratio
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.evaluation import draw, evaluating
from buttress.diagnostics.passes import Block, passes
from buttress.diagnostics.protocol import Batches, Model
from buttress.distributions.inspect import is_discrete, point
from buttress.runtime.randomness import noise

__all__ = ["worth_critic"]


def worth_critic(model: Model, batches: Batches, *, samples: int = 4, seed: int = 0) -> dict[str, Estimate]:
    """Nats of an example that the critic loses when its codes are shuffled over the places, with a paired error.

    ``worth_critic``, and ``contrastive_accuracy_gain``: the accuracy minus that with shuffled codes.

    Args:
        model: A LatentVariableModel with a critic.
        batches: Held-out data.
        samples: Permutations of each example, each with a sample of z.
        seed: Of the permutations and the noise.

    Example:
        >>> from dataclasses import replace
        >>> from buttress.core import DataSpec, Layout
        >>> from buttress.baseline import baseline
        >>> from buttress.critics.contrastive import Contrastive
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> spec = DataSpec(Layout.frames(2, longest=16), mean=torch.zeros(2), std=torch.ones(2))
        >>> recipe = baseline(LinearGaussianData(), spec)
        >>> recipe = replace(recipe, encoder=recipe.encoder.replace(positions=True), critic=Contrastive(steps=2))
        >>> model = recipe.model(spec)
        >>> for predict in model.decoder.predict:  # equal scores, whatever the codes
        ...     _ = torch.nn.init.zeros_(predict.weight), torch.nn.init.zeros_(predict.bias)
        >>> print(*worth_critic(model, [torch.randn(9, 16, 2)]).values())
        0 0
    """
    lost, right, predictions = [], [], []
    with evaluating(model, seed) as asked:
        own = asked.model
        for block in passes(asked, batches):
            z = draw(block.q, block.index, samples if point(block.q) is None else 1, seed, "worth of the critic")
            valid = own.encoder.valid(own.likelihood.features(block.x), block.given)
            moved = _moved(z.expand(samples, *z.shape[1:]), valid, block, seed)
            orders = [own.contrast(block.x, codes, block.given) for codes in moved.split(1)]
            true = own.contrast(block.x, z, block.given)
            lost.append(_over(orders, "surprise").mean(1) - _over([true], "surprise").mean(1))
            right.append((_over([true], "first") - _over(orders, "first")).sum(1))
            predictions.append(true.predictions.sum(1).double().cpu())
    told = torch.cat(predictions)
    if not told.sum() > 0:
        return {}
    note = "nats lost when the codes of each example are shuffled over its places; mean over the steps ahead"
    value, error = ratio(torch.cat(right), told)
    gain = Estimate(value, error, len(told), "counting", note="share of predictions, beyond that with shuffled codes")
    return {"worth_critic": mean(torch.cat(lost), "Monte Carlo", note=note), "contrastive_accuracy_gain": gain}


def _over(found: list[Contrast], name: str) -> Float[Tensor, "B K"]:
    """The mean of a number over orders and samples."""
    return torch.stack([getattr(one, name).mean(0) for one in found]).mean(0).double().cpu()


def _moved(z: Tensor, valid: Tensor | None, block: Block, seed: int) -> Tensor:
    """z of (S, B, T, ...) with the true places of each sample and example in an order of their own."""
    order: Float[Tensor, "S B T"] = noise(block.index, len(z), z.shape[2:3], seed, "places")
    if valid is not None:
        order = order.masked_fill(~valid.cpu(), torch.inf)
    rows = order.argsort(dim=-1, stable=True).to(z.device)
    return z.gather(2, rows.view(*rows.shape, *[1] * (z.dim() - 3)).expand_as(z))


@estimator("use of z by the decoder")
def measure(subject: Subject) -> dict[str, Estimate]:
    """What codes are worth to the critic, where there is one."""
    if subject.model.density or not is_discrete(next(iter(subject.data.blocks())).q):
        return {}
    return worth_critic(subject.model, subject.data, samples=subject.settings["samples"], seed=subject.seed)
