import hashlib
from pathlib import Path

import pytest

from aixmeg import files
from aixmeg.errors import UserError
from aixmeg.train import folders
from aixmeg.train.folders import (
    changed_files,
    find_latest,
    go_back_to,
    latest_checkpoint,
    list_checkpoints,
    publish,
    read_manifest,
    remove_unfinished,
    set_aside,
    temporary_folder,
    verify,
)


def save(run, step, *, keep=0, **options):
    temporary = temporary_folder(run, step)
    temporary.mkdir(parents=True)
    (temporary / "__0_0.distcp").write_bytes(b"x" * step)
    (temporary / ".metadata").write_bytes(b"m")
    return publish(run, step, {"step": step}, keep=keep, **options)


def names(run):
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_a_published_checkpoint_is_the_latest_and_lists_its_files(tmp_path):
    for step in (5, 10):
        save(tmp_path, step)
    assert latest_checkpoint(tmp_path) == tmp_path / "checkpoints/step-00000010"
    assert latest_checkpoint(tmp_path, step=5) == tmp_path / "checkpoints/step-00000005"
    manifest = read_manifest(latest_checkpoint(tmp_path))
    assert manifest["step"] == 10
    assert manifest["files"] == {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in ((".metadata", b"m"), ("__0_0.distcp", b"x" * 10))
    }
    assert names(tmp_path) == ["latest", "step-00000005", "step-00000010"]


def test_keeps_the_newest(tmp_path):
    for step in (1, 2, 3, 4):
        save(tmp_path, step, keep=2)
    assert names(tmp_path) == ["latest", "step-00000003", "step-00000004"]


def test_keeps_multiples_for_ever(tmp_path):
    for step in range(2, 22, 2):
        save(tmp_path, step, keep=2, keep_every=6)
    assert names(tmp_path) == ["latest", *(f"step-{step:08}" for step in (6, 12, 18, 20))]


def test_never_removes_the_latest_even_below_older_runs(tmp_path):
    for step in (50, 60):
        save(tmp_path, step)
    save(tmp_path, 40, keep=1)  # the user went back to step 30 and trained on
    assert latest_checkpoint(tmp_path).name == "step-00000040"


def test_half_written_folders_are_invisible_and_removed(tmp_path):
    save(tmp_path, 1)
    unfinished = temporary_folder(tmp_path, 2)
    unfinished.mkdir()
    (unfinished / "__0_0.distcp").write_bytes(b"half")
    assert list_checkpoints(tmp_path) == [latest_checkpoint(tmp_path)]
    remove_unfinished(tmp_path)
    assert names(tmp_path) == ["latest", "step-00000001"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "__0_0.distcp").unlink(), "__0_0.distcp is missing"),
        (lambda folder: (folder / "__0_0.distcp").write_bytes(b"xx"), "has 2 bytes instead of 7"),
        (lambda folder: (folder / "aixmeg.json").unlink(), "cannot read .*aixmeg.json"),
        (lambda folder: flip(folder / "aixmeg.json", b'"step": 7', b'"step": 8'), r"aixmeg\.json has changed"),
        (lambda folder: flip(folder / "aixmeg.json", b"{", b"["), "cannot read .*aixmeg.json"),
    ],
)
def test_an_incomplete_checkpoint_names_the_file(tmp_path, damage, message):
    folder = save(tmp_path, 7)
    damage(folder)
    with pytest.raises(UserError, match=message):
        read_manifest(folder)


def flip(path, old, new):
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


@pytest.mark.parametrize("name", ["__0_0.distcp", ".metadata"])
def test_a_changed_bit_is_found_and_its_file_named(tmp_path, name):
    folder = save(tmp_path, 7)
    assert verify(folder)["step"] == 7
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 4
    (folder / name).write_bytes(data)
    read_manifest(folder)  # the size alone does not tell
    with pytest.raises(UserError, match=f"damaged: {name} has changed"):
        verify(folder)


def test_the_parts_of_a_verification_are_the_whole(tmp_path):
    temporary = temporary_folder(tmp_path, 1)
    temporary.mkdir(parents=True)
    for number in range(7):
        (temporary / f"__{number}_0.distcp").write_bytes(bytes(number + 1))
    folder = publish(tmp_path, 1, {"step": 1}, keep=0)
    for path in folder.glob("*.distcp"):
        path.write_bytes(b"x" * path.stat().st_size)
    manifest = read_manifest(folder)
    found = [changed_files(folder, manifest, part=part, parts=3) for part in range(3)]
    assert sorted(name for part in found for name in part) == [f"__{number}_0.distcp" for number in range(7)]
    assert max(map(len, found)) == 3


def test_digests_that_are_known_are_not_taken_again(tmp_path):
    folder = save(tmp_path, 7, digests={"__0_0.distcp": "as written"})
    assert read_manifest(folder)["files"]["__0_0.distcp"]["sha256"] == "as written"


def test_a_file_that_a_rank_wrote_and_nobody_finds_fails_the_save(tmp_path):
    save(tmp_path, 1)
    with pytest.raises(OSError, match=r"__1_0\.distcp"):
        save(tmp_path, 7, digests={"__0_0.distcp": "as written", "__1_0.distcp": "lost"})
    assert latest_checkpoint(tmp_path).name == "step-00000001"


def test_a_damaged_one_is_set_aside_and_later_ones_left(tmp_path):
    for step in (1, 2, 3):
        save(tmp_path, step)
    go_back_to(tmp_path / "checkpoints/step-00000002")
    assert names(tmp_path) == ["latest", "step-00000001", "step-00000002"]
    assert latest_checkpoint(tmp_path).name == "step-00000002"
    set_aside(tmp_path / "checkpoints/step-00000001")
    assert names(tmp_path) == ["damaged-step-00000001", "latest", "step-00000002"]
    assert list_checkpoints(tmp_path) == [latest_checkpoint(tmp_path)]


def test_a_checkpoint_that_is_saved_again_is_there_all_the_time(tmp_path, monkeypatch):
    """Between the two renames that would do it as well, the run had no such checkpoint."""
    original, there = Path.rename, []

    def rename(self, target):
        there.append((tmp_path / "checkpoints/step-00000005").is_dir())
        return original(self, target)

    save(tmp_path, 5)
    monkeypatch.setattr(Path, "rename", rename)
    save(tmp_path, 5)
    assert there and all(there)
    assert names(tmp_path) == ["latest", "step-00000005"]
    monkeypatch.setattr(files, "_exchange", lambda *_: False)  # another kernel, or a network's file system
    save(tmp_path, 5)
    assert not all(there)
    assert names(tmp_path) == ["latest", "step-00000005"]


def test_no_checkpoint(tmp_path):
    assert find_latest(tmp_path) is None
    with pytest.raises(UserError, match="holds no checkpoint"):
        latest_checkpoint(tmp_path)
    save(tmp_path, 3)
    with pytest.raises(UserError, match="no checkpoint of step 4; it has: step-00000003"):
        latest_checkpoint(tmp_path, step=4)


def test_a_pointer_to_nowhere_offers_what_is_there(tmp_path):
    save(tmp_path, 3)
    (tmp_path / "checkpoints/latest").write_text("../../etc\n")
    with pytest.raises(UserError, match=r"write one of these into it: step-00000003"):
        find_latest(tmp_path)


def test_a_kill_before_the_first_pointer_loses_nothing(tmp_path):
    folder = save(tmp_path, 3)
    (tmp_path / "checkpoints/latest").unlink()
    assert find_latest(tmp_path) == folder


@pytest.mark.parametrize("failing", ["write_json", "replace_folder", "atomic_write"])
def test_a_failing_publication_leaves_the_earlier_checkpoint(tmp_path, monkeypatch, failing):
    save(tmp_path, 1)

    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folders, failing, refuse)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, 2)
    assert latest_checkpoint(tmp_path).name == "step-00000001"
    assert read_manifest(latest_checkpoint(tmp_path))["step"] == 1
