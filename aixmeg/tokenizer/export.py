"""The same tokenizer for Hugging Face: files that `AutoTokenizer` loads without our code and without SentencePiece.

Two choices make its ids those of `CodeTokenizer` for every text:

- Blanks are blanks in the exported vocabulary, not U+2581. SentencePiece's own spelling needs a normaliser that maps
  one to the other, and then U+2581 in source decodes to a blank. Only the special pieces keep U+2581 in their name.
- `split_special_tokens` is true: added tokens match raw text otherwise, and `"<s>"` in source would become BOS. Special
  pieces are looked up by `convert_tokens_to_ids`; a caller with a trusted prompt passes `split_special_tokens=False`.

No template is exported: `<s>` is part of a training example and of a prompt, so it is never added by itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aixmeg.errors import UserError
from aixmeg.files import write_json
from aixmeg.tokenizer.code_tokenizer import CodeTokenizer
from aixmeg.tokenizer.pieces import BOS, EOS, SPECIAL_PIECES, UNK, WORD_BOUNDARY

NO_LIMIT = int(1e30)
"""What transformers writes for a tokenizer without a longest input; the model's own limit is in config.json."""


def export_hf(model_file: Path, out_folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and special_tokens_map.json for the SentencePiece BPE `model_file`.

    Raises:
        UserError: not one of our tokenizers (see `CodeTokenizer`), or not BPE.
    """
    tokenizer = CodeTokenizer(model_file)
    names = {"unk_token": UNK, "bos_token": BOS, "eos_token": EOS, "pad_token": EOS}
    extra = list(SPECIAL_PIECES.values())
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **names,
        "additional_special_tokens": extra,
        "added_tokens_decoder": {str(entry.pop("id")): entry for entry in _added_tokens(tokenizer)},
        "split_special_tokens": True,
        "add_bos_token": False,
        "add_eos_token": False,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": NO_LIMIT,
        "padding_side": "right",
    }
    write_json(out_folder / "tokenizer.json", tokenizer_json(tokenizer))
    write_json(out_folder / "tokenizer_config.json", config)
    write_json(out_folder / "special_tokens_map.json", {**names, "additional_special_tokens": extra})


def tokenizer_json(tokenizer: CodeTokenizer) -> dict[str, Any]:
    """The file that the `tokenizers` library reads: BPE with byte fallback over the text as it is."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added_tokens(tokenizer),
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": UNK,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {_hf_name(tokenizer, token): token for token in range(tokenizer.vocab_size)},
            "merges": merges(tokenizer),
        },
    }


def merges(tokenizer: CodeTokenizer) -> list[tuple[str, str]]:
    """Every pair of text pieces that joins to a text piece, best first.

    SentencePiece joins the neighbours whose result has the highest score, leftmost first. Several pairs may give one
    piece, and must rank differently here; they stay next to each other, so that only two overlapping pairs of one piece
    (`-`, `--`, `-`) could tell, and leftmost-first merging does not leave such neighbours.
    """
    scores = {
        tokenizer.piece(token).replace(WORD_BOUNDARY, " "): tokenizer.score(token)
        for token in range(tokenizer.vocab_size)
        if tokenizer.is_text(token)
    }
    ranked = []
    for piece, score in scores.items():
        if not score.is_integer():
            raise UserError(
                f"{tokenizer.model_file}: piece {piece!r} has score {score:g}, so this is no BPE model; only BPE "
                "has a Hugging Face form with equal ids; train one with `aixmeg tokenizer train`"
            )
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in scores and right in scores:
                ranked.append((-score, cut, left, right))
    return [(left, right) for _, _, left, right in sorted(ranked)]


def _hf_name(tokenizer: CodeTokenizer, token: int) -> str:
    """Name in the exported vocabulary: text pieces as the text they stand for, the rest unchanged."""
    piece = tokenizer.piece(token)
    return piece.replace(WORD_BOUNDARY, " ") if tokenizer.is_text(token) else piece


def _added_tokens(tokenizer: CodeTokenizer) -> list[dict[str, Any]]:
    """The control pieces; every id as SentencePiece gave it."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return [
        {"id": token, "content": tokenizer.piece(token), **flags}
        for token in range(tokenizer.vocab_size)
        if tokenizer.is_control(token)
    ]
