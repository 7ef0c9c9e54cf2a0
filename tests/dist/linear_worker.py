"""The wide linears on this rank's shards, as on a processor without bf16 instructions."""

import torch
from megatron.core import parallel_state
from megatron.core.transformer.transformer_config import TransformerConfig

from aixmeg.config import ParallelConfig
from aixmeg.model.linear import ColumnLinear, RowLinear
from aixmeg.ops import products as fast_products
from aixmeg.parallel import weight_gradient
from aixmeg.parallel.topology import Topology

TOKENS, K, N = 6, 8, 12


def data() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Input [s, 1, k], weight [n, k], gradient of the output [s, 1, n]; bf16."""
    generator = torch.Generator().manual_seed(5)
    shapes = ((TOKENS, 1, K), (N, K), (TOKENS, 1, N))
    return tuple(torch.randn(shape, generator=generator).bfloat16() for shape in shapes)


def products(sequence_parallel: bool, accumulate: bool) -> dict[str, dict[str, torch.Tensor]]:
    """Output, gradients of input and weight of both linears, whole: gathered over the two ranks."""
    fast_products.multiplies_bf16 = lambda: False
    topology = Topology.create(ParallelConfig(tensor_model_parallel_size=2, sequence_parallel=sequence_parallel), 1)
    weight_gradient.install()
    core = TransformerConfig(
        num_layers=1, hidden_size=K, num_attention_heads=2, tensor_model_parallel_size=2, params_dtype=torch.bfloat16,
        sequence_parallel=sequence_parallel, gradient_accumulation_fusion=accumulate, add_bias_linear=False,
    )  # fmt: skip
    found = {kind.__name__: _run(kind, core, sequence_parallel, accumulate) for kind in (ColumnLinear, RowLinear)}
    topology.destroy()
    return found


def _run(kind, core, sequence_parallel, accumulate):
    column = kind is ColumnLinear
    rank, group = torch.distributed.get_rank(), parallel_state.get_tensor_model_parallel_group()
    x, weight, dy = data()
    mine = lambda whole, dim: whole.chunk(2, dim)[rank].contiguous()  # noqa: E731
    layer = kind(
        K, N, config=core, init_method=lambda w: w, bias=False, skip_bias_add=False, tp_group=group,
        **({"gather_output": False} if column else {"input_is_parallel": True}),
    )  # fmt: skip
    layer.weight.data.copy_(mine(weight, 0 if column else 1))
    if accumulate:
        layer.weight.main_grad = torch.ones(layer.weight.shape)  # of an earlier micro-batch
    tokens = 0 if sequence_parallel else None
    split_x, split_y = (tokens, -1) if column else (-1, tokens)
    part = (x if split_x is None else mine(x, split_x)).requires_grad_()
    y, _ = layer(part)
    y.backward(dy if split_y is None else mine(dy, split_y))
    weight_grad = layer.weight.main_grad - 1 if accumulate else layer.weight.grad
    gathered = ((y.detach(), split_y), (part.grad, split_x), (weight_grad, 0 if column else 1))
    return dict(zip(("y", "dx", "dw"), (_whole(*each) for each in gathered), strict=True))


def _whole(part, dim):
    if dim is None:
        return part.float()
    parts = [torch.empty_like(part) for _ in range(2)]
    torch.distributed.all_gather(parts, part.contiguous())
    return torch.cat(parts, dim).float()
