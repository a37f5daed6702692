"""A file that lies in a folder of rules or expansions is found by itself; nothing lists it."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pkgutil import iter_modules


def import_files(package: str, folders: Iterable[str]) -> tuple[str, ...]:
    """Import every file of a package, in the order of their names, so that each registers itself.

    Files that register nothing may lie among them. What fails to import is an error, not ignored.

    Args:
        package: the package's dotted name, `__name__` in its `__init__`.
        folders: where its files lie, `__path__` in its `__init__`.

    Returns the names of the files.
    """
    names = tuple(sorted(found.name for found in iter_modules(folders)))
    for name in names:
        import_module(f"{package}.{name}")
    return names
