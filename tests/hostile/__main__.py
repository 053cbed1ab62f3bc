"""``python -m tests.hostile``: try every hostile input and count how the commands ended."""

from __future__ import annotations

import argparse
import collections
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", MPLBACKEND="Agg", TOKENIZERS_PARALLELISM="false")

QUICK = (
    "data/np",
    "data/gz",
    "data/csv",
    "data/parquet",
    "special/",
    "recipe/yaml",
    "run/recipe",
    "run/progress",
    "run/weights",
)
"""How the names of those begin that are quick to try."""
EVERY = 14
FAULTS = ("unclear", "traceback", "crash", "hang")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("-k", "--only", default="", help="only cases whose name holds this")
    parser.add_argument("--every", type=int, default=1, help="only every so many-th case")
    parser.add_argument("--names", type=Path, help="only cases named in this file, a name a line")
    parser.add_argument("--quick", action="store_true", help="only a part that takes half a minute")
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time")
    parser.add_argument("--seconds", type=float, default=20.0, help="longest that one may take of a core")
    parser.add_argument("--json", type=Path, help="where to write all outcomes, a JSON object a line")
    parser.add_argument("--list", type=Path, help="where to write the names of all cases, a JSON string a line")
    parser.add_argument("--faults", action="store_true", help="print only what went wrong")
    asked = parser.parse_args()
    from tests import everything  # noqa: F401  # before the first copy is made, so that no copy has to

    from .cases import cases
    from .runner import GOOD_RUNS, attempts, good_runs

    every = list(cases())
    if asked.list:
        asked.list.write_text("".join(json.dumps(case.name) + "\n" for case in every))
    chosen = [case for case in every if asked.only in case.name][:: asked.every]
    if asked.names:
        named = set(asked.names.read_text().splitlines())
        chosen = [case for case in chosen if case.name in named]
    if asked.quick:
        chosen = [case for case in chosen if case.name.startswith(QUICK)][::EVERY]
    start, found = time.monotonic(), []
    with good_runs(("table",) if asked.quick else GOOD_RUNS) as runs:
        for outcome in attempts(chosen, runs, asked.jobs, asked.seconds):
            found.append(outcome)
            if not asked.faults or outcome.kind in FAULTS:
                last = outcome.said.splitlines()[-1:] or [""]
                print(f"{outcome.kind:9} {outcome.seconds:5.1f} s  {outcome.name}  {last[0][:300]!a}", flush=True)
    if asked.json:
        asked.json.write_text("".join(json.dumps(asdict(outcome)) + "\n" for outcome in found))
    counts = collections.Counter(outcome.kind for outcome in found)
    print(
        f"{len(found)} tried in {time.monotonic() - start:.0f} s: {', '.join(f'{n} {kind}' for kind, n in counts.most_common())}"
    )
    return int(any(counts[kind] for kind in FAULTS))


if __name__ == "__main__":
    sys.exit(main())
