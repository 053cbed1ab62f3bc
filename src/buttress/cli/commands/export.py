"""buttress export RUN."""

from __future__ import annotations

from pathlib import Path

__all__ = ["export"]


def export(
    run: Path, out: Path | None = None, seed: int = 0, data: str | None = None, other_data: bool = False
) -> None:
    """Export encoder and decoder with torch.export, run them again without buttress, and compare.

    The files encoder.pt2 and decoder.pt2 run with torch alone: torch.export.load(path).module()(x). The encoder reads
    x as the likelihood observes it (binarised, say), and gives mean and standard deviation of q(z|x), or codes. The
    decoder gives the likelihood's parameters and the mean of p(x|z); an autoregressive one reads x too. Priors, the
    loops that draw x place by place, and the refinement of semi-amortised runs stay in buttress.

    Args:
        run: Folder of the run.
        out: Folder to write into; none for export in the run's folder.
        seed: Seed of the examples that are compared.
        data: Where the run's data are now, if they were moved.
        other_data: Accept data that have changed since the run was trained on them.

    Errors:
        ValueError: An exported network gives other numbers outside than here, or nothing can be exported.

    Example:
        On the command line::

            buttress export runs/latest --out exported
    """
    from buttress.cli.opening import open_run
    from buttress.experiments.export import export_run

    opened = open_run(run, data, other_data)
    found = export_run(opened, out or run / "export", seed)
    for one in found:
        called = f"({', '.join(one.inputs)}) -> {one.outputs}"
        if one.path is None:
            print(f"{one.name}: cannot be exported: {one.reason}")
        else:
            print(f"{one.path}: {called}; reloaded without buttress, the largest difference is {one.difference:.1g}")
    if all(one.path is None for one in found):
        raise ValueError(f"{run}: nothing could be exported: {'; '.join(one.reason for one in found)}")
    if opened.recipe.decoder.autoregressive:
        print(f"not exported: the loop by which the {opened.recipe.decoder.name()} decoder draws x place by place")
