"""Import strings (`imports.py`) to files of the same repository. What belongs to another project resolves to nothing.

There are no build files here, only paths: include folders, source roots and module names are inferred from them, and
where several files fit, the one that shares the most folders with the importing file is taken.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from aixmeg.corpus.order.paths import Places, ancestors, folders, join


@dataclass(frozen=True, slots=True)
class OrderFile:
    """What the order of a file depends on, but for its content."""

    path: str
    language: str
    bytes: int
    imports: tuple[str, ...] = ()
    """As `imports_of` gives them."""


def resolve(files: Sequence[OrderFile]) -> list[list[int]]:
    """For each file the files that it imports, each once, itself left out."""
    places = Places([file.path for file in files])
    resolvers: dict[str, Callable[[int], Iterator[int | None]]] = {}
    result: list[list[int]] = []
    for index, file in enumerate(files):
        made = _RESOLVERS.get(file.language) if file.imports else None
        if made is None:
            result.append([])
            continue
        if made.__name__ not in resolvers:
            resolvers[made.__name__] = made(files, places)
        found = dict.fromkeys(resolvers[made.__name__](index))
        result.append([target for target in found if target is not None and target != index])
    return result


Resolver = Callable[[int], Iterator[int | None]]


def _python(files: Sequence[OrderFile], places: Places) -> Resolver:
    """Relative imports by folder; absolute ones from the folders around the file that are no package, nearest first,
    and from a `src` or `lib` folder in one of them."""
    packages = {posixpath.dirname(file.path) for file in files if file.path.endswith("__init__.py")}

    def module(base: str) -> int | None:
        for path in (f"{base}/__init__.py" if base else "__init__.py", f"{base}.py", f"{base}.pyi"):
            if path in places.at:
                return places.at[path]
        return None

    def member(base: str, name: str) -> int | None:
        """The submodule `name` of the module at `base`, or that module."""
        inside = module(f"{base}/{name}" if base else name) if name and name != "*" else None
        return inside if inside is not None else module(base)

    def roots(folder: str) -> Iterator[str]:
        for place in ancestors(folder):
            if place not in packages:
                yield place
                yield from (f"{place}/{name}" if place else name for name in ("src", "lib"))

    def targets(index: int) -> Iterator[int | None]:
        folder = posixpath.dirname(files[index].path)
        for text in files[index].imports:
            name, _, what = text.partition(":")
            dots = len(name) - len(name.lstrip("."))
            inner = name[dots:].replace(".", "/")
            if dots:
                base: str | None = folder
                for _ in range(dots - 1):
                    base = posixpath.dirname(base) if base else None
                if base is not None:
                    yield member("/".join(part for part in (base, inner) if part), what)
                continue
            for root in roots(folder):
                base = f"{root}/{inner}" if root else inner
                if (found := member(base, what)) is not None:
                    yield found
                    break

    return targets


_SCRIPT_ENDINGS: Final = (".ts", ".tsx", ".d.ts", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs", ".vue", ".svelte")


def _javascript(files: Sequence[OrderFile], places: Places) -> Resolver:
    """Relative modules with and without ending, index files, `@/` and `~/` for a source folder, and packages of the
    same repository by the name of their folder."""
    homes = {}
    for place in sorted(folders(places.paths), reverse=True):
        *_, parent, name = ["", "", *place.split("/")]
        if parent in ("packages", "modules", "libs", "apps"):
            homes[name] = place

    def module(base: str | None) -> int | None:
        if base is None:
            return None
        stem, ending = posixpath.splitext(base)
        names = [base, *(base + one for one in _SCRIPT_ENDINGS)]
        if ending in (".js", ".mjs", ".cjs", ".jsx"):  # TypeScript names the file that it will become
            names += [stem + one for one in (".ts", ".tsx", ".mts", ".cts", ".d.ts")]
        names += [f"{base}/index{one}" if base else f"index{one}" for one in _SCRIPT_ENDINGS]
        return next((places.at[name] for name in names if name in places.at), None)

    def package(text: str) -> int | None:
        parts = text.split("/")
        name = parts[1] if text.startswith("@") and len(parts) > 1 else parts[0]
        rest = "/".join(parts[2 if text.startswith("@") else 1 :])
        home = homes.get(name)
        if home is None:
            return None
        inside = [rest, f"src/{rest}"] if rest else ["src/index", "index", "src/main", f"src/{name}"]
        return next((found for one in inside if (found := module(join(home, one))) is not None), None)

    def targets(index: int) -> Iterator[int | None]:
        folder = posixpath.dirname(files[index].path)
        for text in files[index].imports:
            if text.startswith("."):
                yield module(join(folder, text))
                continue
            inner = text[2:] if text[:2] in ("@/", "~/") else text
            around = (join(place, one) for place in ancestors(folder) for one in (f"src/{inner}", inner))
            local = "/" in inner or inner != text  # `lodash` is no folder beside the file
            found = next((hit for one in around if (hit := module(one)) is not None), None) if local else None
            yield found if found is not None else package(text)

    return targets


def _java(files: Sequence[OrderFile], places: Places) -> Resolver:
    """A class by the end of its path; a nested class by the file of its outermost; `*` by folder."""
    by_folder: dict[str, list[int]] = {}
    for index, file in enumerate(files):
        if file.path.endswith(".java"):
            by_folder.setdefault(posixpath.dirname(file.path), []).append(index)
    package_folders = Places([f"{folder}/." for folder in by_folder])
    names = list(by_folder)

    def targets(index: int) -> Iterator[int | None]:
        path = files[index].path
        for text in files[index].imports:
            parts = text.split(".")
            if parts[-1] == "*":
                found = package_folders.nearest("/".join([*parts[:-1], "."]), path)
                if found is not None:
                    yield from by_folder[names[found]]
                    continue
                parts.pop()
            while len(parts) > 1:
                hit = places.nearest("/".join(parts) + ".java", path)
                if hit is not None or not parts[-2][:1].isupper():  # only inside a class may the name be a member
                    yield hit
                    break
                parts.pop()

    return targets


def _c(files: Sequence[OrderFile], places: Places) -> Resolver:
    """Quoted names from the file's own folder, then like angled ones: by the end of a path. An angled name without a
    folder, `<string.h>`, is the system's unless it stands in a folder called include."""

    def targets(index: int) -> Iterator[int | None]:
        path = files[index].path
        for text in files[index].imports:
            name = posixpath.normpath(text[1:-1])
            own = join(posixpath.dirname(path), name) if text[0] == '"' else None
            if own is not None and own in places.at:
                yield places.at[own]
            elif not name.startswith(".."):
                hit = places.nearest(name, path)
                if hit is not None and text[0] == "<" and "/" not in name:
                    hit = hit if posixpath.dirname(places.paths[hit]).rpartition("/")[2] == "include" else None
                yield hit

    return targets


def _go(files: Sequence[OrderFile], places: Places) -> Resolver:
    """Import paths to folders: one that ends with the whole path (a GOPATH), or the module's prefix cut off, which is
    the one that leads most imports to a folder."""
    by_folder: dict[str, list[int]] = {}
    for index, file in enumerate(files):
        if file.path.endswith(".go") and not file.path.endswith("_test.go"):
            by_folder.setdefault(posixpath.dirname(file.path), []).append(index)
    names = list(by_folder)
    ends = Places([f"{folder}/." if folder else "." for folder in names])
    votes: Counter[tuple[str, str]] = Counter()
    for text in {text for file in files if file.language == "go" for text in file.imports}:
        parts = text.split("/")
        for cut in range(1, len(parts) if "." in parts[0] else 1):
            inner = "/".join(parts[cut:])
            for found in ends.ending(f"{inner}/."):
                root = names[found].removesuffix(inner).rstrip("/")
                votes["/".join(parts[:cut]), root] += 1
    prefix, root = min(votes, key=lambda pair: (-votes[pair], -len(pair[0]), pair)) if votes else (None, "")

    def targets(index: int) -> Iterator[int | None]:
        for text in files[index].imports:
            hit = ends.nearest(f"{text}/.", files[index].path)
            folder = names[hit] if hit is not None else None
            if folder is None and prefix is not None and (text == prefix or text.startswith(f"{prefix}/")):
                folder = join(root, text[len(prefix) :].lstrip("/"))
            yield from by_folder.get(folder, ()) if folder is not None else ()

    return targets


def _rust(files: Sequence[OrderFile], places: Places) -> Resolver:
    """`mod` to the module's file; `use` by the longest path that is a module, from the crate's root, from the module
    itself or from another crate of the workspace, which is known by its folder."""
    roots = {posixpath.dirname(path): index for index, path in enumerate(places.paths)
             if path.rpartition("/")[2] in ("lib.rs", "main.rs")}  # fmt: skip
    crates = {folder.removesuffix("/src").rpartition("/")[2].replace("-", "_"): folder for folder in sorted(roots)}

    def home(path: str) -> str:
        """The folder in which a file's child modules lie."""
        folder, _, name = path.rpartition("/")
        stem = name.removesuffix(".rs")
        return folder if stem in ("lib", "main", "mod") else f"{folder}/{stem}" if folder else stem

    def module(base: str) -> int | None:
        return next((places.at[one] for one in (f"{base}.rs", f"{base}/mod.rs") if one in places.at), None)

    def longest(base: str, names: Sequence[str], fallback: int | None) -> int | None:
        for count in range(len(names), 0, -1):
            hit = module("/".join(part for part in (base, *names[:count]) if part))
            if hit is not None:
                return hit
        return fallback

    def targets(index: int) -> Iterator[int | None]:
        path = files[index].path
        crate = next((one for one in ancestors(posixpath.dirname(path)) if one in roots), None)
        for text in files[index].imports:
            verb, _, rest = text.partition(" ")
            if verb == "mod":
                yield longest(home(path), [rest], None)
                continue
            first, *names = rest.removeprefix("::").split("::")
            if first == "crate" and crate is not None:
                yield longest(crate, names, roots[crate])
            elif first in ("self", "super"):
                base = home(path)
                for up in [first, *names]:
                    if up == "super":
                        base = posixpath.dirname(base)
                yield longest(base, [name for name in names if name != "super"], None)
            elif first in crates and crates[first] != crate:
                yield longest(crates[first], names, roots[crates[first]])
            else:
                yield longest(home(path), [first, *names], None)

    return targets


_RESOLVERS: Final = {
    "python": _python,
    "javascript": _javascript, "jsx": _javascript, "typescript": _javascript, "tsx": _javascript, "vue": _javascript,
    "java": _java,
    "c": _c, "c++": _c, "cuda": _c, "objective-c": _c, "objective-c++": _c,
    "go": _go,
    "rust": _rust,
}  # fmt: skip
"""Language → what makes its resolver for one repository."""
