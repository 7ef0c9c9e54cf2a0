"""What must not be written into a run directory: keys and tokens in the environment and in the code's changes.

A variable is masked when its name says that it holds a secret (`SECRET_NAME`), or when its value has the form of one:
a token of a service, a private key, credentials in a URL. In text, the corpus's scrubber replaces such places; it knows
placeholders and spares them, which for a variable is not worth the risk.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from aixmeg.config.corpus.scrub import ScrubConfig
from aixmeg.corpus.scrub.step import Scrubber
from aixmeg.corpus.scrub.tokens import FORMS

MASK = "<masked>"
SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE|WEBHOOK|COOKIE|BEARER|SIGNATURE|NETRC"
    r"|(?:^|_)(?:KEY|KEYS|AUTH|PWD|PAT|DSN|SAS)$|^SSH_AUTH_SOCK$|^KRB5",
    re.IGNORECASE,
)
"""Names of variables that are never written out. PWD itself is the working directory, which is no secret."""
_SECRET_VALUE = re.compile(
    "|".join(rf"(?:{form})" for forms in FORMS.values() for form in forms)
    + r"|://[^/\s:@]*:[^/\s@]+@|PRIVATE KEY|^(?:Basic|Bearer) "
)
_KINDS = ("private_key", "url_credentials", "token", "password")
_HARMLESS = ("PWD", "OLDPWD")


def is_secret(name: str, value: str) -> bool:
    """Whether a variable must not be written out."""
    if name not in _HARMLESS and SECRET_NAME.search(name):
        return True
    return _SECRET_VALUE.search(value) is not None


def masked_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables by name, values of secrets masked."""
    return {name: MASK if is_secret(name, value) else value for name, value in sorted(variables.items())}


def masked_text(text: bytes) -> bytes:
    """The text with secrets replaced by placeholders that are none."""
    return Scrubber(ScrubConfig(kinds=_KINDS)).scrub(text, "")[0]
