"""Licence files and package metadata, and what follows for repositories and single files."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aixmeg.config.corpus import LicenceConfig
from aixmeg.corpus.licence import (
    Evidence,
    LicenceReport,
    Policy,
    RepositoryLicences,
    file_evidence,
    speaks_for_folder,
)
from aixmeg.corpus.licence.files import folder_of, is_licence_text, package_licence

TEXT = b"Released under the %s license.\n" + b"It is a text of more than sixteen words, as the tests need one. " * 2
MIT_TEXT = TEXT % b"MIT"
GPL_TEXT = b"You may use it under the terms of the GNU General Public License, version 3. " + b"And more words. " * 5
GPL_HEADER = b"# This is free software under the terms of the GNU General Public License, version 2.\nimport os\n"
CODE = b"import os\n"


@pytest.mark.parametrize(
    "path",
    ["LICENSE", "LICENCE.md", "COPYING", "COPYING.LESSER", "a/b/LICENSE.txt", "MIT-LICENSE.txt", "UNLICENSE",
     "LICENSE-APACHE", "licenses/foo.txt", "LICENSES/GPL-3.0-or-later.txt", "License.rst", "LICENSE.BSD", "GPL-3.0.txt",
     "copyright"],
)  # fmt: skip
def test_licence_files(path):
    assert is_licence_text(path) and speaks_for_folder(path)


@pytest.mark.parametrize(
    "path",
    ["license.py", "src/license.go", "LICENSE.json", "licenses/check.py", "LICENSE-3rdparty.txt",
     "THIRD-PARTY-LICENSES", "license_template.txt", "mit.c", "relicense.c", "docs/licensing.html"],
)  # fmt: skip
def test_other_files(path):
    assert not is_licence_text(path)


POM = "<project><licenses><license><name>The Apache Software License, Version 2.0</name></license></licenses></project>"


@pytest.mark.parametrize(
    ("path", "content", "expected"),
    [
        ("package.json", '{"license": "ISC"}', "ISC"),
        ("package.json", '{"license": "(MIT OR GPL-2.0)"}', "MIT OR GPL-2.0-only"),
        ("package.json", '{"license": "UNLICENSED"}', "LicenseRef-Proprietary"),
        ("package.json", '{"license": "SEE LICENSE IN foo"}', None),
        ("package.json", '{"licenses": [{"type": "MIT"}, {"type": "Apache-2.0"}]}', "MIT OR Apache-2.0"),
        ("package.json", '{"license": ', None),
        ("package.json", "[1]", None),
        ("Cargo.toml", '[package]\nlicense = "MIT/Apache-2.0"', "MIT OR Apache-2.0"),
        ("pyproject.toml", '[project]\nlicense = {text = "BSD 3-Clause License"}', "BSD-3-Clause"),
        ("pyproject.toml", '[project]\nclassifiers = ["License :: OSI Approved :: MIT License"]', "MIT"),
        ("pyproject.toml", '[tool.poetry]\nlicense = "GPL-3.0-or-later"', "GPL-3.0-or-later"),
        ("setup.py", "setup(name='x',\n  license='Apache 2.0',\n)", "Apache-2.0"),
        ("setup.cfg", "[metadata]\nlicense = MIT", "MIT"),
        ("x.dist-info/METADATA", "Name: x\nLicense-Expression: MIT AND ISC\n\nLicense: GPL", "MIT AND ISC"),
        ("PKG-INFO", "Name: x\nLicense: zlib\nClassifier: License :: OSI Approved :: BSD License\n", "LicenseRef-BSD"),
        ("pom.xml", POM, "Apache-2.0"),
        ("x.gemspec", 'Gem.new { |s|\n s.licenses = ["Ruby", "BSD-2-Clause"] }', "Ruby OR BSD-2-Clause"),
        ("DESCRIPTION", "Package: x\nLicense: GPL-2 | file LICENSE", "GPL-2.0-only"),
        ("composer.json", '{"license": "proprietary"}', "LicenseRef-Proprietary"),
    ],
)
def test_package_metadata(path, content, expected):
    found = package_licence(path, content.encode())
    assert (None if found is None else str(found)) == expected


def decided(files, path, config=None, metadata=None):
    """The decision about one file of a repository of the given files."""
    known, evidence = RepositoryLicences(), {}
    for name, content in files.items():
        evidence[name] = file_evidence(name, content, metadata)
        if evidence[name] is not None:
            known.add(name, evidence[name])
    again = RepositoryLicences.from_json(json.loads(json.dumps(known.to_json())))
    policy = Policy(config or LicenceConfig())
    assert again.decide(path, evidence[path], policy) == known.decide(path, evidence[path], policy)
    return known.decide(path, evidence[path], policy)


def test_a_copyleft_file_in_a_permissive_repository_is_dropped_alone():
    files = {"LICENSE": MIT_TEXT, "a.py": CODE, "b.py": GPL_HEADER, "c.py": b"# SPDX-License-Identifier: MPL-2.0\n"}
    assert decided(files, "a.py").kept
    second = decided(files, "b.py")
    assert (second.kept, second.reason, second.by) == (False, "licence_copyleft", "header")
    assert second.conflict == "GPL-2.0-only, but MIT"
    assert decided(files, "c.py").reason == "licence_weak_copyleft"


def test_the_nearest_folder_wins():
    files = {
        "COPYING": GPL_TEXT,
        "a.py": CODE,
        "vendor/x/LICENSE": MIT_TEXT,
        "vendor/x/deep/b.py": CODE,
        "vendor/c.py": CODE,
    }
    assert decided(files, "a.py").reason == "licence_copyleft"
    assert decided(files, "vendor/x/deep/b.py").kept
    assert decided(files, "vendor/c.py").reason == "licence_copyleft"


def test_without_any_licence():
    files = {"a.py": CODE}
    assert decided(files, "a.py").reason == "licence_unknown"
    assert decided(files, "a.py", LicenceConfig(unknown="keep")).kept


def test_a_text_that_nobody_knows_is_unknown():
    files = {
        "LICENSE": MIT_TEXT,
        "x/LICENSE": b"You must dance under the full moon before you use this work. " * 3,
        "x/a.py": CODE,
    }
    assert decided(files, "x/a.py").reason == "licence_unknown"


def test_the_declaration_says_how_texts_go_together():
    rust = {"LICENSE-MIT": MIT_TEXT, "LICENSE-GPL": GPL_TEXT, "a.rs": CODE}
    assert decided(rust, "a.rs").expression == "GPL-3.0-only OR MIT" and decided(rust, "a.rs").kept
    both = {"LICENSE": MIT_TEXT, "COPYING": GPL_TEXT, "a.rs": CODE}
    assert decided(both, "a.rs").reason == "licence_copyleft"
    declared = both | {"Cargo.toml": b'[package]\nlicense = "MIT OR GPL-3.0-only"'}
    assert decided(declared, "a.rs").kept
    hidden = both | {"package.json": b'{"license": "MIT"}'}
    assert (decided(hidden, "a.rs").reason, bool(decided(hidden, "a.rs").conflict)) == ("licence_copyleft", True)


def test_reuse_folder_does_not_speak_for_all():
    files = {"LICENSE": MIT_TEXT, "LICENSES/GPL-3.0.txt": GPL_TEXT, "a.c": CODE}
    assert decided(files, "a.c").expression == "MIT"


def test_what_the_source_says():
    files = {"a.py": CODE, "b.py": GPL_HEADER}
    assert decided(files, "a.py", metadata={"licences": ["MIT", "Apache-2.0"]}).kept
    assert decided(files, "a.py", metadata={"licences": ["MIT", "GPL-3.0-only"]}).reason == "licence_copyleft"
    assert decided(files, "b.py", metadata={"licences": ["MIT"]}).reason == "licence_copyleft"
    known = files | {"LICENSE": MIT_TEXT}
    assert decided(known, "a.py", metadata={"licences": ["GPL-3.0-only"]}).reason == "licence_copyleft"


def test_the_source_knows_a_text_that_we_do_not():
    files = {"LICENSE": b"You must dance under the full moon before you use this work. " * 3, "a.py": CODE}
    assert decided(files, "a.py", metadata={"licences": ["MIT"]}).kept


def test_policy():
    files = {"a.py": b"# SPDX-License-Identifier: MPL-2.0\n", "b.py": b"# SPDX-License-Identifier: MIT\n"}
    assert decided(files, "a.py", LicenceConfig(also_keep=("MPL-2.0",))).kept
    assert decided(files, "b.py", LicenceConfig(never_keep=("MIT",))).reason == "licence_permissive"
    assert decided(files, "a.py", LicenceConfig(keep=("weak_copyleft",))).kept
    assert not decided(files, "b.py", LicenceConfig(keep=("weak_copyleft",))).kept
    assert list(LicenceConfig(also_keep=("X",), never_keep=("X",)).problems("licence"))
    assert list(LicenceConfig(keep=()).problems("licence")) and not list(LicenceConfig().problems("licence"))


def test_merged_parts_and_any_order_decide_the_same():
    parts = [("LICENSE", Evidence("text", "MIT")), ("x/COPYING", Evidence("text", "GPL-3.0-only")),
             ("package.json", Evidence("package", "ISC"))]  # fmt: skip
    one, other = RepositoryLicences(), RepositoryLicences()
    for path, evidence in parts:
        one.add(path, evidence)
    for path, evidence in reversed(parts):
        part = RepositoryLicences()
        part.add(path, evidence)
        other.merge(part)
    policy = Policy(LicenceConfig())
    for path in ("a.py", "x/a.py", "y/a.py"):
        assert one.decide(path, None, policy) == other.decide(path, None, policy)


def test_folders():
    assert [folder_of(one) for one in ("LICENSE", "a/LICENSE", "LICENSES/x.txt", "x.dist-info/licenses/LICENSE")] == [
        "", "a", "", ""]  # fmt: skip


def test_report_counts_and_merges():
    policy, known = Policy(LicenceConfig()), RepositoryLicences()
    known.add("LICENSE", Evidence("text", "MIT"))
    first, second = LicenceReport(), LicenceReport()
    first.add("r/a.py", 10, known.decide("a.py", None, policy))
    second.add("r/b.py", 5, known.decide("b.py", Evidence("header", "GPL-2.0-only"), policy))
    second.add_repository(known.whole(policy))
    first.merge(LicenceReport.from_json(second.to_json()))
    tree = first.to_json()
    assert tree["expressions"]["MIT"] == {"files": 1, "bytes": 10, "repositories": 1}
    assert tree["classes"]["copyleft"] == {"files": 1, "bytes": 5, "repositories": 0}
    assert tree["evidence"]["text"]["files"] == 1
    assert tree["conflicts"] == {"files": 1, "examples": ["r/b.py: GPL-2.0-only, but MIT"]}


@given(st.text(max_size=40), st.binary(max_size=300), st.lists(st.text(max_size=20), max_size=3))
def test_any_file(path, content, licences):
    for name in (path, f"{path}/LICENSE", f"{path}/package.json", f"{path}/pyproject.toml", f"{path}/METADATA"):
        evidence = file_evidence(name, content, {"licences": licences})
        if evidence is not None:
            assert Evidence.from_json(evidence.to_json()) == evidence
            RepositoryLicences().decide(name, evidence, Policy(LicenceConfig()))
