"""The code that decides a number, as a hash that docstrings, comments and error messages do not change."""

import ast
import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

_OURS = frozenset({"metrics", "methods", "moefusion", "benchmark"})
_PROSE = frozenset({"METRICS", "CONVENTIONS", "_CITATION", "record", "title", "__all__"})  # titles, references

Definition = tuple[str, str]  # a module, and a name at its top level; "" stands for the whole module


@cache
def code_digest(*parts: Callable[..., Any] | str) -> str:
    """Return a SHA-256 over the code that functions and classes consist of and use, whatever folder it lies in.

    Names are followed from definition to definition within this project and the package that a part belongs to.
    Comments, docstrings, annotations of functions and what `raise` says are left out. Each module is read once: a
    file that changes while a process runs does not change the process's digests.

    Args:
        parts: Functions, classes, or "module:name", which is not imported.

    Examples:
        >>> from metrics import entropy, mutual_information
        >>> code_digest(entropy) == code_digest(mutual_information)
        False
        >>> code_digest(entropy) == code_digest("metrics.definitions.information:entropy")
        True
    """
    waiting = [_definition(part) for part in parts]
    packages = _OURS | {module.partition(".")[0] for module, _ in waiting}
    seen: set[Definition] = set()
    texts: set[str] = set()
    while waiting:
        definition = waiting.pop()
        if definition in seen:
            continue
        seen.add(definition)
        module, name = definition
        if lazy := _lazy_definition(module, name):
            waiting.append(lazy)
            continue
        for statement in _module(module).statements(name):
            waiting += _definitions_used(module, statement, packages)
            if not _imports_ours(module, statement, packages):  # where the code lies does not matter
                texts.add(ast.unparse(statement))
    return hashlib.sha256("\n\0".join(sorted(texts)).encode()).hexdigest()


def _definition(part: Callable[..., Any] | str) -> Definition:
    if isinstance(part, str):
        module, _, name = part.partition(":")
        return module, name
    function = inspect.unwrap(part)
    name = function.__qualname__.partition(".")[0]
    return function.__module__, "" if name == "<lambda>" else name


def _lazy_definition(module: str, name: str) -> Definition | None:
    """Return what a package's `__getattr__` gives for a name that its file does not bind."""
    if not name or name in _module(module).by_name or module not in sys.modules:
        return None
    value = getattr(sys.modules[module], name, None)
    if not (inspect.isfunction(value) or inspect.isclass(value)) or value.__module__ == module:
        return None
    return _definition(value)


class _Module:
    """A module's statements at top level, by the names that they bind."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.is_package = name, path.name == "__init__.py"
        self.by_name: dict[str, list[ast.stmt]] = {}
        self.nameless: list[ast.stmt] = []
        for statement in _Stripper().visit(ast.parse(path.read_bytes())).body:
            for single in _single_imports(statement):
                names = set(_names_bound(single))
                for bound in names:
                    self.by_name.setdefault(bound, []).append(single)
                if not names and not isinstance(single, ast.Pass):
                    self.nameless.append(single)

    def statements(self, name: str) -> list[ast.stmt]:
        """Return what defines a name, and what loading the module does; everything for a name that it does not bind."""
        if name in self.by_name:
            return [*self.by_name[name], *self.nameless]
        every = {id(one): one for statements in self.by_name.values() for one in statements}
        return [*every.values(), *self.nameless]

    def source(self, imported: ast.ImportFrom) -> str:
        """Return the module that an import names, with leading dots resolved."""
        if not imported.level:
            return imported.module or ""
        parts = self.name.split(".")
        base = parts[: len(parts) - imported.level + self.is_package]
        return ".".join([*base, *([imported.module] if imported.module else [])])


@cache
def _module(name: str) -> _Module:
    return _Module(name, Path(str(_source_file(name))))


@cache
def _source_file(name: str) -> str | None:
    """Return a module's source file; None where it has none."""
    if name in sys.modules:
        origin = getattr(sys.modules[name], "__file__", None)
    else:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            return None
        origin = spec.origin if spec else None
    return origin if origin and origin.endswith(".py") else None


class _Stripper(ast.NodeTransformer):
    """Removes what decides no number."""

    def visit(self, node: ast.AST) -> Any:
        """Return a node without docstrings, and a module or class without tables of prose."""
        body = getattr(node, "body", None)
        if isinstance(body, list):
            top = isinstance(node, ast.Module | ast.ClassDef)
            kept = [line for line in body if not _is_docstring(line) and not (top and _is_prose(line))]
            node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
        return super().visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """Return a bare `raise`: no number comes of it, whatever it says."""
        return ast.Raise()

    def visit_arg(self, node: ast.arg) -> ast.AST:
        """Return an argument without its annotation."""
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Return a function without the annotation of its result."""
        node.returns = None
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | None:
        """Return a condition, unless it is for type checkers or for the command line."""
        test = ast.unparse(node.test)
        return None if test == "TYPE_CHECKING" or test.startswith("__name__ ==") else self.generic_visit(node)


def _is_docstring(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)


def _is_prose(line: ast.stmt) -> bool:
    return isinstance(line, ast.Assign | ast.AnnAssign) and not _PROSE.isdisjoint(_names_bound(line))


def _single_imports(statement: ast.stmt) -> list[ast.stmt]:
    """Return an import of several names as several imports, so that one more name changes none of the others."""
    match statement:
        case ast.Import():
            return [ast.Import([alias]) for alias in statement.names]
        case ast.ImportFrom():
            return [ast.ImportFrom(statement.module, [alias], statement.level) for alias in statement.names]
        case _:
            return [statement]


def _names_bound(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement at top level binds."""
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield statement.name
        case ast.Import() | ast.ImportFrom():
            for alias in statement.names:
                yield alias.asname or alias.name.partition(".")[0]
        case ast.Assign():
            for target in statement.targets:
                yield from (node.id for node in ast.walk(target) if isinstance(node, ast.Name))
        case ast.AnnAssign() | ast.AugAssign():
            if isinstance(statement.target, ast.Name):
                yield statement.target.id
        case ast.If() | ast.Try() | ast.With() | ast.For():
            for child in ast.walk(statement):
                if isinstance(child, ast.stmt) and child is not statement:
                    yield from _names_bound(child)


def _definitions_used(module: str, statement: ast.stmt, packages: frozenset[str]) -> Iterator[Definition]:
    """Yield the definitions of our own code that a statement uses."""
    known, aliases = _module(module), _modules_known(module, packages)
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and node.id in known.by_name:
            yield module, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            yield aliases[node.value.id], node.attr
        elif isinstance(node, ast.ImportFrom) and _is_ours(source := known.source(node), packages):
            for alias in node.names:
                if not _source_file(f"{source}.{alias.name}"):  # a module counts by what of it is used
                    yield source, alias.name


def _imports_ours(module: str, statement: ast.stmt, packages: frozenset[str]) -> bool:
    if isinstance(statement, ast.ImportFrom):
        return _is_ours(_module(module).source(statement), packages)
    return isinstance(statement, ast.Import) and _is_ours(statement.names[0].name, packages)


@cache
def _modules_known(module: str, packages: frozenset[str]) -> dict[str, str]:
    """Return the modules of our own that a module imports, by the names that it gives them."""
    known = _module(module)
    aliases: dict[str, str] = {}
    for statements in known.by_name.values():
        for node in (node for statement in statements for node in ast.walk(statement)):
            if isinstance(node, ast.Import):
                named = [(alias.asname or alias.name, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                source = known.source(node)
                named = [(alias.asname or alias.name, f"{source}.{alias.name}") for alias in node.names]
            else:
                continue
            aliases |= {name: full for name, full in named if _is_ours(full, packages)}
    return aliases


def _is_ours(module: str, packages: frozenset[str]) -> bool:
    return module.partition(".")[0] in packages and _source_file(module) is not None
