#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The second half of ./demo: an agent's analysis, a hostile script, a change to a project that is
looked at before it is taken over, and the log of it all.

    show.py CREEL

What is printed about an attack comes from creel's result object and from this side of the wall
(is the canary in the output, does the victim live, did the listener hear a call), not from what the
attacker claims. Exit code: 0 all held, 1 something was not, 2 no sandbox could be had."""

import contextlib
import json
import os
import pathlib
import secrets
import socket
import subprocess
import sys
import tempfile
import threading

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / "examples"
MIB = 1 << 20
PIDS, DISK, MEMORY, CPU_TIME = 64, 16 * MIB, 128 * MIB, "500ms"
GREEN, RED, BOLD, PLAIN = ("\033[32m", "\033[31m", "\033[1m", "\033[0m") \
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else ("",) * 4


class Refused(Exception):
    """creel itself would not run: its own message."""


def size(count):
    return f"{count / MIB:.0f} MiB" if count >= 10 * MIB else f"{count / MIB:.1f} MiB"


def run(creel, *args):
    """`creel run --json args` as its result object."""
    done = subprocess.run([creel, "run", "--json", *map(str, args)], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=60, check=False)
    try:
        result = json.loads(done.stdout)
    except ValueError:
        raise Refused(done.stderr.decode("utf-8", "replace").strip()) from None
    if "error" in result:
        raise Refused(result["error"]["message"])
    result.setdefault("stdout", "")  # stdout_base64, if it is not UTF-8
    return result


def facts(result):
    """{name: value} of the attacker's own `fact` lines; the last one of a name counts."""
    lines = (line.split(" ", 2) for line in result["stdout"].splitlines())
    return {words[1]: words[2] for words in lines if words[0] == "fact" and len(words) == 3}


def gains(result):
    return [line[4:] for line in result["stdout"].splitlines() if line.startswith("GOT ")]


def enforcer(result, limit):
    return result["isolation"]["limits"][limit]["enforced_by"]


def show_analysis(creel):
    print(f"{BOLD}1. An agent's Python analyses a CSV: creel run --json --in examples/sales.csv "
          f"--lang python examples/analyse.py{PLAIN}\n")
    result = run(creel, "--in", EXAMPLES / "sales.csv", "--agent", "analyst", "--ephemeral", "--timeout", "30s",
                 "--lang", "python", EXAMPLES / "analyse.py")
    print("\n".join("    " + line for line in result["stdout"].splitlines()), "\n")
    if result["exit_code"] != 0:
        print(result.get("stderr", ""), file=sys.stderr)
        return False
    usage, isolation = result["usage"], result["isolation"]
    layers = isolation["layers"]
    own = sorted(name for name, ns in layers["namespaces"].items() if ns["own"])
    rows = [("result", f"exit code {result['exit_code']}, {result['duration_ms']} ms, "
                       f"CPU {usage['cpu_user_ms'] + usage['cpu_system_ms']} ms, "
                       f"memory at most {size(usage['memory_peak_bytes'])}"),
            ("isolation", f"level {isolation['level']}, as {isolation['mode']}"),
            ("layers", f"{len(own)} namespaces ({', '.join(own)})"),
            ("", f"seccomp {layers['seccomp']['profile']}, {layers['seccomp']['calls_allowed']} "
                 "system calls allowed"),
            ("", f"no_new_privs {'on' if layers['no_new_privs'] else 'off'}, Landlock "
                 + (f"ABI {layers['landlock_abi']}" if layers["landlock_abi"] else "not here")
                 + f", root {layers['root']['type']} ({layers['root']['options']})")]
    rows += [("changed" if i == 0 else "", f"{c['kind']} {c['path']}, {c.get('size', 0)} bytes")
             for i, c in enumerate(result["changes"])]
    for name, text in rows:
        print(f"    {name:<10} {text}")
    print()
    return True


class Outside:
    """What the attacks aim at: a secret, a process and a service of this machine."""

    def __init__(self, stack):
        self.token = "canary-" + secrets.token_hex(16)
        directory = pathlib.Path(stack.enter_context(
            tempfile.TemporaryDirectory(prefix="creel-demo-")))
        self.canary = directory / "id_ed25519"
        self.canary.write_text(self.token + "\n")
        environment = {**os.environ, "DEMO_API_KEY": self.token}
        self.victim = subprocess.Popen(["sleep", "300"], env=environment)
        stack.callback(self.victim.wait)
        stack.callback(self.victim.kill)
        os.environ["DEMO_API_KEY"] = self.token  # creel's own environment must not go in either
        self.listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port = self.listener.getsockname()[1]
        self.calls = 0
        threading.Thread(target=self.listen, daemon=True).start()
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
            assert sock.recv(1) == b"!"  # it does answer to whoever can reach it
        self.calls = 0

    def listen(self):
        with contextlib.suppress(OSError):  # closed at the end
            while True:
                connection = self.listener.accept()[0]
                self.calls += 1
                with connection:
                    connection.sendall(b"!")

    def alive(self):
        return self.victim.poll() is None


def judge_keys(result, outside):
    count = facts(result).get("places")
    return count and outside.token not in result["stdout"], \
        f"{count} places tried, the planted secret too: own root file system, empty environment"


def judge_processes(result, outside):
    seen = facts(result).get("seen")
    ok = seen and int(seen) <= 4 and outside.alive() and "sleep 300" not in result["stdout"]
    return ok, f"sees {seen}, all its own: PID namespace; the process outside lives"


def judge_forks(result, _outside):
    ok = result["limits_hit"]["pids"] or result["ended_by"] == "pids"
    if not ok and "RLIMIT" in enforcer(result, "pids"):  # the kernel tells the attacker alone
        ok = "failed fork: EAGAIN" in result["stdout"] and result["usage"]["pids_peak"] <= PIDS
    return ok, f"pids limit of {PIDS} ({enforcer(result, 'pids')})"


def judge_disk(result, _outside):
    written = int(facts(result).get("written", -1))
    return result["limits_hit"]["disk"] and 0 < written <= DISK, \
        f"disk limit of {size(DISK)} ({enforcer(result, 'disk')}): full after {size(written)}"


def judge_memory(result, _outside):
    taken = int(facts(result).get("taken", 0))
    ended = result["ended_by"] == "memory"
    refused = "failed memory: MemoryError" in result["stdout"]
    return (ended or refused) and taken <= MEMORY, \
        f"memory limit of {size(MEMORY)} ({enforcer(result, 'memory')}): " \
        f"{'killed' if ended else 'refused'} after {size(taken)}"


def judge_network(result, outside):
    found = facts(result)
    return found.get("interfaces") == "lo" and outside.calls == 0, \
        f"{found.get('targets')} ways tried: network namespace with no interface but lo"


def judge_root(result, _outside):
    return facts(result).get("ways") is not None, \
        f"{facts(result).get('ways')} ways tried: no capabilities, seccomp, read-only image"


def judge_forever(result, _outside):
    return result["ended_by"] == "cpu", \
        f"CPU time limit of {CPU_TIME} ({enforcer(result, 'cpu_time')})"


ATTACKS = (
    ("read keys", "keys", (), judge_keys),
    ("see processes", "processes", (), judge_processes),
    ("reach the network", "network", (), judge_network),
    ("become root", "root", (), judge_root),
    ("fork bomb", "forks", ("--pids", PIDS), judge_forks),
    ("fill the disk", "disk", ("--disk", DISK), judge_disk),
    ("exhaust memory", "memory", ("--memory", MEMORY), judge_memory),
    ("run for ever", "forever", ("--cpu-time", CPU_TIME), judge_forever),
)


def resolvers():
    with contextlib.suppress(OSError), open("/etc/resolv.conf") as file:
        return [line.split()[1] for line in file if line.startswith("nameserver ")]
    return []


def show_attack(creel, outside, label, attack, options, judge):
    """Runs one attack and prints its line; True if it was held."""
    targets = {"keys": [outside.canary], "processes": [outside.victim.pid],
               "network": [outside.port, *resolvers()]}.get(attack, [])
    try:
        result = run(creel, "--agent", "hostile", "--ephemeral", "--timeout", "20s", *options,
                     "--lang", "python", EXAMPLES / "hostile.py", attack, *targets)
        held, why = judge(result, outside)
    except Refused as error:  # nothing ran, so nothing was harmed, but nothing was shown either
        print(f"    {RED}not run{PLAIN} {label:<18} {error}")
        return False
    gained = gains(result)
    held = bool(held) and not gained
    print(f"    {GREEN if held else RED}{'held' if held else 'NOT HELD':<6}{PLAIN} {label:<18} "
          + (why if held else "; ".join(gained) or why))
    if not held:
        print(result["stdout"], result.get("stderr", ""), json.dumps(result["limits_hit"]),
              result["ended_by"], sep="\n", file=sys.stderr)
    return held


def show_hostile(creel):
    print(f"{BOLD}2. A hostile script: creel run --json --lang python examples/hostile.py "
          f"ATTACK{PLAIN}\n")
    with contextlib.ExitStack() as stack:
        outside = Outside(stack)
        held = [show_attack(creel, outside, *attack) for attack in ATTACKS]
    print(f"\n{sum(held)} of {len(held)} attacks held")
    return all(held)


def show_project(creel):
    """A project that a command changes copy-on-write, and the records of all this."""
    print(f"\n{BOLD}3. Your own project, copy-on-write: creel run --overlay DIR, then creel diff "
          f"and apply{PLAIN}\n")
    with tempfile.TemporaryDirectory() as project:
        file = pathlib.Path(project, "greeting.txt")
        file.write_text("hello\n")
        result = run(creel, "--overlay", project, "--", "sh", "-c", "echo world >> greeting.txt")
        untouched = file.read_text() == "hello\n"
        print(f"    afterwards greeting.txt is {'as it was' if untouched else 'CHANGED'}; "
              "creel diff ID:")
        patch = subprocess.run([creel, "diff", result["id"]], capture_output=True, text=True,
                               timeout=60, check=False).stdout
        print("".join(f"      {line}\n" for line in patch.splitlines()[2:]), end="")
        subprocess.run([creel, "apply", result["id"]], stdout=subprocess.DEVNULL, timeout=60,
                       check=False)
        applied = file.read_text() == "hello\nworld\n"
        print(f"    after creel apply ID it is {'changed' if applied else 'NOT CHANGED'}")
    print(f"\n{BOLD}4. What ran, provably: creel audit verify{PLAIN}\n")
    verified = subprocess.run([creel, "audit", "verify"], capture_output=True, text=True,
                              timeout=60, check=False)
    print(f"    {verified.stdout.strip() or verified.stderr.strip()}")
    return untouched and applied and verified.returncode == 0


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    creel = os.path.abspath(sys.argv[1])
    try:
        analysed = show_analysis(creel)
    except Refused as error:
        print(f"demo: no sandbox: {error}", file=sys.stderr)
        return 2
    held = show_hostile(creel)
    return 0 if show_project(creel) and held and analysed else 1


if __name__ == "__main__":
    sys.exit(main())
