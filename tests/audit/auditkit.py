# SPDX-License-Identifier: Apache-2.0
"""What the tests of the audit log share: logs of their own, filled through the library with records
as runs write them, copies to attack, and the independent verifier's opinion."""

import copy
import hashlib
import json
import shutil
import subprocess
import tempfile
import pathlib

import jcs
import tlog
import verifier

NOW = "2026-01-31T12:00:00.000Z"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def start(run, **more):
    """A run.start of the fields that searches look at."""
    return {"agent": "maria", "command": "python3", "level": "nano", "org": "local", "run": run,
            "session": "s1", "time": NOW, "type": "run.start", "user": "ann", "v": 1, **more}


def end(run, seq, **more):
    """The run.end of the run.start with that number."""
    return {"duration_ms": 12, "ended_by": "exit", "exit_code": 0, "run": run, "start": seq,
            "time": NOW, "type": "run.end", "v": 1, **more}


class Log:
    """One org's log in a state directory of its own, as one of creelkit's users."""

    def __init__(self, creel, org="local", state=None):
        self.creel, self.org = creel, org
        self.state = state or creel.directory("audit-", 0o700)
        self._append = copy.copy(creel)
        self._append.binary = creel.binary.parent / "creel-audit-append"

    @property
    def dir(self):
        return self.state / "audit" / self.org

    @property
    def checkpoint(self):
        return self.dir / "checkpoint"

    def popen(self):
        """The helper, to talk to line by line."""
        return self._append.popen(self.state / "audit", self.org, stdin=subprocess.PIPE)

    def feed(self, *lines, **kw):
        """What the helper answers to these lines."""
        (self.state / "audit").mkdir(exist_ok=True)
        self.creel.own(self.state / "audit")
        text = "".join(line + "\n" for line in lines)
        done = self._append(self.state / "audit", self.org, input=text.encode(), **kw)
        return done.out.decode().splitlines()

    def append(self, *records, commit=True):
        """The numbers of these records."""
        answers = self.feed(*map(jcs.write, records), *["commit"] * commit)
        assert not commit or answers.pop() == "ok", answers
        return [int(a) for a in answers]

    def blob(self, data, mode="full"):
        """A reference to a payload. The log has to be committed afterwards."""
        answer, = self.feed(f"blob {mode} {data.hex()}")
        return json.loads(answer)["ref"]

    def list(self, *entries):
        return self.blob(jcs.write(list(entries)).encode())

    def fill(self, n):
        """n records of runs that did nothing."""
        size = self.size()
        self.append(*(start(f"ifill{i:016d}") for i in range(size, size + n)))
        return self

    def size(self):
        try:
            return int(self.checkpoint.read_text().split("\n")[1])
        except FileNotFoundError:
            return 0

    def audit(self, command, *args, **kw):
        return self.creel("audit", command, "--state", self.state, "--org", self.org, *args, **kw)

    def records(self, command, *args):
        """[(seq, record)] of a command with --json."""
        done = self.audit(command, "--json", *args)
        assert done.code in (0, 1) and (done.code == 0 or not done.out), done
        lines = [json.loads(line) for line in done.out.splitlines()]
        return [(line["seq"], line["record"]) for line in lines]

    def seqs(self, *args):
        """The numbers of the records that a search finds."""
        return [seq for seq, _ in self.records("search", *args)]

    def verify(self, *args):
        return self.audit("verify", *args)

    def is_good(self, *args):
        """verify says so, and the independent verifier agrees on an export."""
        done = self.verify(*args)
        assert done.code in (0, 1, 125), done
        if done.code == 0:
            assert self.independently()[0] == self.size(), done
        return done.code == 0

    def key(self):
        done = self.audit("key")
        assert done.code == 0, done
        return done.text

    def export(self):
        place = self.creel.directory("export-") / "log"
        done = self.audit("export", place)
        assert done.code == 0, done
        return place

    def independently(self, against=()):
        return verifier.verify_log(self.export(), self.key(), against)

    def copy(self):
        """The same log in another state directory: to attack, or to put back later."""
        state = pathlib.Path(tempfile.mkdtemp(prefix="copy-", dir=self.creel.home))
        subprocess.run(["cp", "-a", f"{self.state}/.", state], check=True, timeout=60)
        return Log(self.creel, self.org, state)

    def put_back(self, other):
        """Makes this log what the other is: a roll-back of everything in the state directory."""
        shutil.rmtree(self.state / "audit")
        subprocess.run(["cp", "-a", other.state / "audit", self.state], check=True, timeout=60)

    def files(self, pattern="**/*"):
        return sorted(p for p in self.dir.glob(pattern) if p.is_file())


def flip(path, at, mask=1):
    data = bytearray(path.read_bytes())
    data[at] ^= mask
    path.write_bytes(data)


__all__ = ["Log", "NOW", "end", "flip", "jcs", "sha256", "start", "tlog", "verifier"]
