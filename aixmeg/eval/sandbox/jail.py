"""The inside of the sandbox: a script that `run.py` starts, which runs one program after the other.

Each line of its standard input describes a program, each line of its output is a report. For every program there are
three processes: one enters new namespaces; the first one inside (process 1 of its PID namespace) makes the file system
read-only, watches time, memory, processes and output, and reports; the third becomes the program. When process 1 ends,
for whatever reason, the kernel kills everything inside, so nothing a program starts outlives it.

The standard library alone is imported: what is loaded here is what a program finds loaded.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import time
import types
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # started with -I, which leaves the script's own folder out
import system  # type: ignore[import-not-found]

_POLL_SECONDS = 0.02
_HIDDEN = ("/root", "/home", "/var/tmp", "/dev/shm", "/run")  # noqa: S108 (they are hidden, not used)
_PLACE = "/tmp"  # noqa: S108 (a disk in memory of the program's own)
_FIRST_UID = 60000
"""The program's user, when root starts it: root itself has no limit of processes. Each program gets a user of its own,
for the limit counts a user's processes."""


def main() -> None:
    """Serve until the input ends."""
    while line := sys.stdin.buffer.readline():
        child = os.fork()
        if child == 0:
            _serve(json.loads(line))
        os.waitpid(child, 0)


def _serve(spec: dict[str, Any]) -> None:
    """One program; never returns."""
    try:
        system.die_with_parent()
        spec["uid"] = _FIRST_UID + os.getpid() % 5000 if os.geteuid() == 0 else None
        if spec["mode"] == "namespaces":
            _enter_namespaces()
        init = os.fork()
        if init == 0:
            _first_inside(spec)
        if os.waitpid(init, 0)[1] != 0:
            _report({"killed": True})
    except Exception as error:
        _report({"broken": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(0)


def _first_inside(spec: dict[str, Any]) -> None:
    try:
        system.die_with_parent()
        if spec["mode"] == "namespaces":
            _prepare_files(spec)
        else:
            os.chdir(spec["folder"])
        _report(_watch(spec))
    except Exception as error:
        _report({"broken": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(0)


def _report(report: dict[str, Any]) -> None:
    os.write(1, json.dumps(report).encode() + b"\n")


def _enter_namespaces() -> None:
    wanted = system.CLONE_NEWNS | system.CLONE_NEWPID | system.CLONE_NEWNET | system.CLONE_NEWIPC | system.CLONE_NEWUTS
    uid, gid = os.getuid(), os.getgid()
    if uid == 0:
        system.unshare(wanted)
        return
    system.unshare(wanted | system.CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def _prepare_files(spec: dict[str, Any]) -> None:
    """Everything read-only, homes and other people's temporary files hidden, one small writable folder: /tmp."""
    kept = {path: os.open(path, os.O_PATH) for path in spec["visible"]}
    system.mount("", "/", "", system.MS_REC | system.MS_PRIVATE)
    system.read_only("/")
    flags = system.MS_NOSUID | system.MS_NODEV
    owner = "" if spec["uid"] is None else f",uid={spec['uid']},gid={spec['uid']}"
    system.mount("tmpfs", _PLACE, "tmpfs", flags, f"size={spec['file_bytes']},nr_inodes=20000,mode=700{owner}")
    hidden = [folder for folder in _HIDDEN if Path(folder).is_dir() and not Path(folder).is_symlink()]
    for folder in hidden:
        system.mount("tmpfs", folder, "tmpfs", flags, "size=64k,mode=755")
    for path, descriptor in kept.items():
        if not Path(path).exists():
            Path(path).mkdir(parents=True)
            system.mount(f"/proc/self/fd/{descriptor}", path, "", system.MS_BIND | system.MS_REC)
            system.read_only(path)
        os.close(descriptor)
    for folder in hidden:
        system.read_only(folder)
    system.mount("proc", "/proc", "proc", flags | system.MS_NOEXEC)
    os.chdir(_PLACE)


def _watch(spec: dict[str, Any]) -> dict[str, Any]:
    """Start the program, kill it when it takes too much, and say how it ended."""
    answer, answer_end = os.pipe()
    output, output_end = os.pipe()
    program = os.fork()
    if program == 0:
        _become_program(spec, answer_end, output_end)
    os.close(answer_end)
    os.close(output_end)
    os.set_blocking(answer, False)
    os.set_blocking(output, False)
    end = time.monotonic() + spec["wall_seconds"]
    printed, tail, reason = 0, b"", None
    while True:
        # The input ends when who asked is gone; output is read so that the program never waits for it.
        ready, _, _ = select.select([0, output] if printed >= 0 else [0], [], [], _POLL_SECONDS)
        part = _read(output) if output in ready else None
        if part == b"":
            printed = -1  # the other end is closed
        elif part is not None:
            printed, tail = printed + len(part), (tail + part)[-600:]
        pid, status, usage = os.wait4(-1, os.WNOHANG)
        if pid == program:
            break
        late = "timeout" if time.monotonic() > end or 0 in ready else None
        reason = reason or late or ("output" if printed > spec["output_bytes"] else None) or _excess(spec)
        if reason:
            os.kill(program, signal.SIGKILL)
    return {
        "status": os.waitstatus_to_exitcode(status), "reason": reason, "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "answer": (_read(answer) or b"").decode("utf-8", "replace"),
        "tail": (tail + (_read(output) or b""))[-600:].decode("utf-8", "replace"),
    }  # fmt: skip


def _read(descriptor: int) -> bytes | None:
    """What is there to read; None for nothing yet, though the other end is open."""
    try:
        return os.read(descriptor, 65536)
    except BlockingIOError:
        return None


def _excess(spec: dict[str, Any]) -> str | None:
    """What all processes of the sandbox together have too much of; only inside a PID namespace are they all known."""
    if spec["mode"] != "namespaces":
        return None
    pages = count = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            try:
                pages += int(Path(entry.path, "statm").read_text().split()[1])
                count += 1
            except OSError:
                continue
    if pages * resource.getpagesize() > spec["memory_bytes"] + (64 << 20):  # a little for this process itself
        return "memory"
    return "processes" if count > spec["processes"] + 2 else None


def _become_program(spec: dict[str, Any], answer: int, output: int) -> None:
    """Limits first, then the user without rights, then the program; never returns."""
    itself = os.getpid()
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        answer = os.dup2(answer, 3)
        os.closerange(4, 256)
        _set_limits(spec)
        if spec["uid"] is not None and spec["mode"] == "namespaces":
            os.setgroups([])
            os.setresgid(*[spec["uid"]] * 3)
            os.setresuid(*[spec["uid"]] * 3)
        system.drop_privileges()
        if spec["mode"] != "namespaces":
            sys.addaudithook(_guard(spec["folder"]))
        if spec["commands"]:
            _run_commands(spec)
        else:
            _run_python(spec, answer)
    except BaseException as error:
        if os.getpid() == itself:  # and no copy that the program made of itself
            os.write(answer, f"E{type(error).__name__}: {error}"[:500].encode("utf-8", "replace"))
    finally:
        os._exit(1)


def _set_limits(spec: dict[str, Any]) -> None:
    seconds = spec["cpu_seconds"]
    limits = {
        resource.RLIMIT_CPU: (seconds, seconds + 1),
        resource.RLIMIT_FSIZE: (spec["file_bytes"],) * 2,
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_NOFILE: (256, 256),
        resource.RLIMIT_MEMLOCK: (65536, 65536),
    }
    # Without namespaces the limit would count the user's other processes too, so that none could be started at all.
    if spec["mode"] == "namespaces":
        limits[resource.RLIMIT_NPROC] = (spec["processes"],) * 2
    if not spec["commands"]:  # node and java reserve far more than they use; `_excess` counts what they use
        limits[resource.RLIMIT_AS] = (spec["memory_bytes"],) * 2
    for what, (soft, hard) in limits.items():
        _, most = resource.getrlimit(what)
        bound = sys.maxsize if most == resource.RLIM_INFINITY else most
        resource.setrlimit(what, (min(soft, bound), min(hard, bound)))


def _run_python(spec: dict[str, Any], answer: int) -> None:
    """The program passes by reaching its end; leaving early by `sys.exit(0)` is no pass, as in HumanEval's scorer."""
    module = types.ModuleType("program")
    sys.modules["program"] = module
    sys.argv = ["program.py"]
    source, token, itself = spec["source"], spec["token"], os.getpid()
    spec.clear()
    exec(compile(source, "program.py", "exec"), module.__dict__)  # noqa: S102 (what the sandbox is for)
    if os.getpid() == itself:
        os.write(answer, f"P{token}".encode())
    os._exit(0)


def _run_commands(spec: dict[str, Any]) -> None:
    """Write the files, run each command; the first that fails gives the exit status."""
    for name, text in spec["files"].items():
        Path(name).write_text(text, encoding="utf-8")
    environment = {"PATH": spec["path"], "HOME": str(Path.cwd()), "TMPDIR": str(Path.cwd()), "LANG": "C.UTF-8"}
    for command in spec["commands"]:
        child = os.fork()
        if child == 0:
            os.execvpe(command[0], command, environment)  # noqa: S606
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status:
            os._exit(status if status > 0 else 128 - status)
    os._exit(0)


def _guard(folder: str) -> Any:
    """Without namespaces: Python code is refused sockets, processes and writing elsewhere (C code is not)."""
    refused = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "os.kill", "ctypes.",
               "pty.", "signal.pthread_kill", "os.chmod", "os.chown", "os.setxattr", "os.truncate",
               "shutil.")  # fmt: skip
    changing = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chdir")

    def inside(path: Any) -> bool:
        return not isinstance(path, int) and os.path.realpath(os.fsdecode(path)).startswith(folder + "/")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(refused):
            raise PermissionError(f"the sandbox allows no {event}")
        writing = event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        if (writing and not isinstance(arguments[0], int) and not inside(arguments[0])) or (
            event.startswith(changing) and not inside(arguments[0])
        ):
            raise PermissionError(f"the sandbox allows no {event} outside its folder")

    return hook


if __name__ == "__main__":
    main()
