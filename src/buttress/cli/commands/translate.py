"""buttress translate RUN FILE."""

from __future__ import annotations

from pathlib import Path

__all__ = ["translate"]


def translate(
    run: Path,
    file: Path,
    out: Path | None = None,
    beam: int = 4,
    alpha: float = 0.6,
    reference: Path | None = None,
    sacrebleu: bool = False,
) -> None:
    """Translate the sentences in a file, one a line, by a run that was trained on pairs.

    Args:
        run: Folder of the run.
        file: The sentences.
        out: File to write; without it they are printed.
        beam: Beginnings that beam search keeps at each step; 1 takes the likeliest word.
        alpha: Of the length penalty: longer translations are preferred the larger it is.
        reference: Translations by people, line by line; then BLEU of the words between spaces is printed too.
        sacrebleu: Print the BLEU of sacreBLEU and its signature instead, which published ones can be compared with
            (the extra translation).

    Example:
        On the command line::

            buttress translate runs/latest news.de --out news.en
            buttress translate runs/latest test.de --out test.hyp --reference test.en --beam 5
            buttress translate runs/latest test.de --out test.hyp --reference test.en --sacrebleu true
    """
    from buttress.data.reading.lines import blocks
    from buttress.experiments.translate import translate as translated
    from buttress.quality.bleu import bleu
    from buttress.quality.standard_bleu import standard_bleu, standard_metric
    from buttress.runtime.atomic_write import check_place, write_text
    from buttress.training.run import Run

    def lines(path: Path) -> list[str]:
        return [line for _, some in blocks(path) for line in some]

    if out is not None:
        check_place(out)
    sentences = lines(file)
    people = None if reference is None else lines(reference)
    if people is not None:  # means nothing, and refuses before the work what could not be measured after it
        bleu(sentences, people)
        if sacrebleu:
            standard_metric()
    found = translated(Run.load(run), sentences, beam, alpha)
    text = "".join(f"{line}\n" for line in found)
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)
        print(f"{out}: {len(found)} translations")
    if people is not None and sacrebleu:
        value, signature = standard_bleu(found, people)
        print(f"BLEU {value:.1f} ({signature})")
    elif people is not None:
        print(f"BLEU {bleu(found, people):.1f}")
