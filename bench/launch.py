# SPDX-License-Identifier: Apache-2.0
"""Commands for spawn, the C launcher, and the ways to call it. Knows no peer."""

import json
import subprocess
from dataclasses import dataclass

# A hung peer is killed by spawn itself after a minute; this bounds a hung spawn.
SAMPLE_TIMEOUT_S = 3600
PROBE_TIMEOUT_S = 60


class BenchError(Exception):
    """The benchmark itself went wrong (a peer that fails is no such case)."""


@dataclass(frozen=True)
class Command:
    """One command line with what its process must take on; spawn.c and plan.h say how."""

    name: str
    argv: tuple
    env: tuple = ()  # (name, value) pairs
    ids: tuple = ()  # (uid, gid)
    mntns: str = ""
    fds: tuple = ()  # (number, path) pairs
    cwd: str = ""
    rounds: int = 1

    def plan(self):
        lines = [f"cmd {self.name}"]
        lines += [f"arg {arg}" for arg in self.argv]
        lines += [f"env {key}={value}" for key, value in self.env]
        lines += [f"fd {number} {path}" for number, path in self.fds]
        if self.ids:
            lines.append(f"ids {self.ids[0]} {self.ids[1]}")
        if self.mntns:
            lines.append(f"mntns {self.mntns}")
        if self.cwd:
            lines.append(f"cwd {self.cwd}")
        lines.append(f"rounds {self.rounds}")
        if any("\n" in line for line in lines):
            raise BenchError(f"{self.name}: a plan cannot hold a line break")
        return "\n".join(lines) + "\n"


class Launcher:
    """Calls the spawn binary; plans are written into a scratch directory."""

    def __init__(self, binary, work):
        self.binary = str(binary)
        self.work = work
        self.plans = 0

    def _write(self, commands):
        """A new file each time, as a started command reads its plan only later."""
        self.plans += 1
        path = self.work / f"{self.plans}.plan"
        path.write_text("".join(command.plan() for command in commands))
        return str(path)

    def _measure(self, args):
        done = subprocess.run([self.binary, *args], stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, timeout=SAMPLE_TIMEOUT_S, check=False)
        if done.returncode:
            raise BenchError(f"spawn {' '.join(args)}: exit code {done.returncode}")
        return json.loads(done.stdout)

    def sample(self, commands, warmup, gap_ms):
        """Runs all commands alternating; {name: {"status": wait status, "ns": [samples]}}."""
        plan = self._write(commands)
        return self._measure(["-w", str(warmup), "-g", str(gap_ms), plan])

    def parallel(self, command, jobs):
        """Runs the command `rounds` times, `jobs` at once; {"status", "ns": [samples], "wall"}."""
        measured = self._measure(["-j", str(jobs), self._write([command])])
        return {**measured[command.name], "wall": measured["wall"]}

    def start(self, command, **popen_args):
        """A Popen whose process is the command itself: spawn executes it in its own place."""
        plan = self._write([command])
        return subprocess.Popen([self.binary, "-x", plan], stdin=subprocess.DEVNULL, **popen_args)

    def probe(self, command):
        """Runs the command once; (exit code, stdout, stderr)."""
        with self.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                out, err = process.communicate(timeout=PROBE_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                return -1, "", f"no end within {PROBE_TIMEOUT_S} s"
        return process.returncode, out.decode(errors="replace"), err.decode(errors="replace")
