"""Columns of a data set that are no inputs: labels, ids and groups of people, kept beside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backtrace_onnx.errors import InputError
from backtrace_onnx.inputs.json_object import Settings
from backtrace_onnx.inputs.path_arguments import texts_of
from backtrace_onnx.messages.similar_names import find_alike

ROLES = ("labels", "ids", "groups")
Names = str | Sequence[str]


@dataclass(frozen=True)
class KeptColumns:
    """Columns that are taken out of the inputs and kept beside them, by what they are for.

    Attributes:
        labels: what the right answer is. ids: how a row is found again. groups: who it is about; a
            group that the model has an input for by name is an input as well.
    """

    labels: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    @classmethod
    def named(cls, labels: Names = (), ids: Names = (), groups: Names = ()) -> KeptColumns:
        """Of one name or several for each."""
        return cls(*map(_names, (labels, ids, groups)))

    @classmethod
    def of(cls, entry: Settings) -> KeptColumns:
        """What a sidecar says. Raises InputError naming the key that is wrong."""
        found = cls(*(entry.texts(role) for role in ROLES))
        entry.finish()
        return found

    def over(self, other: KeptColumns) -> KeptColumns:
        """These, and where none are named for something the other's."""
        return KeptColumns(
            self.labels or other.labels, self.ids or other.ids, self.groups or other.groups
        )

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, each once: ids, labels, groups."""
        return tuple(dict.fromkeys((*self.ids, *self.labels, *self.groups)))

    def roles(self, name: str) -> Iterator[str]:
        """What a column is for: label, id or group."""
        for role in ROLES:
            if name in getattr(self, role):
                yield role.removesuffix("s")

    def check(self, columns: Sequence[str], source: str) -> None:
        """Raise InputError naming a column that is not there."""
        for name in self.names:
            if name not in columns:
                close = find_alike(name, columns)
                meant = f" (did you mean: {', '.join(close)}?)" if close else ""
                there = ", ".join(columns)
                raise InputError(f"{source}: has no column {name!r}{meant}; it has: {there}")


def _names(given: Names) -> tuple[str, ...]:
    return texts_of(given, "labels, ids and groups")
