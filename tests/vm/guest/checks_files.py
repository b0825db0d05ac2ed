# SPDX-License-Identifier: Apache-2.0
"""What depends on the kernel's overlay, tmpfs, mount, namespace and terminal interfaces and not on the
control groups: the files of a sandbox, the host's directories in it, its walls."""

import os
import pty

from guestkit import (CREEL, EVERYBODY, KERNEL, check, creel, enforced, expect, expect_refused, nothing_left, run,
                      workspace, write)

TREE = "set -u; cd /usr/share; f() { what=$1; shift; if \"$@\" 2>/tmp/e; then echo \"$what yes\"; " \
       "else echo \"$what no: $(cat /tmp/e)\"; fi; }\n" \
       "f new_dir mkdir /usr/share/fresh\n" \
       "f new_file sh -c 'echo 1 >/usr/share/fresh/f'\n" \
       "f into_lower_dir sh -c 'echo 1 >/usr/share/perl5/new-file'\n" \
       "f delete_file rm /usr/share/perl5/new-file\n" \
       "f delete_lower_file rm /usr/share/common-licenses/BSD\n" \
       "f replace_lower_file sh -c 'echo 1 >/usr/share/common-licenses/BSD'\n" \
       "f delete_lower_dir rm -r /usr/share/bug\n" \
       "f make_it_again mkdir /usr/share/bug\n" \
       "f it_is_empty test -z \"$(ls /usr/share/bug 2>/dev/null)\"\n" \
       "f move_lower_dir mv /usr/share/base-passwd /usr/share/base-moved\n" \
       "f moved_is_whole test -e /usr/share/base-moved/passwd.master -a ! -e /usr/share/base-passwd\n" \
       "f delete_etc_dir rm -r /etc/alternatives\n" \
       "f make_etc_dir_again mkdir /etc/alternatives\n" \
       "f rename_over sh -c 'echo 2 >/etc/passwd.new; mv /etc/passwd.new /etc/passwd'\n"
DIRECTORY_LAYER = ("--disk", "1500M", "--memory", "1G")


def tree_works(*args, **options):
    """Root inside can do everything to the system's directories."""
    ran = run("--root", *args, "--", "sh", "-c", TREE, **options)
    expect(ran.code == 0, str(ran))
    lines = ran.json["stdout"].splitlines()
    expect(len(lines) == 14, str(ran))
    bad = [line for line in lines if " no: " in line]
    expect(not bad, "; ".join(bad))
    return ran


@check("v2", "v1")
def files_of_root_inside():
    tree_works()


@check("v2")
def files_in_a_directory_layer():
    ran = tree_works(*DIRECTORY_LAYER)
    expect("directory" in enforced(ran, "disk"), enforced(ran, "disk"))
    nothing_left()
    expect(not os.listdir("/var/lib/creel/layers"), "a layer is left")


@check("v2")
def files_rootless():
    tree_works(user="ranged")


@check("v2")
def files_rootless_in_a_directory_layer():
    tree_works(*DIRECTORY_LAYER, user="ranged")
    nothing_left("ranged")


@check("v2")
def changes_are_told():
    script = "echo 1 >/workspace/new; echo 1 >/home/user/h; mkdir -p /workspace/d/e"
    for options in EVERYBODY:
        ran = run("--", "sh", "-c", script, **options)
        paths = sorted(change["path"] for change in ran.json["changes"])
        expect(ran.code == 0 and paths == ["/home/user/h", "/workspace/d/e", "/workspace/new"], f"{options} {ran}")


@check("v2")
def host_directories():
    os.makedirs("/root/data", exist_ok=True)
    write("/root/data/f", "data\n")
    os.chmod("/root", 0o755)
    ran = run("--ro", "/root/data:/data", "--workspace", workspace("w2"), "--", "sh", "-c",
              "cat /data/f; echo 1 >/data/f; echo mine >/workspace/mine; id -u; stat -c %u /workspace/mine")
    expect(ran.json["stdout"] == "data\n1000\n1000\n", str(ran))
    expect(os.stat("/root/w2/mine").st_uid == 0, "the file belongs to another user")
    ran = run("--workspace", workspace("w3", "ranged"), "--", "sh", "-c", "echo 1 >/workspace/mine", user="ranged")
    expect(ran.code == 0 and os.stat("/home/ranged/w3/mine").st_uid == 1001, str(ran))


@check("v2")
def host_directory_on_tmpfs():
    """tmpfs can be idmapped since Linux 6.3: before it, a clear refusal."""
    os.makedirs("/tmp/w", exist_ok=True)
    ran = creel("run", "--workspace", "/tmp/w", "--", "sh", "-c", "echo 1 >/workspace/f")
    if KERNEL >= (6, 3):
        expect(ran.code == 0 and os.path.exists("/tmp/w/f"), str(ran))
    else:
        expect_refused(ran, "tmpfs")
    return str(ran)


@check("v2")
def state_on_tmpfs():
    ran = creel("run", "--state", "/tmp/state", "--", "echo", "here")
    if KERNEL >= (6, 3) or ran.code == 0:
        expect(ran.out == "here\n", str(ran))
    else:
        expect_refused(ran, "tmpfs")
    return str(ran)


@check("v2")
def init_is_unreadable():
    script = "cat /proc/1/environ; cat /proc/1/mem; ls -l /proc/1/exe; ls /proc/1/fd"
    for user in ("--user", "--root"):
        ran = run(user, "--", "sh", "-c", script)
        expect("->" not in ran.json["stdout"] and ran.json["stderr"].count("ermission denied") == 4, str(ran))


@check("v2")
def walls():
    script = "unshare -r true; unshare -m true; mount -t tmpfs x /tmp; cat /proc/sys/user/max_user_namespaces;" \
             "grep -E '^(Seccomp|NoNewPrivs|CapEff)' /proc/self/status"
    for options in EVERYBODY:
        ran = run("--", "sh", "-c", script, **options)
        words = ran.json["stdout"].split()
        expect(words[0] == "0" and "0000000000000000" in words and "2" in words, f"{options} {ran}")
        expect(ran.json["stderr"].count("\n") >= 3, str(ran))


@check("v2")
def terminal():
    pid, master = pty.fork()
    if pid == 0:
        os.execv(CREEL, [CREEL, "run", "--", "sh", "-c", "tty; stty size; test -t 0 && echo terminal"])
    text = b""
    try:
        while True:
            part = os.read(master, 4096)
            if not part:
                break
            text += part
    except OSError:
        pass
    expect(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, text.decode())
    expect(b"/dev/pts/0" in text and b"terminal" in text, text.decode())
