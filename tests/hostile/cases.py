"""Every hostile input together with the command that meets it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from . import arrays, nodes, pictures, tensors, texts
from .arrays import GOOD, File

QUICK = [
    "--training.steps",
    "4",
    "--training.batch_size",
    "4",
    "--nll_samples",
    "0",
    "--gap_steps",
    "0",
    "--mi_examples",
    "20",
    "--out",
    "run",
]
"""What makes a training short, for inputs that are accepted."""
HUGE = ["1000000000000", "9" * 30, "100000000"]


@dataclass(frozen=True)
class Case:
    """One input and one command.

    Args:
        name: Of the case; begins with that of its family.
        make: Puts files into the (empty) current folder, given the folder of good runs; gives the words of the command.
    """

    name: str
    make: Callable[[Path], list[str]]


def cases() -> Iterator[Case]:
    """All of them."""
    for family in (
        data,
        data_of_kinds,
        special_data,
        recipes,
        runs,
        special_runs,
        mixed_runs,
        numbers,
        names,
        outputs,
        disks,
        other_data,
    ):
        yield from family()


def _data(make: Callable[[Path], object], name: str, more: list[str], runs: Path) -> list[str]:
    make(Path(name))
    return ["train", name, *QUICK, *more]


def data() -> Iterator[Case]:
    """Data files given to ``train``."""
    readers: list[tuple[Callable[[], Iterator[File]], str]] = [
        (arrays.npy, "x.npy"), (arrays.npz, "x.npz"), (texts.txt, "x.txt"), (texts.gz, "x.txt.gz"), (texts.csv, "x.csv"),
        (pictures.parquet, "x.parquet"), (pictures.datasets, "x"),
    ]  # fmt: skip
    for family, ending in readers:
        for name, make in family():
            yield Case(f"data/{name}", partial(_data, make, ending, []))


def data_of_kinds() -> Iterator[Case]:
    """Files that meet a reader in another way: under another name, in a folder, with settings."""
    for name, make in texts.gz():
        yield Case(f"data/csv-{name}", partial(_data, make, "x.csv.gz", []))
        yield Case(f"data/folder-{name}", partial(_data, pictures.in_folder(make, "y.gz"), "x", []))
    for name, make in texts.csv():
        yield Case(f"data/tsv-{name}", partial(_data, make, "x.tsv", ["--data.delimiter", ","]))
    for name, make in pictures.images():
        for ending in ("png", "jpg"):
            yield Case(f"data/{name}-as-{ending}", partial(_data, pictures.in_folder(make, f"y.{ending}"), "x", []))
        yield Case(
            f"data/{name}-set-aside", partial(_data, pictures.in_folder(make, "y.tif"), "x", ["--data.tolerate", "0.5"])
        )
    for name, make in [*texts.json_files(), *texts.txt()]:
        yield Case(f"data/jsonl-{name}", partial(_data, make, "x.jsonl", []))
    for name, make in texts.txt():
        yield Case(f"data/bpe-{name}", partial(_data, make, "x.txt", ["--data.tokenizer", "bpe"]))


def special_data() -> Iterator[Case]:
    """Pipes, devices and the like, given as data or inside a folder."""
    endings = ("npy", "npz", "csv", "csv.gz", "parquet", "txt", "txt.gz", "png", "jsonl")
    for kind, make in nodes.nodes():
        for ending in endings:
            yield Case(f"special/{kind}-as-{ending}", partial(_data, make, f"x.{ending}", []))
        for ending in ("png", "txt", "gz", "parquet", "wav"):
            yield Case(
                f"special/{kind}-in-folder-as-{ending}",
                partial(_data, pictures.in_folder(make, f"y.{ending}"), "x", []),
            )
        yield Case(
            f"special/{kind}-in-texts", partial(_data, pictures.in_folder(make, "y.txt"), "x", ["--data", "sentences"])
        )
    for place in (
        "/dev/zero",
        "/dev/stdin",
        "/proc/self/mem",
        "/dev",
        "/proc/self/fd",
        "/dev/fd/0",
        ".",
        "..",
        "",
        " ",
        "\0",
        "x" * 5000,
        "a/" * 3000,
        "-",
        "--",
        "hf:",
        "hf:../x",
        "~nobody/x",
        "a\nb",
        "\udcff.npy",
        ",",
        ",,,",
        "x.txt,x.txt",
    ):
        yield Case(f"special/{place[:20]!r}", lambda runs, p=place: ["train", p, *QUICK])


def _from(make: Callable[[Path], object], more: list[str], runs: Path) -> list[str]:
    np.save("ok.npy", GOOD)
    make(Path("from.yaml"))
    return ["train", "ok.npy", "--from", "from.yaml", *QUICK, *more]


def recipes() -> Iterator[Case]:
    """Recipes after ``--from``: broken files, and good ones with one setting broken."""
    for name, make in [*texts.yaml_files(), *nodes.nodes()]:
        yield Case(f"recipe/{name}", partial(_from, make, []))
    for i, value in enumerate(VALUES):
        for line in LINES:
            yield Case(f"recipe/value-{line}-{i}", partial(_changed, line, value))
    deep = "[" * 3000
    for i, words in enumerate(
        [
            "kl_annealing:fraction=" + deep,
            "kl_annealing:fraction=" + "9" * 6000,
            "kl_annealing:fraction=1e999",
            "kl_annealing:start=&a [*a]",
            "free_bits:per_group=!!bool so",
            "free_bits:per_group=2001-99-99",
            "none+" * 500 + "none",
            "[red]",
            "a\nb",
            "+",
            ":",
            "free_bits:=",
            "\0",
        ]
    ):
        yield Case(
            f"recipe/remedies-{i}",
            lambda runs, w=words: (np.save("ok.npy", GOOD), ["train", "ok.npy", "--remedies", w, *QUICK])[1],
        )


LINES = ("steps", "batch_size", "learning_rate", "dim", "hidden", "path", "name", "seed", "remedies", "clip", "beta")
VALUES = ["1e999", "-1", "0", "[]", "{}", "null", "true", "so", ".nan", ".inf", "9" * 400, "1.5", "'" + "x" * 100_000 + "'", "2001-01-01", "[" * 90 + "]" * 90, "'\\0'", "!!binary aGk="]  # fmt: skip


def _changed(key: str, value: str, runs: Path) -> list[str]:
    text = (runs / "table" / "recipe.yaml").read_text().splitlines()
    out, at = [], 0
    for line in text:
        name, colon, _ = line.partition(":")
        if name.strip() == key and not at:
            line, at = f"{name}: {value}", 1
        out.append(line)
    Path("from.yaml").write_text("\n".join(out) + "\n")
    np.save("ok.npy", GOOD)
    return ["train", "ok.npy", "--from", "from.yaml", "--nll_samples", "0", "--gap_steps", "0", "--out", "run"]


COMMANDS: dict[str, list[str]] = {
    "diagnose": ["diagnose", "run", "--nll_samples", "0", "--gap_steps", "0", "--mi_examples", "20"],
    "sample": ["sample", "run", "--count", "2"], "reconstruct": ["reconstruct", "run", "--count", "2"], "report": ["report", "run"],
    "interpolate": ["interpolate", "run", "--count", "2", "--steps", "3"], "codes": ["train", "run", *QUICK[:-1], "second"], "compare-report": ["report", "comparison"],
}  # fmt: skip
RESUMED = ["--nll_samples", "0", "--gap_steps", "0", "--mi_examples", "20", "--resume", "--out", "run"]


def _run(kind: str, file: str, make: Callable[[Path], object] | None, command: str, runs: Path) -> list[str]:
    shutil.copytree(runs / kind, "run")
    path = Path("run", file)
    path.unlink(missing_ok=True)
    if make is not None:
        make(path)
    if command == "resume":
        if file == "state.safetensors":
            Path("run/progress.json").unlink(missing_ok=True)  # else there is nothing to go on with
        return ["train", str(runs / "data" / DATA[kind]), "--from", str(runs / kind / "recipe.yaml"), *RESUMED]
    return COMMANDS[command]


DATA = {"table": "table.csv", "text": "text.txt", "codes": "pictures"}


def _comparison(make: Callable[[Path], object], again: bool, runs: Path) -> list[str]:
    Path("comparison").mkdir()
    make(Path("comparison/comparison.json"))
    if again:
        np.save("ok.npy", GOOD)
        return ["compare", "ok.npy", "--out", "comparison", "--remedies", "nonee"]
    return COMMANDS["compare-report"]


def runs() -> Iterator[Case]:
    """Run folders in which one file is hostile, under the commands that read it."""
    for name, make in texts.yaml_files():
        yield Case(f"run/recipe/{name}-sample", partial(_run, "table", "recipe.yaml", make, "sample"))
        yield Case(f"run/recipe/{name}-report", partial(_run, "table", "recipe.yaml", make, "report"))
        yield Case(f"run/spec/{name}-sample", partial(_run, "text", "spec.yaml", make, "sample"))
    for name, make in texts.json_files():
        yield Case(f"run/progress/{name}", partial(_run, "table", "progress.json", make, "sample"))
        yield Case(f"run/progress/{name}-resume", partial(_run, "table", "progress.json", make, "resume"))
        yield Case(f"run/evidence/{name}", partial(_run, "table", "evidence.json", make, "report"))
        yield Case(f"run/tokenizer/{name}", partial(_run, "text", "tokenizer.json", make, "sample"))
        yield Case(f"run/examples/{name}", partial(_run, "text", "examples.json", make, "report"))
        yield Case(f"run/comparison/{name}", partial(_comparison, make, False))
        yield Case(f"run/comparison/{name}-again", partial(_comparison, make, True))
    for name, make in tensors.tensors():
        yield Case(f"run/weights/{name}", partial(_run, "table", "weights.safetensors", make, "sample"))
        yield Case(f"run/sites/{name}", partial(_run, "table", "spec.safetensors", make, "reconstruct"))
        yield Case(f"run/state/{name}", partial(_run, "table", "state.safetensors", make, "resume"))
        yield Case(f"run/examples/{name}", partial(_run, "codes", "examples.safetensors", make, "report"))
    for name, make in texts.metrics():
        yield Case(f"run/metrics/{name}", partial(_run, "table", "metrics.csv", make, "report"))
    for name, data_ in texts.bytes_of_text().items():
        yield Case(f"run/notes/{name}", partial(_run, "table", "notes.txt", arrays.written(data_), "report"))


FILES = ("recipe.yaml", "spec.yaml", "spec.safetensors", "weights.safetensors", "state.safetensors", "progress.json", "evidence.json",
         "metrics.csv", "notes.txt", "examples.safetensors", ".lock", "report.html")  # fmt: skip


def special_runs() -> Iterator[Case]:
    """Run folders in which a file is missing, empty, a pipe, a folder."""
    kinds: list[tuple[str, Callable[[Path], object] | None]] = [
        ("missing", None),
        ("empty", Path.touch),
        *nodes.nodes(),
    ]
    for file in FILES:
        for name, make in kinds:
            for command in (
                ("report", "reconstruct", "resume", "diagnose")
                if name in ("missing", "empty", "pipe", "folder")
                else ("report", "sample")
            ):
                yield Case(f"files/{file}-{name}-{command}", partial(_run, "table", file, make, command))
    for name, make in kinds:
        for file in ("tokenizer.json", "examples.json"):
            yield Case(
                f"files/{file}-{name}", partial(_run, "text", file, make, "sample" if file[0] == "t" else "report")
            )
        for command in ("sample", "report", "diagnose"):
            yield Case(
                f"files/run-is-{name}-{command}",
                lambda runs, m=make, c=command: (m(Path("run")) if m else None, COMMANDS[c])[1],
            )
        if make is not None:
            yield Case(f"files/comparison.json-{name}", partial(_comparison, make, False))


def _swapped(file: str, command: str, other: str, runs: Path) -> list[str]:
    return _run("table", file, lambda path: shutil.copyfile(runs / other / file, path), command, runs)


def mixed_runs() -> Iterator[Case]:
    """Run folders with a file of another run."""
    for other in ("text", "codes", "narrow"):
        for file in FILES[:9]:
            for command in ("sample", "diagnose", "report", "resume"):
                yield Case(f"mixed/{file}-of-{other}-{command}", partial(_swapped, file, command, other))
    for command in COMMANDS:
        yield Case(
            f"mixed/codes-of-real-z-{command}",
            lambda runs, c=command: (shutil.copytree(runs / "table", "run"), COMMANDS[c])[1],
        )


def _on_run(kind: str, words: list[str], runs: Path) -> list[str]:
    shutil.copytree(runs / kind, "run")
    return words


def _on_data(words: list[str], runs: Path) -> list[str]:
    np.save("ok.npy", GOOD)
    np.save("ok4.npy", np.random.default_rng(0).integers(0, 255, (40, 8, 8), np.uint8))
    return [
        word.replace("TEXT", str(runs / "data" / "text.txt")).replace("PICTURES", str(runs / "data" / "pictures"))
        for word in words
    ]


SIZES = ["--posterior.dim", "--training.batch_size", "--data.held_out", "--data.split_seed", "--training.seed"]  # fmt: skip
PARTS = [
    ["ok.npy", "--encoder.hidden", "[N,N]"], ["ok.npy", "--decoder.hidden", "[N]"],
    ["ok.npy", "--posterior", "vector_quantized", "--prior", "uniform", "--posterior.codes", "N"], ["ok.npy", "--posterior", "vector_quantized", "--prior", "uniform", "--posterior.slots", "N"], ["ok.npy", "--posterior", "vector_quantized", "--prior", "uniform", "--posterior.dim", "N"],
    ["ok.npy", "--prior", "mixture", "--prior.components", "N"], ["ok.npy", "--prior", "vamp", "--prior.components", "N"], ["ok.npy", "--prior", "autoregressive_flow", "--prior.hidden", "[N,N]"], ["ok.npy", "--prior", "autoregressive_flow", "--prior.transforms", "N"], ["ok.npy", "--objective", "importance_weighted", "--objective.samples", "N"],
    ["TEXT", "--decoder.hidden", "N"], ["TEXT", "--decoder.embedding", "N"], ["TEXT", "--encoder.embedding", "N"], ["TEXT", "--data.vocabulary", "N"], ["TEXT", "--data.max_length", "N"], ["TEXT", "--data.limit", "N"], ["PICTURES", "--data.resize", "[N,N]"], ["PICTURES", "--data.resize", "[N,1]"],
    ["ok4.npy", "--decoder", "pixelcnn", "--decoder.channels", "N"], ["ok4.npy", "--decoder", "pixelcnn", "--decoder.layers", "N"], ["ok4.npy", "--encoder", "conv", "--encoder.widths", "[N,N]"], ["ok4.npy", "--decoder", "conv", "--decoder.widths", "[N,N]"],
    ["linear_gaussian", "--data.n", "N"], ["linear_gaussian", "--data.dim", "N"], ["linear_gaussian", "--data.latent_dim", "N"], ["lstm_text", "--data.train", "N"], ["lstm_text", "--data.words", "N"], ["lstm_text", "--data.hidden", "N"], ["long_documents", "--data.train", "N"], ["long_documents", "--data.words", "N"],
    ["ok.npy", "--algorithm", "semi_amortized", "--algorithm.refine_steps", "N"], ["ok.npy", "--devices", "N"], ["ok.npy", "--nll_samples", "N"], ["ok.npy", "--remedies", "vector_quantized:codes=N"], ["ok.npy", "--remedies", "vector_quantized:slots=N"],
]  # fmt: skip


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
                yield Case(f"numbers/{kind}-{words[0]}-{words[2]}-{len(words)}-{len(n)}", partial(_on_run, kind, words))
        for flag in SIZES:
            yield Case(f"numbers/{flag}-{len(n)}", partial(_on_data, ["train", "ok.npy", flag, n, *QUICK]))
        for i, words in enumerate(PARTS):
            yield Case(
                f"numbers/part-{i}-{words[-2]}-{len(n)}",
                partial(
                    _on_data,
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
            partial(_on_data, ["compare", "ok.npy", "--jobs", n, "--budget", "1", "--remedies", "nonee"]),
        )
        yield Case(
            f"numbers/compare-seeds-{len(n)}",
            partial(_on_data, ["compare", "ok.npy", "--seeds", n, "--budget", "1", "--remedies", "none"]),
        )


ODD = ["[red]", "[/red]", "[/]", "[bold]x[/bold", "<script>alert(1)<", "&amp;", "a b", " ", "ünï-ço∂é", "日本", "-dash", "--flag", "a\nb", "a\tb", "\x1b[31mred", "\x07", "$x^", "{x}", "%s%n", "'", '"', "`ls`", "a" * 200, "\u202eright", "\udcff", "#", "*", "?", "~", "\\"]  # fmt: skip


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
            yield Case(f"names/{shown}-in-{'-'.join(words[:-1]) or 'command'}", partial(_on_data, words))


def outputs() -> Iterator[Case]:
    """Places that cannot be written to."""
    for kind, make in nodes.nodes():
        for words in (
            ["sample", "run", "--count", "2", "--out", "out.csv"],
            ["reconstruct", "run", "--count", "2", "--out", "out.png"],
        ):
            yield Case(
                f"outputs/{kind}-{words[0]}",
                lambda runs, m=make, w=words: (m(Path(w[-1])), _on_run("codes", w, runs))[1],
            )
        yield Case(
            f"outputs/{kind}-train",
            lambda runs, m=make: (m(Path("out")), _on_data(["train", "ok.npy", *QUICK, "--out", "out"], runs))[1],
        )
        yield Case(
            f"outputs/{kind}-compare",
            lambda runs, m=make: (
                m(Path("out")),
                _on_data(["compare", "ok.npy", "--out", "out", "--remedies", "nonee"], runs),
            )[1],
        )
    for place in ("/dev/full", "/dev/full/x", "/proc/x", "\0", "n" * 300, "", "a/b/c.png", "x\ny"):
        yield Case(
            f"outputs/sample-{place[:40]!r}",
            partial(_on_run, "codes", ["sample", "run", "--count", "2", "--out", place]),
        )
        yield Case(f"outputs/train-{place[:40]!r}", partial(_on_data, ["train", "ok.npy", *QUICK, "--out", place]))


def _limited(bytes_: int, words: list[str], runs: Path) -> list[str]:
    import resource

    words = _on_data(words, runs) if words[0] in ("train", "compare") else _on_run("table", words, runs)
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
                [
                    "compare",
                    "ok.npy",
                    "--remedies",
                    "none",
                    "--seeds",
                    "1",
                    "--budget",
                    "2",
                    "--nll_samples",
                    "0",
                    "--gap_steps",
                    "0",
                    "--out",
                    "run",
                ],
            ),
        )


def _replaced(array: np.ndarray, command: str, runs: Path) -> list[str]:
    shutil.copytree(runs / "narrow", "run")
    recipe = Path("run/recipe.yaml")
    np.save("other.npy", array)
    recipe.write_text(
        "\n".join(
            f"  path: {Path('other.npy').resolve()}" if line.startswith("  path:") else line
            for line in recipe.read_text().splitlines()
        )
        + "\n"
    )
    return COMMANDS[command]


def other_data() -> Iterator[Case]:
    """A run whose data became wider, narrower, of another kind or type, or fewer."""
    wide = np.random.default_rng(2).normal(size=(80, 9)).astype(np.float32)
    for name, array in {
        "wider": wide,
        "narrower": wide[:, :1],
        "pictures": wide.reshape(80, 3, 3),
        "one-axis": wide[:, 0],
        "words": wide.astype(str),
        "few": wide[:3, :2],
        "nan": wide[:, :2] * np.nan,
    }.items():
        for command in ("diagnose", "reconstruct", "interpolate", "sample", "report"):
            yield Case(f"other-data/{name}-{command}", partial(_replaced, array, command))
