# SPDX-License-Identifier: Apache-2.0
"""Many sandboxes at once."""

import concurrent.futures
import json
import os
import subprocess
import sys

import creelkit

MANY = 30

# Takes and drops the lock of every registration that it finds, without end.
SWEEPER = """
import fcntl, os, sys
while True:
    for name in os.listdir(sys.argv[1]):
        try:
            fd = os.open(f"{sys.argv[1]}/{name}", os.O_RDWR)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pass
        os.close(fd)
"""


def at_once(count, function):
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(function, range(count)))


def test_thirty_at_once_are_right(creel):
    """Each has its own input, output, files, hostname and exit code."""
    def one(n):
        return creel.sh(f"read x; echo $x $(hostname) > f; sleep 0.3; ls | wc -l; cat f; exit {n}",
                        "--hostname", f"box{n}", input=f"in{n}\n".encode(), timeout=60)

    for n, done in enumerate(at_once(MANY, one)):
        assert (done.code, done.text) == (n, f"1\nin{n} box{n}\n"), done


def test_thirty_of_them_as_json_with_changes(creel):
    def one(n):
        return creel.json("--lang", "python", "-c", f"open('f{n}', 'w').write('{n}'); print({n})",
                          timeout=60)

    results = at_once(MANY, one)
    assert len({r["id"] for r in results}) == MANY
    for n, result in enumerate(results):
        assert result["stdout"] == f"{n}\n"
        assert [c["path"] for c in result["changes"]] == [f"/workspace/f{n}"]
    maps = [r["isolation"]["layers"]["uid_map"] for r in results]
    spaces = {r["isolation"]["layers"]["namespaces"]["pid"]["id"] for r in results}
    if creel.is_root:
        assert len(maps) == MANY and len(spaces) >= 1
        assert all(r["isolation"]["mode"] == "root" for r in results)


def test_ids_of_live_sandboxes_differ(root_creel, children):
    """As root every live sandbox has a range of ids of its own."""
    for _ in range(8):
        children.append(root_creel.popen("run", "--", "sh", "-c",
                                         "cat /proc/self/uid_map; exec sleep 5"))
    firsts = {process.stdout.readline().split()[1] for process in children}
    assert len(firsts) == 8


def test_first_runs_at_once_on_a_new_state(creel):
    """The image is made once, by whoever is first, and nobody sees it half made."""
    state = creel.directory("fresh-", 0o700)

    def one(n):
        return creel.sh("id -un; wc -l < /etc/passwd; ls -d /etc/ssl/certs", "--state", state,
                        timeout=60)

    results = at_once(12, one)
    assert all(done.code == 0 for done in results), results
    assert len({done.out for done in results}) == 1, results
    assert sorted(os.listdir(state / "run" / "live")) == []


def test_first_root_runs_at_once_on_a_new_state(creel):
    state = creel.directory("fresh-", 0o700)

    def one(n):
        return creel.sh("touch /usr/bin/x && ls /usr/bin | wc -l", "--root", "--state", state,
                        timeout=60)

    results = at_once(4, one)
    assert all(done.code == 0 for done in results), results
    assert len({done.out for done in results}) == 1, results


def test_registering_while_others_sweep(creel, children):
    """A sweep locks what it looks at for a moment; who registers just then waits for it."""
    creel.sh("true")
    children.append(subprocess.Popen([sys.executable, "-c", SWEEPER, str(creel.live)]))
    for _ in range(40):
        done = creel("run", "--", "true")
        assert (done.code, done.err) == (0, b""), done


def test_two_with_the_same_workspace(creel):
    place = creel.directory()

    def one(n):
        return creel.sh(f"for i in $(seq 100); do echo {n} $i >> log; done; echo {n} > own{n}; "
                        "until [ -e own0 -a -e own1 ]; do sleep 0.05; done; cat own0 own1",
                        "--workspace", place, "--timeout", "20s")

    for done in at_once(2, one):
        assert (done.code, done.out) == (0, b"0\n1\n"), done
    lines = (place / "log").read_text().splitlines()
    assert sorted(lines) == sorted(f"{n} {i}" for n in (0, 1) for i in range(1, 101))


def test_runs_beside_killed_ones(creel, children):
    """kill -9 of some never disturbs the others; what is left over is freed once."""
    victims = [creel.popen("run", "--", "sh", "-c", "echo up; sleep 60") for _ in range(4)]
    children += victims
    others = [creel.popen("run", "--", "sh", "-c", "echo up; sleep 1.5; echo fine")
              for _ in range(4)]
    children += others
    for process in victims + others:
        assert process.stdout.readline() == b"up\n"
    for process in victims:
        process.kill()
        process.wait(5)
    told = "".join(creel.run("--", "true").errors for _ in range(3))
    for process in others:
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out) == (0, b"fine\n"), err
    assert told.count("cleaned up") == 1 and "cleaned up after 4 killed runs" in told, told
    assert creel.live_ids() == set()


def test_sweeps_at_once(creel, children):
    """Several calls find the same left-over: one frees it, none fails."""
    victims = [creel.popen("run", "--", "sh", "-c", "echo up; sleep 60") for _ in range(3)]
    children += victims
    for process in victims:
        process.stdout.readline()
        process.kill()
        process.wait(5)
    results = at_once(8, lambda n: creel.run("--", "echo", n, timeout=60))
    for n, done in enumerate(results):
        assert (done.code, done.text) == (0, f"{n}\n"), done
    assert creel.live_ids() == set()


def test_detached_at_once(creel):
    names = at_once(10, lambda n: creel.detach("--", "sh", "-c", f"sleep 0.2; exit {n}",
                                               timeout=60))
    assert len(set(names)) == 10
    assert [creel("wait", name).code for name in names] == list(range(10))


def test_limits_are_each_ones_own(creel):
    """One that fills its disk and one that computes do not disturb each other."""
    def one(n):
        if n % 2:
            return creel.json("--disk", "8M", "--", "sh", "-c", "head -c 99M /dev/zero > x",
                              timeout=60)
        return creel.json("--disk", "8M", "--lang", "python", "-c",
                          "open('x', 'w').write('y' * 5000000); print(sum(range(10**6)))",
                          timeout=60)

    for n, result in enumerate(at_once(8, one)):
        assert result["ended_by"] == ("disk" if n % 2 else "exit"), result
        assert n % 2 or result["stdout"] == "499999500000\n"


def test_sandboxes_do_not_see_each_other(creel, children):
    first = creel.popen("run", "--", "sh", "-c",
                        "echo secret > /tmp/s; echo secret > /dev/shm/s; echo up; sleep 20")
    children.append(first)
    assert first.stdout.readline() == b"up\n"
    done = creel.sh("ls /tmp /dev/shm | grep -x s; ls /proc | grep -c '^[0-9]'")
    assert int(done.text) <= 6, done


def test_throughput_is_sane(creel):
    """Not a benchmark: forty in a row within a generous bound, so that a stall is noticed."""
    creel.run("--", "true")  # frees what a test before has killed
    done = subprocess.run(
        ["sh", "-c", 'i=0; while [ $i -lt 40 ]; do "$@" || exit 1; i=$((i+1)); done', "sh",
         *creel.command("run", "--", "true")],
        env=creel.environment(), capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and done.stderr == b"", done


def test_objects_do_not_mix_on_one_stream(creel):
    """Several results to one pipe: each is one write, so each line is an object."""
    read, write = os.pipe()
    processes = [creel.popen("run", "--json", "--", "echo", "x" * 300, stdout=write)
                 for _ in range(6)]
    os.close(write)
    with open(read, "rb") as file:
        lines = file.read().splitlines()
    for process in processes:
        process.communicate(timeout=30)
    assert len(lines) == 6
    for line in lines:
        result = json.loads(line)
        assert result["stdout"] == "x" * 300 + "\n" and creelkit.ID.match(result["id"])
