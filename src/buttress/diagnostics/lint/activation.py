"""The function that a reconstruction ends in, from the graph of its gradient."""

from __future__ import annotations

from typing import Any

from buttress.diagnostics.lint.quiet import seeded
from buttress.diagnostics.lint.subject import Linted

__all__ = ["activation"]

SHAPES = (
    "View",
    "UnsafeView",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Transpose",
    "Permute",
    "Clone",
    "Select",
    "Slice",
    "ToCopy",
)
"""What moves numbers and does not change them."""
BOUNDS = ("Clamp", "ClampMin", "ClampMax", "NanToNum", "Maximum", "Minimum")
"""What keeps numbers in a range and hides no activation before it."""
KNOWN = {"Sigmoid": "sigmoid", "Tanh": "tanh", "Softmax": "softmax"}


def activation(subject: Linted) -> str | None:
    """The name of the last step: "sigmoid", "tanh" or "softmax"; None where it is anything else."""
    with seeded(subject.model):
        node: Any = subject.outputs_of(subject.batch).recon.grad_fn
    while node is not None:
        name = type(node).__name__.rstrip("0123456789").removesuffix("Backward")
        if name in KNOWN:
            return KNOWN[name]
        if name not in (*SHAPES, *BOUNDS) or not node.next_functions:
            return None
        node = node.next_functions[0][0]
    return None
