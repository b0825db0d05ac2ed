# SPDX-License-Identifier: Apache-2.0
"""--detach, and wait, logs and kill."""

import json
import os
import signal
import subprocess
import time

import pytest

import creelkit


def test_wait_gives_the_exit_code(any_creel):
    name = any_creel.detach("--", "sh", "-c", "echo out; echo err >&2; sleep 0.2; exit 9")
    done = any_creel("wait", name)
    assert done.code == 9, done
    logs = any_creel("logs", name)
    assert (logs.code, logs.out, logs.err) == (0, b"out\n", b"err\n")
    assert any_creel("wait", name).code == 9, "a second time"


@pytest.mark.parametrize("script, code", [
    ("exit 0", 0), ("exit 255", 255), ("kill -TERM $$", 143), ("kill -SEGV $$", 139),
    ("exec /no/such", 127)])
def test_exit_codes(creel, script, code):
    assert creel("wait", creel.detach("--", "sh", "-c", script)).code == code


def test_command_not_found(creel):
    name = creel.detach("--", "no-such-command")
    assert creel("wait", name).code == 127
    assert b"command not found" in creel("logs", name).err


def test_timeout(creel):
    name = creel.detach("--timeout", "300ms", "--", "sleep", "60")
    assert creel("wait", name).code == 124
    result = json.loads(creel("wait", "--json", name).out)
    assert result["ended_by"] == "timeout"


def test_limits_hold(creel):
    name = creel.detach("--output", "64K", "--", "yes")
    assert creel("wait", name).code == 137
    assert len(creel("logs", name).out) == 65536


def test_default_output_cap(creel):
    name = creel.detach("--", "head", "-c", "20M", "/dev/zero")
    assert creel("wait", name).code == 137
    assert len(creel("logs", name).out) == 10 * creelkit.MIB


def test_result_as_json(creel):
    name = creel.detach("--org", "acme", "--label", "a=b", "--", "sh", "-c", "echo x > f; exit 2")
    done = creel("wait", "--json", name)
    result = json.loads(done.out)
    assert done.code == result["exit_code"] == 2 and result["id"] == name
    assert "stdout" not in result and result["changes"][0]["path"] == "/workspace/f"
    assert result["identity"]["org"] == "acme" and result["labels"] == {"a": "b"}
    assert result["isolation"]["level"] == "nano"
    assert result["isolation"]["layers"]["seccomp"]["mode"] == 2


def test_options_work_detached(creel):
    place, out = creel.directory(), creel.directory("out-")
    name = creel.detach("--workspace", place, "--out", out, "--env", "A=b", "--lang", "python",
                        "-c", "import os; open('f', 'w').write(os.environ['A'])")
    assert creel("wait", name).code == 0
    assert (place / "f").read_text() == (out / "f").read_text() == "b"


def test_code_that_is_a_file_works_detached(creel):
    name = creel.detach("--lang", "tcl", "-c", "puts hi")
    assert creel("wait", name).code == 0
    assert creel("logs", name).out == b"hi\n"


def test_it_returns_at_once_and_keeps_no_descriptor(creel):
    """A caller that reads to the end of file does not wait for the run."""
    start = time.monotonic()
    done = creel.run("--detach", "--", "sleep", "60")
    assert time.monotonic() - start < 20, done
    name = done.text.strip()
    assert creel("kill", name).code == 0


def test_input_is_empty(creel):
    done = creel.run("--detach", "--", "cat", input=b"not for you\n")
    name = done.text.strip()
    assert creel("wait", name).code == 0 and creel("logs", name).out == b""


def test_logs_while_it_runs_and_follow(creel, children):
    name = creel.detach("--", "sh", "-c", "echo one; sleep 0.6; echo two; echo three >&2; exit 3")
    assert creelkit.wait_until(lambda: creel("logs", name).out == b"one\n", 3)
    follower = creel.popen("logs", "-f", name)
    children.append(follower)
    assert follower.stdout.readline() == b"one\n"
    out, err = follower.communicate(timeout=15)
    assert (follower.returncode, out, err) == (0, b"two\n", b"three\n")
    assert creel("logs", "--follow", name).out == b"one\ntwo\n"


def test_large_logs_are_whole(creel):
    name = creel.detach("--", "seq", "1", "300000")
    follow = creel("logs", "-f", name)
    assert creel("wait", name).code == 0
    data = "".join(f"{n}\n" for n in range(1, 300001)).encode()
    assert creel("logs", name).out == data
    assert follow.out == data


def test_kill(any_creel):
    name = any_creel.detach("--", "sh", "-c", "trap 'echo bye; exit 1' TERM HUP; echo up; "
                            "while :; do sleep 0.05; done")
    assert creelkit.wait_until(lambda: any_creel("logs", name).out == b"up\n", 5)
    done = any_creel("kill", name)
    assert done.code == 0 and done.seconds < 2, done
    assert any_creel("wait", name).code == 137
    assert any_creel("logs", name).out.startswith(b"up\nbye\n")
    assert name not in any_creel.live_ids()
    result = json.loads(any_creel("wait", "--json", name).out)
    assert result["ended_by"] == "killed"


def test_kill_one_that_ignores_everything(creel):
    name = creel.detach("--", "sh", "-c", "trap '' TERM HUP INT; echo up; while :; do sleep 1; done")
    assert creelkit.wait_until(lambda: creel("logs", name).out == b"up\n", 5)
    done = creel("kill", name)
    assert done.code == 0 and 1.5 < done.seconds < 20, done
    assert creel("wait", name).code == 137


def test_kill_one_that_has_ended(creel):
    name = creel.detach("--", "true")
    creel("wait", name)
    done = creel("kill", name)
    assert done.code == 125 and done.errors == f"creel: the run {name} has ended\n"


def test_wait_while_it_runs(creel, children):
    name = creel.detach("--", "sh", "-c", "sleep 0.7; exit 6")
    waiters = [creel.popen("wait", name) for _ in range(3)]
    children += waiters
    assert [w.wait(15) for w in waiters] == [6, 6, 6]


def supervisor_of(creel, name):
    return int((creel.live / name).read_text().split()[0])


def test_supervisor_that_is_killed(creel):
    name = creel.detach("--", "sleep", "60")
    os.kill(supervisor_of(creel, name), signal.SIGKILL)
    done = creel("wait", name)
    assert done.code == 125 and "has no result: its creel was killed" in done.errors
    done = creel.run("--", "true")
    assert f"cleaned up after 1 killed run: {name}" in done.errors


def test_start_that_fails_leaves_nothing(creel):
    before = set(os.listdir(creel.state / "runs"))
    done = creel.run("--detach", "--in", "/nowhere", "--", "true")
    assert done.code == 125 and done.out == b"" and done.err.count(b"\n") == 1
    path = creel.file(creel.home / "big-in", b"x" * (4 << 20))
    done = creel.run("--detach", "--disk", "1M", "--in", path, "--", "true")
    assert done.code == 125 and done.out == b"" and done.err.count(b"\n") == 1, done
    assert set(os.listdir(creel.state / "runs")) == before


@pytest.mark.parametrize("command", ["wait", "logs", "kill"])
@pytest.mark.parametrize("word", ["nonsense", "i" + "a" * 20, "../live", "i" + "/" * 20, ""])
def test_unknown_id(creel, command, word):
    done = creel(command, word)
    assert done.code == 125 and done.err.count(b"\n") == 1, done
    assert "there is no detached run" in done.errors


@pytest.mark.parametrize("command", ["wait", "logs", "kill"])
def test_bad_use(rootless_creel, command):
    for words in ((), ("a", "b"), ("--nonsense", "x")):
        done = rootless_creel(command, *words)
        assert done.code == 125 and done.err.count(b"\n") == 1, done


def test_unknown_id_as_json(rootless_creel):
    done = rootless_creel("wait", "--json", "nonsense")
    assert done.code == 125
    assert json.loads(done.out)["error"]["message"] == "there is no detached run nonsense"


def test_other_users_do_not_see_it(creels):
    if "root" not in creels:
        pytest.skip("the tests are not run as root")
    name = creels["root"].detach("--", "true")
    assert creels["root"]("wait", name).code == 0
    done = creels["rootless"]("logs", "--state", creels["root"].state, name)
    assert done.code == 125 and done.err.count(b"\n") == 1


def test_hangup_of_the_terminal_does_not_end_it(creel):
    """The shell that started it goes; the run goes on."""
    done = subprocess.run(
        ["setsid", "sh", "-c", '"$@"; kill -HUP 0', "sh",
         *creel.command("run", "--detach", "--", "sh", "-c", "sleep 0.5; exit 5")],
        env=creel.environment(), capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
    name = done.stdout.decode().strip()
    assert creelkit.ID.match(name), done
    assert creel("wait", name).code == 5


def test_results_are_pruned(rootless_creel):
    """More than a hundred finished runs are not kept."""
    creel = rootless_creel
    state = creel.directory("prune-", 0o700)
    for _ in range(103):
        assert creel.run("--state", state, "--detach", "--", "true").code == 0
    creelkit.wait_until(lambda: not os.listdir(state / "run" / "live"), 10)
    assert creel.run("--state", state, "--detach", "--", "true").code == 0
    creelkit.wait_until(lambda: not os.listdir(state / "run" / "live"), 10)
    assert 95 <= len(os.listdir(state / "runs")) <= 102


def test_runs_without_an_end_are_pruned(rootless_creel):
    """Killed ones have no exit code, and one that never started has no id: they go as well."""
    creel = rootless_creel
    state = creel.directory("prune-", 0o700)
    running = creel.run("--state", state, "--detach", "--", "sleep", "60").text.strip()
    for i in range(110):
        creel.own(state / "runs" / f"i{i:020}")
    old = creel.own(state / "runs" / ".new-1")
    os.utime(old, (1, 1))
    recent = creel.own(state / "runs" / ".new-2")
    assert creel.run("--state", state, "--detach", "--", "true").code == 0
    left = os.listdir(state / "runs")
    assert running in left and recent.name in left and old.name not in left
    assert len(left) <= 103
    assert creel("kill", "--state", state, running).code == 0
