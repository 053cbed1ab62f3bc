"""The tables and the picture of evidence.md, from the stored results.

python docs/evidence_tables.py    # writes them anew, the tables between their marks in evidence.md
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev
from types import SimpleNamespace
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE / "evidence.md"
README = HERE.parent / "README.md"
RESULTS = HERE / "results"
TRIALS = {"sentences": "sentence_remedies", "images": "image_remedies"}
"""Trials of the whole catalogue, by what the tables are called."""
PATIENTS = {
    "squared_error": "table, squared error averaged over columns",
    "heavy_rate": "table, weight 20",
    "light_rate": "table, weight 0.05",
    "clusters": "table of 8 clusters",
    "unready_encoder": "table, encoder far behind",
    "documents": "made documents, LSTM",
    "alike": "made documents, LSTM, features alike",
    "dead_codebook": "table of 8 clusters, one code",
    "digits": "digits, PixelCNN",
}
"""What the patients of cures.csv are, where their names don't say it."""
NEAR = 0.5
"""Nats below its ceiling from which on information is called at it, as in a diagnosis."""
FAR = 13.0
"""Nats of −ELBO above the plain model beyond which an arm is left out of the picture, which it would squeeze."""


def spread(values: Sequence[float | None], places: int | None = None) -> str:
    """Mean, and standard deviation over seeds."""
    kept = [value for value in values if value is not None]
    if not kept:
        return ""
    size = abs(mean(kept))
    places = (2 if size < 10 else 1 if size < 1000 else 0) if places is None else places
    written = [mean(kept), *([stdev(kept)] if len(kept) > 1 else [])]
    return " ± ".join(f"{round(value, places) + 0.0:,.{places}f}" for value in written).replace("-", "−")


def trial(name: str) -> dict[str, Any] | None:
    """A stored trial of the catalogue; None before there is one."""
    path = RESULTS / TRIALS[name] / "result.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


def arms(found: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The runs of each arm, in the order of the trial."""
    by_arm: dict[str, list[dict[str, Any]]] = {}
    for run in found["runs"]:
        by_arm.setdefault(run["arm"], []).append(run)
    return by_arm


def beside(runs: Sequence[dict[str, Any]], plain: Sequence[dict[str, Any]], name: str) -> list[float]:
    """A number of each run less that of the plain model with the same seed."""
    of = {run["seed"]: run[name] for run in plain if run.get(name) is not None}
    return [run[name] - of[run["seed"]] for run in runs if run.get(name) is not None and run["seed"] in of]


def verdicts(runs: Sequence[dict[str, Any]]) -> str:
    """Each state, with its number of seeds where there are several."""
    states = [run.get("state") or f"broke off ({run.get('broke_off', '')})" for run in runs]
    kinds = sorted(set(states), key=lambda one: -states.count(one))
    return kinds[0] if len(kinds) == 1 else ", ".join(f"{states.count(one)} {one}" for one in kinds)


HEADS = ["remedy", "−ELBO", "NLL above `none`", "rate", "information", "worth of z", "active", "time × `none`", "seeds"]


def trial_table(name: str) -> str:
    """A row an arm; with R² of length for sentences."""
    found = trial(name)
    if found is None:
        return "Not run yet."
    by_arm = arms(found)
    plain = by_arm["none"]
    heads = [*HEADS[:7], *(["R² of length"] if name == "sentences" else []), *HEADS[7:], "verdict"]
    lines = [f"| {' | '.join(heads)} |", "|:--" + "|--:" * (len(heads) - 2) + "|:--|"]
    for arm, runs in by_arm.items():
        cells = [_annealed(arm), spread([-run["elbo"] for run in runs if run.get("elbo") is not None])]
        cells.append("0" if arm == "none" else spread(beside(runs, plain, "nll"), 2))
        cells += [spread([run.get("rate") for run in runs]), told(runs, name), worth(runs)]
        cells.append(spread([run.get("active_units") for run in runs], 0).partition(" ")[0])
        if name == "sentences":
            cells.append(spread([run.get("nuisance_r2") for run in runs], 2).partition(" ")[0])
        seconds, usual = ([run["seconds"] for run in some if "seconds" in run] for some in (runs, plain))
        cells.append(f"{mean(seconds) / mean(usual):.1f}" if seconds and usual else "")
        lines.append(f"| {' | '.join([*cells, str(len(runs)), verdicts(runs)])} |")
    return "\n".join(lines)


def told(runs: Sequence[dict[str, Any]], name: str) -> str:
    """Information, with a sign before it where it is at its ceiling, ln of the examples it was measured among."""
    values = [run["mutual_information"] for run in runs if run.get("mutual_information") is not None]
    with (RESULTS / TRIALS[name] / "comparison.csv").open(encoding="utf-8") as file:
        ceiling = math.log(int(next(csv.DictReader(file))["n"]))
    return ("≥ " if values and mean(values) > ceiling - NEAR else "") + spread(values)


def worth(runs: Sequence[dict[str, Any]]) -> str:
    """The worth of z."""
    return spread([run.get("worth_shuffled") for run in runs])


def short_table() -> str:
    """The trial on sentences for the README: the price of each remedy, and what z carries for it."""
    found = trial("sentences")
    if found is None:
        return "Not run yet."
    by_arm = arms(found)
    lines = ["| remedy | NLL above `none` | information | worth of z | verdict |", "|:--|--:|--:|--:|:--|"]
    for arm, runs in by_arm.items():
        price = "0" if arm == "none" else spread(beside(runs, by_arm["none"], "nll"), 2)
        lines.append(
            f"| {' | '.join([_annealed(arm), price, told(runs, 'sentences'), worth(runs)])} | {verdicts(runs)} |"
        )
    return "\n".join(lines)


def cures() -> list[dict[str, str]]:
    """The rows of cures.csv, without the patients as they are."""
    with (RESULTS / "cures.csv").open(encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["arm"] != "none"]


def by_cause() -> str:
    """A row for each patient: its cause, and what each remedy did to it."""
    lines = ["| cause | on | cured | cured at a price, nats of −ELBO | did not cure |", "|:--|:--|:--|:--|:--|"]
    of: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in cures():
        of.setdefault((row["cause"], row["patient"]), []).append(row)
    for (cause, patient), rows in of.items():
        kinds = {kind: [row for row in rows if row["cured"] == kind] for kind in ("yes", "at a price", "no")}
        free, failed = (", ".join(dict.fromkeys(map(_named, kinds[kind]))) for kind in ("yes", "no"))
        priced = ", ".join(f"{_named(row)} {float(row['price']):.1f}" for row in kinds["at a price"])
        lines.append(f"| {cause} | {PATIENTS.get(patient, patient.replace('_', ' '))} | {free} | {priced} | {failed} |")
    return "\n".join(lines)


def _patient(name: str) -> str:
    """What a patient is: its name says it where nothing else does."""
    return PATIENTS.get(name, name.replace("_", " "))


def _named(row: dict[str, str]) -> str:
    """The remedies of an arm, without their settings."""
    name = "+".join(part.partition(":")[0] for part in row["arm"].split("+"))
    return f"`{name}`" if "=" not in name else name


def outcomes() -> dict[str, list[bool]]:
    """For every remedy, whether z was in use wherever it was tried: in patients, and in each seed of the trials.

    A trial whose plain model uses z by itself shows of no remedy that it helps, and is left out.
    """
    found: dict[str, list[bool]] = {}
    for row in cures():
        found.setdefault(row["arm"].partition(":")[0], []).append(row["cured"] in ("yes", "at a price"))
    for name in TRIALS:
        tried = arms(trial(name) or {"runs": []})
        needed = all(run.get("state") != "used" for run in tried.get("none", ()))
        for arm, runs in tried.items():
            if arm != "none" and needed:
                last = arm.split("+")[-1].partition(":")[0]
                found.setdefault(last, []).extend(run.get("state") == "used" for run in runs)
    return {name: hits for name, hits in found.items() if re.fullmatch(r"\w+", name)}


def never() -> str:
    """The remedies that cured no patient, and under which no run of the trials ended with z in use."""
    lost = [f"`{name}` ({len(hits)} tried)" for name, hits in outcomes().items() if not any(hits)]
    return ", ".join(lost) if lost else "None: every remedy that was tried helped somewhere."


TABLES: dict[str, Callable[[], str]] = {
    "causes": by_cause,
    "sentences": lambda: trial_table("sentences"),
    "images": lambda: trial_table("images"),
    "never": never,
}
IN_README: dict[str, Callable[[], str]] = {"remedies on sentences": short_table}


def renewed(page: str, tables: dict[str, Callable[[], str]]) -> str:
    """A page with its tables written anew."""
    for name, write in tables.items():
        first, last = f"<!-- {name} -->", f"<!-- end of {name} -->"
        assert first in page and last in page, f"no marks for {name}"
        text = write()
        page = re.sub(f"{first}.*?{last}", lambda _: f"{first}\n\n{text}\n\n{last}", page, flags=re.DOTALL)  # noqa: B023
    return page


PAGES = {PAGE: TABLES, README: IN_README}


def draw(name: str) -> None:
    """The plane of rate and distortion of a trial, as a comparison draws it, without arms that are far off."""
    from buttress.report.drawing import write_png
    from buttress.report.plane import draw_arms

    found = trial(name)
    if found is None:
        return
    of = {arm: [run for run in runs if run.get("elbo") is not None] for arm, runs in arms(found).items()}
    most = FAR + mean(-run["elbo"] for run in of["none"])
    shown: Any = [
        SimpleNamespace(name=_short(arm, of), runs=[SimpleNamespace(value=run.get) for run in runs])
        for arm, runs in of.items()
        if runs and mean(-run["elbo"] for run in runs) <= most
    ]
    figure = draw_arms(shown)
    if figure is not None:
        write_png(figure, RESULTS / TRIALS[name] / "plane.png")


def _annealed(arm: str) -> str:
    """An arm in a table: its remedy with settings, and whether the rate was annealed beside it."""
    *beside, last = arm.split("+")
    return f"`{last}`" + (", annealed" if beside else "")


def _short(arm: str, others: Iterable[str]) -> str:
    """The remedy of an arm without the annealing beside it, and without settings where no other arm has the same."""
    remedy = arm.split("+")[-1]
    name = remedy.partition(":")[0]
    return name if sum(other.split("+")[-1].partition(":")[0] == name for other in others) == 1 else remedy


if __name__ == "__main__":
    for path, tables in PAGES.items():
        path.write_text(renewed(path.read_text("utf-8"), tables), encoding="utf-8")
    for each in TRIALS:
        draw(each)
