"""Configuration: one error lists everything wrong; what is valid survives a round trip."""

import dataclasses
import typing

import pytest

from aixmeg.config import PRESETS, Config, conflicts, dump_config, load_config
from aixmeg.config.describe import field_sentences
from aixmeg.errors import UserError

TINY = {"model.preset": "tiny", "tokenizer.vocab_size": "8192"}


def problems(tmp_path, text, **settings):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        load_config(file, **settings)
    return str(caught.value)


def test_defaults_are_the_7b_model_and_valid():
    assert conflicts(Config(), world_size=8) == []
    assert Config().model == PRESETS["aixcoder_7b"]


def test_dumped_yaml_loads_to_an_equal_config(tmp_path):
    overrides = {**TINY, "corpus.sources": "[a, b]", "optimizer.lr": "3e-4", "model.kv_channels": "64"}
    config = load_config(None, overrides)
    file = tmp_path / "config.yaml"
    file.write_text(dump_config(config))
    assert load_config(file) == config
    assert config.optimizer.lr == 3e-4  # plain PyYAML reads 3e-4 as a string
    assert [str(path) for path in config.corpus.sources] == ["a", "b"]


def test_preset_is_overridden_by_other_keys():
    config = load_config(None, {**TINY, "model.num_layers": "2"})
    assert config.model == dataclasses.replace(PRESETS["tiny"], num_layers=2)


def test_every_problem_is_listed_at_once(tmp_path):
    text = """
model: {preset: tiny, num_layerz: 3, num_attention_heads: 30}
train: {steps: "8", precision: fp16}
parallel: {tensor_model_parallel_size: 3, virtual_pipeline_model_parallel_size: 2}
trian: {}
"""
    message = problems(tmp_path, text)
    for part in (
        "model.num_layerz is not an option; did you mean model.num_layers?",
        "train.steps='8': input should be a valid integer",
        "train.precision='fp16': input should be 'bf16' or 'fp32'",
        "trian is not an option; did you mean train?",
        "model.hidden_size=256 is not divisible by model.num_attention_heads=30",
        "model.vocab_size=8192 differs from tokenizer.vocab_size=49152",
        "overlap_p2p_comm=true",
    ):
        assert part in message, message


CONFLICTS = [
    ({"model.num_query_groups": "3"}, "choose 1, 2, 4, 8"),
    ({"parallel.sequence_parallel": "true"}, "sequence_parallel=true needs"),
    ({"parallel.tensor_model_parallel_size": "7"}, "vocab_size=8192 is not divisible by parallel.tensor"),
    ({"model.seq_length": "511", "parallel.tensor_model_parallel_size": "2", "parallel.sequence_parallel": "true"},
     "model.seq_length=511"),
    ({"parallel.pipeline_model_parallel_size": "3"}, "model.num_layers=4 is not divisible"),
    ({"parallel.pipeline_model_parallel_size": "2", "parallel.virtual_pipeline_model_parallel_size": "2"},
     "wrong gradients and no error"),
    ({"parallel.virtual_pipeline_model_parallel_size": "2", "parallel.overlap_p2p_comm": "true"}, "of 2 or more"),
    ({"parallel.overlap_p2p_comm": "true"}, "interleaved schedule alone"),
    ({"parallel.overlap_param_gather": "true"}, "needs overlap_grad_reduce=true"),
    ({"model.fp8": "hybrid", "model.fp8_recipe": "mxfp8"}, "is not a recipe of model.layer_set=native"),
    ({"model.fp8": "hybrid", "model.layer_set": "te", "train.precision": "fp32"}, "needs train.precision=bf16"),
    ({"data.ntp_share": "0.8", "data.fim_share": "0.5"}, "exceeds 1"),
    ({"data.spm_share": "1.5"}, "between 0 and 1"),
    ({"corpus.max_file_bytes": "3"}, "every file would be dropped"),
    ({"optimizer.min_lr": "1.0"}, "is above optimizer.lr"),
    ({"optimizer.warmup_steps": "1000"}, "leaves no step"),
    ({"optimizer.adam_beta2": "1.0"}, "below 1"),
    ({"optimizer.exp_avg_dtype": "bf16", "optimizer.backend": "torch"}, "backend=aixmeg, not torch"),
    (
        {"optimizer.exp_avg_sq_dtype": "bf16", "parallel.use_distributed_optimizer": "false"},
        "exp_avg_sq_dtype=bf16 needs parallel.use_distributed_optimizer=true",
    ),
    ({"train.steps": "0"}, "train.steps=0 must be positive"),
    ({"train.save_interval": "-1"}, "must be zero or more"),
    ({"train.eval_infills": "-1"}, "train.eval_infills=-1 must be zero or more"),
    ({"train.eval_infills": "4", "train.eval_infill_tokens": "1"}, "no token beside the closing one"),
    ({"train.eval_infills": "4", "train.eval_infill_tokens": "512"}, "no room for a prompt in 512 tokens"),
    ({"model.kv_channels": "31"}, "rotates pairs"),
    ({"model.kv_channels": "0"}, "must be positive, or null"),
    ({"model.preset": "8b"}, "choose tiny, 1b, aixcoder_7b"),
    ({"tokenizer.vocab_size": "4096"}, "differs from tokenizer.vocab_size"),
]  # fmt: skip


@pytest.mark.parametrize(("overrides", "message"), CONFLICTS)
def test_conflict_names_value_rule_and_remedy(overrides, message):
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        load_config(None, {**TINY, **overrides})


@pytest.mark.parametrize(
    ("world", "overrides", "message"),
    [
        (3, {"parallel.tensor_model_parallel_size": "2"}, "start a multiple of 2"),
        (3, {}, "choose a multiple of 3"),
        (2, {"parallel.pipeline_model_parallel_size": "2", "parallel.virtual_pipeline_model_parallel_size": "2",
             "parallel.overlap_p2p_comm": "true", "train.global_batch_size": "3"}, "3 micro-batches"),
    ],
)  # fmt: skip
def test_conflicts_with_the_number_of_ranks(world, overrides, message):
    config = load_config(None, {**TINY, **overrides})
    with pytest.raises(UserError, match=message):
        load_config(None, {**TINY, **overrides}, world_size=world)
    assert conflicts(config) == []


def test_yaml_that_is_no_mapping_or_no_yaml(tmp_path):
    assert "must hold sections" in problems(tmp_path, "- a\n- b\n")
    assert "not valid YAML" in problems(tmp_path, "a: [1\n")
    assert "model=3" in problems(tmp_path, "model: 3\n")
    with pytest.raises(UserError, match="cannot read the configuration"):
        load_config(tmp_path / "missing.yaml")


@pytest.mark.parametrize(
    "text", ["train:\n  steps: 10\nmodel:\n  preset: tiny\ntrain:\n  seed: 7\n", "train: {steps: 10, steps: 20}\n"]
)
def test_a_key_that_is_there_twice(tmp_path, text):
    """YAML readers keep the second section, and all that the first one said is lost."""
    name = "train" if "seed" in text else "steps"
    said = problems(tmp_path, text)
    assert f"'{name}' was given in line 1 already; leave one of the two out" in said
    assert f"line {5 if name == 'train' else 1}, column" in said


def test_empty_sections_take_the_defaults(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("train:\nmodel:\n  preset: null\n")
    assert load_config(file) == Config()


def test_every_field_is_documented_and_frozen():
    for section_type in typing.get_type_hints(Config).values():
        sentences = field_sentences(section_type)
        assert set(sentences) == {f.name for f in dataclasses.fields(section_type)}
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(section_type(), next(iter(sentences)), None)
