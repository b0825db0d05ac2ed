# SPDX-License-Identifier: Apache-2.0
"""The result object of --json: its shape, and that what it says of the isolation is true inside."""

import base64
import hashlib
import json
import os
import pathlib

import pytest

import creelkit

LIMITS = {"memory", "cpus", "cpu_time", "pids", "disk", "write_total", "io", "timeout", "output"}
NAMESPACES = {"user", "pid", "mnt", "net", "ipc", "uts", "cgroup", "time"}
NUMBER, TEXT = int, str


def shape(value):
    """The types of an object, as deep as it goes."""
    if isinstance(value, dict):
        return {k: shape(v) for k, v in value.items()}
    if isinstance(value, list):
        return [shape(v) for v in value[:1]]
    return type(value)


def test_exact_shape(creel):
    result = creel.json("--", "sh", "-c", "echo 42; echo x > /workspace/a")
    limit = {"asked": NUMBER, "named": bool, "enforced_by": TEXT}
    none = {"asked": type(None), "named": bool, "enforced_by": type(None)}
    assert shape(result) == {
        "id": TEXT, "exit_code": NUMBER, "signal": type(None), "ended_by": TEXT,
        "stdout": TEXT, "stderr": TEXT,
        "truncated": {"stdout": bool, "stderr": bool, "changes": bool},
        "duration_ms": NUMBER,
        "usage": {"cpu_user_ms": NUMBER, "cpu_system_ms": NUMBER, "memory_peak_bytes": NUMBER,
                  "io_read_bytes": NUMBER, "io_write_bytes": NUMBER, "pids_peak": NUMBER,
                  "disk_bytes": NUMBER},
        "limits_hit": {"pids": bool, "disk": bool, "memory": bool},
        "changes": [{"path": TEXT, "kind": TEXT, "size": NUMBER, "sha256": TEXT}],
        "files": {"executed": [], "overflow": bool, "read": [], "written": [TEXT]}
        if creel.is_root else type(None),
        "refused_calls": [], "image": TEXT,
        "isolation": {
            "level": TEXT, "mode": TEXT,
            "layers": {
                "namespaces": {n: {"id": TEXT, "own": bool} for n in NAMESPACES},
                "seccomp": {"mode": NUMBER, "filters": NUMBER, "profile": TEXT,
                            "calls_allowed": NUMBER},
                "no_new_privs": bool,
                "capabilities": dict.fromkeys(
                    ["effective", "permitted", "bounding", "inheritable", "ambient"], TEXT),
                "uid_map": TEXT, "root": {"type": TEXT, "options": TEXT},
                "landlock_abi": NUMBER if result["isolation"]["layers"]["landlock_abi"]
                else type(None)},
            "limits": {n: none if n in ("cpu_time", "write_total", "io") else limit
                       for n in LIMITS}},
        "identity": {"org": TEXT, **dict.fromkeys(["user", "agent", "skill", "session"],
                                                  type(None))},
        "labels": {},
        "audit": {"org": TEXT, "start": NUMBER, "end": NUMBER, "checkpoint": TEXT},
        "kept": dict.fromkeys(["agent", "workspace", "layer", "overlay"], type(None))}
    assert creelkit.ID.match(result["id"])
    assert result["isolation"]["level"] == "nano"
    assert (result["stdout"], result["stderr"], result["ended_by"]) == ("42\n", "", "exit")


def test_the_example_of_the_issue(any_creel):
    result = any_creel.json("--lang", "python", "-c", "print(6*7)")
    assert result["stdout"] == "42\n" and result["exit_code"] == 0
    mode = {"root": "root", "rootless": "rootless", "single": "rootless, single id"}
    assert result["isolation"]["mode"] == mode[any_creel.name]


def test_bytes_that_are_not_utf8(creel):
    data = bytes(range(256)) * 3
    result = creel.json("--", "cat", input=data)
    assert "stdout" not in result and base64.b64decode(result["stdout_base64"]) == data
    result = creel.json("--", "sh", "-c", "cat >&2", input=data)
    assert "stderr" not in result and base64.b64decode(result["stderr_base64"]) == data
    assert result["stdout"] == ""


@pytest.mark.parametrize("data", [
    b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"abc\xc3", b"\xe2\x82"])
def test_text_that_only_looks_like_utf8(creel, data):
    result = creel.json("--", "cat", input=data)
    assert base64.b64decode(result["stdout_base64"]) == data


def test_text_that_json_must_escape(creel):
    data = 'tab\t"quote" \\back\b\f\r\n\x00\x01\x1f\x7f é € 😀 \u2028 \ufeff'
    result = creel.json("--", "cat", input=data.encode())
    assert result["stdout"] == data


def by_path(result):
    return {change["path"]: change for change in result["changes"]}


def test_changes_of_new_files(any_creel):
    result = any_creel.json("--", "sh", "-c", "printf hello > a; mkdir -p d/e; printf deep > d/e/f;"
                            "mkdir empty; ln -s a link; : > nothing; printf x > /tmp/t;"
                            "printf y > ~/h; mkfifo pipe; exit 3")
    changes = by_path(result)
    assert {c["kind"] for c in changes.values()} == {"added"}
    assert set(changes) == {"/workspace/a", "/workspace/d/e/f", "/workspace/empty",
                            "/workspace/link", "/workspace/nothing", "/workspace/pipe", "/tmp/t",
                            "/home/user/h"}
    assert changes["/workspace/a"]["size"] == 5
    assert changes["/workspace/a"]["sha256"] == hashlib.sha256(b"hello").hexdigest()
    assert changes["/workspace/d/e/f"]["sha256"] == hashlib.sha256(b"deep").hexdigest()
    assert changes["/workspace/nothing"]["sha256"] == hashlib.sha256(b"").hexdigest()
    assert changes["/workspace/empty"]["sha256"] is None
    assert changes["/workspace/link"]["sha256"] is None
    assert result["exit_code"] == 3


def test_changes_in_a_workspace(creel):
    place = creel.directory()
    for name in ("same", "changed", "gone", "touched-not", "dir-x"):
        creel.file(place / name, f"{name} before\n")
    creel.own(place / "dir", 0o755)
    creel.file(place / "dir" / "inner", "inner\n")
    result = creel.json("--workspace", place, "--", "sh", "-c",
                        "echo after > changed; rm gone; echo new > fresh; cat same > /dev/null;"
                        "rm -r dir; mv touched-not moved")
    changes = by_path(result)
    kinds = {path: change["kind"] for path, change in changes.items()}
    assert kinds == {"/workspace/changed": "modified", "/workspace/gone": "deleted",
                     "/workspace/fresh": "added", "/workspace/dir/inner": "deleted",
                     "/workspace/touched-not": "deleted", "/workspace/moved": "added"}
    assert changes["/workspace/changed"]["sha256"] == hashlib.sha256(b"after\n").hexdigest()
    assert changes["/workspace/gone"] == {"path": "/workspace/gone", "kind": "deleted",
                                          "size": None, "sha256": None}
    assert changes["/workspace/moved"]["sha256"] == \
        hashlib.sha256(b"touched-not before\n").hexdigest()


def test_changes_of_same_size_and_time(creel):
    """A file that is overwritten with as many bytes and its old time is still modified."""
    place = creel.directory()
    creel.file(place / "sly", "aaaa")
    result = creel.json("--workspace", place, "--", "sh", "-c",
                        "touch -r sly /tmp/ref; printf bbbb > sly; touch -r /tmp/ref sly")
    assert by_path(result)["/workspace/sly"]["kind"] == "modified"


def test_changes_of_the_system(creel):
    result = creel.json("--root", "--", "sh", "-c",
                        "echo x > /etc/new; echo x >> /etc/profile; rm /etc/bash.bashrc;"
                        "echo x > /usr/local/new; rm -r /etc/skel; rm /usr/bin/env;"
                        "echo y > /usr/bin/env")
    kinds = {path: change["kind"] for path, change in by_path(result).items()}
    wanted = {"/etc/new": "added", "/etc/profile": "modified", "/etc/bash.bashrc": "deleted",
              "/usr/local/new": "added", "/etc/skel": "deleted",
              "/usr/bin/env": "modified"}
    assert {k: v for k, v in kinds.items() if k in wanted} == wanted
    assert not set(kinds) - set(wanted), kinds


def test_in_is_no_change(creel):
    creel.file(creel.home / "input.txt", "x")
    result = creel.json("--in", creel.home / "input.txt", "--", "true")
    assert result["changes"] == []


def test_names_in_changes_are_escaped(creel):
    result = creel.json("--", "python3", "-c",
                        "open('a\\nb\"c', 'w'); open('é', 'w'); open(b'\\xff\\xfe', 'w')")
    paths = [change["path"] for change in result["changes"] if "path" in change]
    assert paths == ["/workspace/a\nb\"c", "/workspace/é"]
    other = [change["path_base64"] for change in result["changes"] if "path" not in change]
    assert [base64.b64decode(path) for path in other] == [b"/workspace/\xff\xfe"]


def test_many_changes_are_cut_and_said_so(creel):
    code = "for i in range(10050): open(f'f{i:05}', 'w').close()"
    result = creel.json("--lang", "python", "-c", code)
    assert len(result["changes"]) == 10000 and result["truncated"]["changes"] is True


INSIDE = """
import json, os
def read(path):
    with open(path) as f: return f.read()
status = dict(l.split(':\\t', 1) for l in read('/proc/self/status').splitlines())
print(json.dumps({
  'ns': {n: os.readlink(f'/proc/self/ns/{n}') for n in os.listdir('/proc/self/ns')},
  'status': status, 'map': read('/proc/self/uid_map').split(),
  'mounts': read('/proc/self/mountinfo')}))
"""


def test_layers_are_what_processes_inside_see(any_creel):
    result = any_creel.json("--lang", "python", "-c", INSIDE)
    inside = json.loads(result["stdout"])
    layers = result["isolation"]["layers"]
    for name, entry in layers["namespaces"].items():
        assert inside["ns"][name] == entry["id"], name
        assert entry["own"] == (name != "time")
    status = inside["status"]
    assert int(status["Seccomp"]) == layers["seccomp"]["mode"] == 2
    assert int(status["Seccomp_filters"]) == layers["seccomp"]["filters"]
    assert (int(status["NoNewPrivs"]) == 1) is layers["no_new_privs"] is True
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert {int(layers["capabilities"][n], 16) for n in ("inheritable", "ambient")} == {0}
    told = [w for line in layers["uid_map"].split(",") for w in line.split()]
    assert told[0::3] == inside["map"][0::3] and told[2::3] == inside["map"][2::3]
    root = [line for line in inside["mounts"].splitlines() if line.split()[4] == "/"]
    assert len(root) == 1 and f" - {layers['root']['type']} " in root[0]
    for word in ("nosuid", "nodev"):
        assert word in root[0].split()[5] and word in layers["root"]["options"]


def test_namespaces_are_not_those_of_this_machine(creel):
    result = creel.json("--", "true")
    for name, entry in result["isolation"]["layers"]["namespaces"].items():
        if name != "time":
            assert entry["id"] != os.readlink(f"/proc/self/ns/{name}")


def test_limits_as_asked_for(creel):
    options = ["--memory", "300M", "--cpus", "1", "--cpu-time", "90s", "--pids", "99", "--disk",
               "20M", "--timeout", "2m", "--output", "1M"]
    limits = creel.json(*options, "--", "true")["isolation"]["limits"]
    assert {n: v["asked"] for n, v in limits.items()} == {
        "memory": 300 << 20, "cpus": 1, "cpu_time": 90000, "pids": 99, "disk": 20 << 20,
        "timeout": 120000, "output": 1 << 20, "write_total": None, "io": None}
    for name, limit in limits.items():
        assert limit["named"] is (limit["asked"] is not None), name
        assert bool(limit["enforced_by"]) is limit["named"], name


def test_fraction_of_a_cpu_as_asked_for(root_creel):
    limits = root_creel.json("--cpus", "1.5", "--", "true")["isolation"]["limits"]
    assert float(limits["cpus"]["asked"]) == 1.5


def test_limits_are_set_where_they_say(root_creel):
    """Read from the cgroup files while it runs."""
    process = root_creel.popen("run", "--memory", "300M", "--pids", "99", "--cpus", "1.5", "--",
                               "sh", "-c", "echo up; sleep 1")
    assert process.stdout.readline() == b"up\n"
    found = {}
    for name in root_creel.live_ids():
        for path in pathlib.Path("/sys/fs/cgroup").rglob(f"creel/{name}/*"):
            if path.name in ("memory.limit_in_bytes", "memory.max", "pids.max", "cpu.cfs_quota_us",
                             "cpu.max"):
                found[path.name] = path.read_text().split()[0]
    process.communicate(timeout=20)
    assert found.get("memory.max", found.get("memory.limit_in_bytes")) == str(300 << 20)
    assert found["pids.max"] in ("99", "100")
    assert found.get("cpu.cfs_quota_us", found.get("cpu.max")) == "150000"


def test_identity_and_labels(creel):
    result = creel.json("--org", "acme", "--user-id", "ann", "--agent", "a-1", "--skill", "plot",
                        "--session", "s_9", "--label", "k=v", "--label", "url=http://x/?a=b",
                        "--label", "empty=", "--", "true")
    assert result["identity"] == {"org": "acme", "user": "ann", "agent": "a-1", "skill": "plot",
                                  "session": "s_9"}
    assert result["labels"] == {"k": "v", "url": "http://x/?a=b", "empty": ""}


def test_same_label_twice_is_one_key(creel):
    done = creel.run("--json", "--label", "k=1", "--label", "k=2", "--", "true")
    assert done.code == 125 or done.out.count(b'"k":') == 1, done


def test_long_label(creel):
    """A key is kept whole or refused, never cut."""
    done = creel.run("--json", "--label", "k" * 300 + "=v", "--", "true")
    assert done.code == 125 or json.loads(done.out)["labels"] == {"k" * 300: "v"}, done


def test_signal_and_usage(creel):
    result = creel.json("--", "sh", "-c", "kill -SEGV $$")
    assert (result["signal"], result["ended_by"], result["exit_code"]) == (11, "signal", 139)
    result = creel.json("--lang", "python", "-c",
                        "import time\nt = time.process_time()\nwhile time.process_time() - t < .5: pass")
    assert 450 <= result["usage"]["cpu_user_ms"] + result["usage"]["cpu_system_ms"] < 2000
    assert result["usage"]["memory_peak_bytes"] > 1 << 20
    assert result["usage"]["pids_peak"] >= 1
    result = creel.json("--", "sh", "-c", "head -c 5M /dev/zero > x; sleep 0.1")
    assert result["usage"]["disk_bytes"] >= 5 * creelkit.MIB
    assert result["duration_ms"] >= 100


def test_refused_calls_are_told(creel):
    result = creel.json("--lang", "python", "-c",
                        "import ctypes\nl = ctypes.CDLL(None, use_errno=True)\n"
                        "r = l.unshare(0x10000000)\nprint(r)")
    assert result["stdout"] == "-1\n"
    assert all(set(c) == {"call", "count"} and c["count"] > 0 for c in result["refused_calls"])


def test_error_object(creel):
    done = creel.run("--json", "--memory", "lots", "--", "true")
    assert done.code == 125 and done.err == b""
    result = json.loads(done.out)
    assert shape(result) == {"error": {"module": str, "errno": int, "message": str},
                             "exit_code": int}
    assert result["exit_code"] == 125 and "--memory lots" in result["error"]["message"]
