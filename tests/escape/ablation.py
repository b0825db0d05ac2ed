#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Which layer holds which attack: every attack program again, with one layer switched off at a
time, in a special build (CREEL_ABLATION, by default build-ablation/creel) that obeys
CREEL_ABLATE=LAYER. An attack that breaks without one layer depends on that layer alone; one that
breaks in no column has two walls or more.

    ablation.py [--markdown FILE] [--json FILE] [--full]

--markdown puts the table between the marker comments `<!-- ablation:begin -->` and
`<!-- ablation:end -->` of FILE (docs/SECURITY.md); without it the table goes to stdout."""

import argparse
import contextlib
import fnmatch
import json
import os
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness import REPO, attack_names, attack_needs, compile_attacks, make_whos  # noqa: E402
from preparation import make_suid_copies, remove_canaries, try_attack  # noqa: E402

LAYERS = ("seccomp", "nsmax", "landlock", "caps", "nnp", "masks", "nosuid", "initseal")
BEGIN, END = "<!-- ablation:begin -->", "<!-- ablation:end -->"

# Cases for which threats.md names or allows two walls: each must hold in every column.
TWO_WALLS = ("namespaces.*", "mount.*", "newmount.*", "chroot.*", "handle.*", "init.*",
             "exe.init_*", "cgroup.*", "dev.make_*", "dev.swap_*", "setuid.exec_*",
             "fds.others", "identity.setuid", "identity.setgid", "identity.setgroups",
             "identity.capset", "identity.ambient", "identity.unmapped_uid",
             "socket.packet_old", "socket.raw_*", "socket.family_packet",
             "syscalls.bpf_*", "syscalls.reboot", "syscalls.swap*", "syscalls.acct",
             "syscalls.*settime*", "syscalls.*adjtime*", "syscalls.sethostname",
             "syscalls.*_module", "syscalls.kexec*", "syscalls.vhangup")

# Where the kernel has no second wall: (case, layers, reason).
EXCEPTIONS = (
    ("init.write_setgroups", ("caps",),
     "user_namespaces(7) asks for CAP_SYS_ADMIN there and nothing else; with ids mapped the only"
     " value that the kernel takes is the one that stands"),
    ("namespaces.clone3_plain", ("seccomp",),
     "clone3 without flags is fork; ENOSYS only makes libc fall back to clone"),
    ("newmount.fsconfig", ("seccomp",),
     "the kernel asks for rights in fsopen, without which there is nothing to configure"),
    ("init.write_timerslack_ns", ("caps",),
     "the kernel asks for CAP_SYS_NICE alone, and the slack of init's timers leads nowhere"),
)

# A case that breaks in no column has a second wall: here are the walls, switched off together.
# It must hold while any one of them stands. (layers, program, case)
COMBINATIONS = (
    (("seccomp", "nsmax"), "namespaces", "namespaces.unshare_user"),
    # No row for mounting: the domain that init gives each process (init-process.c) is one more wall,
    # which has no switch, so nothing breaks with seccomp, nsmax and landlock off together.
    (("seccomp", "caps"), "mounts", "chroot.call"),
    (("nnp", "nosuid", "caps"), "setuid-exec", "setuid.exec_capable_copy"),
)


def exception_for(case, layer):
    for pattern, layers, reason in EXCEPTIONS:
        if fnmatch.fnmatchcase(case, pattern) and layer in layers:
            return reason
    return None


def needs_two_walls(case):
    return any(fnmatch.fnmatchcase(case, pattern) for pattern in TWO_WALLS)


def programs():
    return [name for name in attack_names() if "alone" not in attack_needs(name)]


def measure(whos, attacks, layer, names, progress=None):
    """{case: set of verdicts} of programs over both users and all ways of starting; `layer` is
    what is off, a name or several with commas."""
    found = {}
    for who in whos.values():
        who.extra_env = {"CREEL_ABLATE": layer} if layer else {}
        for user in ("user", "root"):
            for name in names:
                if progress:
                    progress(f"{layer or 'all on'}: {who.name} {user} {name}")
                attempt = try_attack(who, user, name, attacks)
                for case, (verdict, _) in attempt.cases.items():
                    found.setdefault(case, set()).add(verdict)
                if attempt.damage:
                    found.setdefault(f"machine.{name}", set()).add("BROKEN")
        who.extra_env = {}
    return found


@contextlib.contextmanager
def ready(binary):
    """(whos, directory of compiled attacks) for a build."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="creel-ablation-"))
    directory.chmod(0o755)
    try:
        attacks = directory / "attacks"
        attacks.mkdir(mode=0o755)
        compile_attacks(attacks)
        make_suid_copies(attacks)
        yield make_whos(binary, directory), attacks
    finally:
        if os.geteuid() == 0:
            remove_canaries()
        shutil.rmtree(directory, ignore_errors=True)


def build_table(whos, attacks, progress=None):
    """{case: {layer: "held" or "BROKEN"}}, the layer "" being the product as it is."""
    table = {}
    for layer in ("", *LAYERS):
        for case, verdicts in measure(whos, attacks, layer, programs(), progress).items():
            if verdicts != {"SKIP"}:
                cell = "BROKEN" if "BROKEN" in verdicts else "held"
                table.setdefault(case, {})[layer] = cell
    return table


def try_combinations(whos, attacks, progress=None):
    """[(layers, case, broken with all off, [one layer on with which it broke still])]."""
    results = []
    for layers, program, case in COMBINATIONS:
        def breaks(off, program=program, case=case):
            found = measure(whos, attacks, ",".join(off), [program], progress)
            return "BROKEN" in found.get(case, set())
        not_held = [on for on in layers if breaks([l for l in layers if l != on])]
        results.append((layers, case, breaks(layers), not_held))
    return results


def holders(cells):
    """The layers that a case depends on alone, as the table's last column says it."""
    alone = [layer for layer in LAYERS if cells.get(layer) == "BROKEN"]
    if cells.get("") == "BROKEN":
        return "not held"
    return " and ".join(alone) if alone else "two walls or more"


def merged_rows(table, full):
    """(label, cells) in order; cases of one group with the same cells share a row."""
    rows = {}
    for case in sorted(table):
        group, name = case.split(".", 1)
        cells = tuple(table[case].get(layer, "held") for layer in LAYERS)
        key = (case, cells) if full else (group, cells, table[case].get("", "held"))
        rows.setdefault(key, []).append((name, case))
    for key, names in rows.items():
        label = f"`{key[0]}`" if full else \
            f"`{key[0]}`: " + ", ".join(name.replace("_", "\\_") for name, _ in names)
        yield label, table[names[0][1]]


def markdown(table, full=False):
    lines = ["| attack | " + " | ".join(LAYERS) + " | held by |",
             "|---|" + "---|" * (len(LAYERS) + 1)]
    for label, cells in merged_rows(table, full):
        values = ["**BROKEN**" if cells.get(layer) == "BROKEN" else "held" for layer in LAYERS]
        lines.append(f"| {label} | " + " | ".join(values) + f" | {holders(cells)} |")
    count = len(table)
    two = sum(holders(cells) == "two walls or more" for cells in table.values())
    lines += ["", f"{count} cases, each tried as uid 1000 and as root of the sandbox, by creel run "
              "as root, as an ordinary user and as one without subordinate ids. "
              f"{two} hold with any one layer off; a column says what is reached (not necessarily "
              "gained) when that layer alone is off."]
    return "\n".join(lines)


def combinations_markdown(results):
    lines = ["", "Several walls off together, to show that each of them stands:", "",
             "| off | then broken | held while any one of them stands |", "|---|---|---|"]
    for layers, case, broken, not_held in results:
        lines.append(f"| {', '.join(layers)} | {f'`{case}`' if broken else 'nothing'} | "
                     f"{'no: not by ' + ', '.join(not_held) if not_held else 'yes'} |")
    return "\n".join(lines)


def write_between_markers(path, text):
    """Replaces what stands between the markers; they are added at the end if missing."""
    path = pathlib.Path(path)
    old = path.read_text() if path.exists() else ""
    if BEGIN not in old or END not in old:
        old = old.rstrip() + f"\n\n{BEGIN}\n{END}\n"
    head, rest = old.split(BEGIN, 1)
    path.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.split(END, 1)[1]}")


def violations(table):
    """What contradicts threats.md: [text]."""
    found = [f"{case} is not held at all" for case, cells in sorted(table.items())
             if cells.get("") == "BROKEN"]
    for case, cells in sorted(table.items()):
        for layer in LAYERS:
            if (cells.get(layer) == "BROKEN" and cells.get("") != "BROKEN"
                    and needs_two_walls(case) and not exception_for(case, layer)):
                found.append(f"{case} depends on {layer} alone")
    return found


def main():
    parser = argparse.ArgumentParser(description="Which layer holds which attack.")
    parser.add_argument("--markdown", metavar="FILE", help="put the table between FILE's markers")
    parser.add_argument("--json", metavar="FILE", help="also write the cells as JSON")
    parser.add_argument("--full", action="store_true", help="one row a case")
    options = parser.parse_args()
    binary = pathlib.Path(os.environ.get("CREEL_ABLATION", REPO / "build-ablation" / "creel"))
    if not binary.exists():
        sys.exit(f"ablation: {binary} does not exist: build it or set CREEL_ABLATION")
    def progress(text):
        print(text, file=sys.stderr)
    with ready(binary.resolve()) as (whos, attacks):
        table = build_table(whos, attacks, progress)
        text = markdown(table, options.full)
        text += "\n" + combinations_markdown(try_combinations(whos, attacks, progress))
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(table, indent=1, sort_keys=True))
    if options.markdown:
        write_between_markers(options.markdown, text)
    else:
        print(text)
    found = violations(table)
    print("\n".join(found), file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
