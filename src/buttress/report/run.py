"""``report.html`` of one run: the verdict first, then pictures, z, training, the evidence and the recipe.

Made from the run's result files alone, so it can be made again at any time; what is missing is named on the page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from buttress.diagnostics.evidence import Evidence
from buttress.diagnostics.state import WANTED
from buttress.diagnostics.thresholds import USED_NATS
from buttress.diagnostics.verdict import COLLAPSED, DEGENERATE, PARTLY, UNKNOWN, USED
from buttress.report import curves, latent_figures, plane, units
from buttress.report.advice import commands, notices
from buttress.report.examples import gather
from buttress.report.expectations import expected, information
from buttress.report.gallery import parts
from buttress.report.numbers import count, nats
from buttress.report.page import render
from buttress.report.quantities import QUANTITIES
from buttress.report.results import RunResult, load_run, name_of
from buttress.report.tables import evidence_rows
from buttress.runtime.atomic_write import write_text

__all__ = ["save_report", "sentence", "write_report"]

CURVES = (
    ("elbo", "−ELBO", -1, "Distortion plus rate. Lower is better, even for a model that ignores z."),
    ("distortion", "Distortion", 1, "The reconstruction error, −log p(x|z)."),
    ("beta", "β", 1, "The weight of the rate in the objective."),
    ("code_perplexity", "Code perplexity", 1, "How many equally frequent codes the codes of held-out data amount to."),
    ("codes_used_share", "Codes in use", 1, "Share of the codebook that occurs on held-out data."),
)
NO_NATS = ("beta", "code_perplexity", "codes_used_share")
UNREAD = "The posterior has collapsed in effect: q(z|x) holds {carried}, but the decoder does as well without z."
"""Of a collapsed model whose q is informative: free bits that the decoder ignores, or codes."""
SENTENCES = {
    USED: "The decoder uses z, which carries {carried}.",
    PARTLY: "Only a part of z is in use; it carries {carried}.",
    COLLAPSED: "The posterior has collapsed: the decoder does as well without z, which carries {carried}.",
    DEGENERATE: "z is used, but q(z|x) has shrunk to almost a point: the model has become a deterministic autoencoder, "
    "and its samples from the prior are unreliable. z carries {carried}.",
    WANTED: "z is used, and q(z|x) is almost a point, as is wanted of a z that a second model will learn. z carries "
    "{carried}.",
    UNKNOWN: "The numbers do not allow a verdict; the reasons are below.",
}


def write_report(run_folder: str | Path) -> Path:
    """Write ``report.html`` into a run's folder, from the result files in it.

    Args:
        run_folder: Folder of a run; any of its files may be missing.

    Errors:
        FileNotFoundError: There is no such folder.
    """
    path = Path(run_folder) / "report.html"
    write_text(path, render("run.html.j2", **_page(load_run(run_folder))))
    return path


def save_report(evidence: Evidence, path: str | Path, title: str = "My model", kind: str = "", **pictures: Any) -> Path:
    """A page for any model that was diagnosed: verdict, evidence with errors, latent groups, and pictures if given.

    Args:
        evidence: What ``diagnose`` returned.
        path: The HTML file to write; folders that it needs are made.
        title: The headline, such as the name of the data.
        kind: "image", "text" or "table": what the pictures are, where the evidence does not name it.
        pictures: ``samples``, ``originals``, ``reconstructions``, ``traversals`` and the others of
            :class:`buttress.report.examples.ReportExamples`.

    Errors:
        ValueError: Pictures of a shape that their kind does not have.

    Example:
        >>> import tempfile
        >>> from buttress.diagnostics.estimate import Estimate
        >>> from buttress.diagnostics.evidence import Groups
        >>> rate = {"rate": Estimate(1.5, 0.1, 100, "closed form")}
        >>> evidence = Evidence(100, "image", rate, Groups(("z0",), (1.5,), (0.1,), (0.9,)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     page = save_report(evidence, f"{folder}/page.html", "faces", samples=[[[[0.0, 1.0]]]])
        ...     "<h1>faces</h1>" in page.read_text(encoding="utf-8")
        True
    """
    path = Path(path)
    examples = gather(kind or evidence.kind, **pictures) if pictures else None  # type: ignore[arg-type]
    run = RunResult(path.parent, evidence=evidence, examples=examples)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, render("run.html.j2", **(_page(run) | {"title": title, "over": "Diagnosis"})))
    return path


def _page(run: RunResult) -> dict[str, Any]:
    evidence, metrics, view = run.evidence, run.metrics, run.latent
    verdict, rows = evidence.verdict if evidence else None, evidence_rows(run)
    return {
        "run": run,
        "title": name_of(run.recipe.get("data")) or run.folder.resolve().name,
        "over": " · ".join(filter(None, ["Run", "" if run.seed is None else f"seed {run.seed}"])),
        "subtitle": _subtitle(run),
        "verdict": verdict,
        "sentence": sentence(run),
        "headline": _headline(run),
        "notices": notices(run),
        "commands": commands(run),
        "warnings": _bookkeeping(run),
        "evidence": rows,
        "gallery_parts": parts(run.examples),
        "gallery_lead": expected(run),
        "moved": latent_figures.moved_columns(run.examples) if run.examples else None,
        "map": latent_figures.z_map(view) if view else None,
        "code_use": latent_figures.code_use(view) if view else None,
        "heat": units.heat_map(metrics) if metrics else None,
        "information": curves.information(metrics) if metrics else None,
        "units": units.unit_bars(evidence.groups) if evidence else None,
        "collapse": units.collapse_curve(evidence.groups) if evidence else None,
        "rates_apart": evidence is not None and None not in evidence.groups.rate,
        "places": units.code_map(evidence.groups) if evidence else None,
        "of_codes": bool(evidence and evidence.groups.perplexity),
        "plane": plane.run_plane(run),
        "curves": _curves(run),
        "looks": _looks(run),
        "facts": facts(run.recipe),
        "settings": yaml.safe_dump(dict(evidence.settings), sort_keys=False) if evidence and evidence.settings else "",
        "quantities": [QUANTITIES[row.name] for row in rows if row.name in QUANTITIES],
        "count": count,
    }


def sentence(run: RunResult) -> str:
    """The verdict of a run in one plain sentence with its numbers."""
    if run.state is None:
        reached = _last_step(run)
        seen = f" Its last recorded step is {reached:,}." if reached is not None else ""
        return f"There is no verdict on this run: it was interrupted, or not diagnosed yet.{seen}"
    unread = run.state == COLLAPSED and (information(run) or 0.0) >= USED_NATS
    text = UNREAD if unread else SENTENCES.get(run.state, f"Verdict: {run.state}. z carries {{carried}}.")
    if run.value("worth_critic") is not None:
        text = text.replace("decoder", "critic")
    return text.replace("{carried}", carried(run))


def carried(run: RunResult) -> str:
    """What z carries, in words: mutual information if it was measured, else the rate; and in how many dimensions."""
    told, rate, active = information(run), run.value("rate"), run.value("active_units")
    if told is None and rate is None:
        return "an amount of information that was not measured"
    bound = "at most " if told is None else "at least " if run.at_ceiling else ""
    amount = rate if told is None else max(told, 0.0)
    of = f" of {count(size)}" if (size := run.estimate("active_units").ceiling) else ""
    where = "" if active is None else f", with {count(active)}{of} dimensions of z active"
    return f"{bound}{nats(amount)} nats of information about each example{where}"


def _headline(run: RunResult) -> list[dict[str, str]]:
    shown = [("elbo", ""), ("distortion", "="), ("rate", "+"), ("mutual_information", ""), ("active_units", "")]
    found = [(QUANTITIES[name], value, op) for name, op in shown if (value := run.value(name)) is not None]
    return [{"title": q.title, "value": q.write(value * q.sign), "op": op} for q, value, op in found]


def _bookkeeping(run: RunResult) -> list[str]:
    """A warning where −ELBO is not distortion plus rate."""
    elbo, distortion, rate = (run.value(n) for n in ("elbo", "distortion", "rate"))
    if elbo is None or distortion is None or rate is None:
        return []
    slack = 0.01 + 1e-3 * abs(elbo) + 4 * sum(run.estimate(n).error or 0.0 for n in ("elbo", "distortion", "rate"))
    if abs(elbo + distortion + rate) <= slack:
        return []
    return [f"Inconsistent numbers: −ELBO is {nats(-elbo)}, but distortion + rate is {nats(distortion + rate)}."]


def _curves(run: RunResult) -> list[dict[str, Any]]:
    if run.metrics is None:
        return []
    drawn = [
        (title, text, curves.curve(run.metrics, name, sign, name not in NO_NATS)) for name, title, sign, text in CURVES
    ]
    return [{"title": title, "caption": text, "svg": svg} for title, text, svg in drawn if svg is not None]


def _looks(run: RunResult) -> int:
    """At how many steps held-out data was evaluated during training."""
    line = run.metrics.curve("held_out", "elbo") if run.metrics else None
    return 0 if line is None else len(line[0])


def _subtitle(run: RunResult) -> str:
    if not run.recipe:
        return ""
    training = run.recipe.get("training")
    steps = training.get("steps") if isinstance(training, dict) else None
    decoder, reached = name_of(run.recipe.get("decoder")), _last_step(run)
    short = isinstance(steps, int) and reached is not None and reached < steps
    bits = [
        "no remedy" if run.remedies == "none" else run.remedies,
        f"{run.critic} critic" if run.critic else f"{decoder} decoder" if decoder else "",
        f"{reached:,} of {steps:,} steps" if short else f"{steps:,} steps" if isinstance(steps, int) else "",
    ]
    return " · ".join(filter(None, bits))


def _last_step(run: RunResult) -> int | None:
    return int(max(x[-1] for x, _ in run.metrics.curves.values())) if run.metrics and run.metrics.curves else None


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
