"""buttress sample_quality RUN."""

from __future__ import annotations

from pathlib import Path

__all__ = ["sample_quality"]


def sample_quality(
    run: Path,
    samples: int = 1000,
    keep: float = 1.0,
    classifier_steps: int = 400,
    label: str = "",
    mean: bool | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    out: Path | None = None,
    data: str | None = None,
    other_data: bool = False,
) -> None:
    """Tell how good and how diverse a run's samples are: Fréchet distance, precision, recall, accuracy score.

    Images with labels are compared on features of a classifier that learns from the run's training images first;
    images without labels, and tables, on their principal components. So the numbers compare runs on the same data with
    each other and with the row "real", as many training images against the held-out ones; they are no published FID.
    Where the model reads the label there is also the classification accuracy score (CAS): the share of held-out images
    that a classifier gets right that learned from samples alone, beside that of one that learned from as many real
    images.

    Args:
        run: Folder of the run.
        samples: How many samples are judged. All are used by the accuracy score; distance, precision and recall use as
            many as are held out.
        keep: Rejection: draw more, and keep of each label this share, those that another classifier is surest of. They
            get a row of their own. 1 for none.
        classifier_steps: Training steps of each classifier.
        label: The column of labels; empty for one that the model reads, or else the first.
        mean: Judge means of p(x|z) in place of draws; none for means where images are under a Gaussian.
        temperature: Temperature of p(x|z): 1 draws from it, 0 takes the likeliest values.
        seed: Seed of all draws and classifiers.
        out: File to write; without it sample_quality.json in the run's folder.
        data: Where the run's data are now, if they were moved.
        other_data: Accept data that have changed since the run was trained on them.

    Errors:
        ValueError: The run is on sentences or sound, too few examples are held out, or rejection is asked of a model
            that reads no label.

    Example:
        On the command line::

            buttress sample_quality runs/latest
            buttress sample_quality runs/latest --samples 2000 --keep 0.25
    """
    from rich.console import Console

    from buttress.cli.opening import open_run
    from buttress.cli.watching import progress
    from buttress.experiments.sample_quality import RESULT
    from buttress.experiments.sample_quality import sample_quality as judged
    from buttress.report.sample_quality import sample_quality_table
    from buttress.runtime.atomic_write import check_place

    opened = open_run(run, data, other_data)
    check_place(out or run / RESULT)
    wishes = samples, keep, classifier_steps, label, mean, temperature, seed
    with progress() as (say, watch):
        found = judged(opened, *wishes, say, watch)
    print(f"on {found.features}")
    if found.accuracy is not None and found.accuracy.value is not None:
        print(f"which is right on {found.accuracy.value:.1%} of the held-out images")
    Console().print(sample_quality_table(found.rows, found.count))
    if any("cas" in row for name, row in found.rows.items() if name != "real"):
        print(f"accuracy score: of classifiers that learned from {found.taught:,} images of their row")
    print(found.write(out or run / RESULT))
