from __future__ import annotations

import math

import pytest

from buttress.report.numbers import MISSING, count, nats, plus_minus, seconds, spread


@pytest.mark.parametrize("value", [0.003, 0.0003, 1e-7, -0.004, 0.0049])
def test_a_small_number_is_never_shown_as_nothing(value: float) -> None:
    shown = float(nats(value).replace("−", "-"))
    assert shown != 0 and shown == pytest.approx(value, rel=0.5)


@pytest.mark.parametrize("write", [nats, count, seconds])
@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_is_not_there_is_a_dash(write, value: float | None) -> None:
    assert write(value) == MISSING


def test_an_error_without_a_value_says_nothing() -> None:
    assert plus_minus(None, 0.1) == MISSING
    assert plus_minus(-1.25, 0.001) == "−1.25 ± 0.001"


def test_spread_is_mean_and_sample_deviation_of_what_is_there() -> None:
    found = spread([1.0, 2.0, None, 6.0, math.nan])
    assert found is not None and (found.mean, found.n) == (3.0, 3)
    assert found.sd == pytest.approx(math.sqrt((4 + 1 + 9) / 2))
    assert spread([0.1, 0.1, 0.1]).sd == 0  # type: ignore[union-attr]
    assert spread([4.0]).sd is None  # type: ignore[union-attr]
    assert spread([None]) is None
