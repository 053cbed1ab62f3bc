"""buttress paper vq_vae."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

__all__ = ["vq_vae"]


def vq_vae(
    out: Path = Path("runs/vq_vae"),
    images: str = "mnist5k",
    held_out_key: str | None = None,
    labels_key: str | None = None,
    first_codes: int = 64,
    first_steps: int = 400,
    codes: int = 64,
    slots: int = 3,
    dim: int = 16,
    steps: int = 1000,
    batch_size: int = 50,
    learning_rate: float = 2e-3,
    seed: int = 0,
    seeds: int = 3,
    jobs: int = 1,
) -> None:
    """van den Oord et al. 2017: are three codes of a whole image used where a strong decoder could do without any?

    Args:
        out: Folder of the experiment; finished runs in it are kept, a half-finished one goes on.
        images: The images: a file, a folder, or mnist5k.
        held_out_key: The array of an .npz file that is held out; null to split some off.
        labels_key: The array of an .npz file with the labels of the held-out images.
        first_codes: Codewords of the first model, which has one code at each of its places.
        first_steps: Its training steps.
        codes: Codewords of the second model, which reads the codes of the first, for each of its slots.
        slots: Its codes for a whole image.
        dim: Numbers in each of its codewords.
        steps: Training steps of each second model.
        batch_size: Images in a step.
        learning_rate: Of Adam.
        seed: The first one.
        seeds: Second models of each kind: with codes, and with a Gaussian z.
        jobs: Second models at a time.
    """
    from buttress.commands.compare import bars
    from buttress.data.source import detect
    from buttress.papers.vq_vae import FIRST, SECOND, VqVae
    from buttress.report.claims import claims_table
    from buttress.report.comparison import terminal_table, write_comparison
    from buttress.report.run import write_report

    keys = {"held_out_key": held_out_key, "labels_key": labels_key}
    experiment = VqVae(
        detect(images, **{name: key for name, key in keys.items() if key is not None}),
        first_codes=first_codes,
        first_steps=first_steps,
        codes=codes,
        slots=slots,
        dim=dim,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        seeds=seeds,
    )
    console = Console()
    with bars(console) as watch:
        found = experiment.run(out, jobs, watch)
    pages = write_report(out / FIRST), write_comparison(out / SECOND)
    console.print(terminal_table(out / SECOND, console.width))
    console.print(claims_table(found))
    for page in pages:
        console.print(f"report: {page}", soft_wrap=True)
