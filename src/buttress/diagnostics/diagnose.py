"""All estimators, one verdict."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

import torch
from torch import Tensor

from buttress.core.layout import Kind
from buttress.diagnostics.adapters import Adapted, adapted
from buttress.diagnostics.as_it_was import as_it_was
from buttress.diagnostics.check import check
from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.estimator import STAGES, Subject, catalogue
from buttress.diagnostics.evaluation import evaluating
from buttress.diagnostics.evidence import Evidence, Groups, numbers
from buttress.diagnostics.modules import Kept, training_parts
from buttress.diagnostics.numbers import COMPRESSION, Purpose
from buttress.diagnostics.passes import Encoded, as_batch, count, prior_of
from buttress.diagnostics.processes import between_processes
from buttress.diagnostics.protocol import Conditional
from buttress.diagnostics.representation import as_factors
from buttress.diagnostics.telling import Telling
from buttress.diagnostics.verdict import judge
from buttress.diagnostics.wiring import ROWS, Wiring, batch_of, gradient_of_x, loss_mistakes, some_of, wiring_of
from buttress.runtime.arguments import check_names, check_number, check_whole
from buttress.runtime.memory import check_memory
from buttress.runtime.randomness import check_seed

__all__ = ["ENOUGH", "LEAST", "STAGES", "check_effort", "diagnose"]

LEAST = {
    "samples": 1,
    "nll_samples": 0,
    "nll_examples": 1,
    "gap_steps": 0,
    "gap_examples": 1,
    "mi_examples": 2,
}
OPTIONAL = ("nll_samples", "gap_steps")
"""What 0 leaves out."""
ENOUGH = (
    "rate",
    "active_units",
    "codebook",
    "posterior_scale",
    "mutual_information",
    "prior_moments",
    "contrastive",
    "worth",
    "worth_critic",
)
"""Estimators that the state of a model rests on; causes and advice rest on others too."""


LATENT = 4 * 64
"""Bytes of one sample of z, roughly."""


def check_effort(settings: Mapping[str, Any]) -> None:
    """Refuse settings of :func:`diagnose` with which it would fail half-way.

    Errors:
        ValueError: There is no such setting; one is no number, or too small; or the seed is too large.

    Example:
        >>> check_effort({"nll_samples": -1})
        Traceback (most recent call last):
        ValueError: nll_samples is -1, wanted at least 0, which leaves it out
    """
    check_names(settings, diagnose, "a diagnosis")
    for name in {*LEAST, "seed"} & settings.keys():
        check_whole(name, settings[name], optional=name.endswith("examples"))
    for name in {"variance", "beta"} & settings.keys():
        check_number(name, settings[name], optional=True)
    if (only := settings.get("only")) is not None:
        _check_only(only)
    if "seed" in settings:
        check_seed(settings["seed"])
    for name in {"samples", "nll_samples"} & settings.keys():
        check_memory(LATENT * settings[name], f"so many {name}", "fewer of them")
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
    model: Any,
    batches: Any = None,
    *,
    likelihood: str | None = None,
    variance: float | None = None,
    loss_fn: Callable[..., Any] | None = None,
    kind: Kind | None = None,
    dims: int | None = None,
    tokens: int | None = None,
    groups: Sequence[str] | None = None,
    encode: Callable[[Tensor], Tensor] | None = None,
    labels: object = None,
    factors: object = None,
    place_labels: Tensor | None = None,
    beta: float | None = None,
    purpose: str = "density",
    seconds: float = 0.0,
    samples: int = 4,
    nll_samples: int = 100,
    nll_examples: int | None = 1000,
    gap_steps: int = 100,
    gap_examples: int | None = 200,
    mi_examples: int | None = 5000,
    only: Sequence[str] | None = None,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> Evidence:
    """Measure whether z is used, and why where it is not.

    The model is measured in eval mode and without gradients; neither it nor any global random state is changed.

    Args:
        model: Ours; yours through :class:`buttress.diagnostics.protocol.Adapter`; a module whose ``forward`` returns
            (recon, mu, logvar), (recon, x, mu, logvar) or a dict of these, with its ``likelihood`` named (see
            :mod:`buttress.diagnostics.adapters`); or a run, which brings its own data.
        batches: Held-out data: a list of tensors x or of ``Batch(x, given)``, observed (binarised, dequantised) once,
            whose widths may differ; or a tensor, an array, a ``Dataset``, or a ``DataLoader`` of x, (x, y) or dicts.
        likelihood: Of a module that returns reconstructions: "bernoulli" (logits or probabilities), "gaussian" with
            ``variance``, "mse", a squared error summed over the elements of x, or "poisson" (logs of the means, as for
            ``torch.nn.PoissonNLLLoss``).
        variance: sigma^2 of "gaussian", in squared units of x.
        loss_fn: What such a module is trained with, ``loss_fn(model, batch)`` or ``loss_fn(recon, x, mu, logvar)``:
            then mistakes in it are causes, and the weight of the rate is read off it. None for a "loss" among what
            ``forward`` returns, if there is one.
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
            list, negative where it is not known; None for those that ``batches`` bring, if any.
        factors: Known factors of each example, such as shape and size, for scores of disentanglement:
            :class:`buttress.core.Factors`, a mapping from names to columns, or numbers of shape (N, F). None for none.
        place_labels: What is said at each of the P places of z of every example (its phone, say), whole numbers (N, P),
            negative where nothing is; for what codes tell of it. None for none; a run brings those of its data.
        beta: Weight of the rate (KL) in the loss that the model was trained with, at its end: 1 for the ELBO. None
            where it is not known; a run brings its own.
        purpose: "density" for a model of p(x), or of what z says of x; "compression" for an autoencoder whose z a
            second model will learn (latent diffusion): then a q that is a point and far from the prior is wanted, and
            noise in z is not.
        seconds: Of sound, from one place of x to the next, for bits per second; 0 for other data. A run brings its own.
        samples: Samples of z per example for the ELBO and for what shuffling z costs.
        nll_samples: k of the importance-weighted NLL; 0 to leave it out.
        nll_examples: Examples for it, at most; None for all.
        gap_steps: Steps of refining q for each example, at most; 0 to leave the amortisation gap out, and with it the
            cause.
        gap_examples: Examples for it, at most; None for all.
        mi_examples: Examples for mutual information, at most: its ceiling is their logarithm. None for all.
        only: Names of the files of ``estimators/`` to run, such as :data:`ENOUGH`, for a quick look; None for all.
        seed: Of all noise and choices.
        progress: Called with (stage, stages done, stages in all) before each stage; in one that lasts, every few
            seconds, the stage followed by what it is at.

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
    wishes = {name: value for name, value in locals().items() if name not in ("model", "batches")}
    if callable(getattr(model, "diagnose", None)) and not callable(getattr(model, "log_likelihood", None)):
        return _of_run(model, batches, wishes)
    settings = {name: wishes[name] for name in (*LEAST, "seed")}
    check_effort({**settings, "variance": variance, "beta": beta, "only": only})
    if not 0 <= seconds < math.inf:
        raise ValueError(f"seconds is {seconds}, wanted those from one place of sound to the next; 0 for other data")
    if purpose not in get_args(Purpose):
        raise ValueError(f"purpose is {purpose!r}, wanted one of {', '.join(map(repr, get_args(Purpose)))}")
    if beta is not None and not 0 <= beta < math.inf:
        raise ValueError(f"beta is {beta}, wanted the weight of the rate in the loss, at least 0; 1 for the ELBO")
    if loss_fn is not None and not callable(loss_fn):
        raise ValueError(f"loss_fn is a {type(loss_fn).__name__}, wanted a function of (model, batch)")
    with as_it_was((model, loss_fn)):
        try:
            found, kept = adapted(model, batches, likelihood, variance, labels), Kept(model)
        except ValueError as error:
            if "forward(x) gave" in str(error) and (told := loss_mistakes(model, batches, loss_fn)):
                raise ValueError(f"{error}{told}") from error
            raise
        try:
            wired = _wiring(found, batches, loss_fn, likelihood, variance)
            wired = replace(wired, found={**wired.found, **between_processes(model)})
            return _diagnosis(found, settings, wishes, kept, wired)
        finally:
            kept.restore()


def _wiring(
    found: Adapted, data: Any, loss_fn: Callable[..., Any] | None, likelihood: str | None, variance: float | None
) -> Wiring:
    """What forward and the loss of a module show; nothing of a model that is no such module."""
    if found.forward is not None and likelihood is not None:
        batch = batch_of(found.forward, data, some_of(found.batches), found.names)
        return wiring_of(found.forward, batch, loss_fn, likelihood, variance)
    if loss_fn is not None:
        raise ValueError(
            "loss_fn is given, and the model is no module whose forward(x) returns (recon, mu, logvar); leave it out, "
            "and say beta=, the weight of the rate in the loss"
        )
    if found.library is not None and gradient_of_x(found.library, as_batch(found.batches[0]).x[:ROWS]) is False:
        told = (
            "no gradient goes from the reconstruction to x; look for detach(), an argmin or rounding without a "
            "straight-through estimator (z + (q - z).detach())"
        )
        return Wiring({"wiring/no-gradient": Estimate(1.0, None, ROWS, "gradients of a batch", note=told)})
    return Wiring()


def _diagnosis(
    found: Adapted, settings: Mapping[str, Any], wishes: Mapping[str, Any], kept: Kept, wired: Wiring
) -> Evidence:
    """Check, measure, judge."""
    groups, telling = wishes["groups"], Telling(wishes["progress"], len(STAGES))
    subject, noted = _subject(found, settings, wishes, wired, telling)
    with evaluating(subject.model, subject.seed):
        shape = tuple(prior_of(subject.model, subject.data).event_shape)
    if groups is not None:
        _check_groups(groups, shape)
    _measure(subject, wishes["only"], telling)
    notes = (
        *([COMPRESSION] if wishes["purpose"] == "compression" else []),
        *found.notes,
        *_mode_note(subject.model),
        *_change_note(kept.restore()),
        *noted,
    )
    verdict = judge(subject.estimates, subject.kind, notes)
    named = _groups(subject, shape)
    return Evidence(count(subject.data), subject.kind, subject.estimates, named, settings, verdict, notes)


def _subject(
    found: Adapted, settings: Mapping[str, Any], wishes: Mapping[str, Any], wired: Wiring, telling: Telling
) -> tuple[Subject, tuple[str, ...]]:
    """What is measured, checked, and what was noted of it."""
    asked = Conditional(found.model)
    data = Encoded(asked, found.batches, tell=telling.within)
    checked = check(asked, data, settings["seed"])
    offered = {name: getattr(found.model, name, None) for name in ("encode", "groups")}
    subject = Subject(
        model=asked,
        data=data,
        settings=settings,
        kind=_kind(data[0].x) if wishes["kind"] is None else wishes["kind"],
        dims=wishes["dims"],
        tokens=wishes["tokens"],
        encode=offered["encode"] if wishes["encode"] is None else wishes["encode"],
        labels=found.numbers(count(data)),
        factors=None if wishes["factors"] is None else as_factors(wishes["factors"], count(data)),
        place_labels=_checked(wishes["place_labels"], count(data)),
        groups=offered["groups"] if wishes["groups"] is None else wishes["groups"],
        conditions=checked.conditions,
        beta=next((b for b in (wishes["beta"], wired.beta, found.beta) if b is not None), None),
        seconds=wishes["seconds"],
        purpose=wishes["purpose"],
        estimates=dict(wired.found),
    )
    return subject, checked.notes


def _checked(labels: Tensor | None, n: int) -> Tensor | None:
    if labels is not None and (labels.dim() != 2 or len(labels) != n or labels.is_floating_point()):
        raise ValueError(
            f"place_labels: got shape {tuple(labels.shape)} of {labels.dtype} for {n} examples, wanted whole numbers "
            f"of shape ({n}, places of z)"
        )
    return labels


def _check_only(only: Sequence[str]) -> None:
    """Refuse names of no estimators, and a choice without those that every diagnosis needs."""
    known = {one.name for one in catalogue()}
    if isinstance(only, str) or set(only) - known:
        came = repr(only) if isinstance(only, str) else ", ".join(sorted(set(only) - known))
        raise ValueError(f"only: got {came}, wanted a list of names such as {', '.join(ENOUGH)}")
    if missing := sorted({"rate", "active_units"} - set(only)):
        raise ValueError(f"only: it lacks {' and '.join(missing)}, which every diagnosis needs")


def _of_run(run: Any, batches: object, wishes: Mapping[str, Any]) -> Evidence:
    """A run diagnoses itself, on its own held-out data."""
    if batches is not None:
        raise ValueError("a run brings its own held-out data; leave the data out, or hand over run.model with them")
    usual = {name: parameter.default for name, parameter in inspect.signature(diagnose).parameters.items()}
    evidence: Evidence = run.diagnose(**{name: v for name, v in wishes.items() if v is not usual[name]})
    return evidence


def _measure(subject: Subject, only: Sequence[str] | None, telling: Telling) -> None:
    """Run every estimator that is wanted, stage by stage."""
    for done, stage in enumerate(STAGES):
        telling.stage(stage, done)
        for one in catalogue():
            if one.stage == stage and (only is None or one.name in only):
                subject.estimates |= one.measure(subject)


def _mode_note(model: Any) -> list[str]:
    """What is noted where the model came in training mode."""
    parts = training_parts(model)
    if not parts:
        return []
    return [f"the model came in training mode and was measured in eval mode, with {' and '.join(parts)} as in use"]


def _change_note(changed: int) -> list[str]:
    """What is noted where calling the model changed it."""
    if not changed:
        return []
    return [f"calling the model changes {changed} of its tensors (running statistics?); they have been put back"]


def _check_groups(names: Sequence[str], shape: tuple[int, ...]) -> None:
    """Refuse names that the user gave and that fit no groups; those of a model are only left aside."""
    fit = {math.prod(shape), *shape[:1]}
    if isinstance(names, str) or len(names) not in fit:
        came = f"the text {names!r}" if isinstance(names, str) else f"{len(names)} names"
        raise ValueError(
            f"groups: got {came} for a z of shape {shape}, wanted a list of {' or '.join(map(str, sorted(fit)))} names"
        )


def _kind(x: Tensor) -> Kind:
    if x.dim() == 2 and not x.is_floating_point():
        return "text"
    return "image" if x.dim() == 4 else "table"


def _groups(subject: Subject, shape: tuple[int, ...]) -> Groups:
    """Rate and variance of each group: of each coordinate of z, unless names and shapes say that groups are larger."""
    found, active, names = subject.kept["bound"], subject.kept["activity"], subject.groups
    variance = active.variance_of_mean
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
        subject.kept.get("followed", ()) if g == variance.numel() else (),
        ()
        if (critical := subject.kept.get("critical_rates")) is None or len(critical) != g
        else numbers(critical.tolist()),
    )


def _folded(values: Tensor | None, g: int, squared: bool = False) -> Tensor | None:
    """Values of factors as values of g groups: sums, and roots of sums of squares for errors."""
    if values is None or values.numel() % g:
        return None
    rows = values.reshape(g, -1)
    return rows.square().sum(1).sqrt() if squared else rows.sum(1)
