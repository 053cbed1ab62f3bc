"""A diagnosis in two processes compares their codebooks, and waits for nobody for long."""

from __future__ import annotations

import threading

import apart
import torch.distributed as dist

import copies
from buttress.diagnostics.causes.codebooks_differ import DIFFER
from buttress.diagnostics.processes import exchanged


def test_two_processes_see_that_their_codebooks_are_apart(tmp_path):
    context = copies.CONTEXT
    out = context.Queue()
    both = [context.Process(target=apart.diagnose, args=(rank, str(tmp_path), out)) for rank in range(2)]
    for one in both:
        one.start()
    found = [out.get(timeout=100) for _ in both]
    for one in both:
        one.join(100)
    for _, (far, near), (first, second), reasons, alone in found:
        assert DIFFER in first and DIFFER not in second
        assert 0.005 < far < 0.02 and near < 1e-5
        assert "codebook_average of 2 processes" in reasons and not alone


def test_rounds_are_not_mixed_and_nobody_is_waited_for_in_vain():
    store, heard = dist.HashStore(), {}

    def come(rank, what, seconds=5.0):
        heard[rank, what] = exchanged(store, rank, 2, {"a": [what]}, seconds)

    come(0, 1.0, seconds=0.05)
    assert heard[0, 1.0] is None
    for what in (2.0, 3.0):
        both = [threading.Thread(target=come, args=(rank, what)) for rank in range(2)]
        for one in both:
            one.start()
        for one in both:
            one.join()
        assert heard[0, what] == heard[1, what] == [{"a": [what]}, {"a": [what]}]
