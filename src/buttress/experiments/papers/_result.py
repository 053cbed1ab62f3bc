"""What an experiment leaves behind: its settings, what it claimed, and what it measured, in one JSON file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from buttress.core.registry import to_plain
from buttress.experiments.claim import Claim
from buttress.runtime.atomic_write import write_text
from buttress.runtime.provenance import calls

__all__ = ["write_result"]


def write_result(path: Path, experiment: Any, found: Sequence[Claim], **measured: Any) -> None:
    """Write it, whole or not at all; ``made`` says how, for each call that had a part in it."""
    claims = [claim.plain() for claim in found]
    plain = {"format": 1, "settings": to_plain(experiment), "made": calls(path), "claims": claims, **measured}
    write_text(path, json.dumps(plain, indent=1) + "\n")
