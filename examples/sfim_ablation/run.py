"""Three tiny models from the same files and tokens: next-token prediction, random-span FIM, structured FIM.

    python examples/sfim_ablation/run.py --corpus FOLDER_OF_REPOSITORIES --work DIR --steps 400

Between the split of repositories and the comparison, every step is a command that a reader could type, and printed.
What is done already is not done again, so that the same call goes on after an interruption.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import compare

HERE = Path(__file__).resolve().parent
OBJECTIVES = {
    "ntp": ("--data.ntp_share", "1", "--data.fim_share", "0"),
    "fim": ("--data.ntp_share", "0.3", "--data.fim_share", "0.7"),
    "sfim": ("--data.ntp_share", "0.3", "--data.fim_share", "0"),
}
"""What differs. The infilling models see 30 % of the files as plain text, aiXcoder-7B's share."""
SUFFIXES = {".py", ".js", ".mjs", ".java", ".ts"}
MIDDLE_TOKENS = 64
MAX_BYTES = 2200  # as in recipe.yaml
HELD_OUT = 5  # one project of so many


def main() -> None:
    """Read the options, run every step, write results.json and index.html into the working folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, nargs="+", default=[Path(sysconfig.get_path("purelib"))],
                        help="folders whose sub-folders are repositories; default: this Python's packages")  # fmt: skip
    parser.add_argument("--work", type=Path, default=Path("sfim_ablation"), help="folder for everything")
    parser.add_argument("--steps", type=int, default=400, help="training steps of each model")
    parser.add_argument("--per-shape", type=int, default=25, help="most tasks of each language and shape")
    parser.add_argument("--seed", type=int, nargs="+", default=[1234], help="one training of each model per seed")
    options, settings = parser.parse_known_args()
    work = options.work.resolve()
    split(options.corpus, work / "sources")
    use = ("--config", str(HERE / "recipe.yaml"), "--paths.root", str(work), "--train.steps", str(options.steps),
           "--corpus.sources", f"[{work / 'sources' / 'train'}]", *settings)  # fmt: skip
    for words, made in commands(work, use, seeds=options.seed, per_shape=options.per_shape):
        run(words, made)
    for objective, seed in runs(options.seed):
        name = f"{objective}-{seed}"
        compare.score(work / "hf" / name, work / "tasks" / "tasks.jsonl", work / "losses" / f"{name}.jsonl")
    compare.write(work, objectives=list(OBJECTIVES), seeds=options.seed)
    print(f"\n{work / 'results.json'}\n{work / 'index.html'}")


def split(corpora: list[Path], out: Path) -> None:
    """Copy the short source files to `out`/train and `out`/held_out, by a hash of the project's name.

    Versions of one project (name@1.0, name==1.0) stay together.
    """
    if (out / "done").exists():
        return
    for corpus in corpora:
        if not corpus.is_dir():
            sys.exit(f"--corpus {corpus} is not a folder; give one whose sub-folders are repositories")
        for repository in sorted(path for path in corpus.iterdir() if path.is_dir() and not path.is_symlink()):
            project = re.match(r"@?[^=@]*", repository.name)[0]
            held_out = hashlib.sha256(project.encode()).digest()[0] % HELD_OUT == 0
            to = out / ("held_out" if held_out else "train") / f"{corpus.name}+{repository.name}"
            for file in sorted(repository.rglob("*")):
                if (
                    file.suffix in SUFFIXES
                    and file.is_file()
                    and not file.is_symlink()
                    and file.stat().st_size <= MAX_BYTES
                ):
                    target = to / file.relative_to(repository)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file, target)
    for part in ("train", "held_out"):
        if not (out / part).is_dir():
            sys.exit(f"no repository for {part} in {', '.join(map(str, corpora))}; give folders with more repositories")
    (out / "done").touch()


def runs(seeds: list[int]) -> list[tuple[str, int]]:
    """Every (objective, seed)."""
    return [(objective, seed) for seed in seeds for objective in OBJECTIVES]


def commands(
    work: Path, use: tuple[str, ...], *, seeds: list[int], per_shape: int
) -> Iterator[tuple[tuple[str, ...], Path]]:
    """Words after `aixmeg`, and the file that is there when they were done."""
    yield ("corpus", "build", *use), work / "corpus" / "report.json"
    yield ("tokenizer", "train", *use), work / "tokenizer" / "tokenizer.model"
    tasks = work / "tasks" / "tasks.jsonl"
    yield (
        ("eval", "make", str(work / "sources" / "held_out"), "--against", str(work / "corpus"), "--out",
         str(tasks.parent), "--per-shape", str(per_shape), "--tokenizer", str(work / "tokenizer"),
         "--max-file-tokens", "440", "--max-middle-tokens", str(MIDDLE_TOKENS - 1),
         "--corpus.licence.unknown", "keep"), tasks,
    )  # fmt: skip
    for objective, shares in OBJECTIVES.items():
        data = work / "data" / objective
        yield ("data", "build", *use, "--paths.data", str(data), *shares), data / "epoch-3" / "data.json"
    for objective, seed in runs(seeds):
        name, data = f"{objective}-{seed}", work / "data" / objective
        run, hf = work / "runs" / name, work / "hf" / name
        yield (
            ("train", *use, *OBJECTIVES[objective], "--paths.data", str(data), "--paths.run", str(run), "--resume",
             "--train.seed", str(seed)), hf / "config.json",
        )  # fmt: skip
        yield ("convert", "to-hf", str(run), str(hf)), hf / "config.json"
        out = work / "eval" / name
        yield (
            ("eval", "fim-eval", "--model", str(hf), "--data", str(tasks), "--out", str(out), "--batch-size", "32",
             "--max-new-tokens", str(MIDDLE_TOKENS)), out / "summary.json",
        )  # fmt: skip


def run(words: tuple[str, ...], made: Path) -> None:
    """One command of aixmeg, unless what it makes is there."""
    if made.exists():
        return
    print(f"\n$ aixmeg {shlex.join(words)}", flush=True)
    status = subprocess.run([sys.executable, "-m", "aixmeg", *words], env={"OMP_NUM_THREADS": "1", **os.environ},
                            check=False).returncode  # fmt: skip
    if status:
        sys.exit(f"this command ended with status {status}; its message is above")


if __name__ == "__main__":
    main()
