import math

import pytest

from aixmeg.report import numbers

NBSP = "\u00a0"


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (numbers.count(1234567), "1,234,567"),
        (numbers.percent(0.4567), "45.7 %"),
        (numbers.percent(1.0), "100 %"),
        (numbers.plural(1, "file"), "1 file"),
        (numbers.plural(2, "repository"), "2 repositories"),
        (numbers.short(99_999), "99,999"),
        (numbers.short(12_345_678), "12.3 M"),
        (numbers.short(999_960), "1.0 M"),  # never 1,000 k
        (numbers.short(1.2e12), "1.2 T"),
        (numbers.size(999), "999 B"),
        (numbers.size(41_800_000), "41.8 MB"),
        (numbers.size(999_999), "1.0 MB"),
        (numbers.size(123_456), "123 kB"),
        (numbers.duration(0.25), "0.2 s"),
        (numbers.duration(59.6), "1 min 00 s"),
        (numbers.duration(3725), "1 h 02 min"),
        (numbers.duration(7199), "2 h 00 min"),
        (numbers.duration(200_000), "2 days 7 h"),
        (numbers.share(1, 3), "33.3 %"),
        (numbers.share(1, 10_000), "< 0.1 %"),
        (numbers.share(0, 10), "0.0 %"),
        (numbers.decimal(4.2134), "4.213"),
        (numbers.decimal(3.4e38), "3.4×10³⁸"),
        (numbers.scientific(3e-4), "0.0003"),
        (numbers.scientific(3e-5), "3×10⁻⁵"),
        (numbers.scientific(1e-6), "10⁻⁶"),
        (numbers.scientific(0), "0"),
        (numbers.scientific(123456), "123,456"),
    ],
)
def test_numbers_read_as_people_write_them(made, expected):
    assert made.replace(NBSP, " ") == expected


@pytest.mark.parametrize("write", [numbers.count, numbers.short, numbers.size, numbers.duration, numbers.scientific])
@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_unknown_is_a_dash(write, value):
    assert write(value) == "–"


def test_a_part_of_nothing_is_a_dash():
    assert numbers.share(1, 0) == numbers.share(None, 3) == numbers.share(3, None) == "–"
    assert numbers.decimal(math.nan) == "not a number"
