import pytest

from aixmeg.errors import UserError
from aixmeg.train import folders
from aixmeg.train.folders import (
    find_latest,
    latest_checkpoint,
    list_checkpoints,
    publish,
    read_manifest,
    remove_unfinished,
    temporary_folder,
)


def save(run, step, *, keep=0):
    temporary = temporary_folder(run, step)
    temporary.mkdir(parents=True)
    (temporary / "__0_0.distcp").write_bytes(b"x" * step)
    (temporary / ".metadata").write_bytes(b"m")
    return publish(run, step, {"step": step}, keep=keep)


def names(run):
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_a_published_checkpoint_is_the_latest_and_lists_its_files(tmp_path):
    for step in (5, 10):
        save(tmp_path, step)
    assert latest_checkpoint(tmp_path) == tmp_path / "checkpoints/step-00000010"
    assert latest_checkpoint(tmp_path, step=5) == tmp_path / "checkpoints/step-00000005"
    assert read_manifest(latest_checkpoint(tmp_path)) == {"step": 10, "files": {".metadata": 1, "__0_0.distcp": 10}}
    assert names(tmp_path) == ["latest", "step-00000005", "step-00000010"]


def test_keeps_the_newest(tmp_path):
    for step in (1, 2, 3, 4):
        save(tmp_path, step, keep=2)
    assert names(tmp_path) == ["latest", "step-00000003", "step-00000004"]


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
    ],
)
def test_an_incomplete_checkpoint_names_the_file(tmp_path, damage, message):
    folder = save(tmp_path, 7)
    damage(folder)
    with pytest.raises(UserError, match=message):
        read_manifest(folder)


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
