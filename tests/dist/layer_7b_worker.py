"""One layer of the real 7B, on tensor ranks with sequence parallelism, beside transformers' layer on rank 0."""

import dataclasses

import torch
import torch.distributed as dist

from aixmeg.config import PRESETS, Config, ParallelConfig, TokenizerConfig, TrainConfig
from aixmeg.model.builder import build_model
from aixmeg.model.init import initialise
from aixmeg.model.names import Sharding, named_parameters, parameter_table, unshard
from aixmeg.parallel.topology import Topology

LENGTH, BATCH, SEED = 32, 1, 11
# One layer, and a vocabulary that costs nothing: embedding and loss are not run.
MODEL = dataclasses.replace(PRESETS["aixcoder_7b"], num_layers=1, vocab_size=64, seq_length=LENGTH)


def compare() -> dict[str, float]:
    """Rank 0: largest difference over the largest magnitude, of the output and of every gradient."""
    config = Config(
        model=MODEL,
        tokenizer=TokenizerConfig(vocab_size=MODEL.vocab_size),
        parallel=ParallelConfig(tensor_model_parallel_size=dist.get_world_size(), sequence_parallel=True),
        train=TrainConfig(precision="fp32", seed=SEED, gradient_accumulation_fusion=False),
    )
    topology = Topology.create(config.parallel, SEED)
    (model,) = build_model(config, topology, device="cpu")
    x, dy = _tensors(), _tensors()  # [s, b, h]
    found = _ours(model, topology, x, dy)
    differences = {} if topology.tp_rank else _differences(found, _reference(x, dy))
    topology.destroy()
    return differences


def _tensors() -> torch.Tensor:
    return torch.randn(LENGTH, BATCH, MODEL.hidden_size)  # every rank was seeded alike


def _ours(model, topology, x, dy) -> dict[str, torch.Tensor]:
    """Output and gradients of all ranks, whole, on rank 0."""
    layer = model.decoder.layers[0]
    for norm in (layer.input_layernorm, layer.pre_mlp_layernorm):
        norm.weight.data.copy_(_norm_weight())
    mine = x.chunk(topology.tp_size)[topology.tp_rank].clone().requires_grad_()  # [s/tp, b, h]
    out, _ = layer(mine, attention_mask=None)
    out.backward(dy.chunk(topology.tp_size)[topology.tp_rank])
    found = {"output": _gathered(out.detach(), topology), "input": _gathered(mine.grad, topology)}
    for info, parameter in named_parameters(model, parameter_table(MODEL)):
        if info.name.startswith("decoder.layers.0."):
            found[info.name.removeprefix("decoder.layers.0.")] = _whole(info, parameter, topology)
            parameter.grad = None
    return found


def _gathered(part, topology):
    parts = [torch.empty_like(part) for _ in range(topology.tp_size)]
    dist.all_gather(parts, part.contiguous(), group=topology.tp_group)
    return torch.cat(parts)


def _whole(info, parameter, topology):
    """The gradient of the whole tensor, on rank 0; norms hold the sum over their part of the sequence alone."""
    grad = parameter.grad.contiguous()
    if info.sharding is Sharding.REPLICATED:
        dist.all_reduce(grad, group=topology.tp_group)
        return grad
    shards = [torch.empty_like(grad) for _ in range(topology.tp_size)] if topology.tp_rank == 0 else None
    dist.gather(grad, shards, dst=0, group=topology.tp_group)
    return unshard(info, shards) if shards else grad


def _norm_weight():
    return torch.linspace(0.5, 1.5, MODEL.hidden_size)


def _reference(x, dy) -> dict[str, torch.Tensor]:
    """transformers' layer with the same weights, cut out of the packed ones here and not by our converter."""
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRotaryEmbedding

    settings = LlamaConfig(
        hidden_size=4096, intermediate_size=14_464, num_attention_heads=32, num_key_value_heads=8, head_dim=128,
        num_hidden_layers=1, rms_norm_eps=1e-5, max_position_embeddings=LENGTH, vocab_size=64,
        rope_parameters={"rope_type": "default", "rope_theta": 256_000.0}, attn_implementation="eager",
    )  # fmt: skip
    with torch.device("meta"):
        layer = LlamaDecoderLayer(settings, layer_idx=0)
    layer.to_empty(device="cpu")
    full = {}
    for name, info in parameter_table(MODEL).items():
        if name.startswith("decoder.layers.0.") and info.init_std is not None:
            full[name.removeprefix("decoder.layers.0.")] = weight = torch.empty(info.shape)
            initialise(weight, info, SEED, tp_rank=0, tp_size=1)
    heads = full["self_attention.linear_qkv.weight"].view(8, 6, 128, 4096)  # per group four queries, a key, a value
    gate, up = full["mlp.linear_fc1.weight"].chunk(2)
    layer.load_state_dict({
        "input_layernorm.weight": _norm_weight(), "post_attention_layernorm.weight": _norm_weight(),
        "self_attn.q_proj.weight": heads[:, :4].reshape(4096, 4096),
        "self_attn.k_proj.weight": heads[:, 4].reshape(1024, 4096),
        "self_attn.v_proj.weight": heads[:, 5].reshape(1024, 4096),
        "self_attn.o_proj.weight": full["self_attention.linear_proj.weight"],
        "mlp.gate_proj.weight": gate, "mlp.up_proj.weight": up, "mlp.down_proj.weight": full["mlp.linear_fc2.weight"],
    }, assign=True)  # fmt: skip
    for parameter in layer.parameters():
        parameter.requires_grad_()
    return _run_reference(layer, LlamaRotaryEmbedding(settings), x, dy)


def _run_reference(layer, rotary, x, dy) -> dict[str, torch.Tensor]:
    inputs = x.transpose(0, 1).clone().requires_grad_()  # [b, s, h]
    causal = torch.full((LENGTH, LENGTH), float("-inf")).triu(1)[None, None]
    positions = torch.arange(LENGTH)[None]
    out = layer(inputs, attention_mask=causal, position_ids=positions, position_embeddings=rotary(inputs, positions))
    out = out[0] if isinstance(out, tuple) else out
    out.backward(dy.transpose(0, 1))
    attention, mlp = layer.self_attn, layer.mlp
    grouped = [p.weight.grad.view(8, -1, 128, 4096) for p in (attention.q_proj, attention.k_proj, attention.v_proj)]
    return {
        "output": out.detach().transpose(0, 1), "input": inputs.grad.transpose(0, 1),
        "input_layernorm.weight": layer.input_layernorm.weight.grad,
        "pre_mlp_layernorm.weight": layer.post_attention_layernorm.weight.grad,
        "self_attention.linear_qkv.weight": torch.cat(grouped, dim=1).view(6144, 4096),
        "self_attention.linear_proj.weight": attention.o_proj.weight.grad,
        "mlp.linear_fc1.weight": torch.cat([mlp.gate_proj.weight.grad, mlp.up_proj.weight.grad]),
        "mlp.linear_fc2.weight": mlp.down_proj.weight.grad,
    }  # fmt: skip


def _differences(ours, reference) -> dict[str, float]:
    assert set(ours) == set(reference)
    found = {}
    for name, expected in reference.items():
        difference = ours.pop(name).sub_(expected).abs_().max()
        found[name] = float(difference / expected.abs().max())
    return found
