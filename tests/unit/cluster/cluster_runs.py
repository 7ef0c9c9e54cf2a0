"""Run directories as a training leaves them."""

import json


def write_run(run, *, steps=100, step=None, checkpoint=None):
    """config.yaml, metrics up to `step`, and a `latest` that names `checkpoint`."""
    (run / "checkpoints").mkdir(parents=True, exist_ok=True)
    (run / "logs").mkdir(exist_ok=True)
    (run / "config.yaml").write_text(f"train:\n  steps: {steps}\n")
    if step is not None:
        records = [
            {"kind": "train", "step": n, "loss": 5 - n / 100, "grad_norm": 1.0, "tokens": n * 10,
             "tokens_per_second": 20.0, "seconds": 0.5}
            for n in range(1, step + 1)
        ]  # fmt: skip
        (run / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    if checkpoint is not None:
        (run / "checkpoints/latest").write_text(f"step-{checkpoint:08}\n")
