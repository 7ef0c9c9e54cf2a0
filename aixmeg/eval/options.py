"""Options of `aixmeg eval …`, as the command line reads them. Imports nothing, as `aixmeg --help` does not either."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final


def option(*names: str, **settings: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    """An argument of argparse."""
    return names, settings


EVAL: Final = (
    option("--model", required=True, metavar="MODEL",
           help="Hugging Face folder, run directory, http(s)://HOST/v1[#NAME], or `oracle` or `empty` to check a set"),
    option("--data", type=Path, required=True, metavar="PATH",
           help=".jsonl or .jsonl.gz file, a folder of them, or hf:NAME[@CONFIG][:SPLIT] for the datasets library"),
    option("--out", type=Path, required=True, metavar="DIR", help="folder of the results; the same one goes on"),
    option("--samples", type=int, default=1, help="completions of each task"),
    option("--temperature", type=float, default=0.0, help="0 takes the likeliest token always"),
    option("--top-p", type=float, default=1.0, help="share of probability to draw from"),
    option("--seed", type=int, default=0, help="of all draws"),
    option("--max-new-tokens", type=int, default=None, help="longest completion; default: the benchmark's"),
    option("--mode", choices=("psm", "spm"), default="psm", help="order of the prompt's parts"),
    option("--batch-size", type=int, default=8, help="prompts decoded together"),
    option("--dtype", choices=("fp32", "bf16"), default="fp32", help="type of weights and activations"),
    option("--limit", type=int, default=None, metavar="N", help="the first N tasks only"),
    option("--workers", type=int, default=None, help="programs run at a time; default: one per core, at most 8"),
    option("--sandbox", choices=("namespaces", "limits"), default="namespaces",
           help="`limits` is for a container that you can lose"),
)  # fmt: skip
EVAL_MAKE: Final = (
    option("repositories", type=Path, nargs="+", metavar="REPOSITORIES",
           help="held-out repositories: what corpus.sources could name"),
    option("--against", type=Path, nargs="+", default=(), metavar="CORPUS", help="corpora of the training"),
    option("--out", type=Path, required=True, metavar="DIR", help="folder to make"),
    option("--seed", type=int, default=0, help="of the places of gaps, and of which are taken"),
    option("--per-shape", type=int, default=50, metavar="N", help="most tasks of each language and shape"),
    option("--quota", action="append", default=[], metavar="NAME=N",
           help="another number for a language, a shape or LANGUAGE/SHAPE; may be repeated"),
    option("--max-file-bytes", type=int, default=50_000, metavar="N", help="longest file"),
    option("--max-middle-bytes", type=int, default=1000, metavar="N", help="longest gap"),
    option("--tokenizer", type=Path, default=None, metavar="DIR", help="counts tokens for the next two"),
    option("--max-file-tokens", type=int, default=None, metavar="N", help="longest file"),
    option("--max-middle-tokens", type=int, default=None, metavar="N",
           help="longest gap; a model that may write fewer cannot fill it"),
)  # fmt: skip
BENCHMARKS: Final = {
    "humaneval-infilling": "gaps in HumanEval's solutions, judged by their tests",
    "santacoder": "single lines of Python, Java and JavaScript, by exact match",
    "safim": "blocks, control-flow expressions and library calls, judged by tests",
    "crosscodeeval": "statements that need other files of their repository",
    "fim-eval": "thirteen kinds of gaps in Java, C++, JavaScript and Python",
    "nl2code": "functions from descriptions: HumanEval, MBPP, MultiPL-E",
}
"""What `aixmeg eval` runs, and its help."""
