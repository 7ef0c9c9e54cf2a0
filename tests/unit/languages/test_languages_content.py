from __future__ import annotations

import sysconfig
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aixmeg.languages import (
    LANGUAGES,
    candidates,
    canonical,
    interpreter,
    language_by_content,
    language_named,
    language_of,
)
from aixmeg.languages.ambiguous import AMBIGUOUS
from aixmeg.languages.content import _compiled

SAMPLES = [
    ("a.h", "int f(int x);\n", "c++"),
    ("a.h", "#ifndef A_H\n#define A_H\ntypedef struct node {\n  int x;\n} node_t;\n#endif\n", "c"),
    ("a.h", "#ifdef __cplusplus\nextern \"C\" {\n#endif\nint f(void);\n", "c"),
    ("a.h", "/* a class of things; namespaces too */\nstruct a *make(const char *name);\n", "c"),
    ("a.h", "#pragma once\n#include <vector>\nstruct A { int x; };\n", "c++"),
    ("a.h", "#include <stdio.h>\nclass Foo {\npublic:\n  Foo();\n};\n", "c++"),
    ("a.h", "template <typename T>\nT max(T a, T b);\n", "c++"),
    ("a.h", "namespace a\r\n{\r\n}\r\n", "c++"),
    ("a.h", "int f(std::string s);\n", "c++"),
    ("a.h", "#import <Foundation/Foundation.h>\n@interface A : NSObject\n@end\n", "objective-c"),
    ("a.H", "typedef struct a b;\n", "c++"),
    ("a.m", "#import \"A.h\"\n@implementation A\n@end\n", "objective-c"),
    ("a.m", "% comment\nfunction y = f(x)\n  y = x;\nend\n", "matlab"),
    ("a.m", "x = linspace(0, 1);\nplot(x)\n", "matlab"),
    ("a.m", "(* ::Package:: *)\nBeginPackage[\"A`\"]\nf[x_] := x^2\n", "mathematica"),
    ("a.m", ":- module a.\n:- interface.\n", None),
    ("a.pl", "#!/usr/bin/perl\nuse strict;\n", "perl"),
    ("a.pl", "my %h = (a => 1);\nprint $h{a};\n", "perl"),
    ("a.pl", ":- module(a, [f/1]).\nf(X) :- g(X).\n", "prolog"),
    ("a.pl", "% facts\nparent(a, b).\nparent(b, c).\n", "prolog"),
    ("a.v", "module m(input a, output b);\nassign b = a;\nendmodule\n", "verilog"),
    ("a.v", "(* techmap *)\nmodule \\$add (A);\nendmodule\n", "verilog"),
    ("a.v", "Require Import List.\nTheorem a : b.\nProof. (* x *) Qed.\n", None),
    ("a.v", "fn main() {\n\tprintln('x')\n}\n", None),
    ("a.ts", "export const a: number = 1;\n", "typescript"),
    ("a.ts", "<?xml version=\"1.0\"?>\n<!DOCTYPE TS>\n<TS>\n", None),
    ("a.ts", "\ufeff<?xml version=\"1.0\"?>\n<TS>\n", None),
    ("a.r", "f <- function(x) x + 1\n", "r"),
    ("a.R", "f <- function(x) x + 1\n", "r"),
    ("a.rd", "\\name{f}\n\\title{F}\n", None),
    ("a.inc", "<?php\nfunction f() {}\n", "php"),
    ("a.inc", "%macro x 1\n%endmacro\n", "assembly"),
    ("a.inc", "#define X 1\n", "c"),
    ("a.cls", "\\NeedsTeXFormat{LaTeX2e}\n", "tex"),
    ("a.cls", "VERSION 1.0 CLASS\nBEGIN\nEND\nPrivate Sub A()\nEnd Sub\n", "visual-basic"),
    ("a.cls", "public class A {\n}\n", None),
    ("a.t", "use Test::More;\nok(1);\n", "perl"),
    ("a.t", "var x : int := 3\n", None),
    ("a.d", "module a.b;\nimport std.stdio;\n", None),
    ("a.d", "a.o: a.c a.h\n", "makefile"),
    ("a.fs", "module A\nlet f x = x + 1\n", "f-sharp"),
    ("a.fs", "#version 330\nvoid main() {}\n", "glsl"),
    ("a.pro", "QT += core\nTARGET = a\n", None),
    ("a.pro", "f(X) :- g(X).\n", "prolog"),
    ("a.mod", "module example.org/a\n\ngo 1.20\n", None),
    ("a.s", "\t.text\nmain:\n\tret\n", "assembly"),
    ("a.S", "anything", "assembly"),
    ("a.sql", "SELECT 1;", "sql"),
    ("run", "#!/usr/bin/env python3.11\nprint()\n", "python"),
    ("run", "no shebang\n", None),
    ("a.py", "#!/bin/sh\n", "python"),
    ("a.zzz", "#!/bin/sh\n", None),
    ("Makefile", "all:\n", "makefile"),
    ("sub.dir/run", "#!/bin/bash\n", "shell"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "text", "language"), SAMPLES)
def test_samples(path: str, text: str, language: str | None) -> None:
    assert language_by_content(path, text.encode()) == language
    possible = candidates(path)
    assert language is None or language in possible
    assert language is not None or len(possible) != 1


def test_utf16_headers_are_seen_through() -> None:
    assert language_by_content("a.h", "int x;\ntypedef struct a {\n} b;\n".encode("utf-16")) == "c"


@pytest.mark.parametrize(
    ("line", "language"),
    [
        ("#!/bin/sh", "shell"), ("#! /usr/local/bin/bash -e", "shell"), ("#!/usr/bin/env -S node --x", "javascript"),
        ("#!/usr/bin/env LANG=C perl -w", "perl"), ("#!/usr/bin/python2.7", "python"), ("#!python", "python"),
        ("\ufeff#!/usr/bin/ruby", "ruby"), ("#!/usr/bin/env php8.2", "php"), ("#!/usr/bin/Rscript", "r"),
        ("#!/sbin/unknown", None), (" #!/bin/sh", None), ("#!", None), ("#!/usr/bin/env", None), ("#!/bin/tcsh",
        "tcsh"),
    ],
)  # fmt: skip
def test_interpreters(line: str, language: str | None) -> None:
    assert interpreter(line.encode() + b"\nrest\n") == language
    assert interpreter(line.encode()) == language


def test_the_table_of_ambiguities_names_languages_that_exist() -> None:
    for ending, row in AMBIGUOUS.items():
        assert ending == ending.lower()
        names = [row.default, *(name for name, _ in row.rules)]
        assert all(name is None or name.startswith("!") or canonical(name).name for name in names)
        assert _compiled(ending) is not None
        assert len(candidates("x" + ending)) >= 1


@given(st.sampled_from(sorted(AMBIGUOUS)), st.binary(max_size=200))
def test_any_content_gives_a_language_of_the_candidates_or_none(ending: str, content: bytes) -> None:
    found = language_by_content("x" + ending, content)
    assert found is None or (found in candidates("x" + ending) and found in LANGUAGES)


@pytest.mark.parametrize("ending", sorted(AMBIGUOUS))
def test_hostile_content_takes_linear_time(ending: str) -> None:
    start = time.process_time()
    for line in (" ", "a", "(", "struct ", "int a", "a.b ", "\n", "class a ", "~a", "a:", "/*", "= ", "extern a ",
        "a_[", "f(",
                 "//\n", "using a", "typedef a", "a)", "% ", "* ", "a ", ") ", "()", "const "):  # fmt: skip
        for begin in ("", "extern ", "a["):
            language_by_content("x" + ending, (begin + line * (30_000 // len(line))).encode())
    assert time.process_time() - start < 10  # 0.3 s at most; minutes for a pattern of quadratic time


@pytest.mark.parametrize(
    ("name", "language"),
    [("C++", "c++"), ("C#", "c#"), ("Objective-C", "objective-c"), ("Common Lisp", "common-lisp"), ("Python", "python"),
     ("Jupyter Notebook", None), ("", None), ("cpp", "c++"), ("Golang", "go"), ("Protocol Buffers", "protocol-buffer")],
)  # fmt: skip
def test_language_named(name: str, language: str | None) -> None:
    found = language_named(name)
    assert (found.name if found else None) == language


def test_the_standard_library_is_python() -> None:
    files = sorted(Path(sysconfig.get_paths()["stdlib"], "json").glob("*.py"))
    assert files
    assert {language_by_content(str(file), file.read_bytes()) for file in files} == {"python"}


@pytest.mark.parametrize(
    ("path", "name"),
    [("a.mjs", "javascript"), ("a.cts", "typescript"), ("a.d.mts", "typescript"), ("a.pyi", "python"), ("a.el",
    "emacs-lisp"),
     ("CMakeLists.txt", "cmake"), ("makefile", "makefile"), ("GNUmakefile", "makefile"), ("a.proto", "protocol-buffer"),
     ("a.gradle", "groovy"), ("Rakefile", "ruby"), ("a.fsx", "f-sharp"), ("a.vb", "visual-basic"), ("a.lisp",
     "common-lisp")],
)  # fmt: skip
def test_extensions_beyond_the_published_table(path: str, name: str) -> None:
    assert candidates(path) == (name,)


def test_names_are_told_by_their_ending_or_as_a_whole() -> None:
    assert candidates("x.CMakeLists.txt") == ("text",)
    assert candidates("sub/CMakeLists.txt") == ("cmake",)
    assert candidates("a.b.py") == candidates("a.PY") == ("python",)
    assert candidates("x.cmake.in") == ("cmake",)
    assert candidates(".py") == ("python",)
    for language in LANGUAGES.values():
        for ending in (*language.extensions, *language.more_extensions):
            name = "a.b" + ending if ending.startswith(".") else ending
            assert language.name in candidates(name), name
            assert language_of(name) is language
