# SPDX-License-Identifier: Apache-2.0
"""Files in and out: --workspace, --ro, --in, --out, and the system that --root changes."""

import hashlib
import os
import shutil
import stat
import subprocess

import pytest

import creelkit


def test_workspace_is_the_directory(any_creel):
    creel = any_creel
    place = creel.directory()
    creel.file(place / "input", "from outside\n")
    done = creel.sh("cat input; echo from inside > output; stat -c '%u %g' . input output; pwd",
                    "--workspace", place)
    assert done.text.splitlines() == ["from outside", *["1000 1000"] * 3, "/workspace"], done
    made = place / "output"
    assert made.read_text() == "from inside\n"
    assert (made.stat().st_uid, made.stat().st_gid) == (creel.uid, creel.gid)


def test_workspace_of_another_owner(root_creel, creels):
    """As root: what is made inside belongs to the directory's owner outside, not to root."""
    user = creels["rootless"]
    place = user.directory()
    done = root_creel.sh("echo x > made; mkdir d; stat -c %u made", "--workspace", place)
    assert done.out == b"1000\n", done
    assert (place / "made").stat().st_uid == (place / "d").stat().st_uid == user.uid


def test_workspace_of_another_owner_is_refused_without_root(rootless_creel, creels):
    if "root" not in creels:
        pytest.skip("the tests are not run as root")
    place = creels["root"].directory(mode=0o777)
    done = rootless_creel.run("--workspace", place, "--", "true")
    assert done.code == 125 and "without root it must be yours" in done.errors


def test_workspace_with_root_inside(creel):
    """What root inside makes belongs to the directory's owner outside, or it is refused."""
    place = creel.directory()
    done = creel.sh("echo x > made; id -u; chmod u+s made; chown 5:5 made; stat -c %a made",
                    "--workspace", place, "--root")
    if done.code == 125:
        assert done.err.count(b"\n") == 1 and "--workspace" in done.errors
        return
    made = (place / "made").stat()
    assert made.st_uid == creel.uid, done
    assert not made.st_mode & (stat.S_ISUID | stat.S_ISGID), done


def test_workspace_files_of_others_are_nobodys(root_creel):
    place = root_creel.directory()
    (place / "foreign").write_text("x")
    os.chown(place / "foreign", 12345, 12345)
    done = root_creel.sh("stat -c '%U %u' foreign; cat foreign > /dev/null; echo y > foreign",
                         "--workspace", place)
    assert done.text.split()[0] in ("nobody", "UNKNOWN"), done
    assert (place / "foreign").read_text() == "x"


def test_workspace_is_not_bounded_by_disk(creel):
    place = creel.directory()
    done = creel.sh("head -c 40M /dev/zero > big; stat -c %s big", "--workspace", place, "--disk",
                    "16M")
    assert done.text == f"{40 * creelkit.MIB}\n", done


def test_workspace_by_a_link_and_relative(creel):
    place = creel.directory()
    creel.file(place / "f", "found")
    (creel.home / "link").unlink(missing_ok=True)
    (creel.home / "link").symlink_to(place)
    assert creel.run("--workspace", creel.home / "link", "--", "cat", "f").out == b"found"
    assert creel.run("--workspace", f"./{place.name}", "--", "cat", "f",
                     cwd=creel.home).out == b"found"


def test_read_only_file_and_directory(any_creel):
    creel = any_creel
    place = creel.directory()
    creel.file(place / "f", "data\n")
    done = creel.sh("cat /data/f /opt/one; echo x > /data/f; echo x > /data/new; rm /data/f;"
                    "echo x > /opt/one; chmod 777 /data/f; true",
                    "--ro", f"{place}:/data", "--ro", f"{place}/f:/opt/one")
    assert done.out == b"data\ndata\n", done
    assert done.err.count(b"Read-only file system") == 5, done
    assert os.listdir(place) == ["f"] and (place / "f").read_text() == "data\n"


@pytest.mark.parametrize("target", [
    "/data", "/a/b/c/deep", "/workspace/data", "/home/user/data", "/tmp/data", "/mnt", "/etc/mine",
    "/usr/share/man", "/opt/with space", "/run/mine", "/var/lib/mine"])
def test_read_only_at_many_places(creel, target):
    place = creel.directory()
    creel.file(place / "f", "data\n")
    done = creel.run("--ro", f"{place}:{target}", "--", "cat", f"{target}/f")
    assert (done.code, done.out) == (0, b"data\n"), done


def test_read_only_at_a_new_place_in_usr(creel):
    """/usr itself is read-only for a user: then it is refused with a clear line."""
    place = creel.directory()
    creel.file(place / "f", "data\n")
    words = ("--ro", f"{place}:/usr/local/share/mine", "--", "cat", "/usr/local/share/mine/f")
    assert creel.run("--root", *words).out == b"data\n"
    done = creel.run(*words)
    assert done.code == 125 and "/usr/local/share/mine" in done.errors.replace(" usr", " /usr")
    assert done.err.count(b"\n") == 1


@pytest.mark.parametrize("user", ["--user", "--root"])
def test_read_only_file_over_a_file(creel, user):
    path = creel.file(creel.home / "hosts", "mine\n")
    done = creel.run(user, "--ro", f"{path}:/etc/hosts", "--", "cat", "/etc/hosts")
    assert (done.code, done.out) == (0, b"mine\n"), done


def test_read_only_within_read_only(creel):
    place = creel.directory()
    creel.file(place / "f", "data\n")
    creel.own(place / "sub", 0o755)
    done = creel.sh("cat /data/f /data/sub/f", "--ro", f"{place}:/data", "--ro",
                    f"{place}:/data/sub")
    assert (done.code, done.out) == (0, b"data\ndata\n"), done


def test_read_only_source_with_colon(creel):
    place = creel.directory("with:colon-")
    creel.file(place / "f", "data\n")
    assert creel.run("--ro", f"{place}:/data", "--", "cat", "/data/f").out == b"data\n"


def test_read_only_of_a_workspace_part(creel):
    """A read-only mount inside a host workspace leaves its mount point and nothing else."""
    place, data = creel.directory(), creel.directory()
    creel.file(data / "f", "data\n")
    done = creel.sh("cat ref/f; echo x > ref/f", "--workspace", place, "--ro",
                    f"{data}:/workspace/ref")
    assert done.out == b"data\n" and b"Read-only file system" in done.err, done
    assert (data / "f").read_text() == "data\n"
    assert os.listdir(place) in ([], ["ref"])
    if os.listdir(place):
        assert (place / "ref").stat().st_uid == creel.uid


def tree(place, creel):
    creel.own(place / "sub" / "deeper", 0o755)
    os.chown(place / "sub", creel.uid, creel.gid)
    creel.file(place / "a.txt", "a\n")
    creel.file(place / "sub" / "run.sh", "#!/bin/sh\necho ran\n", 0o755)
    creel.file(place / "sub" / "deeper" / "b.bin", bytes(range(256)) * 1000)
    (place / "sub" / "link").symlink_to("../a.txt")
    (place / "sub" / "out").symlink_to("/etc/shadow")


def test_in_of_files_and_directories(any_creel):
    creel = any_creel
    place = creel.directory("tree-")
    tree(place, creel)
    one = creel.file(creel.home / "one.csv", "1,2\n")
    done = creel.sh(f"cd {place.name} && cat ../one.csv a.txt sub/link && sub/run.sh && "
                    "cmp sub/deeper/b.bin sub/deeper/b.bin && stat -c '%s %a' sub/deeper/b.bin &&"
                    "stat -c %u . a.txt ../one.csv && readlink sub/out && echo x >> a.txt",
                    "--in", place, "--in", one)
    assert done.text.split() == ["1,2", "a", "a", "ran", "256000", "644", "1000", "1000", "1000",
                                 "/etc/shadow"], done
    assert (place / "a.txt").read_text() == "a\n"


def test_in_goes_into_a_workspace(creel):
    place = creel.directory()
    path = creel.file(creel.home / "extra.txt", "extra\n")
    done = creel.sh("cat extra.txt", "--workspace", place, "--in", path)
    assert done.out == b"extra\n", done
    assert (place / "extra.txt").stat().st_uid == creel.uid


def test_in_over_an_existing_file_of_the_workspace(creel):
    place = creel.directory()
    path = creel.file(creel.home / "taken.txt", "new\n")
    creel.file(place / "taken.txt", "old\n")
    done = creel.sh("cat taken.txt", "--workspace", place, "--in", path)
    assert done.code == 125 and "taken.txt" in done.errors, done
    assert (place / "taken.txt").read_text() == "old\n"


def test_in_larger_than_the_disk(creel):
    path = creel.file(creel.home / "large", b"x" * (8 << 20))
    done = creel.run("--disk", "4M", "--in", path, "--", "true")
    assert done.code == 125 and "raise --disk" in done.errors and done.err.count(b"\n") == 1


def test_in_of_a_file_that_the_caller_cannot_read(rootless_creel, creels):
    if "root" not in creels:
        pytest.skip("the tests are not run as root")
    secret = creels["root"].file(creels["root"].home / "secret", "x", 0o600)
    done = rootless_creel.run("--in", secret, "--", "true")
    assert done.code == 125 and "Permission denied" in done.errors


def test_out_has_what_is_new_or_changed(any_creel):
    creel = any_creel
    out = creel.directory("out-")
    path = creel.file(creel.home / "given.txt", "given\n")
    same = creel.file(creel.home / "same.txt", "same\n")
    done = creel.sh("echo more >> given.txt; mkdir -p d/e; echo x > d/e/f; chmod 750 d/e/f;"
                    "mkdir empty; ln -s d/e/f link; ln -s /etc/passwd away; exit 4",
                    "--in", path, "--in", same, "--out", out)
    assert done.code == 4
    assert (out / "given.txt").read_text() == "given\nmore\n"
    assert not (out / "same.txt").exists()
    assert (out / "d/e/f").read_text() == "x\n"
    assert stat.S_IMODE((out / "d/e/f").stat().st_mode) == 0o750
    assert (out / "empty").is_dir() and os.readlink(out / "link") == "d/e/f"
    assert not os.path.lexists(out / "away") and "left out 1 file" in done.errors
    for base, names, files in os.walk(out):
        for name in names + files:
            assert os.lstat(os.path.join(base, name)).st_uid == creel.uid, name


def test_out_belongs_to_its_directory(root_creel, creels):
    user = creels["rootless"]
    out = user.directory("out-")
    assert root_creel.sh("echo x > f; mkdir d; echo y > d/g", "--out", out).code == 0
    for name in ("f", "d", "d/g"):
        assert (out / name).stat().st_uid == user.uid, name


def test_out_replaces_older_files(creel):
    out = creel.directory("out-")
    creel.file(out / "f", "old and longer\n")
    creel.file(out / "kept", "kept\n")
    assert creel.sh("echo new > f", "--out", out).code == 0
    assert (out / "f").read_text() == "new\n" and (out / "kept").read_text() == "kept\n"


def test_out_of_a_workspace(creel):
    place, out = creel.directory(), creel.directory("out-")
    creel.file(place / "before", "x\n")
    assert creel.sh("echo y > after", "--workspace", place, "--out", out).code == 0
    assert os.listdir(out) == ["after"]


def test_out_after_a_timeout(creel):
    out = creel.directory("out-")
    done = creel.sh("echo partial > f; sleep 60", "--out", out, "--timeout", "400ms")
    assert done.code == 124 and (out / "f").read_text() == "partial\n"


def test_root_changes_the_system(any_creel):
    creel = any_creel
    if creel.name == "single":
        done = creel.run("--root", "--", "id", "-u")
        assert done.out == b"0\n", done
    hosts = [p for p in ("/usr/bin/env", "/usr/share/perl", "/etc/profile") if os.path.exists(p)]
    before = {p: os.stat(p) for p in hosts}
    done = creel.sh("set -e; echo x > /usr/bin/new-tool; chmod 755 /usr/bin/new-tool;"
                    "mkdir -p /usr/share/new/dir; echo y > /usr/share/new/dir/f;"
                    "rm /usr/bin/yes; rm -r /usr/share/perl; echo z > /etc/new;"
                    "echo replaced > /usr/bin/tac.new; mv /usr/bin/tac.new /usr/bin/tac;"
                    "cat /usr/bin/tac /etc/new; test ! -e /usr/bin/yes; test ! -e /usr/share/perl",
                    "--root")
    assert (done.code, done.text.split()) == (0, ["replaced", "z"]), done
    assert before == {p: os.stat(p) for p in hosts}
    assert not os.path.exists("/usr/bin/new-tool") and os.path.exists("/usr/bin/yes")


def test_root_renames_a_host_file(creel):
    """Rootless the kernel refuses it, as docs/ARCHITECTURE.md says: the owner has no id inside."""
    done = creel.sh("mv /usr/bin/shuf /usr/bin/mixed && mixed -n1 -e mixed", "--root")
    if creel.name == "root":
        assert done.out == b"mixed\n", done
    else:
        assert done.code != 0 and b"Value too large" in done.err, done


def test_root_changes_owners_and_users(creel):
    done = creel.sh("touch f; chown 33:33 f; stat -c %u:%g f; chmod u+s f; stat -c %a f;"
                    "setpriv --reuid 33 --regid 33 --clear-groups id -u", "--root")
    assert done.text.split() == ["33:33", "4644", "33"], done


def test_editing_a_host_file_in_place_is_refused(creel):
    """As docs/ARCHITECTURE.md says; the host's file stays what it is."""
    before = os.stat("/usr/bin/env")
    done = creel.sh("echo x >> /usr/bin/env", "--root")
    assert done.code != 0 and b"/usr/bin/env" in done.err, done
    assert os.stat("/usr/bin/env") == before or os.stat("/usr/bin/env").st_size == before.st_size


def test_dpkg_installs_a_package(creel, tmp_path):
    """A package that the test builds: files, a directory and a script after the installation."""
    if not shutil.which("dpkg-deb"):
        creelkit.skip("dpkg", "there is no dpkg-deb on this machine")
    build = tmp_path / "pkg"
    (build / "DEBIAN").mkdir(parents=True)
    (build / "usr/bin").mkdir(parents=True)
    (build / "usr/share/tiny").mkdir(parents=True)
    (build / "usr/bin/tiny").write_text("#!/bin/sh\necho tiny runs\n")
    (build / "usr/bin/tiny").chmod(0o755)
    (build / "usr/share/tiny/data").write_text("data\n")
    (build / "DEBIAN/control").write_text("Package: tiny\nVersion: 1\nArchitecture: all\n"
                                          "Maintainer: t <t@example.org>\nDescription: tiny\n")
    (build / "DEBIAN/postinst").write_text("#!/bin/sh\nset -e\necho configured > /var/lib/tiny\n")
    (build / "DEBIAN/postinst").chmod(0o755)
    package = creel.directory("deb-") / "tiny.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-b", build, package], check=True,
                   timeout=60, capture_output=True)
    done = creel.sh("dpkg -i /tmp/tiny.deb >/dev/null && tiny && cat /var/lib/tiny && "
                    "dpkg -s tiny | grep ^Status && dpkg -r tiny > /dev/null && ! test -e "
                    "/usr/bin/tiny && echo removed", "--root", "--ro", f"{package}:/tmp/tiny.deb")
    assert done.text.splitlines() == ["tiny runs", "configured", "Status: install ok installed",
                                      "removed"], done
    assert not os.path.exists("/usr/bin/tiny")


def test_usr_is_the_hosts(creel):
    done = creel.run("--", "sha256sum", "/usr/bin/env")
    with open("/usr/bin/env", "rb") as file:
        assert done.text.split()[0] == hashlib.sha256(file.read()).hexdigest()


def test_etc_has_no_secrets_and_what_programs_need(any_creel):
    done = any_creel.sh("ls /etc; getent passwd 1000; getent group user; ls -d /etc/ssl/certs")
    names = done.text.split()
    assert not {"shadow", "gshadow", "sudoers", "ssh", "subuid"} & set(names)
    assert "/etc/ssl/certs" in names and any(n.startswith("user:x:1000:1000") for n in names)
    host_users = {line.split(":")[0] for line in open("/etc/passwd")} - {"root", "nobody"}
    done = any_creel.run("--", "cat", "/etc/passwd")
    for line in done.text.splitlines():
        name, _, uid = line.split(":")[:3]
        assert int(uid) < 1000 or name in ("user", "nobody"), (line, host_users)
