"""Patients diagnosed: each model of known cause, what the verdict names, and how sure it is.

The evidence of each is kept in a folder, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from buttress.diagnostics.causes.log_likelihood import AVERAGED
from buttress.diagnostics.causes.untrusted import REFUSALS, UNTRUSTED
from buttress.diagnostics.confidence import calibrated, drawn, plain
from buttress.diagnostics.diagnose import diagnose
from buttress.diagnostics.evidence import Evidence, Groups, Verdict
from buttress.diagnostics.finding import BORDERLINE, HOLDS, Finding
from buttress.diagnostics.numbers import Numbers
from buttress.diagnostics.state import COLLAPSED, USED, WANTED
from buttress.patients import HEALTHY, KnownPatient, patients
from buttress.training.lock import refuse_file

__all__ = ["EFFORT", "REFUSED", "Visit", "look", "run_ward"]

EFFORT = {"nll_samples": 60, "nll_examples": 200, "gap_steps": 100, "gap_examples": 60, "mi_examples": 1000}
"""Of every diagnosis; see :func:`buttress.diagnostics.diagnose.diagnose`."""
REFUSED = "refused"
"""The state of a model that a diagnosis refuses; where the refusal says why, it has named the cause."""


@dataclass(frozen=True)
class Visit:
    """A patient, and what was found.

    Args:
        patient: What is true.
        evidence: What was measured and concluded.
        confidence: Of each cause, see :mod:`buttress.diagnostics.confidence`.
        drawn: What it was made of: how often each cause was drawn, and its share.

    Example:
        >>> from buttress.diagnostics.evidence import Groups, Verdict
        >>> nothing = Evidence(9, "table", {}, Groups((), (), (), ()), verdict=Verdict("used", None, (), ()))
        >>> Visit(patients()["four_factors"], nothing, {}).right
        True
    """

    patient: KnownPatient
    evidence: Evidence
    confidence: dict[str, float]
    drawn: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def first(self) -> str:
        """The first cause that was named, without numbers; "healthy" where there is none and z is used.

        Where no cause holds and z is not used the verdict has said that it does not know: "not known".
        """
        verdict = self.evidence.verdict
        if verdict.causes:
            return plain(verdict.causes[0])
        return HEALTHY if verdict.state in (USED, WANTED) else "not known"

    @property
    def others(self) -> tuple[str, ...]:
        """Further causes that were named."""
        return tuple(map(plain, self.evidence.verdict.causes[1:]))

    @property
    def undecided(self) -> tuple[str, ...]:
        """Causes that may hold."""
        return tuple(plain(one.cause) for one in self.evidence.verdict.findings if one.strength == BORDERLINE)

    @property
    def right(self) -> bool:
        """Whether the first cause is right."""
        return self.patient.right(self.first)

    @property
    def false_alarm(self) -> bool:
        """Whether a healthy model is called collapsed."""
        return self.patient.cause == HEALTHY and self.evidence.verdict.state == COLLAPSED


def look(patient: KnownPatient, effort: Mapping[str, int] = MappingProxyType(EFFORT), seed: int = 0) -> Evidence:
    """Build a patient and diagnose it.

    Args:
        patient: One of :func:`buttress.patients.patients`.
        effort: Samples, steps and examples of the diagnosis.
        seed: Of the diagnosis.

    Example:
        >>> look(patients()["one_colour"]).verdict.cause
        'the codebook is dead'
    """
    case = patient.make()
    settings: dict[str, Any] = {**effort, **case.settings, "seed": seed}
    try:
        return diagnose(case.model, list(case.batches), **settings)
    except ValueError as error:
        return _refusal(str(error))


def _refusal(told: str) -> Evidence:
    """What stands for the evidence of a model that was refused."""
    unsteady = any(part in told for part in REFUSALS)
    cause = AVERAGED if "averaged over" in told else UNTRUSTED if unsteady else None
    findings = () if cause is None else (Finding(cause, HOLDS, (told,), confidence=1.0),)
    verdict = Verdict(REFUSED, findings[0].cause if findings else None, (told,), (), findings=findings)
    return Evidence(0, "", {}, Groups((), (), (), ()), verdict=verdict)


def run_ward(
    folder: Path,
    half: str = "all",
    only: Sequence[str] = (),
    seen: Callable[[Visit, float], None] = lambda seen, seconds: None,
) -> list[Visit]:
    """Diagnose patients, or take up what is in the folder.

    Args:
        folder: Where the evidence goes, a file for each.
        half: "development", "unseen" or "all".
        only: Names; empty for all.
        seen: Called with each and the seconds it took, 0 where it was there.

    Errors:
        ValueError: There is no such half or patient.
    """
    known = patients()
    if half not in ("all", "development", "unseen"):
        raise ValueError(f"half is {half!r}, wanted development, unseen or all")
    if missing := [name for name in only if name not in known]:
        raise ValueError(f"there is no patient {missing[0]!r}; there are {', '.join(known)}")
    chosen = [one for one in known.values() if half in ("all", one.half) and (not only or one.name in only)]
    if not chosen:
        raise ValueError(f"none of {', '.join(only)} is of the {half} half; try --half all")
    refuse_file(folder)
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for one in chosen:
        path, start = folder / f"{one.name}.json", time.perf_counter()
        if new := not path.exists():
            look(one).save(path)
        try:
            evidence = Evidence.load(path)
        except ValueError as error:
            raise ValueError(f"{path}: {error}; remove it, and the patient is diagnosed anew") from error
        often = drawn(Numbers(evidence.estimates, evidence.kind, evidence.notes))
        found.append(Visit(one, evidence, calibrated(often), often))
        seen(found[-1], time.perf_counter() - start if new else 0.0)
    return found
