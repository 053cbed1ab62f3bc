"""The nearest points: as all distances in float32 give them, whatever bounds were used to look at a few."""

from __future__ import annotations

import math

import pytest
import torch

from buttress.nn import lower_bounds
from buttress.nn.lower_bounds import GROUP, FloatBounds, IntegerBounds, integers_are_fast
from buttress.nn.neighbours import Neighbours, greedy_tour

KINDS = [
    FloatBounds,
    pytest.param(
        IntegerBounds,
        marks=pytest.mark.skipif(
            not integers_are_fast(torch.device("cpu")), reason="this machine may not multiply 8 bits exactly"
        ),
    ),
]


def brute(points, queries, count, own=None):
    """Every distance; of points as near as each other the first."""
    apart = torch.stack([(points - query).square().sum(1) for query in queries]).nan_to_num(nan=math.inf)
    if own is not None:
        rows = torch.arange(len(points))
        order = torch.where(rows == own[:, None], math.inf, apart)
        return order.sort(dim=1, stable=True).indices[:, :count]
    return apart.sort(dim=1, stable=True).indices[:, :count]


def found(kind, points, queries, count, own=None):
    """By one kind of bounds, and all distances where they do not suffice."""
    search = Neighbours(points)
    search._bounds = [kind(search.points)]
    return search.nearest(queries, count, own)


def made(name, n=700, dims=5):
    torch.manual_seed(0)
    x = torch.randn(n, dims)
    outlier = torch.zeros(n, 1)
    outlier[3] = 1e4
    return {
        "normal": x,
        "far from the origin": x * 0.01 + 1000.0,
        "one is far off": x + outlier,
        "columns of many sizes": x * torch.logspace(-4, 2, dims),
        "whole numbers": torch.randint(-1, 2, (n, dims)).float(),
        "all alike": torch.full((n, dims), 0.3),
        "many copies": x[torch.randint(7, (n,))],
        "heavy tails": x / torch.randn(n, 1),
        "large": x * 1e18,
        "beyond the range": x * 1e20,
        "small": x * 1e-18,
        "below the range": x * 1e-24,
    }[name]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name",
    [
        "normal",
        "far from the origin",
        "one is far off",
        "columns of many sizes",
        "whole numbers",
        "all alike",
        "many copies",
        "heavy tails",
        "large",
        "beyond the range",
        "small",
        "below the range",
    ],
)
def test_the_nearest_are_those_of_all_distances(kind, name, monkeypatch):
    monkeypatch.setattr(lower_bounds, "BLOCK", 5 * GROUP)
    points = made(name)
    queries = torch.cat([points[:20], points[20:30] + 0.1 * points.std(), points.mean(0, keepdim=True)])
    own = torch.arange(31).clamp(max=20)
    assert torch.equal(found(kind, points, queries, 5), brute(points, queries, 5))
    assert torch.equal(found(kind, points, queries, 5, own), brute(points, queries, 5, own))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 7, GROUP, 129, 300])
def test_tables_of_any_size_and_any_number_wanted(kind, n):
    points = torch.randn(n, 3)
    for count in {1, (n + 1) // 2, n}:
        assert torch.equal(found(kind, points, points[:9], count), brute(points, points[:9], count))
    if n > 1:
        own = torch.arange(min(n, 9))
        assert torch.equal(found(kind, points, points[:9], n - 1, own), brute(points, points[:9], n - 1, own))
    with pytest.raises(ValueError, match=f"{n + 1} nearest points are wanted of {n}"):
        Neighbours(points).nearest(points, n + 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["normal", "far from the origin", "one is far off", "heavy tails", "large"])
def test_bounds_are_below_the_distances_of_all_rows_of_a_group(kind, name):
    points = made(name, n=16 * GROUP)
    queries = torch.cat([points[:9] + 0.1 * points.std(), points[9:10] * 2 - points.mean(0)])
    least = kind(points).of(queries)
    if least is None:  # a query is too far beyond the points
        assert kind is IntegerBounds and name == "heavy tails"
        return
    groups, bounds = least.lowest(torch.arange(10), 16)
    true = (points.double() - queries.double()[:, None]).square().sum(-1).view(10, 16, GROUP).amin(2)
    assert (bounds.double() <= true.gather(1, groups)).all() and (bounds.diff() >= 0).all()
    assert all(len(row.unique()) == 16 for row in groups)
    some = torch.tensor([7, 2])
    assert torch.equal(least.lowest(some, 3)[1], bounds[some, :3])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dims", [1, 2, 3, 64])
def test_points_of_any_number_of_columns(kind, dims):
    points, queries = made("normal", 500, dims), torch.randn(9, dims)
    assert torch.equal(found(kind, points, queries, 2), brute(points, queries, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_bounds_spare_most_distances(kind, monkeypatch):
    monkeypatch.setattr(Neighbours, "_among_all", None)
    looked = []
    keys = Neighbours._keys
    monkeypatch.setattr(Neighbours, "_keys", lambda *a: looked.append(len(a[4])) or keys(*a))
    points = torch.randn(4000, 16)
    assert torch.equal(found(kind, points, points[:64], 3), brute(points, points[:64], 3))
    assert sum(looked) * GROUP < 64 * 4000 / 20


@pytest.mark.parametrize("kind", KINDS)
def test_points_that_moved_are_found_where_they_are(kind):
    points = torch.randn(300, 4)
    search = Neighbours(points)
    search._bounds = [kind(search.points)]
    before = points.clone()
    rows, new = torch.randperm(300)[:80], 3 * torch.randn(80, 4) + 1
    search.move(rows, new)
    assert torch.equal(points, before)
    points[rows] = new
    assert torch.equal(search.nearest(points, 4), brute(points, points, 4))


def test_half_precision_around_it_changes_nothing():
    points = torch.randn(500, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(Neighbours(points).nearest(points, 3), brute(points, points, 3))


def test_each_point_of_a_tour_is_followed_by_the_nearest_that_had_no_turn():
    points = torch.randn(40, 2)
    tour = greedy_tour(points).tolist()
    assert sorted(tour) == list(range(40))
    for i in range(1, 40):
        waiting = tour[i:]
        assert (points[waiting] - points[tour[i - 1]]).norm(dim=1).argmin() == 0


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_no_points_are_refused(shape):
    with pytest.raises(ValueError, match=r"got points of shape \(\d, \d\), wanted \(N, D\): at least one"):
        Neighbours(torch.zeros(shape))
    if not shape[0]:
        with pytest.raises(ValueError, match="a tour of no points"):
            greedy_tour(torch.zeros(shape))


def test_what_does_not_fit_the_points_is_told_in_a_sentence():
    search = Neighbours(torch.randn(5, 3))
    with pytest.raises(ValueError, match=r"got queries of shape \(2, 4\), wanted \(B, 3\)"):
        search.nearest(torch.zeros(2, 4), 1)
    with pytest.raises(ValueError, match=r"got own of shape \(3,\), wanted \(2,\)"):
        search.nearest(torch.zeros(2, 3), 1, own=torch.arange(3))
    with pytest.raises(ValueError, match=r"got points of shape \(1, 2\) for 1 rows, wanted \(1, 3\)"):
        search.move(torch.tensor([0]), torch.zeros(1, 2))
    with pytest.raises(ValueError, match="1 nearest points are wanted of 0; ask for none"):
        Neighbours(torch.zeros(1, 3)).nearest(torch.zeros(1, 3), 1, own=torch.tensor([0]))
    assert search.nearest(torch.zeros(0, 3), 2).shape == (0, 2)
