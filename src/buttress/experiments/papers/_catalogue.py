"""What both trials of the whole catalogue share: cheap arms before dear ones, one claim an arm, one picture."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from buttress.core.recipe import Recipe
from buttress.experiments.claim import Claim
from buttress.experiments.compare import compare
from buttress.experiments.papers._arms import broken, claim, measured, seen, with_reason
from buttress.experiments.papers._experiment import Experiment, Watch
from buttress.experiments.papers._result import write_result
from buttress.report.comparison import write_comparison
from buttress.report.results import load_run
from buttress.runtime.suggest import suggest
from buttress.training.engine import LOG_EVERY
from buttress.training.progress import Progress

__all__ = ["EMPTY", "IN_USE", "Arms", "CatalogueTrial", "carried", "claims", "tried"]

IN_USE, EMPTY = 0.5, 0.1
"""What z carries is called in use from here, and empty below, in nats; the thresholds of the verdict."""


@dataclass(frozen=True)
class Arms:
    """The arms of a trial: what each is called, and its remedies.

    Args:
        cheap: Those whose step costs about as much as a plain one; the first is the model as it is.
        dear: Those whose step costs many times that; they are trained last.

    Example:
        >>> Arms({"none": "none"}, {"aggressive": "aggressive"}).all
        {'none': 'none', 'aggressive': 'aggressive'}
    """

    cheap: Mapping[str, str]
    dear: Mapping[str, str]

    @property
    def all(self) -> dict[str, str]:
        """Both."""
        return {**self.cheap, **self.dear}

    def kept(self, names: Sequence[str]) -> Arms:
        """The arms of these names, beside the first, to which all are compared; () for all.

        Errors:
            ValueError: A name that no arm has.

        Example:
            >>> Arms({"none": "none", "floor": "free_bits"}, {"aggressive": "aggressive"}).kept(["aggressive"]).all
            {'none': 'none', 'aggressive': 'aggressive'}
        """
        if unknown := [name for name in names if name not in self.all]:
            near = suggest(unknown[0], self.all, "There are")
            raise ValueError(f"only: there is no arm {unknown[0]!r}; {near} {', '.join(self.all)}")
        wanted = {next(iter(self.all)), *(names or self.all)}
        cheap, dear = ({k: v for k, v in some.items() if k in wanted} for some in (self.cheap, self.dear))
        return Arms(cheap, dear)


@dataclass(frozen=True, kw_only=True)
class CatalogueTrial(Experiment):
    """A trial of the catalogue on one model: its arms and its recipe; running, measuring and drawing are here.

    Args:
        seed: The first one.
        seeds: How many.
        only: Names of the arms that are trained, beside the first; () for all. What is in the folder already is kept,
            so the trial can be made in pieces.

    Errors:
        ValueError: A name that no arm has.

    Example:
        >>> from buttress.experiments.papers.image_remedies import ImageRemedies
        >>> list(ImageRemedies(only=("VLAE",)).chosen.all)
        ['none', 'VLAE']
    """

    effort: ClassVar[Mapping[str, Any]]
    """Settings of the diagnosis."""

    seed: int = 0
    seeds: int = 3
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an arm that there is not."""
        self.arms.kept(self.only)

    @property
    @abc.abstractmethod
    def arms(self) -> Arms:
        """What is compared."""

    @property
    def chosen(self) -> Arms:
        """What is trained now."""
        return self.arms.kept(self.only)

    @abc.abstractmethod
    def recipe(self) -> Recipe:
        """What is trained without a remedy."""

    def run(self, folder: Path, jobs: int = 1, watch: Watch = lambda run, step, total: None) -> list[Claim]:
        """Train everything, or take up what is in the folder, and write ``result.json``.

        Args:
            folder: Where the runs go.
            jobs: Runs at a time.
            watch: Called with (run, step, total).
        """
        runs = tried(self.recipe(), self.chosen, folder, self.seeds, jobs, self.effort, watch)
        found = claims(runs, self.arms.all)
        write_result(folder / "result.json", self, found, runs=runs)
        return found

    def figures(self, folder: Path) -> list[Path]:
        """What z carries, NLL and information, a row an arm and a mark a seed."""
        from buttress.experiments.papers._by_setting import write_by_arm

        names = {written: arm for arm, written in self.arms.all.items()}
        panels = [
            ("mutual_information", "information, nats"),
            ("worth_shuffled", "worth of z, nats"),
            ("nll", "NLL, nats"),
        ]
        return [write_by_arm(folder, names, panels)]


def tried(
    recipe: Recipe, arms: Arms, folder: Path, seeds: int, jobs: int, effort: Mapping[str, Any], watch: Watch
) -> list[dict[str, Any]]:
    """Train and measure every arm, or take up what is in the folder; a dict for each run, failed ones with a reason.

    Args:
        recipe: Without a remedy.
        arms: What is compared.
        folder: Of the experiment.
        seeds: Runs of each arm.
        jobs: Runs at a time.
        effort: Settings of the diagnosis.
        watch: Called with (run, step, total).
    """
    for some in (arms.cheap, arms.dear):
        if some:
            compare(recipe, list(some.values()), folder / "arms", seeds=seeds, jobs=jobs, settings=effort, watch=watch)
    write_comparison(folder / "arms")
    runs = [{**run, **_course(folder / run["folder"])} for run in measured(folder, "arms")]
    return [*runs, *broken(folder, "arms")]


def _course(run: Path) -> dict[str, Any]:
    """Steps made, the step of the best validation, and encoder steps in between where an algorithm makes any."""
    progress, metrics = Progress.read(run), load_run(run).metrics
    inner = None if metrics is None else metrics.curve("train", "inner_steps")
    made = {} if inner is None else {"inner_steps": round(float(sum(inner[1])) * LOG_EVERY)}
    return {"steps": progress.step, "best_step": progress.best_step, **made}


def carried(run: Mapping[str, Any]) -> float:
    """What z carries, in nats: information, or the worth of z where that is less; NaN where neither was measured.

    Example:
        >>> carried({"mutual_information": 3.0, "worth_shuffled": 1.5}), carried({})
        (1.5, nan)
    """
    values = [run.get(name) for name in ("mutual_information", "worth_shuffled")]
    return min((value for value in values if value is not None), default=math.nan)


def claims(runs: Sequence[dict[str, Any]], arms: Mapping[str, str]) -> list[Claim]:
    """The plain model is empty, every remedy brings z into use, and one of them at no price in NLL.

    Marks were set before the runs.

    Args:
        runs: One dict a run, with ``arm``, ``seed``, ``nll``, ``mutual_information`` and ``worth_shuffled``, or with
            ``broke_off``.
        arms: The remedies of each arm, by what it is called; the plain model first.

    Example:
        >>> numbers = {"none": (40.0, 0.0, 0.0), "floor": (39.8, 2.0, 3.0), "annealing": (40.0, 0.1, 0.1)}
        >>> runs = [
        ...     dict(arm=arm, seed=0, nll=nll, mutual_information=told, worth_shuffled=worth)
        ...     for arm, (nll, told, worth) in numbers.items()
        ... ]
        >>> [found.held for found in claims(runs, {arm: arm for arm in numbers})]
        [True, True, False, True]
    """
    plain, *others = arms
    by_arm = {name: seen([{**run, "carried": carried(run)} for run in runs], arms[name], "carried") for name in arms}
    found = [claim(f"{plain}: what z carries, nats", "below", EMPTY, by_arm[plain])]
    found += [claim(f"{name}: what z carries, nats", "above", IN_USE, by_arm[name]) for name in others]
    without = seen(runs, arms[plain], "nll")
    used = [
        [value for name in others if by_arm[name][i] >= IN_USE for value in [seen(runs, arms[name], "nll")[i]]]
        for i in range(len(without))
    ]
    best = tuple(min((value for value in some if not math.isnan(value)), default=math.nan) for some in used)
    price = claim("lowest NLL with z in use above that of the plain model, nats", "below", 0.0, best, without)
    if all(math.isnan(value) for value in best):
        price = replace(price, missing="z is in use in no arm")
    ran = {run["arm"] for run in runs}
    told = [
        one if arms[name] in ran else replace(one, missing="it was not run")
        for name, one in zip(arms, with_reason(found, runs), strict=True)
    ]
    return [*told, price]
