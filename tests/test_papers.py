"""The papers around the code hold what they say: names, links, versions, and the line that CI takes from the README."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from unadapted import unadapted

import numbacnn as nc

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", ".github/README.zh.md", "benchmarks/README.md", ".github/CONTRIBUTING.md")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def anchors(text: str) -> set[str]:
    """The headings as GitHub names them in links."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", text, re.M)}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    links = re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8"))
    assert links
    for link in links:
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


def test_ci_finds_its_line() -> None:
    assert re.findall(r'^pip install -e "\.\[test\]" && pytest$', README, re.M) == ['pip install -e ".[test]" && pytest']


def api() -> list[tuple[str, str]]:
    """The dotted name of everything in the table of the API, with the label of its row."""
    table = README.split("## The API on one screen", 1)[1].split("\n\n", 2)[1]
    found = []
    for line in table.splitlines()[2:]:
        label, cell = line.strip("| ").split(" | ", 1)
        for names in re.findall(r"`([^`]+)`", cell):
            room = ""
            for name in re.findall(r"[\w.]+", names):
                room = name.rpartition(".")[0] or room  # "inspect.summary receptive_field": both of inspect
                found.append((label, f"{room}.{name.rpartition('.')[2]}".strip(".")))
    return found


def test_the_names_of_the_api_are_there() -> None:
    found = api()
    assert len(found) > 100
    rooms = {"a `Tensor`": nc.Tensor, "`nn`": nc.nn, "`models`": nc.models, "`optim`": nc.optim, "`data`": nc.data, "`vision`": nc.vision}
    with unadapted():
        for label, name in found:
            owner = rooms.get(label, nc)
            for part in name.removeprefix("nn.").split("."):
                assert hasattr(owner, part), (label, name)
                owner = getattr(owner, part)


def test_the_extras_are_in_the_table() -> None:
    table = re.findall(r"^\| `(\w+)` \|", README.split("| extra |", 1)[1].split("\n\n", 1)[0], re.M)
    stated = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("[project.optional-dependencies]", 1)[1].split("\n\n", 1)[0]
    assert sorted(table) == sorted(re.findall(r"^(\w+) = ", stated, re.M))


def test_one_version_everywhere() -> None:
    for name, pattern in (("CITATION.cff", r"^version: (.*)$"), ("CHANGELOG.md", r"^## (\S+)")):
        assert re.findall(pattern, (ROOT / name).read_text(encoding="utf-8"), re.M)[0] == nc.__version__, name
