"""buttress reconstruct RUN."""

from __future__ import annotations

from pathlib import Path

__all__ = ["reconstruct"]


def reconstruct(run: Path, count: int = 16, out: Path | None = None, seed: int = 0, mean: bool = False) -> None:
    """Show held-out examples, each followed by its reconstruction x -> z -> x.

    Args:
        run: Folder of the run.
        count: How many.
        out: File to write; without it images go to reconstructions.png in the run's folder, and the rest is printed.
        seed: Of all draws, and of which examples.
        mean: Draw no z and no x: take the means of q(z|x) and p(x|z). A decoder that goes from place to place
            (recurrent, pixelcnn, pixelsnail) has no such mean: its x is drawn.

    Example:
        On the command line::

            buttress reconstruct runs/latest --count 32 --out pairs.png
    """
    import torch

    from buttress.showcase import Marks, as_observed, present, reconstructed, some_held_out
    from buttress.training.run import Run

    opened = Run.load(run)
    raw = some_held_out(opened, count, seed)
    pairs = [as_observed(opened, raw, seed), reconstructed(opened, raw, seed, mean)]
    width = max(p.shape[1] for p in pairs)
    padded = [torch.nn.functional.pad(p, (0, width - p.shape[1])) if opened.spec.kind == "text" else p for p in pairs]
    rows = [(which, i) for i in range(1, len(raw) + 1) for which in ("original", "reconstruction")]
    marks = Marks(("which", "example"), rows)
    present(opened, torch.stack(padded, 1).flatten(0, 1), out, "reconstructions", across=8, marks=marks)
