"""The doctor names what is there, and advises on what is not."""

import importlib.metadata

import pytest

from aixmeg import doctor, ops
from aixmeg.errors import UserError


def found():
    return {item.part: item for item in doctor.examine()}


def test_every_part_of_the_promise_has_a_row_and_what_is_missing_has_advice():
    rows = found()
    for part in ("python", "torch", "cuda devices", "driver, NVML", "nvcc", "megatron-core", "transformer-engine",
                 "apex", "mpi", "slurm"):  # fmt: skip
        assert part in rows or (part == "nvcc" and not rows["driver, NVML"].found)
    for item in rows.values():
        assert item.found or item.advice, item
    assert rows["torch"].found.startswith(importlib.metadata.version("torch").split("+")[0])
    assert rows["megatron-core"].found == importlib.metadata.version("megatron-core")


def test_the_optimizer_is_named():
    from aixmeg.train.optimizer_backend import resolve

    assert found()["optimizer"].found.startswith(resolve("auto"))


def test_attention_inside_documents_is_named(monkeypatch):
    from aixmeg.model import flash

    for kernel, text in (
        (None, "one call per document"),
        (("flash-attn", lambda *_: None), "flash-attn for documents"),
    ):
        monkeypatch.setattr(flash, "find_varlen", lambda kernel=kernel: kernel)
        assert text in found()["attention"].found


def test_ops_are_shown_as_they_resolve():
    rows = found()
    assert {f"op {name}": where for name, where in ops.resolved().items()} == {
        part: item.found for part, item in rows.items() if part.startswith("op ")
    }


def test_a_missing_extension_fails_with_the_build_command(monkeypatch, capsys):
    def missing():
        raise UserError("the kernels are not built; run make install")

    monkeypatch.setattr(ops, "resolved", missing)
    with pytest.raises(UserError, match="csrc is missing: the kernels are not built; run make install"):
        doctor.doctor()
    assert "missing" in capsys.readouterr().out


def test_a_missing_optional_package_is_advice_only(monkeypatch, capsys):
    original = importlib.metadata.version

    def version(name):
        if name == "transformer-engine":
            raise importlib.metadata.PackageNotFoundError(name)
        return original(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    doctor.doctor()
    assert "model.layer_set=te and FP8 need it" in capsys.readouterr().out


def test_a_tool_that_does_not_answer(tmp_path, monkeypatch):
    tool = tmp_path / "sbatch"
    tool.write_text("#!/no/such/interpreter\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "does not answer" in doctor._tool("slurm", "sbatch", "advice").advice
