"""The `aixmeg` command: one table of subcommands; each imports what it needs when it runs.

Options of the configuration are written `--section.field VALUE`, in YAML syntax, and win over `--config FILE`.
They bypass argparse, so that a misspelt one is reported together with everything else that is wrong.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aixmeg import __version__
from aixmeg.errors import UserError
from aixmeg.eval.options import BENCHMARKS, EVAL, EVAL_MAKE
from aixmeg.eval.options import option as _option

if TYPE_CHECKING:
    from aixmeg.config import Config

Arguments = Sequence[tuple[tuple[str, ...], dict[str, Any]]]
_OVERRIDE = re.compile(r"--([a-z_]+(?:\.[\w-]+)+)(?:=(.*))?", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Command:
    """One subcommand: what it is called, what it reads, and the function behind it."""

    help: str
    target: str
    """`module:function`, called with the configuration (when it has one) and its own options by name."""
    sections: tuple[str, ...] = ()
    """Sections of the configuration that it reads; empty means that it takes none."""
    arguments: Arguments = field(default_factory=tuple)


_MODEL = _option("--model", type=Path, required=True, metavar="DIR", help="Hugging Face folder or run directory")
_RUN = _option("run", type=Path, metavar="RUN", help="run directory")
_MAX_RESTARTS = _option(
    "--max-restarts", type=int, default=20, metavar="N", help="failures that a job may restart from"
)
_TRAINING = ("paths", "data", "model", "parallel", "optimizer", "loss", "train", "checkpoint", "health", "logging",
             "watch")  # fmt: skip

COMMANDS: dict[str, Command] = {
    "corpus build": Command(
        help="clean source files into a corpus",
        target="aixmeg.report.corpus_command:build",
        sections=("paths", "corpus"),
    ),
    "corpus report": Command(
        help="write the corpus's page again: funnel, duplicates, licences, what was changed, time",
        target="aixmeg.report.corpus_command:report",
        sections=("paths",),
        arguments=(_option("--out", type=Path, default=None, help="page to write; default: CORPUS/report.html"),),
    ),
    "corpus work": Command(
        help="do one task of a job array that `corpus build` submitted (corpus.executor.kind=slurm)",
        target="aixmeg.corpus.executor_slurm:work",
        arguments=(
            _option("job", type=Path, metavar="JOB", help="state folder of the build"),
            _option("phase", choices=("scan", "judge", "clean", "order"), help="phase of the build"),
            _option("--shards", type=Path, required=True, metavar="FILE", help="the array's tasks"),
            _option("--task", type=int, required=True, metavar="N", help="number of the task"),
        ),
    ),
    "tokenizer train": Command(
        help="train SentencePiece on the corpus, and export it for Hugging Face",
        target="aixmeg.tokenizer.command:train",
        sections=("paths", "tokenizer"),
    ),
    "data build": Command(
        help="turn the corpus into infilling examples, as a Megatron indexed dataset",
        target="aixmeg.data.command:build",
        sections=("paths", "data", "model"),
    ),
    "data show": Command(
        help="print built examples with prefix, suffix and middle in colour",
        target="aixmeg.data.command:show",
        sections=("paths",),
        arguments=(
            _option("--count", type=int, default=3, help="examples to print"),
            _option("--split", choices=("train", "valid"), default="train", help="which part of the data"),
            _option("--index", type=int, default=None, help="first example; default: spread over the data"),
            _option("--raw", action="store_true", help="print the ids' pieces instead of text"),
        ),
    ),
    "data stats": Command(
        help="count what the built data holds: objectives, middles, languages, padding; as a table, a page and JSON",
        target="aixmeg.report.stats:stats",
        sections=("paths",),
        arguments=(_option("--out", type=Path, default=None, help="page to write; default: DATA/stats.html"),),
    ),
    "plan": Command(
        help="say what a training needs on given GPUs - memory, FLOPs, communication, time - and rank the layouts",
        target="aixmeg.plan.command:plan",
        sections=("model", "parallel", "optimizer", "train"),
        arguments=(
            _option("--gpus", type=int, required=True, metavar="N", help="GPUs in all, eight to a node"),
            _option("--gpu", required=True, metavar="KIND", help="a100-40, a100, h100, h200 or b200"),
            _option("--top", type=int, default=10, help="layouts to show"),
            _option("--json", action="store_true", dest="as_json", help="print one JSON object"),
        ),
    ),
    "train": Command(
        help="train the model (under torchrun, srun or mpirun, or alone)",
        target="aixmeg.train.command:train",
        sections=_TRAINING,
        arguments=(
            _option("--resume", action="store_true", help="go on from the newest checkpoint, if there is one"),
            _option("--profile", default=None, metavar="FIRST-LAST", help="steps to profile, into RUN/profiles"),
        ),
    ),
    "replay": Command(
        help="take a step of a run again, several times, and tell a data problem from a hardware one",
        target="aixmeg.train.replay:replay",
        arguments=(
            _option("--step", type=int, required=True, metavar="N", help="step, counted from 1 as in metrics.jsonl"),
            _option("--run", type=Path, default=Path("run"), metavar="RUN", help="run directory"),
            _option("--repeat", type=int, default=3, metavar="N", help="times that the step is taken"),
            _option("--skipped", action="store_true", help="with the samples that were left out because of it"),
        ),
    ),
    "slurm submit": Command(
        help="make a run directory and submit the training as a job that restarts itself",
        target="aixmeg.cluster.submit:submit",
        sections=_TRAINING,
        arguments=(
            _option("--nodes", type=int, required=True, metavar="N", help="nodes of the job"),
            _option("--profile", type=Path, default=None, metavar="FILE", help="site profile; default: $AIXMEG_SITE"),
            _option("--time", default=None, help="time limit, instead of the profile's"),
            _option("--partition", default=None, help="partition, instead of the profile's"),
            _option("--account", default=None, help="account, instead of the profile's"),
            _option("--qos", default=None, help="quality of service, instead of the profile's"),
            _option("--dry-run", action="store_true", help="print the batch script, write and submit nothing"),
            _option("--test-only", action="store_true", help="let the controller check the job, submit nothing"),
        ),
    ),
    "slurm begin": Command(
        help="used by batch scripts: note an attempt's beginning, or refuse it",
        target="aixmeg.cluster.supervise:begin",
        arguments=(_RUN, _MAX_RESTARTS),
    ),
    "slurm fit": Command(
        help="used by batch scripts: print the nodes that the look at them found unfit, and say what follows",
        target="aixmeg.cluster.fit:fit",
        arguments=(
            _RUN,
            _MAX_RESTARTS,
            _option("--checked", type=Path, required=True, metavar="DIR", help="what `aixmeg health --out` wrote"),
            _option("--nodes", required=True, metavar="LIST", help="the job's nodes, with commas"),
        ),
    ),
    "slurm end": Command(
        help="used by batch scripts: note how an attempt ended, and say whether another follows",
        target="aixmeg.cluster.supervise:end",
        arguments=(
            _RUN,
            _MAX_RESTARTS,
            _option("--status", type=int, required=True, help="exit status of the ranks' launcher"),
            _option("--signal", default="", metavar="NAME", help="signal that reached the batch script, or nothing"),
            _option("--log", type=Path, required=True, metavar="FILE", help="what the ranks wrote"),
        ),
    ),
    "status": Command(
        help="say how far a run is, what restarted it, and when it will be done; only reads",
        target="aixmeg.cluster.status:status",
        arguments=(_RUN, _option("--json", action="store_true", dest="as_json", help="print one JSON object")),
    ),
    "convert to-hf": Command(
        help="convert a run's checkpoint to a Hugging Face folder",
        target="aixmeg.convert.command:to_hf",
        arguments=(
            _option("run", type=Path, metavar="RUN", help="run directory"),
            _option("out", type=Path, metavar="OUT", help="folder to make"),
            _option("--verify", action="store_true", help="compare logits with the run's on real text, in fp32"),
            _option("--dtype", choices=("bf16", "fp32"), default=None, help="type of the weights; default: as trained"),
            _option("--step", type=int, default=None, metavar="N", help="checkpoint of this step; default: the newest"),
        ),
    ),
    "convert from-hf": Command(
        help="convert a Hugging Face folder, or aiXcoder's released checkpoint, to a run directory to train from",
        target="aixmeg.convert.command:from_hf",
        arguments=(
            _option("folder", type=Path, metavar="HF_DIR", help="Llama folder, or a folder with aiXcoder's .pt file"),
            _option("out", type=Path, metavar="RUN", help="run directory to make"),
            _option("--verify", action="store_true", help="compare logits with transformers' on real text, in fp32"),
            _option(
                "--dtype", choices=("bf16", "fp32"), default=None, help="type of the weights; default: as they are"
            ),
            _option("--vocab-multiple-of", type=int, default=1, metavar="N", help="pad the embedding's rows"),
        ),
    ),
    "convert to-gguf": Command(
        help="convert a run's checkpoint to a GGUF file for llama.cpp (needs aixmeg[gguf])",
        target="aixmeg.convert.command:to_gguf",
        arguments=(
            _option("run", type=Path, metavar="RUN", help="run directory"),
            _option("out", type=Path, metavar="OUT.gguf", help="file to make"),
            _option("--dtype", choices=("bf16", "f16", "fp32"), default="bf16", help="type of the matrices"),
            _option("--step", type=int, default=None, metavar="N", help="checkpoint of this step; default: the newest"),
        ),
    ),
    "complete": Command(
        help="fill in code at a cursor",
        target="aixmeg.generate.command:complete",
        arguments=(
            _MODEL,
            _option("--file", type=Path, default=None, help="source file to complete"),
            _option("--cursor", default=None, metavar="LINE:COLUMN", help="where, both counted from 1"),
            _option("--prefix-file", type=Path, default=None, help="text before the cursor, instead of --file"),
            _option("--suffix-file", type=Path, default=None, help="text after the cursor"),
            _option("--mode", choices=("psm", "spm"), default="psm", help="order of the prompt's parts"),
            _option("--max-new-tokens", type=int, default=64, help="longest completion"),
            _option("--json", action="store_true", dest="as_json", help="print one JSON object"),
        ),
    ),
    "serve": Command(
        help="answer OpenAI's /v1/completions, with suffix and streaming, for editors",
        target="aixmeg.generate.serve:serve",
        arguments=(
            _MODEL,
            _option("--host", default="127.0.0.1", help="address to listen on; the default is this machine alone"),
            _option("--port", type=int, default=8000, help="0 chooses a free one"),
            _option("--mode", choices=("psm", "spm"), default="psm", help="order of the prompt's parts"),
            _option("--max-new-tokens", type=int, default=256, help="longest completion that a client may ask for"),
            _option("--waiting", type=int, default=16, help="requests at a time; more are refused with status 429"),
        ),
    ),
    **{
        f"eval {name}": Command(help=what, target=f"aixmeg.eval.command:{name.replace('-', '_')}", arguments=EVAL)
        for name, what in BENCHMARKS.items()
    },
    "eval make": Command(
        help="make a FIM-Eval set of repositories that were held out of a training corpus",
        target="aixmeg.eval.make:make",
        sections=("corpus",),
        arguments=EVAL_MAKE,
    ),
    "report": Command(
        help="write the run's page: losses, corpus, data, infills, versions",
        target="aixmeg.report.command:report",
        sections=("paths",),
        arguments=(_option("--out", type=Path, default=None, help="file to write; default: RUN/report.html"),),
    ),
    "doctor": Command(
        help="say what this machine has, what each kernel resolves to, and what is missing",
        target="aixmeg.doctor:doctor",
    ),
    "health": Command(
        help="check every node of a job before it starts: GPUs, links, a matrix product, an all-reduce; name bad nodes",
        target="aixmeg.health.command:health",
        arguments=(
            _option("--gpus-per-node", type=int, default=None, metavar="N", help="GPUs that every node should have"),
            _option("--out", type=Path, default=None, metavar="DIR", help="folder for each rank's findings as JSON"),
            _option("--quick", action="store_true", help="each process looks at its own node alone, by NVML"),
            _option("--timeout", type=float, default=60.0, metavar="SECONDS", help="how long ranks wait for others"),
        ),
    ),
    "quickstart": Command(
        help="the whole path on this machine: corpus, tokenizer, data, training, conversion, completion, report",
        target="aixmeg.quickstart.command:quickstart",
        arguments=(
            _option("--work", type=Path, default=Path("quickstart"), metavar="DIR", help="folder for everything"),
            _option("--corpus", type=Path, default=None, metavar="DIR", help="your folder of repositories"),
            _option("--fresh", action="store_true", help="empty the work folder first"),
        ),
    ),
}

_SINGLE = {"corpus report", "tokenizer train", "data stats", "convert to-hf", "convert from-hf", "convert to-gguf",
           "eval make", "report", "quickstart"}  # fmt: skip
"""One process does them: the ranks of mpirun or srun would all write the same files. Stages that ranks can share look
themselves."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit status (2 for bad input, 130 when interrupted, else the command's own)."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(words)
    except UserError as error:
        print(f"aixmeg: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("aixmeg: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `aixmeg data show | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(words: list[str]) -> int:
    name, rest = _find_command(words)
    command = COMMANDS[name]
    rest, overrides = _split_overrides(rest) if command.sections or name == "quickstart" else (rest, {})
    options = vars(_parser(name, command).parse_args(rest))
    arguments: dict[str, Any] = dict(options)
    if command.sections:
        config = _load(arguments.pop("config"), overrides)
        if arguments.pop("print_config"):
            from aixmeg.config import dump_config

            print(dump_config(config), end="")
            return 0
        arguments["config"] = config
    elif name == "quickstart":
        arguments["overrides"] = overrides
    if name in _SINGLE:
        from aixmeg.corpus.mpi_ranks import refuse_copies

        refuse_copies(f"aixmeg {name}", remedy="it is not shared out over ranks: start one process (`srun -n 1`)")
    module, function = command.target.split(":")
    run: Callable[..., Any] = getattr(importlib.import_module(module), function)
    status = run(**arguments)
    return status if isinstance(status, int) else 0


def _load(file: Path | None, overrides: dict[str, str]) -> Config:
    from aixmeg.config import load_config

    return load_config(file, overrides)


def _find_command(words: list[str]) -> tuple[str, list[str]]:
    """The longest known command that `words` start with, and what follows it."""
    for length in (2, 1):
        name = " ".join(words[:length])
        if len(words) >= length and name in COMMANDS:
            return name, words[length:]
    if words and words[0] == "--version":
        print(f"aixmeg {__version__}")
        raise SystemExit(0)
    asked = not words or words[0] in ("-h", "--help", "help")
    group = words[0] if words else ""
    shown = {name: c for name, c in COMMANDS.items() if name.split()[0] == group} or COMMANDS
    if asked or shown is not COMMANDS:
        print(_overview(shown))
        raise SystemExit(0 if asked or words[1:2] in (["-h"], ["--help"]) else 2)
    raise UserError(f"{' '.join(words[:2])!r} is not a command; choose {', '.join(COMMANDS)}")


def _overview(commands: dict[str, Command]) -> str:
    width = max(map(len, commands))
    lines = [f"  aixmeg {name:<{width}}  {command.help}" for name, command in commands.items()]
    head = "aixmeg: from a folder of repositories to a code model\n"
    tail = "\n`aixmeg COMMAND --help` lists its options; `aixmeg --version` prints the version."
    return "\n".join([head, *lines, tail])


def _split_overrides(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """Take `--section.field VALUE` and `--section.field=VALUE` out of `words`."""
    rest: list[str] = []
    overrides: dict[str, str] = {}
    queue = list(words)
    while queue:
        word = queue.pop(0)
        match = _OVERRIDE.fullmatch(word)
        if match is None:
            if word != "--":  # what stands behind it needs no other treatment
                rest.append(word)
        elif match[2] is not None:
            overrides[match[1]] = match[2]
        elif queue:
            overrides[match[1]] = queue.pop(0)
        else:
            raise UserError(f"{word} needs a value: {word} VALUE")
    return rest, overrides


class _Parser(argparse.ArgumentParser):
    """Adds the configuration's fields to the help; they are read from the sources only when it is printed."""

    sections: tuple[str, ...] = ()

    def format_help(self) -> str:
        """Usage and options, then every configuration field of the command's sections."""
        from aixmeg.config.describe import describe

        return super().format_help() + (f"\n{describe(self.sections)}\n" if self.sections else "")


def _parser(name: str, command: Command) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"aixmeg {name}", description=command.help[0].upper() + command.help[1:] + ".", allow_abbrev=False
    )
    parser.sections = command.sections
    for names, settings in command.arguments:
        parser.add_argument(*names, **settings)
    if command.sections:
        parser.add_argument("--config", type=Path, default=None, metavar="FILE", help="YAML configuration")
        parser.add_argument("--print-config", action="store_true", help="print the whole configuration and stop")
    return parser
