"""The checks that conftest puts on all of buttress refuse wrong types and shapes, and pass what is right."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from buttress.core import Layout
from buttress.core.records import Terms
from buttress.objectives.importance_weighted import ImportanceWeighted, importance_weighted_bound
from checks import check, checked


@checked(typechecker=check)
def outer(a: Float[Tensor, " B"], b: Float[Tensor, " B"], rows: int = 1) -> Float[Tensor, "R B"]:
    return (a * b).expand(rows, -1) if rows < 9 else a[:, None].expand(-1, 9)


@checked(typechecker=check)
@dataclass
class Pair:
    a: Float[Tensor, " N"]
    b: Float[Tensor, " N"]
    name: str


RIGHT = torch.ones(3)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: outer(torch.ones(3), torch.ones(4)),
        lambda: outer(torch.ones(3), torch.ones(3).long()),
        lambda: outer(RIGHT, RIGHT, rows="2"),
        lambda: outer(RIGHT, RIGHT, rows=9),
        lambda: Pair(torch.ones(3), torch.ones(2), "x"),
        lambda: Pair(RIGHT, RIGHT, 3),
        lambda: importance_weighted_bound(torch.ones(3)),
        lambda: ImportanceWeighted("3"),
        lambda: ImportanceWeighted()(torch.ones(3), 0),
        lambda: Terms(torch.ones(3), None),
        lambda: Layout.table("3"),
    ],
)
def test_what_is_wrong_is_refused(wrong):
    with pytest.raises(Exception, match=r"violates type hint|type-check"):
        wrong()


def test_what_is_right_passes_and_calls_do_not_hear_of_each_other():
    assert outer(RIGHT, RIGHT, rows=2).shape == (2, 3)
    assert outer(torch.ones(5), torch.ones(5)).shape == (1, 5)
    assert Pair(RIGHT, RIGHT, "x").name == "x"
