"""What is given beside x when examples are made: as a person writes it, or as the held-out data have it."""

from __future__ import annotations

import torch
from torch import Tensor

from buttress.core import EMPTY, Batch, Given
from buttress.training.run import Run

__all__ = ["given_for", "override", "parsed"]


def parsed(run: Run, written: str) -> dict[str, Tensor]:
    """What ``label=3,speaker=anna`` gives, one number each.

    Args:
        run: The run; its data name the conditions and their classes.
        written: Names and values; classes by name or number.

    Errors:
        ValueError: It cannot be read, the data have no such condition or class, or the model does not read it.
    """
    found: dict[str, Tensor] = {}
    for piece in filter(None, (piece.strip() for piece in written.split(","))):
        name, equals, value = (part.strip() for part in piece.partition("="))
        if not equals:
            raise ValueError(f"--given: expected NAME=VALUE, such as label=3, found {piece!r}")
        column = run.spec.column(name)
        if name not in run.model.reads:
            reads = ", ".join(run.model.reads) or "no condition; train one with --condition embedding"
            raise ValueError(f"--given {piece}: this model does not read {name}; it reads {reads}")
        number = column.number(value)
        found[name] = torch.tensor(int(number) if column.classes else number)
    return found


def override(run: Run, batch: Batch, written: str) -> Batch:
    """The same examples, given something else.

    Args:
        run: The run.
        batch: Examples with what is known of them.
        written: As in :func:`parsed`; what it does not name stays.
    """
    mine = {name: value.expand(len(batch)) for name, value in parsed(run, written).items()}
    return Batch(batch.x, {**batch.given, **mine})


def given_for(run: Run, written: str, count: int, seed: int = 0) -> Given:
    """What is given beside ``count`` new examples; what a person does not say is that of held-out examples at random.

    Args:
        run: The run.
        written: As in :func:`parsed`.
        count: How many examples.
        seed: Of which held-out examples.
    """
    mine = {name: value.expand(count) for name, value in parsed(run, written).items()}
    if not run.model.reads:
        return EMPTY
    if set(mine) == set(run.model.reads):
        return mine
    examples = run.splits().held_out
    index = torch.randint(len(examples), (count,), generator=torch.Generator().manual_seed(seed))
    return {**examples.read(index).given, **mine}
