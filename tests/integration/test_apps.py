# SPDX-License-Identifier: Apache-2.0
"""Real programs under the system call profile that is meant for them.

What is not of Debian is fetched once into CACHE, outside the repository, and handed in by --ro.
CREEL_TEST_REQUIRE is a comma list of words whose tests must not be skipped: numpy, node, r, gcc,
git, java, codex, claude, chromium, dpkg, vim.
"""

import fcntl
import os
import pathlib
import shutil
import subprocess

import pytest

import creelkit

CACHE = pathlib.Path(os.environ.get("CREEL_TEST_CACHE", "/var/cache/creel-test"))
FETCH_SECONDS = 240
CLIS = {"codex": ("@openai/codex", r"codex-cli \d+\.\d+"),
        "claude": ("@anthropic-ai/claude-code", r"\d+\.\d+\.\d+ \(Claude Code\)")}


def need(program, word=None):
    path = shutil.which(program, path="/usr/local/bin:/usr/bin")
    if not path:
        creelkit.skip(word or program, f"no {program} in /usr here")
    return path


def fetched(name, present, *commands):
    """The directory CACHE/name in which `present` exists; fetched by the commands if not."""
    place = CACHE / name
    try:
        place.mkdir(parents=True, exist_ok=True)
        with open(CACHE / f".{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (place / present).exists():
                for command in commands:
                    subprocess.run([word.format(place) for word in command], check=True, cwd=place,
                                   timeout=FETCH_SECONDS, capture_output=True,
                                   env={**os.environ, "PATH": creelkit.PATH})
    except (OSError, subprocess.SubprocessError) as error:
        words = getattr(error, "stderr", b"") or b""
        return None, f"{error} {words[-300:]!r}"
    return place, ""


@pytest.mark.parametrize("profile", ["strict", "build"])
def test_numpy(creel, profile):
    options = []
    if subprocess.run(["/usr/bin/python3", "-c", "import numpy"], capture_output=True).returncode:
        place, why = fetched("python", "numpy", ["/usr/bin/python3", "-m", "pip", "install", "-q",
                                                 "--target", "{}", "numpy"])
        if not place:
            creelkit.skip("numpy", why)
        options = ["--ro", f"{place}:/opt/python", "--env", "PYTHONPATH=/opt/python"]
    code = ("import numpy as n\na = n.random.default_rng(1).random((200, 200))\n"
            "x = n.linalg.solve(a, n.ones(200))\nprint(n.allclose(a @ x, 1), n.fft.fft(x).shape)")
    done = creel.run(*options, "--seccomp", profile, "--lang", "python", "-c", code)
    assert (done.code, done.out) == (0, b"True (200,)\n"), done


def test_python_that_uses_much_of_its_library(creel):
    code = """
import asyncio, concurrent.futures, ctypes, json, mmap, multiprocessing, os, select, signal
import socket, sqlite3, subprocess, tempfile, threading, time, zlib
with concurrent.futures.ThreadPoolExecutor(4) as p: print(sum(p.map(abs, range(10))))
with multiprocessing.Pool(2) as p: print(p.map(len, ['a', 'bb']))
a, b = socket.socketpair(); a.send(b'x'); print(b.recv(1))
s = socket.create_server(('127.0.0.1', 0))
c = socket.create_connection(s.getsockname()); print('tcp')
u = socket.socket(socket.AF_UNIX); u.bind('/tmp/u'); u.listen(); print('unix')
print(subprocess.run(['echo', 'sub'], capture_output=True, text=True).stdout.strip())
with tempfile.TemporaryFile() as f:
    f.write(b'12345678'); f.flush(); m = mmap.mmap(f.fileno(), 0); print(m[:2])
async def main():
    await asyncio.sleep(0.01)
    return await (await asyncio.create_subprocess_exec('true')).wait()
print(asyncio.run(main()))
e = select.epoll(); e.register(b, select.EPOLLIN); print(e.poll(0))
print(sqlite3.connect('/workspace/db').execute('select 6*7').fetchone())
signal.setitimer(signal.ITIMER_REAL, 5); os.sched_getaffinity(0); os.getrandom(4)
fd = os.memfd_create('x'); os.write(fd, b'1'); os.sendfile(1, fd, 0, 0); print(os.cpu_count() >= 1)
"""
    done = creel.run("--lang", "python", "-c", code)
    assert done.code == 0, done
    assert done.text.split("\n")[:6] == ["45", "[1, 2]", "b'x'", "tcp", "unix", "sub"], done


@pytest.mark.parametrize("profile", ["strict", "build", "browser"])
def test_node(creel, profile):
    need("node")
    code = """
const {Worker} = require('worker_threads'), fs = require('fs'), cp = require('child_process');
fs.writeFileSync('/workspace/a', 'x'.repeat(10));
const server = require('http').createServer((q, r) => r.end('web')).listen(0, '127.0.0.1', () =>
  fetch('http://127.0.0.1:' + server.address().port).then(r => r.text()).then(t => {
    console.log(t, fs.readFileSync('/workspace/a').length,
      cp.execSync('echo sub').toString().trim());
    new Worker('require("worker_threads").parentPort.postMessage(6*7)', {eval: true})
      .on('message', m => { console.log(m); process.exit(0); });
  }));
"""
    done = creel.run("--seccomp", profile, "--lang", "node", "-c", code)
    assert (done.code, done.out) == (0, b"web 10 sub\n42\n"), done


def test_r(creel):
    need("Rscript", "r")
    code = ("x <- lm(dist ~ speed, cars); cat(round(coef(x)[2], 2), '\\n');"
            "png('/workspace/p.png'); plot(cars); invisible(dev.off());"
            "cat(unlist(parallel::mclapply(1:2, function(i) i * 2, mc.cores = 2)), '\\n')")
    done = creel.run("--lang", "r", "-c", code)
    assert done.out.startswith(b"3.93") and b"2 4" in done.out, done


def test_java(creel):
    need("java")
    code = ("public class M { public static void main(String[] a) throws Exception {"
            " var t = new Thread(() -> System.out.println(\"thread\")); t.start(); t.join();"
            " System.out.println(java.util.stream.IntStream.range(0, 100).parallel().sum());"
            " System.out.println(Runtime.getRuntime().availableProcessors()); } }")
    done = creel.run("--cpus", "1", "--lang", "java", "-c", code)
    assert done.text.split() == ["thread", "4950", "1"], done


@pytest.mark.parametrize("profile", ["strict", "build"])
def test_gcc(creel, profile):
    need("gcc")
    done = creel.sh("printf '#include <stdio.h>\\n#include <pthread.h>\\nstatic void *f(void *p) {"
                    " return p; } int main(void) { pthread_t t; pthread_create(&t, 0, f, 0);"
                    " pthread_join(t, 0); puts(\"compiled\"); }' > a.c &&"
                    " gcc -O2 -Wall -pthread -o a a.c && ./a && gcc -static -o b a.c && ./b"
                    " && printf 'all: c\\nc: a.c\\n\\tgcc -g -o c a.c\\n' > Makefile"
                    " && make -s -j2 && ./c", "--seccomp", profile)
    assert done.out == b"compiled\n" * 3, done


def test_debugger_under_build_only(creel):
    need("strace")
    done = creel.run("--seccomp", "build", "--", "strace", "-f", "-e", "trace=execve", "true")
    assert done.code == 0 and b"execve" in done.err, done
    assert creel.run("--", "strace", "true").code != 0


def test_git(creel):
    need("git")
    place = creel.directory("repo-")
    done = creel.sh("git init -q . && git config user.email a@b && git config user.name n &&"
                    " echo x > f && git add f && git commit -qm first && git gc -q &&"
                    " git clone -q . /tmp/copy && git -C /tmp/copy log --format=%s &&"
                    " git worktree add -q /tmp/tree -b side && git stash list && git status -s",
                    "--workspace", place)
    assert (done.code, done.out) == (0, b"first\n"), done
    assert (place / ".git").stat().st_uid == creel.uid


def test_archives_and_common_tools(creel):
    script = """set -e
mkdir d; seq 1000 > d/a; tar czf d.tgz d; rm -r d; tar xzf d.tgz; wc -l < d/a
seq 100 | xargs -P4 -n5 echo | wc -w
sort -R d/a --parallel=2 | sort -n | tail -1; sed -i s/1000/last/ d/a; tail -1 d/a; timeout 5 true
awk 'BEGIN { "date +%Y" | getline y; print (y > 2000) }'; mktemp -d >/dev/null; flock f echo locked
ln d/a hard; cp -a d e; diff -r d e && dd if=/dev/zero of=z bs=1k count=10 status=none; truncate -s 1G z
nice -n 5 echo nice; env -i echo env; (ulimit -v 100000; echo lim); date +%Z
"""
    done = creel.run("--", "bash", "-c", script)
    assert done.code == 0, done
    assert done.text.split()[:-1] == ["1000", "100", "1000", "last", "1", "locked", "nice", "env",
                                      "lim"], done


@pytest.mark.parametrize("name", sorted(CLIS))
def test_agents_from_npm_start_in_a_terminal(creel, open_terminal, name):
    """They print their version, and without arguments draw their screen and take a key."""
    package, version = CLIS[name]
    need("node", name)
    need("npm", name)
    prepare = "node -e 'const f = \"node_modules/%s/install.cjs\"; " \
              "require(\"fs\").existsSync(f) && require(\"child_process\").execSync(" \
              "\"node install.cjs\", {cwd: \"node_modules/%s\"})'" % (package, package)
    place, why = fetched("npm", f"node_modules/.bin/{name}",
                         ["npm", "install", "--no-fund", "--no-audit", "--prefix", "{}", package],
                         ["sh", "-c", prepare])
    if not place:
        creelkit.skip(name, why)
    program = f"/opt/npm/node_modules/.bin/{name}"
    term = open_terminal("run", "--ro", f"{place}:/opt/npm", "--", program, "--version")
    term.expect(version, 40)
    assert term.wait(20) == 0, term.seen
    term = open_terminal("run", "--ro", f"{place}:/opt/npm", "--memory", "4G", "--", program,
                         rows=40, cols=120)
    term.expect(r"\x1b\[", 40)  # it draws
    term.quiet(2)
    assert term.process.poll() is None or term.process.returncode in (0, 1), term.seen[-2000:]
    assert "Bad system call" not in term.seen and "panic" not in term.seen, term.seen[-2000:]
    for _ in range(4):
        if term.process.poll() is None:
            term.send("\x03")
            term.quiet(0.7)
    if term.process.poll() is None:
        term.process.terminate()
    term.wait(20)
    assert term.attributes() == term.before


def test_chromium(creel):
    path = need("chromium")
    done = creel.run("--seccomp", "browser", "--memory", "3G", "--pids", "1000", "--timeout", "50s",
                     "--", path, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
                     "data:text/html,<p>hi", timeout=60)
    assert done.code == 0 and b"<p>hi" in done.out, done


def test_programs_agree_on_the_cpus(creel):
    """Programs that ask in different ways agree on the number of CPUs."""
    code = "import os; print(len(os.sched_getaffinity(0)))"
    script = f"nproc; python3 -c '{code}'"
    if shutil.which("node", path="/usr/bin"):
        script += "; node -p 'require(\"os\").availableParallelism()'"
    done = creel.sh(script, "--cpus", "1")
    assert set(done.text.split()) == {"1"}, done
