"""What the READMEs show runs, and what they name exists."""

import pathlib
import re
import shlex

import pytest

from apps.cli import build_parser

ROOT = pathlib.Path(__file__).resolve().parent.parent
READMES = sorted(
    path for pattern in ("**/README.md", "docs/*.md") for path in ROOT.glob(pattern) if ".venv" not in path.parts
)
SNIPPETS = [
    pytest.param(snippet, id=f"{path.relative_to(ROOT)}-{number}")
    for path in READMES
    for number, snippet in enumerate(re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL))
    # What asks a server that the reader has started cannot run alone.
    if "Client(" not in snippet
]
COMMANDS = [
    pytest.param(line, id=f"{path.relative_to(ROOT)}: {line}")
    for path in READMES
    for line in re.findall(
        r"^ {4}(kapps [^\n#]*?)\s*(?:#.*)?$", path.read_text(encoding="utf-8").replace("\\\n", ""), re.MULTILINE
    )
]


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_snippets_run(snippet, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, "README.md", "exec"), {})  # noqa: S102


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_have_the_verbs_and_flags_that_are_shown(line):
    build_parser().parse_args(shlex.split(line)[1:])


@pytest.mark.parametrize("path", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    links = re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8"))
    assert not [link for link in links if not (path.parent / link).exists()]


def test_the_table_of_models_is_that_of_the_registry():
    from apps.action_recognition import models

    shown = (ROOT / "README.md").read_text(encoding="utf-8")
    for row in models.table():
        assert (
            f"| `{row['name']}` | {row['parameters']:,} | {row['multiply_adds'] / 1e9:.3g} G | {row['input']} |"
            in shown
        )


def test_what_was_measured_holds_a_row_of_every_model():
    from apps.action_recognition import models

    shown = (ROOT / "docs" / "action_recognition.md").read_text(encoding="utf-8")
    tables = shown[shown.index("## Every model, every way") :].split("\n\n")
    rows = [re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) for table in tables if table.startswith("| model")]
    assert rows == [list(models.names())] * 3
