"""What the path of a file tells: the names that generators give, and the folders that hold other projects' code."""

from __future__ import annotations

import re
from typing import Final

_ENDINGS: Final = (
    # Protocol buffers, gRPC, FlatBuffers, Cap'n Proto
    "_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi", ".pb.go", ".pb.gw.go", ".pb.validate.go", ".pb.cc", ".pb.h",
    ".pb.c", ".pb.swift", ".pb.dart", ".pb.ts", ".pb.js", ".pbenum.dart", ".pbgrpc.dart", ".pbjson.dart", ".pbobjc.h",
    ".pbobjc.m", "_pb.js", "_pb.d.ts", "_pb.rb", "_pb.ts", "outerclass.java", "_generated.h", "_generated.rs",
    "_generated.go", "_generated.ts", ".capnp.h", ".capnp.c++",
    # .NET, Qt, Dart, Go
    ".designer.cs", ".designer.vb", ".g.cs", ".g.i.cs", ".generated.cs", ".feature.cs", "_rc.py", "_ui.py", ".g.dart",
    ".freezed.dart", ".gr.dart", ".mocks.dart", ".config.dart", ".gen.go", "_gen.go", ".gen.ts", ".gen.py", ".gen.rs",
    ".generated.ts", ".generated.js", ".generated.go", ".generated.swift", ".generated.java", ".generated.rs",
    ".generated.h", ".generated.cpp", ".auto.go", ".sql.go",
    # Parsers, bindings
    ".tab.c", ".tab.h", ".tab.cc", ".tab.cpp", ".tab.hpp", ".yy.c", ".yy.cc", ".lex.c", "_wrap.c", "_wrap.cxx",
    "_wrap.cpp",
    # Minified, bundled and compiled
    ".min.js", "-min.js", ".min.mjs", ".min.cjs", ".min.css", "-min.css", ".js.map", ".css.map", ".mjs.map", ".ts.map",
    ".bundle.js", "-bundle.js", ".chunk.js", ".chunk.css", ".umd.js", "-umd.js", ".prod.js", ".production.js",
)  # fmt: skip
_NAMES: Final = frozenset(
    {
        "parsetab.py", "bindata.go", "lex.yy.c", "aclocal.m4", "configure", "config.guess", "config.sub",
        "config.status", "ltmain.sh",
        "libtool", "depcomp", "missing", "install-sh", "package-lock.json", "npm-shrinkwrap.json",
        "yarn.lock",
        "pnpm-lock.yaml", "composer.lock", "cargo.lock", "gemfile.lock", "poetry.lock", "pipfile.lock", "go.sum",
        "flake.lock", "pubspec.lock", "mix.lock", "podfile.lock", "packages.lock.json", "uv.lock", "bun.lock",
    }
)  # fmt: skip
_BEGINNINGS: Final = (
    ("moc_", (".cpp", ".cc", ".h")),
    ("qrc_", (".cpp",)),
    ("ui_", (".h", ".py")),
    ("zz_generated", (".go",)),
)
_GENERATED_FOLDERS: Final = ("gen-cpp", "gen-py", "gen-java", "gen-go", "gen-js", "gen-rb", "gen-nodejs")
"""Where thrift writes."""
_FOLDERS: Final = frozenset(
    {
        "vendor", "vendors", "vendored", "_vendor", "_vendored", "third_party", "third-party", "thirdparty", "3rdparty",
        "3rd_party", "3rd-party", "3party", "node_modules", "bower_components", "jspm_packages", "site-packages",
        "dist-packages", "extlibs", "extlib", "godeps", "pods", "carthage", ".yarn",
    }
)  # fmt: skip
_TOP_FOLDERS: Final = frozenset({"external", "externals", "extern", "deps", "subprojects"})
"""Hold other projects' code at the top of a repository; further down they are anything."""
_FILES: Final = frozenset(
    {
        "gradlew", "gradlew.bat", "mvnw", "mvnw.cmd", "doctest.h", "catch.hpp", "get-pip.py", "versioneer.py",
        "ez_setup.py",
    }
)  # fmt: skip
_LIBRARY: Final = re.compile(
    r"(?:jquery|bootstrap|angular|backbone|underscore|lodash|moment|mootools|prototype|raphael|d3|require|modernizr|ember"
    r"|handlebars|knockout|react|vue|three|chart|highcharts|codemirror|tinymce|ckeditor|html5shiv|respond|json2|sizzle"
    r"|zepto|select2|datatables|leaflet|socket\.io|polyfill|swagger-ui)(?:[.-](?:ui|all|bundle|core|slim|full))*"
    r"(?:[.-]v?\d+(?:\.\d+)*)+(?:[.-]min)?\.(?:js|css)"
)
"""A library of the web with its version: jquery-3.7.1.js."""


def is_generated_name(path: str) -> bool:
    """Whether generators give such names."""
    *folders, name = path.lower().split("/")
    if name.endswith(_ENDINGS) or name in _NAMES or any(folder in _GENERATED_FOLDERS for folder in folders):
        return True
    return any(name.startswith(start) and name.endswith(ends) for start, ends in _BEGINNINGS)


def is_vendored(path: str, more_folders: frozenset[str] = frozenset()) -> bool:
    """Whether such paths hold other projects' code; `more_folders` are names in lower case."""
    *folders, name = path.lower().split("/")
    if not _FOLDERS.isdisjoint(folders) or not more_folders.isdisjoint(folders) or name in _FILES:
        return True
    if folders and folders[0] in _TOP_FOLDERS:
        return True
    return name.endswith((".js", ".css")) and _LIBRARY.fullmatch(name) is not None
