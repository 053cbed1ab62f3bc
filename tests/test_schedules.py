"""Schedules against their closed forms; a schedule that cannot finish is an error."""

from __future__ import annotations

import pytest

from buttress.schedules.constant import Constant
from buttress.schedules.cyclical import Cyclical
from buttress.schedules.linear import Linear
from buttress.schedules.sigmoid import Sigmoid


def test_cyclical_has_the_area_of_its_formula():
    steps, cycles, ratio = 4000, 4, 0.5
    wave = Cyclical(steps=steps, cycles=cycles, ratio=ratio)
    assert sum(map(wave, range(steps))) == pytest.approx(steps * (1 - ratio / 2), rel=1e-3)


def test_cyclical_values_at_the_joints():
    steps, cycles = 4000, 4
    wave = Cyclical(steps=steps, cycles=cycles, ratio=0.5)
    assert wave(0) == 0
    assert wave(steps // (2 * cycles)) == 1
    assert wave(steps // cycles - 1) == 1
    assert wave(steps // cycles) == 0
    assert wave(steps - 1) == wave(steps) == wave(steps + 999) == 1


def test_cycles_need_not_divide_the_steps():
    wave = Cyclical(steps=1001, cycles=3, ratio=0.5)
    assert all(wave(round(i * 1001 / 3) - 1) == 1 for i in (1, 2, 3))


@pytest.mark.parametrize("ramp", [Linear(steps=100, start=0.1, end=0.9), Sigmoid(steps=100, start=0.1, end=0.9)])
def test_ramps_rise_from_start_to_end_and_stay(ramp):
    values = [ramp(t) for t in range(150)]
    assert values[0] == pytest.approx(0.1)
    assert values[50] == pytest.approx(0.5)
    assert values[100:] == [pytest.approx(0.9)] * 50
    assert values == sorted(values)


def test_a_ramp_may_wait_and_then_rises_as_one_that_did_not():
    held, ramp = Linear(steps=100, start=0.1, hold=30), Linear(steps=100, start=0.1)
    assert [held(t) for t in range(30)] == [0.1] * 30
    assert [held(t + 30) for t in range(150)] == [ramp(t) for t in range(150)]
    held.check(131)
    with pytest.raises(ValueError, match="after 130 steps"):
        held.check(130)


@pytest.mark.parametrize("schedule", [Linear(steps=100), Sigmoid(steps=100), Cyclical(steps=100, cycles=2, ratio=1.0)])
def test_a_schedule_longer_than_the_run_is_refused(schedule):
    schedule.check(101)
    with pytest.raises(ValueError, match=r"final value.*the run has 50"):
        schedule.check(50)


@pytest.mark.parametrize("total", [75, 60, 40])
def test_a_run_may_end_on_the_last_plateau_but_not_before(total):
    wave = Cyclical(steps=100, cycles=2, ratio=0.5)
    wave.check(76)
    with pytest.raises(ValueError, match="cyclical"):
        wave.check(total)


@pytest.mark.parametrize(
    ("schedule", "settles"),
    [
        (Constant(0.3), 0),
        (Linear(steps=100, hold=30), 130),
        (Sigmoid(steps=100), 100),
        (Cyclical(steps=2000, cycles=4), 1750),
        (Cyclical(steps=2000, cycles=4, ratio=0.1), 1550),
        (Cyclical(steps=1001, cycles=3, ratio=0.5), 835),
        (Cyclical(steps=100, cycles=2, ratio=1.0), 100),
    ],
)
def test_a_schedule_settles_where_its_value_changes_for_the_last_time(schedule, settles):
    end = schedule(9999)
    assert schedule.settles == settles and all(schedule(t) == pytest.approx(end) for t in range(settles, 2100))
    assert not settles or schedule(settles - 1) != pytest.approx(end)
    assert schedule.settled(settles) and not schedule.settled(settles - 1)


def test_no_plateau_but_the_last_settles_a_cyclical_schedule():
    wave = Cyclical(steps=2000, cycles=4)
    assert wave(300) == wave(1999) and not wave.settled(300)


def test_a_constant_fits_any_run():
    Constant(0.3).check(1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Linear(steps=0),
        lambda: Linear(hold=-1),
        lambda: Sigmoid(steps=5, steepness=0),
        lambda: Cyclical(ratio=0.0),
        lambda: Cyclical(2, 3),
        lambda: Sigmoid(steepness=float("inf")),
        lambda: Constant(-1.0),
        lambda: Constant(float("nan")),
        lambda: Linear(start=float("inf")),
        lambda: Linear(end=-0.5),
        lambda: Sigmoid(start=float("nan")),
        lambda: Cyclical(end=float("nan")),
    ],
)
def test_contradictions_are_refused(make):
    with pytest.raises(ValueError, match="wanted"):
        make()
