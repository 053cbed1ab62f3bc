"""Words of a command line: numbers beyond any memory, odd names, places that cannot be written to, full disks."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from . import nodes, pictures, texts
from .case import COMMANDS, COMPARED, QUICK, Case, on_data, on_run

HUGE = ["1000000000000", "9" * 30, "100000000"]
SIZES = ["--posterior.dim", "--training.batch_size", "--data.held_out", "--data.split_seed", "--training.seed"]
PARTS = [
    ["ok.npy", "--encoder.hidden", "[N,N]"],
    ["ok.npy", "--decoder.hidden", "[N]"],
    ["ok.npy", "--posterior", "vector_quantized", "--prior", "uniform", "--posterior.codes", "N"],
    ["ok.npy", "--posterior", "vector_quantized", "--prior", "uniform", "--posterior.slots", "N"],
    ["ok.npy", "--posterior", "vector_quantized", "--prior", "uniform", "--posterior.dim", "N"],
    ["ok.npy", "--prior", "mixture", "--prior.components", "N"],
    ["ok.npy", "--prior", "vamp", "--prior.components", "N"],
    ["ok.npy", "--prior", "autoregressive_flow", "--prior.hidden", "[N,N]"],
    ["ok.npy", "--prior", "autoregressive_flow", "--prior.transforms", "N"],
    ["ok.npy", "--objective", "importance_weighted", "--objective.samples", "N"],
    ["TEXT", "--decoder.hidden", "N"],
    ["TEXT", "--decoder.embedding", "N"],
    ["TEXT", "--encoder.embedding", "N"],
    ["TEXT", "--data.vocabulary", "N"],
    ["TEXT", "--data.max_length", "N"],
    ["TEXT", "--data.limit", "N"],
    ["PICTURES", "--data.resize", "[N,N]"],
    ["PICTURES", "--data.resize", "[N,1]"],
    ["ok4.npy", "--decoder", "pixelcnn", "--decoder.channels", "N"],
    ["ok4.npy", "--decoder", "pixelcnn", "--decoder.layers", "N"],
    ["ok4.npy", "--encoder", "conv", "--encoder.widths", "[N,N]"],
    ["ok4.npy", "--decoder", "conv", "--decoder.widths", "[N,N]"],
    ["linear_gaussian", "--data.n", "N"],
    ["linear_gaussian", "--data.dim", "N"],
    ["linear_gaussian", "--data.latent_dim", "N"],
    ["lstm_text", "--data.train", "N"],
    ["lstm_text", "--data.words", "N"],
    ["lstm_text", "--data.hidden", "N"],
    ["long_documents", "--data.train", "N"],
    ["long_documents", "--data.words", "N"],
    ["ok.npy", "--algorithm", "semi_amortized", "--algorithm.refine_steps", "N"],
    ["ok.npy", "--devices", "N"],
    ["ok.npy", "--nll_samples", "N"],
    ["ok.npy", "--remedies", "vector_quantized:codes=N"],
    ["ok.npy", "--remedies", "vector_quantized:slots=N"],
]


def numbers() -> Iterator[Case]:
    """Numbers that ask for more memory than there is."""
    for n in HUGE:
        for kind in ("table", "text", "codes"):
            for words in (
                ["sample", "run", "--count", n],
                ["reconstruct", "run", "--draws", n],
                ["interpolate", "run", "--steps", n],
                ["sample", "run", "--seed", n],
                ["diagnose", "run", "--nll_samples", n, "--gap_steps", "0"],
                ["sample", "run", "--count", n, "--codes", "uniform"],
            ):
                yield Case(f"numbers/{kind}-{words[0]}-{words[2]}-{len(words)}-{len(n)}", partial(on_run, kind, words))
        for flag in SIZES:
            yield Case(f"numbers/{flag}-{len(n)}", partial(on_data, ["train", "ok.npy", flag, n, *QUICK]))
        for i, words in enumerate(PARTS):
            yield Case(
                f"numbers/part-{i}-{words[-2]}-{len(n)}",
                partial(
                    on_data,
                    [
                        "train",
                        *QUICK,
                        *(
                            w.replace("N", n) if w in ("N", "[N]", "[N,N]", "[N,1]") or w.endswith("=N") else w
                            for w in words
                        ),
                    ],
                ),
            )
        yield Case(
            f"numbers/compare-jobs-{len(n)}",
            partial(on_data, ["compare", "ok.npy", "--jobs", n, "--budget", "1", "--remedies", "nonee"]),
        )
        yield Case(
            f"numbers/compare-seeds-{len(n)}",
            partial(on_data, ["compare", "ok.npy", "--seeds", n, "--budget", "1", "--remedies", "none"]),
        )


ODD = [
    "[red]",
    "[/red]",
    "[/]",
    "[bold]x[/bold",
    "<script>alert(1)<",
    "&amp;",
    "a b",
    " ",
    "ünï-ço∂é",
    "日本",
    "-dash",
    "--flag",
    "a\nb",
    "a\tb",
    "\x1b[31mred",
    "\x07",
    "$x^",
    "{x}",
    "%s%n",
    "'",
    '"',
    "`ls`",
    "a" * 200,
    "\u202eright",
    "\udcff",
    "#",
    "*",
    "?",
    "~",
    "\\",
]


def _named(odd: str, ending: str, runs: Path) -> list[str]:
    path = Path(f"{odd}{ending}")
    path.parent.mkdir(parents=True, exist_ok=True)
    if ending == ".csv":
        path.write_bytes(texts.ROWS)
    elif ending == ".txt":
        path.write_bytes(texts.LINES)
    elif ending == ".bad.csv":
        path.write_bytes(texts.ROWS + b"1,2\n")
    else:
        pictures.in_folder(lambda p: p.write_bytes(b"no picture"), f"{odd.replace('/', '')}.png")(path)
    return ["train", f"./{path}" if odd.startswith("-") else str(path), *QUICK]


def _columned(odd: str, runs: Path) -> list[str]:
    rows = texts.ROWS.decode().splitlines()
    quoted = odd.replace('"', '""')
    Path("x.csv").write_text("\n".join([f'"{quoted}",b,c', *rows[1:]]) + "\n", errors="surrogateescape")
    return ["train", "x.csv", *QUICK]


def _renamed(odd: str, command: list[str], runs: Path) -> list[str]:
    shutil.copytree(runs / "table", odd)
    return [f"./{odd}" if w == "run" and odd.startswith("-") else odd if w == "run" else w for w in command]


def names() -> Iterator[Case]:
    """Markup, control characters, spaces and dashes in names of files, columns, folders and remedies."""
    for odd in ODD:
        shown = ascii(odd)[:24]
        for ending in (".csv", ".bad.csv", ".txt", ".d"):
            yield Case(f"names/{shown}{ending}", partial(_named, odd, ending))
        yield Case(f"names/{shown}-column", partial(_columned, odd))
        for command in ("report", "sample", "diagnose"):
            yield Case(f"names/{shown}-run-{command}", partial(_renamed, odd, COMMANDS[command]))
        for words in (
            ["train", odd],
            ["sample", odd],
            ["train", "ok.npy", "--remedies", odd],
            ["train", "ok.npy", "--data.layout", odd],
            ["train", "ok.npy", "--decoder", odd],
            [odd],
            ["report", odd],
        ):
            yield Case(f"names/{shown}-in-{'-'.join(words[:-1]) or 'command'}", partial(on_data, words))


def outputs() -> Iterator[Case]:
    """Places that cannot be written to."""
    for kind, make in nodes.nodes():
        for words in (
            ["sample", "run", "--count", "2", "--out", "out.csv"],
            ["reconstruct", "run", "--count", "2", "--out", "out.png"],
        ):
            yield Case(
                f"outputs/{kind}-{words[0]}",
                lambda runs, m=make, w=words: (m(Path(w[-1])), on_run("codes", w, runs))[1],
            )
        yield Case(
            f"outputs/{kind}-train",
            lambda runs, m=make: (m(Path("out")), on_data(["train", "ok.npy", *QUICK, "--out", "out"], runs))[1],
        )
        yield Case(
            f"outputs/{kind}-compare",
            lambda runs, m=make: (
                m(Path("out")),
                on_data([*COMPARED, "out"], runs),
            )[1],
        )
    for place in ("/dev/full", "/dev/full/x", "/proc/x", "\0", "n" * 300, "", "a/b/c.png", "x\ny"):
        yield Case(
            f"outputs/sample-{place[:40]!r}",
            partial(on_run, "codes", ["sample", "run", "--count", "2", "--out", place]),
        )
        yield Case(f"outputs/train-{place[:40]!r}", partial(on_data, ["train", "ok.npy", *QUICK, "--out", place]))


def _limited(bytes_: int, words: list[str], runs: Path) -> list[str]:
    words = on_data(words, runs) if words[0] in ("train", "compare") else on_run("table", words, runs)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, bytes_))
    return words


def disks() -> Iterator[Case]:
    """A disk that is full: no file may grow beyond so many bytes."""
    for size in (0, 100, 3000, 30_000):
        for words in (
            ["train", "ok.npy", *QUICK],
            ["train", "TEXT", *QUICK],
            ["train", "PICTURES", *QUICK],
            COMMANDS["diagnose"],
            COMMANDS["report"],
            COMMANDS["sample"],
            ["sample", "run", "--count", "500", "--out", "x.csv"],
        ):
            yield Case(f"disks/{size}-{'-'.join(words[:2])}-{len(words)}", partial(_limited, size, words))
    for size in (0, 3000):
        yield Case(
            f"disks/{size}-compare",
            partial(
                _limited,
                size,
                [*COMPARED, "run"],
            ),
        )
