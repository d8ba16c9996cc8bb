"""What holds for the repository as a whole: arrows between rooms, light imports, nothing uncollected."""

import ast
import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
FRAMEWORKS = {"tensorflow", "keras", "cv2", "torch", "sklearn", "matplotlib", "grpc", "ai_edge_litert"}
# Package -> top-level packages of the project that it may import.
ARROWS = {
    "keras_layers": {"keras_layers"},
    "tools": {"tools", "keras_layers"},
    "apps": {"apps", "tools", "keras_layers"},
}
APPLICATIONS = sorted(path.name for path in (ROOT / "apps").iterdir() if (path / "cli.py").exists())


def imported_modules(path: pathlib.Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            modules.add(node.module)
    return modules


@pytest.mark.parametrize("package", ARROWS)
def test_imports_follow_the_arrows(package):
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in (ROOT / package).rglob("*.py")
        for module in imported_modules(path)
        if module.split(".")[0] in ARROWS.keys() | {"tests"} and module.split(".")[0] not in ARROWS[package]
    ]
    assert not wrong


def test_layers_import_keras_and_numpy_only():
    allowed = {"keras", "numpy", "keras_layers"} | sys.stdlib_module_names
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in (ROOT / "keras_layers").rglob("*.py")
        for module in imported_modules(path)
        if module.split(".")[0] not in allowed
    ]
    assert not wrong


def test_applications_do_not_import_each_other():
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for application in APPLICATIONS
        for path in (ROOT / "apps" / application).rglob("*.py")
        for module in imported_modules(path)
        for other in APPLICATIONS
        if other != application and module.startswith(f"apps.{other}")
    ]
    assert not wrong


def test_the_parser_of_the_command_imports_no_framework():
    code = "import apps, tools, apps.cli, sys, json; apps.cli.build_parser(); print(json.dumps(sorted(sys.modules)))"
    modules = json.loads(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT))
    assert not FRAMEWORKS & set(modules)


def test_help_answers_in_half_a_second():
    def seconds() -> float:
        started = os.times()
        subprocess.run([sys.executable, "-m", "apps.cli", "--help"], cwd=ROOT, check=True, capture_output=True)
        ended = os.times()
        return ended.children_user - started.children_user + ended.children_system - started.children_system

    # Of the processor: other work on a busy machine does not count. Twice, for what the first run has to read.
    assert min(seconds() for _ in range(2)) < 0.5


@pytest.mark.parametrize(
    ("arguments", "status"),
    [([], 2), (["--help"], 0), (["no-such-verb"], 2), (["models", "--no-such-flag"], 2), (["models", "--help"], 0)],
)
def test_exit_status(arguments, status):
    done = subprocess.run([sys.executable, "-m", "apps.cli", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == status
    assert "Traceback" not in done.stderr


def test_every_file_with_tests_is_collected():
    lost = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in (ROOT / "tests").rglob("*.py")
        if not path.name.startswith("test_")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert not lost


def test_every_package_of_the_project_is_installed_with_it():
    lost = [
        str(folder.relative_to(ROOT))
        for package in ARROWS
        for folder in [ROOT / package, *(ROOT / package).rglob("*")]
        if folder.is_dir() and any(folder.glob("*.py")) and not (folder / "__init__.py").exists()
    ]
    assert not lost
