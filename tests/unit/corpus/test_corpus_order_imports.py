"""Imports as they stand in real syntax, by language."""

import pytest

from aixmeg.corpus.document import Document
from aixmeg.corpus.order import imports_of

CASES = {
    "python": (
        """
import os, a.b as c  # import no.comment
from . import (x, y as z,  # trailing
    w)
from ..pkg.mod import *
from q import \\
    r
def f():
    import inner
    text = "import not_this"
""",
        ["os", "a.b", ".:x", ".:y", ".:w", "..pkg.mod:*", "q:r", "inner"],
    ),
    "javascript": (
        """
import a from './a';
import { b,
  c } from "../b.js";
import "side-effect";
export { d } from './d';
export * from './e';
export class K { m() { return "from './no'"; } }
const f = require('./f'), g = await import(`./g`);
// require('./comment')
const s = "require('./string')";
""",
        ["./a", "../b.js", "side-effect", "./d", "./e", "./f", "./g"],
    ),
    "typescript": (
        """
import type { T } from './types';
import fs = require("./fs");
export const x: number = 1;
""",
        ["./types", "./fs"],
    ),
    "java": (
        """
package a.b;
import java.util.List;
import static a.c.D.member;
import a . e . * ;
class X { String s = "import no.No;"; }
""",
        ["java.util.List", "a.c.D", "a.e.*"],
    ),
    "c": (
        """
#include <stdio.h>
#  include "x/y.h" // "z.h"
#ifdef A
#include "a.h"
#endif
/* #include "comment.h" */
""",
        ["<stdio.h>", '"x/y.h"', '"a.h"'],
    ),
    "go": (
        """
package p
import "fmt"
import (
    alias "example.org/m/pkg"
    _ `example.org/m/blank`
)
""",
        ["fmt", "example.org/m/pkg", "example.org/m/blank"],
    ),
    "rust": (
        """
mod a;
pub(crate) mod b;
mod inline { fn f() {} }
use crate::x::{self, y::Z as W, v::*};
use super::q;
""",
        ["mod a", "mod b", "use crate::x", "use crate::x::y::Z", "use crate::x::v::*", "use super::q"],
    ),
}


@pytest.mark.parametrize("language", CASES)
def test_imports_are_read_from_the_tree(language):
    text, expected = CASES[language]
    document = Document(repository="r", path="p", language=language, content=text.encode())
    assert imports_of(document) == expected
    windows = Document(repository="r", path="p", language=language, content=text.replace("\n", "\r\n").encode())
    assert imports_of(windows) == expected


def test_a_language_without_a_rule_has_no_imports():
    assert imports_of(Document(repository="r", path="p", language="lua", content=b'require("x")')) == []
