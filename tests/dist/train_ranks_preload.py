"""Imported once by the fork server of train_ranks: what every rank needs, and nothing that starts a thread."""

import gc
import importlib

for name in ("build", "checkpoint", "loop", "metrics", "run_folder"):
    importlib.import_module(f"aixmeg.train.{name}")
importlib.import_module("torch.utils.tensorboard")
gc.freeze()  # what is imported here is not scanned again in every rank
