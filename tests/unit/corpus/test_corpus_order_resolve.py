"""Import strings to files: each language's awkward cases on small repositories."""

from aixmeg.corpus.order.resolve import OrderFile, resolve


def edges(language, tree):
    """{path: imports} → the set of (importing path, imported path)."""
    files = [OrderFile(path, language, 1, tuple(imports)) for path, imports in sorted(tree.items())]
    found = resolve(files)
    return {(files[index].path, files[target].path) for index, targets in enumerate(found) for target in targets}


def test_python():
    tree = {
        "src/pkg/__init__.py": [".core:run"],
        "src/pkg/core.py": [".:util", "json", ".util:helper", "pkg.core"],
        "src/pkg/util.py": ["os", "...beyond:x"],
        "src/pkg/json.py": [],
        "src/pkg/sub/__init__.py": ["..core:*", "..:util"],
        "src/pkg/sub/deep.py": ["pkg.sub:sibling", "pkg.util:helper", "pkg"],
        "src/pkg/sub/sibling.pyi": [],
        "tests/test_core.py": ["pkg.core:run", "helpers", "pkg.sub.deep"],
        "tests/helpers.py": [],
        "setup.py": ["setuptools", "pkg"],
    }
    assert edges("python", tree) == {
        ("src/pkg/__init__.py", "src/pkg/core.py"),
        ("src/pkg/core.py", "src/pkg/util.py"),  # and `import json` is the standard library's, not pkg/json.py
        ("src/pkg/sub/__init__.py", "src/pkg/core.py"),
        ("src/pkg/sub/__init__.py", "src/pkg/util.py"),
        ("src/pkg/sub/deep.py", "src/pkg/sub/sibling.pyi"),
        ("src/pkg/sub/deep.py", "src/pkg/util.py"),
        ("src/pkg/sub/deep.py", "src/pkg/__init__.py"),
        ("tests/test_core.py", "src/pkg/core.py"),
        ("tests/test_core.py", "tests/helpers.py"),
        ("tests/test_core.py", "src/pkg/sub/deep.py"),
        ("setup.py", "src/pkg/__init__.py"),
    }


def test_javascript_and_typescript():
    tree = {
        "src/app.ts": ["./util", "./data/", "./gone", "@/deep/leaf", "lodash", "../../outside", "./esm.js", "src/util"],
        "src/util.ts": [],
        "src/lodash.ts": [],
        "src/esm.ts": [],
        "src/data/index.tsx": [".."],
        "src/deep/leaf.js": ["../util.ts"],
        "src/index.js": [],
        "packages/core/src/index.ts": [],
        "packages/core/src/part.ts": [],
        "packages/web/main.ts": ["@scope/core", "core/part"],
    }
    assert edges("typescript", tree) == {
        ("src/app.ts", "src/util.ts"),
        ("src/app.ts", "src/data/index.tsx"),
        ("src/app.ts", "src/deep/leaf.js"),
        ("src/app.ts", "src/esm.ts"),
        ("src/data/index.tsx", "src/index.js"),
        ("src/deep/leaf.js", "src/util.ts"),
        ("packages/web/main.ts", "packages/core/src/index.ts"),
        ("packages/web/main.ts", "packages/core/src/part.ts"),
    }


def test_java():
    tree = {
        "main/java/org/x/A.java": [
            "org.x.b.B",
            "org.x.b.Outer.Inner",
            "java.util.List",
            "org.x.c.*",
            "org.x.missing.C",
        ],
        "main/java/org/x/b/B.java": [],
        "test/java/org/x/b/B.java": ["org.x.A"],
        "main/java/org/x/b/Outer.java": [],
        "main/java/org/x/c/C1.java": [],
        "main/java/org/x/c/C2.java": [],
        "main/java/org/x/c/d/Deeper.java": [],
    }
    a = "main/java/org/x/A.java"
    assert edges("java", tree) == {
        (a, "main/java/org/x/b/B.java"),  # the one that shares more folders
        (a, "main/java/org/x/b/Outer.java"),
        (a, "main/java/org/x/c/C1.java"),
        (a, "main/java/org/x/c/C2.java"),
        ("test/java/org/x/b/B.java", a),
    }


def test_c():
    tree = {
        "src/a.c": ['"a.h"', "<string.h>", "<lib/api.h>", '"../include/b.h"', '"gone.h"', "<config.h>"],
        "src/a.h": [],
        "src/string.h": [],
        "include/lib/api.h": ['"b.h"'],
        "include/b.h": ['"b.h"'],
        "include/config.h": [],
        "other/a.h": [],
    }
    assert edges("c", tree) == {
        ("src/a.c", "src/a.h"),
        ("src/a.c", "include/lib/api.h"),
        ("src/a.c", "include/b.h"),
        ("src/a.c", "include/config.h"),
        ("include/lib/api.h", "include/b.h"),
    }


def test_go():
    module = {
        "cmd/main.go": ["example.org/m", "example.org/m/pkg/a", "fmt", "golang.org/x/net/http2", "pkg/a"],
        "root.go": [],
        "pkg/a/one.go": ["example.org/m/internal"],
        "pkg/a/two.go": [],
        "pkg/a/one_test.go": ["example.org/m/pkg/a"],
        "internal/i.go": [],
        "http2/h.go": [],
    }
    assert edges("go", module) == {
        ("cmd/main.go", "root.go"),
        ("cmd/main.go", "pkg/a/one.go"),
        ("cmd/main.go", "pkg/a/two.go"),
        ("pkg/a/one.go", "internal/i.go"),
        ("pkg/a/one_test.go", "pkg/a/one.go"),
        ("pkg/a/one_test.go", "pkg/a/two.go"),
    }
    gopath = {
        "src/example.org/m/x.go": ["example.org/m/y"],
        "src/example.org/m/y/y.go": [],
    }
    assert edges("go", gopath) == {("src/example.org/m/x.go", "src/example.org/m/y/y.go")}


def test_rust():
    tree = {
        "one/src/lib.rs": ["mod a", "mod b", "use a::inner::T", "use std::fmt"],
        "one/src/a.rs": ["mod inner", "use crate::b::Thing", "use super::b"],
        "one/src/a/inner.rs": ["use super::super::b::X", "use self::no::No"],
        "one/src/b/mod.rs": ["use crate::Root", "mod c"],
        "one/src/b/c.rs": [],
        "two/src/main.rs": ["use one::a::inner", "use one::Anything", "use serde::Serialize"],
    }
    one = "one/src/"
    assert edges("rust", tree) == {
        (f"{one}lib.rs", f"{one}a.rs"),
        (f"{one}lib.rs", f"{one}b/mod.rs"),
        (f"{one}lib.rs", f"{one}a/inner.rs"),
        (f"{one}a.rs", f"{one}a/inner.rs"),
        (f"{one}a.rs", f"{one}b/mod.rs"),
        (f"{one}a/inner.rs", f"{one}b/mod.rs"),
        (f"{one}b/mod.rs", f"{one}lib.rs"),
        (f"{one}b/mod.rs", f"{one}b/c.rs"),
        ("two/src/main.rs", f"{one}a/inner.rs"),
        ("two/src/main.rs", f"{one}lib.rs"),
    }


def test_another_language_resolves_to_nothing():
    assert edges("lua", {"a.lua": ["b"], "b.lua": []}) == set()
