from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console

from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.evidence import Evidence
from buttress.report.examples import save_examples
from buttress.report.expectations import apart, expected
from buttress.report.latent import LatentView, save_latent
from buttress.report.quantities import QUANTITIES, Quantity
from buttress.report.results import RunResult, load_run
from buttress.report.run import sentence, write_report
from buttress.report.tables import evidence_rows
from buttress.report.terminal import verdict_table

from . import made_up

VOID = {"meta", "img", "br", "hr", "wbr", "link", "input"}


class Balance(HTMLParser):
    """Collects tags that are closed out of order, text, and every address a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.wrong, self.fetched, self.text, self.ids = [], [], [], [], []

    def handle_starttag(self, tag, attrs) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.fetched += [
            v
            for k, v in attrs
            if k in ("src", "srcset", "data", "xlink:href") and v and not v.startswith(("data:", "#"))
        ]
        self.fetched += [tag] if tag in ("link", "script", "iframe", "object") else []
        self.ids += [v for k, v in attrs if k == "id"]

    def handle_startendtag(self, tag, attrs) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag) -> None:
        if tag not in VOID and (not self.open or self.open.pop() != tag):
            self.wrong.append(tag)

    def handle_data(self, data) -> None:
        self.text.append(data)


def read(path: Path) -> tuple[str, str]:
    """A page, checked to be whole and to fetch nothing; as it stands and as its text."""
    page = path.read_text(encoding="utf-8")
    parser = Balance()
    parser.feed(page)
    assert not parser.wrong and not parser.open and not parser.fetched
    assert len(parser.ids) == len(set(parser.ids)), "identifiers of one figure would answer for another's"
    assert "@import" not in page and not re.findall(r"url\((?!#)", page)
    return page, " ".join("".join(parser.text).split())


def test_a_whole_run_makes_a_whole_page(tmp_path: Path) -> None:
    page, text = read(write_report(made_up.run(tmp_path, ["kl_annealing"])))
    assert "mnist5k kl_annealing" in text and "is-used" in page
    assert text.index("used") < text.index("What the model generates") < text.index("Evidence") < text.index("Recipe")
    assert "95.40 ± 0.62 nats" in text and "= 94.20" in text and "+ 1.20" in text
    assert "6.91" in text, "the ceiling of the mutual information"
    assert page.count("<svg") == 8 and page.count("data:image/png") >= 4
    assert "Latent traversals" in text and "Map of z" in text and "coloured by label" in text
    assert "Perplexity" not in text, "a glossary explains what is on the page"


@pytest.mark.parametrize(
    ("nats", "kinds", "wanted"),
    [
        (0.52, "1.7", "hardly more like their originals than samples are"),
        (1.7, "5.5", "share a trait or two"),
        (4.0, "55", "of the same kind as their originals"),
    ],
)
def test_a_page_says_what_so_many_nats_allow_to_expect(tmp_path: Path, nats: float, kinds: str, wanted: str) -> None:
    made_up.run(tmp_path, rate=nats / 0.93, examples=False)
    said = expected(load_run(tmp_path))
    assert f"z carries {nats:.2f} nats" in said and f"at most {kinds} equally frequent kinds" in said and wanted in said


def test_what_is_expected_where_z_is_ignored_full_or_unknown(tmp_path: Path) -> None:
    ignored = load_run(made_up.run(tmp_path / "a", rate=0.02, state="collapsed", examples=False))
    full = load_run(made_up.run(tmp_path / "b", rate=9.0, examples=False))
    assert "no nearer to their originals than samples are" in expected(ignored)
    assert "z carries at least 6.86 nats" in expected(full) and "distinguish" not in expected(full)
    assert apart(full) == "z carries at least 6.86 nats" and apart(RunResult(tmp_path)) == ""
    assert "was not measured" in expected(RunResult(tmp_path))


def test_a_terminal_tells_meanings_and_each_method_once(tmp_path: Path) -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(verdict_table(made_up.run(tmp_path)))
    shown = console.export_text()
    assert max(map(len, shown.splitlines())) <= 100
    assert shown.count("all pairs of N examples") == shown.count("Monte Carlo, 4 samples") == 1
    lines = {line.split("  ")[0].strip(): line for line in shown.splitlines()}
    assert "information of z about x" in lines["Mutual information"]
    number = lines["−ELBO"].split()[-1]
    assert lines["Distortion"].split()[-1] == number and f"{number} Monte Carlo, 4 samples" in shown


@pytest.mark.parametrize("quantity", QUANTITIES.values(), ids=list(QUANTITIES))
def test_a_quantity_says_in_a_few_words_what_it_means(quantity: Quantity) -> None:
    assert 0 < len(quantity.short) <= 34


def test_a_collapsed_run_says_so_with_cause_reasons_and_advice(tmp_path: Path) -> None:
    page, text = read(write_report(made_up.run(tmp_path, distortion=96.78, rate=0.02, state="collapsed")))
    assert "badge is-collapsed" in page and "The posterior has collapsed" in text
    assert "the model ignores z" in text and "0 of 16 dimensions of z active" in text
    assert "0.0003 ± 0.0002 nats" in text, "0.0003 nats is not nothing"
    for name in ("kl_annealing", "free_bits", "local_decoder"):
        words = f"--from {tmp_path} --remedies {name} --out {tmp_path}-{name}"
        assert f'<pre class="command">buttress train {words}</pre>' in page


def test_the_page_depends_on_the_files_alone(tmp_path: Path) -> None:
    folder = made_up.run(tmp_path)
    assert write_report(folder).read_bytes() == write_report(folder).read_bytes()


@pytest.mark.parametrize("gone", ["recipe.yaml", "metrics.csv", "evidence.json", "examples.safetensors"])
def test_a_page_without_one_file_says_what_is_missing(tmp_path: Path, gone: str) -> None:
    (made_up.run(tmp_path) / gone).unlink()
    _, text = read(write_report(tmp_path))
    assert ("no saved examples" if gone.startswith("examples") else f"There is no {gone}") in text
    if gone == "evidence.json":
        assert "no verdict" in text and "interrupted" in text and "step is 540" in text


def test_an_empty_folder_makes_a_page_and_no_folder_an_error(tmp_path: Path) -> None:
    _, text = read(write_report(tmp_path))
    assert "There is no verdict on this run" in text
    with pytest.raises(FileNotFoundError, match="expected the folder of a run"):
        write_report(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["recipe.yaml", "evidence.json", "examples.safetensors"])
def test_a_broken_file_is_named_and_the_rest_still_shown(tmp_path: Path, name: str) -> None:
    (made_up.run(tmp_path) / name).write_text("{ broken: [")
    _, text = read(write_report(tmp_path))
    assert "not readable" in text and "Training" in text


def test_a_metrics_file_cut_off_in_a_row_keeps_the_rows_before(tmp_path: Path) -> None:
    path = made_up.run(tmp_path) / "metrics.csv"
    path.write_text(path.read_text()[:-150])
    metrics = load_run(tmp_path).metrics
    assert metrics is not None and metrics.curve("held_out", "elbo")[0][-2] == 520  # type: ignore[index]
    read(write_report(tmp_path))


def test_a_resumed_run_counts_the_last_row_of_a_step(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(
        "step,split,rate\n10,held_out,1\n20,held_out,2\n10,held_out,3\n20,held_out,\n"
    )
    steps, values = load_run(tmp_path).metrics.curve("held_out", "rate")  # type: ignore[union-attr,misc]
    assert (steps.tolist(), values.tolist()) == ([10, 20], [3, 2])


def test_labels_read_from_z_stand_beside_those_guessed_without(tmp_path: Path) -> None:
    folder = made_up.run(tmp_path)
    found = Evidence.load(folder / "evidence.json")
    labels = {
        "label_accuracy": Estimate(0.62, 0.02, 500, "probe"),
        "label_accuracy_chance": Estimate(0.12, 0.01, 500, ""),
    }
    replace(found, estimates={**labels, **found.estimates}).save(folder / "evidence.json")
    rows = [(row.title, row.value) for row in evidence_rows(load_run(folder))]
    at = rows.index(("Label accuracy from means", "0.62 ± 0.02"))
    assert rows[at + 1] == ("Label accuracy without z", "0.12 ± 0.01")


def test_books_that_do_not_balance_are_shown(tmp_path: Path) -> None:
    path = made_up.run(tmp_path) / "evidence.json"
    plain = json.loads(path.read_text())
    plain["estimates"]["elbo"]["value"] = -80.0
    path.write_text(json.dumps(plain))
    assert "Inconsistent numbers: −ELBO is 80.00, but distortion + rate is 95.40." in read(write_report(tmp_path))[1]


def test_headings_go_down_one_step_at_a_time(tmp_path: Path) -> None:
    page, _ = read(write_report(made_up.run(tmp_path, state="collapsed")))
    levels = [int(level) for level in re.findall(r"<h(\d)", page)]
    assert levels[0] == 1 and all(b - a <= 1 for a, b in pairwise(levels))


def test_noise_below_nothing_is_told_as_nothing(tmp_path: Path) -> None:
    made_up.run(tmp_path, state="collapsed", rate=0.02)
    found = Evidence.load(tmp_path / "evidence.json")
    below = {**found.estimates, "mutual_information": Estimate(-0.02, 0.02, 39, "Monte Carlo")}
    replace(found, estimates=below).save(tmp_path / "evidence.json")
    assert "carries 0.00 nats" in sentence(load_run(tmp_path))


def test_an_empty_sentence_is_seen(tmp_path: Path) -> None:
    made_up.run(tmp_path, examples=False)
    save_examples(tmp_path, "text", samples=["", "a"], draws=[["a", "", "b", "c", "d"]])
    assert read(write_report(tmp_path))[1].count("(empty)") == 2


def test_what_users_wrote_is_text_never_markup(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script> $x_1$ & 'q'"
    made_up.run(tmp_path, [evil], examples=False)
    save_examples(
        tmp_path,
        "text",
        samples=[evil],
        originals=[evil],
        reconstructions=[evil],
        traversals=[[evil]],
        traversed=[evil],
    )
    save_latent(tmp_path, LatentView([[0.0, 1.0]], [evil, evil], [evil]))
    plain = json.loads((tmp_path / "evidence.json").read_text())
    plain["groups"]["names"][0] = evil
    plain["estimates"]["my_own"] = {"value": 0.5, "error": None, "n": 7, "method": evil}
    plain["verdict"]["reasons"].append(evil)
    plain["settings"] = {"note": evil}
    (tmp_path / "evidence.json").write_text(json.dumps(plain))
    page, text = read(write_report(tmp_path))
    assert "<script" not in page and text.count("<script>alert(1)</script>") >= 8
    assert "my own" in text


@pytest.mark.parametrize("groups", [1, 3, 40])
def test_any_number_of_latent_groups_is_drawn(tmp_path: Path, groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made_up, "GROUPS", groups)
    page, _ = read(write_report(made_up.run(tmp_path, examples=False)))
    assert page.count("<svg") == 7


def test_a_run_of_one_step_is_drawn(tmp_path: Path) -> None:
    made_up.run(tmp_path, examples=False)
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    (tmp_path / "metrics.csv").write_text("\n".join(lines[:3]) + "\n")
    page, _ = read(write_report(tmp_path))
    drawings = {name: part for part in page.split("<svg")[1:] for name in re.findall(r'id="([a-z-]+?)-figure', part)}
    assert {"curve-elbo", "information", "plane", "units"} <= set(drawings)
    round_mark = re.compile(r'<path id="[^"]*" d="M 0 \S+ *\n?C ')
    assert [name for name, part in drawings.items() if name.startswith("curve") and not round_mark.search(part)] == []


def test_numbers_of_levels_follow_those_of_all_of_z(tmp_path: Path) -> None:
    found = Evidence.load(made_up.run(tmp_path, examples=False) / "evidence.json")
    levels = {"rate/coarse": Estimate(0.4, 0.1, 500, "closed form"), "mine": Estimate(1.0, None, 500, "")}
    replace(found, estimates={**levels, **found.estimates}).save(tmp_path / "evidence.json")
    titles = [row.title for row in evidence_rows(load_run(tmp_path))]
    assert titles.index("Rate, coarse") in (titles.index("Rate") - 1, titles.index("Rate") + 1)
    assert titles[-1] == "mine"


def test_a_verdict_that_is_unknown_is_said_in_words(tmp_path: Path) -> None:
    assert "do not allow a verdict" in sentence(load_run(made_up.run(tmp_path, state="unknown", examples=False)))
