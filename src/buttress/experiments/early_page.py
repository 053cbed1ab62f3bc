"""The page and the figure of the early warning."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from buttress.diagnostics.monitor.forecast import EARLY, Forecast
from buttress.experiments.early_fit import DRAWS, Scores, auroc, decided, reliability, scores
from buttress.experiments.early_table import EarlyRun, csv_of
from buttress.experiments.early_warning import END, PROBE
from buttress.report.drawing import Style, new_axes, write_png
from buttress.runtime.atomic_write import write_text

__all__ = ["draw", "text", "write_early"]

CHOSEN = 8
"""Runs of each set of data by which the features were chosen."""
INTRODUCTION = f"""# Early warning: will this run end collapsed?

A monitor that knows the length of a run (`bt.Monitor(model, probe, steps=...)`) looks at z at 5 % and at 10 % of it,
and gives the probability that the run ends collapsed. The probability is a logistic regression on ten numbers, of
these two looks and of the loss ([`forecast.py`](../src/buttress/diagnostics/monitor/forecast.py)). This page says how
it was fitted, and how good it is on data that it was not fitted to.

**Runs.** Short runs on nine sets of data, as many of each: digits, shapes and grey levels (images), two tables, three
kinds of made-up sentences, and frames of made-up speech. Decoders (MLP, convolutional, PixelCNN, LSTM, Transformer,
causal convolution, GRU), the weight of the rate, how it is annealed, free bits, a fixed or learned variance, sizes of
z, learning rates, lengths and seeds are dealt out at random
([`early_runs.py`](../src/buttress/experiments/early_runs.py)); no run was chosen by how it ends. Early looks read
{PROBE} held-out examples.

**End state.** The verdict of the usual diagnosis after the last step, on up to {END} held-out examples, with its
errors. Where these allow "collapsed" and another state, the run is *borderline*: it is counted, and left out of the
fit and of every score.

**Test.** Leave one set of data out: the runs on each are judged by a regression that was fitted to the runs on the
other eight. The ten numbers were chosen, by this test, when the runs numbered below {CHOSEN} of each set of data were
done; the others came afterwards, and a row of the second table is about them alone. What the package brings is fitted
to all runs. An AUROC is the probability that a run that ends collapsed is given a larger p than one that does not; its
error is from drawing runs anew {DRAWS} times."""

THRESHOLDS = (0.1, 0.2, 0.3, 0.5, 0.7)
LIMITS = """## Limits

- The runs are short (240 to 800 steps) and the models small. On a real run, where 10 % is thousands of steps, more is
  decided at 10 % than here, but nothing on this page shows it.
- Data of other kinds than these nine may be judged worse; the table by sets of data shows how much that varies. Digits
  and grey levels are the same images under two likelihoods, and all sentences are made up.
- All runs have one Gaussian z with a standard normal prior, and are trained jointly. Codes, hierarchies, learned priors
  and other algorithms were not tried.
- A learning rate that falls, or a remedy that starts later in the run, is not foreseen. An annealed weight and free
  bits are, where the monitor is told of them (`beta=`, `floor=`): in these runs it was."""


def write_early(
    runs: Sequence[EarlyRun], probabilities: Sequence[float], fitted: Forecast, folder: Path, page: Path | None = None
) -> None:
    """Write ``runs.csv`` and ``early_warning.png`` into a folder, and a page beside them or where it is wanted.

    Args:
        runs: All of them.
        probabilities: Of each, by a fit to other sets of data.
        fitted: The regression that the package brings.
        folder: Where the files go.
        page: The page in Markdown; None for ``early_warning.md`` in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "runs.csv", csv_of(runs))
    draw(runs, probabilities, folder / "early_warning.png")
    page = folder / "early_warning.md" if page is None else page
    page.parent.mkdir(parents=True, exist_ok=True)
    write_text(page, text(runs, probabilities, fitted, Path(os.path.relpath(folder, page.parent)).as_posix()))


def text(runs: Sequence[EarlyRun], probabilities: Sequence[float], fitted: Forecast, where: str) -> str:
    """The page."""
    where_to = "--page docs/early_warning.md --results docs/results/early_warning"
    command = f"buttress early-warning {where_to} --coefficients src/buttress/diagnostics/monitor/early_warning.json"
    parts = (
        INTRODUCTION,
        f"Everything on this page is written by\n\n    {command}\n\nwhich trains the runs first, or with "
        "`--table` takes those of an earlier call.",
        f"[Every run as CSV]({where}/runs.csv).\n\n![reliability and probabilities]({where}/early_warning.png)",
        _summary(runs, probabilities),
        _by_data(runs, probabilities),
        _by_start(runs, probabilities),
        _thresholds(runs, probabilities),
        _rules(runs, probabilities),
        _lead(runs, probabilities),
        _reliability(runs, probabilities),
        _coefficients(fitted),
        LIMITS,
    )
    return "\n\n".join(parts) + "\n"


def _summary(runs: Sequence[EarlyRun], p: Sequence[float]) -> str:
    found, kept = scores(runs, p), decided(runs)
    moved = sum(run.collapsed and run.collapsed_from == 1 for run in kept)
    return (
        "## Result\n\n"
        f"{len(runs)} runs: {found.collapsed} end collapsed, {found.runs - found.collapsed} do not, and "
        f"{len(runs) - found.runs} are borderline. On sets of data that it was not fitted to, the forecast has an "
        f"AUROC of **{_auroc(found)}** (wanted: at least 0.95) and a Brier score of {found.brier:.3f} (the share of "
        f"collapsed runs, given to each: {found.brier_of_share:.3f}). A warning from p = 1/2 on catches "
        f"{found.caught} of {found.collapsed} collapses, with {found.false_alarms} false alarms among the other "
        f"{found.runs - found.collapsed}. How settled the ends are: {moved} of the {found.collapsed} runs that end "
        "collapsed were not collapsed at 75 % of the run."
    )


def _auroc(found: Scores) -> str:
    value, error = found.auroc
    return "-" if math.isnan(value) else f"{value:.3f} ± {error:.3f}" if error > 0 else f"{value:.3f}"


def _row(name: str, runs: Sequence[EarlyRun], p: Sequence[float]) -> str:
    found = scores(runs, p)
    caught, others = f"{found.caught} of {found.collapsed}", found.runs - found.collapsed
    alarms, left_out = f"{found.false_alarms} of {others}", len(runs) - found.runs
    return f"| {name} | {len(runs)} | {left_out} | {_auroc(found)} | {found.brier:.3f} | {caught} | {alarms} |"


HEAD = """| {} | runs | borderline | AUROC | Brier | caught | false alarms |
|:--|--:|--:|--:|--:|--:|--:|"""


def _by_data(runs: Sequence[EarlyRun], p: Sequence[float]) -> str:
    names = dict.fromkeys(run.data for run in runs)
    rows = [_row(name.replace("_", " "), *_some(runs, p, [run.data == name for run in runs])) for name in names]
    few = "Most sets have few collapses, so a single AUROC says little; one of 1.000 has no error by drawing runs anew."
    return "\n".join(["## By set of data\n", HEAD.format("not fitted to"), *rows, _row("**all**", runs, p), f"\n{few}"])


def _by_start(runs: Sequence[EarlyRun], p: Sequence[float]) -> str:
    early = [run.collapsed_early for run in runs]
    annealed = [run.row["annealing"] != "none" for run in runs]
    groups = {
        "collapsed already at 10 %": early,
        "not collapsed at 10 %": [not one for one in early],
        "annealed": annealed,
        "not annealed": [not one for one in annealed],
        "of those the features were chosen by": [run.seed < CHOSEN for run in runs],
        "done after the features were chosen": [run.seed >= CHOSEN for run in runs],
    }
    rows = [_row(name, *_some(runs, p, chosen)) for name, chosen in groups.items()]
    return "\n".join(["## By kind of run\n", HEAD.format("runs that are"), *rows])


def _thresholds(runs: Sequence[EarlyRun], p: Sequence[float]) -> str:
    """What a warning catches and what it costs in false alarms, by the p from which on it is given."""
    waiting = [not run.collapsed_early and not run.borderline for run in runs]
    few = _some(runs, p, waiting)
    rows = [f"| {level:g} | {_caught(runs, p, level)} | {_caught(*few, level)} |" for level in THRESHOLDS]
    told = (
        "The monitor warns from p = 1/2 on: a warning is then nearly always right, and most runs that only collapse "
        "later get none. Who would rather stop a few good runs than lose a bad one takes a smaller p "
        "(`monitor.probability`)."
    )
    head = "| warning from p | all: caught, false alarms | not collapsed at 10 %: caught, false alarms |\n|--:|:--|:--|"
    return "\n".join(["## What a warning costs\n", f"{told}\n", head, *rows])


def _caught(runs: Sequence[EarlyRun], p: Sequence[float], level: float) -> str:
    kept = [(run.collapsed, q >= level) for run, q in zip(runs, p, strict=True) if not run.borderline]
    ends = sum(end for end, _ in kept)
    right, wrong = (sum(end is is_end and warned for end, warned in kept) for is_end in (True, False))
    return f"{right} of {ends}, {wrong} of {len(kept) - ends}"


def _some(runs: Sequence[EarlyRun], p: Sequence[float], chosen: Sequence[bool]) -> tuple[list[EarlyRun], list[float]]:
    return [r for r, yes in zip(runs, chosen, strict=True) if yes], [q for q, yes in zip(p, chosen, strict=True) if yes]


def _rules(runs: Sequence[EarlyRun], p: Sequence[float]) -> str:
    """The forecast beside what needs no fit."""
    kept = decided(runs)
    ends = np.array([run.collapsed for run in kept])
    plain = {
        "the forecast": [q for run, q in zip(runs, p, strict=True) if not run.borderline],
        "the verdict at 10 % (collapsed or not)": [float(run.collapsed_early) for run in kept],
        "what z carries at 10 % (less is worse)": [-run.carried_early for run in kept],
        "the rate at 10 % (less is worse)": [-run.features["rate"] for run in kept],
    }
    rows = [f"| {name} | {auroc(ends, np.array(values)):.3f} |" for name, values in plain.items()]
    return "\n".join(["## Beside simpler rules\n", "| | AUROC |\n|:--|--:|", *rows])


def _lead(runs: Sequence[EarlyRun], p: Sequence[float]) -> str:
    caught = [run for run, q in zip(runs, p, strict=True) if run.collapsed and not run.borderline and q >= 0.5]
    later = [run for run in caught if run.collapsed_from > EARLY]
    to_end = [round((1 - EARLY) * run.steps) for run in caught]
    to_collapse = [round((run.collapsed_from - EARLY) * run.steps) for run in later]
    told = [
        "## Lead time\n",
        f"The warning comes at 10 % of a run: for the {len(caught)} collapses that it catches, {_range(to_end)} steps "
        f"before the end (median and range), which is 90 % of the run. {len(caught) - len(later)} of them were "
        "collapsed at 10 % already and stayed so: there the forecast says that waiting does not help.",
    ]
    if later:
        told.append(
            f"The other {len(later)} still had information at 10 %, or had it again at a later look. The warning came "
            f"{_range(to_collapse)} steps before the first look (at 25, 50, 75 or 100 %) from which on z is collapsed."
        )
    return "\n".join(told[:2]) + "".join(f" {more}" for more in told[2:])


def _range(steps: Sequence[int]) -> str:
    return f"{round(float(np.median(steps)))} ({min(steps)} to {max(steps)})" if steps else "no"


def _reliability(runs: Sequence[EarlyRun], p: Sequence[float]) -> str:
    rows = [f"| {mean:.2f} | {share:.2f} ± {error:.2f} | {n} |" for mean, share, error, n in reliability(runs, p)]
    head = "| mean p | share that ends collapsed | runs |\n|--:|--:|--:|"
    return "\n".join(["## Calibration\n", head, *rows])


def _coefficients(fitted: Forecast) -> str:
    rows = [
        f"| {name} | {fitted.mean[name]:.2f} | {fitted.scale[name]:.2f} | {weight:+.2f} |"
        for name, weight in fitted.weight.items()
    ]
    told = """Logs are to base 10. `rate` and `worth` (what shuffling z costs) are logs of nats at 10 %, `..._grows` is
what they gained since 5 %, and `distortion_falls` the log of the nats by which the reconstruction error fell between
the two looks. `weight_at_end` is the log of the last weight of the rate, `weight_grows` the log of the last over the
present one, and `worth_and_weight_grows` the product of that and `worth`. `optimum` is the log of `optimum_ratio` over
the last weight (0 where it can't be measured: an autoregressive decoder, or examples of different lengths), and `floor`
that of free bits. A weight above 0 makes collapse more likely."""
    head = "| feature | mean | scale | weight of (feature − mean) / scale |\n|:--|--:|--:|--:|"
    return "\n".join(
        ["## What is in the package\n", told + "\n", head, *rows, f"\nIntercept: {fitted.intercept:+.2f}."]
    )


def draw(runs: Sequence[EarlyRun], p: Sequence[float], path: Path) -> None:
    """Calibration, and the probabilities of each set of data."""
    figure, (left, right) = new_axes(4.2, 9.6, columns=2)
    bins, look = reliability(runs, p), Style("arm-1", "o")
    left.plot([0, 1], [0, 1], color="0.8", lw=1)
    left.errorbar(
        [b[0] for b in bins], [b[1] for b in bins], yerr=[b[2] for b in bins], color=look.color, marker="o", lw=1
    )
    for mean, share, _, n in bins:
        left.annotate(str(n), (mean, share), xytext=(5, -11), textcoords="offset points", fontsize=8, color="0.4")
    left.set(xlabel="p at 10 % of the run", ylabel="share that ends collapsed", xlim=(-0.03, 1.05), ylim=(-0.08, 1.17))
    names, kinds = (
        list(dict.fromkeys(run.data for run in runs)),
        (("used or partly used", "arm-1"), ("collapsed", "arm-2")),
    )
    random = np.random.default_rng(0)
    for end, (label, color) in enumerate(kinds):
        chosen = [
            (names.index(r.data), q)
            for r, q in zip(runs, p, strict=True)
            if not r.borderline and r.collapsed == bool(end)
        ]
        places = [y + 0.18 * (end - 0.5) * 2 + random.uniform(-0.09, 0.09) for y, _ in chosen]
        right.plot([q for _, q in chosen], places, "o", ms=4, alpha=0.7, color=Style(color, "o").color, label=label)
    right.axvline(0.5, color="0.8", lw=1)
    right.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    right.set(xlabel="p at 10 %, fitted to the other sets of data", xlim=(-0.03, 1.03), ylim=(len(names) - 0.4, -0.6))
    right.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 1.1), ncols=2)
    write_png(figure, path)
