# SPDX-License-Identifier: GPL-3.0-or-later
"""A SLURM of its own on this machine, in a folder: Debian's munged, slurmctld and slurmd, on ports of their own."""

import getpass
import os
import shutil
import socket
import subprocess
import time

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")
QUEUE = "normal"
_CONF = """ClusterName=trial
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={port}
SlurmdPort={other}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdSpoolDir={folder}/spool
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
SchedulerParameters=bf_interval=1,sched_min_interval=500000,batch_sched_delay=1
JobRequeue=1
KillWait=2
MinJobAge=300
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=4000 State=UNKNOWN
PartitionName={queue} Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """A sentence where a program of SLURM, or the right to start it, is missing; '' where nothing is."""
    lost = [name for name in PROGRAMS if _program(name) is None]
    if lost:
        return f"{', '.join(lost)} missing. On Debian: apt-get install slurmctld slurmd slurm-client munge"
    return "" if os.geteuid() == 0 else "slurmd is started by root alone. Run this as root, in a container or sandbox."


class Cluster:
    """with Cluster(folder): one node of four CPUs is up, and SLURM_CONF names it for all programs started from here."""

    def __init__(self, folder):
        self.folder, self._daemons = os.path.abspath(folder), []

    def __enter__(self):
        for name in ("spool", "state"):
            os.makedirs(os.path.join(self.folder, name))
        ports = _freePorts(2)
        values = dict(host=socket.gethostname(), user=getpass.getuser(), queue=QUEUE, port=ports[0], other=ports[1])
        with open(self._path("slurm.conf"), "w", encoding="utf-8") as file:
            file.write(_CONF.format(folder=self.folder, **values))
        with open(self._path("munge.key"), "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(os.urandom(1024))
        os.environ["SLURM_CONF"] = self._path("slurm.conf")
        names = dict(socket="socket", pid="pid-file", key="key-file", log="log-file", seed="seed-file")
        options = [f"--{option}={self._path('munge.' + end)}" for end, option in names.items()]
        try:
            self._start("munged", "--foreground", "--force", *options)
            self._start("slurmctld", "-D")
            self._start("slurmd", "-D")
            self._wait(lambda: "idle" in self.ask("sinfo", "-h", "-o", "%T"), "The node does not come up.")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in self._daemons:
            daemon.wait(30)

    def _start(self, name, *options):
        with open(self._path(name + ".out"), "w") as log:
            self._daemons.append(subprocess.Popen([_program(name), *options], stdout=log, stderr=log))
        time.sleep(1)

    def _path(self, name):
        return os.path.join(self.folder, name)

    def _wait(self, condition, sentence, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise RuntimeError(f"{sentence} See {self.folder}.")
            time.sleep(0.5)

    def ask(self, *command):
        """What a program of SLURM says."""
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout

    def jobs(self):
        """{job's id: state} of all jobs that SLURM remembers."""
        lines = self.ask("squeue", "-h", "-t", "all", "-o", "%i %T").splitlines()
        return dict(line.split() for line in lines)

    def details(self, job):
        """{field: value} of a job."""
        return dict(word.split("=", 1) for word in self.ask("scontrol", "show", "job", job).split() if "=" in word)


def hostsFile(example, destination):
    """Write the example of the documentation with less memory for a job. Returns the new file's path."""
    with open(example, encoding="utf-8") as file:
        text = file.read()
    with open(destination, "w", encoding="utf-8") as file:
        file.write(text.replace('"4G"', '"500M"'))
    return destination


def _program(name):
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")


def _freePorts(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports
