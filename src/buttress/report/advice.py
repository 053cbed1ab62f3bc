"""What to expect of a run that will disappoint, and commands to paste that may help."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from buttress.diagnostics.verdict import COLLAPSED, FAR
from buttress.report.numbers import nats
from buttress.report.results import Curve, RunResult

__all__ = ["Notice", "command", "commands", "notices"]

LATE = 0.2
"""The last fifth of training, in which −ELBO should hardly change."""
LEAST, SHARE = 0.5, 0.005
"""A change of −ELBO by less than so many nats, or than this share of it, is no news."""
POINTS = 3
"""Points from which a trend is read; with fewer held-out ones, it is read from training data."""
MISMATCH, MISMATCH_SHARE = 2.0, 0.5
"""Nats of KL(q(z) ‖ p(z)), and its share of the rate, from which samples are expected to be worse."""
UNIFORM = (
    "The prior over codes is uniform: samples combine codes that do not occur together and will look worse than "
    "reconstructions. Learn the prior in a second stage, as the remedy vector_quantized does."
)
MOST = 3
"""Remedies that get a command."""


@dataclass(frozen=True)
class Notice:
    """Something to know before looking at the pictures.

    Args:
        text: What was found, what to expect, and what to try.
        flags: Flags of ``buttress train`` that do it; empty where there are none.
        suffix: Of the folder of that run.
    """

    text: str
    flags: tuple[str, ...] = ()
    suffix: str = ""


def notices(run: RunResult) -> list[Notice]:
    """What to expect of a run's samples and numbers where these will disappoint."""
    found = (_not_converged(run), _overfits(run), _prior_mismatch(run))
    return [notice for notice in found if notice is not None]


def commands(run: RunResult) -> list[str]:
    """Commands that try what the verdict advises, then what the notices advise."""
    if not run.recipe:
        return []
    tried = {name.partition(":")[0] for name in run.remedies.split("+")}
    advice = run.evidence.verdict.advice if run.evidence else ()
    fresh = [name for name in advice if name.partition(":")[0] not in tried][:MOST]
    lines = [command(run, ("--remedies", name), name) for name in fresh]
    return lines + [command(run, notice.flags, notice.suffix) for notice in notices(run) if notice.flags]


def command(run: RunResult, flags: Sequence[str], suffix: str) -> str:
    """``buttress train`` on the data and recipe of a run with other flags, into a folder beside that of the run."""
    out = run.folder.with_name(f"{run.folder.name}-{suffix.partition(':')[0]}")
    return shlex.join(["buttress", "train", "--from", str(run.folder), *flags, "--out", str(out)])


def _not_converged(run: RunResult) -> Notice | None:
    line = _nelbo(run)
    if line is None or (drop := _late_drop(line)) < _news(line):
        return None
    steps = int(line[0][-1])
    what = "distortion plus rate" if run.critic else "−ELBO"
    then = "" if run.critic else " Samples and reconstructions will improve with more steps."
    return Notice(
        f"Not converged: {what} still fell by {nats(drop)} nats over the last {LATE:.0%} of training.{then}",
        ("--training.steps", str(2 * steps)),
        "longer",
    )


def _overfits(run: RunResult) -> Notice | None:
    line = run.metrics.curve("held_out", "elbo") if run.metrics else None
    if line is None or len(line[0]) < POINTS:
        return None
    steps, nelbo = line[0], -line[1]
    best = int(np.argmin(nelbo))
    if (rise := float(nelbo[-1] - nelbo[best])) < _news(line):
        return None
    return Notice(
        f"The held-out −ELBO rose by {nats(rise)} nats after step {steps[best]:,.0f}: the model overfits. Stop there, "
        "use more data, or a smaller decoder.",
        ("--training.steps", str(int(steps[best]))),
        "shorter",
    )


def _prior_mismatch(run: RunResult) -> Notice | None:
    gap, rate = run.value("aggregate_kl"), run.value("rate")
    if run.critic or gap is None or rate is None or gap < max(MISMATCH, MISMATCH_SHARE * rate):
        return None
    if run.state == COLLAPSED or (run.evidence and FAR in run.evidence.verdict.causes):  # the verdict says it
        return None
    if run.value("rate_uniform") is not None:
        uniform = (
            "The prior over codes is uniform: samples combine codes that do not occur together and will look worse "
        )
        uniform += "than reconstructions. Learn the prior in a second stage, as the remedy vector_quantized does."
        return Notice(uniform) if run.prior == "uniform" else None
    flags = ("--remedies", "flow_prior") if run.prior == "standard_normal" else ()
    if run.at_ceiling:
        return Notice(
            f"KL(q(z)‖p(z)) is at most {nats(gap)} of a rate of {nats(rate)} nats; with so few examples it cannot be "
            "measured better. If samples look worse than reconstructions, prior samples come from regions where the "
            "decoder was hardly trained: fit the prior to q(z), or give the rate more weight.",
            flags,
            "flow_prior",
        )
    return Notice(
        f"KL(q(z)‖p(z)) is {nats(gap)} of a rate of {nats(rate)} nats: prior samples come from regions where the "
        "decoder was hardly trained, so samples will look worse than reconstructions. Fit the prior to q(z), or give "
        "the rate more weight.",
        flags,
        "flow_prior",
    )


def _nelbo(run: RunResult) -> Curve | None:
    """−ELBO over training: of held-out data where there are enough points, else of training data."""
    for split, points in (("held_out", POINTS), ("train", 2)):
        line = run.metrics.curve(split, "elbo") if run.metrics else None
        if line is not None and len(line[0]) >= points:
            return line[0], -line[1]
    return None


def _late_drop(line: Curve) -> float:
    """By how much the curve fell over the last fifth of training, by a straight line through its points there."""
    steps, values = line
    late = steps >= (1 - LATE) * steps[-1]
    late[-POINTS:] = True
    slope = float(np.polyfit(steps[late], values[late], 1)[0])
    return -slope * LATE * float(steps[-1])


def _news(line: Curve) -> float:
    """The least change of −ELBO to mention."""
    return max(LEAST, SHARE * abs(float(line[1][-1])))
