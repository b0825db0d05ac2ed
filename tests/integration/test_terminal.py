# SPDX-License-Identifier: Apache-2.0
"""A terminal inside: job control, resizing, an editor, and what the caller's terminal is after."""

import hashlib
import os
import shutil
import signal
import time

import pytest

import creelkit

PROMPT = r"(?<!=)PROMPT>$"


@pytest.fixture
def bash(open_terminal):
    """An interactive bash inside, at its prompt."""
    term = open_terminal("run", "--env", "PS1=PROMPT>", "--", "bash", "--norc", "--noprofile",
                         "--noediting")
    term.prompt = PROMPT
    term.expect(PROMPT)
    return term


def test_it_is_a_terminal(bash):
    bash.ask("tty; test -t 0 -a -t 1 -a -t 2 && echo all-$((1+1))", r"^/dev/pts/\d+\r\nall-2")
    bash.ask("echo TERM=$TERM", r"^TERM=xterm\r")
    bash.ask("exit 7", "exit")
    assert bash.wait() == 7


def test_job_control(bash):
    bash.line("sleep 100")
    time.sleep(0.5)
    bash.send("\x1a")
    bash.expect(r"Stopped +sleep 100")
    bash.expect(PROMPT)
    bash.ask("jobs", r"^\[1\]\+ +Stopped +sleep 100")
    bash.ask("bg", r"sleep 100 &")
    bash.ask("jobs", r"Running +sleep 100")
    bash.ask("fg", r"^sleep 100\r")  # at the prompt: else its echo comes before it
    time.sleep(0.5)
    bash.send("\x03")
    bash.expect(PROMPT)
    bash.ask("echo code=$?", r"^code=130")
    bash.line("exit 0")
    assert bash.wait() == 0


def test_interrupt_of_the_foreground_only(bash):
    bash.line("sleep 100")
    time.sleep(0.4)
    bash.send("\x03")
    bash.expect(PROMPT)
    bash.ask("echo still-$((40+2))", r"^still-42")
    for _ in range(5):  # at the prompt: nothing ends
        bash.send("\x03")
        bash.expect(PROMPT)
    bash.ask("echo alive-$((40+2))", r"^alive-42")
    bash.line("exit 3")
    assert bash.wait() == 3


def test_quit_key(open_terminal):
    term = open_terminal("run", "--", "sh", "-c", "echo ready; exec sleep 60")
    term.expect("ready")
    term.send("\x1c")
    assert term.wait() == 128 + signal.SIGQUIT


def test_interrupt_ends_a_simple_command(open_terminal):
    term = open_terminal("run", "--", "sh", "-c", "echo ready; exec sleep 60")
    term.expect("ready")
    term.send("\x03")
    assert term.wait() == 128 + signal.SIGINT


def test_end_of_input(open_terminal):
    term = open_terminal("run", "--", "cat")
    time.sleep(0.3)
    term.line("line")
    term.expect(r"line\r\nline\r\n")
    term.send("\x04")
    assert term.wait() == 0


def test_size(open_terminal):
    term = open_terminal("run", "--env", "PS1=PROMPT>", "--", "bash", "--norc", "--noprofile",
                         "--noediting", rows=31, cols=97)
    term.prompt = PROMPT
    term.expect(PROMPT)
    term.ask("stty size", r"^31 97\r")
    term.ask("trap 'echo now-$(stty size)' WINCH; echo set-$((1+1))", r"set-2")
    term.resize(50, 120)
    time.sleep(0.3)
    term.line("")
    term.expect(r"now-50 120")
    term.line("")
    term.ask("stty size", r"^(?:PROMPT>)*50 120\r")
    term.line("exit")
    term.wait()


def test_size_reaches_by_the_kernels_own_signal(open_terminal):
    term = open_terminal("run", "--", "bash", "-c", "trap 'stty size' WINCH; echo ready; "
                         "while :; do sleep 0.1; done")
    term.expect("ready")
    term.resize(41, 111)
    term.expect(r"^41 111\r")
    term.process.terminate()
    term.wait()


@pytest.mark.parametrize("code", [0, 1, 124, 255])
def test_exit_code(open_terminal, code):
    assert open_terminal("run", "--", "sh", "-c", f"exit {code}").wait() == code


def test_attributes_are_restored(open_terminal):
    for words, code in ((["true"], 0), (["sh", "-c", "stty raw -echo; exit 4"], 4),
                        (["no-such-command"], 127), (["sh", "-c", "kill -9 $$"], 137)):
        term = open_terminal("run", "--", *words)
        assert term.wait() == code, term.seen
        assert term.attributes() == term.before, words


def test_attributes_are_restored_after_a_timeout_and_a_signal(open_terminal):
    term = open_terminal("run", "--timeout", "400ms", "--", "sleep", "60")
    assert term.wait() == 124 and term.attributes() == term.before
    term = open_terminal("run", "--", "sh", "-c", "echo ready; sleep 60")
    term.expect("ready")
    assert term.attributes() != term.before, "it was not raw"
    term.process.send_signal(signal.SIGTERM)
    term.wait()
    assert term.attributes() == term.before


def test_attributes_are_restored_after_a_hangup(open_terminal):
    term = open_terminal("run", "--", "sh", "-c", "echo ready; sleep 60")
    term.expect("ready")
    term.process.send_signal(signal.SIGHUP)
    assert term.wait() == 137 and term.attributes() == term.before


def test_terminal_that_goes_away_ends_the_run(creel, open_terminal):
    term = open_terminal("run", "--", "sh", "-c", "trap '' HUP; echo ready; sleep 60")
    term.expect("ready")
    os.close(term.slave)
    os.close(term.master)
    term.slave, term.master = os.open("/dev/null", os.O_RDONLY), os.open("/dev/null", os.O_RDONLY)
    assert creelkit.wait_until(lambda: term.process.poll() is not None, 10), "it runs on"
    assert not creel.live_ids()


def test_last_output_is_not_lost(open_terminal):
    for _ in range(3):
        term = open_terminal("run", "--", "sh", "-c", "seq 1 5000; echo last-$((1+1))")
        assert term.wait() == 0
        assert "4999\r\n5000\r\nlast-2\r\n" in term.seen


def test_much_input_is_not_lost(open_terminal):
    term = open_terminal("run", "--", "sh", "-c", "stty raw -echo; echo ready; head -c 20000 | "
                         "sha256sum; stty sane")
    term.expect("ready")
    data = "".join(chr(33 + n % 90) for n in range(20000))
    for at in range(0, len(data), 1000):
        term.send(data[at:at + 1000])
        time.sleep(0.005)
    term.expect(hashlib.sha256(data.encode()).hexdigest())
    assert term.wait() == 0


@pytest.mark.parametrize("editor", ["vim", "vim.tiny", "vi", "nano"])
def test_editor(creel, open_terminal, editor):
    path = shutil.which(editor, path="/usr/bin")
    if not path:
        creelkit.skip(editor, "not installed in /usr/bin")
    place = creel.directory()
    term = open_terminal("run", "--workspace", place, "--", editor, "file.txt")
    if editor == "nano":
        term.expect(r"Exit|Help")
        term.send("written inside\x0f")
        time.sleep(0.3)
        term.send("\r")
        time.sleep(0.3)
        term.send("\x18")
    else:
        term.expect(r"file\.txt")
        term.quiet()
        term.send("iwritten inside\x1b:wq\r")
    assert term.wait() == 0, term.seen
    assert (place / "file.txt").read_text() == "written inside\n"
    assert term.attributes() == term.before


def test_python_prompt(open_terminal):
    term = open_terminal("run", "--", "python3", "-q")
    term.expect(">>> ")
    term.ask("print(6*7)", r"^42\r")
    term.expect(">>> ")
    term.quiet()
    term.send("\x04")
    assert term.wait() == 0


def test_tty_off_on_a_terminal(open_terminal):
    term = open_terminal("run", "--tty", "off", "--", "sh", "-c", "tty; test -t 1 || echo no-tty")
    term.expect("not a tty")
    term.expect("no-tty")
    assert term.wait() == 1 or term.process.returncode == 0


def test_tty_on_without_a_terminal(creel):
    done = creel.run("--tty", "on", "--", "sh", "-c", "test -t 0 -a -t 1 && tty && stty size")
    assert done.code == 0 and done.text.splitlines()[0].startswith("/dev/pts/"), done
    assert done.text.split()[1:] == ["24", "80"]


def test_tty_on_takes_input_from_a_pipe(creel):
    done = creel.run("--tty", "on", "--", "sh", "-c", "read x; echo got-$x", input=b"word\n")
    assert done.code == 0 and b"got-word" in done.out, done


def test_auto_needs_both_ends(creel, open_terminal):
    done = creel.run("--", "sh", "-c", "test -t 0 -o -t 1 || echo none")
    assert done.out == b"none\n"
    term = open_terminal(shell='"$CREEL" run -- tty < /dev/null; "$CREEL" run -- tty | cat')
    term.wait()
    assert term.seen.count("not a tty") == 2, term.seen


def test_json_on_a_terminal_has_none_inside(open_terminal):
    term = open_terminal("run", "--json", "--", "tty")
    term.wait()
    assert '"stdout":"not a tty\\n"' in term.seen, term.seen


def test_stopped_from_the_shell_of_the_host(open_terminal):
    """--tty off under a job-control shell: ^Z stops creel and what is inside; fg goes on."""
    term = open_terminal(shell='PS1=HOST\\> exec bash --norc --noprofile --noediting -i')
    term.prompt = "HOST>$"
    term.expect("HOST>$")
    term.line('"$CREEL" run --tty off -- sh -c "echo ready; i=0; '
              'while :; do i=\\$((i+1)); echo n=\\$i; sleep 0.1; done"')
    term.expect("ready")
    term.expect("n=3")
    term.send("\x1a")
    term.expect("Stopped")
    term.quiet(0.5)
    at = len(term.seen)
    term.quiet(0.5)
    assert "n=" not in term.seen[at:], "it goes on inside"
    term.line("fg")
    term.expect(r"n=\d+\r")
    term.send("\x03")
    term.expect("HOST>$")
    term.ask("echo code=$?", r"^code=130")
    term.line("exit")
    term.wait()


def test_two_terminals_at_once(open_terminal):
    first = open_terminal("run", "--", "sh", "-c", "read x; echo a-$x")
    second = open_terminal("run", "--", "sh", "-c", "read x; echo b-$x")
    time.sleep(0.5)
    second.line("two")
    first.line("one")
    first.expect("a-one")
    second.expect("b-two")
    assert (first.wait(), second.wait()) == (0, 0)


def test_no_timeout_by_default_on_a_terminal(open_terminal):
    term = open_terminal("run", "--", "sh", "-c", "echo ready; read x")
    term.expect("ready")
    term.line("x")
    assert term.wait() == 0
