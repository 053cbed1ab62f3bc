"""Counting codes: in portions or at once, on every process or on one, the counts and their perplexity are the same."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

import buttress
from buttress.distributions.code_counts import CodeCounts
from buttress.runtime import distributed

CODES = torch.tensor([[0, 3], [0, 1], [0, 3], [0, 2]])


def test_perplexity_is_between_one_and_the_number_of_codes():
    counts = CodeCounts(classes=4).add(torch.tensor([[1, 0, 0], [1, 1, 2], [1, 2, 0], [1, 3, 2]]))
    assert counts.perplexities.tolist() == pytest.approx([1, 4, 2])
    assert counts.used == 4 and CodeCounts(classes=9).add(CODES).used == 4


def test_portions_make_no_difference():
    whole = CodeCounts().add(CODES)
    parts = CodeCounts().add(CODES[:1]).add(CODES[1:])
    assert parts.n == whole.n == 4 and parts.table.equal(whole.table)
    wide = CodeCounts(classes=6).add(CODES)
    assert wide.table.shape == (2, 6) and wide.perplexities.equal(whole.perplexities)


def test_two_processes_count_as_one(monkeypatch):
    mine, other = CodeCounts(4).add(CODES[:2]), CodeCounts(4).add(CODES[2:])
    monkeypatch.setattr(distributed, "total", lambda table: table.add_(other.table))
    whole = mine.of_all_processes(torch.device("cpu"))
    assert whole.n == 4 and whole.table.equal(CodeCounts(4).add(CODES).table)
    assert mine.n == 2 and mine.table.equal(CodeCounts(4).add(CODES[:2]).table)


def test_codes_are_counted_in_one_place():
    source = Path(buttress.__file__).parent
    counting = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "bincount"
    }
    factors = {f"diagnostics/estimators/{name}.py" for name in ("disentanglement", "factor_vae_score")}
    factors |= {
        "diagnostics/estimators/mutual_information_gap.py",
        "experiments/papers/_vqvae2_judge.py",
        "quality/abx.py",
        "quality/code_labels.py",
    }
    factors |= {"diagnostics/estimators/sound_rate.py"}  # codes of a slot, those of padding left out
    others = counting - factors  # those count values of factors and labels
    assert others == {"distributions/code_counts.py", "nn/quantize.py"}  # that of codewords is a codebook's own
