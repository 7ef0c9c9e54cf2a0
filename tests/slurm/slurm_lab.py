"""A real SLURM cluster on this machine: one controller and some nodes, daemons of our own in a private folder.

Nothing of the system's SLURM is touched, every daemon listens on the loopback address alone, and all are ended when the
lab is closed. Needs Debian's slurmctld, slurmd, slurm-client and munge, and root.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scancel", "munged")


def missing() -> str:
    """Why there can be no lab here, or nothing."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None]
    if absent:
        return f"{', '.join(absent)} not installed (apt-get install slurmctld slurmd slurm-client munge)"
    return "" if os.geteuid() == 0 else "starting slurmd takes root"


def free_ports(count: int) -> int:
    """The first of `count` neighbouring ports of the loopback address that nobody listens on.

    Two processes that start labs at once begin at different ones; ranks meet at 20,000 and above.
    """
    for first in range(10_000 + os.getpid() * 16 % 8_000, 20_000, count):
        sockets = []
        try:
            for port in range(first, first + count):
                sockets.append(socket.socket())
                sockets[-1].bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
        finally:
            for one in sockets:
                one.close()
    raise RuntimeError("no free ports")


class Lab:
    """`with Lab(folder, nodes=2) as lab: lab.run("sinfo")`."""

    def __init__(self, folder: Path, *, nodes: int = 2, cpus: int = 2) -> None:
        self.folder, self._nodes, self._cpus = folder, nodes, cpus
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"),
                            "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin"}  # fmt: skip

    def __enter__(self) -> Lab:
        for name in ("run", "log", "state", "spool", "tmp"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "slurm.conf").write_text(self._configuration(free_ports(1 + self._nodes)))
        try:
            self._start_munge()
            self._start("slurmctld", "slurmctld", "-D", "-f", self.folder / "slurm.conf")
            for number in range(1, self._nodes + 1):
                self.start_node(f"n{number}")
            self._await_nodes()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in ["slurmctld", *[name for name in self._daemons if name.startswith("n")], "munged"]:
            self.stop(name)

    def run(self, *command: object, check: bool = True) -> str:
        """The output of a client's command against this cluster."""
        words = [str(word) for word in command]
        return subprocess.run(
            words, env=self.environment, check=check, capture_output=True, text=True, timeout=60
        ).stdout

    def start_node(self, name: str) -> None:
        """Start the daemon of a node."""
        (self.folder / "spool" / name).mkdir(exist_ok=True)
        (self.folder / "tmp" / name).mkdir(exist_ok=True)
        self._start(name, "slurmd", "-D", "-f", self.folder / "slurm.conf", "-N", name)

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        """End a daemon by its own process id."""
        process = self._daemons.pop(name, None)
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _start(self, name: str, *command: object) -> None:
        log = (self.folder / "log" / f"{name}.out").open("wb")
        words = [str(word) for word in command]
        self._daemons[name] = subprocess.Popen(words, env=self.environment, stdout=log, stderr=log, cwd=self.folder)

    def _start_munge(self) -> None:
        run = self.folder / "run"
        key = run / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        self._start(
            "munged", "munged", "--foreground", f"--key-file={key}", f"--socket={run}/munge.socket", "--force",
            f"--pid-file={run}/munged.pid", f"--log-file={self.folder}/log/munged.log", f"--seed-file={run}/munge.seed",
        )  # fmt: skip
        self._await((run / "munge.socket").exists, "munged")

    def _await_nodes(self) -> None:
        def ready() -> bool:
            states = self.run("sinfo", "-h", "-N", "-o", "%T", check=False).split()
            return len(states) >= self._nodes and all(state == "idle" for state in states)

        self._await(ready, "slurmctld")

    def _await(self, ready, name: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not ready():
            if self._daemons[name].poll() is not None or time.monotonic() > end:
                log = (self.folder / "log" / f"{name}.out").read_text(errors="replace")
                raise RuntimeError(f"{name} did not come up: {log[-2000:]}")
            time.sleep(0.1)

    def _configuration(self, port: int) -> str:
        host = socket.gethostname().split(".")[0]
        d = self.folder
        ports = f"[{port + 1}-{port + self._nodes}]"
        nodes = (
            f"n[1-{self._nodes}] NodeHostname={host} NodeAddr=127.0.0.1 Port={ports} CPUs={self._cpus} RealMemory=8000"
        )
        return f"""ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={d}/run/munge.socket,cred_expire=5
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={d}/state
SlurmdSpoolDir={d}/spool/%n
TmpFS={d}/tmp/%n
SlurmctldPidFile={d}/run/slurmctld.pid
SlurmdPidFile={d}/run/slurmd.%n.pid
SlurmctldLogFile={d}/log/slurmctld.log
SlurmdLogFile={d}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
JobRequeue=1
ReturnToService=1
SlurmctldTimeout=10
SlurmdTimeout=10
KillWait=2
MinJobAge=600
InactiveLimit=0
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={d}/log/jobcomp.txt
NodeName={nodes} State=UNKNOWN
PartitionName=batch Nodes=ALL Default=YES MaxTime=01:00:00 State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=60
PartitionName=high Nodes=ALL MaxTime=01:00:00 State=UP PriorityTier=10 PreemptMode=OFF
"""
