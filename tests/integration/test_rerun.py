# SPDX-License-Identifier: Apache-2.0
"""creel rerun: the run of a record once more, and what came out differently."""

import json
import uuid


def rerun(creel, *args):
    done = creel("rerun", "--json", *args)
    assert done.code in (0, 1), done
    result = json.loads(done.out)
    assert (done.code == 0) == result["same"], done
    return result


def test_the_same_comes_out(any_creel):
    result = any_creel.json("--", "sh", "-c", "echo out; echo err >&2; echo x > f; exit 4")
    assert rerun(any_creel, result["id"])["differences"] == []
    assert rerun(any_creel, result["audit"]["start"])["same"]
    assert rerun(any_creel, result["audit"]["end"])["same"]


def test_code_and_language(creel):
    result = creel.json("--lang", "python", "-c", "import sys; print(6*7, sys.argv)", "a", "b c")
    assert result["exit_code"] == 0
    assert rerun(creel, result["id"])["same"]


def test_what_differs_is_named(creel):
    work = creel.directory()
    data = creel.file(work / "data", "1\n")
    result = creel.json("--in", data, "--", "sh", "-c", "cat data; wc -c < data; cp data copy")
    creel.file(data, "22\n")
    told = rerun(creel, result["id"])["differences"]
    assert any(d.startswith("inputs: ") and str(data) in d for d in told), told
    assert any(d.startswith("stdout: ") for d in told), told
    assert any(d.startswith("changes: /workspace/copy") for d in told), told


def test_an_exit_code_that_differs(creel):
    flag = creel.directory()
    result = creel.json("--ro", f"{flag}:/flag", "--", "test", "-e", "/flag/there")
    creel.file(flag / "there")
    told = rerun(creel, result["id"])["differences"]
    assert "exit_code: was 1, is 0" in told, told


def test_values_of_variables_have_to_be_given_again(creel):
    value = uuid.uuid4().hex
    result = creel.json("--env", f"V={value}", "--", "sh", "-c", "echo $V")
    assert not rerun(creel, result["id"])["same"]
    assert rerun(creel, "--env", f"V={value}", result["id"])["same"]


def test_what_was_not_kept_cannot_run_again(creel):
    result = creel.json("--audit", "argv=hash", "--", "true")
    done = creel("rerun", result["id"])
    assert done.code == 125 and "not kept" in done.errors and done.err.count(b"\n") == 1, done


def test_bad_words(creel):
    for words in ([], ["a", "b"], ["99999999"], ["i" + "a" * 20], ["--nonsense", "1"]):
        done = creel("rerun", *words)
        assert done.code == 125 and done.err, done
