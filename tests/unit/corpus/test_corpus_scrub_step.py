"""The scrubbing step as a step: what it changes, counts and tells."""

from importlib.util import find_spec

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scrub_labels.samples import GITHUB, PEM, SAMPLES, TEXT

from aixmeg.config.corpus import ScrubConfig
from aixmeg.corpus.document import Document
from aixmeg.corpus.scrub import Scrubber, engine, make_step
from aixmeg.corpus.scrub.rule import Finding

ALL = ScrubConfig(kinds=tuple(SAMPLES), private_addresses=True, copyright_names=True)


def scrubbed(text, language="python", **settings):
    document = Document(repository="r", path="a/b.py", language=language, content=text.encode())
    make_step(ScrubConfig(**settings))(document)
    return document


def test_counts_and_content():
    document = scrubbed(TEXT)
    assert dict(document.counts) == {
        "scrub.email": 3,
        "scrub.name": 2,
        "scrub.ip": 2,
        "scrub.token": 1,
        "scrub.password": 1,
        "scrub.url_credentials": 2,
        "scrub.private_key": 1,
        "scrub.ssh_key": 2,
    }
    assert document.content.decode().count("\n") == TEXT.count("\n")
    compile(document.content, "scrubbed", "exec")


def test_equal_values_have_equal_placeholders_and_others_have_others():
    document = scrubbed('a = "ann.lee@kvanto.org"\nb = "bo@kvanto.org"\nc = "ann.lee@kvanto.org"\n')
    assert document.content == b'a = "email@example.com"\nb = "email2@example.com"\nc = "email@example.com"\n'


def test_a_file_without_findings_is_left_alone():
    document = Document(repository="r", path="p", language="c", content=b"int main(void) { return 0; }\n")
    before = document.content
    make_step(ScrubConfig())(document)
    assert document.content is before
    assert not document.counts
    assert not document.audit


def test_audit_names_the_place_and_hides_the_value():
    document = scrubbed(TEXT, audit=100)
    assert {record["kind"] for record in document.audit} == {key.partition(".")[2] for key in document.counts}
    for record in document.audit:
        assert (record["step"], record["repository"], record["path"]) == ("scrub", "r", "a/b.py")
        assert 1 <= record["line"] <= TEXT.count("\n") + 1
    told = repr(document.audit)
    for secret in ("ann.lee", GITHUB[4:20], PEM.splitlines()[1][:20], "Tamsin", "hunt3r", "81.2."):
        assert secret in TEXT
        assert secret not in told
    email = next(record for record in document.audit if record["kind"] == "email")
    assert "aaa.aaa@aaaaaa.aaa" in email["excerpt"]
    assert email["replaced_by"] == "email@example.com"
    assert len(scrubbed(TEXT, audit=2).audit) == 2
    assert not scrubbed(TEXT, audit=0).audit


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_kind_is_replaced_only_when_asked(kind):
    text = "".join(f"x = {line}\n" for line in SAMPLES.values())
    only = scrubbed(text, kinds=(kind,))
    assert set(only.counts) == {f"scrub.{kind}"}
    others = scrubbed(text, kinds=tuple(other for other in SAMPLES if other != kind))
    assert f"scrub.{kind}" not in others.counts


@pytest.mark.parametrize("style", ["natural", "tag"])
@pytest.mark.parametrize("line", SAMPLES.values())
def test_once_is_enough(style, line):
    scrubber = Scrubber(ScrubConfig(kinds=tuple(SAMPLES), style=style))
    once, done, _ = scrubber.scrub(line.encode(), "python")
    assert done
    assert scrubber.scrub(once, "python") == (once, [], [])


def test_rounds_follow_until_nothing_is_found(monkeypatch):
    scrubber = Scrubber(ScrubConfig())
    rounds = iter([[Finding(0, 3, "email", "email")], [Finding(0, 5, "name", "login")], []])
    monkeypatch.setattr(scrubber, "find", lambda text, language: next(rounds))
    text, done, records = scrubber.scrub(b"a@b\n", "python")
    assert text == b"user@example.com\n"
    assert [one.kind for one, _ in done] == [record["kind"] for record in records] == ["email", "name"]


def test_tags():
    assert scrubbed('a = "ann.lee@kvanto.org"  # 81.2.69.142\n', style="tag").content == (
        b'a = "<EMAIL>"  # <IP_ADDRESS>\n'
    )


def test_private_addresses_and_copyright_lines_stay_unless_asked():
    text = "# Copyright (c) 2019 Tamsin Okoro\nhost = '10.1.2.3'\nmask = '255.255.255.0'\nme = '127.0.0.1'\n"
    assert not scrubbed(text).counts
    asked = scrubbed(text, private_addresses=True, copyright_names=True)
    assert dict(asked.counts) == {"scrub.ip": 1, "scrub.name": 1}
    assert b"(c) 2019 Example Author\n" in asked.content


PIECES = [line.encode() for line in SAMPLES.values()] + [
    b"\n", b"\r\n", b" ", b'"', b"'", b"@", b":", b"://", b"=", b"<", b">", b"(", b",", b".", b"-", b"author: ",
    b"TODO(", b"password=", b"token", b"\\n", b"\\u003c", b"%40", "é".encode(),
    "张三".encode(), b"1", b"a", b"Z", b"\x00", b"\xff",
]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=6)), max_size=14))
def test_any_bytes_pass_and_all_engines_agree(pieces):
    text = b"".join(pieces)
    results = []
    for scrubber in ENGINES:
        out, done, _ = scrubber.scrub(text, "python")
        assert out.count(b"\n") == text.count(b"\n")
        assert not scrubber.scrub(out, "python")[1]
        assert bool(done) or out == text
        results.append((out, done))
    assert all(result == results[0] for result in results)
    if text.decode(errors="ignore").encode() == text:
        results[0][0].decode()


ENGINES = [Scrubber(ALL, name) for name in ("hyperscan", "re2", "re") if name == "re" or find_spec(name)]


def test_the_fastest_engine_is_taken():
    assert engine() == next(name for name in ("hyperscan", "re2", "re") if name == "re" or find_spec(name))


def test_configuration_errors_name_the_choices():
    problems = list(ScrubConfig(kinds=("email", "shoe_size"), audit=-1).problems("corpus.scrub"))
    assert len(problems) == 2
    assert "'shoe_size'" in problems[0]
    assert "private_key, url_credentials" in problems[0]
    assert list(ScrubConfig(kinds=()).problems("corpus.scrub"))
    assert not list(ScrubConfig(enabled=False, kinds=()).problems("corpus.scrub"))
