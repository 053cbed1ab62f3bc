"""buttress transfer RUN --to LABEL."""

from __future__ import annotations

from pathlib import Path

__all__ = ["transfer"]


def transfer(
    run: Path,
    to: str | None = None,
    count: int = 16,
    text: str | None = None,
    atoms: int = 0,
    sure: float = 0.9,
    temperature: float = 0.0,
    random: bool = False,
    out: Path | None = None,
    seed: int = 0,
    data: str | None = None,
    other_data: bool = False,
) -> None:
    """Rewrite held-out sentences towards another label by swapping the codes that tell it.

    For runs with codes whose data have labels (--data.label) that the model was not given. A regression learns from the
    training sentences which codes tell the label, and the most telling ones are swapped until the codes tell the new
    one. Each sentence is printed with what became of it, and then how many of them a classifier of words, fitted to
    real sentences, takes for the label, and how much wording they keep (BLEU).

    Args:
        run: Folder of the run.
        to: The label to move to, by name or number.
        count: How many sentences.
        text: A sentence of your own in place of held-out ones.
        atoms: Codes to swap in a sentence, at most; 0 for any number.
        sure: Probability of the label, as the codes tell it, at which swapping ends.
        temperature: Temperature of p(x|z): 1 draws from it, 0 takes the likeliest word each time.
        random: Swap as many codes at random instead: what the rest is to be compared with.
        out: File to write, tab-separated; without it transferred.tsv in the run's folder.
        seed: Seed of all draws, and of which sentences.
        data: Where the run's data are now, if they were moved.
        other_data: Accept data that have changed since the run was trained on them.

    Errors:
        ValueError: The run has no codes, its data no labels, there is no such label, or a number is out of range.

    Example:
        On the command line::

            buttress transfer runs/latest --to positive --count 20
            buttress transfer runs/latest --to positive --text "the food was awful ." --atoms 2
    """
    from buttress.cli.opening import open_run
    from buttress.experiments.inputs import typed
    from buttress.experiments.transfer import LabelledCodes, rewrite, scores, sources, write_rewritten

    if to is None:
        raise ValueError("expected --to LABEL, the label that sentences are to have")
    opened = open_run(run, data, other_data)
    known = LabelledCodes(opened, seed)
    label = int(opened.spec.column("label").number(to))
    raw = sources(opened, label, count, seed) if text is None else typed(opened, text)
    found = rewrite(known, raw, label, atoms, sure, temperature, random)
    for source, result, swapped in zip(found.sources, found.results, found.swapped.tolist(), strict=True):
        print(f"{source}\n  -> {result}  ({swapped} swapped)")
    seen = scores(found, known.judge)
    print(
        f"{seen['accuracy']:.0%} are taken for {to} (as reconstructed {seen['accuracy_copies']:.0%}), "
        f"BLEU to the source {seen['bleu']:.1f} ({seen['bleu_copies']:.1f}), {seen['swapped']:.1f} codes swapped"
    )
    print(write_rewritten(found, out or run / "transferred.tsv"))
