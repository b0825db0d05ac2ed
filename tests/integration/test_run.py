# SPDX-License-Identifier: Apache-2.0
"""creel run: what a command inside sees, the options that shape it, and exit codes."""

import os
import signal
import subprocess

import pytest

import creelkit


def test_output_and_code(any_creel):
    done = any_creel.sh("echo out; echo err >&2; exit 7")
    assert (done.code, done.out, done.err) == (7, b"out\n", b"err\n")


@pytest.mark.parametrize("code", [0, 1, 2, 42, 123, 124, 125, 126, 127, 128, 137, 200, 255])
def test_own_exit_code_passes(creel, code):
    assert creel.sh(f"exit {code}").code == code


@pytest.mark.parametrize("name", ["TERM", "KILL", "INT", "HUP", "SEGV", "USR1", "ABRT", "PIPE"])
def test_death_by_signal_is_128_and_the_number(creel, name):
    number = getattr(signal, "SIG" + name)
    assert creel.sh(f"kill -{name} $$").code == 128 + number


def test_command_not_found_is_127(any_creel):
    done = any_creel.run("--", "no-such-command-here")
    assert done.code == 127
    assert done.errors == ("creel: no-such-command-here: command not found: "
                           "No such file or directory\n")


def test_absolute_command_not_found_is_127(creel):
    assert creel.run("--", "/workspace/nothing").code == 127


@pytest.mark.parametrize("what", ["/etc", "/etc/passwd"])
def test_command_that_cannot_be_executed_is_126(creel, what):
    done = creel.run("--", what)
    assert done.code == 126
    assert done.errors.startswith(f"creel: {what}: cannot run: ") and done.err.count(b"\n") == 1


def test_not_an_executable_format_is_126(creel):
    place = creel.directory()
    creel.file(place / "junk", b"\x7fELF nonsense", 0o755)
    assert creel.run("--workspace", place, "--", "./junk").code == 126


def test_failed_start_in_json(creel):
    result = creel.json("--", "no-such-command-here")
    assert result["exit_code"] == 127 and result["ended_by"] == "exit"
    assert "command not found" in result["stderr"]


def test_timeout_is_124(creel):
    done = creel.run("--timeout", "300ms", "--", "sleep", "30")
    assert done.code == 124 and done.seconds < 20
    assert "--timeout" in done.errors and "300ms" in done.errors


def test_options_end_at_the_command(creel):
    assert creel.run("echo", "--json", "--nonsense").out == b"--json --nonsense\n"
    assert creel.run("--", "echo", "-c", "--").out == b"-c --\n"
    assert creel.run("--hostname=abc", "hostname").out == b"abc\n"


def test_user_is_1000_without_capabilities(any_creel):
    done = any_creel.sh("id -u; id -g; id -un; grep ^Cap /proc/self/status")
    lines = done.text.splitlines()
    assert lines[:3] == ["1000", "1000", "user"], done
    assert {line.split()[1] for line in lines[3:]} == {"0" * 16}, done


def test_user_option_is_the_default(creel):
    assert creel.run("--root", "--user", "--", "id", "-u").out == b"1000\n"
    assert creel.run("--user", "--root", "--", "id", "-u").out == b"0\n"


def test_home_and_places(creel):
    done = creel.sh("pwd; echo $HOME; test -w . && test -w $HOME && test -w /tmp && echo writable")
    assert done.text.split() == ["/workspace", "/home/user", "writable"]
    done = creel.sh("pwd; echo $HOME; test -w $HOME && test -w / && echo writable", "--root")
    assert done.text.split() == ["/workspace", "/root", "writable"]


def test_usr_is_read_only_for_a_user(creel):
    done = creel.sh("touch /usr/x /etc/x /bin/x; touch /x; true")
    assert done.err.count(b"cannot touch") == 4, done


def test_environment_is_made_new(any_creel):
    done = any_creel.run("--", "env", env={"SECRET_OF_THE_CALLER": "abc", "TERM": "xterm"})
    names = {line.split("=")[0] for line in done.text.splitlines()}
    assert names <= {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "PWD", "SHLVL", "_"}, done
    assert b"CREEL" not in done.out and b"abc" not in done.out


def test_env_option(creel):
    done = creel.run("--env", "A=1", "--env", "B=two words=x", "--env", "A=3", "--env", "HOME=/tmp",
                     "--env", "E=", "--env", "U=ünï", "--", "env")
    lines = done.text.splitlines()
    assert "A=3" in lines and "A=1" not in lines
    assert "B=two words=x" in lines and "E=" in lines and "U=ünï" in lines
    assert [line for line in lines if line.startswith("HOME=")] == ["HOME=/tmp"]


def test_path_of_env_option_finds_the_command(creel):
    place = creel.directory()
    creel.file(place / "mine", "#!/bin/sh\necho mine\n", 0o755)
    done = creel.run("--env", "PATH=/workspace:/usr/bin:/bin", "--workspace", place, "--", "mine")
    assert done.out == b"mine\n", done


def test_cwd_option(creel):
    assert creel.run("--cwd", "/tmp", "--", "pwd").out == b"/tmp\n"
    assert creel.run("--cwd", "/usr//./share", "--", "pwd").out == b"/usr/share\n"


def test_cwd_that_is_not_there(creel):
    done = creel.run("--cwd", "/nowhere", "--", "pwd")
    assert done.code == 125
    assert done.err == (b"creel: /nowhere: cannot enter the working directory: "
                        b"No such file or directory\n")


def test_hostname_option(any_creel):
    done = any_creel.sh("hostname; uname -n; cat /proc/sys/kernel/hostname", "--hostname", "lobster.pot")
    assert done.text.split() == ["lobster.pot"] * 3
    assert any_creel.run("--", "hostname").out == b"creel\n"


def test_image_and_level_that_exist(creel):
    assert creel.run("--image", "host", "--min-level", "nano", "--", "true").code == 0


@pytest.mark.parametrize("profile", ["strict", "build", "browser"])
def test_seccomp_profiles_start(creel, profile):
    result = creel.json("--seccomp", profile, "--", "grep", "Seccomp", "/proc/self/status")
    assert "Seccomp:\t2\n" in result["stdout"]
    assert result["isolation"]["layers"]["seccomp"]["profile"] == profile


def test_no_network(any_creel):
    script = "cat /proc/net/dev; cat /proc/net/route"
    done = any_creel.sh(script)
    names = [line.split(":")[0].strip() for line in done.text.splitlines() if ":" in line]
    assert set(names) <= {"lo"}, done


def test_processes_of_the_machine_are_unseen(any_creel):
    done = any_creel.sh("ls /proc | grep -c '^[0-9]'; echo $$")
    count, own = map(int, done.text.split())
    assert count <= 5 and own <= 5


def test_nothing_is_kept_between_runs(creel):
    assert creel.sh("echo x > /workspace/a; echo x > /tmp/b; echo x > ~/c").code == 0
    assert creel.sh("ls -A /workspace /tmp ~ | grep -E '^(a|b|c)$'").code == 1


def test_umask_of_the_caller(creel):
    done = creel.sh("echo x > a; stat -c %a a /workspace /tmp",
                    preexec_fn=lambda: os.umask(0o077))
    assert done.code == 0 and done.text.split() in (["644", "755", "1777"],
                                                    ["600", "755", "1777"]), done


def test_image_made_under_a_narrow_umask(creel):
    """The first run makes the image: what it makes must not depend on its caller's umask."""
    state = creel.directory("umask-", 0o700)
    creel.run("--state", state, "--", "true", preexec_fn=lambda: os.umask(0o077))
    done = creel.sh("id -un; ls /etc/ssl >/dev/null && stat -c %a /etc /etc/passwd",
                    "--state", state)
    assert done.text.split() == ["user", "755", "644"], done


def test_core_dumps_are_off_and_files_bounded(creel):
    done = creel.sh("ulimit -c; ulimit -n; ulimit -Hn")
    core, soft, hard = done.text.split()
    assert int(core) == 0 and int(soft) == 1024 and int(hard) <= 65536


def test_orphans_end_with_the_command(creel):
    done = creel.sh("setsid sleep 300 >/dev/null 2>&1 & echo started")
    assert done.out == b"started\n" and done.seconds < 5


def test_zombies_are_reaped(creel):
    done = creel.sh("for i in 1 2 3 4 5; do (sleep 0 &) ; done; sleep 0.3; "
                    "grep -l '^State:.Z' /proc/[0-9]*/status | wc -l")
    assert done.out == b"0\n", done


def test_many_arguments_and_long_ones(creel):
    words = ["x" * 1000] * 1000
    done = creel.run("--", "sh", "-c", "echo $#; echo ${#1}", "sh", *words)
    assert done.text.split() == ["1000", "1000"]


def test_large_argument_list(creel):
    """Near what the kernel itself takes."""
    words = ["y" * 100000] * 15
    done = creel.run("--", "sh", "-c", "echo $#", "sh", *words)
    assert (done.code, done.out) == (0, b"15\n"), repr(done)[-300:]


def test_arguments_are_not_interpreted(creel):
    words = ["$HOME", "*", "a b", "", "'", '"', "\\n", "ü", "-", "--"]
    done = creel.run("--", "printf", "[%s]", *words)
    assert done.text == "".join(f"[{w}]" for w in words)


def test_help_and_version(rootless_creel):
    creel = rootless_creel
    assert creel("--version").text.startswith("creel 0.")
    assert creel("--help").code == 0 and "usage: creel" in creel("--help").text
    for words in (("run", "--help"), ("help", "run"), ("run", "-h")):
        done = creel(*words)
        assert done.code == 0
        for option in ("--lang", "--memory", "--ro SRC:DST", "--detach", "--profile", "--seccomp"):
            assert option in done.text, option
    for name in ("doctor", "wait", "logs", "kill"):
        assert f"usage: creel {name}" in creel("help", name).text
        assert f"usage: creel {name}" in creel(name, "--help").text
    assert creel("nonsense").code == 125
    assert creel("help", "nonsense").code == 125
    assert creel().code == 125


def test_doctor(any_creel):
    done = any_creel("doctor")
    assert done.code == 0 and "level nano" in done.text
    says = creelkit.doctor_says(any_creel)
    assert says["works"] is True and says["root"] is any_creel.is_root
    assert says["checks"]["level nano"]["state"] == "ok"
    for name, check in says["checks"].items():
        assert check["state"] in ("ok", "limited", "missing"), name
        assert check["state"] == "ok" or check["fix"], name


def test_state_option_beats_the_environment(creel):
    place = creel.directory("other-state-", 0o700)
    done = creel.run("--state", place, "--", "true", env={"CREEL_STATE": "/proc/nowhere"})
    assert done.code == 0 and (place / "images").is_dir(), done


def test_state_by_relative_path(creel):
    place = creel.directory("relative-", 0o700)
    done = creel.run("--state", "inner", "--", "true", cwd=place, env={"CREEL_STATE": None})
    assert done.code == 0 and (place / "inner" / "images").is_dir(), done


def test_state_defaults_of_an_ordinary_user(rootless_creel):
    creel = rootless_creel
    done = creel.run("--", "true", env={"CREEL_STATE": None})
    assert done.code == 0, done
    assert (creel.home / "data" / "creel" / "images").is_dir()
    assert (creel.home / "run" / "creel" / "live").is_dir()
    done = creel.run("--", "true", env={"CREEL_STATE": None, "XDG_DATA_HOME": None,
                                        "XDG_RUNTIME_DIR": None})
    assert done.code == 0 and (creel.home / ".local/share/creel/run/live").is_dir(), done


def test_run_from_a_directory_that_is_gone(creel):
    place = creel.directory()
    process = subprocess.run(
        ["sh", "-c", f'cd {place} && rmdir {place} && exec "$@"', "sh",
         *creel.command("run", "--", "pwd")],
        env=creel.environment(), capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
    assert (process.returncode, process.stdout) == (0, b"/workspace\n"), process
