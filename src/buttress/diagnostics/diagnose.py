"""All estimators, one verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from buttress.diagnostics.active_units import Activity, activity, collapsed_fraction, count_active
from buttress.diagnostics.amortisation import refinement
from buttress.diagnostics.check import check
from buttress.diagnostics.codebook import codebook
from buttress.diagnostics.dispersion import feature_cosine
from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.evaluation import count, evaluating
from buttress.diagnostics.evidence import Evidence, Groups, numbers
from buttress.diagnostics.marginal_likelihood import bits_per_dim, likelihoods, perplexity
from buttress.diagnostics.mutual_information import beside_rate, information
from buttress.diagnostics.probe import chance, class_numbers, label_accuracy
from buttress.diagnostics.protocol import Batches, Model
from buttress.diagnostics.rate import Bound, bound, uniform_rate
from buttress.diagnostics.verdict import judge
from buttress.diagnostics.worth import worth
from buttress.distributions.inspect import is_discrete
from buttress.runtime.randomness import check_seed

__all__ = ["LEAST", "STAGES", "check_effort", "diagnose"]

LEAST = {
    "samples": 1,
    "nll_samples": 0,
    "nll_examples": 1,
    "gap_steps": 0,
    "gap_examples": 1,
    "mi_examples": 2,
}

OF_REALS = "x is no whole numbers: comparable only where it was, and has uniform noise; dims=0 leaves bits out"
"""What is noted of bits that may be those of a density in units of its own."""
OPTIONAL = ("nll_samples", "gap_steps")
"""What 0 leaves out."""

STAGES = ("bound", "active units", "mutual information", "worth of z", "likelihood", "amortisation gap", "verdict")
"""What ``progress`` is told about, in order."""


def check_effort(settings: Mapping[str, int | None]) -> None:
    """Refuse settings of :func:`diagnose` with which it would fail half-way.

    Errors:
        ValueError: One is too small, or the seed too large.

    Example:
        >>> check_effort({"nll_samples": -1})
        Traceback (most recent call last):
        ValueError: nll_samples is -1, wanted at least 0, which leaves it out
    """
    if (seed := settings.get("seed")) is not None:
        check_seed(seed)
    for name, least in LEAST.items():
        if (value := settings.get(name)) is not None and value < least:
            instead = (
                ", or null for all"
                if name.endswith("examples")
                else ", which leaves it out"
                if name in OPTIONAL
                else ""
            )
            raise ValueError(f"{name} is {value}, wanted at least {least}{instead}")


def diagnose(
    model: Model,
    batches: Batches,
    *,
    kind: Literal["image", "text", "table"] | None = None,
    dims: int | None = None,
    tokens: int | None = None,
    groups: Sequence[str] | None = None,
    encode: Callable[[Tensor], Tensor] | None = None,
    labels: object = None,
    samples: int = 4,
    nll_samples: int = 100,
    nll_examples: int | None = 1000,
    gap_steps: int = 100,
    gap_examples: int | None = 200,
    mi_examples: int | None = 5000,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> Evidence:
    """Measure whether z is used, and say why where it is not.

    The model is looked at in eval mode and without gradients; neither it nor any global random state is changed.

    Args:
        model: Ours, or yours through :class:`buttress.diagnostics.protocol.Adapter`.
        batches: Held-out data: a list of tensors x, observed (binarised, dequantised) once. Widths may differ.
        kind: Of the data; guessed where it is None (integers of two dimensions are text, four dimensions an image).
        dims: Numbers in one example, for bits per dimension; 0 to leave bits out; None to take it from x where x
            is an image, and to leave bits out where it is a table, whose columns of real numbers have a density and no
            bits. Not for text.
        tokens: Predicted tokens of all batches, ends of sentences included, for perplexity; None to count what is not
            0. Only for text.
        groups: Names of the latent groups: of all coordinates of z, or of its first dimension; None to take
            ``model.groups``, or to number the coordinates of z.
        encode: x -> the encoder's features (B, ...), for their dispersion; None to take ``model.encode``, if any.
        labels: Class of each example, (N,) in the order of ``batches``, for a probe of z: a tensor, a NumPy array or a
            list; None for none.
        samples: Samples of z per example for the ELBO and the worth of z.
        nll_samples: k of the importance-weighted NLL; 0 to leave it out.
        nll_examples: Examples for it, at most; None for all.
        gap_steps: Steps of refining q for each example; 0 to leave the amortisation gap out, and with it the cause.
        gap_examples: Examples for it, at most; None for all.
        mi_examples: Examples for mutual information, at most: its ceiling is their logarithm. None for all.
        seed: Of all noise and choices.
        progress: Called with (stage, stages done, stages in all) before each stage.

    Errors:
        ValueError: The model does not keep the protocol, gives NaN, or the data are not batches of tensors; a number of
            samples, steps or examples is too small, or the seed is negative or too large.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian(torch.ones(2, 1).double(), torch.zeros(2).double(), 1.0)
        >>> x, _ = model.sample(200)
        >>> quick = {"nll_samples": 0, "gap_steps": 20, "gap_examples": 50}
        >>> for arm in (model.vae(), model.lagging(), model.collapsed()):  # the best q; q = p(z); a decoder without z
        ...     verdict = diagnose(arm, [x], **quick).verdict
        ...     print(verdict.state, "|", verdict.cause)
        used | None
        collapsed | inference lags
        collapsed | the model ignores z
    """
    tell = _teller(progress)
    settings = {
        "samples": samples,
        "nll_samples": nll_samples,
        "nll_examples": nll_examples,
        "gap_steps": gap_steps,
        "gap_examples": gap_examples,
        "mi_examples": mi_examples,
        "seed": seed,
    }
    check_effort(settings)
    check(model, batches, seed)
    if groups is not None:
        _check_groups(groups, tuple(model.prior().event_shape))
    classes = None if labels is None else class_numbers(labels, count(batches))
    kind = _kind(batches[0]) if kind is None else kind
    found, active, estimates = _about_z(model, batches, samples, mi_examples, seed, tell)
    estimates |= _beside_z(model, batches, encode, classes, seed)
    tell(4)
    if nll_samples:
        estimates |= _likelihood(model, batches, kind, dims, tokens, nll_samples, nll_examples, seed)
    tell(5)
    if gap_steps:
        estimates |= _gap(model, batches, gap_steps, gap_examples, seed)
    tell(6)
    named = _groups(found, active, groups if groups is not None else getattr(model, "groups", None), model)
    return Evidence(count(batches), kind, estimates, named, settings, judge(estimates, kind))


def _about_z(
    model: Model, batches: Batches, samples: int, mi_examples: int | None, seed: int, tell: Callable[[int], None]
) -> tuple[Bound, Activity, dict[str, Estimate]]:
    """The bound and its parts, and how much of z is in use."""
    tell(0)
    found = bound(model, batches, samples=samples, seed=seed)
    tell(1)
    active, collapsed = activity(model, batches, seed=seed), collapsed_fraction(model, batches, seed=seed)
    tell(2)
    split = information(model, batches, examples=mi_examples, seed=seed)
    tell(3)
    value = worth(model, batches, samples=samples, seed=seed)
    estimates = {
        "elbo": found.elbo,
        "distortion": found.distortion,
        "rate": found.rate,
        "active_units": count_active(active),
        "mutual_information": beside_rate(split.mutual_information, found.rate),
        "aggregate_kl": split.aggregate_kl,
        "worth_shuffled": value.shuffled,
        "worth_prior": value.prior,
        "effective_beta": found.effective_beta,
        "collapsed_fraction": collapsed,
        **_of_codes(model, batches, active),
    }
    return found, active, estimates


def _gap(model: Model, batches: Batches, steps: int, examples: int | None, seed: int) -> dict[str, Estimate]:
    """What refining q for each example gains."""
    found = refinement(model, batches, steps=steps, examples=examples, seed=seed)
    return {"amortisation_gap": found.gap, "decoder_gain": found.decoder_gain, "refined_rate": found.rate}


def _beside_z(
    model: Model, batches: Batches, encode: Callable[[Tensor], Tensor] | None, labels: Tensor | None, seed: int
) -> dict[str, Estimate]:
    """What is measured where the model offers features or the data labels."""
    estimates = {}
    if encode is not None or hasattr(model, "encode"):
        estimates["feature_cosine"] = feature_cosine(model, batches, encode=encode, seed=seed)
    if labels is not None:
        estimates["label_accuracy"] = label_accuracy(model, batches, labels, seed=seed)
        estimates["label_accuracy_sampled"] = label_accuracy(model, batches, labels, of="samples", seed=seed)
        estimates["label_accuracy_chance"] = chance(labels, seed=seed)
    return estimates


def _check_groups(names: Sequence[str], shape: tuple[int, ...]) -> None:
    """Refuse names that the user gave and that fit no groups; those of a model are only left aside."""
    fit = {math.prod(shape), *shape[:1]}
    if isinstance(names, str) or len(names) not in fit:
        came = f"the text {names!r}" if isinstance(names, str) else f"{len(names)} names"
        raise ValueError(
            f"groups: got {came} for a z of shape {shape}, wanted a list of {' or '.join(map(str, sorted(fit)))} names"
        )


def _teller(progress: Callable[[str, int, int], None] | None) -> Callable[[int], None]:
    return lambda done: None if progress is None else progress(STAGES[done], done, len(STAGES))


def _kind(x: Tensor) -> Literal["image", "text", "table"]:
    if x.dim() == 2 and not x.is_floating_point():
        return "text"
    return "image" if x.dim() == 4 else "table"


def _of_codes(model: Model, batches: Batches, active: Activity) -> dict[str, Estimate]:
    """What is asked of a discrete z alone: its rate under the uniform prior, and the health of its codebook."""
    with evaluating(model):
        discrete = is_discrete(model.posterior(batches[0][:1]))
    if not discrete:
        return {}
    health = {} if active.codes is None else codebook(model, batches, active.codes)
    return {"rate_uniform": uniform_rate(model, active.n), **health}


def _likelihood(
    model: Model,
    batches: Batches,
    kind: str,
    dims: int | None,
    tokens: int | None,
    samples: int,
    examples: int | None,
    seed: int,
) -> dict[str, Estimate]:
    """NLL, effective sample size, and the conversion that fits the kind of data."""
    found = likelihoods(model, batches, samples=samples, examples=examples, seed=seed)
    estimates = {"nll": found.estimate, "effective_sample_size": found.effective}
    if kind == "text":
        per_example = None if tokens is None else tokens / count(batches)
        return estimates | {"perplexity": perplexity(found, per_example)}
    if dims is not None or kind != "image":
        return estimates | {"bits_per_dim": bits_per_dim(found.estimate, dims)} if dims else estimates
    bits, x = bits_per_dim(found.estimate, batches[0][0].numel()), batches[0]
    if x.is_floating_point() and (x != x.round()).any():  # who made x so is not known here
        bits = replace(bits, note=f"{bits.note}; {OF_REALS}")
    return estimates | {"bits_per_dim": bits}


def _groups(found: Bound, active: Activity, names: Sequence[str] | None, model: Model) -> Groups:
    """Rate and variance of each group: of each coordinate of z, unless names and shapes say that groups are larger."""
    variance, shape = active.variance_of_mean, model.prior().event_shape
    g = len(names) if names is not None else variance.numel()
    if g != variance.numel() and not (shape and g == shape[0]):
        names, g = None, variance.numel()  # one whole-z rate under many coordinates, say: fall back on coordinates
    rate, error = _folded(found.groups, g), _folded(found.groups_error, g, squared=True)
    unknown = torch.full((g,), torch.nan)
    return Groups(
        tuple(names) if names is not None else tuple(f"z{j}" for j in range(g)),
        numbers((unknown if rate is None else rate).tolist()),
        numbers((unknown if error is None else error).tolist()),
        numbers(variance.reshape(g, -1).sum(1).tolist()),
        tuple(shape) if g == variance.numel() else (),
        () if active.codes is None or g != variance.numel() else numbers(active.codes.perplexities.tolist()),
    )


def _folded(values: Tensor | None, g: int, squared: bool = False) -> Tensor | None:
    """Values of factors as values of g groups: sums, and roots of sums of squares for errors."""
    if values is None or values.numel() % g:
        return None
    rows = values.reshape(g, -1)
    return rows.square().sum(1).sqrt() if squared else rows.sum(1)
