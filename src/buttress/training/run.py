"""Train a recipe into a folder, and open the folder again: the whole interface of a run.

>>> import tempfile
>>> from dataclasses import replace
>>> from buttress.baseline import baseline
>>> from buttress.data.linear_gaussian import LinearGaussianData
>>> data = LinearGaussianData(dim=4, n=300)
>>> recipe = baseline(data, data.open().spec)
>>> recipe = replace(recipe, training=replace(recipe.training, steps=20))
>>> with tempfile.TemporaryDirectory() as folder:
...     run = train(recipe, folder + "/first", progress=False)
...     run.sample(3, seed=0).shape
torch.Size([3, 4])
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from buttress.core import EMPTY, DataSpec, Given, Splits, remedy
from buttress.core.model import LatentVariableModel
from buttress.core.recipe import Recipe
from buttress.data.opened import opened
from buttress.diagnostics.diagnose import check_effort, diagnose
from buttress.diagnostics.estimators.rate import bound, rate_under
from buttress.diagnostics.evidence import Evidence
from buttress.diagnostics.protocol import Batches
from buttress.priors.uniform import Uniform
from buttress.runtime.arguments import check_type, check_whole
from buttress.runtime.atomic_write import write_text
from buttress.runtime.memory import check_memory
from buttress.runtime.randomness import check_seed, seed_step
from buttress.training.callbacks import Callback
from buttress.training.course import carry_out, finished, prepare
from buttress.training.folder import EVIDENCE, RECIPE
from buttress.training.held_out import HeldOut, divided
from buttress.training.lock import belongs_to, lock
from buttress.training.place_labels import place_labels
from buttress.training.precision import as_recorded
from buttress.training.progress import Progress
from buttress.training.room import decoding
from buttress.training.spec_file import check_same_data, load_spec
from buttress.training.warm_start import weights_in

__all__ = ["Run", "train"]

AMORTISED = "amortised: q(z|x) as the encoder gives it"


def train(
    recipe: Recipe,
    folder: str | Path,
    *,
    resume: bool = False,
    init: str | Path | None = None,
    devices: int = 1,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Any] | None = None,
) -> Run:
    """Train a model, or continue training it.

    A run that was killed at any moment and resumed equals one that never was: bit for bit on a CPU. SIGTERM and Ctrl-C
    let the step under way end, save, and then end the process (SystemExit 143, KeyboardInterrupt).

    Args:
        recipe: What to train on what data.
        folder: Where the run lives; see :mod:`buttress.training.folder`.
        resume: Continue the run in ``folder``. A finished one is returned as it is, or trained further where the recipe
            differs from its own only in having more ``training.steps``. Where there is none a new one begins.
        init: The folder of a run whose weights a new run begins with, where names and shapes fit. A run that is resumed
            has its own already.
        devices: Processes (GPUs where there are some) that share each batch. The result is that of one process up to
            rounding.
        progress: Show a progress bar, and before it what a person should know about the data.
        callbacks: Called before the first step and after each; pickled where ``devices`` is above 1.
        loggers: Loggers of Lightning Fabric in place of TensorBoard's; ``metrics.csv`` is written either way.

    Errors:
        ValueError: The recipe, the data or the folder is not fit for it; found before the first step.
        NonFinite: A tensor became NaN or infinite; the folder keeps its last good checkpoint.

    Example:
        >>> import tempfile
        >>> from buttress.baseline import baseline
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> data = LinearGaussianData(dim=4, n=50)
        >>> recipe = baseline(data, data.open().spec)
        >>> recipe = replace(recipe, training=replace(recipe.training, steps=2, batch_size=8))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = train(recipe, folder, progress=False)
        ...     again = train(recipe, folder, progress=False, resume=True)  # finished, so nothing is done
        ...     run.progress.step, torch.equal(run.sample(1), again.sample(1))
        (2, True)
    """
    folder = Path(folder)
    recipe = as_recorded(recipe, folder)
    recipe.check()
    held = belongs_to(folder, recipe, resume, longer=True)
    if held is not None and finished(folder, held) and held.data == Recipe.load(folder / RECIPE).data:
        return Run.load(folder)
    with lock(folder):
        own, splits = prepare(recipe, folder, resume, init, devices, progress)
        carry_out(own, splits, folder, devices, progress=progress, callbacks=callbacks, loggers=loggers)
    return Run.load(folder, splits)


class Run:
    """A run on disk, ready to be evaluated.

    Args:
        folder: Where it lives.
        recipe: What was done.
        spec: What the parts know about the data.
        model: The trained model in eval mode, on the CPU.
        splits: The data, where it has been opened already.
        step: After how many steps of training the model was saved; what is measured on it is of that step.
        other_data: Accept data that differ from those it was trained on.

    Example:
        >>> Run.load("no/such/folder")
        Traceback (most recent call last):
        FileNotFoundError: no/such/folder is no folder, wanted that of a trained run; train one there first
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        spec: DataSpec,
        model: LatentVariableModel,
        splits: Splits | None = None,
        step: int = 0,
        other_data: bool = False,
    ) -> None:
        self.folder, self.recipe, self.spec, self.model, self.step = folder, recipe, spec, model, step
        self._splits, self.other_data = splits, other_data

    @classmethod
    def load(cls, folder: str | Path, splits: Splits | None = None, other_data: bool = False) -> Self:
        """Open a run, finished or not. Nothing in the folder is run; names are looked up among the parts.

        Args:
            folder: Where it lives.
            splits: Its data, where it has been opened already.
            other_data: Accept data that differ from those it was trained on, as long as the model can read them.

        Errors:
            FileNotFoundError: There is no run, or it has not saved anything yet.
            ValueError: A file is damaged.
        """
        folder = Path(folder)
        spec, recipe = load_spec(folder), Recipe.load(folder / RECIPE)
        step = Progress.read(folder).step  # before the weights: where another process trains, these are newer
        tensors = weights_in(folder)
        with torch.random.fork_rng([]):
            model = recipe.model(spec)
        try:
            model.load_state_dict(tensors)
        except (RuntimeError, TypeError, AttributeError) as error:
            first = str(error).strip().splitlines()[-1].strip()
            raise ValueError(f"{folder}: the weights are not those of {RECIPE} ({first})") from error
        return cls(folder, recipe, spec, model.eval(), splits, step, other_data)

    def __repr__(self) -> str:
        """The folder, and what the last diagnosis found."""
        try:
            verdict = Evidence.load(self.folder / EVIDENCE).verdict.state
        except (OSError, ValueError):
            verdict = "not diagnosed yet"
        return f"Run({str(self.folder)!r}, step {self.step}: {verdict})"

    @property
    def progress(self) -> Progress:
        """How far training is."""
        return Progress.read(self.folder)

    @property
    def seconds(self) -> float:
        """Time spent on training."""
        return self.progress.seconds

    def splits(self) -> Splits:
        """The data, opened.

        Errors:
            OtherData: They are not those that the run was trained on, and ``other_data`` is False.
        """
        if self._splits is None:
            self.use(opened(self.recipe.data))
        assert self._splits is not None
        return self._splits

    def use(self, splits: Splits) -> None:
        """Take these data for those of the run.

        Errors:
            OtherData: They are not those that the run was trained on, and ``other_data`` is False or the model cannot
                read them.
        """
        fits = splits.spec.layout == self.spec.layout
        if not (fits and self.other_data):
            accept = "To use these data all the same, add --other_data true (Run.load(folder, other_data=True))"
            check_same_data(self.folder, splits, accept if fits else "Bring the data back, or train a new run")
        self._splits = splits

    def held_out(self, seed: int = 0, most: int | None = None) -> HeldOut:
        """Observed held-out data in batches, the same whenever they are read, without those kept for validations."""
        examples = self.splits().held_out
        among = divided(examples, self.recipe.training.validation)[1]
        return HeldOut(examples, self.model.observe, seed, most=most, among=among)

    def evaluation_model(self, seed: int = 0) -> Any:
        """The model with the q(z|x) that its algorithm trains it for; see :class:`buttress.core.Algorithm`."""
        recipe = self.recipe
        return recipe.algorithm.evaluation_model(self.model, recipe.objective, recipe.training.steps - 1, seed)

    def diagnose(self, *, seed: int = 0, **settings: Any) -> Evidence:
        """Measure on held-out data whether z is used and why not; writes ``evidence.json``.

        The q(z|x) measured is the one that the algorithm trains the model for; ``settings["inference"]`` says which.
        Where it is not the encoder's own, ``elbo_amortised`` and ``rate_amortised`` are what the encoder's gives.
        ``settings["step"]`` is how far training was. Where an algorithm trains q under another prior than the model's,
        ``rate_first_stage`` is the rate under that one.

        Args:
            seed: Of all draws.
            settings: Further settings of :func:`buttress.diagnostics.diagnose.diagnose`.
        """
        check_effort({"seed": seed, **settings})
        self._refresh(seed)
        model, batches = self.evaluation_model(seed), self.held_out(seed)
        labels, factors = self.splits().labels, self.splits().factors
        order = torch.cat(batches.index)
        labels = None if labels is None else labels[order]
        factors = None if factors is None else factors.take(order)
        weight = self.recipe.objective.weight(self.recipe.training.steps - 1)
        offered: dict[str, Any] = {"kind": self.spec.kind, "encode": self.model.encode, "beta": weight}
        said = place_labels(self.model, self.splits().held_out, order)
        offered |= {"seconds": self.spec.seconds, "place_labels": said}
        offered |= {"labels": labels, "factors": factors, **settings}
        if self.spec.kind != "text":
            bits = self.recipe.likelihood.counts_bits(self.spec.layout)
            offered.setdefault("dims", math.prod(self.spec.shape) if bits else 0)
        evidence = with_inference(diagnose(model, batches, seed=seed, **offered), self.model, model, batches)
        evidence = self._with_first_prior(evidence, batches)
        advice = remedy.fitting(evidence.verdict.advice, self.recipe)
        verdict = replace(evidence.verdict, advice=advice)
        evidence = replace(evidence, settings={**evidence.settings, "step": self.step}, verdict=verdict)
        write_text(self.folder / EVIDENCE, evidence.to_json() + "\n")
        return evidence

    def _with_first_prior(self, evidence: Evidence, batches: Batches) -> Evidence:
        """The evidence, with the rate under the prior of the first stage where the model has another by now."""
        first = self.recipe.algorithm.first_prior(self.model)
        if first is None:
            return evidence
        settings = {name: evidence.settings[name] for name in ("samples", "seed")}
        rate = rate_under(first, self.model, batches, **settings)
        return replace(evidence, estimates={**evidence.estimates, "rate_first_stage": rate})

    def _refresh(self, seed: int) -> None:
        """Bring what the model remembers of the training data up to date, as a finished run has done."""
        if not self.progress.finished:
            examples = HeldOut(self.splits().train, self.model.observe, seed)
            with torch.no_grad():
                self.model.refresh(lambda: map(examples.__getitem__, range(len(examples))))

    def sample(
        self, count: int, seed: int = 0, uniform: bool = False, given: Mapping[str, Any] | None = None
    ) -> Tensor:
        """``count`` new examples x, from z ~ p(z) and x ~ p(x|z).

        Args:
            count: How many.
            seed: Of all draws.
            uniform: Draw every code uniformly instead of from p(z), to see what a learned prior adds.
            given: The conditions of each example, ``count`` rows, where the model reads any, as tensors or as lists of
                numbers or class names: ``{"label": ["cat", "dog", "cat"]}``; None for those of held-out examples drawn
                at random.

        Errors:
            ValueError: Uniform codes are asked for, but z is made of real numbers; a count below 1; conditions of
                another number of examples, or that the data do not have.
        """
        check_whole("count", count)
        check_type("given", given, Mapping, "a dict of conditions", optional=True)
        if count < 1:
            raise ValueError(f"sample: count is {count}, wanted at least 1")
        self.check_room(count)
        with self._draws(seed):
            beside = self._given_at_random(count, seed) if given is None else self.spec.rows(given, count)
            return self.model.sample(count, Uniform().build(self.model.space)() if uniform else None, beside)

    def _given_at_random(self, count: int, seed: int) -> Given:
        """Conditions of held-out examples, where the model reads any."""
        if not self.model.reads:
            return EMPTY
        examples = self.splits().held_out
        index = torch.randint(len(examples), (count,), generator=torch.Generator().manual_seed(seed))
        return examples.read(index).given

    def check_room(self, count: int) -> None:
        """Refuse to decode more examples at once than fit into memory.

        Errors:
            ValueError: They would not fit; says what they need.
        """
        check_memory(count * decoding(self.spec), f"{count:,} examples decoded together", "fewer of them")

    def reconstruct(self, raw: Tensor, seed: int = 0, given: Given = EMPTY) -> Tensor:
        """Stored examples, with what is given beside them -> z ~ q(z|x) -> x ~ p(x|z)."""
        with self._draws(seed), torch.no_grad():
            x = self.model.observe(raw)
            z = self.evaluation_model(seed).posterior(x, given).sample()
            return self.model.decode(z, given).sample()

    def interpolate(self, raw_a: Tensor, raw_b: Tensor, steps: int = 8, seed: int = 0, given: Given = EMPTY) -> Tensor:
        """Examples on the way from each of B examples to another, shape (steps, B, ...).

        The way is straight from one posterior sample to the other, or where z is discrete takes over one code after
        the other, in random order; the ends are reconstructions.

        Args:
            raw_a: Stored examples where the ways begin, shape (B, ...).
            raw_b: Stored examples where they end, as many.
            steps: Points on each way, the ends included.
            seed: Of all draws.
            given: The conditions that all points of each way share, B rows, where the model reads any.
        """
        if steps < 2 or len(raw_a) != len(raw_b):
            raise ValueError(
                f"interpolate: got {len(raw_a)} and {len(raw_b)} examples and {steps} steps; wanted as many ends as "
                "beginnings, and at least 2 steps"
            )
        self.check_room(steps * len(raw_a))
        with self._draws(seed), torch.no_grad():
            model = self.evaluation_model(seed)
            a, b = (model.posterior(self.model.observe(raw), given).sample() for raw in (raw_a, raw_b))
            return self.model.decode(between(a, b, torch.linspace(0, 1, steps)), given).sample()

    def _draws(self, seed: int) -> Any:
        return _Seeded(seed)


def between(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Latents (len(weight), B, ...) on the way from each of ``a`` (B, ...) to each of ``b``."""
    weight = weight.reshape(-1, *[1] * a.dim())
    if a.is_floating_point():
        return torch.lerp(a[None], b[None], weight)
    order = torch.randperm(a[0].numel()).reshape(a.shape[1:]) / a[0].numel()
    return torch.where(order < weight, b, a)


def with_inference(evidence: Evidence, model: LatentVariableModel, evaluated: Any, batches: Batches) -> Evidence:
    """The evidence of ``evaluated``, with how its q was found, and how the model's own q fares beside it."""
    if evaluated is model:
        return replace(evidence, settings={**evidence.settings, "inference": AMORTISED})
    estimates, settings = dict(evidence.estimates), evidence.settings
    if evaluated.amortised is not None:
        own = bound(evaluated.amortised, batches, samples=settings["samples"], seed=settings["seed"])
        estimates |= {"elbo_amortised": own.elbo, "rate_amortised": own.rate}
    inference = evaluated.describe_inference()
    return replace(evidence, estimates=estimates, settings={**settings, "inference": inference})


class _Seeded:
    """Draws from ``seed``; the global random state is as it was afterwards."""

    def __init__(self, seed: int) -> None:
        check_seed(seed)
        self.seed, self.fork = seed, torch.random.fork_rng([])

    def __enter__(self) -> None:
        self.fork.__enter__()
        seed_step(self.seed, 0)

    def __exit__(self, *failure: Any) -> None:
        self.fork.__exit__(*failure)
