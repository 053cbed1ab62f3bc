"""buttress quantize RUN."""

from __future__ import annotations

from pathlib import Path

__all__ = ["quantize"]


def quantize(
    run: Path,
    bits: int = 8,
    out: Path | None = None,
    parts: tuple[str, ...] = (),
    seed: int = 0,
    data: str | None = None,
    other_data: bool = False,
) -> None:
    """Round weights and activations of a finished run to a few bits, into a new run, and print what that costs.

    Nothing is trained. To train with rounded numbers from the start, which loses less at few bits, give
    --training.quantize to buttress train.

    Args:
        run: Folder of the run.
        bits: To which numbers are rounded, 2 to 8.
        out: Folder of the new run; none for that of the run with the bits behind its name.
        parts: The parts to round: some of condition, encoder, inference (the posterior), prior and decoder; none for
            all.
        seed: Seed of all draws when measuring.
        data: Where the run's data are now, if they were moved.
        other_data: Accept data that have changed since the run was trained on them.

    Example:
        On the command line::

            buttress quantize runs/latest --bits 8
            buttress quantize runs/latest --bits 4 --parts decoder --out runs/four
    """
    from buttress.cli.opening import open_run
    from buttress.training.post_training import cost_of, quantize_run

    opened = open_run(run, data, other_data)
    folder = out or run.resolve().with_name(f"{run.resolve().name}-{bits}bit")
    after = cost_of(quantize_run(opened, folder, bits, parts), seed)
    before = cost_of(opened, seed)
    print(f"{folder}: {bits} bits")
    print(f"parameters {before.bytes / 1000:,.1f} kB -> {after.bytes / 1000:,.1f} kB")
    print(f"ELBO on held-out data {before.elbo} -> {after.elbo} nats per example")
    print(
        f"time to measure it {before.milliseconds:.3g} -> {after.milliseconds:.3g} ms per example; rounding is carried "
        "out in floats here, which costs time: a processor of integers would save it"
    )
    if after.whole:
        print(f"in full precision stay {', '.join(after.whole)}")
