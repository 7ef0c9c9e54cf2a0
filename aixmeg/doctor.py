"""`aixmeg doctor`: what this machine has, what each op resolves to, and what to do about what is missing."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from aixmeg import __version__
from aixmeg.errors import UserError


@dataclass(frozen=True)
class Finding:
    """One row: what was looked for, what was found (empty: missing), and advice where something is to be done."""

    part: str
    found: str
    advice: str = ""
    required: bool = False


def doctor() -> list[Finding]:
    """Print every finding; what is missing carries a line of advice.

    Raises:
        UserError: something that training cannot do without is missing.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    findings = list(examine())
    table = Table(title=f"aixmeg {__version__}", title_justify="left", box=None, pad_edge=False)
    for heading in ("", "part", "found", "advice"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "part")
    for item in findings:
        mark = "[green]ok[/]" if item.found else "[red]missing[/]" if item.required else "[yellow]none[/]"
        table.add_row(mark, escape(item.part), escape(item.found), escape(item.advice))
    console = Console()
    (console if console.is_terminal else Console(width=160)).print(table)
    missing = [item for item in findings if item.required and not item.found]
    if missing:
        raise UserError("; ".join(f"{item.part} is missing: {item.advice}" for item in missing))
    return findings


def examine() -> Iterator[Finding]:
    """Look at each part in turn; nothing is installed, started or changed."""
    cores = len(os.sched_getaffinity(0))
    yield Finding("python", f"{platform.python_version()}, {platform.machine()}, {cores} cores", required=True)
    yield from _torch()
    yield from _driver()
    yield _package("megatron-core", "pip install 'megatron-core>=0.16.1,<0.17'", required=True)
    yield _package("transformer-engine", "optional: model.layer_set=te and FP8 need it; native needs nothing")
    yield _apex()
    yield from _ops()
    yield _attention()
    yield _optimizer()
    yield _package("sentencepiece", "pip install sentencepiece", required=True)
    yield _package("tree-sitter-language-pack", "pip install tree-sitter-language-pack==0.13.0", required=True)
    yield _encoder()
    yield _syntax()
    yield _scrubbing()
    yield _package("transformers", "pip install transformers", required=True)
    yield _mpi()
    yield _tool("slurm", "sbatch", "optional: install SLURM's client to submit jobs; torchrun works without it")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _package(name: str, advice: str, *, required: bool = False) -> Finding:
    found = _version(name)
    return Finding(name, found, "" if found else advice, required)


def _apex() -> Finding:
    # "apex" on the package index is another project, so its version says nothing; NVIDIA's has these extensions.
    import importlib.util

    found = "NVIDIA apex" if importlib.util.find_spec("amp_C") else ""
    return Finding("apex", found, "" if found else "optional: csrc's optimizer is used instead")


def _torch() -> Iterator[Finding]:
    if not _version("torch"):
        yield Finding("torch", "", "install it first: pip install torch==2.13.0", required=True)
        return
    import torch

    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
    yield Finding("torch", f"{torch.__version__} ({build}, {torch.get_num_threads()} threads)", required=True)
    if not torch.cuda.is_available():
        advice = "this torch is a CPU build" if not torch.version.cuda else "no GPU is visible: check the driver"
        yield Finding("cuda devices", "", f"{advice}; training runs on gloo")
        return
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield Finding("cuda devices", f"{len(names)} x {names[0]}" if len(set(names)) == 1 else ", ".join(names))


def _driver() -> Iterator[Finding]:
    """Driver and NVML through its own library, so that the row stands where torch has no CUDA."""
    advice = "optional: no NVIDIA driver here"
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
        if nvml.nvmlInit_v2() != 0:
            yield Finding("driver, NVML", "", "libnvidia-ml.so.1 does not start: check the driver")
            return
        text = ctypes.create_string_buffer(96)
        nvml.nvmlSystemGetDriverVersion(text, 96)
        yield Finding("driver, NVML", text.value.decode())
        nvml.nvmlShutdown()
    except OSError:
        yield Finding("driver, NVML", "", advice)
    yield _tool("nvcc", "nvcc", "optional: builds csrc/'s CUDA kernels for a CUDA torch")


def _ops() -> Iterator[Finding]:
    """What each op of the native layer set resolves to."""
    try:
        from aixmeg import ops

        resolved = ops.resolved()
    except (ImportError, UserError) as error:
        yield Finding("csrc", "", str(error), required=True)
        return
    yield from (Finding(f"op {name}", where, required=True) for name, where in resolved.items())


def _attention() -> Finding:
    """What model.attention_backend=auto does with the documents of a packed sample."""
    try:
        from aixmeg.model.flash import find_varlen

        varlen = find_varlen()
    except (ImportError, UserError) as error:
        return Finding("attention", "", str(error), required=True)
    documents = "one call per document" if varlen is None else f"{varlen[0]} for documents in bf16"
    return Finding("attention", f"torch's scaled_dot_product_attention, {documents}", required=True)


def _optimizer() -> Finding:
    """Whose fused optimizer optimizer.backend=auto means."""
    try:
        from aixmeg.train.optimizer_backend import resolve

        return Finding("optimizer", f"{resolve('auto')} (optimizer.backend=auto)", required=True)
    except (ImportError, UserError) as error:
        return Finding("optimizer", "", str(error), required=True)


def _syntax() -> Finding:
    """Which walk of syntax trees runs: both give the same, the Python one slower."""
    try:
        from aixmeg.syntax import native

        if native.is_built():
            return Finding("syntax walk", "native")
    except (ImportError, UserError) as error:
        return Finding("syntax walk", "", str(error))
    return Finding("syntax walk", "python", "slower: make tree-sitter builds the native one")


def _encoder() -> Finding:
    try:
        from aixmeg.tokenizer.encoder import encoder_row
    except ImportError as error:
        return Finding("token encoder", "", str(error))
    return Finding(*encoder_row())


def _scrubbing() -> Finding:
    """Which engine looks for secrets: all find the same."""
    from aixmeg.corpus.scrub.engine import engine

    advice = "" if engine() == "hyperscan" else "slower: pip install hyperscan"
    return Finding("scrub engine", engine(), advice)


def _mpi() -> Finding:
    library, binding = shutil.which("mpirun") or "", _version("mpi4py")
    if library and binding:
        return Finding("mpi", f"mpi4py {binding}, {library}")
    return Finding("mpi", "", "optional: corpus jobs over MPI need an MPI library and pip install 'aixmeg[mpi]'")


def _tool(part: str, program: str, advice: str) -> Finding:
    path = shutil.which(program)
    if path is None:
        return Finding(part, "", advice)
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(part, "", f"{path} does not answer: {error}")
    lines = [line for line in (done.stdout or done.stderr).splitlines() if line.strip()]
    return Finding(part, f"{path}: {lines[-1].strip() if lines else 'no version'}")
