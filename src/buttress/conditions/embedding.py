r"""c = [E_1[y_1], ..., W_k y_k, ...]: a learned vector for every class, a linear map of every real condition.

$$ p(x, z | y) = p(x | z, c(y))\, p(z), \qquad q(z | x, c(y)) $$
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from buttress.core import EMPTY, Condition, ConditionModule, DataSpec, Given
from buttress.core.batch import known
from buttress.core.spec import Column

__all__ = ["Embedding"]


@dataclass(frozen=True)
class Embedding(Condition):
    """A vector for each condition, read by posterior and decoder: the conditional VAE.

    Source: Sohn, Lee and Yan, Learning Structured Output Representation using Deep Conditional Generative Models, 2015.

    Args:
        names: Conditions to read, such as "label"; () for all that the data offer.
        dim: Size of the vector of each condition.
        inference: Whether the posterior reads it too. If not, z of an example is the same whatever it is given, so that
            it can be decoded as another speaker's, say.

    Errors:
        ValueError: A size below 1; when built, the data offer no condition, or none of that name.

    Example:
        >>> from buttress.core import Layout
        >>> spec = DataSpec(Layout.table(3), given=(Column("label", classes=4),))
        >>> module = Embedding(dim=5).build(spec)
        >>> module.features, module({"label": torch.tensor([0, 3])}).shape
        (5, torch.Size([2, 5]))
    """

    names: tuple[str, ...] = ()
    dim: int = 16
    inference: bool = True

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.dim < 1:
            raise ValueError(f"embedding condition: dim is {self.dim}, wanted at least 1")

    @classmethod
    def tiny(cls) -> tuple[Embedding, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(dim=2), cls(dim=2, inference=False))

    def build(self, spec: DataSpec) -> EmbeddingModule:
        """See :class:`buttress.core.Condition`."""
        offered = [column for column in spec.given if not column.symbols]
        if not offered:
            raise ValueError(
                "embedding condition: the data offer nothing to condition on; try --data.label (tables), "
                "sub-folders of two names or --data.table (sound), or leave --condition and speaker= out"
            )
        columns = [spec.column(name) for name in self.names] or offered
        return EmbeddingModule(columns, self.dim, self.inference)


class EmbeddingModule(ConditionModule):
    """The module of :class:`Embedding`."""

    def __init__(self, columns: list[Column], dim: int, inference: bool = True) -> None:
        super().__init__()
        self.inference = inference
        self.names = tuple(column.name for column in columns)
        self.features = dim * len(columns)
        self.tables = nn.ModuleList(
            nn.Embedding(column.classes, dim) if column.classes else nn.Linear(column.size, dim) for column in columns
        )

    def forward(self, given: Given = EMPTY) -> Float[Tensor, "B E"]:
        """See :class:`buttress.core.ConditionModule`."""
        return torch.cat([self._one(*pair, given) for pair in zip(self.names, self.tables, strict=True)], -1)

    def _one(self, name: str, table: nn.Module, given: Given) -> Float[Tensor, "B D"]:
        value = known(given, name, "embedding condition")
        if not isinstance(value, Tensor):
            raise ValueError(f"embedding condition: {name} is a {type(value).__name__}, wanted a tensor (B,)")
        if isinstance(table, nn.Linear):
            return table(value.float().reshape(len(value), -1))
        checked = not torch.compiler.is_compiling()  # an exported program cannot look at values
        if checked and value.numel() and not 0 <= int(value.min()) <= int(value.max()) < table.num_embeddings:  # type: ignore[operator]
            raise ValueError(f"embedding condition: {name} has a class outside 0 to {table.num_embeddings} - 1")
        return table(value)
