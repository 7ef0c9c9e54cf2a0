"""Which files and repositories are dropped, against brute force, and whatever the shards."""

import hashlib
import itertools
import random

import near_samples as samples
import numpy as np
import pytest

from aixmeg.config.corpus import NearConfig
from aixmeg.corpus.near import OUTCOMES, Sketches, deduplicate, find_duplicates
from aixmeg.corpus.near.bands import choose_bands
from aixmeg.corpus.near.pairs import BUCKET, Pairs
from aixmeg.corpus.near.shards import Shards, documents_file, name_hash, signatures_file
from aixmeg.corpus.near.spill import Spill
from aixmeg.corpus.near.table import Table

NONE = 0xFFFFFFFF


def run(files, folder, config=None, ranking=()):
    """{(repository, path): (reason, what is kept instead)}, and the whole result."""
    result = deduplicate(files, folder, config, ranking)
    names = [file[:2] for file in files]
    pairs = zip(names, result.reasons(), result.because, strict=True)
    return {name: (reason, names[at] if at != NONE else None) for name, reason, at in pairs}, result


def library(seed, count=8):
    return {f"lib/module_{i}.py": samples.text(seed * 1000 + i, 200) for i in range(count)}


def repository(name, files):
    return [(name, path, content) for path, content in files.items()]


def found_pairs(contents, folder, config):
    sketches = Sketches(config.permutations)
    for number, content in enumerate(contents):
        sketches.add(f"r{number:05d}", "f.py", content, hashlib.sha256(content).digest())
    sketches.write(folder / "0")
    shards = Shards([folder / "0"], config.permutations)
    table = Table(shards, [f"r{number:05d}" for number in range(len(contents))], folder / "table")
    pairs = Pairs(shards, table, choose_bands(config), config, folder)
    rows = [row for rows in pairs.find(np.arange(len(contents), dtype=np.uint32)) for row in rows.tolist()]
    assert all(better < worse for better, worse in rows)
    assert len(rows) == len(set(rows)) == pairs.verified
    return set(rows)


@pytest.mark.parametrize("memory", [1 << 30, 1 << 18])
def test_pairs_are_those_of_brute_force(tmp_path, memory):
    """Real files and edited copies of them; within five standard errors of the threshold either answer is right."""
    contents = samples.real_files(40)
    draw = random.Random(1)
    for seed in range(120):
        content = draw.choice(contents[:40])
        contents.append(samples.edited(content, seed, draw.randrange(1 + len(samples.words(content)) // 60)))
    contents = list(dict.fromkeys(contents))
    config = NearConfig(memory_bytes=memory, recall=0.999)
    error = 5 * choose_bands(config).standard_error
    sets = [samples.gram_set(content) for content in contents]
    similar = {}
    for a, b in itertools.combinations(range(len(contents)), 2):
        if shared := len(sets[a] & sets[b]):
            similar[a, b] = shared / len(sets[a] | sets[b])
    found = found_pairs(contents, tmp_path, config)
    assert min(similar.get(pair, 0.0) for pair in found) >= 0.85 - error
    sure = {pair for pair, value in similar.items() if value >= 0.85 + error}
    assert len(sure) > 40
    assert sure <= found


def test_equal_files_then_similar_ones_then_small_ones(tmp_path):
    base = samples.text(1, 300)
    near, far = samples.edited(base, 1, 2), samples.edited(base, 1, 120)
    files = [
        ("a", "x.py", base), ("b", "y.py", base), ("c", "z.py", near), ("d", "w.py", far),
        ("e", "four.py", b"one two three four"), ("f", "four.py", b"one two three,four"), ("g", "empty.py", b""),
        ("h", "empty.py", b""),
    ]  # fmt: skip
    found, result = run(files, tmp_path, NearConfig(repository_threshold=2.0))
    assert found == {
        ("a", "x.py"): ("", None),
        ("b", "y.py"): ("exact_duplicate", ("a", "x.py")),
        ("c", "z.py"): ("near_duplicate", ("a", "x.py")),
        ("d", "w.py"): ("", None),
        ("e", "four.py"): ("", None),
        ("f", "four.py"): ("", None),
        ("g", "empty.py"): ("", None),
        ("h", "empty.py"): ("exact_duplicate", ("g", "empty.py")),
    }
    assert result.summary["outcomes"]["near_duplicate"] == 1
    assert result.summary["documents"] == len(files)


def test_the_kept_copy_is_of_the_best_repository_then_the_larger_file(tmp_path):
    base = samples.text(2, 300)
    larger = base + b"        "
    copies = [samples.edited(base, seed, 1) for seed in range(3)]
    files = [("low", "a.py", larger), ("top", "b.py", copies[0]), ("mid", "c.py", copies[1]), ("top", "d.py", larger)]
    off = NearConfig(repository_threshold=2.0)
    for number, order in enumerate(itertools.permutations(files)):
        found, _ = run(list(order), tmp_path / str(number), off, ranking=("top", "mid", "low"))
        assert found["top", "d.py"] == ("", None)
        assert found["low", "a.py"] == ("exact_duplicate", ("top", "d.py"))
        assert found["top", "b.py"] == found["mid", "c.py"] == ("near_duplicate", ("top", "d.py"))
    found, _ = run(files, tmp_path / "other", off, ranking=("low", "mid", "top"))
    assert found["low", "a.py"] == ("", None)


def test_a_chain_keeps_both_of_its_ends(tmp_path):
    """A ~ B ~ C and A unlike C: union-find would keep A alone."""
    a = samples.text(3, 1000)
    b = samples.edited(a, 1, 12)
    c = samples.edited(b, 2, 11)
    assert min(samples.jaccard(a, b), samples.jaccard(b, c)) > 0.88 > 0.81 > samples.jaccard(a, c)
    files = [("1", "a.py", a), ("2", "b.py", b), ("3", "c.py", c)]
    found, _ = run(files, tmp_path)
    assert [reason for reason, _ in found.values()] == ["", "near_duplicate", ""]
    found, _ = run(files, tmp_path, ranking=("2", "1", "3"))
    assert [reason for reason, _ in found.values()] == ["near_duplicate", "", "near_duplicate"]


def test_an_equal_file_names_the_copy_that_is_kept_in_the_end(tmp_path):
    base = samples.text(4, 300)
    near = samples.edited(base, 1, 1)
    found, _ = run([("1", "a.py", base), ("2", "b.py", near), ("3", "c.py", near)], tmp_path)
    assert found["3", "c.py"] == ("exact_duplicate", ("1", "a.py"))


def test_versions_and_forks_collapse_and_holders_of_a_library_do_not(tmp_path):
    first = library(1)
    second = {path: samples.edited(text, 9, 2 if i < 6 else 60) for i, (path, text) in enumerate(first.items())}
    fork = dict(first, **{"extra.py": samples.text(77, 150)})
    holders = [
        repository(f"app{n}", {f"vendor/{path}": text for path, text in first.items()} | library(50 + n, 20))
        for n in range(12)
    ]
    files = [*repository("lib-1", first), *repository("lib-2", second), *repository("fork", fork)]
    files += [file for holder in holders for file in holder]
    apps = [f"app{n}" for n in range(12)]
    for number, ranking in enumerate(
        (["lib-1", "lib-2", "fork", *apps], [*apps[:3], "lib-2", "fork", "lib-1", *apps[3:]])
    ):
        found, result = run(files, tmp_path / str(number), None, ranking)
        best = min(("lib-1", "lib-2", "fork"), key=ranking.index)
        assert set(result.repositories) == {"lib-1", "lib-2", "fork"} - {best}
        assert all(kept == best and 0.4 <= share <= 1.0 for kept, share in result.repositories.values())
        dropped = {name for name, (reason, _) in found.items() if reason == "repository_duplicate"}
        assert {repository for repository, _ in dropped} == set(result.repositories)
        assert all(found[f"app{n}", f"lib/module_{i}.py"][0] == "" for n in range(12) for i in range(20))
    found, result = run(files, tmp_path / "off", NearConfig(repository_threshold=1.5))
    assert not result.repositories


def test_a_dropped_repository_does_not_speak_against_others(tmp_path):
    """What only the dropped version holds is kept where another repository holds it too."""
    first = library(2)
    only = samples.text(500, 200)
    second = dict(first, **{"lib/new.py": only})
    files = [
        *repository("1", first),
        *repository("2", second),
        ("3", "copy.py", only),
        ("4", "near.py", samples.edited(only, 1, 1)),
    ]
    found, result = run(files, tmp_path)
    assert set(result.repositories) == {"2"}
    assert found["3", "copy.py"] == ("", None)
    assert found["4", "near.py"] == ("near_duplicate", ("3", "copy.py"))


def test_alike_is_measured_by_hand(tmp_path):
    """Same name, in both directions, by bytes."""
    a = {f"d/{i}.py": samples.text(i, 100) for i in range(4)}
    b = {"e/0.py": a["d/0.py"], "e/other.py": a["d/1.py"], "e/2.py": samples.text(90, 300)}
    _, result = run([*repository("a", a), *repository("b", b)], tmp_path, NearConfig(repository_threshold=0.01))
    share = len(a["d/0.py"]) / max(sum(map(len, side.values())) for side in (a, b))  # 1.py is 'other.py' there
    assert result.repositories == {"b": ("a", pytest.approx(share, abs=1e-4))}


def sharded(files, cuts, folder, config, ranking):
    shards, verdicts = [], {}
    for number, (start, stop) in enumerate(itertools.pairwise([0, *cuts, len(files)])):
        sketches = Sketches(config.permutations)
        for repository_name, path, content in files[start:stop]:
            sketches.add(repository_name, path, content, hashlib.sha256(content).digest())
        shards.append(folder / f"{number:03d}")
        sketches.write(shards[-1])
    found = find_duplicates(shards, ranking, config, folder / "work")
    rows = np.concatenate([np.load(path) for path in found.verdicts])
    for (name, path, _), (outcome, because) in zip(files, rows.tolist(), strict=True):
        verdicts[name, path] = OUTCOMES[outcome], files[because][:2] if because != NONE else None
    assert not (folder / "work").exists()
    return verdicts, found.repositories


def test_shards_their_order_and_memory_change_nothing(tmp_path):
    base = [samples.text(seed, 150) for seed in range(60)]
    files = [(f"r{n % 9}", f"{n}.py", text) for n, text in enumerate(base)]
    files += [(f"r{(n * 5) % 9}", f"copy{n}.py", samples.edited(text, n, n % 6)) for n, text in enumerate(base * 3)]
    files += repository("v1", library(8)) + repository("v2", library(8))
    ranking = ["v1", "r3", "r1", "v2", "r0", "r2", "r8", "r7", "r6", "r5"]  # r4 is unranked
    config = NearConfig(memory_bytes=1 << 30)
    expected = sharded(files, [], tmp_path / "one", config, ranking)
    reasons = {reason for reason, _ in expected[0].values()}
    assert reasons == set(OUTCOMES)
    assert all((reason == "unranked") == (name[0] == "r4") for name, (reason, _) in expected[0].items())
    for seed in range(4):
        draw = random.Random(seed)
        mixed = draw.sample(files, len(files))
        cuts = sorted(draw.sample(range(len(files) + 1), seed * 3))
        small = NearConfig(memory_bytes=1 << (20 - seed))  # many partitions
        assert sharded(mixed, cuts, tmp_path / str(seed), small, ranking) == expected


def test_a_crowded_band_is_cut_and_told(tmp_path):
    base = samples.text(11, 400)
    files = [(f"r{n:03d}", "f.py", samples.edited(base, n, 1)) for n in range(3 * BUCKET)]
    found, result = run(files, tmp_path, NearConfig(repository_threshold=2.0))
    assert [reason for reason, _ in found.values()].count("") == 1
    assert result.summary[f"behind_{BUCKET}_in_a_band"] > 0
    assert result.summary["candidate_pairs"] <= 3 * BUCKET * (BUCKET + 1) * result.summary["bands"]
    assert result.summary["largest_cluster"] == 3 * BUCKET


def test_no_files_no_shards_and_names_that_are_no_text(tmp_path):
    assert find_duplicates([], [], NearConfig(), tmp_path / "w").verdicts == ()
    found, result = run([], tmp_path / "none")
    assert not found
    assert result.summary["outcomes"]["kept"] == 0
    odd = [("r\udcff", "a\n\udce9.py", b"x"), ("r", "", b"y"), ("r", "中/文.py", b"x")]
    found, _ = run(odd, tmp_path / "odd")
    assert found["r\udcff", "a\n\udce9.py"] == ("exact_duplicate", ("r", "中/文.py"))
    assert name_hash("r\udcff") != name_hash("r")


def test_damaged_and_foreign_files_are_told(tmp_path):
    sketches = Sketches(64)
    sketches.add("r", "f.py", b"some words of a file", b"0" * 32)
    sketches.write(tmp_path / "0")
    small = NearConfig(permutations=64, recall=0.9)
    with pytest.raises(ValueError, match=r"near\.permutations"):
        find_duplicates([tmp_path / "0"], ["r"], NearConfig(), tmp_path / "w")
    with pytest.raises(ValueError, match="ranked twice"):
        find_duplicates([tmp_path / "0"], ["r", "r"], small, tmp_path / "w")
    assert find_duplicates([tmp_path / "0"], ["r"], small, tmp_path / "w").summary["outcomes"]["kept"] == 1
    with pytest.raises(ValueError, match="at least 16"):
        sketches.add("r", "f.py", b"", b"short")
    for path in (documents_file(tmp_path / "0"), signatures_file(tmp_path / "0")):
        whole = path.read_bytes()
        for damage in (whole[:40], b"", whole[:-1]):
            path.write_bytes(damage)
            with pytest.raises(ValueError, match="scan"):
                find_duplicates([tmp_path / "0"], ["r"], small, tmp_path / "w")
        path.unlink()
        with pytest.raises(ValueError, match="cannot read"):
            find_duplicates([tmp_path / "0"], ["r"], small, tmp_path / "w")
        path.write_bytes(whole)


def test_spilled_rows_come_back_by_partition(tmp_path):
    kind = np.dtype([("key", "<u8"), ("value", "<u4")])
    rows = np.empty(5000, kind)
    rows["key"] = np.random.default_rng(0).integers(0, 1 << 63, 5000, np.uint64) * 2
    rows["value"] = np.arange(5000)
    with Spill(tmp_path / "s", kind, expected=5000, memory=20_000) as spill:
        assert spill.partitions == 18
        for chunk in np.array_split(rows, 7):
            spill.add(chunk, spill.by_hash(chunk["key"]))
        parts = list(spill)
        assert sum(map(len, parts)) == spill.count == 5000
        assert all((np.diff(part["value"].astype(int)) > 0).all() for part in parts)
        assert all(len({*spill.by_hash(part["key"]).tolist()}) <= 1 for part in parts)
        assert sorted(np.concatenate(parts)["value"].tolist()) == list(range(5000))
    assert not (tmp_path / "s").exists()


def test_versions_are_compared_with_the_one_that_is_kept(tmp_path):
    """Half of the second version is the first's and half the third's; the third shares nothing with the first."""
    first, third = library(3), {f"lib/late_{i}.py": samples.text(3000 + i, 200) for i in range(8)}
    second = dict(list(first.items())[:4] + list(third.items())[:4])
    files = [*repository("1", first), *repository("2", second), *repository("3", third)]
    _, result = run(files, tmp_path / "a", None, ["1", "2", "3"])
    assert set(result.repositories) == {"2"}
    _, result = run(files, tmp_path / "b", None, ["2", "1", "3"])
    assert set(result.repositories) == {"1", "3"}
