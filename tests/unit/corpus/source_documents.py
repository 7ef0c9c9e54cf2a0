"""Reads sources, and checks what must hold of every reading."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

from aixmeg.config.corpus import CorpusConfig, SourcesConfig
from aixmeg.corpus.reasons import REASONS
from aixmeg.corpus.sources import Input, RawDocument, Rules, open_inputs


def rules_and_inputs(*sources: Path, **settings: Any) -> tuple[Rules, list[Input]]:
    """With `min_file_bytes` 1; settings that are `SourcesConfig`'s go there."""
    also_read = settings.pop("also_read", None)
    output = settings.pop("output", Path("/nowhere/out"))
    reading = {name: settings.pop(name) for name in list(settings) if name in SourcesConfig.__dataclass_fields__}
    config = CorpusConfig(sources=sources, reading=SourcesConfig(**reading), **{"min_file_bytes": 1} | settings)
    return Rules.of(config, output, also_read=also_read), open_inputs(config, output)


def documents(*sources: Path, **settings: Any) -> tuple[list[RawDocument], Counter[str]]:
    """Every document, and the folders that were not entered."""
    rules, inputs = rules_and_inputs(*sources, **settings)
    found, skipped = [], Counter()
    for one in inputs:
        first = list(one.documents(rules, skipped=skipped))
        again = Input.from_json(json.loads(json.dumps(one.to_json(), ensure_ascii=False).encode()))
        assert again == one == pickle.loads(pickle.dumps(one))
        assert list(again.documents(rules)) == first
        indices = [document.index for document in first]
        assert indices == sorted(set(indices))
        odd = set(indices[1::2])
        assert list(one.documents(rules, wanted=odd)) == [document for document in first if document.index in odd]
        found += first
    for document in found:
        assert (document.reason is None) == (document.language is not None)
        assert document.reason is None or document.reason in REASONS
        assert document.content is None or document.size == len(document.content)
        document.path.encode()
    return found, skipped


def kept(found: list[RawDocument]) -> dict[str, bytes]:
    """repository/path → content."""
    return {f"{one.repository}/{one.path}": one.content for one in found if one.reason is None}


def dropped(found: list[RawDocument]) -> dict[str, list[str]]:
    """Reason → paths."""
    result: dict[str, list[str]] = {}
    for one in found:
        if one.reason is not None:
            result.setdefault(one.reason, []).append(one.path)
    return result
