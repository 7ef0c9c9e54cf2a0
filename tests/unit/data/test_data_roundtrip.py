"""Every built example gives its file back, byte for byte, and every structured middle is a complete node.

Over thousands of real files: whatever source code this machine has, in every language with a grammar.
"""

from __future__ import annotations

import json
import sysconfig
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from aixmeg.config.sfim import STRATEGIES as SFIM_STRATEGIES
from aixmeg.config.sfim import SfimConfig
from aixmeg.data.builder import build_data
from aixmeg.data.encode import header_of
from aixmeg.data.indexed import TokenStream
from aixmeg.data.sidecar import FIM, MODES, NTP, OBJECTIVES, PSM, ROW, SFIM, SPM, STRATEGIES
from aixmeg.languages import LANGUAGES, language_of, parser
from aixmeg.sfim.format import undo

PER_LANGUAGE = 1200
LARGEST = 12_000
SPELLED = (
    "a = '<s></s><unk> ▁<AIX-SPAN-PRE>▁<AIX-SPAN-POST> ▁<AIX-SPAN-MIDDLE>▁<AIX-USER>'\r\n"
    "def f(▁x, ünï):\r\n\treturn '<0x0A>\u2028\U0001f600' + ▁x\r\n"
).encode()


def real_files() -> dict[str, dict[str, bytes]]:
    """Up to PER_LANGUAGE files of each language, as repositories named after their top folders."""
    roots = [Path(sysconfig.get_paths()[name]) for name in ("stdlib", "purelib", "include")]
    by_language: dict[str, list[tuple[Path, Path]]] = defaultdict(list)
    seen: set[Path] = set()
    for root in roots:
        for path in sorted(root.rglob("*")):
            language = language_of(path)
            if language and language.grammar and path.is_file() and path not in seen:
                seen.add(path)
                by_language[language.name].append((root, path))
    repositories: dict[str, dict[str, bytes]] = defaultdict(dict)
    for found in by_language.values():
        for root, path in found[:: -(-len(found) // PER_LANGUAGE)]:
            data = path.read_bytes()
            relative = path.relative_to(root)
            if len(data) <= LARGEST and _is_utf8(data):
                repositories[f"{root.name}-{relative.parts[0]}"]["/".join(relative.parts[1:]) or relative.name] = data
    return repositories


def _is_utf8(data: bytes) -> bool:
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False


def foreign_files() -> dict[str, bytes]:
    """Text of another language under each extension that has a grammar: full of syntax errors, or hardly any nodes."""
    text = Path(sysconfig.get_paths()["stdlib"], "textwrap.py").read_bytes()[:1500] + "# ünïcödé\r\n".encode()
    return {
        f"foreign{language.extensions[0]}" if language.extensions[0].startswith(".") else language.extensions[0]: text
        for language in LANGUAGES.values()
        if language.grammar and language.extensions
    }


def is_complete_node(source: bytes, language: str, start: int, end: int) -> bool:
    node = parser(LANGUAGES[language]).parse(source).root_node.descendant_for_byte_range(start, end)
    if node is None or (node.start_byte, node.end_byte) != (start, end) or node.has_error:
        return False
    while node is not None:
        if node.is_error:
            return False
        node = node.parent
    return True


@pytest.fixture(scope="module")
def repositories() -> dict[str, dict[str, bytes]]:
    crafted = {
        "spelled.py": SPELLED,
        "bom.py": b"\xef\xbb\xbf" + SPELLED,
        "nested.py": b"x = " + b"(" * 10_000 + b"1" + b")" * 10_000,
        "one.py": b"x",
        "blank.py": b"\r\n \t\n",
        "empty.py": b"",
    }
    text = b"int f(int x) {\n  switch (x) {\n    case 1: return 2;\n  }\n  return 3;\n}\n"
    crafted |= {f"switch{number}.c": text for number in range(60)}  # Python's own files have next to none
    return real_files() | {"foreign": foreign_files(), "crafted": crafted}


def test_real_files_come_back(make_config, repositories, tok, tmp_path):
    rare = dict.fromkeys(("while_statement", "try_statement", "switch_statement"), 6.0)
    sfim = SfimConfig(strategies=dict.fromkeys(SFIM_STRATEGIES, 1.0) | {"whole_node": 6.0} | rare)
    config = make_config(repositories, shards=3, ntp_share=0.2, fim_share=0.2, max_middle_bytes=2000, sfim=sfim)
    summary = build_data(config)
    files = {(name, path): data for name, members in repositories.items() for path, data in members.items()}
    counts: Counter[str] = Counter()
    languages: Counter[str] = Counter()
    indices: list[int] = []
    for split in ("train", "valid"):
        folder = tmp_path / "data"
        stream = TokenStream(folder / split)
        rows = np.load(folder / f"{split}.examples.npy", allow_pickle=False)
        assert rows.dtype == ROW
        described = [json.loads(line) for line in (folder / f"{split}.files.jsonl").read_bytes().splitlines()]
        end = 0
        for row, source in zip(rows, described, strict=True):
            start = int(stream.starts[row["document"]] + row["offset"])
            assert start == end  # examples lie end to end
            end = start + int(row["length"])
            assert row["place"] == 0
            ids = stream.read(start, end).tolist()
            data = files.pop((source["repository"], source["path"]))
            offset = -1 if row["middle_offset"] < 0 else int(row["middle_offset"] - row["offset"])
            header = header_of(source["language"], source["path"])
            parts = undo(ids, tok, header=header, middle_offset=offset)
            assert parts.file == data
            control = Counter(token for token in ids if tok.is_control(token))
            marks = [tok.special.prefix, tok.special.suffix, tok.special.middle] if offset >= 0 else []
            assert control == Counter([tok.bos, tok.eos, *marks])
            if row["objective"] == NTP:
                assert (row["mode"], row["middle_offset"], row["middle_length"]) == (0, -1, 0)
            else:
                check_middle(row, source, data, parts, ids, tok)
            counts[OBJECTIVES[row["objective"]]] += 1
            counts[MODES[row["mode"]]] += 1
            counts[STRATEGIES[row["strategy"]]] += 1
            languages[source["language"]] += 1
            indices.append(int(row["file"]))
        assert end == stream.total == summary[split]["tokens"]
    assert not files
    assert sorted(indices) == list(range(len(indices)))
    assert sum(languages.values()) > 2000
    assert len(languages) >= 60
    assert min(counts[name] for name in (*OBJECTIVES, "psm", "spm")) > 300
    assert {name for name in SFIM_STRATEGIES if not counts[name]} == set()


def check_middle(row, source, data, parts, ids, tok) -> None:
    assert parts.middle == data[source["start"] : source["end"]]
    assert len(parts.prefix) == source["start"]
    assert len(parts.middle) <= 2000
    first = int(row["middle_offset"] - row["offset"])
    assert first + int(row["middle_length"]) == len(ids) - 1
    assert tok.decode_bytes(ids[first:-1]) == parts.middle
    is_spm = ids.index(tok.special.suffix) == 2 and parts.prefix + parts.suffix != b""
    if source["start"] > 0:
        assert row["mode"] == (SPM if is_spm else PSM)
    assert STRATEGIES[row["strategy"]] == source["strategy"]
    if row["objective"] == SFIM:
        assert source["strategy"] in SFIM_STRATEGIES
        if source["strategy"] != "empty":
            assert 2 <= row["middle_length"] <= 1024
            assert parts.middle.strip()
        if source["strategy"] == "whole_node" and len(data) < 19_000:  # climbing 10,000 parents takes seconds
            assert is_complete_node(data, source["language"], source["start"], source["end"])
    else:
        assert row["objective"] == FIM
        assert source["kind"] == ""
        if source["strategy"] == "lines":
            assert row["without_tree"]
            assert parts.prefix.endswith(b"\n") or not parts.prefix
            assert parts.middle.endswith(b"\n") or not parts.suffix
        else:
            assert source["strategy"] == "random"


def test_files_in_front_of_an_infilled_one_come_back(make_config, repositories, tok, tmp_path):
    """Examples of several files: every file's bytes, its order, the budget of tokens and the shares."""
    chosen = {name: dict(list(members.items())[:20]) for name, members in repositories.items()}
    limits = SfimConfig(context_share=0.6, context_tokens=3000, context_files=3.0)
    summary = build_data(make_config(chosen, valid_share=0.0, sfim=limits))
    stream, rows = TokenStream(tmp_path / "data" / "train"), np.load(tmp_path / "data" / "train.examples.npy")
    described = [json.loads(line) for line in (tmp_path / "data" / "train.files.jsonl").read_bytes().splitlines()]
    last = [*(rows["place"][1:] == 0), True]
    assert [(s["repository"], s["path"]) for s in described] == [
        (n, p) for n in sorted(chosen) for p in sorted(chosen[n])
    ]
    grouped, tokens = set(), 0
    for row, source, ends, above in zip(rows, described, last, [-1, *rows["place"]], strict=False):
        assert row["place"] in (0, above + 1)
        start = int(stream.starts[row["document"]] + row["offset"])
        ids = stream.read(start, start + int(row["length"])).tolist()
        offset = -1 if row["middle_offset"] < 0 else int(row["middle_offset"] - row["offset"])
        header = header_of(source["language"], source["path"])
        parts = undo(ids, tok, header=header, middle_offset=offset, first=row["place"] == 0, last=ends)
        assert parts.file == chosen[source["repository"]][source["path"]]
        tokens = len(ids) if row["place"] == 0 else tokens + len(ids)
        if not ends or row["place"]:
            grouped.add(source["repository"])
            assert tokens <= 3000
        if not ends:
            assert row["objective"] == NTP
        elif row["place"] and len(parts.file) > 100:
            assert row["objective"] != NTP
    assert summary["train"]["files_in_front"] == last.count(False) > 40
    several = sum(len(members) > 2 for members in chosen.values())
    assert 0.3 * several < len(grouped) < 0.9 * several
