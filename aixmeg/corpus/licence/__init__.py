"""Licences: what each file says, and what is decided for repositories and single files.

evidence = file_evidence(path, content, raw.extra)        # scan: None, or a few strings for the file's record
found = RepositoryLicences(); found.add(path, evidence)   # per repository
found.decide(path, evidence, Policy(config.licence))      # decide: kept, or dropped with a reason
"""

from aixmeg.corpus.licence.evidence import Evidence, file_evidence
from aixmeg.corpus.licence.files import speaks_for_folder
from aixmeg.corpus.licence.report import LicenceReport
from aixmeg.corpus.licence.repository import Decision, Policy, RepositoryLicences

__all__ = [
    "Decision",
    "Evidence",
    "LicenceReport",
    "Policy",
    "RepositoryLicences",
    "file_evidence",
    "speaks_for_folder",
]
