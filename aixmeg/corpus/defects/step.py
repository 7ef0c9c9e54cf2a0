"""The step: rules on the tree, ruff for Python, and what becomes of a file with hits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from aixmeg.config.corpus import DefectsConfig
from aixmeg.corpus.defects import ruff
from aixmeg.corpus.defects.find import Finder
from aixmeg.corpus.defects.rule import FAMILIES
from aixmeg.corpus.defects.rules import RULES
from aixmeg.corpus.document import Document
from aixmeg.corpus.reasons import Dropped
from aixmeg.errors import UserError


class DefectsStep:
    """Names the defects of a file in its record, and drops it where the policy says so."""

    def __init__(self, config: DefectsConfig) -> None:
        self._config = config
        self._sure = {rule.id: rule.kind for rule in RULES if rule.sure}
        self._sure |= {code: "bug" if ruff.is_bug(code) else "vulnerability" for code in ruff.SURE}
        self._find = Finder([rule for rule in RULES if rule.id not in config.without])
        self._prepared: dict[int, dict[str, int] | None] = {}
        known = {rule.id for rule in RULES}
        if unknown := [name for name in config.without if name not in known and not name[:1].isupper()]:
            raise UserError(f"corpus.defects.without names {', '.join(unknown)}; docs/defect_rules.md lists the rules")

    def prepare(self, documents: Sequence[Document]) -> None:
        """Run ruff once over the Python files among documents that are about to be given to this step."""
        self._prepared.clear()
        if self._config.ruff:
            chosen = [one for one in documents if one.language == "python"]
            for one, hits in zip(chosen, ruff.check_files([one.content for one in chosen]), strict=True):
                self._prepared[id(one)] = hits

    def __call__(self, document: Document) -> None:
        """Tag the document, or raise Dropped("defect_bug") or Dropped("defect_vulnerability")."""
        if document.language not in FAMILIES:
            return
        hits = Counter(hit.rule.id for hit in self._find(document.tree()))
        if document.language == "python" and self._config.ruff:
            prepared = id(document) in self._prepared
            found = self._prepared[id(document)] if prepared else ruff.check_files([document.content])[0]
            if found is None:
                document.counts["defects.ruff_crashed"] += 1
                found = {}
            hits.update({code: number for code, number in found.items() if code not in self._config.without})
        if not hits:
            return
        document.tags["defects"] = dict(sorted(hits.items()))
        for rule, number in hits.items():
            document.counts[f"defects.{rule}"] += number
        limit = self._config.max_per_kilobyte * len(document.content) / 1000
        for kind, policy in (("bug", self._config.bugs), ("vulnerability", self._config.vulnerabilities)):
            number = sum(count for rule, count in hits.items() if self._sure.get(rule) == kind)
            if policy == "drop" and number > limit:
                raise Dropped(f"defect_{kind}")


def make_step(config: DefectsConfig) -> DefectsStep:
    """The step of one worker."""
    return DefectsStep(config)
