r"""Branches that are hopeless end early: successive halving of Optuna, over branches that train side by side.

At a quarter and at half of the budget a branch goes on where it is in the better half of those that came that far from
the same start: trained weights are ahead of new ones whatever the remedy. What is compared is

$$ v = 10^6 \max(0, 1 - \min(I, R) / 0.5) + \lfloor -\mathrm{ELBO} / g \rfloor, $$

so that a branch whose z is not in use (information I and rate R on held-out data, in nats) is behind every one whose z
is, and differences of −ELBO below g count for nothing. A branch is not judged while its schedules move or its algorithm
is not in its last phase: before that, neither number says how it will end. The comparison is asynchronous, as in Li et
al., A System for Massively Parallel Hyperparameter Tuning, 2020: the first to come is never stopped.

What the branches report lies in a file, so that processes and machines that see it share it, and a comparison that was
killed goes on.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buttress.diagnostics.thresholds import USED_NATS
from buttress.training.callbacks import Callback

__all__ = ["GRAIN", "Halving", "StopEarly", "can_halve", "plan", "standing"]

UNUSED = 1e6
"""What a z that says nothing weighs: more than any −ELBO in steps of the grain should."""
GRAIN = 0.5
"""Nats of −ELBO that count for nothing where nothing is known of its error."""
FILE = "halving.log"
RUNGS = 4
"""The first look is at this share of the budget; the next at twice as much."""


@dataclass(frozen=True)
class Halving:
    """What a branch must know to take part, plain enough to be pickled.

    Args:
        path: The file that all branches share.
        group: Those that it is compared with: branches that start from one place.
        trial: The number of this branch among them.
        least: Steps before the first look.
        grain: Nats of −ELBO that count for nothing.
        spared: Whether it only serves others for comparison, and is not stopped.
    """

    path: str
    group: str
    trial: int
    least: int
    grain: float = GRAIN
    spared: bool = False


def can_halve() -> bool:
    """Whether Optuna is installed."""
    return importlib.util.find_spec("optuna") is not None


def standing(elbo: float, information: float, rate: float, grain: float = GRAIN) -> float:
    """How a branch stands; lower is better.

    Args:
        elbo: On held-out data, in nats per example.
        information: Mutual information of x and z, in nats.
        rate: In nats.
        grain: See :class:`Halving`.

    Example:
        >>> standing(-90.2, information=0.0, rate=0.0) > standing(-140.0, information=2.0, rate=9.0)
        True
        >>> standing(-90.2, information=1.0, rate=2.0) == standing(-90.4, information=3.0, rate=4.0)
        True
    """
    short = max(0.0, 1.0 - min(information, rate) / USED_NATS)
    return UNUSED * short + math.floor(-elbo / grain)


def plan(
    folder: Path, group: str, names: Iterable[str], budget: int, grain: float = GRAIN, spared: str = ""
) -> dict[str, Halving]:
    """What each branch of a group must know; a file that is there already goes on.

    Args:
        folder: Where the shared file lies.
        group: Where these branches start; only such are compared.
        names: Of the branches.
        budget: Steps of each.
        grain: See :class:`Halving`.
        spared: The branch that is not stopped.
    """
    path = str(folder / FILE)
    least = max(1, budget // RUNGS)
    study = _study(path, group, least)
    known = {trial.user_attrs.get("branch"): trial.number for trial in study.get_trials(deepcopy=False)}
    for name in names:
        if name not in known:
            trial = study.ask()
            trial.set_user_attr("branch", name)
            known[name] = trial.number
    return {name: Halving(path, group, known[name], least, grain, name == spared) for name in names}


def _study(path: str, group: str, least: int) -> Any:
    optuna: Any = importlib.import_module("optuna")
    storages: Any = importlib.import_module("optuna.storages")
    backends: Any = importlib.import_module("optuna.storages.journal")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        study_name=group,
        storage=storages.JournalStorage(backends.JournalFileBackend(path)),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=least, reduction_factor=2),
        load_if_exists=True,
    )


class StopEarly(Callback):
    """Report how a branch stands after each look at held-out data, and end it where it is hopeless.

    Args:
        halving: Its part in the comparison.

    Example:
        What a branch is trained with::

            train(recipe, folder, callbacks=[StopEarly(halving)])
    """

    def __init__(self, halving: Halving) -> None:
        self.halving = halving
        self.trial: Any = None
        self.engine: Any = None

    def begin(self, engine: Any) -> None:
        """See :class:`buttress.training.callbacks.Callback`."""
        trials: Any = importlib.import_module("optuna.trial")
        study = _study(self.halving.path, self.halving.group, self.halving.least)
        number = self.halving.trial
        self.trial = trials.Trial(study, next(t._trial_id for t in study.get_trials() if t.number == number))
        self.engine = engine

    def on_step(self, step: int, total: int, latest: Mapping[str, float]) -> bool:
        """See :class:`buttress.training.callbacks.Callback`: what was measured after the step before is known now."""
        looked = step - 1
        if looked % self.engine.recipe.training.validate_every or "held_out/elbo" not in latest:
            return False
        if not (self.engine.recipe.objective.settled(looked) and self.engine.algorithm.in_final_phase):
            return False
        elbo, information, rate = (latest[f"held_out/{name}"] for name in ("elbo", "mutual_information", "rate"))
        if not all(map(math.isfinite, (elbo, information, rate))):
            return False
        self.trial.report(standing(elbo, information, rate, self.halving.grain), looked)
        hopeless = bool(self.trial.should_prune())
        return hopeless and not self.halving.spared
