"""`aixmeg plan`: what a configuration needs, and how to lay it over GPUs."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from aixmeg.config import Config, conflicts
from aixmeg.errors import UserError
from aixmeg.plan.counts import Shape
from aixmeg.plan.estimate import Estimate, estimate, model_flops
from aixmeg.plan.hardware import EFFICIENCY, GIB, GPUS, Gpu
from aixmeg.plan.layout import layout_of, overrides
from aixmeg.plan.search import Found, search

if TYPE_CHECKING:
    from rich.console import Console

_REASONS_SHOWN = 8


def plan(config: Config, *, gpus: int, gpu: str, top: int = 10, as_json: bool = False) -> dict[str, Any]:
    """Print the plan and return it as what `--json` prints.

    Raises:
        UserError: no such GPU, or a number that is not positive.
    """
    if gpu not in GPUS:
        raise UserError(f"--gpu {gpu} is not known; choose {', '.join(GPUS)}")
    if gpus < 1 or top < 1:
        raise UserError(f"--gpus {gpus} and --top {top} must be positive")
    chosen = GPUS[gpu]
    if config.model.fp8 and not chosen.fp8:
        raise UserError(f"model.fp8={config.model.fp8}: the {chosen.name} has no FP8; set it to null, or choose h100")
    found = search(config, gpus, chosen)
    problems = conflicts(config, gpus)
    asked = None if problems else estimate(config, layout_of(config, gpus), chosen)
    report = {**_facts(config, gpus, chosen), **_outcome(found, asked, problems)}
    if as_json:
        print(json.dumps({**report, "layouts": report["layouts"][:top]}, indent=1))
    else:
        from rich.console import Console

        _print(Console(), report, top)
    return report


def _facts(config: Config, gpus: int, gpu: Gpu) -> dict[str, Any]:
    flops = model_flops(config)
    return {
        "gpu": dataclasses.asdict(gpu),
        "gpus": gpus,
        "parameters": Shape.of(config.model).parameters,
        "flops_per_token": {"full attention, 12 L h s": flops.full, "causal attention, 6 L h s": flops.causal},
        "global_batch_size": config.train.global_batch_size,
        "tokens_per_step": config.train.global_batch_size * config.model.seq_length,
        "efficiency": dataclasses.asdict(EFFICIENCY),
    }


def _outcome(found: Found, asked: Estimate | None, problems: list[str]) -> dict[str, Any]:
    return {
        "configured": None if asked is None else _row(asked),
        "configured_problems": problems,
        "layouts": [_row(one) for one in found.ranked],
        "does_not_fit": [one.does_not_fit for one in found.too_large],
        "refused": found.refused,
    }


def _row(one: Estimate) -> dict[str, Any]:
    time = one.time
    return {
        "name": one.layout.name(),
        "layout": dataclasses.asdict(one.layout),
        "options": overrides(one.layout),
        "fits": one.fits,
        "parameters_per_rank": one.parameters,
        "fullest_stage": one.stage,
        "memory_bytes": {**one.memory.parts(), "total": one.memory.total, "usable": one.usable},
        "bubble": one.bubble,
        "communication_bytes_per_step": {
            kind: {"bytes": part.bytes, "link": part.link} for kind, part in one.traffic.items()
        },
        "seconds": {
            "step": time.seconds, "products": time.products, "attention": time.attention,
            "memory_bound": time.memory_bound, "optimizer": time.optimizer, "bubble": time.bubble,
            "overhead": time.overhead, **{f"exposed {kind}": value for kind, value in time.communication.items()},
        },
        "tokens_per_second_per_gpu": time.tokens_per_second,
        "tokens_per_second": time.tokens_per_second * time.gpus,
        "mfu_full_attention": one.mfu_full,
        "mfu_causal_attention": one.mfu_causal,
    }  # fmt: skip


def _print(console: Console, report: dict[str, Any], top: int) -> None:
    gpu, flops = report["gpu"], report["flops_per_token"]
    lines = [
        f"{report['parameters'] / 1e9:.2f} B parameters; {report['gpus']} x {gpu['name']}; "
        f"{report['tokens_per_step']:,} tokens per step",
        *(f"{value / 1e9:.1f} GFLOP per token, {name}" for name, value in flops.items()),
        f"figures of the GPU: {gpu['source']}",
    ]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    if report["configured"]:
        _layouts(console, "As configured", [report["configured"]])
    for problem in report["configured_problems"]:
        console.print(f"as configured: {problem}", style="yellow", soft_wrap=True, markup=False)
    best = report["layouts"][:top]
    if best:
        _layouts(console, "Best layouts", best)
        _parts(console, best[0])
    else:
        console.print("no layout fits", style="red")
    _reasons(console, "Do not fit", report["does_not_fit"])
    _reasons(console, "Impossible with these sizes", report["refused"])


def _layouts(console: Console, title: str, rows: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.table import Table

    usable = rows[0]["memory_bytes"]["usable"] / GIB
    table = Table(
        title=f"{title} ({usable:.1f} GiB usable per GPU)", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    table.add_column("Layout", no_wrap=True)
    for heading in ("GiB", "Bubble %", "Step s", "Tok/s/GPU", "MFU full", "causal"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        memory = row["memory_bytes"]
        table.add_row(
            row["name"], f"{memory['total'] / GIB:.1f}", f"{100 * row['bubble']:.1f}",
            f"{row['seconds']['step']:.2f}", f"{row['tokens_per_second_per_gpu']:,.0f}",
            f"{100 * row['mfu_full_attention']:.1f} %", f"{100 * row['mfu_causal_attention']:.1f} %",
            style=None if row["fits"] else "red",
        )  # fmt: skip
    console.print(table)


def _parts(console: Console, row: dict[str, Any]) -> None:
    """Where memory, time and traffic of the best layout go."""
    memory = {name: size for name, size in row["memory_bytes"].items() if name not in ("total", "usable")}
    step = row["seconds"]["step"]
    lines = [
        f"{row['name']}: GiB on a rank of stage {row['fullest_stage']}: "
        + ", ".join(f"{name} {size / GIB:.1f}" for name, size in memory.items()),
        "step: " + ", ".join(f"{name.replace('_', '-')} {100 * value / step:.1f} %"
                             for name, value in row["seconds"].items() if name != "step" and value),
    ]  # fmt: skip
    sent = row["communication_bytes_per_step"]
    if sent:
        lines.append("sent per GPU and step: " + ", ".join(
            f"{kind} {part['bytes'] / 1e9:.2f} GB ({part['link']})" for kind, part in sent.items()))  # fmt: skip
    lines.append("options: " + " ".join(f"--{name} {_yaml(value)}" for name, value in row["options"].items()))
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def _reasons(console: Console, title: str, reasons: list[str]) -> None:
    if not reasons:
        return
    console.print(f"\n{title}:", style="bold")
    for reason in reasons[:_REASONS_SHOWN]:
        console.print(f"  {reason}", highlight=False, soft_wrap=True, markup=False)
    if len(reasons) > _REASONS_SHOWN:
        console.print(f"  and {len(reasons) - _REASONS_SHOWN} more (--json has all)")


def _yaml(value: Any) -> str:
    return "null" if value is None else str(value).lower()
