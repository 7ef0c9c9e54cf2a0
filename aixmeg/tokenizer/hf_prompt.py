"""Infilling prompts for this folder's tokenizer, in the form that the model was trained on. Needs transformers alone.

    import aixmeg_prompt                                    # this file, from the model's folder
    ids = aixmeg_prompt.psm(tokenizer, prefix=before_the_cursor, suffix=after_it)
    output = model.generate(torch.tensor([ids]), max_new_tokens=64)
    middle = tokenizer.decode(output[0, len(ids):], skip_special_tokens=True)

`header` is the comment lines that name path and language, such as "# the file path is: a/b.py\n# the code file is
written by Python\n"; empty is allowed. Each part is encoded as plain text, without a blank in front, and the special
pieces are put in by id: text that spells one stays text. Generation ends at `</s>`.
"""

from typing import Any

PREFIX, SUFFIX, MIDDLE = "\u2581<AIX-SPAN-PRE>", "\u2581<AIX-SPAN-POST>", "\u2581<AIX-SPAN-MIDDLE>"


def psm(tokenizer: Any, *, prefix: str, suffix: str, header: str = "") -> list[int]:
    """Prefix, then suffix; the model continues with the middle."""
    pre, post, mid = tokenizer.convert_tokens_to_ids([PREFIX, SUFFIX, MIDDLE])
    before = [tokenizer.bos_token_id, pre, *plain(tokenizer, header), *plain(tokenizer, prefix)]
    return [*before, post, *plain(tokenizer, suffix), mid]


def spm(tokenizer: Any, *, prefix: str, suffix: str, header: str = "") -> list[int]:
    """Suffix, then prefix; the model continues the prefix with the middle."""
    pre, post, mid = tokenizer.convert_tokens_to_ids([PREFIX, SUFFIX, MIDDLE])
    return [
        tokenizer.bos_token_id, pre, post, *plain(tokenizer, suffix), mid,
        *plain(tokenizer, header), *plain(tokenizer, prefix),
    ]  # fmt: skip


def plain(tokenizer: Any, text: str) -> list[int]:
    """Ids of a text that stands for nothing but itself."""
    return list(tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])
