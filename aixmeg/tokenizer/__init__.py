"""Tokenizer: SentencePiece BPE over code with aiXcoder's special pieces, and its Hugging Face form."""

from aixmeg.tokenizer.code_tokenizer import CodeTokenizer
from aixmeg.tokenizer.pieces import SPECIAL_PIECES, SpecialIds

__all__ = ["SPECIAL_PIECES", "CodeTokenizer", "SpecialIds"]
