"""Tokens of services, known by their form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from aixmeg.corpus.scrub.rule import Finding, Source, entropy, is_dummy, matches, sequence

_W = r"[A-Za-z0-9_\-]"
_A = "[A-Za-z0-9]"
_H = "[0-9a-f]"
FORMS: Final = {
    "GitHub": (rf"gh[pousr]_({_A}{{36,251}})", r"github_pat_([A-Za-z0-9_]{82})"),
    "GitLab": (rf"gl(?:pat|dt|rt|ptt|cbt|ft|soat|imt|agent)-({_W}{{20,64}})", rf"GR1348941({_W}{{20,64}})"),
    "AWS": (r"(?:AKIA|ASIA|ABIA|ACCA|AROA|AIDA|AGPA|AIPA|ANPA)([A-Z2-7]{16})",),
    "Google": (rf"AIza({_W}{{35}})", rf"ya29\.({_W}{{30,256}})", rf"GOCSPX-({_W}{{28}})"),
    "Slack": (
        rf"xox[abeoprs](?:\.xox[bp])?-({_A}{_W}{{20,250}})",
        rf"xapp-({_A}{_W}{{40,200}})",
        rf"hooks\.slack\.com/(?:services|workflows)/(T{_A}{{7,12}}/[AB]{_A}{{7,12}}/{_A}{{16,32}})",
    ),
    "Stripe": (rf"[srp]k_(?:live|test)_({_A}{{16,247}})", r"whsec_([A-Za-z0-9+/=]{32,64})"),
    "npm": (rf"npm_({_A}{{36}})", rf":_(?:authToken|auth|password)=({_W}{{20,64}}={{0,2}})"),
    "PyPI": (rf"pypi-AgE({_W}{{50,250}})",),
    "Hugging Face": (r"hf_([A-Za-z]{34})",),
    "OpenAI, Anthropic": (rf"sk-(?:proj-|svcacct-|admin-|ant-(?:api|admin)\d\d-|or-v1-)?({_W}{{20,200}})",),
    "JWT": (rf"eyJ({_W}{{8,2048}}\.eyJ{_W}{{8,8192}}(?:\.{_W}{{0,1024}})?)",),
    "Azure": (
        r"(?:AccountKey|SharedAccessKey)=([A-Za-z0-9+/]{40,88}={0,2})",
        rf"[?&]sig=({_A}[A-Za-z0-9%+/]{{40,70}})",
    ),
    "Twilio": (rf"(?:SK|AC)({_H}{{32}})",),
    "SendGrid": (rf"SG\.({_W}{{22}}\.{_W}{{43}})",),
    "Telegram": (rf"(?:bot)?(\d{{8,10}}:AA{_W}{{33}})",),
    "Mailgun, Mailchimp": (rf"key-({_H}{{32}})", rf"({_H}{{32}}-us\d{{1,2}})"),
    "Discord": (
        rf"([MNO]{_A}{{23,25}}\.{_W}{{6}}\.{_W}{{27,38}})",
        rf"discord(?:app)?\.com/api/webhooks/(\d{{17,20}}/{_W}{{60,72}})",
    ),
    "Square, Shopify": (rf"sq0(?:atp|csp)-({_W}{{22,43}})", rf"shp(?:at|ca|pa|ss)_({_H}{{32}})"),
    "DigitalOcean, Databricks": (rf"do[opr]_v1_({_H}{{64}})", rf"dapi({_H}{{32}})"),
    "Docker, Vault, Terraform": (
        rf"dckr_[po]at_({_W}{{27,32}})",
        rf"hv[sbr]\.({_W}{{24,200}})",
        rf"({_A}{{14}}\.atlasv1\.{_W}{{60,70}})",
    ),
    "Atlassian, Linear, Notion, Postman": (
        rf"ATATT3({_W}{{100,200}}={_A}{{8}})",
        rf"lin_api_({_A}{{40}})",
        rf"(?:ntn|secret)_({_A}{{43,46}})",
        rf"PMAK-({_H}{{24}}-{_H}{{34}})",
    ),
    "Grafana, New Relic, Sentry": (
        r"gl(?:c|sa)_([A-Za-z0-9+/_]{32,200})",
        r"NRAK-([A-Z0-9]{27})",
        r"sntr[yu]s?_([A-Za-z0-9+/=_]{40,200})",
    ),
    "crates.io, RubyGems, age": (rf"cio({_A}{{32}})", rf"rubygems_({_H}{{48}})", r"AGE-SECRET-KEY-1([A-Z0-9]{58})"),
    "Groq, Replicate, Perplexity": (rf"gsk_({_A}{{52}})", rf"r8_({_A}{{37,40}})", rf"pplx-({_A}{{48,56}})"),
    "Facebook, Twitter": (r"EAACEdEose0cBA([A-Za-z0-9]{20,250})", r"AAAAAAAAAAAAAAAAAAAAA([A-Za-z0-9%]{40,120})"),
}
"""Service → patterns; the group is the secret part, what stands before it names the service and is kept."""
_ANY: Final = "|".join(form for forms in FORMS.values() for form in forms)
_TOKEN: Final = re.compile(rf"(?<![A-Za-z0-9_\-+])(?:{_ANY})(?![A-Za-z0-9_\-@])".encode())
_HEADER: Final = re.compile(
    rb"(?i)authorization[\"'`]?\s{0,3}[:=,]\s{0,3}(?:f?[\"'`])?(basic|bearer|token)\s+([A-Za-z0-9+/_\-.~]{16,1024}={0,2})"
)


class TokenRule:
    """Tokens by prefix and alphabet, confirmed by their entropy; Authorization headers."""

    kind = "token"
    triggers = (
        rb"gh[pousr]_[A-Za-z0-9]{30}",
        rb"github_pat_[A-Za-z0-9_]{30}",
        rb"(gl[a-z]{1,5}-|GR1348941)[A-Za-z0-9_\-]{20}",
        rb"A(KIA|SIA|BIA|CCA|ROA|IDA|GPA|IPA|NPA)[A-Z2-7]{16}",
        rb"(AIza|ya29\.|GOCSPX-)[A-Za-z0-9_\-]{28}",
        rb"(xox[a-z](\.xox[bp])?-|xapp-)[A-Za-z0-9_\-]{20}|hooks\.slack\.com/(services|workflows)/T",
        rb"[srp]k_(live|test)_[A-Za-z0-9]{16}|whsec_[A-Za-z0-9+/=]{32}",
        rb"(npm_|pypi-AgE|hf_|r8_|gsk_|pplx-|cio|rubygems_|secret_|ntn_|lin_api_)[A-Za-z0-9_\-]{30}",
        rb"sk-[A-Za-z0-9_\-]{20}|:_(authToken|auth|password)=[A-Za-z0-9_\-]{20}",
        rb"\.eyJ[A-Za-z0-9_\-]{8}",
        rb"(AccountKey|SharedAccessKey|[?&]sig)=[A-Za-z0-9%+/]{40}",
        rb"(SK|AC|key-|dapi|shp(at|ca|pa|ss)_|do[opr]_v1_|PMAK-)[0-9a-f]{24}|[0-9a-f]{32}-us[0-9]",
        rb"SG\.[A-Za-z0-9_\-]{22}\.|[0-9]{8,10}:AA[A-Za-z0-9_\-]{33}",
        rb"[MNO][A-Za-z0-9]{23,25}\.[A-Za-z0-9_\-]{6}\.[A-Za-z0-9_\-]{27}|discord(app)?\.com/api/webhooks/[0-9]",
        rb"(sq0(atp|csp)-|dckr_[po]at_|hv[sbr]\.)[A-Za-z0-9_\-]{22}|\.atlasv1\.|ATATT3[A-Za-z0-9_\-]{40}",
        rb"(glc_|glsa_|NRAK-|sntrys_|sntryu_|AGE-SECRET-KEY-1)[A-Za-z0-9+/_=]{27}|EAACEdEose0cBA|A{21}[A-Za-z0-9%]{40}",
        rb"(?i)authorization[\"'`]?[ \t]{0,3}[:=,][ \t]{0,3}f?[\"'`]?(basic|bearer|token)[ \t]",
    )

    def find(self, source: Source, start: int, end: int) -> Iterator[Finding]:
        """Tokens in the line; the span leaves out the prefix that names the service."""
        for match in matches(_TOKEN, source, start, end):
            group = match.lastindex or 0
            if _is_secret(match[group]):
                yield Finding(*match.span(group), self.kind, "token")
        for match in matches(_HEADER, source, start, end):
            known = match[1].lower() == b"basic" and match[2].startswith(
                (b"QWxhZGRpbj", b"dXNlcjp", b"Zm9vOm", b"dGVzdDp")
            )
            if not known and _is_secret(match[2]):
                yield Finding(*match.span(2), self.kind, "token")


def _is_secret(value: bytes) -> bool:
    """Whether the part behind the prefix is drawn at random, and not xxxx, 1234…, or words."""
    if len(set(value)) < 8 or sequence(value) or entropy(value) < 2.8:
        return False
    dummy = is_dummy(value) if len(value) < 24 else any(word in value.lower() for word in _DUMMIES)
    digits = any(48 <= byte < 58 for byte in value)
    capitals = any(65 <= byte < 91 for byte in value)
    return not dummy and (digits or (capitals and not value.isupper()))


_DUMMIES: Final = (b"example", b"xxxx", b"0000000", b"123456789", b"your", b"redacted", b"placeholder", b"abcdefgh")
