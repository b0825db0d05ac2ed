# SPDX-License-Identifier: Apache-2.0
"""A project copy-on-write: --overlay, and then creel diff, apply and discard."""

import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import time

import pytest

import creelkit


def project(creel, **files):
    """A directory of creel's user with these files; dots of names are written as two underscores."""
    place = creel.directory("project-")
    for name, content in files.items():
        creel.file(place / name.replace("__", "."), content)
    return place


def overlay(creel, place, script, *options, **kw):
    """The id under which the changes of this run are kept."""
    result = creel.json("--overlay", place, *options, "--", "sh", "-c", script, **kw)
    assert result["exit_code"] == 0, result
    return result["id"]


def kinds(creel, name, *paths):
    """{path: kind} of what is kept."""
    done = creel("diff", "-z", name, *paths)
    assert done.code == 0, done
    entries = [entry.split(b" ", 1) for entry in done.out.split(b"\0")[:-1]]
    return {os.fsdecode(path): kind.decode() for kind, path in entries}


def told(done):
    """{path: kind} of what creel apply says it applied."""
    return {line.split(maxsplit=1)[1]: line.split()[0] for line in done.text.splitlines()}


def tree(place):
    """{path: what it is} of everything below."""
    found = {}
    for base, names, files in os.walk(place):
        for name in names + files:
            path = os.path.join(base, name)
            st = os.lstat(path)
            what = os.readlink(path) if stat.S_ISLNK(st.st_mode) else ""
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb") as file:
                    what = file.read()
            found[os.path.relpath(path, place)] = (stat.S_IFMT(st.st_mode), st.st_mode & 0o7777
                                                   if not stat.S_ISLNK(st.st_mode) else 0, what)
    return found


def git(place, *args, **kw):
    return subprocess.run(["git", "-c", "safe.directory=*", "-c", "user.name=t", "-c",
                           "user.email=t@t", *args], cwd=place, check=True, timeout=60,
                          capture_output=True, **kw).stdout


CHANGE = ("sed -i s/5/five/ lines; rm gone; mv renamed new-name; chmod +x mode; ln -sf lines link;"
          "rm -r tree; mkdir -p a/b; echo new > a/b/c; rm was-file; mkdir was-file;"
          "echo x > was-file/f; printf 'no newline' > 'ein \u00e4 name'; printf 'a\\0b' > binary")


def repository(creel):
    """A git repository that CHANGE fits."""
    place = project(creel, lines="".join(f"{i}\n" for i in range(1, 30)), gone="gone\n",
                    renamed="the same\n", mode="#!/bin/sh\n", binary="text\n")
    creel.file(place / "was-file", "x\n")
    creel.own(place / "tree" / "deep", 0o755)
    creel.own(place / "tree", 0o755)
    creel.file(place / "tree" / "deep" / "f", "x\n")
    (place / "link").symlink_to("mode")
    os.lchown(place / "link", creel.uid, creel.gid)
    git(place, "init", "-q")
    git(place, "add", "-A")
    git(place, "commit", "-qm", "one")
    subprocess.run(["chown", "-R", f"{creel.uid}:{creel.gid}", place], check=True, timeout=60)
    return place


def test_a_git_repository(any_creel):
    creel = any_creel
    place = repository(creel)
    before = tree(place)
    name = overlay(creel, place, CHANGE)
    assert tree(place) == before, "the host's directory changed before apply"
    wanted = {"lines": "modified", "gone": "deleted", "renamed": "deleted", "new-name": "added",
              "mode": "mode", "link": "symlink", "tree/deep/f": "deleted", "a/b/c": "added",
              "was-file": "type", "was-file/f": "added", "ein \u00e4 name": "added",
              "binary": "modified"}
    assert kinds(creel, name) == wanted
    done = creel("apply", "--dry-run", name)
    assert done.code == 0 and told(done) == wanted and tree(place) == before, done
    done = creel("apply", name)
    assert done.code == 0 and told(done) == wanted and done.err == b"", done
    status = git(place, "status", "--porcelain", "-z", "--no-renames").decode().split("\0")[:-1]
    assert sorted(status) == sorted([
        " M lines", " D gone", " D renamed", "?? new-name", " M mode", " M link",
        " D tree/deep/f", "?? a/", " D was-file", "?? ein \u00e4 name",
        " M binary"])
    assert kinds(creel, name) == {}
    assert not (place / "tree").exists()
    assert all((place / path).lstat().st_uid == creel.uid for path in tree(place)
               if not path.startswith(".git"))
    done = creel("apply", name)
    assert done.code == 0 and not done.out, done
    assert creel("discard", name).code == 0
    assert creel("diff", name).code == 125


def test_the_patch_is_one_for_git(creel):
    place = repository(creel)
    name = overlay(creel, place, CHANGE.replace("printf 'a\\0b' > binary", "true"))
    done = creel("diff", name)
    assert done.code == 0 and b"\x1b" not in done.out, done
    other = creel.home / f"clone-{name}"
    shutil.copytree(place, other, symlinks=True)
    git(other, "apply", "-", input=done.out)
    assert creel("apply", name).code == 0
    ours, theirs = tree(place), tree(other)
    for found in (ours, theirs):
        for path in [p for p in found if p.startswith(".git")]:
            del found[path]
    assert ours == theirs


def test_a_terminal_gets_colours_and_no_control_characters(creel, open_terminal):
    place = project(creel, f="one\n")
    name = overlay(creel, place, r"printf 'two\033[2Jx\302\233y\2331m\303\244\n' > f")
    seen = open_terminal("diff", name).expect(r".{5}\+two.*")
    assert seen[0].strip() == "\x1b[32m+two^[[2Jx<U+009B>y<9B>1m\u00e4\x1b[m"


def test_names(any_creel):
    creel = any_creel
    place = project(creel)
    names = ["new\nline", "\u00fc\u00f1\u00ee", " lead", "-dash", "quote\"back\\slash", "\x1b[31m",
             "\x7f", "tab\t", "*", "a'b", "\u202ertl"]
    script = ("import os\nfor n in {!r}: open(n, 'w').write('x')\n"
              "open(b'\\xff\\xfe', 'w').write('x')\n").format(names)
    result = creel.json("--overlay", place, "--", "python3", "-c", script)
    name = result["id"]
    wanted = {*names, os.fsdecode(b"\xff\xfe")}
    assert set(kinds(creel, name)) == wanted, result
    for options in ((), ("--stat",), ("--json",)):
        done = creel("diff", *options, name)
        assert done.code == 0
        assert not any(c in done.out for c in (b"\x1b", b"\x7f", b"\xe2\x80\xae")
                       if options != ("--json",)), done
    listed = json.loads(done.out)["changes"]
    assert sum("path_base64" in change for change in listed) == 1
    done = creel("apply", name)
    assert done.code == 0 and b"\x1b" not in done.out, done
    assert set(os.listdir(place)) == wanted


def test_json_and_stat(creel):
    place = project(creel, f="one\ntwo\n", g="x")
    name = overlay(creel, place, "echo three >> f; rm g; chmod 700 f; mkdir d")
    found = json.loads(creel("diff", "--json", name).out)
    assert found["id"] == name and found["dir"] == str(place) and found["org"] == "local"
    changes = {change.pop("path"): change for change in found["changes"]}
    assert changes["f"] == {
        "kind": "modified", "size": 14, "old_mode": "100644", "mode": "100700", "refused": None,
        "sha256": hashlib.sha256(b"one\ntwo\nthree\n").hexdigest()}
    assert changes["g"]["kind"] == "deleted" and changes["g"]["size"] is None
    assert changes["d"]["mode"] == "040755"
    lines = creel("diff", "--stat", name).text.splitlines()
    assert [line.split()[0] for line in lines] == ["added", "modified", "deleted", "3"]
    assert lines[1].split()[1:4] == ["+1", "-0", "14"]
    assert lines[1].split()[4] == changes["f"]["sha256"][:12]


def test_a_changed_host_file_is_a_conflict(any_creel):
    creel = any_creel
    place = project(creel, a="old\n", b="old\n", c="old\n", kept="old\n")
    name = overlay(creel, place, "echo run > a; echo run > b; rm c; echo run > new; echo run > same")
    creel.file(place / "a", "host\n")
    creel.file(place / "c", "host\n")
    creel.file(place / "new", "host\n")
    creel.file(place / "same", "run\n")
    creel.file(place / "kept", "host\n")
    before = tree(place)
    done = creel("apply", name)
    assert done.code == 1 and not done.out and tree(place) == before, done
    for path in ("a", "c", "new"):
        assert f"conflict: {path}: changed on the host" in done.errors
    assert "3 conflicts" in done.errors and done.err.count(b"\n") == 4
    assert creel("diff", name).errors.count("changed on the host") == 3
    done = creel("apply", name, "b")
    assert done.code == 0 and told(done) == {"b": "modified"}, done
    done = creel("apply", name, place / "a", "/workspace/c", "--force")
    assert done.code == 0 and told(done) == {"a": "modified", "c": "deleted"}, done
    assert (place / "a").read_text() == "run\n" and not (place / "c").exists()
    assert (place / "new").read_text() == "host\n" and (place / "kept").read_text() == "host\n"
    assert kinds(creel, name) == {"new": "modified"}


def test_a_file_that_the_host_deleted_is_a_conflict(creel):
    place = project(creel, f="old\n", g="old\n")
    name = overlay(creel, place, "echo run >> f")
    (place / "f").unlink()
    done = creel("apply", name)
    assert done.code == 1 and "deleted on the host" in done.errors, done
    assert not (place / "f").exists()


def test_a_rename_beside_the_hosts_work_is_none(creel):
    place = project(creel, f="old\n")
    name = overlay(creel, place, "mv f g")
    creel.file(place / "host-was-here", "x")
    assert told(creel("apply", name)) == {"f": "deleted", "g": "added"}
    assert (place / "g").read_text() == "old\n"


def test_harm_stays_outside(any_creel):
    creel = any_creel
    place = project(creel, f="x\n")
    (place / ".git").mkdir()
    os.chown(place / ".git", creel.uid, creel.gid)
    name = overlay(creel, place, """
        cp /bin/true prog; chmod 6755 prog 2>/dev/null; mkdir sticky; chmod 7777 sticky 2>/dev/null
        mkfifo fifo; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")'
        ln -s /etc/passwd absolute; ln -s ../../x escapes; ln -s f stays; mkdir d; ln -s ../f d/up
        ln -s . d/here; ln -s here/../../x d/pair
        mkdir .git/hooks; echo evil > .git/hooks/pre-commit; echo evil > .git/config; mkdir sub
        echo 'gitdir: ../x' > sub/.git; echo fine > .git/description
        echo ../evil > .git/commondir; mkdir .git/modules; echo evil > .git/modules/config
        mkdir -p bare/objects bare/refs bare/hooks; echo 'ref: refs/heads/x' > bare/HEAD
        echo evil > bare/config; echo evil > bare/hooks/post-checkout; echo fine > bare/readme
        mkdir plain; echo fine > plain/config""")
    refused = {"fifo", "sock", "absolute", "escapes", "d/pair", ".git/hooks/pre-commit",
               ".git/config", "sub/.git", ".git/commondir", ".git/modules/config", "bare/HEAD",
               "bare/config", "bare/hooks/post-checkout"}
    done = creel("apply", name)
    assert done.code == 1, done
    for path in refused:
        assert f"not applied: {path}: " in done.errors, path
    assert set(kinds(creel, name)) == refused
    assert (place / "prog").stat().st_mode & 0o7777 == 0o755
    assert not (place / "sticky").stat().st_mode & 0o7000
    assert (place / ".git" / "description").read_text() == "fine\n"
    assert all(stat.S_ISREG(p.lstat().st_mode) or stat.S_ISDIR(p.lstat().st_mode)
               or p.name in ("stays", "up", "here") for p in place.rglob("*"))
    done = creel("apply", name, "--force")
    assert done.code == 1 and set(kinds(creel, name)) == {"fifo", "sock"}, done
    assert os.readlink(place / "absolute") == "/etc/passwd"
    assert all(p.lstat().st_uid == creel.uid for p in place.rglob("*"))


def test_links_of_the_run_are_not_followed(creel):
    """A directory swapped for a link, files below a link, a link over a file and the reverse."""
    outside = creel.directory("outside-")
    creel.file(outside / "f", "kept\n")
    place = project(creel, f="x\n")
    creel.own(place / "d", 0o755)
    creel.file(place / "d" / "f", "old\n")
    (place / "l").symlink_to("d")
    name = overlay(creel, place, f"""
        rm -r d; ln -s {outside} d; rm l; mkdir l; echo run > l/f; rm f; ln -s d/f f
        echo 1 > h1; ln h1 h2; echo 2 >> h2; mkdir a; mv l a/l2; mkdir l; echo run > l/f""")
    done = creel("apply", name, "--force")
    assert done.code == 0, done
    assert (outside / "f").read_text() == "kept\n" and os.listdir(outside) == ["f"]
    assert os.readlink(place / "d") == str(outside) and os.readlink(place / "f") == "d/f"
    assert (place / "l" / "f").read_text() == (place / "a" / "l2" / "f").read_text() == "run\n"
    assert (place / "h1").read_text() == (place / "h2").read_text() == "1\n2\n"


def test_links_of_the_host_are_not_followed(creel):
    """The directory that the run wrote into is a link when it is applied."""
    outside = creel.directory("outside-")
    place = project(creel)
    creel.own(place / "d", 0o755)
    creel.file(place / "d" / "f", "old\n")
    name = overlay(creel, place, "echo run > d/f; echo run > d/g")
    shutil.rmtree(place / "d")
    (place / "d").symlink_to(outside)
    assert creel("apply", name).code == 1
    assert creel("apply", name, "d/g").code == 1
    assert os.listdir(outside) == []
    assert creel("apply", name, "--force").code == 0
    assert os.listdir(outside) == [] and (place / "d" / "f").read_text() == "run\n"


def test_a_run_goes_on(creel):
    """After apply: what it did itself is no change of the host, and what the host did still is."""
    place = project(creel, f="0\n", g="0\n")
    name = overlay(creel, place, "echo 1 > f; echo 1 > new; mkdir d; echo 1 > d/f")
    assert creel("apply", name, "f", "d").code == 0
    done = creel.sh("cat f new d/f; echo 2 > f; echo 2 > d/f; rm new; echo 2 > g", "--continue",
                    name)
    assert done.out == b"1\n1\n1\n", done
    assert kinds(creel, name) == {"f": "modified", "d/f": "modified", "g": "modified"}
    creel.file(place / "g", "host\n")
    done = creel("apply", name)
    assert done.code == 1 and done.errors.count("conflict: ") == 1, done
    assert creel("apply", name, "f", "d/f").code == 0
    assert (place / "f").read_text() == (place / "d" / "f").read_text() == "2\n"


def test_files_of_other_ids(creel):
    """Root inside leaves files that only a user namespace can read."""
    place = project(creel, f="x\n")
    name = overlay(creel, place, "echo x > secret; chown 5:5 secret; chmod 600 secret; mkdir d;"
                   "echo y > d/y; chown 7 d; chmod 700 d; chmod 0 f", "--root")
    assert kinds(creel, name) == {"secret": "added", "d/y": "added", "f": "mode"}
    assert b"+x\n" in creel("diff", name, "secret").out
    assert creel("apply", name).code == 0
    for path, mode in (("secret", 0o600), ("d", 0o700), ("d/y", 0o644), ("f", 0)):
        st = (place / path).stat()
        assert (st.st_uid, st.st_gid, st.st_mode & 0o7777) == (creel.uid, creel.gid, mode), path
    assert creel("discard", name).code == 0


def test_a_directory_of_another_owner(root_creel, creels):
    """As root: everything arrives as its owner's."""
    user = creels["rootless"]
    place = project(user, f="x\n")
    name = overlay(root_creel, place, "echo y > f; mkdir d; echo z > d/z; ln -s f l")
    assert root_creel("apply", name).code == 0
    assert {(p.lstat().st_uid, p.lstat().st_gid) for p in place.rglob("*")} == {(user.uid,
                                                                                user.gid)}


def test_another_directory_is_refused(creel):
    place = project(creel, f="x\n")
    name = overlay(creel, place, "echo y > f")
    moved = place.rename(place.with_name(place.name + "-moved"))
    for command in ("diff", "apply"):
        done = creel(command, name)
        assert done.code == 125 and str(place) in done.errors and done.err.count(b"\n") == 1
    creel.own(place, 0o755)
    done = creel("apply", name)
    assert done.code == 125 and "replaced" in done.errors, done
    assert (moved / "f").read_text() == "x\n" and not os.listdir(place)
    assert creel("discard", name).code == 0


def test_a_living_run_is_left_alone(creel):
    place = project(creel, f="x\n")
    name = creel.detach("--overlay", place, "--", "sh", "-c", "echo y > f; sleep 60")
    kept = creelkit.wait_until(lambda: name in creel("diff").text)
    assert kept, creel("diff")
    for command in ("diff", "apply", "discard"):
        done = creel(command, name)
        assert done.code == 125 and "in use" in done.errors, done
    assert "running" in creel("diff").text
    assert creel("kill", name).code == 0
    assert creelkit.wait_until(lambda: creel("diff", "-z", name).out == b"modified f\0")
    assert creel("apply", name).code == 0 and (place / "f").read_text() == "y\n"


def test_a_list_of_what_is_kept(creel):
    place = project(creel, f="x\n")
    name = overlay(creel, place, "echo y > f; echo z > g")
    lines = [line for line in creel("diff").text.splitlines() if line.startswith(name)]
    assert len(lines) == 1 and lines[0].split()[-2:] == ["2", str(place)]
    row, = (row for row in json.loads(creel("diff", "--json").out) if row["id"] == name)
    assert row["changes"] == 2 and row["dir"] == str(place) and not row["running"]
    assert name not in creel("diff", "--org", "other").text
    for words in (("apply",), ("apply", "i00000000000000000000"), ("discard", "../../x")):
        done = creel(*words)
        assert done.code == 125 and name in done.errors, done
    assert creel("diff", "--org", "other", name).code == 125
    assert creel("apply", "--org", "../local", name).code == 125


@pytest.mark.parametrize("words", [
    ("diff", "--force", "x"), ("apply", "--stat", "x"), ("discard", "a", "b"), ("diff", "--bad"),
    ("diff", "--stat", "--json", "x"), ("apply", "x", "--org"), ("discard",)])
def test_bad_words(rootless_creel, words):
    done = rootless_creel(*words)
    said = json.loads(done.out)["error"]["message"] if "--json" in words else done.errors
    assert done.code == 125 and said, done


def test_bad_paths(creel):
    place = project(creel, f="x\n")
    name = overlay(creel, place, "echo y > f")
    for path in ("nothing-here", "../f", "/etc/passwd", "f/g", "x" * 5000):
        for command in ("diff", "apply"):
            done = creel(command, name, path)
            assert done.code == 125 and done.err.count(b"\n") == 1, done
    assert (place / "f").read_text() == "x\n"


def test_help(rootless_creel):
    for command in ("diff", "apply", "discard", "workspace"):
        done = rootless_creel(command, "--help")
        assert done.code == 0 and done.text.startswith(f"usage: creel {command} "), done
        assert rootless_creel("help", command).out == done.out


def test_a_full_disk_changes_nothing(root_creel, tmp_path):
    """DIR on a filesystem that is too small for the changes, as df tells and as it does not."""
    small = tmp_path / "small"
    small.mkdir()
    tmp_path.chmod(0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small], check=True, timeout=20)
    try:
        (small / "f").write_text("x\n")
        name = overlay(root_creel, small, "echo y > f; head -c 4M /dev/urandom > big")
        done = root_creel("apply", name)
        assert done.code == 125 and "room" in done.errors, done
        assert tree(small) == {"f": (stat.S_IFREG, 0o644, b"x\n")}
        assert root_creel("apply", name, "f").code == 0
        assert (small / "f").read_text() == "y\n"
    finally:
        subprocess.run(["umount", small], check=True, timeout=20)


@pytest.mark.parametrize("after", [0.02, 0.05, 0.1, 0.2, 0.4])
def test_a_killed_apply_can_be_repeated(creel, after):
    place = project(creel, **{f"f{i}": f"{i}\n" for i in range(200)})
    os.link(place / "f1", place / "linked")
    name = overlay(creel, place, "for i in $(seq 0 199); do echo new >> f$i; done; echo n > linked;"
                   "mv f7 moved; for d in a b c; do mkdir $d; for i in $(seq 300); do "
                   "echo $i > $d/$i; done; done")
    process = creel.popen("apply", name)
    time.sleep(after)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=20)
    time.sleep(0.05)
    done = creelkit.wait_until(lambda: (r := creel("apply", name)).code == 0 and r, 5)
    assert done, creel("apply", name)
    assert kinds(creel, name) == {}
    found = tree(place)
    assert len(found) == 200 + 1 + 903
    assert found["moved"][2] == b"7\nnew\n" and found["linked"][2] == b"n\n"
    assert all(found[f"f{i}"][2] == b"%d\nnew\n" % i for i in range(200) if i != 7)
    assert not any(path.startswith(".creel") for path in found)


def test_a_hundred_thousand_files(creel):
    """Half new, half deleted."""
    place = creel.directory("project-")
    for d in range(50):
        os.mkdir(place / f"d{d}")
        for i in range(1000):
            (place / f"d{d}" / f"f{i}").touch()
    subprocess.run(["chown", "-R", f"{creel.uid}:{creel.gid}", place], check=True, timeout=60)
    script = ("import os, shutil\nfor d in range(50):\n shutil.rmtree(f'd{d}')\n os.mkdir(f'n{d}')\n"
              " for i in range(1000):\n  open(f'n{d}/f{i}', 'w').close()\n")
    result = creel.json("--overlay", place, "--", "python3", "-c", script, timeout=120)
    assert result["exit_code"] == 0, result
    found = kinds(creel, result["id"])
    assert len(found) == 100000
    assert list(found.values()).count("added") == list(found.values()).count("deleted") == 50000
    done = creel("apply", result["id"], "n7", "d7", "-z", timeout=60)
    assert done.code == 0 and done.out.count(b"\0") == 2000, done.err
    assert len(os.listdir(place / "n7")) == 1000 and not (place / "d7").exists()
    assert creel("discard", result["id"], timeout=60).code == 0
