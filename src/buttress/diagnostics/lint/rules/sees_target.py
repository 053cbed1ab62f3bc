"""A decoder that reads x to predict x sees the value it is to predict, or a later one.

Every module that is called with x itself is called again with one place changed. It must not answer differently at that
place or before it. Where no module is, words are asked by the gradients of their embeddings and numbers by those of x
(``way_round``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from buttress.diagnostics.lint.finding import LintFinding
from buttress.diagnostics.lint.quiet import no_dropout, seeded
from buttress.diagnostics.lint.rule import rule
from buttress.diagnostics.lint.subject import Linted
from buttress.diagnostics.lint.way_round import leak


@dataclass(frozen=True)
class _Call:
    """A module's call, with the place of the argument that holds x."""

    module: nn.Module
    name: str
    arguments: tuple[Any, ...]
    named: dict[str, Any]
    at: int | str


@rule
def sees_target(subject: Linted) -> Iterator[LintFinding]:
    """Whether an output of a decoder depends on the value it predicts."""
    calls = _calls(subject)
    if not calls and (found := leak(subject)) is not None:
        yield LintFinding(
            "sees-target", "error", "likely",
            f"the prediction at place {found.place} depends on x at that place or a later one on a way round z, by "
            f"{found.by}",
            "shift the decoder's input by one place and mask what comes later; let no skip connection lead past z",
        )  # fmt: skip
    for call in calls:
        if (place := _leak(subject, call)) is not None:
            yield LintFinding(
                "sees-target", "error", "certain",
                f"what {call.name} gives at place {place} changes when x changes at that place",
                "shift its input by one place (begin with a start symbol), and mask what comes later",
            )  # fmt: skip


def _calls(subject: Linted) -> list[_Call]:
    """Calls of modules that get all of x beside something else, and give as many numbers a place as the model does."""
    x = subject.x
    found: list[_Call] = []
    size = subject.output.recon.numel()

    def note(name: str) -> Any:
        def hook(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any], out: Any) -> None:
            given: list[tuple[int | str, Any]] = [*enumerate(arguments), *named.items()]
            others = [v for _, v in given if isinstance(v, Tensor)]
            at = next((key for key, v in given if isinstance(v, Tensor) and _is(v, x)), None)
            if at is not None and len(others) > 1 and isinstance(out, Tensor) and out.numel() == size:
                found.append(_Call(module, name, arguments, named, at))

        return hook

    handles = [m.register_forward_hook(note(n), with_kwargs=True) for n, m in subject.model.named_modules() if n]
    try:
        with torch.no_grad(), no_dropout(subject.model), seeded(subject.model):
            subject.outputs_of(subject.batch)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _is(value: Tensor, x: Tensor) -> bool:
    return value.shape == x.shape and bool((value == x).all())


@torch.no_grad()
def _leak(subject: Linted, call: _Call) -> int | None:
    """The place, in reading order, at which the answer depends on x there; None where it depends on no such."""
    x = subject.x
    places = x[0].numel()
    before = _answer(subject, call, x)
    for place in sorted({0, places // 2, places - 1}):
        changed = x.clone().flatten(1)
        changed[:, place] = changed[:, place].roll(1) if not x.is_floating_point() else changed[:, place] + 1
        changed = changed.reshape(x.shape)
        if torch.equal(changed, x):
            continue
        after = _answer(subject, call, changed)
        per_place = (after != before).flatten(1).any(0).reshape(-1)
        if per_place.numel() % places:
            return None
        by_place = _by_place(per_place, before, x)
        if bool(by_place[place]):
            return place
    return None


def _answer(subject: Linted, call: _Call, x: Tensor) -> Tensor:
    arguments = tuple(x if k == call.at else v for k, v in enumerate(call.arguments))
    named = {k: x if k == call.at else v for k, v in call.named.items()}
    with no_dropout(subject.model), seeded(subject.model):
        found: Tensor = call.module(*arguments, **named)
    return found


def _by_place(changed: Tensor, answer: Tensor, x: Tensor) -> Tensor:
    """Whether the answer changed at each place of x: classes may be the last axis of the answer or its second."""
    shape = answer.shape[1:]
    if shape == x.shape[1:]:
        return changed
    if shape[:-1] == x.shape[1:]:
        return changed.reshape(-1, shape[-1]).any(1)
    return changed.reshape(shape[0], -1).any(0)
