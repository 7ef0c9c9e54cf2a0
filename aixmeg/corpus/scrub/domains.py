"""Which internet domains exist, and which stand in examples."""

from __future__ import annotations

import re
from typing import Final

_COUNTRIES: Final = (
    "ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo br bs bt bv bw by bz ca cc "
    "cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg er es et eu fi fj fk fm fo fr ga gb "
    "gd ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke "
    "kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me mg mh mk ml mm mn mo mp mq mr ms mt mu "
    "mv mw mx my mz na nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw "
    "sa sb sc sd se sg sh si sj sk sl sm sn so sr ss st su sv sx sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tw tz "
    "ua ug uk us uy uz va vc ve vg vi vn vu wf ws ye yt za zm zw"
)
_GENERIC: Final = (
    "com org net edu gov mil int info biz name pro aero coop museum jobs mobi travel tel cat asia xxx arpa app blog "
    "cafe cloud codes community company consulting design dev digital education email engineer engineering expert fyi "
    "games gmbh group guru help host hosting house international land lgbt life link live ltd media network news ngo "
    "ninja one online page party plus press religious rocks science services site software solutions space store "
    "studio support systems team tech technology tips today tools tube university video website wiki work works world "
    "wtf xyz zone berlin london nyc paris tokyo swiss google microsoft amazon apple ibm club shop top vip"
)
_TOP_LEVEL: Final = frozenset((_COUNTRIES + " " + _GENERIC).encode().split())
_RESERVED: Final = re.compile(
    rb"(?:^|\.)(?:example(?:\.[a-z]{2,3}|\.co\.[a-z]{2})?|[\w.\-]+\.(?:test|invalid|localhost|example|local))$"
)
"""RFC 2606 and 6761: example.com, *.test …"""
_FICTION: Final = re.compile(
    rb"(?:^|\.)(?:your|my|some|any|fake|dummy|test|sample|example|foo|bar|baz|qux|foobar|acme|abc|xyz|xxx|domain|email|"
    rb"company|host|hostname|server|site|website|somewhere|elsewhere|nowhere|blah|bogus|widgets?|[a-z])"
    rb"[\d\-]{0,3}(?:domain|host|company|site|server|mail|email|corp|place|name|org|where|example|test)?"
    rb"(?:\.[a-z]{2,4}){1,2}$"
)
_FICTION_WITH_ROLE: Final = re.compile(
    rb"(?:^|\.)(?:mail|gmail|hotmail|yahoo|aol|outlook|python|google|github|example\w+)(?:\.[a-z]{2,4}){1,2}$"
)
_PLACEHOLDER_LOCAL: Final = re.compile(
    rb"(?i)(?:foo|bar|baz|user|username|name|me|you|your|yourname|your[._\-]?(?:name|email)|test|tester|testuser|someone|"
    rb"somebody|nobody|anyone|email|mail|address|my[._\-]?(?:name|email)|john|jane|(?:john|jane)[._\-]?(?:doe|smith)|joe|"
    rb"bob|alice|a|b|x{1,20}|first[._]?last|firstname[._]lastname|example|foobar|jdoe|local)[\d]{0,3}"
)


def is_top_level(name: bytes) -> bool:
    """Whether `name`, in lower case, is a top-level domain under which people have addresses."""
    return name in _TOP_LEVEL


def is_example(domain: bytes, local: bytes) -> bool:
    """Whether local@domain, the domain in lower case, is nobody's: a reserved domain (RFC 2606), or one that
    documentation makes up."""
    if _RESERVED.search(domain) or _FICTION.search(domain) or not local.strip(b"xX"):
        return True
    return bool(_FICTION_WITH_ROLE.search(domain) and _PLACEHOLDER_LOCAL.fullmatch(local))
