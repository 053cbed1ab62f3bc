"""From a run whose z collapsed to the recipe that keeps it in use: remedies tried on branches, measured and ranked.

The remedies are those that the verdict advises, in its order. Each is tried from scratch and, where encoder
and decoder keep their weights, on the trained ones; beside them the model goes on from these without a remedy. All
branches get the same steps.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from buttress.core import remedy
from buttress.core.recipe import Recipe
from buttress.diagnostics.evidence import Evidence
from buttress.diagnostics.verdict import COLLAPSED, IGNORED, LAGS, PARTLY, UNKNOWN
from buttress.experiments.branches import EFFORT, UNTOUCHED, Branch, By, Watch, check_budget, grow
from buttress.experiments.halving import GRAIN
from buttress.report.comparison import write_comparison
from buttress.report.ranking import Ranking, as_text, rank_folder, ranking_table, save_ranking, sentences
from buttress.schedules.constant import Constant
from buttress.training.folder import EVIDENCE
from buttress.training.run import Run

__all__ = ["MOST_REMEDIES", "Rescue", "branches_of", "conclude", "healthy", "rescue"]

MOST_REMEDIES = 6
"""Remedies that are tried, the first of the advice, unless some are named."""
WINNER = "winner.yaml"


@dataclass(frozen=True)
class Rescue:
    """What came of a search for a remedy.

    Args:
        folder: Where the branches lie; None where none was needed.
        reason: Why nothing was tried; empty where something was.
        ranking: The branches in order.
        recipe: What to train, for the first of them; None where none uses z.
        apply: The command that trains it, or lines of code for a model of the user's own; empty where there is none.
        left_out: Remedies that were not tried, each with the reason.
        page: The report.

    Example:
        >>> print(Rescue(reason="nothing to rescue: z is used"))
        nothing to rescue: z is used
    """

    folder: Path | None = None
    reason: str = ""
    ranking: Ranking | None = None
    recipe: Recipe | None = None
    apply: str = ""
    left_out: Mapping[str, str] = field(default_factory=dict)
    page: Path | None = None

    def __str__(self) -> str:
        """As people read it."""
        if self.ranking is None:
            return self.reason
        failed = [f"failed: {name}: {why}" for name, why in self.ranking.failed.items()]
        applied = [f"apply it: {self.apply}" if "\n" not in self.apply else self.apply] if self.apply else []
        return "\n".join([as_text(ranking_table(self.ranking)), *sentences(self.ranking), *failed, *applied])


def rescue(
    run: Run,
    out: str | Path | None = None,
    *,
    remedies: Sequence[str] = (),
    most: int = MOST_REMEDIES,
    budget: int | None = None,
    jobs: int = 1,
    by: By = "processes",
    settings: Mapping[str, Any] | None = None,
    stop_early: bool = True,
    watch: Watch | None = None,
) -> Rescue:
    """Try remedies on a run whose z is not in use.

    Args:
        run: Finished or interrupted. Its verdict is read where it was diagnosed, and measured where it was not.
        out: Folder of the branches; None for that of the run with -rescue behind it. Asked again, it goes on.
        remedies: What to try in place of the advice, the most promising first.
        most: How many of the advice, at most.
        budget: Steps of each branch; None for half of the run's, or all of them where its schedules need more.
        jobs: Branches at a time.
        by: "processes" of this machine, "here" for one after another in this process, or "ray".
        settings: Of every diagnosis, such as ``{"nll_samples": 100}``.
        stop_early: Whether hopeless branches end before their budget is spent (with Optuna).
        watch: Who hears of it.

    Returns:
        The ranking, with the recipe of the first, written to ``winner.yaml`` in the folder. Where z is in use nothing
        is trained, and the reason is given.

    Errors:
        ValueError: There is no verdict, no p(x|z) to rank by, no remedy that fits, or every branch failed.
    """
    if most < 1:
        raise ValueError(f"most is {most}, wanted at least 1 remedy")
    check_budget(budget)
    effort = {**EFFORT, **(settings or {})}
    run.splits()  # data that are not there are told before anything else
    if not run.model.density:
        raise ValueError(
            f"{run.folder}: its model has a critic and no p(x|z), so that branches can't be ranked by likelihood; "
            "wanted a run with a decoder"
        )
    evidence = _evidence(run, effort)
    state = evidence.verdict.state
    if state == UNKNOWN:
        raise ValueError(
            f"{run.folder}: no verdict, so nothing says what to try: {'; '.join(evidence.verdict.reasons)}"
        )
    if state not in (COLLAPSED, PARTLY) and not remedies:
        return Rescue(reason=healthy(evidence))
    branches, left_out = branches_of(run, remedies or _advised(evidence, run, most), budget)
    elbo = evidence.estimates.get("elbo")
    grain = GRAIN if elbo is None or elbo.error is None else max(GRAIN, 2 * elbo.error)
    folder = run.folder.with_name(f"{run.folder.resolve().name}-rescue") if out is None else Path(out)
    grow(
        branches,
        folder,
        jobs=jobs,
        by=by,
        settings=effort,
        stop_early=stop_early,
        grain=grain,
        left_out=left_out,
        watch=watch,
        pace=run.seconds / run.step if run.step and run.seconds else None,
    )
    return conclude(folder, branches, run.recipe, run.folder, left_out)


def healthy(evidence: Evidence) -> str:
    """Why there is nothing to rescue.

    Example:
        >>> from buttress.diagnostics.evidence import Groups, Verdict
        >>> used = Verdict("used", None, ("z carries 2 nats",), ())
        >>> healthy(Evidence(9, "table", {}, Groups((), (), (), ()), verdict=used))
        'nothing to rescue, z is used: z carries 2 nats'
    """
    verdict = evidence.verdict
    causes = f" ({'; '.join(verdict.causes)})" if verdict.causes else ""
    why = f": {verdict.reasons[0]}" if verdict.reasons else ""
    return f"nothing to rescue, z is {verdict.state}{causes}{why}"


def _evidence(run: Run, effort: Mapping[str, Any]) -> Evidence:
    """That of the run as it is now; measured where there is none."""
    path = run.folder / EVIDENCE
    if path.is_file():
        try:
            found = Evidence.load(path)
        except ValueError:
            return run.diagnose(**effort)
        if found.settings.get("step", run.step) == run.step and found.verdict.state:
            return found
    return run.diagnose(**effort)


def _advised(evidence: Evidence, run: Run, most: int) -> list[str]:
    """What the verdict advises and fits; where it names no cause, what cures the most frequent ones."""
    names = list(remedy.fitting(evidence.verdict.advice, run.recipe))
    if not evidence.verdict.cause:
        codes = run.recipe.posterior.discrete
        for cause in (IGNORED, LAGS):
            names += remedy.cures(cause, run.recipe, run.spec.kind, codes)
    if not names:
        causes = "; ".join(evidence.verdict.causes)
        raise ValueError(
            f"{run.folder}: no remedy of the catalogue is known to cure this ({causes}) and fits this recipe; name "
            "some with --remedies"
        )
    return list(dict.fromkeys(names))[:most]


def branches_of(run: Run, remedies: Iterable[str], budget: int | None = None) -> tuple[list[Branch], dict[str, str]]:
    """The branches of a run, the untouched one first, and why others are left out.

    Args:
        run: What is to be rescued.
        remedies: In order.
        budget: As of :func:`rescue`.

    Errors:
        ValueError: No remedy fits, or a schedule needs more steps than the budget.
    """
    base = _of_budget(run.recipe, budget)
    start, init = f"step-{run.step}", str(run.folder.resolve())
    trained = _settled(base)
    branches, left_out = [Branch(UNTOUCHED, start, trained, init)], {}
    for name in dict.fromkeys(name.strip() for name in remedies):
        if name == UNTOUCHED:
            continue
        found, why = [], ""
        for place, recipe in ((start, trained), ("scratch", base)):
            try:
                changed = remedy.apply(name, recipe)
                changed.check()
            except remedy.DoesNotFit as reason:
                why = str(reason)
                continue
            if place == "scratch" or _takes_weights(changed, run):
                found.append(Branch(name, place, changed, init if place == start else ""))
        branches += found
        if not found:
            left_out[name] = why
    if len(branches) == 1:
        raise ValueError("no remedy fits: " + "; ".join(left_out.values() or [f"only {UNTOUCHED} was named"]))
    return branches, left_out


def _of_budget(recipe: Recipe, budget: int | None) -> Recipe:
    """The recipe with fewer steps; looks and checkpoints at least at every quarter of them."""
    own = recipe.training
    for steps in [max(1, own.steps // 2), own.steps] if budget is None else [budget]:
        quarter = max(1, steps // 4)
        shorter = replace(
            own,
            steps=steps,
            validate_every=min(own.validate_every, quarter),
            checkpoint_every=min(own.checkpoint_every, quarter),
        )
        changed = replace(recipe, training=shorter)
        try:
            changed.check()
        except ValueError:
            if steps != own.steps and budget is None:
                continue
            raise
        break
    return changed


def _settled(recipe: Recipe) -> Recipe:
    """The recipe with the weight of the rate that its schedule ends with, for weights that have been through it."""
    objective: Any = recipe.objective
    last = recipe.training.steps - 1
    if not hasattr(objective, "beta") or (weight := objective.weight(last)) is None:
        return recipe
    return replace(recipe, objective=replace(objective, beta=Constant(weight)))


def _takes_weights(recipe: Recipe, run: Run) -> bool:
    """Whether every trained tensor of the run's encoder and decoder has its place in a recipe's model."""
    with torch.random.fork_rng([]):
        wanted = recipe.model(run.spec).state_dict()
    trained = {k: v for k, v in run.model.state_dict().items() if k.partition(".")[0] in ("encoder", "decoder")}
    return all(name in wanted and wanted[name].shape == value.shape for name, value in trained.items())


def conclude(
    folder: Path, branches: Sequence[Branch], recipe: Recipe, trained: Path | None, left_out: Mapping[str, str]
) -> Rescue:
    """Rank the branches in a folder, and write what came of it: the ranking, the first one's recipe, the page.

    Args:
        folder: Of the branches.
        branches: What they were.
        recipe: The recipe to which the first one's remedy is applied, with its own steps.
        trained: The run that some of them began with.
        left_out: Remedies that were not tried.
    """
    ranking = rank_folder(folder)
    won = next((one for one in branches if ranking.winner and one.name == ranking.winner.name), None)
    apply, changed = "", None
    if won is not None:
        changed = remedy.apply(won.remedy, _settled(recipe) if won.init else recipe)
        changed.save(folder / WINNER)
        place = folder if trained is None else trained
        out = place.with_name(f"{place.name}-{'cured' if trained else 'trained'}")
        init = ["--init", str(trained)] if won.init else []
        apply = shlex.join(["buttress", "train", "--from", str(folder / WINNER), *init, "--out", str(out)])
    else:
        (folder / WINNER).unlink(missing_ok=True)
    save_ranking(folder, ranking, apply=apply, left_out=dict(left_out))
    return Rescue(folder, "", ranking, changed, apply, left_out, write_comparison(folder))
