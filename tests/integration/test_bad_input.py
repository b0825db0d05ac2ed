# SPDX-License-Identifier: Apache-2.0
"""Bad input: one clear line (JSON under --json), exit 125, nothing left behind."""

import contextlib
import json
import os
import re
import resource
import signal
import subprocess

import pytest

import creelkit


def refused(creel, *args, says=(), **kw):
    """125 and one line; under --json one object that says the same; and nothing stays."""
    if not creel.live.exists():
        creel.run("--", "true")
    before = creel.live_ids(), sorted(os.listdir(creel.state))
    done = creel.run(*args, **kw)
    assert done.code == 125, done
    assert done.out == b"" and done.err.count(b"\n") == 1, done
    line = done.errors
    assert line.startswith("creel: ") and len(line) > len("creel: \n") + 5, done
    for word in says:
        assert word in line, done
    if "--detach" not in args:
        told = creel.run("--json", *args, **kw)
        assert told.code == 125 and told.err == b"", told
        result = json.loads(told.out)
        assert result["exit_code"] == 125, told
        same = re.sub(r"i[a-z0-9]{20}", "ID", result["error"]["message"])
        assert same == re.sub(r"i[a-z0-9]{20}", "ID", line[len("creel: "):-1])
    assert (creel.live_ids(), sorted(os.listdir(creel.state))) == before
    return line


@pytest.mark.parametrize("words, says", [
    (["--nonsense", "--", "true"], ["unknown option --nonsense", "--help"]),
    (["-x", "--", "true"], ["unknown option -x"]),
    (["--memor", "1G", "--", "true"], ["unknown option --memor"]),
    (["-json", "--", "true"], ["unknown option -json"]),
    (["--c", "1", "--", "true"], ["unknown option --c"]),
    (["--root=yes", "--", "true"], ["--root takes no value"]),
    (["--memory"], ["--memory needs a value"]),
    ([], ["no command"]),
    (["--"], ["no command"]),
    (["--lang", "python"], ["--lang python needs a FILE or -c CODE"]),
    (["-c", "print(1)"], ["-c needs --lang"]),
    (["--lang", "cobol", "-c", "1"], ["cobol", "no such language", "python"]),
    (["--lang", "", "-c", "1"], ["no such language"]),
    (["--lang", "python", "/no/such.py"], ["/no/such.py", "No such file"]),
    (["--lang", "python", "/tmp"], ["/tmp is not a file"]),
    (["--image", "debian", "--", "true"], ["no image debian", "creel image"]),
    (["--min-level", "iron", "--", "true"], ["--min-level iron", "cannot give"]),
    (["--min-level", "vm", "--", "true"], ["--min-level vm", "cannot give"]),
    (["--min-level", "wasm", "--", "true"], ["--min-level wasm", "cannot give"]),
    (["--min-level", "steel", "--", "true"], ["no such level"]),
    (["--seccomp", "none", "--", "true"], ["--seccomp none", "strict"]),
    (["--tty", "maybe", "--", "true"], ["--tty maybe", "auto, on or off"]),
    (["--hostname", "", "--", "true"], ["--hostname"]),
    (["--hostname", "a b", "--", "true"], ["--hostname a b"]),
    (["--hostname", "-a", "--", "true"], ["--hostname -a"]),
    (["--hostname", "x" * 64, "--", "true"], ["--hostname"]),
    (["--cwd", "relative", "--", "true"], ["--cwd relative", "absolute"]),
    (["--cwd", "/a/../b", "--", "true"], ["--cwd /a/../b", ".."]),
    (["--cwd", "/proc/1/root", "--", "true"], ["--cwd"]),
    (["--env", "NOVALUE", "--", "true"], ["--env NOVALUE", "NAME=VALUE"]),
    (["--env", "=x", "--", "true"], ["--env"]),
    (["--label", "x", "--", "true"], ["--label x", "KEY=VALUE"]),
    (["--label", "=x", "--", "true"], ["--label"]),
    (["--org", "", "--", "true"], ["--org"]),
    (["--agent", "a/b", "--", "true"], ["--agent a/b"]),
    (["--session", "x" * 129, "--", "true"], ["--session", "128"]),
    (["--workspace", "/no/such", "--", "true"], ["--workspace /no/such", "No such file"]),
    (["--workspace", "/etc/passwd", "--", "true"], ["/etc/passwd", "not a directory"]),
    (["--workspace", "/", "--", "true"], ["--workspace /"]),
    (["--out", "/no/such", "--", "true"], ["--out /no/such", "No such file"]),
    (["--out", "/etc/passwd", "--", "true"], ["not a directory"]),
    (["--in", "/no/such", "--", "true"], ["--in /no/such", "No such file"]),
    (["--in", "/", "--", "true"], ["--in /"]),
    (["--in", "/usr/bin/env", "--in", "/bin/env", "--", "true"], ["same name"]),
    (["--profile", "nonsense-profile", "--", "true"], []),
])
def test_options(rootless_creel, words, says):
    refused(rootless_creel, *words, says=says)


@pytest.mark.parametrize("option", ["--memory", "--disk", "--output", "--io", "--write-total"])
@pytest.mark.parametrize("value", [
    "lots", "-1", "0", "", "1.5.5G", "1G2", "1 G", " 1G", "0x10", "1e9", "G", "99999999T",
    "18446744073709551616", "18446744073709551615G", "1,5G", "١", "NaN"])
def test_sizes(rootless_creel, option, value):
    refused(rootless_creel, option, value, "--", "true", says=[option])


@pytest.mark.parametrize("option", ["--timeout", "--cpu-time"])
@pytest.mark.parametrize("value", ["soon", "-1s", "0", "0s", "", "1w", "s", "1.2345s", "9999d",
                                   "99999999999999999999s", "1m30s"])
def test_times(rootless_creel, option, value):
    refused(rootless_creel, option, value, "--", "true", says=[option])


@pytest.mark.parametrize("option, value", [
    ("--cpus", v) for v in ("0", "-1", "many", "", "0.0001", "9999999", "1.5x", "0.001")] + [
    ("--pids", v) for v in ("0", "1", "-5", "1.5", "", "many", "4194305", "99999999999999999999")])
def test_counts(rootless_creel, option, value):
    refused(rootless_creel, option, value, "--", "true", says=[option])


@pytest.mark.parametrize("value", ["3M", "1"])
def test_memory_that_is_too_small(rootless_creel, value):
    refused(rootless_creel, "--memory", value, "--", "true", says=["at least 4M"])


@pytest.mark.parametrize("target, says", [
    ("/proc", "/proc"), ("/proc/self", "/proc"), ("/dev", "/dev"), ("/dev/null", "/dev"),
    ("/sys", "/sys"), ("/sys/kernel", "/sys"), ("/", "DST"), ("/usr", "DST"),
    ("/workspace", "DST"), ("relative", "absolute"), ("./x", "absolute"), ("/a/../proc", ".."),
    ("/..", ".."), ("//proc//", "/proc"), ("/proc/.", "/proc"), ("/./dev", "/dev")])
def test_places_of_read_only_data(creel, target, says):
    place = creel.directory()
    refused(creel, "--ro", f"{place}:{target}", "--", "true", says=["--ro", says])


@pytest.mark.parametrize("value", ["/etc", ":/data", "/etc:", "/no/such:/data", ":"])
def test_read_only_data(rootless_creel, value):
    refused(rootless_creel, "--ro", value, "--", "true", says=["--ro"])


def test_two_mounts_at_one_place(rootless_creel):
    refused(rootless_creel, "--ro", "/usr/share:/data", "--ro", "/usr/lib:/data/.", "--", "true",
            says=["two mounts at /data"])


def test_too_many_mounts(creel):
    words = [w for n in range(65) for w in ("--ro", f"/usr/share:/data/{n}")]
    refused(creel, *words, "--", "true", says=["--ro", "too many"])
    assert creel.run(*words[:-2], "--", "ls", "/data").text.count("\n") == 64


@pytest.mark.parametrize("target", ["/etc/passwd/below", "/usr/bin/env/x", "/bin/x"])
def test_mount_point_that_cannot_be(creel, target):
    """Below a file, or through a link of the image: refused or put where it belongs, never hung."""
    place = creel.directory()
    done = creel.run("--ro", f"{place}:{target}", "--", "true")
    assert done.code in (0, 125) and (done.code == 0 or done.err.count(b"\n") == 1), done


def test_file_over_a_directory_and_back(creel):
    path = creel.file(creel.home / "plain", "x")
    refused(creel, "--ro", f"{path}:/opt", "--", "true", says=["opt"])
    refused(creel, "--ro", f"{creel.directory()}:/etc/passwd", "--", "true", says=["passwd"])


def test_json_and_detach_exclude_each_other(rootless_creel):
    done = rootless_creel.run("--json", "--detach", "--", "true")
    assert done.code == 125 and "--json and --detach exclude each other" in done.text
    assert json.loads(done.out)["exit_code"] == 125


def test_detach_has_no_terminal(rootless_creel):
    refused(rootless_creel, "--detach", "--tty", "on", "--", "true", says=["no terminal"])


def test_json_error_even_if_another_option_fails_first(rootless_creel):
    done = rootless_creel.run("--nonsense", "--json", "--", "true")
    assert done.code == 125 and json.loads(done.out)["error"]["message"], done


def test_message_about_odd_bytes_is_valid_json(rootless_creel):
    done = rootless_creel.run("--json", "--lang", b"\xff\x01\"".decode("latin-1"), "-c", "1")
    assert done.code == 125 and json.loads(done.out)["error"]["message"]


def test_very_long_values(rootless_creel):
    long = "x" * 100000
    for option in ("--memory", "--lang", "--image", "--workspace", "--cwd", "--hostname",
                   "--profile", "--seccomp", "--org"):
        done = rootless_creel.run(option, long, "--", "true")
        assert done.code == 125 and done.err.count(b"\n") == 1, option
        assert len(done.err) < 3000, option


# ---- the state directory ----

def with_state(creel, place, *says):
    """A refused run with that state directory."""
    done = creel.run("--state", place, "--", "true")
    assert done.code == 125 and done.err.count(b"\n") == 1, done
    for word in says:
        assert word in done.errors, done
    told = creel.run("--json", "--state", place, "--", "true")
    assert told.code == 125 and json.loads(told.out)["error"]["message"]


def test_state_that_is_a_file(creel):
    with_state(creel, creel.file(creel.home / "state-file", "x"), "not a directory")


def test_state_below_a_file(creel):
    creel.file(creel.home / "state-file", "x")
    with_state(creel, creel.home / "state-file" / "sub", "state-file")


def test_state_that_cannot_be_written(rootless_creel):
    place = rootless_creel.directory("ro-state-", 0o500)
    with_state(rootless_creel, place, "ro-state-")
    assert not os.listdir(place)


def test_state_of_someone_else(creels):
    if "root" not in creels:
        pytest.skip("the tests are not run as root")
    place = creels["root"].directory("root-state-", 0o777)
    with_state(creels["rootless"], place, "belongs to uid 0")
    assert not os.listdir(place)
    place = creels["rootless"].directory("user-state-", 0o700)
    with_state(creels["root"], place, f"belongs to uid {creels['rootless'].uid}")
    assert not os.listdir(place)


def test_state_that_others_may_write(creel):
    place = creel.directory("open-state-", 0o777)
    with_state(creel, place, "writable by you only")


def test_state_through_a_link_is_refused(creel):
    place = creel.directory("real-state-", 0o700)
    link = creel.home / "link-state"
    link.symlink_to(place)
    done = creel.run("--state", link, "--", "true")
    assert done.code == 125 or (place / "images").is_dir(), done
    link.unlink()


def test_state_name_that_is_too_long(creel):
    with_state(creel, "/" + "x" * 5000, "too long")


def test_state_without_home(rootless_creel):
    done = rootless_creel.run("--", "true", env={
        "CREEL_STATE": None, "HOME": None, "XDG_DATA_HOME": None, "XDG_RUNTIME_DIR": None})
    assert done.code == 125 and "HOME is not set" in done.errors and "--state" in done.errors


@contextlib.contextmanager
def small_disk(creel, size):
    place = creel.directory("full-", 0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o",
                    f"size={size},mode=0700,uid={creel.uid},gid={creel.gid}", "tmpfs", place],
                   check=True, timeout=20)
    try:
        yield place
    finally:
        for name in os.listdir(place / "run" / "live"):  # a run that should have ended
            with contextlib.suppress(OSError, ValueError, IndexError):
                os.kill(int((place / "run" / "live" / name).read_text().split()[0]),
                        signal.SIGKILL)
        creelkit.wait_until(lambda: subprocess.run(["umount", place], timeout=20,
                                                   capture_output=True).returncode == 0, 5, 0.2)


@pytest.mark.parametrize("room", [0, 4096, 16384, 65536, 262144])
def test_full_disk_for_the_state(creels, creel, room):
    """Full before the first run; with only some room left: a clear refusal, then it recovers."""
    if "root" not in creels:
        pytest.skip("mounting needs root")
    with small_disk(creel, "8M") as place:
        with open(place / "ballast", "wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"x" * 4096):
                pass
        os.truncate(place / "ballast", max(0, (place / "ballast").stat().st_size - room))
        done = creel.run("--state", place, "--", "true")
        assert done.code in (0, 125), done
        if done.code == 125:
            assert done.err.count(b"\n") == 1 and "No space left" in done.errors, done
        os.unlink(place / "ballast")
        done = creel.run("--state", place, "--", "sh", "-c", "id -un; cat /etc/passwd | wc -l")
        assert done.code == 0 and done.text.split()[0] == "user", done
        assert int(done.text.split()[1]) > 5, "the image that was cut short is used"
        assert not os.listdir(place / "run" / "live")


def test_full_disk_for_detached_logs(creels, creel):
    if "root" not in creels:
        pytest.skip("mounting needs root")
    with small_disk(creel, "4M") as place:
        assert creel.run("--state", place, "--", "true").code == 0
        done = creel.run("--state", place, "--detach", "--", "sh", "-c",
                         "head -c 9000000 /dev/zero; echo end >&2")
        assert done.code == 0, done
        waited = creel("wait", "--state", place, done.text.strip())
        assert waited.code != 0, "output was lost and nobody was told"


def test_no_processes_left(rootless_creel):
    """RLIMIT_NPROC: a clear refusal. Counted for all processes of the user on this machine."""
    creel = rootless_creel
    if creel.uid == os.geteuid():
        pytest.skip("it would count the processes of this very user")

    # The limit comes after the change of user, or execve() itself would fail.
    words = creel.command("run", "--", "true")
    at = words.index(str(creel.binary))
    process = subprocess.run([*words[:at], "prlimit", "--nproc=0", *words[at:]],
                             env=creel.environment(), capture_output=True, timeout=30)
    done = creelkit.Result(("run",), process.returncode, process.stdout, process.stderr, 0)
    assert done.code == 125 and done.err.count(b"\n") == 1, done
    assert "Resource temporarily unavailable" in done.errors, done
    assert not creel.live_ids()
    assert creel.run("--", "true").code == 0


def test_no_descriptors_left(creel):
    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12))

    done = creel.run("--", "true", preexec_fn=limit)
    assert done.code in (0, 125) and (done.code == 0 or done.err.count(b"\n") == 1), done
    if done.code:
        assert "Too many open files" in done.errors, done
    assert not creel.live_ids()


def test_result_to_a_full_device(creel):
    with open("/dev/full", "wb") as full:
        done = creel.run("--json", "--", "true", stdout=full)
    assert done.code == 125 and b"No space left" in done.err, done
