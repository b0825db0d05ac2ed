# SPDX-License-Identifier: Apache-2.0
"""creel on a terminal: a pty whose other end the test holds."""

import contextlib
import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time


class Terminal:
    """A program with this terminal as its controlling one; what it prints is kept."""

    def __init__(self, creel, *args, rows=24, cols=80, shell=None, env=None):
        self.master, slave = os.openpty()
        self.device = os.ttyname(slave)
        self.resize(rows, cols)
        with contextlib.suppress(PermissionError):
            os.fchown(slave, creel.uid, -1)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.seen = ""
        self.at = 0
        self.prompt = None  # a pattern; ask() waits for it first
        self.at_prompt = False
        if shell:  # a shell of the host that runs creel
            words = creel.command()[:-1] + ["bash", "-c", shell]
        else:
            words = creel.command(*args)
        environment = creel.environment(TERM="xterm", CREEL=str(creel.binary), **(env or {}))
        self.process = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, cwd="/", env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def resize(self, rows, cols):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def send(self, text):
        os.write(self.master, text.encode())

    def line(self, text):
        self.at_prompt = False
        self.send(text + "\r")

    def _pump(self, seconds):
        if not select.select([self.master], [], [], max(0, seconds))[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)

    def expect(self, pattern, seconds=15):
        """Waits until what is printed after the last match has the pattern; gives the match."""
        deadline = time.monotonic() + seconds
        while True:
            found = re.compile(pattern, re.MULTILINE).search(self.seen, self.at)
            if found:
                self.at = found.end()
                self.at_prompt = pattern == self.prompt
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"{pattern!r} did not come in {seconds} s after "
                                     f"{self.seen[self.at:]!r}; before: {self.seen[:self.at]!r}")
            if not self._pump(0.2):
                time.sleep(0.02)

    def quiet(self, seconds=0.3, most=3):
        """Reads until nothing more comes for this long, or the time `most` is over."""
        deadline = time.monotonic() + most
        while time.monotonic() < deadline and self._pump(seconds):
            pass

    def ask(self, command, pattern, seconds=15):
        """A command to a shell inside, and what its output matches. The echo does not match."""
        if self.prompt and not self.at_prompt:
            self.expect(self.prompt)
        self.line(command)
        return self.expect(pattern, seconds)

    def wait(self, seconds=15):
        """The exit code of the program."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                raise AssertionError(f"did not end in {seconds} s: {self.seen!r}")
            self._pump(0.05)
        while self._pump(0):
            pass
        return self.process.returncode

    def attributes(self):
        return termios.tcgetattr(self.slave)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        for fd in (self.slave, self.master):
            with contextlib.suppress(OSError):
                os.close(fd)
