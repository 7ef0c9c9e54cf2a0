import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aixmeg.report.series import moving_mean, thin


@given(st.integers(0, 3000), st.integers(10, 100), st.integers(0, 2**32 - 1))
def test_thinning_keeps_order_ends_and_extremes(length, limit, seed):
    random = np.random.Generator(np.random.Philox(seed))
    x, y = np.arange(length, dtype=np.float64) * 3 + 7, random.normal(size=length)
    y[random.random(length) < 0.1] = np.nan
    u, v = thin(x, y, limit)
    assert len(u) <= max(limit, 0)
    assert np.all(np.diff(u) > 0)
    index = ((u - 7) / 3).astype(int)
    np.testing.assert_array_equal(v, y[index])
    if length:
        assert (u[0], u[-1]) == (x[0], x[-1])
    if np.isfinite(y).any():
        assert (np.nanmin(v), np.nanmax(v)) == (np.nanmin(y), np.nanmax(y))


def test_a_long_gap_stays_a_gap():
    y = np.ones(10_000)
    y[4000:5000] = np.nan
    u, v = thin(np.arange(10_000.0), y, 100)
    inside = (u >= 4000) & (u < 5000)
    assert inside.any()
    assert np.isnan(v[inside]).all()


def test_moving_mean_is_the_mean_around_each_value():
    random = np.random.Generator(np.random.Philox(3))
    y = random.normal(size=200)
    y[50] = np.nan
    y[90] = 1e30  # exploded: must not swallow the digits of all that follow
    window = 10
    expected = []
    for i in range(200):
        around = y[max(i - window // 2, 0) : i + window // 2 + 1]
        expected.append(np.mean(around[np.abs(np.nan_to_num(around, nan=1e30)) < 1e6]))
    # float64 sums of 200 values of order 1
    np.testing.assert_allclose(moving_mean(y, window), expected, atol=1e-12)


def test_moving_mean_of_nothing_is_nothing():
    assert np.isnan(moving_mean(np.full(5, np.nan), 3)).all()
    assert len(moving_mean(np.zeros(0), 3)) == 0
