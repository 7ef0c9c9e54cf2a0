"""Hostile programs get a named outcome and harm nothing; honest ones run.

Whatever a program does here must stay harmless even if the sandbox were broken: canaries are files of the test, and
connections go to a port of the test.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from aixmeg.errors import UserError
from aixmeg.eval.sandbox import Limits, Outcome, Sandbox

LIMITS = Limits(
    cpu_seconds=1, wall_seconds=60, memory_bytes=192 << 20, file_bytes=4 << 20, processes=24, output_bytes=100_000
)
IMPATIENT = Limits(cpu_seconds=30, wall_seconds=2, memory_bytes=192 << 20, processes=24)


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox("namespaces", LIMITS) as sandbox:
        try:
            sandbox.check()
        except UserError as error:
            pytest.skip(f"no namespaces here: {error}")
        yield sandbox


def run(box: Sandbox, source: str) -> Outcome:
    return box.run_python(textwrap.dedent(source))


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's sandboxes have users to count processes by")


def processes_of_sandboxes() -> dict[int, int]:
    """Process → user; those from 60000 on are sandboxes' (jail.py), each of one, also of tests beside this one."""
    found = {}
    for process in psutil.process_iter(["uids"]):
        if process.info["uids"] and 60000 <= process.info["uids"].real < 65000:
            found[process.pid] = process.info["uids"].real
    return found


def remaining(before: Collection[int]) -> set[int]:
    """Processes that were not there before and do not end. The kernel may take a moment to bury one."""
    left = set(processes_of_sandboxes()) - set(before)
    end = time.monotonic() + 30
    while left and time.monotonic() < end:
        time.sleep(0.1)
        left &= set(processes_of_sandboxes())
    return left


HONEST = {
    "empty": "",
    "standard library": "import collections, dataclasses, hashlib, itertools, math, re\nassert math.sqrt(4) == 2",
    "dataclass": "import dataclasses\n@dataclasses.dataclass\nclass A:\n    x: int\nassert A(1).x == 1",
    "own files": "open('a.txt', 'w').write('x')\nassert open('a.txt').read() == 'x'",
    "prints": "print('x' * 50_000)",
    "threads": "import threading\nt = threading.Thread(target=print)\nt.start()\nt.join()",
    "catches its end": "import sys\ntry:\n    sys.exit(3)\nexcept SystemExit:\n    pass",
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_programs_pass(name: str, box: Sandbox) -> None:
    assert run(box, HONEST[name]) == Outcome(kind="passed", seconds=pytest.approx(0, abs=1))


@pytest.mark.parametrize(
    ("source", "kind", "detail"),
    [
        ("assert 1 == 2, 'no'", "failed", "AssertionError: no"),
        ("x = (", "failed", "SyntaxError"),
        ("import sys\nsys.exit(0)", "failed", "SystemExit: 0"),
        ("import os\nos._exit(0)", "left", "exit status 0"),
        ("import os\nprint('bye', flush=True)\nos._exit(3)", "left", "exit status 3 bye"),
        ("import ctypes\nctypes.string_at(0)", "crashed", "signal 11"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "crashed", "signal 9"),
        ("def f(): f()\nf()", "failed", "RecursionError"),
        ("input()", "failed", "EOFError"),
        ("import os\nif os.fork() == 0:\n    pass\nelse:\n    os.wait()\n    assert 0", "failed", "AssertionError"),
    ],
)
def test_failures_have_names(source: str, kind: str, detail: str, box: Sandbox) -> None:
    outcome = box.run_python(source)
    assert outcome.kind == kind
    assert detail in outcome.detail


def test_an_endless_loop_ends(box: Sandbox) -> None:
    outcome = run(box, "while True:\n    pass")
    assert (outcome.kind, outcome.detail) == ("timeout", "1 s of CPU time")
    outcome = run(box, "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True:\n    pass")
    assert outcome.kind == "timeout"


def test_sleeping_ends_by_the_clock(box: Sandbox) -> None:
    with Sandbox("namespaces", IMPATIENT) as impatient:
        assert impatient.run_python("import time\ntime.sleep(1000)").kind == "timeout"


def test_memory_is_bounded(box: Sandbox) -> None:
    assert run(box, "x = []\nwhile True:\n    x.append(bytearray(10_000_000))").kind == "memory"
    many = """
        import os, time
        for _ in range(3):
            os.fork()
        x = bytearray(100_000_000)
        time.sleep(50)
    """
    assert run(box, many).kind == "memory"  # each within its limit, all together not


def test_output_is_bounded(box: Sandbox) -> None:
    assert run(box, "while True:\n    print('x' * 1000)").kind == "output"


def test_files_are_bounded(box: Sandbox) -> None:
    outcome = run(box, "f = open('big', 'wb')\nwhile True:\n    f.write(bytes(1 << 20))")
    assert outcome.kind in ("failed", "crashed")  # no space on the small disk, or SIGXFSZ
    many = "for i in range(100):\n    open(str(i), 'wb').write(bytes(1 << 20))"
    assert "No space left" in run(box, many).detail


@needs_root
def test_a_fork_bomb_stays_small_and_leaves_nothing(box: Sandbox) -> None:
    bomb = """
        import os
        while True:
            try:
                os.fork()
            except OSError:
                pass
    """
    before, most = processes_of_sandboxes(), 0
    with Sandbox("namespaces", IMPATIENT) as impatient, ThreadPoolExecutor(1) as pool:
        future = pool.submit(impatient.run_python, textwrap.dedent(bomb))
        while not future.done():
            users = Counter(user for process, user in processes_of_sandboxes().items() if process not in before)
            most = max([most, *users.values()])
            time.sleep(0.02)
    assert future.result().kind == "timeout"
    assert 1 < most <= IMPATIENT.processes
    assert not remaining(before)


@needs_root
def test_what_a_program_starts_does_not_outlive_it(box: Sandbox) -> None:
    daemon = """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(1000)
            os._exit(0)
    """
    before = processes_of_sandboxes()
    assert run(box, daemon).passed
    assert not remaining(before)


def test_files_outside_cannot_be_changed(box: Sandbox, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("alive", encoding="utf-8")
    for folder in (canary, *canary.parents):  # even if everybody may write it
        if folder.is_relative_to(tmp_path):
            folder.chmod(0o777)
    for act in (f"os.remove({str(canary)!r})", f"open({str(canary)!r}, 'w')", f"shutil.rmtree({str(tmp_path)!r})"):
        assert run(box, f"import os, shutil\n{act}").kind == "failed", act
    assert canary.read_text(encoding="utf-8") == "alive"
    # Not by luck of its place: nothing at all is writable but the program's own folder, which is empty at first.
    everything = """
        import errno, os
        assert os.listdir('.') == [], os.listdir('.')
        for path in ('/', '/etc', '/usr', '/var', '/dev', '/proc', '/sys', '/root', '/home', '/opt'):
            if os.path.isdir(path):
                try:
                    open(path + '/aixmeg-canary', 'w')
                except OSError as error:
                    assert error.errno in (errno.EROFS, errno.EACCES, errno.ENOENT, errno.EPERM), error
                else:
                    raise AssertionError(path)
        assert os.statvfs('/').f_flag & os.ST_RDONLY
    """
    outcome = run(box, everything)
    assert outcome.passed, outcome
    assert run(box, "import os\nassert os.listdir('.') == []").passed  # of what another program left


def test_the_network_cannot_be_reached(box: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        outcome = run(box, f"import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=5)")
        assert outcome.kind == "failed"
        with pytest.raises(BlockingIOError):
            server.accept()


def test_other_processes_cannot_be_seen_or_signalled(box: Sandbox) -> None:
    assert run(box, "import os\nassert sum(name.isdigit() for name in os.listdir('/proc')) == 2").passed
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        assert run(box, f"import os\nos.kill({victim.pid}, 9)").kind == "failed"
        assert run(box, "import os\nos.kill(-1, 9)").kind in ("failed", "crashed", "passed")
        assert victim.poll() is None
        assert run(box, "").passed  # the sandbox is still there
    finally:
        victim.kill()
        victim.wait()


def test_rights_cannot_be_won_back(box: Sandbox) -> None:
    source = """
        import ctypes, os
        libc = ctypes.CDLL(None)
        libc.unshare(0x10000000 | 0x00020000)
        assert libc.mount(b'', b'/', b'', 0x1000 | 0x20, None) == -1
        assert os.statvfs('/').f_flag & os.ST_RDONLY
        for line in open('/proc/self/status'):
            if line.startswith('NoNewPrivs'):
                assert line.split()[1] == '1'
        try:
            os.setuid(0)
        except OSError:
            pass
        assert os.getuid() != 0
    """
    outcome = run(box, source)
    assert outcome.passed or "setuid" in outcome.detail, outcome


@needs_root
def test_the_end_of_who_asked_is_the_end_of_the_program(box: Sandbox) -> None:
    """A killed evaluation leaves nothing running."""
    before = processes_of_sandboxes()
    code = textwrap.dedent("""
        from aixmeg.eval.sandbox import *
        Sandbox('namespaces', Limits(wall_seconds=500)).run_python('import time; time.sleep(900)')
    """)
    asker = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    try:
        while not (started := set(processes_of_sandboxes()) - set(before)):
            assert asker.poll() is None
            time.sleep(0.05)
    finally:
        asker.kill()
        asker.wait()
    for _ in range(200):
        if not (started & set(processes_of_sandboxes())):
            break
        time.sleep(0.1)
    assert not started & set(processes_of_sandboxes())


def test_other_languages_run_as_commands(box: Sandbox) -> None:
    script = {"main.sh": 'test -n "$HOME" && echo made > out && cat out\n'}
    assert box.run_commands(script, [["sh", "main.sh"], ["test", "-f", "out"]]).passed
    failed = box.run_commands(script, [["sh", "-c", "echo broken; exit 7"], ["sh", "-c", "exit 0"]])
    assert (failed.kind, failed.detail) == ("failed", "exit status 7 broken")
    assert box.run_commands({}, [["no-such-compiler"]]).kind == "failed"
    assert box.run_commands({}, [["sh", "-c", "while :; do :; done"]]).kind == "timeout"


def test_many_at_a_time(box: Sandbox) -> None:
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(box.run_python, [f"assert {i} % 3" for i in range(24)]))
    assert [outcome.passed for outcome in outcomes] == [bool(i % 3) for i in range(24)]


def test_without_namespaces_python_code_is_refused_the_worst(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("alive", encoding="utf-8")
    refused = (
        f"import os\nos.remove({str(canary)!r})", f"open({str(canary)!r}, 'w')", "import socket\nsocket.socket()",
        "import os\nos.fork()", "import subprocess\nsubprocess.run(['true'])", "import os\nos.system('true')",
    )  # fmt: skip
    with Sandbox("limits", LIMITS) as sandbox:
        for source in refused:
            outcome = sandbox.run_python(source)
            assert "the sandbox allows no" in outcome.detail, (source, outcome)
        assert sandbox.run_python("open('a', 'w').write('x')\nimport os\nos.remove(os.path.abspath('a'))").passed
        assert sandbox.run_python("while True:\n    pass").kind == "timeout"
        assert sandbox.run_python("x = []\nwhile True:\n    x.append(bytearray(10_000_000))").kind == "memory"
        with pytest.raises(UserError, match="without namespaces only Python"):
            sandbox.run_commands({}, [["true"]])
    assert canary.read_text(encoding="utf-8") == "alive"
