"""MultiPL-E's Java, SAFIM's Java and C#, on tasks of our own in the sets' form, compiled and run in the sandbox."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from aixmeg.errors import UserError
from aixmeg.eval import compiled
from aixmeg.eval.benchmarks import BENCHMARKS
from aixmeg.eval.command import evaluate
from aixmeg.eval.sandbox import Limits, Sandbox

needs_java = pytest.mark.skipif(
    bool(compiled.absent("java")), reason="no javac and java (apt-get install openjdk-17-jdk-headless)"
)
needs_mono = pytest.mark.skipif(
    bool(compiled.absent("c#")), reason="no mcs and mono (apt-get install mono-mcs mono-runtime)"
)
needs_tuples = pytest.mark.skipif(
    not compiled.tuples_library(), reason="no org.javatuples (apt-get install libjavatuples-java)"
)
LANGUAGES = [pytest.param("java", marks=needs_java), pytest.param("csharp", marks=needs_mono)]


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    # The wall clock is that of a busy machine; processor time is the limit that counts.
    with Sandbox("namespaces", Limits(cpu_seconds=10, wall_seconds=200, memory_bytes=512 << 20)) as sandbox:
        try:
            sandbox.check()
        except UserError as error:
            pytest.skip(f"no namespaces here: {error}")
        yield sandbox


def write(folder: Path, records: list[dict]) -> Path:
    path = folder / "set.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


# Number of lines given, then a word a line; printed are the words without repeats, sorted, and their number.
WORDS = {
    "java": """import java.util.*;

public class Main {
    public static void main(String[] args) {
        Scanner in = new Scanner(System.in);
        int n = in.nextInt();
        TreeSet<String> seen = new TreeSet<>();
        for (int i = 0; i < n; i++) {
            {{completion}}
        }
        for (String word : seen) System.out.println(word);
        System.out.println(seen.size());
    }
}
""",
    "csharp": """using System;
using System.Collections.Generic;
using System.Linq;

public class Program {
    public static void Main() {
        int n = int.Parse(Console.ReadLine());
        var seen = new HashSet<string>();
        for (int i = 0; i < n; i++) {
            {{completion}}
        }
        foreach (var word in seen.OrderBy(w => w, StringComparer.Ordinal)) Console.WriteLine(word);
        Console.WriteLine(seen.Count);
    }
}
""",
}
TRUTH = {"java": "seen.add(in.next());", "csharp": "seen.Add(Console.ReadLine());"}
TESTS = [
    {"input": "3\nzeta\nalpha\nzeta\n", "output": ["alpha\nzeta\n2\n"]},
    {"input": "1\n\u00fcber\n", "output": ["\u00fcber\n1\n"]},
]
FAULTS = {
    "java": {
        "loop": "while (n > 0) { seen.size(); }",
        "memory": "List<long[]> all = new ArrayList<>(); while (true) all.add(new long[1 << 20]);",
        "garbage": "long sum = 0; for (int j = 0; j < 2000; j++) sum += new long[1 << 17].length; " + TRUTH["java"],
        "exit": "System.exit(0);",
        "throw": "throw new IllegalStateException();",
        "write": 'try { new java.io.FileWriter("/etc/x").close(); } catch (java.io.IOException e) { System.exit(9); }',
        "network": 'try { new java.net.Socket("127.0.0.1", 9).close(); } catch (java.net.ConnectException e) '
                   "{ System.exit(8); } catch (java.io.IOException e) { System.exit(9); }",
    },
    "csharp": {
        "loop": "while (n > 0) { seen.Clear(); }",
        "memory": "var all = new List<long[]>(); while (true) { all.Add(new long[1 << 20]); "
                  "Array.Clear(all[all.Count - 1], 0, 1 << 20); }",
        "garbage": "long sum = 0; for (int j = 0; j < 2000; j++) sum += new long[1 << 17].Length; " + TRUTH["csharp"],
        "exit": "Environment.Exit(0);",
        "throw": "throw new InvalidOperationException();",
        "write": 'try { System.IO.File.WriteAllText("/etc/x", "x"); } catch (Exception) { Environment.Exit(9); }',
        "network": 'try { new System.Net.Sockets.TcpClient("127.0.0.1", 9); } '
                   "catch (Exception) { Environment.Exit(9); }",
    },
}  # fmt: skip


def safim(language: str, folder: Path, tests: list[dict] = TESTS) -> list:
    record = {"task_id": "block_completion_1", "lang": language, "eval_prompt": WORDS[language],
              "ground_truth": TRUTH[language], "unit_tests": tests}  # fmt: skip
    return BENCHMARKS["safim"].read(write(folder, [record]))


@pytest.mark.parametrize("language", LANGUAGES)
def test_safim_runs_it(language: str, tmp_path: Path, box: Sandbox) -> None:
    (task,) = safim(language, tmp_path)
    faults = FAULTS[language]
    for text, outcome, detail in (
        (TRUTH[language] + " ", "passed", ""),  # the truth to the letter is not run
        ("", "failed", "exit status 1 wrong answer to test 1"),
        ("seen.", "failed", "does not compile: "),
        (faults["exit"], "failed", "wrong answer to test 1"),
        (faults["throw"], "failed", "exit status 1"),
        (faults["write"], "failed", "exit status 9"),
        (faults["network"], "failed", "exit status "),
        (faults["loop"], "timeout", "10 s of CPU time"),
        (faults["memory"], "memory", ""),
        (faults["garbage"], "passed", ""),  # 2 GB in all, of which little is kept
    ):
        found = BENCHMARKS["safim"].score(task, text, box)
        assert (found["pass"], found["outcome"]) == (float(outcome == "passed"), outcome), (text, found)
        assert detail in str(found["detail"]), (text, found)


HEAD = """import java.util.*;
import java.util.stream.*;
import org.javatuples.*;
class Problem {
"""
MULTIPLE = {
    "plus": (HEAD + "    // Add.\n    public static long plus(long a, long b) {\n", "        return a + b;\n",
             "assert(plus((2l), (3l)) == (5l)); assert(plus((0l), (0l)) == (0l));"),
    "ends": (HEAD + "    // First and last.\n    public static Pair<Long, Long> ends(ArrayList<Long> all) {\n",
             "        return Pair.with(all.get(0), all.get(all.size() - 1));\n",
             "assert(ends(new ArrayList<Long>(Arrays.asList(3l, 4l, 5l))).equals(Pair.with(3l, 5l)));"),
    "tags": (HEAD + "    // Sorted letters.\n    public static String tags(String s) {\n",
             '        return s.chars().sorted().mapToObj(c -> "" + (char) c).collect(Collectors.joining());\n',
             'assert(tags(("hello")).equals(("ehllo")));'),
}  # fmt: skip


def multiple(folder: Path) -> Path:
    return write(folder, [
        {"name": f"HumanEval_{i}_{name}", "language": "java", "prompt": prompt, "stop_tokens": ["\n    }\n"],
         "tests": f"    }}\n    public static void main(String[] args) {{\n    {tests}\n    }}\n\n}}\n"}
        for i, (name, (prompt, _, tests)) in enumerate(MULTIPLE.items())
    ])  # fmt: skip


@needs_java
@needs_tuples
def test_multipl_e_in_java(tmp_path: Path, box: Sandbox) -> None:
    benchmark = BENCHMARKS["nl2code"]
    made = benchmark.read(multiple(tmp_path))
    for task, (_, body, _) in zip(made, MULTIPLE.values(), strict=True):
        found = benchmark.score(task, benchmark.cut(task, body + "    }\n    static int more() {"), box)
        assert found == {"pass": 1.0, "outcome": "passed", "detail": ""}, found
    plus = made[0]
    wrong = benchmark.score(plus, "        return a - b;\n", box)  # -ea: an assertion counts
    assert (wrong["pass"], wrong["outcome"]) == (0.0, "failed")
    assert str(benchmark.score(plus, "", box)["detail"]).startswith("does not compile: Problem.java:")
    assert benchmark.score(plus, "        while (true) {}\n", box)["outcome"] == "timeout"


@needs_java
def test_multipl_e_without_its_library_is_not_run(
    tmp_path: Path, box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "tuples_library", lambda: "")
    task = BENCHMARKS["nl2code"].read(multiple(tmp_path))[0]
    found = BENCHMARKS["nl2code"].score(task, "return a + b;", box)
    assert found["outcome"] == "not run"
    assert "org.javatuples is neither in CLASSPATH nor installed" in str(found["detail"])


@needs_java
@needs_mono
def test_the_command_scores_the_stand_ins(tmp_path: Path, box: Sandbox) -> None:
    records = [
        {"task_id": f"{part}_{language}_{i}", "lang": language, "eval_prompt": WORDS[language],
         "ground_truth": TRUTH[language], "unit_tests": json.dumps(TESTS)}
        for part in ("block_completion", "control_completion") for language in WORDS for i in range(1)
    ]  # fmt: skip
    path = write(tmp_path, records)
    for model, mean in (("oracle", 1.0), ("empty", 0.0)):
        summary = evaluate("safim", model=model, data=path, out=tmp_path / model)
        assert summary["metrics"][""]["pass@1"]["mean"] == mean
        assert summary["metrics"][""]["pass@1"]["tasks"] == len(records)


def test_tools_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled.shutil, "which", lambda name: None if name == "mono" else shutil.which)
    assert (compiled.absent("java"), compiled.absent("c#")) == ("", "mono")
