"""buttress reconstruct RUN."""

from __future__ import annotations

from pathlib import Path

__all__ = ["reconstruct"]


def reconstruct(run: Path, count: int = 16, out: Path | None = None, seed: int = 0) -> None:
    """Show held-out examples, each followed by its reconstruction x -> z -> x.

    Args:
        run: Folder of the run.
        count: How many.
        out: File to write; sentences and tables are printed where it is missing.
        seed: Of all draws, and of which examples.

    Example:
        On the command line::

            buttress reconstruct runs/latest --count 32 --out pairs.png
    """
    import torch

    from buttress.showcase import as_observed, present, some_held_out
    from buttress.training.run import Run

    opened = Run.load(run)
    raw = some_held_out(opened, count, seed)
    pairs = [as_observed(opened, raw, seed), opened.reconstruct(raw, seed)]
    width = max(p.shape[1] for p in pairs)
    padded = [torch.nn.functional.pad(p, (0, width - p.shape[1])) if opened.spec.kind == "text" else p for p in pairs]
    present(opened, torch.stack(padded, 1).flatten(0, 1), out, across=8)
