r"""DCI: disentanglement, completeness and informativeness, from how much each coordinate serves to predict each factor.

With $R_{jk} \ge 0$ the importance of coordinate j in a random forest that predicts factor k from v, the means of q,

$$ D_j = 1 + \sum_k \frac{R_{jk}}{R_{j\cdot}} \log_F \frac{R_{jk}}{R_{j\cdot}}, \quad
   \mathrm{D} = \sum_j \frac{R_{j\cdot}}{R_{\cdot\cdot}} D_j, \qquad
   C_k = 1 + \sum_j \frac{R_{jk}}{R_{\cdot k}} \log_M \frac{R_{jk}}{R_{\cdot k}}, \quad
   \mathrm{C} = \frac1F \sum_k C_k $$

for F factors and M coordinates that vary. D is 1 where no coordinate serves two factors, C is 1 where no factor needs
two coordinates. Informativeness is the share of factors predicted right for examples that the forest has not seen.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.core import Factors
from buttress.diagnostics.estimate import Estimate, mean, short
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.representation import moving, seen

__all__ = ["disentanglement"]

TREES, FOLDS, EXAMPLES = 10, 3, 3000
"""Of a forest, parts that are predicted from the others, and examples, at most."""
NAMES = ("disentanglement", "completeness", "informativeness")


def disentanglement(
    z: Float[Tensor, "N D"], factors: Factors, *, examples: int | None = EXAMPLES, seed: int = 0
) -> dict[str, Estimate]:
    """``disentanglement``, ``completeness`` and ``informativeness`` of any representation.

    The forests are those of scikit-learn, ten trees of entropy that consider every coordinate at each split: where only
    some are considered, a factor's own coordinate is often not among them, and others seem to matter. A third of the
    examples is predicted from the others in turn; the errors of the first two are the spread over the three forests.

    Source: Eastwood and Williams, A Framework for the Quantitative Evaluation of Disentangled Representations, 2018,
    with random forests, as there beside lasso.

    Args:
        z: The representation, such as means of q; coordinates that do not vary are left out.
        factors: Of the same N examples.
        examples: At most so many: a random choice where there are more. None for all.
        seed: Of the choice, the parts and the forests.

    Example:
        >>> factors = Factors.of([[a, b, c] for a in range(4) for b in range(4) for c in range(4)] * 3)
        >>> [found.value for found in disentanglement(factors.values.double(), factors).values()]
        [1.0, 1.0, 1.0]
    """
    order = torch.randperm(len(z), generator=torch.Generator().manual_seed(seed))[:examples]
    v, some = moving(z[order]), factors.take(order)
    method = f"random forests of {TREES} trees, {FOLDS} folds"
    if not v.shape[1] or len(v) < 2 * FOLDS:
        note = "no coordinate moves" if len(v) >= 2 * FOLDS else "too few examples"
        return {name: Estimate(None, None, len(v), method, 1.0, note) for name in NAMES}
    tables, right = _forests(v, some, seed)
    seen_ = torch.stack([_scores(table) for table in tables])
    error = seen_.std(0) / math.sqrt(FOLDS)
    guess = [torch.bincount(f).max().item() / len(f) for f in some.values.cpu().T]
    note = f"{short(sum(guess) / len(guess))} by guessing the commonest value of each factor"
    found = {
        name: Estimate(seen_[:, i].mean().item(), error[i].item(), len(v), method, 1.0)
        for i, name in enumerate(NAMES[:2])
    }
    return found | {NAMES[2]: replace(mean(right, method, note=note), ceiling=1.0)}


def _forests(v: Float[Tensor, "N M"], factors: Factors, seed: int) -> tuple[list[Tensor], Float[Tensor, " N"]]:
    """Importances (M, F) of each fold, and the share of factors that are predicted right for each example."""
    from sklearn.ensemble import RandomForestClassifier

    rows, part = v.float().numpy(), torch.arange(len(v)) % FOLDS  # the examples come in random order
    right, tables = torch.zeros(len(v), dtype=torch.float64), []
    for fold in range(FOLDS):
        train, test = (part != fold).numpy(), (part == fold).numpy()
        columns = []
        for f in factors.values.cpu().T:
            forest = RandomForestClassifier(TREES, criterion="entropy", max_features=None, random_state=seed)
            forest.fit(rows[train], f.numpy()[train])
            right[part == fold] += torch.from_numpy(forest.predict(rows[test]) == f.numpy()[test])
            columns.append(torch.from_numpy(forest.feature_importances_))
        tables.append(torch.stack(columns, 1))
    return tables, right / len(factors.names)


def _scores(table: Float[Tensor, "M F"]) -> Float[Tensor, " two"]:
    """Disentanglement and completeness."""
    weight = table.sum(1) / table.sum().clamp(min=1e-12)
    return torch.stack([(weight * _purity(table)).sum(), _purity(table.T).mean()])


def _purity(rows: Float[Tensor, "R C"]) -> Float[Tensor, " R"]:
    """1 - the entropy of each row, as a share of the largest there is: 1 where there is one column."""
    if rows.shape[1] < 2:
        return torch.ones(len(rows)).double()
    p = rows / rows.sum(1, keepdim=True).clamp(min=1e-12)
    return 1 + torch.xlogy(p, p).sum(1) / math.log(rows.shape[1])


@estimator("use of z by the decoder")
def measure(subject: Subject) -> dict[str, Estimate]:
    """All three, where the data have known factors."""
    found = seen(subject)
    return {} if found is None else disentanglement(found.z, found.factors, seed=subject.seed)
