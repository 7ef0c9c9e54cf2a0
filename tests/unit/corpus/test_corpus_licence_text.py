"""Licence texts and notices → SPDX ids. The texts are the machine's own: Debian's, and those of installed packages."""

import importlib.metadata
import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aixmeg.corpus.licence.comment import leading_comment
from aixmeg.corpus.licence.evidence import _told_apart, own_licence, text_licence
from aixmeg.corpus.licence.expression import NoExpressionError, judge, parse
from aixmeg.corpus.licence.notices import notice, words_of
from aixmeg.corpus.licence.table import CLASS_OF, CLASSES, spdx_id
from aixmeg.corpus.licence.texts import matches, word_grams

COMMON = Path("/usr/share/common-licenses")
COMMON_IDS = {
    "Apache-2.0": "Apache-2.0", "Artistic": "Artistic-1.0-Perl", "BSD": "BSD-3-Clause", "CC0-1.0": "CC0-1.0",
    "GFDL-1.3": "GFDL-1.3-only", "GPL-1": "GPL-1.0-only", "GPL-2": "GPL-2.0-only", "GPL-3": "GPL-3.0-only",
    "LGPL-2": "LGPL-2.0-only", "LGPL-2.1": "LGPL-2.1-only", "LGPL-3": "LGPL-3.0-only", "MPL-1.1": "MPL-1.1",
    "MPL-2.0": "MPL-2.0",
}  # fmt: skip


@pytest.mark.skipif(not COMMON.is_dir(), reason="Debian's common licences are not on this machine")
def test_the_systems_licence_texts():
    found = {name: str(text_licence((COMMON / name).read_bytes())) for name in COMMON_IDS if (COMMON / name).exists()}
    assert found == {name: COMMON_IDS[name] for name in found} and len(found) > 5


@pytest.mark.skipif(not COMMON.is_dir(), reason="Debian's common licences are not on this machine")
def test_a_text_reflowed_commented_and_without_its_title():
    text = (COMMON / "GPL-2").read_bytes().split()[12:]
    lines = [b" * " + b" ".join(text[at : at + 7]) for at in range(0, len(text), 7)]
    assert str(text_licence(b"\r\n".join(lines))) == "GPL-2.0-only"
    assert [one.id for one in matches(b" ".join(text[: len(text) // 3]))] == []


@pytest.mark.skipif(not COMMON.is_dir(), reason="Debian's common licences are not on this machine")
def test_two_texts_in_one_file():
    both = (COMMON / "MPL-2.0").read_bytes() + (COMMON / "BSD").read_bytes()
    assert str(text_licence(both)) == "MPL-2.0 AND BSD-3-Clause"


def wheels():
    """(declared id, licence file) of the installed packages that declare one id and bring one licence file."""
    for package in importlib.metadata.distributions():
        declared = package.metadata.get("License-Expression", "")
        files = [one for one in package.files or () if re.fullmatch(r"(?i)(licen[cs]e|copying)(\.\w+)?", one.name)]
        if spdx_id(declared) == declared and len(files) == 1:
            yield declared, package.locate_file(files[0])


def test_what_installed_packages_declare_is_in_their_licence_files():
    right, wrong = 0, []
    for declared, path in wheels():
        found = str(text_licence(Path(str(path)).read_bytes()))
        # A file may hold the licences of bundled code, too; the declared one must be among them.
        if declared in found.split(" AND "):
            right += 1
        else:
            wrong.append((declared, found, str(path)))
    assert right >= 15
    assert len(wrong) <= right // 10, wrong


def bsd(clauses):
    parts = ["Redistribution and use in source and binary forms, with or without modification, are permitted",
             "Redistributions in binary form must reproduce the above copyright notice"]  # fmt: skip
    if clauses >= 3:
        parts.append("Neither the name of the Foo nor the names of its contributors may be used to endorse or promote")
    if clauses == 4:
        parts.append("All advertising materials mentioning features or use of this software")
    return ". ".join(parts)


GPL = "under the terms of the GNU General Public License as published by the Free Software Foundation"
NOTICES = [
    ("Licensed under the Apache License, Version 2.0 (the License)", "Apache-2.0"),
    (f"{GPL}; either version 2 of the License, or (at your option) any later version.", "GPL-2.0-or-later"),
    (f"{GPL}, version 3.", "GPL-3.0-only"),
    ("licensed under the GPLv3+", "GPL-3.0-or-later"),
    ("under the terms of the GNU Lesser General Public License version 2.1", "LGPL-2.1-only"),
    ("it under the terms of the GNU Affero General Public License version 3", "AGPL-3.0-only"),
    (f"{GPL}, version 2. As a special exception, linking this library statically or dynamically",
     "GPL-2.0-only WITH Classpath-exception-2.0"),
    ("Use of this source code is governed by a BSD-style license that can be found in LICENSE", "LicenseRef-BSD"),
    (bsd(2), "BSD-2-Clause"), (bsd(3), "BSD-3-Clause"), (bsd(4), "BSD-4-Clause"),
    (f"{bsd(3)}. ALTERNATIVELY, this product may be distributed {GPL}", "GPL-1.0-or-later OR BSD-3-Clause"),
    ("This project is dual licensed under the Eclipse Public License 2.0 and the Eclipse Distribution License 1.0",
     "EPL-2.0 OR BSD-3-Clause"),
    ("This library is free software; you may use it under the same terms as Perl itself",
     "Artistic-1.0-Perl OR GPL-1.0-or-later"),
    ("Released under the MIT license.", "MIT"),
    ("This Source Code Form is subject to the terms of the Mozilla Public License, v. 2.0.", "MPL-2.0"),
    ("This file is placed in the public domain.", "LicenseRef-Public-Domain"),
    ("Proprietary and confidential. Do not copy.", "LicenseRef-Proprietary"),
    ("Creative Commons Attribution-NonCommercial-ShareAlike 4.0", "CC-BY-NC-SA-4.0"),
    ("Business Source License 1.1", "BUSL-1.1"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), NOTICES)
def test_notices(text, expected):
    found = str(notice(words_of(text.encode())))
    assert set(found.split()) == set(expected.split())


@pytest.mark.parametrize(
    "text",
    ["Copyright (c) 2020 Foo. All rights reserved.", "Unlike the GNU General Public License it is short",
     "permission to limit commits", "checks the licenses of packages", "see the LICENSE file"],
)  # fmt: skip
def test_what_grants_nothing(text):
    assert notice(words_of(text.encode())) is None


def test_notices_count_only_in_the_first_comment():
    code = b"import os\n" * 10
    assert own_licence(b"#!/bin/sh\n# Released under the MIT license\n" + code) is not None
    assert own_licence(code + b"# Released under the MIT license\n") is None
    assert own_licence(b"TEXT = 'Released under the MIT license'\n") is None
    assert own_licence(b'x = "SPDX-License-Identifier: MIT"\n') is None


@pytest.mark.parametrize(
    "text",
    [b"/* one\n two */", b"<!--\none\n two -->", b'"""one\ntwo"""', b"# one\n# two", b"-- one\n-- two",
     b"(* one\ntwo *)", b"package x;\n\n// one\n// two"],
)  # fmt: skip
def test_leading_comment(text):
    after = b"\n" + b"code();\n" * 9
    assert leading_comment(text + after + b"// three").count(b"o") == text.count(b"o")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("MIT", "MIT"), ("mit OR apache-2.0", "MIT OR Apache-2.0"), ("MIT/Apache-2.0", "MIT OR Apache-2.0"),
     ("(GPL-2.0+ WITH Classpath-exception-2.0) AND BSD-3-Clause",
      "GPL-2.0-or-later WITH Classpath-exception-2.0 AND BSD-3-Clause"),
     ("MIT AND (ISC OR GPL-2.0)", "MIT AND (ISC OR GPL-2.0-only)"), ("Foo-1.0", "Foo-1.0")],
)  # fmt: skip
def test_expressions(text, expected):
    assert str(parse(text)) == expected
    assert parse(str(parse(text))) == parse(text)


@pytest.mark.parametrize("text", ["", "MIT OR", "(MIT", "AND MIT", "MIT WITH", "MIT)", "(" * 5000 + "MIT"])
def test_no_expressions(text):
    with pytest.raises(NoExpressionError):
        parse(text)


def test_or_needs_one_and_needs_all():
    allowed = {"MIT": True, "GPL-3.0-only": False, "MPL-2.0": False}
    verdicts = {
        f"{a} {operator} {b}": judge(parse(f"{a} {operator} {b}"), lambda one: allowed[one.id])
        for a, b in itertools.permutations(allowed, 2) for operator in ("AND", "OR")
    }  # fmt: skip
    assert verdicts["MIT OR GPL-3.0-only"] == verdicts["GPL-3.0-only OR MIT"] == (True, "permissive")
    assert verdicts["MIT AND GPL-3.0-only"] == (False, "copyleft")
    assert verdicts["MPL-2.0 AND GPL-3.0-only"] == (False, "copyleft")
    assert verdicts["GPL-3.0-only OR MPL-2.0"] == (False, "weak_copyleft")


def test_a_policy_may_keep_the_stricter_ones_only():
    def copyleft(one):
        return one.kind in ("copyleft", "weak_copyleft")

    assert judge(parse("MIT OR MPL-2.0"), copyleft) == (True, "weak_copyleft")
    assert judge(parse("GPL-3.0-only AND MIT"), copyleft) == (False, "permissive")
    assert judge(parse("GPL-2.0-only WITH Classpath-exception-2.0"), copyleft) == (True, "weak_copyleft")
    assert judge(parse("GPL-2.0-only WITH Other-exception"), copyleft) == (True, "copyleft")


def test_texts_that_are_told_apart_by_their_words():
    keeping = "provided that the above copyright notice and this permission notice appear in all copies"
    assert [_told_apart(one, keeping, alone=True) for one in ("ISC", "0BSD", "MIT-0")] == ["ISC", "ISC", "MIT"]
    assert [_told_apart(one, "", alone=True) for one in ("ISC", "MIT", "NCSA")] == ["0BSD", "MIT-0", "NCSA"]
    assert _told_apart("NCSA", "", alone=False) == "" and _told_apart("Zlib", "", alone=True) == "Zlib"


def test_the_table():
    assert set(CLASS_OF.values()) == set(CLASSES) - {"unknown"}
    assert all(spdx_id(one) == one for one in CLASS_OF)
    assert [spdx_id(one) for one in ("GPLv2+", "apache 2", "The MIT License", "EUPL-1.2+", "nonsense")] == [
        "GPL-2.0-or-later", "Apache-2.0", "MIT", "EUPL-1.2", None]  # fmt: skip


@given(st.binary(max_size=400))
def test_any_bytes(content):
    own_licence(b"# license " + content)
    text_licence(content)
    words = re.findall(rb"[a-z0-9]+", content.lower())
    assert len(word_grams(content)) == max(0, len(words) - 3)


def test_word_grams_ignore_everything_but_words():
    assert (word_grams(b"One two, THREE four five") == word_grams(b"# one\n# two three\r\n#four: five.")).all()
    assert len(set(word_grams(b"a b c d a b c e").tolist())) == 5
