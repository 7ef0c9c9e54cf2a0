"""The build as a whole: same bytes for any number of workers and after kills, splits, totals, refusals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from aixmeg.config import dump_config
from aixmeg.data import parts as parts_module
from aixmeg.data import pool
from aixmeg.data.builder import build_data
from aixmeg.data.indexed import TokenStream
from aixmeg.data.stream import TrainDataset, ValidDataset, unigram_loss
from aixmeg.errors import UserError

STDLIB = Path(sysconfig.get_paths()["stdlib"])
PRODUCTS = {
    f"{split}{suffix}" for split in ("train", "valid") for suffix in (".bin", ".idx", ".examples.npy", ".files.jsonl")
}
PRODUCTS |= {"data.json", "train.unigram.npy"}


def packages(count: int = 60, largest: int = 12_000) -> dict[str, dict[str, bytes]]:
    """Standard-library packages as repositories."""
    found: dict[str, dict[str, bytes]] = {}
    for path in sorted(STDLIB.glob("*/*.py"))[: count * 3]:
        data = path.read_bytes()
        if 0 < len(data) <= largest and count > 0:
            found.setdefault(path.parent.name, {})[path.name] = data
            count -= 1
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def small_parts(monkeypatch) -> None:
    monkeypatch.setattr(parts_module, "PART_BYTES", 20_000)


@pytest.mark.usefixtures("small_parts")
def test_same_bytes_for_one_and_four_workers_and_any_sharding(make_config, tmp_path):
    config = make_config(packages(), fim_share=0.1)
    build_data(config)
    one = contents(tmp_path / "data")
    assert set(one) == PRODUCTS  # and nothing of the build is left
    build_data(replace(config, data=replace(config.data, workers=4)))
    assert contents(tmp_path / "data") == one
    build_data(make_config(packages(), fim_share=0.1, shards=1))
    other = contents(tmp_path / "data")
    assert {name for name in one if one[name] != other[name]} == {"data.json"}  # the digest of the corpus is by part


@pytest.mark.parametrize("lines_per_part", [0.3, 1, 1.5, 2, 3.999, 4])
def test_parts_that_end_with_a_line_or_inside_one(make_config, monkeypatch, tmp_path, lines_per_part):
    config = make_config({"repo": {f"{i}.py": b"x = 1234\n" for i in range(9)}}, shards=1, valid_share=0.0)
    length = len((tmp_path / "corpus" / "shard-00000.jsonl").read_bytes().splitlines()[0]) + 1
    monkeypatch.setattr(parts_module, "PART_BYTES", round(lines_per_part * length))
    build_data(config)
    names = [json.loads(line)["path"] for line in (tmp_path / "data" / "train.files.jsonl").open("rb")]
    assert names == [f"{i}.py" for i in range(9)]


def run_builder(config_file: Path, part_bytes: int) -> subprocess.Popen[bytes]:
    """The real command in a process of its own, over small parts."""
    code = (
        f"import aixmeg.data.parts as p; p.PART_BYTES = {part_bytes}; from aixmeg.cli import main; "
        f"raise SystemExit(main(['data', 'build', '--config', {str(config_file)!r}]))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL)


def test_kill_and_restart_gives_the_same_bytes(make_config, tmp_path):
    config = make_config(packages(150, largest=100_000), workers=2)
    config_file = tmp_path / "config.yaml"
    config_file.write_text(dump_config(config))
    folder = tmp_path / "data"
    for killed_after in (1, 3):
        process = run_builder(config_file, 60_000)
        deadline = time.monotonic() + 60
        while len(list(folder.glob(".build/parts-*/part-*.json"))) < killed_after:
            assert process.poll() is None, "the build ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
        workers = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.wait()
        _, alive = psutil.wait_procs(workers, timeout=20)
        assert not alive  # orphans would go on writing
        assert not (folder / "data.json").exists()
        assert not list(folder.glob("*.idx"))
    built = {path: path.stat().st_mtime_ns for path in folder.glob(".build/parts-*/part-*.json")}
    assert len(built) >= 3
    process = run_builder(config_file, 60_000)
    assert process.wait() == 0
    after_kills = contents(folder)
    assert set(after_kills) == PRODUCTS
    for path in folder.iterdir():
        path.unlink()
    assert run_builder(config_file, 60_000).wait() == 0
    assert contents(folder) == after_kills


@pytest.mark.usefixtures("small_parts")
def test_restart_builds_unfinished_parts_only(make_config, monkeypatch):
    config = make_config(packages())
    built: list[str] = []

    def counted(part, *rest):
        if len(built) == stop_after:
            raise UserError("stopped here")
        parts_module.build_part(part, *rest)
        built.append(part.prefix.name)

    monkeypatch.setattr(pool, "build_part", counted)
    stop_after = 3
    with pytest.raises(UserError, match="stopped here"):
        build_data(config)
    first, built[:] = built.copy(), []
    work = config.paths.at("data") / ".build"
    # A part that lost bytes is built again, although its marker is there.
    damaged = next(work.glob("parts-*/part-00001.bin"))
    damaged.write_bytes(damaged.read_bytes()[:-2])
    stop_after = -1
    build_data(config)
    assert first == ["part-00000", "part-00001", "part-00002"]
    assert built[0] == "part-00001"
    assert built[1] == "part-00003"


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("change", ["seed", "ntp_share", "corpus", "valid_share"])
def test_parts_of_other_options_are_not_mixed_in(make_config, monkeypatch, tmp_path, change):
    config = make_config(packages(30))
    original = parts_module.build_part
    built: list[str] = []

    def counted(part, *rest):
        if len(built) == 2 and interrupt:
            raise UserError("stopped here")
        original(part, *rest)
        built.append(part.prefix.name)

    monkeypatch.setattr(pool, "build_part", counted)
    interrupt = True
    with pytest.raises(UserError, match="stopped here"):
        build_data(config)
    interrupt, built[:] = False, []
    if change == "corpus":
        shard = tmp_path / "corpus" / "shard-00000.jsonl"
        shard.write_bytes(shard.read_bytes())  # the same size at another time
    else:
        config = replace(config, data=replace(config.data, **{change: {"seed": 5}.get(change, 0.4)}))
    build_data(config)
    # The split is decided after the parts, so its share alone lets them stand.
    assert built[0] == ("part-00002" if change == "valid_share" else "part-00000")


def test_other_files_change_no_example_of_a_file(make_config, tmp_path):
    few = packages(20)
    build_data(make_config(few, valid_share=0.0))
    before = examples_by_file(tmp_path / "data")
    more = few | {"aaa": {"new.py": b"def new(): pass\n" * 10}}
    more["json"] = few.get("json", {}) | {"another.py": b"x = [1, 2, 3]\n"}
    build_data(make_config(more, valid_share=0.0, workers=2))
    after = examples_by_file(tmp_path / "data")
    assert {key: after[key] for key in before} == before
    assert len(after) > len(before)


def examples_by_file(folder: Path) -> dict[tuple[str, str], list[int]]:
    stream = TokenStream(folder / "train")
    rows = np.load(folder / "train.examples.npy")
    names = [json.loads(line) for line in (folder / "train.files.jsonl").open("rb")]
    starts = stream.starts[rows["document"]] + rows["offset"]
    return {
        (name["repository"], name["path"]): stream.read(int(start), int(start + length)).tolist()
        for name, start, length in zip(names, starts, rows["length"], strict=True)
    }


def test_documents_are_repositories_and_the_totals_agree(make_config, tok, tmp_path):
    repositories = packages(80)
    config = make_config(repositories, valid_share=0.3, fim_share=0.2)
    summary = build_data(config)
    folder = tmp_path / "data"
    assert json.loads((folder / "data.json").read_text()) == json.loads(json.dumps(summary))
    assert summary["vocab_size"] == tok.vocab_size
    assert summary["tokenizer_sha256"] == tok.sha256
    held = set(summary["valid_repositories"])
    assert 0 < len(held) < len(repositories)
    for split, names in (("train", set(repositories) - held), ("valid", held)):
        stream, rows = TokenStream(folder / split), np.load(folder / f"{split}.examples.npy")
        found = [json.loads(line) for line in (folder / f"{split}.files.jsonl").open("rb")]
        # In corpus order, each repository one document.
        order = sorted(names)
        assert [f["repository"] for f in found] == [order[document] for document in rows["document"]]
        assert len(stream) == len(order) == summary[split]["repositories"]
        part = summary[split]
        assert part["files"] == len(rows)
        assert part["bytes"] == sum(len(data) for name in names for data in repositories[name].values())
        assert part["middle_tokens"] == rows["middle_length"].sum()
        for key, column in (("by_objective", "objective"), ("by_mode", "mode")):
            expected = Counter(
                ({"by_objective": ["ntp", "fim", "sfim"], "by_mode": ["none", "psm", "spm"]}[key])[v]
                for v in rows[column]
            )
            assert {name: size["files"] for name, size in part[key].items()} == expected
            assert sum(size["tokens"] for size in part[key].values()) == stream.total
        assert sum(part["by_node"].values()) == part["by_objective"]["sfim"]["files"]
        assert part["by_language"] == {"python": {"files": len(rows), "bytes": part["bytes"], "tokens": stream.total}}
    counts = np.load(folder / "train.unigram.npy", allow_pickle=False)
    train = TokenStream(folder / "train")
    assert counts.tolist() == np.bincount(train.read(0, train.total), minlength=tok.vocab_size).tolist()


def test_what_is_built_trains_and_validates(make_config, tok, tmp_path):
    build_data(make_config(packages(80), valid_share=0.2))
    dataset = TrainDataset(tmp_path / "data" / "train", seq_length=64, seed=1, vocab_size=tok.vocab_size)
    assert dataset[5].shape == (65,)
    valid = ValidDataset(tmp_path / "data" / "valid", seq_length=64, vocab_size=tok.vocab_size)
    kinds = np.concatenate([valid[i][1] for i in range(len(valid))])
    rows = np.load(tmp_path / "data" / "valid.examples.npy")
    is_ntp = rows["objective"] == 0
    assert (kinds == 1).sum() == (rows["length"][is_ntp] - 1).sum()
    assert (kinds == 2).sum() == (rows["middle_length"][~is_ntp] + 1).sum()
    loss = unigram_loss(tmp_path / "data", valid, range(len(valid)))
    assert loss["ntp"] is not None
    assert 3 < loss["ntp"] < np.log(tok.vocab_size)
    with pytest.raises(UserError, match="vocabulary of 1024, but vocab_size is 512"):
        TrainDataset(tmp_path / "data" / "train", seq_length=64, seed=1, vocab_size=512)


def test_without_a_held_out_split_no_old_one_is_left(make_config, tmp_path):
    build_data(make_config(packages(20)))
    assert (tmp_path / "data" / "valid.idx").exists()
    build_data(make_config(valid_share=0.0))
    assert set(contents(tmp_path / "data")) == {name for name in PRODUCTS if not name.startswith("valid")}


RECORD = (
    b'{"repository": "r", "path": "a", "language": "c", "bytes": 6, "sha256": "", "error_share": 0.0, "text": %s}\n'
)


@pytest.mark.parametrize(
    ("shard", "message"),
    [
        (None, r"shard-00000\.jsonl is missing; make the corpus again with `aixmeg corpus build`"),
        (b"", "corpus holds no files; make one with `aixmeg corpus build`"),
        (b'{"repository": "r", "path"', "shard-00000.jsonl, byte 0: not a corpus record .JSONDecodeError"),
        (b'{"repository": "r", "path": "a.py", "language": "python"}\n', "not a corpus record .TypeError: .*'text'"),
        (RECORD % b"3", "not a corpus record .AttributeError: 'int'"),
        (RECORD % b'"\\ud800"', "not a corpus record .JSONDecodeError"),
    ],
)
def test_bad_corpora_are_refused(make_config, tmp_path, shard, message):
    config = make_config({})
    (tmp_path / "corpus" / "shard-00000.jsonl").unlink()
    if shard is not None:
        (tmp_path / "corpus" / "shard-00000.jsonl").write_bytes(shard)
    with pytest.raises(UserError, match=message):
        build_data(config)
    assert not (tmp_path / "data" / "data.json").exists()


def test_an_unfinished_corpus_is_refused(make_config, tmp_path):
    config = make_config(packages(3))
    (tmp_path / "corpus" / "report.json").unlink()
    with pytest.raises(UserError, match="there is no finished corpus in .*corpus; make one with `aixmeg corpus build`"):
        build_data(config)


def test_one_repository_cannot_be_split(make_config):
    with pytest.raises(UserError, match=r"1 repository, and data\.valid_share=0\.02 .* set data.valid_share to 0"):
        build_data(make_config({"only": {"a.py": b"x = 1234\n"}}))
    build_data(make_config(valid_share=0.0))


def test_a_scattered_repository_is_refused(make_config, tmp_path):
    config = make_config({"a": {"a.py": b"x = 1234\n"}, "b": {"b.py": b"y = 1234\n"}}, shards=1)
    shard = tmp_path / "corpus" / "shard-00000.jsonl"
    lines = shard.read_bytes().splitlines(keepends=True)
    shard.write_bytes(b"".join([lines[0], lines[1], lines[0]]))
    with pytest.raises(UserError, match="repository 'a' appears in two places"):
        build_data(config)


def test_a_second_build_of_the_same_folder_is_refused(make_config, monkeypatch):
    config = make_config(packages(5))
    refused = []

    def build_inside(*arguments, **named):
        with pytest.raises(UserError, match="another `aixmeg data build` is writing"):
            build_data(config)
        refused.append(True)
        return pool.build_parts(*arguments, **named)

    monkeypatch.setattr("aixmeg.data.builder.build_parts", build_inside)
    build_data(config)
    assert refused


def test_a_failed_rebuild_leaves_the_old_data(make_config, tmp_path):
    """A limit on file sizes stands for a full disk: both fail in write()."""
    config = make_config(packages(40))
    build_data(config)
    old = contents(tmp_path / "data")
    config_file = tmp_path / "config.yaml"
    config_file.write_text(dump_config(replace(config, data=replace(config.data, seed=9))))
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000)); from aixmeg.cli import main; "
        f"raise SystemExit(main(['data', 'build', '--config', {str(config_file)!r}]))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr
    assert {name: (tmp_path / "data" / name).read_bytes() for name in old} == old


def test_every_epoch_is_a_build_of_its_own_with_other_middles(make_config, tmp_path):
    config = make_config(packages(12))
    build_data(replace(config, data=replace(config.data, epochs=2)))
    data = tmp_path / "data"
    first, second = np.load(data / "train.examples.npy"), np.load(data / "epoch-1" / "train.examples.npy")
    assert len(first) == len(second)
    assert (first["middle_offset"] != second["middle_offset"]).any()
    later = replace(config, data=replace(config.data, epoch=1))
    kept = contents(data / "epoch-1")
    build_data(later)  # alone, and in the place of the first: the same bytes, and the second is gone
    assert {name: one for name, one in contents(data).items() if name.startswith("train")} == {
        name: one for name, one in kept.items() if name.startswith("train")
    }
    assert not (data / "epoch-1").exists()
