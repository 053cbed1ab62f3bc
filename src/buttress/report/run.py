"""``report.html`` of one run: the verdict first, then its evidence, pictures, curves and recipe.

Made from the run's result files alone, so it can be made again at any time; what is not there is said on the page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from buttress.diagnostics.thresholds import USED_NATS
from buttress.diagnostics.verdict import COLLAPSED, DEGENERATE, PARTLY, USED
from buttress.report import curves, plane, units
from buttress.report.expectations import expected, information
from buttress.report.gallery import parts
from buttress.report.numbers import count, nats
from buttress.report.page import render
from buttress.report.quantities import QUANTITIES
from buttress.report.results import RunResult, load_run
from buttress.report.tables import evidence_rows

__all__ = ["write_report"]

CURVES = (
    ("elbo", "−ELBO", -1, "Distortion plus rate. Lower is better, even for a model that ignores z."),
    ("distortion", "Distortion", 1, "What the decoder still pays once it has read z."),
    ("beta", "β", 1, "The weight of the rate in the objective."),
    ("code_perplexity", "Code perplexity", 1, "As how many equally frequent codes those of held-out data count."),
    (
        "codes_used_share",
        "Codes in use",
        1,
        "Share of the codebook that held-out data takes. A falling one dies.",
    ),
)
NO_NATS = ("beta", "code_perplexity", "codes_used_share")
UNREAD = "The posterior has collapsed in effect: q(z|x) holds {carried}, but the decoder does as well without z."
"""Of a collapsed model whose q says much: free bits that nobody reads, or codes."""
VARIES = (
    "how much its posterior mean moves over the data",
    "the chance that two examples have different codes there",
)
"""What the variance of a group is, for a z of real numbers and for one of codes."""
SENTENCES = {
    USED: "The decoder listens to z, which carries {carried}.",
    PARTLY: "Only a part of z is in use; it carries {carried}.",
    COLLAPSED: "The posterior has collapsed: the decoder does as well without z, which carries {carried}.",
    DEGENERATE: "z is used, but q(z|x) has shrunk to almost a point: this model has become a deterministic "
    "autoencoder, and its samples from the prior can't be trusted. z carries {carried}.",
}


def write_report(run_folder: str | Path) -> Path:
    """Write ``report.html`` into a run's folder, from the result files in it.

    Args:
        run_folder: Folder of a run; any of its files may be missing.

    Errors:
        FileNotFoundError: There is no such folder.
    """
    run = load_run(run_folder)
    path = Path(run_folder) / "report.html"
    path.write_text(render("run.html.j2", **_page(run)), encoding="utf-8")
    return path


def _page(run: RunResult) -> dict[str, Any]:
    evidence = run.evidence
    verdict = evidence.verdict if evidence else None
    return {
        "run": run,
        "title": _title(run),
        "subtitle": _subtitle(run),
        "verdict": verdict,
        "cause": verdict.cause if verdict else None,
        "sentence": sentence(run),
        "headline": _headline(run),
        "warnings": _bookkeeping(run),
        "evidence": evidence_rows(run),
        "gallery_parts": parts(run.examples),
        "gallery_lead": expected(run),
        "heat": units.heat_map(run.metrics) if run.metrics else None,
        "information": curves.information(run.metrics) if run.metrics else None,
        "units": units.unit_bars(evidence.groups) if evidence else None,
        "shared_out": evidence is not None and None not in evidence.groups.rate,
        "places": units.code_map(evidence.groups) if evidence else None,
        "varies": VARIES[bool(evidence and evidence.groups.perplexity)],
        "plane": plane.run_plane(run),
        "curves": _curves(run),
        "facts": facts(run.recipe),
        "settings": yaml.safe_dump(dict(evidence.settings), sort_keys=False) if evidence and evidence.settings else "",
        "quantities": list(QUANTITIES.values()),
        "count": count,
    }


def sentence(run: RunResult) -> str:
    """The verdict of a run in one plain sentence with its numbers."""
    if run.state is None:
        reached = _last_step(run)
        seen = f" It was seen last at step {reached:,}." if reached is not None else ""
        return f"There is no verdict on this run: it was interrupted, or not diagnosed yet.{seen}"
    if run.state == COLLAPSED and (information(run) or 0.0) >= USED_NATS:
        return UNREAD.replace("{carried}", carried(run))
    return SENTENCES.get(run.state, f"Verdict: {run.state}. z carries {{carried}}.").replace("{carried}", carried(run))


def carried(run: RunResult) -> str:
    """What z carries, in words: mutual information if it was measured, else the rate; and in how many coordinates."""
    told, rate, active = information(run), run.value("rate"), run.value("active_units")
    size = run.estimate("active_units").ceiling
    if told is not None:
        least = "at least " if run.at_ceiling else ""
        text = f"{least}{nats(max(told, 0.0))} nats of information about each example"
    elif rate is not None:
        text = f"at most {nats(rate)} nats about each example"
    else:
        return "an amount that was not measured"
    return (
        text
        if active is None
        else f"{text}, with {count(active)}{f' of {count(size)}' if size else ''} coordinates of z active"
    )


def _headline(run: RunResult) -> list[dict[str, str]]:
    found = {n: run.value(n) for n in ("elbo", "distortion", "rate", "mutual_information", "active_units")}
    shown = [("elbo", ""), ("distortion", "="), ("rate", "+"), ("mutual_information", ""), ("active_units", "")]
    return [
        {"title": QUANTITIES[n].title, "value": QUANTITIES[n].write((found[n] or 0.0) * QUANTITIES[n].sign), "op": op}
        for n, op in shown
        if found[n] is not None
    ]


def _bookkeeping(run: RunResult) -> list[str]:
    """A warning where the books don't balance: −ELBO must be distortion plus rate."""
    elbo, distortion, rate = (run.value(n) for n in ("elbo", "distortion", "rate"))
    if elbo is None or distortion is None or rate is None:
        return []
    slack = 0.01 + 1e-3 * abs(elbo) + 4 * sum(run.estimate(n).error or 0.0 for n in ("elbo", "distortion", "rate"))
    if abs(elbo + distortion + rate) <= slack:
        return []
    return [f"The books don't balance: −ELBO is {nats(-elbo)}, but distortion + rate is {nats(distortion + rate)}."]


def _curves(run: RunResult) -> list[dict[str, Any]]:
    if run.metrics is None:
        return []
    drawn = [
        (title, text, curves.curve(run.metrics, name, sign, name not in NO_NATS)) for name, title, sign, text in CURVES
    ]
    return [{"title": title, "caption": text, "svg": svg} for title, text, svg in drawn if svg is not None]


def _title(run: RunResult) -> str:
    data = name_of(run.recipe.get("data"))
    if not run.recipe:
        return run.folder.resolve().name
    return f"{run.remedies if run.remedies != 'none' else 'No remedy'} on {data}" if data else run.remedies


def _subtitle(run: RunResult) -> str:
    training = run.recipe.get("training")
    steps = training.get("steps") if isinstance(training, dict) else None
    decoder, reached = name_of(run.recipe.get("decoder")), _last_step(run)
    bits = [f"{decoder} decoder" if decoder else "", f"{steps:,} steps planned" if isinstance(steps, int) else ""]
    if isinstance(steps, int) and reached is not None and reached >= steps:
        bits[1] = f"{steps:,} steps"
    elif reached is not None:
        bits.append(f"{reached:,} reached")
    return " · ".join(filter(None, bits))


def _last_step(run: RunResult) -> int | None:
    return int(max(x[-1] for x, _ in run.metrics.curves.values())) if run.metrics and run.metrics.curves else None


def name_of(plain: Any) -> str:
    """How people call a part of a recipe: its name, and for data that lies in a file, that file."""
    if not isinstance(plain, dict) or "name" not in plain:
        return ""
    path = plain.get("path")
    return Path(path).name if isinstance(path, str) and path else str(plain["name"])


def facts(recipe: Any) -> list[tuple[str, str]]:
    """A recipe's parts with the settings that are plain values, a line each."""
    return [(key, _line(value)) for key, value in recipe.items() if isinstance(value, dict) or key == "remedies"]


def _line(value: Any) -> str:
    if isinstance(value, list):
        return " + ".join(map(str, value)) or "none"
    settings = ", ".join(
        f"{k.replace('_', ' ')} {_line(v) if isinstance(v, dict) else v}" for k, v in value.items() if k != "name"
    )
    return f"{value['name']} ({settings})" if "name" in value and settings else str(value.get("name", settings))
