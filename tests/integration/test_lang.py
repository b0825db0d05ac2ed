# SPDX-License-Identifier: Apache-2.0
"""--lang: each language that is installed here, with a file and with -c."""

import os

import pytest

import creelkit

# name: (program, code that prints 42, code that prints its first argument, suffix)
LANGUAGES = {
    "python": ("python3", "print(6*7)", "import sys; print(sys.argv[1])", ".py"),
    "node": ("node", "console.log(6*7)", "console.log(process.argv[2])", ".js"),
    "bash": ("bash", "echo $((6*7))", "echo $1", ".sh"),
    "sh": ("sh", "echo $((6*7))", "echo $1", ".sh"),
    "r": ("Rscript", "cat(6*7, '\\n', sep='')", "cat(commandArgs(TRUE)[1], '\\n', sep='')", ".R"),
    "sqlite": ("sqlite3", "SELECT 6*7;", None, ".sql"),
    "perl": ("perl", "print 6*7, \"\\n\"", "print \"$ARGV[0]\\n\"", ".pl"),
    "awk": ("awk", "BEGIN { print 6*7 }", "BEGIN { print ARGV[1] }", ".awk"),
    "java": ("java", "class M { public static void main(String[] a) "
             "{ System.out.println(6*7); } }",
             "class M { public static void main(String[] a) { System.out.println(a[0]); } }",
             ".java"),
    "tcl": ("tclsh", "puts [expr 6*7]", "puts [lindex $argv 0]", ".tcl"),
    "ruby": ("ruby", "puts 6*7", "puts ARGV[0]", ".rb"),
    "php": ("php", "echo 6*7, \"\\n\";", "echo $argv[1], \"\\n\";", ".php"),
    "lua": ("lua", "print(6*7)", "print(arg[1])", ".lua"),
    "go": ("go", None, None, ".go"),
    "octave": ("octave-cli", "disp(6*7)", None, ".m"),
    "julia": ("julia", "println(6*7)", "println(ARGS[1])", ".jl"),
    "guile": ("guile", "(display 42)(newline)", None, ".scm"),
}
ALIASES = {"python3": "python", "py": "python", "javascript": "node", "js": "node", "R": "r",
           "sql": "sqlite"}
EXTRA = {"php": "<?php "}  # what a file needs before the code


def installed(name):
    return any(os.access(f"{place}/{LANGUAGES[name][0]}", os.X_OK)
               for place in ("/usr/bin", "/usr/local/bin"))


def require(name):
    if not installed(name):
        creelkit.skip(name, "not installed in /usr here")


def test_the_table_is_whole(rootless_creel):
    done = rootless_creel.run("--lang", "nonsense", "-c", "1")
    assert done.code == 125 and "no such language; there are: " in done.errors
    told = done.errors.split("there are: ")[1].strip().split(", ")
    names = {word.split(" ")[0]: word for word in told}
    assert set(names) == set(LANGUAGES)
    for name, word in names.items():
        assert ("(not installed)" in word) is not installed(name), word


@pytest.mark.parametrize("name", [n for n in LANGUAGES if LANGUAGES[n][1]])
def test_code(any_creel, name):
    require(name)
    done = any_creel.run("--lang", name, "-c", LANGUAGES[name][1])
    assert (done.code, done.out) == (0, b"42\n"), done


@pytest.mark.parametrize("name", [n for n in LANGUAGES if LANGUAGES[n][1]])
def test_file_that_is_copied(creel, name):
    require(name)
    _, code, _, suffix = LANGUAGES[name]
    path = creel.file(creel.directory("code-") / f"my program{suffix}"
                      if name not in ("sqlite",) else creel.directory("code-") / f"main{suffix}",
                      EXTRA.get(name, "") + code + "\n")
    done = creel.run("--lang", name, path)
    assert (done.code, done.out) == (0, b"42\n"), done


@pytest.mark.parametrize("name", ["python", "node", "r", "sqlite", "awk", "java"])
def test_file_in_the_workspace(creel, name):
    require(name)
    _, code, _, suffix = LANGUAGES[name]
    place = creel.directory("ws-")
    creel.own(place / "sub", 0o755)
    path = creel.file(place / "sub" / f"main{suffix}", code + "\n")
    done = creel.run("--workspace", place, "--lang", name, path)
    assert (done.code, done.out) == (0, b"42\n"), done


def test_file_in_the_workspace_runs_from_there(creel):
    place = creel.directory("ws-")
    path = creel.file(place / "main.py", "print(__file__); open('made', 'w').write('x')\n")
    creel.file(place / "beside.py", "")
    done = creel.run("--workspace", place, "--lang", "python", path)
    assert done.out == b"/workspace/main.py\n" and (place / "made").exists()
    other = creel.file(creel.directory("code-") / "main.py", "print(__file__)\n")
    done = creel.run("--workspace", place, "--lang", "python", other)
    assert done.out == b"/run/script/main.py\n", done


@pytest.mark.parametrize("name", [n for n in LANGUAGES if LANGUAGES[n][2]])
def test_arguments(creel, name):
    require(name)
    _, _, code, suffix = LANGUAGES[name]
    path = creel.file(creel.directory("code-") / f"args{suffix}", EXTRA.get(name, "") + code + "\n")
    done = creel.run("--lang", name, path, "the first", "second")
    assert (done.code, done.out) == (0, b"the first\n"), done


def test_arguments_of_code(creel):
    done = creel.run("--lang", "python", "-c", "import sys; print(sys.argv[1:])", "a", "--json")
    assert done.out == b"['a', '--json']\n"


@pytest.mark.parametrize("name", ALIASES)
def test_other_names(rootless_creel, name):
    require(ALIASES[name])
    done = rootless_creel.run("--lang", name, "-c", LANGUAGES[ALIASES[name]][1])
    assert done.out == b"42\n", done


def test_code_with_everything_that_a_shell_would_eat(creel):
    code = "print('$HOME `id` \\\\ \"q\" *', end='')\nprint('''x\ny''')"
    done = creel.run("--lang", "python", "-c", code)
    assert done.text == "$HOME `id` \\ \"q\" *x\ny\n", done


def test_error_in_the_code(creel):
    done = creel.run("--lang", "python", "-c", "1/0")
    assert done.code == 1 and b"ZeroDivisionError" in done.err


def test_code_may_read_its_input(creel):
    done = creel.run("--lang", "python", "-c", "print(input())", input=b"line\n")
    assert done.out == b"line\n"


def test_script_is_no_change(creel):
    path = creel.file(creel.directory("code-") / "main.py", "print(1)\n")
    assert creel.json("--lang", "python", path)["changes"] == []


def test_script_of_the_host_is_not_changed(creel):
    path = creel.file(creel.directory("code-") / "main.py", "open(__file__, 'w').write('x')\n")
    creel.run("--lang", "python", path)
    assert path.read_text() == "open(__file__, 'w').write('x')\n"


def test_file_by_a_link(creel):
    place = creel.directory("code-")
    creel.file(place / "real.py", "print('linked')\n")
    (place / "link.py").symlink_to("real.py")
    assert creel.run("--lang", "python", place / "link.py").out == b"linked\n"


@pytest.mark.parametrize("name", [n for n in LANGUAGES if not installed(n)][:2])
def test_language_that_is_absent_is_said(rootless_creel, name):
    done = rootless_creel.run("--lang", name, "-c", "1")
    assert done.code == 125 and done.err.count(b"\n") == 1
    assert f"no {LANGUAGES[name][0]}" in done.errors and "python" in done.errors
