"""ABX: its laws on noise and on labels, and every number against plain loops over paths and triples."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from buttress.quality.abx import Tokens, abx, warped


def plain_path(apart):
    """The mean along the cheapest, then shortest of all paths, by listing them."""
    height, width = len(apart), len(apart[0])

    def paths(i, j):
        if (i, j) == (height - 1, width - 1):
            yield [(i, j)]
        for di, dj in ((1, 1), (0, 1), (1, 0)):
            if i + di < height and j + dj < width:
                yield from ([(i, j), *rest] for rest in paths(i + di, j + dj))

    costs = [(sum(apart[i][j] for i, j in path), len(path)) for path in paths(0, 0)]
    total, length = min(costs)
    return total / length


def test_warping_finds_the_cheapest_of_all_paths():
    torch.manual_seed(0)
    apart = torch.rand(16, 4, 5)
    apart[8:] = (apart[8:] > 0.5).float()  # of codes, with many ties
    rows, columns = torch.randint(1, 5, (16,)), torch.randint(1, 6, (16,))
    found = warped(apart, rows, columns)
    for table, h, w, value in zip(apart.double(), rows, columns, found, strict=True):
        assert value.item() == pytest.approx(plain_path(table[:h, :w].tolist()), abs=1e-9)
    torch.testing.assert_close(warped(apart.mT, columns, rows), found)


def made(n, dims=0, labels=3, speakers=3, contexts=1):
    """Sounds of random length, category, speaker and context, of random codes or vectors."""
    shape = [(int(length), dims) if dims else (int(length),) for length in torch.randint(1, 5, (n,))]
    frames = [torch.randn(s) if dims else torch.randint(0, 3, s) for s in shape]
    return Tokens.of(frames, *(torch.randint(0, k, (n,)).tolist() for k in (labels, speakers, contexts)))


def plain_abx(tokens, across, between):
    """The same by loops over all triples and by means of means."""
    n, frames = len(tokens), [f[:m] for f, m in zip(tokens.frames, tokens.lengths, strict=True)]
    who = list(zip(tokens.label.tolist(), tokens.speaker.tolist(), tokens.context.tolist(), strict=True))
    d = {
        (i, j): plain_path([[between(u, v) for v in frames[j]] for u in frames[i]])
        for i, j in itertools.combinations(range(n), 2)
    }
    d |= {(j, i): value for (i, j), value in d.items()}
    cells = {}
    for a, b, x in itertools.permutations(range(n), 3):
        (la, sa, ca), (lb, sb, cb), (lx, sx, cx) = who[a], who[b], who[x]
        if la == lx != lb and sa == sb and (sa != sx) == across and ca == cb == cx:
            gap = d[a, x] - d[b, x]
            wrong = 0.5 if abs(gap) < 1e-9 else float(gap > 0)
            cells.setdefault((la, lb, sa, sx, ca), []).append(wrong)
    count = sum(map(len, cells.values()))
    for depth in (5, 4, 2):
        means = {}
        for key, values in cells.items():
            means.setdefault(key[: {5: 4, 4: 2, 2: 0}[depth]], []).append(sum(values) / len(values))
        cells = means
    (values,) = cells.values()
    return sum(values) / len(values), count


@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize("contexts", [1, 2])
def test_the_error_is_that_of_loops_over_all_triples(across, contexts):
    torch.manual_seed(1)
    codes, vectors = made(20, contexts=contexts), made(16, dims=3, contexts=contexts)
    for tokens, distance, between in (
        (codes, "same", lambda u, v: float(u != v)),
        (vectors, "cosine", lambda u, v: 1 - float(torch.cosine_similarity(u, v, dim=0))),
        (vectors, "angular", lambda u, v: math.acos(float(torch.cosine_similarity(u, v, dim=0))) / math.pi),
    ):
        found, wanted = abx(tokens, across, distance), plain_abx(tokens, across, between)
        assert (found.error, found.triples) == (pytest.approx(wanted[0], abs=1e-6), wanted[1])
        assert found.error == pytest.approx(found.pairs[~found.pairs.isnan()].mean().item())


@pytest.mark.parametrize("across", [True, False])
def test_labels_have_no_error_and_noise_has_one_of_a_half(across):
    torch.manual_seed(0)
    tokens = made(180, labels=4)
    noise = abx(tokens, across, "same").error
    assert noise == pytest.approx(0.5, abs=0.03)
    named = [tokens.label[i].repeat(int(n)) for i, n in enumerate(tokens.lengths)]
    columns = (tokens.label.tolist(), tokens.speaker.tolist())
    assert abx(Tokens.of(named, *columns), across, "same").error == 0
    one_hot = [torch.nn.functional.one_hot(codes, 4).float() for codes in named]
    assert abx(Tokens.of(one_hot, *columns), across).error == 0
    alike = [torch.ones_like(codes) for codes in named]
    assert abx(Tokens.of(alike, *columns), across, "same").error == 0.5


def test_a_code_of_the_speaker_is_right_within_and_wrong_across():
    """Codes that tell category and speaker: within a speaker they are labels, across they are noise."""
    torch.manual_seed(0)
    label, speaker = torch.randint(0, 3, (2, 90))
    tokens = Tokens.of([c[None] for c in 3 * speaker + label], label.tolist(), speaker.tolist())
    assert abx(tokens, False, "same").error == 0 and abx(tokens, True, "same").error == 0.5


def test_at_most_so_many_sounds_of_a_cell_are_kept():
    torch.manual_seed(0)
    few = made(200, labels=2, speakers=2).at_most(7)
    assert (2 * few.label + few.speaker).bincount().tolist() == [7] * 4
    assert few.frames.shape[0] == 28 == len(few.lengths)


def test_what_cannot_be_tested_is_nan_or_refused():
    alone = Tokens.of([torch.tensor([0]), torch.tensor([1])], [0, 1], [0, 0])
    assert math.isnan(abx(alone, False, "same").error) and abx(alone, True, "same").triples == 0
    with pytest.raises(ValueError, match="'angular' is not one of codes; try angular for vectors"):
        abx(alone, distance="angular")
    with pytest.raises(ValueError, match="got 2 sounds, wanted one or more, each with at least one frame"):
        Tokens.of([torch.tensor([]), torch.tensor([1.0])], [0, 1], [0, 0])
