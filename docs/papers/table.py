"""Writes README.md in this folder: every claim of every paper that was tried, from the stored results.

python docs/papers/table.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results"
STORED = {"vq_vae": "vq_two_stage/vq_vae", "lagging_inference": "lagging_inference/lagging_inference",
          "semi_amortized": "semi_amortized/semi_amortized"}  # fmt: skip
"""Experiments whose results have a place of their own; the others are in ``NAME/result.json``."""
MORE = {
    "which_quantizer": {"CIFAR-10": "which_quantizer/cifar10/result"},
    "oord2017_speech": {"raw samples, one seed": "oord2017_speech/wave/result"},
}
"""Results of the same trial on other data."""
HEAD = """# Claims of papers on trial

Each row is a claim with a mark that was set before the runs, and what was seen: the median over seeds, and each seed.
The trials are small (`buttress paper NAME`, mostly minutes on two cores; `--full` has larger or the paper's sizes); the
pages say what differs from the paper, and why a claim did not hold. Written by `docs/papers/table.py`.

{held} of {claims} claims held.

| paper | claim | wanted | seen | held |
|:--|:--|--:|--:|:--|
"""


def page() -> str:
    """The page."""
    from buttress.experiments.papers import experiments

    rows, held, waiting = [], 0, []
    for name in experiments():
        if not (RESULTS / f"{STORED.get(name, f'{name}/result')}.json").exists():
            waiting.append(f"`{name}`")
            continue
        for data, place in {"": STORED.get(name, f"{name}/result"), **MORE.get(name, {})}.items():
            for claim in json.loads((RESULTS / f"{place}.json").read_text("utf-8"))["claims"]:
                if claim.get("missing") == "it was not run":
                    continue
                rows.append(_row(name, f"{data}: {claim['says']}" if data else claim["says"], claim))
                held += claim["held"]
    end = f"\nTrials with marks set, but no stored result yet: {', '.join(waiting)}.\n" if waiting else ""
    return HEAD.format(held=held, claims=len(rows)) + "\n".join(rows) + "\n" + end


def _row(name: str, says: str, claim: dict[str, Any]) -> str:
    paper = f"[{name}]({name}.md)" if (HERE / f"{name}.md").exists() else name
    sign = "<" if claim["wanted"] == "below" else ">"
    seeds = ", ".join("not measured" if value is None else f"{value:.3g}" for value in claim["seen"])
    median = "not measured" if claim["median"] is None else f"{claim['median']:.3g}"
    seen = f"{median} ({seeds})" if len(claim["seen"]) > 1 else median
    said, held = says.replace("|", "\\|"), "yes" if claim["held"] else "**no**"
    return f"| {paper} | {said} | {sign} {claim['mark']:g} | {seen} | {held} |"


if __name__ == "__main__":
    (HERE / "README.md").write_text(page(), encoding="utf-8")
