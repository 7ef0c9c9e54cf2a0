import re
from importlib import resources

import pytest

CSS = resources.files("aixmeg.report").joinpath("style.css").read_text(encoding="utf-8")
LIGHT, DARK = (dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", CSS, re.S))
TEXT = ["ink page", "muted page", "muted surface", "muted sunken", "accent page", "ntp surface", "middle surface"]
TEXT += ["marked-ink marked", "good good-page", "warn warn-page"]
SHAPES = ["train surface", "other surface", "bar surface", "drop surface"]
SHAPES += [f"part{number} surface" for number in range(6)]


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


# WCAG 2.2, level AA: 4.5 for text (criterion 1.4.3), 3 for what a chart is read from (1.4.11).
@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("pair", "least"), [(p, 4.5) for p in TEXT] + [(p, 3.0) for p in SHAPES])
def test_contrast(scheme, pair, least):
    dark, light = sorted(luminance(scheme[name]) for name in pair.split())
    assert (light + 0.05) / (dark + 0.05) >= least


def test_both_schemes_define_the_same_colours():
    assert LIGHT.keys() == DARK.keys()
    assert set(re.findall(r"var\(--([\w-]+)\)", CSS)) <= LIGHT.keys() | {"sans", "mono"}
