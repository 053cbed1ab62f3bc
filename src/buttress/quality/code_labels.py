r"""What codes say of the labels of their places, such as the phones that are spoken there.

$$ n_{kl} = \#\{t : c_t = k, y_t = l\}, \qquad \text{purity} = \frac1N \sum_k \max_l n_{kl}, \qquad
   \mathrm{NMI} = \frac{2 I(c; y)}{H(c) + H(y)} $$

A code stands for the label it has most often. Purity counts on the very places it was read from, and grows with the
number of codes whatever they say; so the map from codes to labels is tested on other places
(:meth:`CodeLabels.accuracy`), as in van den Oord, Vinyals and Kavukcuoglu 2017, section 4.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["CodeLabels"]


@dataclass(frozen=True, eq=False)
class CodeLabels:
    """How often each code stands where each label does.

    Args:
        table: n, shape (K, L).

    Example:
        >>> codes, labels = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, 0, 1, 0, -1, 1])  # -1: no label there
        >>> found = CodeLabels.count(codes, labels, 3, 2)
        >>> found.table.tolist(), found.purity
        ([[2, 0], [1, 1], [0, 1]], 0.8)
        >>> found.accuracy(torch.tensor([0, 2, 2]), torch.tensor([0, 1, 0]))
        0.6666666666666666
    """

    table: Int[Tensor, "K L"]

    @classmethod
    def count(cls, codes: Int[Tensor, "*places"], labels: Int[Tensor, "*places"], k: int, size: int) -> CodeLabels:
        """From the code and the label of every place; places whose label is negative are left out.

        Args:
            codes: From 0 to K - 1.
            labels: From 0 to L - 1, or negative.
            k: Number K of codes.
            size: Number L of labels.

        Errors:
            ValueError: There are no places with a label, or a code or label is too large.
        """
        known = labels >= 0
        pairs = codes[known] * size + labels[known]
        if not pairs.numel() or int(codes[known].max()) >= k or int(labels.max()) >= size:
            raise ValueError(
                f"codes and labels: {pairs.numel()} places have labels, codes go up to {codes.max().item()}, labels to "
                f"{labels.max().item()}; wanted at least one place, codes below {k} and labels below {size}"
            )
        return cls(torch.bincount(pairs, minlength=k * size).view(k, size))

    @property
    def mapping(self) -> Int[Tensor, " K"]:
        """The label each code stands for; of a code that is never there, the most frequent label."""
        return torch.where(self.table.sum(1) > 0, self.table.argmax(1), self.table.sum(0).argmax())

    @property
    def purity(self) -> float:
        """The share of places whose label is the one their code stands for."""
        return int(self.table.amax(1).sum()) / int(self.table.sum())

    @property
    def chance(self) -> float:
        """The share of the most frequent label: the purity of a single code."""
        return int(self.table.sum(0).max()) / int(self.table.sum())

    @property
    def information(self) -> float:
        """I(c; y) in nats."""
        p = self.table.double() / self.table.sum()
        return (_entropy(p.sum(0)) + _entropy(p.sum(1)) - _entropy(p)).item()

    @property
    def normalized_information(self) -> float:
        """I(c; y) beside the mean of both entropies: 1 where codes and labels name each other, 0 if independent."""
        p = self.table.double() / self.table.sum()
        mean = (_entropy(p.sum(0)) + _entropy(p.sum(1))).item() / 2
        return self.information / mean if mean else 0.0

    def accuracy(self, codes: Int[Tensor, "*places"], labels: Int[Tensor, "*places"]) -> float:
        """The share of other places whose label is the one their code stands for; NaN without a label there."""
        known = labels >= 0
        return (self.mapping.to(codes.device)[codes[known]] == labels[known]).double().mean().item()

    def rows(self, names: Sequence[str]) -> list[tuple[int, str, int, float]]:
        """A row for each code in use: its number, the label it stands for, how often it is there, and its purity."""
        total, best = self.table.sum(1), self.table.amax(1)
        used = total.nonzero().flatten().tolist()
        return [(k, names[int(self.mapping[k])], int(total[k]), float(best[k] / total[k])) for k in used]


def _entropy(p: Float[Tensor, "*rest"]) -> Float[Tensor, ""]:
    return -torch.special.xlogy(p, p).sum()
