"""What each rule of the house looks for, as functions from a source tree to a list of complaints."""

import ast
import sys
import tokenize
import tomllib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGES = ("integration", "handlers", "config")  # lower first: a package may import those before it
SPINE = ("inbox", "merchants", "customers", "sales", "messages", "points")
LAST = ("privacy",)  # may use every capability
# Names the types of everything, made by config alone; and the contracts that every keeper of personal data, whoever
# spends points, places people on a ladder, makes codes or gives out links for friends fulfils.
OUTSIDE_THE_ORDER = ("context", "holders", "spending", "ladder", "coupons", "inviting")
FILE_NAMES = {"__init__", "rules", "ledger", "store", "settle", "jobs", "feeds", "letters", "pages", "personal",
              "timeline", "views", "changes", "codes", "desk", "terms", "claims"}  # fmt: skip
VAGUE = {"util", "utils", "helper", "helpers", "common", "misc", "manager", "service", "services", "base"}
VAGUE_ENDINGS = ("Manager", "Service", "Helper", "Utils", "Base")
LONGEST_FILE_LINES = 500
IMPURE = {"asyncio", "httpx", "io", "os", "pathlib", "random", "secrets", "socket", "sqlalchemy", "sqlite3",
          "subprocess", "threading", "time", "uuid"}  # fmt: skip
IMPURE_CALLS = {"now", "utcnow", "today", "open", "print", "input", "connect"}
PURE_OF_INTEGRATION = {"facts", "money", "clock", "errors", "spreadsheets", "colour"}  # and the type of set-based steps
ENVIRONMENT_READER = "config/settings.py"
NOT_SHIPPED = ("dev", "build")  # extras that are for those who change the program


class Module(NamedTuple):
    """One source file and its syntax tree."""

    path: Path  # relative to the root
    tree: ast.Module
    lines: int

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the dotted name's parts."""
        parts = self.path.with_suffix("").parts
        return parts[:-1] if parts[-1] == "__init__" else parts


@lru_cache
def modules(root: Path, *folders: str) -> tuple[Module, ...]:
    """Read every Python file below the folders of a root."""
    found = []
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            with tokenize.open(path) as file:
                text = file.read()
            found.append(Module(path.relative_to(root), ast.parse(text), text.count("\n")))
    return tuple(found)


def product(root: Path) -> tuple[Module, ...]:
    """Read the three packages."""
    return modules(root, *PACKAGES)


def everything(root: Path) -> tuple[Module, ...]:
    """Read the three packages and the tests."""
    return modules(root, *PACKAGES, "tests")


def imports(module: Module) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield the line and the dotted parts of everything a module imports, relative names resolved."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, tuple(name.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            package = module.path.parent.parts
            start = package[: len(package) - node.level + 1] if node.level else ()
            for name in node.names:
                yield node.lineno, (*start, *(node.module.split(".") if node.module else ()), name.name)


def upward_imports(root: Path) -> list[str]:
    """Find imports from a higher package, and of tests by the product."""
    rank = {name: place for place, name in enumerate((*PACKAGES, "tests"))}
    return [
        f"{module.path}:{line} imports {'.'.join(target)}"
        for module in product(root)
        for line, target in imports(module)
        if rank.get(target[0], -1) > rank[module.parts[0]]
    ]


def sideways_imports(root: Path) -> list[str]:
    """Find a spine module that imports one above it, and a capability that imports a sibling."""
    return [
        f"{module.path}:{line} imports {'.'.join(target)}"
        for module in modules(root, "handlers")
        if len(module.parts) > 1 and module.parts[1] not in OUTSIDE_THE_ORDER
        for line, target in imports(module)
        if target[0] == "handlers" and len(target) > 1 and not _may_use(module.parts[1], target[1])
    ]


def _may_use(here: str, there: str) -> bool:
    if there == here or there in OUTSIDE_THE_ORDER or here in LAST:
        return True
    if there not in SPINE:
        return False
    return here not in SPINE or SPINE.index(there) < SPINE.index(here)


def impure_rules(root: Path) -> list[str]:
    """Find a rules.py that tells the time, draws lots, waits, or touches anything outside its arguments."""
    complaints = []
    for module in product(root):
        if module.path.name != "rules.py":
            continue
        for line, target in imports(module):
            ours = target[0] in PACKAGES
            allowed = not ours or target[0] == "handlers" or target[1] in PURE_OF_INTEGRATION
            allowed = allowed or target == ("integration", "database", "steps", "Steps")
            if target[0] in IMPURE or not allowed or target[-1] == "Clock":
                complaints.append(f"{module.path}:{line} imports {'.'.join(target)}")
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and _called(node) in IMPURE_CALLS:
                complaints.append(f"{module.path}:{node.lineno} calls {_called(node)}")
            if isinstance(node, ast.AsyncFunctionDef | ast.Await):
                complaints.append(f"{module.path}:{node.lineno} waits")
    return complaints


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def names_outside_the_vocabulary(root: Path, duties: Mapping[str, set[str]]) -> list[str]:
    """Find a file in a folder of handlers whose name is neither in the vocabulary nor among that folder's duties."""
    return [
        str(module.path)
        for module in modules(root, "handlers")
        if len(module.path.parts) == 3 and module.path.stem not in FILE_NAMES | duties.get(module.path.parts[1], set())
    ]


def vague_names(root: Path) -> list[str]:
    """Find files, folders and classes that are named after nothing in particular."""
    complaints = []
    for module in everything(root):
        complaints += [f"{module.path} is named {part}" for part in module.parts if part in VAGUE]
        complaints += [
            f"{module.path}:{node.lineno} names a class {node.name}"
            for node in ast.walk(module.tree)
            if isinstance(node, ast.ClassDef) and node.name.endswith(VAGUE_ENDINGS)
        ]
    return complaints


def long_files(root: Path) -> list[str]:
    """Find files longer than anyone reads in one sitting."""
    return [f"{m.path} has {m.lines} lines" for m in everything(root) if m.lines > LONGEST_FILE_LINES]


def files_without_purpose(root: Path) -> list[str]:
    """Find files that do not open with a sentence saying what they are for; in tests an `__init__` may be empty."""
    return [
        str(module.path)
        for module in everything(root)
        if (module.tree.body or module.parts[0] != "tests")
        and not (ast.get_docstring(module.tree) or "").split("\n")[0].rstrip().endswith((".", ":", ";", "?"))
    ]


def functions_without_docstring(root: Path) -> list[str]:
    """Find public functions, and public methods of public classes, that say nothing about themselves.

    Left out are bodies of a protocol, and properties: a value's name is its documentation.
    """
    return [
        f"{module.path}:{node.lineno} {node.name}"
        for module in product(root)
        for node in _public_functions(module.tree)
        if not ast.get_docstring(node)
    ]


def tests_without_docstring(root: Path) -> list[str]:
    """Find tests that do not say in a sentence what behaviour they show."""
    return [
        f"{module.path}:{node.lineno} {node.name}"
        for module in modules(root, "tests")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]


def _public_functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in tree.body:
        inside = node.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_") else [node]
        if isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(b) for b in node.bases):
            continue
        for each in inside:
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and not each.name.startswith("_"):
                marks = {ast.unparse(mark).rpartition(".")[2] for mark in each.decorator_list}
                if not marks & {"property", "cached_property", "overload"}:
                    yield each


def readers_of_the_environment(root: Path) -> list[str]:
    """Find a module other than the settings that reads environment variables."""
    return [
        f"{module.path}:{node.lineno} reads the environment"
        for module in product(root)
        if str(module.path) != ENVIRONMENT_READER
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb")
    ]


def undeclared_imports(root: Path) -> list[str]:
    """Find an import of the product that its dependencies and extras do not bring (a test's package, say)."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    extras = {name: needs for name, needs in project["optional-dependencies"].items() if name not in NOT_SHIPPED}
    needs = [*project["dependencies"], *(need for each in extras.values() for need in each)]
    declared = {canonicalize_name(Requirement(need).name) for need in needs}
    owners = packages_distributions()
    return [
        f"{module.path}:{line} imports {target[0]}"
        for module in product(root)
        for line, target in imports(module)
        if target[0] not in (*PACKAGES, *sys.stdlib_module_names)
        and not {canonicalize_name(owner) for owner in owners.get(target[0], ())} & declared
    ]
