# SPDX-License-Identifier: Apache-2.0
"""No attack depends on one layer alone where threats.md names two (see ablation.py)."""

import fnmatch
import os
import pathlib

import pytest

import ablation
from harness import REPO
from test_attacks import MAY_SKIP


@pytest.fixture(scope="module")
def prepared():
    path = os.environ.get("CREEL_ABLATION")
    if not path:
        pytest.skip("CREEL_ABLATION is not set: the build whose layers can be switched off")
    binary = pathlib.Path(path).resolve()
    assert binary.exists(), f"CREEL_ABLATION={path} does not exist"
    with ablation.ready(binary) as ready:
        yield ready


@pytest.fixture(scope="module")
def table(prepared):
    return ablation.build_table(*prepared)


def test_everything_holds_with_all_layers_on(table):
    broken = [case for case, cells in table.items() if cells.get("") == "BROKEN"]
    assert not broken, broken


def test_each_layer_can_be_switched_off(table):
    """A switch that does nothing would make the table say "two walls" everywhere."""
    shows = {"seccomp": "identity.seccomp", "nnp": "identity.no_new_privs",
             "caps": "identity.CapBnd", "masks": "mask.read_kallsyms"}
    idle = [layer for layer, case in shows.items() if table[case].get(layer) != "BROKEN"]
    assert not idle, f"switching these off changed nothing: {idle}"


def documented():
    """{case: {layer: cell}} as docs/SECURITY.md has it between its markers."""
    text = (REPO / "docs" / "SECURITY.md").read_text()
    text = text.split(ablation.BEGIN)[1].split(ablation.END)[0]
    rows = text.strip().split("\n\n")[0].splitlines()
    layers = [cell.strip() for cell in rows[0].split("|")[2:-2]]
    assert tuple(layers) == ablation.LAYERS, "another set of columns"
    found = {}
    for row in rows[2:]:
        label, *cells = [cell.strip() for cell in row.replace("\\_", "_").split("|")[1:-2]]
        group, names = label.split(":", 1)
        for name in names.split(","):
            found[f"{group.strip('`')}.{name.strip()}"] = {
                layer: cell.strip("*") for layer, cell in zip(layers, cells)}
    return found


def test_the_documented_table_is_what_is_measured(prepared, table):
    if "root-run" not in prepared[0]:
        pytest.skip("not run as root: a third of what the table says is not tried")
    said = documented()
    measured = {case: {layer: cells.get(layer, "held") for layer in ablation.LAYERS}
                for case, cells in table.items() if case not in MAY_SKIP}
    off = [f"{case}: documented {said.get(case)}, measured {measured.get(case)}"
           for case in sorted(said.keys() | measured.keys())
           if said.get(case) != measured.get(case)]
    assert not off, "run ablation.py --markdown docs/SECURITY.md:\n" + "\n".join(off)


def test_two_walls(table):
    found = ablation.violations(table)
    assert not found, "\n".join(found)


def test_the_list_of_two_walls_is_not_empty(table):
    """Each pattern still matches a case: a renamed case must not drop out unnoticed."""
    idle = [pattern for pattern in ablation.TWO_WALLS
            if not any(fnmatch.fnmatchcase(case, pattern) for case in table)]
    assert not idle, idle


def test_walls_stand_alone(prepared):
    """Off together they let the attack through; any one of them alone holds it."""
    for layers, case, broken, not_held in ablation.try_combinations(*prepared):
        assert broken, f"{case} holds with {layers} off: an idle switch or an unnamed wall"
        assert not not_held, f"{case} is not held by {not_held} alone"
