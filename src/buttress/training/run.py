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
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
from lightning.pytorch import Callback
from torch import Tensor

from buttress.algorithms.descent import NonFinite, first_non_finite, first_non_finite_output
from buttress.core import DataSpec, Splits
from buttress.core.model import LatentVariableModel
from buttress.core.recipe import Recipe
from buttress.data.opened import opened, tell
from buttress.diagnostics.diagnose import LEAST, check_effort, diagnose
from buttress.diagnostics.estimators.rate import bound
from buttress.diagnostics.evidence import Evidence
from buttress.diagnostics.protocol import Batches
from buttress.priors.uniform import Uniform
from buttress.runtime.atomic_write import write_text
from buttress.runtime.randomness import check_seed, seed_step
from buttress.training import checkpoint
from buttress.training import folder as files
from buttress.training.batch_sampler import Order
from buttress.training.fit import fit, fit_together
from buttress.training.held_out import HeldOut
from buttress.training.stop import Stop
from buttress.training.support import check_support

__all__ = ["Run", "train"]

AMORTISED = "amortised: q(z|x) as the encoder gives it"


def train(
    recipe: Recipe,
    folder: str | Path,
    *,
    resume: bool = False,
    devices: int = 1,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Train a model, or go on training it.

    A run that was killed at any moment and resumed equals one that never was: bit for bit on a CPU. SIGTERM and Ctrl-C
    let the step under way end, save, and then end the process (SystemExit 143, KeyboardInterrupt).

    Args:
        recipe: What to train on what data.
        folder: Where the run lives; see :mod:`buttress.training.folder`.
        resume: Go on with the run in ``folder``; a finished one is returned as it is, and where there is none a new
            one begins.
        devices: Processes (GPUs where there are some) that share each batch. The result is that of one process up to
            rounding.
        progress: Show a progress bar, and before it what a person should know about the data.
        callbacks: Callbacks of Lightning; pickled where ``devices`` is above 1.

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
    recipe.check()
    if files.claimed(folder, recipe, resume) and files.Progress.read(folder).finished:
        return Run.load(folder)
    with files.alone(folder):
        new = files.claim(folder, recipe, resume)  # asked again, for another process may have been faster
        try:
            splits = opened(recipe.data)
            files.same_data(folder, splits)
            check(recipe, splits, devices)
        except BaseException:
            if new:
                files.give_up(folder)
            raise
        files.save_spec(folder, splits)
        if progress:
            tell(splits)
        _fit(recipe, splits, folder, devices, progress, callbacks)
    return Run.load(folder, splits)


def _fit(
    recipe: Recipe, splits: Splits, folder: Path, devices: int, progress: bool, callbacks: Sequence[Callback]
) -> None:
    stop = Stop()
    try:
        if devices == 1:
            fit(recipe, splits, folder, stop, progress=progress, callbacks=callbacks)
        else:
            fit_together(recipe, folder, stop, devices, progress, callbacks)
    except NonFinite as error:
        raise NonFinite(f"{error}. {_advice(recipe, folder)}") from error
    if not (done := files.Progress.read(folder)).finished:
        message = f"stopped at step {done.step} of {recipe.training.steps} and saved; go on with --resume (resume=True)"
        if stop.signal == signal.SIGINT:
            raise KeyboardInterrupt(message)
        print(f"buttress: {folder}: {message}", file=sys.stderr)
        raise SystemExit(128 + stop.signal)


def _advice(recipe: Recipe, folder: Path) -> str:
    settings, done = recipe.training, files.Progress.read(folder)
    kept = f"The checkpoint of step {done.step} is kept" if done.step else "No checkpoint had been made yet"
    bf16 = ", or precision 32-true" if settings.precision != "32-true" else ""
    return (
        f"{kept}. Try a learning_rate below {settings.learning_rate}, or a clip below {settings.clip} (in training)"
        f"{bf16}, and look for extreme values in the data"
    )


def check(recipe: Recipe, splits: Splits, devices: int = 1) -> None:
    """Refuse what would fail or mislead later, before anything is trained.

    Errors:
        ValueError: A part does not fit the data; data outside the likelihood's support; fewer than two held-out
            examples, on which nothing can be measured; a batch larger than the data or not divisible among the
            devices; a loss that is not finite at the start.
    """
    settings = recipe.training
    if devices < 1:
        raise ValueError(f"devices is {devices}, wanted at least 1")
    if settings.batch_size % devices:
        raise ValueError(
            f"batch_size is {settings.batch_size} and devices is {devices}: each process takes an equal share of a "
            f"batch; try batch_size {max(1, settings.batch_size // devices) * devices}"
        )
    if (out := len(splits.held_out)) < 2:
        raise ValueError(
            f"got {out} held-out example{'s' * (out != 1)}, wanted at least 2 to measure on (some hundreds for usable "
            "standard errors); try a larger held_out, or more data"
        )
    order = Order(len(splits.train), settings.batch_size, settings.seed, splits.train.lengths)
    with torch.random.fork_rng([]), torch.no_grad():
        seed_step(settings.seed, 0)
        model = recipe.model(splits.spec)
        check_support(splits, model.decoder.likelihood.check)
        recipe.algorithm.build(model, recipe.objective, settings)
        x = model.observe(splits.train.batch(order.indices(0)))
        try:
            terms = model(x, recipe.objective.samples)
            loss = recipe.objective(terms, 0)
            wrong = None if torch.isfinite(loss) else first_non_finite(model, terms, loss)[1]
        except ValueError:
            if (wrong := first_non_finite_output(model, x)) is None:
                raise
    if wrong:
        raise NonFinite(f"before the first step {wrong} is NaN or infinite; look for extreme values in the data")


def _model_of(path: Path) -> dict[str, Any]:
    """The weights in a resumable state."""
    state = checkpoint.load(path)
    if "model" not in state:
        raise ValueError(f"{path}: holds no state of a run; go back to a copy of it, or train again")
    return state["model"]


class Run:
    """A run on disk, ready to be asked.

    Args:
        folder: Where it lives.
        recipe: What was done.
        spec: What the parts know about the data.
        model: The trained model in eval mode, on the CPU.
        splits: The data, where it has been opened already.
        step: After how many steps of training the model was saved; what is measured on it is of that step.

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
    ) -> None:
        self.folder, self.recipe, self.spec, self.model, self.step = folder, recipe, spec, model, step
        self._splits = splits

    @classmethod
    def load(cls, folder: str | Path, splits: Splits | None = None) -> Self:
        """Open a run, finished or not. Nothing in the folder is run; names are looked up among the parts.

        Args:
            folder: Where it lives.
            splits: Its data, where it has been opened already.

        Errors:
            FileNotFoundError: There is no run, or it has not saved anything yet.
            ValueError: A file is damaged.
        """
        folder = Path(folder)
        spec, recipe = files.load_spec(folder), Recipe.load(folder / files.RECIPE)
        step = files.Progress.read(folder).step  # before the weights: where another process trains, these are newer
        weights = folder / files.WEIGHTS
        tensors = checkpoint.load(weights) if weights.exists() else _model_of(folder / files.STATE)
        with torch.random.fork_rng([]):
            model = recipe.model(spec)
        try:
            model.load_state_dict(tensors)
        except (RuntimeError, TypeError, AttributeError) as error:
            first = str(error).strip().splitlines()[-1].strip()
            raise ValueError(f"{folder}: the weights are not those of {files.RECIPE} ({first})") from error
        return cls(folder, recipe, spec, model.eval(), splits, step)

    @property
    def progress(self) -> files.Progress:
        """How far training is."""
        return files.Progress.read(self.folder)

    @property
    def seconds(self) -> float:
        """Time spent on training."""
        return self.progress.seconds

    def splits(self) -> Splits:
        """The data, opened."""
        if self._splits is None:
            self._splits = opened(self.recipe.data)
        return self._splits

    def held_out(self, seed: int = 0, most: int | None = None) -> HeldOut:
        """Observed held-out data in batches, the same whenever they are read."""
        return HeldOut(self.splits().held_out, self.model.observe, seed, most=most)

    def asked(self, seed: int = 0) -> Any:
        """The model with the q(z|x) that its algorithm trains it for; see :meth:`buttress.core.Algorithm.asked`."""
        return self.recipe.algorithm.asked(self.model, self.recipe.objective, self.recipe.training.steps - 1, seed)

    def diagnose(self, *, seed: int = 0, **settings: Any) -> Evidence:
        """Measure on held-out data whether z is used and why not; writes ``evidence.json``.

        The q(z|x) measured is the one that the algorithm trains the model for; ``settings["inference"]`` says which.
        Where it is not the encoder's own, ``elbo_amortised`` and ``rate_amortised`` are what the encoder's gives.
        ``settings["step"]`` is how far training was.

        Args:
            seed: Of all draws.
            settings: Further settings of :func:`buttress.diagnostics.diagnose.diagnose`.
        """
        check_effort({"seed": seed} | {name: settings[name] for name in LEAST.keys() & settings.keys()})
        asked, batches, labels = self.asked(seed), self.held_out(seed), self.splits().labels
        if labels is not None:
            labels = labels[torch.cat(batches.index)]
        offered = {"kind": self.spec.kind, "encode": self.model.encode, "labels": labels, **settings}
        if self.spec.kind != "text":
            bits = self.recipe.likelihood.counts_bits(self.spec.kind)
            offered.setdefault("dims", math.prod(self.spec.shape) if bits else 0)
        evidence = with_inference(diagnose(asked, batches, seed=seed, **offered), self.model, asked, batches)
        evidence = replace(evidence, settings={**evidence.settings, "step": self.step})
        write_text(self.folder / files.EVIDENCE, evidence.to_json() + "\n")
        return evidence

    def sample(self, count: int, seed: int = 0, uniform: bool = False) -> Tensor:
        """``count`` new examples x, from z ~ p(z) and x ~ p(x|z).

        Args:
            count: How many.
            seed: Of all draws.
            uniform: Draw every code uniformly instead of from p(z), to see what a learned prior adds.

        Errors:
            ValueError: Uniform codes are asked for, but z is made of real numbers; a count below 1.
        """
        if count < 1:
            raise ValueError(f"sample: count is {count}, wanted at least 1")
        with self._draws(seed):
            return self.model.sample(count, Uniform().build(self.model.space)() if uniform else None)

    def reconstruct(self, raw: Tensor, seed: int = 0) -> Tensor:
        """Stored examples -> z ~ q(z|x) -> x ~ p(x|z)."""
        with self._draws(seed), torch.no_grad():
            z = self.asked(seed).posterior(self.model.observe(raw)).sample()
            return self.model.decode(z).sample()

    def interpolate(self, raw_a: Tensor, raw_b: Tensor, steps: int = 8, seed: int = 0) -> Tensor:
        """Examples on the way from each of B examples to another, shape (steps, B, ...).

        The way is straight from one posterior sample to the other, or where z is discrete takes over one code after
        the other, in random order; the ends are reconstructions.

        Args:
            raw_a: Stored examples where the ways begin, shape (B, ...).
            raw_b: Stored examples where they end, as many.
            steps: Points on each way, the ends included.
            seed: Of all draws.
        """
        if steps < 2 or len(raw_a) != len(raw_b):
            raise ValueError(
                f"interpolate: got {len(raw_a)} and {len(raw_b)} examples and {steps} steps; wanted as many ends as "
                "beginnings, and at least 2 steps"
            )
        with self._draws(seed), torch.no_grad():
            model = self.asked(seed)
            a, b = (model.posterior(self.model.observe(raw)).sample() for raw in (raw_a, raw_b))
            points = between(a, b, torch.linspace(0, 1, steps)).flatten(0, 1)
            return self.model.decode(points).sample().unflatten(0, (steps, len(a)))

    def _draws(self, seed: int) -> Any:
        return _Seeded(seed)


def between(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Latents (len(weight), B, ...) on the way from each of ``a`` (B, ...) to each of ``b``."""
    weight = weight.reshape(-1, *[1] * a.dim())
    if a.is_floating_point():
        return torch.lerp(a[None], b[None], weight)
    order = torch.randperm(a[0].numel()).reshape(a.shape[1:]) / a[0].numel()
    return torch.where(order < weight, b, a)


def with_inference(evidence: Evidence, model: LatentVariableModel, asked: Any, batches: Batches) -> Evidence:
    """The evidence that ``asked`` gave, which says how its q was found, and how the model's own q fares beside it."""
    if asked is model:
        return replace(evidence, settings={**evidence.settings, "inference": AMORTISED})
    estimates = dict(evidence.estimates)
    if asked.amortised is not None:
        own = bound(asked.amortised, batches, samples=evidence.settings["samples"], seed=evidence.settings["seed"])
        estimates |= {"elbo_amortised": own.elbo, "rate_amortised": own.rate}
    return replace(evidence, estimates=estimates, settings={**evidence.settings, "inference": asked.inference_in_words})


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
