"""Every recipe in examples/ can start on the GPUs that its head names, and those of the 7B are the plan's choice."""

import re
from pathlib import Path

import pytest

from aixmeg.config import load_config
from aixmeg.plan.estimate import estimate
from aixmeg.plan.hardware import GPUS
from aixmeg.plan.layout import layout_of
from aixmeg.plan.search import search

ROOT = Path(__file__).parents[3]
RECIPES = sorted((ROOT / "examples").glob("*.yaml"))
CHOSEN = 0.02
"""A recipe may be this much slower than the fastest layout: below what the model of time can tell apart."""


def sizes(recipe: Path) -> list[int]:
    """Numbers of GPUs on the launch lines of its head comment; the quickstart runs on two CPU ranks."""
    return [int(n) for n in re.findall(r"^#\s+(\d+) GPUs?\s", recipe.read_text(), re.MULTILINE)] or [2]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe_loads_for_every_size_that_it_names(recipe):
    for gpus in sizes(recipe):
        load_config(recipe, world_size=gpus)


@pytest.mark.parametrize("name", ["aixcoder_7b", "aixcoder_7b_fp8"])
def test_the_7b_names_its_launch_lines_and_its_layout_is_the_plans(name):
    recipe = ROOT / f"examples/{name}.yaml"
    text = recipe.read_text()
    assert sizes(recipe) == [8, 64, 128]
    for gpus, line in re.findall(r"^#\s+(\d+) GPUs\s+(.+)$", text, re.MULTILINE):
        nodes = re.search(r"--nodes (\d+)", line)
        per_node = re.search(r"--(?:nproc-per-node|ntasks-per-node) (\d+)", line)
        assert int(nodes[1] if nodes else 1) * int(per_node[1]) == int(gpus)
        assert line.endswith(f"-m aixmeg train --config examples/{name}.yaml")
        config = load_config(recipe, world_size=int(gpus))
        asked = estimate(config, layout_of(config, int(gpus)), GPUS["h100"])
        assert asked.fits
        best = search(config, int(gpus), GPUS["h100"]).ranked[0]
        assert asked.time.seconds <= best.time.seconds * (1 + CHOSEN), best.layout.name()


def test_tensor_parallel_8_fits_40_gigabytes_as_the_head_says():
    config = load_config(
        ROOT / "examples/aixcoder_7b.yaml",
        {"parallel.tensor_model_parallel_size": "8", "parallel.context_parallel_size": "1"},
    )
    for gpus in (8, 64, 128):
        assert estimate(config, layout_of(config, gpus), GPUS["a100-40"]).fits
    small = load_config(ROOT / "examples/1b.yaml")
    assert estimate(small, layout_of(small, 8), GPUS["a100-40"]).fits


def test_the_page_has_the_same_launch_lines():
    page = (ROOT / "docs/plan.md").read_text()
    for _, line in re.findall(r"^#\s+(\d+) GPUs\s+(.+)$", (ROOT / "examples/aixcoder_7b.yaml").read_text(), re.M):
        assert line in page
