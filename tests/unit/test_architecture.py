"""Imports point one way (docs/architecture.md): a package may import only what stands below it."""

import ast
import itertools
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import aixmeg

ROOT = Path(aixmeg.__file__).parent
BASE = {"config", "languages", "errors", "files", "subsequence"}
MAY_IMPORT = {
    "errors": set(),
    "files": {"errors"},
    "subsequence": set(),
    "config": {"errors", "files"},
    "languages": {"errors", "files"},
    "native": {"errors"},
    "syntax": {"errors", "languages", "native"},
    "corpus": BASE | {"native", "syntax"},
    "tokenizer": BASE | {"corpus", "native"},
    "sfim": BASE | {"native", "syntax", "tokenizer"},
    "data": BASE | {"corpus", "native", "sfim", "syntax", "tokenizer"},
    "ops": BASE,
    "parallel": BASE | {"ops"},
    "model": BASE | {"ops", "parallel"},
    "nvml": {"errors"},
    "watch": BASE,
    "health": BASE | {"nvml", "parallel"},
    "train": BASE | {"ops", "parallel", "model", "data", "nvml", "plan", "watch"},
    "convert": BASE | {"parallel", "model", "train", "tokenizer", "data"},
    "generate": BASE | {"ops", "parallel", "model", "train", "tokenizer", "convert", "sfim"},
    "report": BASE | {"cluster", "corpus", "watch"},
    "plan": BASE,
    "cluster": BASE | {"corpus", "train", "watch"},
    "eval": BASE | {"corpus", "tokenizer", "sfim", "syntax", "native", "model", "convert", "generate", "report"},
}
"""`cli`, `doctor`, `quickstart` and `__main__` are the top: they may import everything."""
TOP = {"cli", "doctor", "quickstart", "__main__", "__init__"}
ONLY_IN = {
    "megatron": {"parallel", "model", "train", "data"},
    "transformer_engine": {"model"},
    "transformers": {"convert", "tokenizer"},
}
NEVER_IN = {
    "torch": {
        "config", "languages", "native", "syntax", "corpus", "report", "plan", "cluster", "cli", "errors", "files",
        "subsequence", "nvml", "watch",
    }
}  # fmt: skip


def imports(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module.startswith("aixmeg"))


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_one_way(file):
    package = file.relative_to(ROOT).parts[0].removesuffix(".py")
    for name in imports(file):
        first, *rest = name.split(".")
        assert package in ONLY_IN.get(first, {package}) | (TOP if first == "megatron" else set()), (
            f"{name} in {package}"
        )
        assert package not in NEVER_IN.get(first, set()), f"{name} in {package}"
        if first == "aixmeg" and rest and package not in TOP:
            target = rest[0]
            assert target == package or target in MAY_IMPORT[package] or target == "__version__", (
                f"{package} imports {name}"
            )


def test_every_package_is_listed():
    found = {file.relative_to(ROOT).parts[0].removesuffix(".py") for file in FILES}
    assert found <= set(MAY_IMPORT) | TOP


def test_no_cycle_between_packages():
    for a, b in itertools.combinations(MAY_IMPORT, 2):
        assert not (b in MAY_IMPORT[a] and a in MAY_IMPORT[b]), f"{a} and {b} import each other"


def module(file):
    return ".".join(("aixmeg", *file.relative_to(ROOT).with_suffix("").parts))


def test_no_circle_between_modules():
    """What is imported for type checking alone counts too. A package's face, `__init__.py`, is no module here."""
    names = {module(file) for file in FILES}
    graph = {module(file): {name for name in imports(file) if name in names} - {module(file)} for file in FILES}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


def test_no_file_is_too_long():
    long = {str(file.relative_to(ROOT)): n for file in FILES if (n := len(file.read_text().splitlines())) > 400}
    assert not long, "two rooms in one"


def test_no_two_test_files_have_one_name():
    """pytest imports them by their base names, and collects nothing where two agree."""
    names = sorted(path.name for path in Path(__file__).parents[1].rglob("test_*.py"))
    assert [one for one, other in itertools.pairwise(names) if one == other] == []
