"""The model against `LlamaForCausalLM`: loss, logits and gradients on the same batch."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from aixmeg.config import Config, ModelConfig, TokenizerConfig, TrainConfig
from aixmeg.model.builder import build_model
from aixmeg.model.names import EMBEDDING, FINAL_NORM, OUTPUT

V, S, B = 192, 48, 2


def settings(**changes) -> Config:
    model = ModelConfig(
        **{"num_layers": 3, "hidden_size": 64, "ffn_hidden_size": 96, "num_attention_heads": 8, "num_query_groups": 2,
           "seq_length": S, "vocab_size": V, "init_method_std": 0.2, **changes}
    )  # fmt: skip
    return Config(model=model, tokenizer=TokenizerConfig(vocab_size=V), train=TrainConfig(precision="fp32", seed=3))


def hf_model(model: ModelConfig) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=V, hidden_size=model.hidden_size, intermediate_size=model.ffn_hidden_size,
        num_hidden_layers=model.num_layers, num_attention_heads=model.num_attention_heads,
        num_key_value_heads=model.num_query_groups, head_dim=model.head_size, rms_norm_eps=model.layernorm_epsilon,
        tie_word_embeddings=model.share_embeddings_and_output_weights, max_position_embeddings=S,
        rope_parameters={"rope_type": "default", "rope_theta": model.rotary_base}, attention_bias=False,
    )  # fmt: skip
    return LlamaForCausalLM(config).float()


def to_hf(native: dict[str, torch.Tensor], model: ModelConfig) -> dict[str, torch.Tensor]:
    """Written apart from aixmeg.convert, so that the two check each other."""
    h, per_group, hn = model.hidden_size, model.num_attention_heads // model.num_query_groups, model.head_size
    out = {"model.embed_tokens.weight": native[EMBEDDING], "model.norm.weight": native[FINAL_NORM]}
    out["lm_head.weight"] = native.get(OUTPUT, native[EMBEDDING])
    for i in range(model.num_layers):
        ours, theirs = f"decoder.layers.{i}.", f"model.layers.{i}."
        qkv = native[ours + "self_attention.linear_qkv.weight"].view(model.num_query_groups, per_group + 2, hn, h)
        out[theirs + "self_attn.q_proj.weight"] = qkv[:, :per_group].reshape(-1, h)
        out[theirs + "self_attn.k_proj.weight"] = qkv[:, per_group].reshape(-1, h)
        out[theirs + "self_attn.v_proj.weight"] = qkv[:, per_group + 1].reshape(-1, h)
        out[theirs + "self_attn.o_proj.weight"] = native[ours + "self_attention.linear_proj.weight"]
        gate, up = native[ours + "mlp.linear_fc1.weight"].chunk(2)
        out[theirs + "mlp.gate_proj.weight"], out[theirs + "mlp.up_proj.weight"] = gate, up
        out[theirs + "mlp.down_proj.weight"] = native[ours + "mlp.linear_fc2.weight"]
        out[theirs + "input_layernorm.weight"] = native[ours + "input_layernorm.weight"]
        out[theirs + "post_attention_layernorm.weight"] = native[ours + "pre_mlp_layernorm.weight"]
    return out


@pytest.mark.parametrize(
    "changes",
    [{}, {"share_embeddings_and_output_weights": True}, {"kv_channels": 16}, {"num_query_groups": 8}],
    ids=["grouped", "tied", "wide heads", "multi-head"],
)
def test_equals_llama(topology, changes):
    config = settings(**changes)
    (ours,) = build_model(config, topology, device="cpu")
    with torch.no_grad():  # norm weights of 1 would hide a norm in the wrong place
        for name, parameter in ours.named_parameters():
            if "norm" in name:
                parameter.add_(torch.linspace(-0.5, 0.5, parameter.numel()))
    theirs = hf_model(config.model)
    theirs.load_state_dict(to_hf(dict(ours.named_parameters()), config.model), strict=True)
    tokens = torch.randint(0, V, (B, S + 1), generator=torch.Generator().manual_seed(1))
    inputs, labels = tokens[:, :-1], tokens[:, 1:]

    loss = ours(inputs, labels=labels)
    expected = theirs(inputs).logits
    per_token = torch.nn.functional.cross_entropy(expected.transpose(1, 2), labels, reduction="none")
    assert loss.dtype is torch.float32
    # fp32 sums in another order; 1e-4 is what the project promises, and logits here are of order 10
    torch.testing.assert_close(loss, per_token, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.logits(inputs), expected, rtol=1e-4, atol=1e-4)
    assert loss.mean().item() == pytest.approx(per_token.mean().item(), rel=1e-6)

    loss.mean().backward()
    per_token.mean().backward()
    ours_grads = to_hf({name: p.grad for name, p in ours.named_parameters()}, config.model)
    for name, parameter in theirs.named_parameters():
        error = (ours_grads[name] - parameter.grad).abs().max() / parameter.grad.abs().max()
        assert error < 1e-5, name  # measured: 2e-6


def test_a_token_sees_only_what_stands_before_it(topology):
    (model,) = build_model(settings(), topology, device="cpu")
    tokens = torch.randint(0, V, (1, 20), generator=torch.Generator().manual_seed(2))
    changed = tokens.clone()
    changed[0, 12] = (changed[0, 12] + 1) % V
    before, after = model.logits(tokens), model.logits(changed)
    torch.testing.assert_close(before[:, :12], after[:, :12], rtol=0, atol=1e-5)  # other blocking, same numbers
    assert not torch.allclose(before[:, 12:], after[:, 12:], atol=1e-3)
