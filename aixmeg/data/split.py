"""Which repositories are held out for validation."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from aixmeg.errors import UserError


def held_out(tokens: Mapping[str, int], *, share: float, seed: int) -> frozenset[str]:
    """Choose the held-out repositories by a hash of (seed, name), so that a new one moves no other.

    A repository is held out when its hash, uniform in [0, 1), is below `share`. In a small corpus that may give none
    or next to nothing: then the next ones in the order of the hash follow until they hold half of `share` of the
    tokens, passing over any that would leave less than half of all tokens for training.

    Args:
        tokens: tokens of each repository.
        share: of the repositories; 0 holds out none.
        seed: another seed chooses others.

    Raises:
        UserError: fewer than two repositories, so that one of the splits would be empty.
    """
    if share == 0:
        return frozenset()
    if len(tokens) < 2:
        raise UserError(
            f"the corpus has {len(tokens)} repository, and data.valid_share={share} holds out whole repositories; "
            "add sources to the corpus, or set data.valid_share to 0"
        )
    order = sorted(tokens, key=lambda name: (_uniform(seed, name), name))
    chosen = [name for name in order if _uniform(seed, name) < share]
    if len(chosen) == len(order):
        chosen.pop()
    total, held = sum(tokens.values()), sum(tokens[name] for name in chosen)
    for name in order[len(chosen) :]:
        if chosen and held >= share * total / 2:
            break
        if held + tokens[name] <= total / 2:
            chosen.append(name)
            held += tokens[name]
    # Two repositories of which one is almost everything: the small one is held out.
    return frozenset(chosen or [min(order, key=lambda name: (tokens[name], name))])


def _uniform(seed: int, name: str) -> float:
    digest = hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) * 2.0**-53
