"""The command against a plain torch loop: AdamW, clipping, schedule, order of samples, held-out losses."""

import json

import numpy as np
import pytest
from train_ranks import changed, make_inputs, read_metrics, run_ranks, tiny_config, train_ranks


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("reference")
    make_inputs(root)
    config = changed(
        # Strong decay and clipping, so that leaving one out shows in the losses.
        tiny_config(root, steps=10, micro_batch_size=1),
        optimizer={"weight_decay": 2.0, "clip_grad": 0.5, "warmup_steps": 3},
    )
    train_ranks(config, 1, log=root / "log")
    assert run_ranks(train_plainly, 1, config, root / "plain.json", log=root / "plain.log") == [0], (
        root / "plain.log.0"
    ).read_text()
    return root, json.loads((root / "plain.json").read_text())


def train_plainly(config, out):
    import torch

    from aixmeg.data.stream import KIND_MIDDLE, KIND_NTP, TrainDataset, ValidDataset
    from aixmeg.model.builder import build_model
    from aixmeg.parallel import launch
    from aixmeg.parallel.topology import Topology

    launch.start(launch.discover())
    (model,) = build_model(config, Topology.create(config.parallel, 1), device="cpu")
    norms = [parameter for name, parameter in model.named_parameters() if "norm" in name]
    matrices = [parameter for name, parameter in model.named_parameters() if "norm" not in name]
    assert len(norms) == 2 * config.model.num_layers + 1
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 2.0}, {"params": norms, "weight_decay": 0.0}], betas=(0.9, 0.95), eps=1e-8
    )
    data = TrainDataset(config.paths.at("data") / "train", seq_length=64, seed=1234, vocab_size=128)
    records = []
    for step in range(10):
        rows = torch.from_numpy(np.stack([data[4 * step + i] for i in range(4)]))
        losses = _token_losses(model, rows)
        loss = losses.mean()
        kinds = torch.from_numpy(np.stack([data.kinds(4 * step + i) for i in range(4)]))
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        low, high = config.optimizer.min_lr, config.optimizer.lr
        cosine = low + (high - low) * (1 + np.cos(np.pi * (step + 1 - 3) / (10 - 3))) / 2
        for group in optimizer.param_groups:
            group["lr"] = high * (step + 1) / 3 if step < 3 else cosine
        optimizer.step()
        apart = [losses[kinds == kind].double().mean().item() for kind in (KIND_NTP, KIND_MIDDLE)]
        records.append((step + 1, loss.item(), norm.item(), *apart))
    valid = ValidDataset(config.paths.at("data") / "valid", seq_length=64, vocab_size=128)
    chosen = set()  # of six windows half hold text, half hold middles, each spread evenly over those that do
    for kind in (KIND_NTP, KIND_MIDDLE):
        holding = [i for i in range(len(valid)) if kind in valid[i][1]]
        chosen |= {holding[i * len(holding) // 3] for i in range(3)}
    tokens, kinds = (np.stack(part) for part in zip(*(valid[i] for i in sorted(chosen)), strict=True))
    with torch.no_grad():
        losses = _token_losses(model, torch.from_numpy(tokens)).double().numpy()
    # A unigram model, the long way round: one label at a time.
    counts = np.load(config.paths.at("data") / "train.unigram.npy") + 1
    unigram = [[-np.log(counts[t] / counts.sum()) for t in row] for row in tokens[:, 1:]]
    held_out, plain = (
        {kind: float(np.mean(np.array(table)[kinds == kind])) for kind in (KIND_NTP, KIND_MIDDLE)}
        for table in (losses, unigram)
    )
    numbers = np.stack([valid.languages_of(i) for i in sorted(chosen)])
    languages = {
        name: [float(part.mean()) if len(part := losses[(numbers == n) & (kinds == kind)]) else None
               for kind in (KIND_NTP, KIND_MIDDLE)]
        for n, name in enumerate(("C", "Go", "Python"), 1)
    }  # fmt: skip
    found = {"train": records, "valid": list(held_out.values()), "unigram": list(plain.values())}
    out.write_text(json.dumps(found | {"languages": languages}))


def _token_losses(model, rows):
    import torch

    logits = model(rows[:, :-1])
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="none")
    return losses.view(len(rows), -1)


def test_losses_and_gradient_norms(trained):
    root, expected = trained
    found = read_metrics(root / "run", names=("loss", "grad_norm", "ntp_loss", "middle_loss"))
    # fp32 sums in another order (micro-batches of one against one batch of four) over ten updates.
    np.testing.assert_allclose(found, expected["train"], rtol=1e-5)


def test_held_out_losses_and_the_unigram_beside_them(trained):
    root, expected = trained
    *_, last = read_metrics(root / "run", "valid", ("ntp_loss", "middle_loss"))
    np.testing.assert_allclose(last[1:], expected["valid"], rtol=1e-5)
    *_, (_, languages) = read_metrics(root / "run", "valid", ("languages",))
    assert len(languages) == 3
    for name, losses in languages.items():
        for loss, by_hand in zip(losses.values(), expected["languages"][name], strict=True):
            assert loss == (None if by_hand is None else pytest.approx(by_hand, rel=1e-5)), name
    facts = json.loads((root / "run/run.json").read_text())
    np.testing.assert_allclose([facts["unigram"]["ntp"], facts["unigram"]["middle"]], expected["unigram"], rtol=1e-12)


def test_the_run_is_self_contained(trained):
    from aixmeg.config import load_config

    root, _ = trained
    run = root / "run"
    assert load_config(run / "config.yaml").model.hidden_size == 64
    assert (run / "tokenizer/tokenizer.model").read_bytes() == (root / "tokenizer/tokenizer.model").read_bytes()
    facts = json.loads((run / "run.json").read_text())
    assert facts["ranks"] == 1
    # embedding and output, then per layer: norms, attention with 4 heads and its groups, gate, up and down, last norm
    model = load_config(run / "config.yaml").model
    kv = model.num_query_groups * 64 // model.num_attention_heads
    layer = 2 * 64 + 64 * (64 + 2 * kv) + 64 * 64 + 3 * 64 * model.ffn_hidden_size
    assert facts["parameters"] == 2 * 64 * model.vocab_size + model.num_layers * layer + 64
    assert set(facts["versions"]) >= {"aixmeg", "torch", "megatron-core"}
    manifest = json.loads((run / "checkpoints/step-00000010/aixmeg.json").read_text())
    assert (manifest["step"], manifest["consumed_samples"]) == (10, 40)
    record = json.loads((run / "metrics.jsonl").read_text().splitlines()[1])
    assert record["tokens"] == 2 * 4 * 64
