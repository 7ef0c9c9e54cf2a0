"""Numbers as people read them. A no-break space stands between a number and its unit."""

from __future__ import annotations

import math

NBSP = "\u00a0"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_DASH = "–"


def count(value: float | None) -> str:
    """12345 → `12,345`."""
    return _DASH if value is None or not math.isfinite(value) else f"{value:,.0f}"


def plural(value: float | None, noun: str) -> str:
    """`1 file`, `2 files`, `3 repositories`."""
    if value == 1:
        return f"1{NBSP}{noun}"
    return f"{count(value)}{NBSP}{noun[:-1] + 'ies' if noun.endswith('y') else noun + 's'}"


def short(value: float | None) -> str:
    """12345678 → `12.3 M`; below a hundred thousand the number itself."""
    if value is None or not math.isfinite(value):
        return _DASH
    return count(value) if abs(value) < 100_000 else _scaled(value, ("", "k", "M", "B", "T"))


def size(value: float | None) -> str:
    """Bytes in decimal units: 12345678 → `12.3 MB`."""
    return _DASH if value is None or not math.isfinite(value) else _scaled(value, ("B", "kB", "MB", "GB", "TB", "PB"))


def _scaled(value: float, units: tuple[str, ...]) -> str:
    power = 0
    while abs(value) >= 999.5 and power < len(units) - 1:
        value /= 1000
        power += 1
    digits = 0 if power == 0 or abs(value) >= 99.95 else 1
    return f"{value:,.{digits}f}{NBSP}{units[power]}".rstrip(NBSP)


def duration(seconds: float | None) -> str:
    """3725 → `1 h 02 min`."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return _DASH
    if seconds < 10:
        return f"{seconds:.1f}{NBSP}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{NBSP}s"
    if whole < 3600:
        return f"{whole // 60}{NBSP}min {whole % 60:02d}{NBSP}s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours < 48:
        return f"{hours}{NBSP}h {minutes:02d}{NBSP}min"
    return f"{hours // 24}{NBSP}days {hours % 24}{NBSP}h"


def share(part: float | None, whole: float | None) -> str:
    """`12.3 %`; a part that would round to nothing is `< 0.1 %`."""
    if part is None or not whole or not math.isfinite(part / whole):
        return _DASH
    percent = 100 * part / whole
    return f"<{NBSP}0.1{NBSP}%" if 0 < percent < 0.05 else f"{percent:.1f}{NBSP}%"


def percent(value: float | None) -> str:
    """0.5 → `50 %`, 0.4567 → `45.7 %`."""
    return _DASH if value is None or not math.isfinite(value) else f"{100 * value:.3g}{NBSP}%"


def decimal(value: float | None, digits: int = 3) -> str:
    """A loss or another value of order one; infinities and NaN are named."""
    if value is None:
        return _DASH
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite"
    return f"{value:,.{digits}f}" if abs(value) < 1e6 else scientific(value)


def scientific(value: float | None) -> str:
    """0.00003 → `3×10⁻⁵`; numbers from 0.0001 to a million are written plainly."""
    if value is None or not math.isfinite(value):
        return _DASH
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    mantissa, exponent = f"{value:.2e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    power = f"10{str(int(exponent)).translate(_SUPERSCRIPT)}"
    return power if mantissa == "1" else f"{mantissa}×{power}"
