"""The reconstruction ends in a function whose range does not hold the data."""

from __future__ import annotations

from collections.abc import Iterator

from buttress.diagnostics.lint.activation import activation
from buttress.diagnostics.lint.finding import LintFinding
from buttress.diagnostics.lint.rule import rule
from buttress.diagnostics.lint.subject import Linted, Silent

RANGES = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}
NEAR = 0.01
"""Part of a range by which data may lie outside, as rounding leaves them."""


@rule
def output_range(subject: Linted) -> Iterator[LintFinding]:
    """Whether x lies outside of what the decoder can give, where the loss compares the two."""
    likelihood = subject.terms.likelihood
    if likelihood is None or not subject.x.is_floating_point():
        raise Silent("the reconstruction term follows no likelihood of numbers that is known")
    low, high = RANGES.get(activation(subject) or "", (-float("inf"), float("inf")))
    x, slack = subject.x, NEAR * (high - low)
    beyond = ((x < low - slack) | (x > high + slack)).float().mean().item()
    if beyond > 0 and likelihood.name != "binary cross-entropy of logits":
        yield LintFinding(
            "output-range", "error", "certain",
            f"x goes from {x.min():.3g} to {x.max():.3g}, and the reconstruction stays between {low:g} and {high:g}: "
            f"{beyond:.0%} of x cannot be reached",
            f"scale x to {low:g} ... {high:g}, or end the decoder without it",
        )  # fmt: skip
