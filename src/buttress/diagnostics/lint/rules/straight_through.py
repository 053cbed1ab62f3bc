"""The reconstruction does not reach the encoder: rounding or an argmin without a straight-through estimator.

A commitment loss moves the encoder even so, and hides it: the encoder then learns to be near the codebook, and nothing
of x. Models with mu and logvar are asked by ``z_unreached``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from buttress.diagnostics.lint.finding import LintFinding
from buttress.diagnostics.lint.quiet import seeded
from buttress.diagnostics.lint.rule import rule
from buttress.diagnostics.lint.subject import Linted, Silent


@rule
def straight_through(subject: Linted) -> Iterator[LintFinding]:
    """Whether the reconstruction has a gradient at the first layer that was called."""
    try:
        subject.output  # noqa: B018
    except Silent:
        pass
    else:
        raise Silent("z is drawn from mu and logvar")
    first: list[tuple[str, nn.Module]] = []

    def note(name: str) -> Any:
        return lambda module, arguments, value: first.append((name, module))

    handles = [module.register_forward_hook(note(name)) for name, module in _layers(subject.model).items()]
    try:
        with seeded(subject.model):
            made = subject.forward(subject.batch)
    finally:
        for handle in handles:
            handle.remove()
    recon = _reconstruction(made, subject.x)
    if recon is None or not first:
        raise Silent("model(x) gives no tensor, or more than one, of the size of x")
    name, layer = first[0]
    if not _reached(recon, list(layer.parameters())):
        yield LintFinding(
            "straight-through", "error", "certain", f"no gradient goes from the reconstruction to {name}",
            "give the decoder z + (quantised - z).detach() in place of the quantised values, and detach nothing else",
        )  # fmt: skip


def _layers(model: nn.Module) -> dict[str, nn.Module]:
    """Layers with parameters of their own that learn."""
    return {
        name: module
        for name, module in model.named_modules()
        if name and any(p.requires_grad for p in module.parameters(recurse=False))
    }


def _reconstruction(made: Any, x: Tensor) -> Tensor | None:
    """The one tensor of what was returned that has a number, or a row of logits, for each value of x."""
    values = made.values() if isinstance(made, Mapping) else made if isinstance(made, tuple | list) else [made]
    values = list(vars(made).values()) if not isinstance(made, Mapping | tuple | list | Tensor) else list(values)
    real = [v for v in values if isinstance(v, Tensor) and v.is_floating_point() and v.requires_grad]
    found = [v for v in real if v.numel() == x.numel() or (not x.is_floating_point() and v.dim() == x.dim() + 1)]
    return found[0] if len(found) == 1 else None


def _reached(recon: Tensor, parameters: list[nn.Parameter]) -> bool:
    weights = torch.randn(recon.shape, generator=torch.Generator().manual_seed(0)).to(recon)
    found = torch.autograd.grad((recon * weights).sum(), [p for p in parameters if p.requires_grad], allow_unused=True)
    return any(g is not None and bool(g.any()) for g in found)
