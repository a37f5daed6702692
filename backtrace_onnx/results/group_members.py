"""Groups of input entries: what their members mean, as masks over the inputs of one sample.

A member is an input, a column, a slot (job=cook) or a name with * and ?; places in an input
(x[3:7], image[10:20, 30:40], wave[0.5s:1s]); or a word of a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.messages.similar_names import find_alike

Mask = npt.NDArray[np.bool_]
Masks = dict[str, Mask]
Members = Mapping[str, Sequence[str]]
_PLACES = re.compile(r"(?P<input>.+?)\[(?P<places>[^\[\]]*)\]", re.DOTALL)
_BOUND = re.compile(r"\s*(-?[0-9]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)\s*s)?\s*")
_PIECES = re.compile(r'"[^"]*"|\[[^\]]*\]|.', re.DOTALL)


@dataclass(frozen=True)
class EntryNames:
    """What the entries of one sample's inputs are called.

    Attributes:
        shapes: of every input, without the axis of the samples.
        names: of the entries of inputs of one axis; those of a column's slots are column=category.
        pictures: axes of rows and columns of the inputs that are pictures.
        times: axis of time and positions a second, of series.
        words: the words of a text and their places.
    """

    shapes: Mapping[str, tuple[int, ...]]
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    pictures: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    times: Mapping[str, tuple[int, float | None]] = field(default_factory=dict)
    words: Mapping[str, Sequence[tuple[str, Sequence[int]]]] = field(default_factory=dict)


def read_option(text: str) -> tuple[str, tuple[str, ...]]:
    """Name and members of a group written NAME=MEMBER,MEMBER.

    Commas in brackets and quotes belong to the member. Raises RequestError for other texts.
    """
    name, mark, rest = text.partition("=")
    members = [""]
    for piece in _PIECES.findall(rest):
        members.append("") if piece == "," else members.append(members.pop() + piece)
    found = tuple(member.strip() for member in members)
    if not mark or not name.strip() or not all(found):
        raise RequestError(f"a group is NAME=MEMBER,MEMBER,..., not {text!r}")
    return name.strip(), found


def read_options(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Members by group. Raises RequestError where two have the same name."""
    made: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, members = read_option(text)
        if name in made:
            raise RequestError(f"group {name!r} is given twice")
        made[name] = members
    return made


def find_masks(groups: Members, layout: EntryNames) -> dict[str, Masks]:
    """The entries of every group, by input.

    Raises RequestError where a member is not known or an entry is in two groups.
    """
    made: dict[str, Masks] = {}
    for name, members in groups.items():
        if isinstance(members, str) or not members:
            raise RequestError(f"group {name!r}: give a list of members, not {members!r}")
        twice = next((m for i, m in enumerate(members) if m in members[:i]), None)
        if twice is not None:
            raise RequestError(f"group {name!r} names {twice!r} twice")
        own: Masks = {}
        for member in members:
            for place, mask in _find(name, str(member), layout).items():
                own[place] = mask | own.get(place, np.zeros_like(mask))
        _check_apart(name, own, made, layout)
        _check_name(name, own, layout)
        made[name] = own
    return made


def _check_apart(name: str, own: Masks, made: Mapping[str, Masks], layout: EntryNames) -> None:
    for other, masks in made.items():
        for place, mask in own.items():
            both = mask & masks[place] if place in masks else np.zeros(1, bool)
            if both.any():
                at = tuple(int(i) for i in np.argwhere(both)[0])
                raise RequestError(
                    f"groups {other!r} and {name!r} both hold {_called(place, at, layout)}; an "
                    "entry is in one group at most"
                )


def _check_name(name: str, own: Masks, layout: EntryNames) -> None:
    """Raises RequestError where a group is called like what it leaves beside it."""
    for place, shape in layout.shapes.items():
        held = own.get(place, np.zeros(shape, bool))
        names = layout.names.get(place, ()) if len(shape) < 2 else ()
        own_names = list(names)[: held.size]
        spots = [i for i, entry in enumerate(own_names) if name in (entry, entry.split("=")[0])]
        if (name == place and not held.all()) or not held.reshape(-1)[spots].all():
            raise RequestError(
                f"group {name!r} is called like an input or column that is not all in it; give it "
                "another name"
            )


def _called(place: str, at: tuple[int, ...], layout: EntryNames) -> str:
    names = layout.names.get(place, ())
    spot = at[0] if at else 0
    if len(at) < 2 and spot < len(names):
        return repr(names[spot])
    return f"{place}[{', '.join(map(str, at))}]"


def _find(group: str, member: str, layout: EntryNames) -> Masks:
    """The entries of one member, by input."""
    if member in layout.shapes:
        return {member: np.ones(layout.shapes[member], bool)}
    placed = _PLACES.fullmatch(member)
    if placed and placed["input"] in layout.shapes:
        place = placed["input"]
        return {place: _placed(group, member, placed["places"], place, layout)}
    found = {name: mask for name, mask in _named(member, layout) if mask.any()}
    if len(found) > 1 and not _is_pattern(member):
        raise RequestError(
            f"group {group!r}: {member!r} is in several inputs ({', '.join(found)}); name its "
            f"place, such as {next(iter(found))}[0]"
        )
    if found or (layout.words and not _is_pattern(member)):
        return found  # a word may be in other texts
    raise RequestError(f"group {group!r}: nothing is called {member!r}{_near(member, layout)}")


def _named(member: str, layout: EntryNames) -> Iterator[tuple[str, Mask]]:
    """Entries that a name or pattern means, in every input."""
    pattern, word = _is_pattern(member), member.strip('"')

    def fits(name: str) -> bool:
        if name == member or name.startswith(f"{member}="):
            return True
        return pattern and (fnmatchcase(name, member) or fnmatchcase(name.split("=")[0], member))

    for place, shape in layout.shapes.items():
        mask = np.zeros(shape, bool)
        if pattern and fnmatchcase(place, member):
            mask[...] = True
        flat = mask.reshape(-1) if len(shape) < 2 else None
        for spot, name in enumerate(layout.names.get(place, ())):
            if flat is not None and spot < flat.size and fits(name):
                flat[spot] = True
        for text, spots in layout.words.get(place, ()):
            if text == word or (pattern and fnmatchcase(text, word)):
                mask[list(spots)] = True
        yield place, mask


def _is_pattern(member: str) -> bool:
    return "*" in member or "?" in member


def _placed(group: str, member: str, places: str, place: str, layout: EntryNames) -> Mask:
    """The entries of input[...]: a number or a range for each axis, or for the first of them.

    Two in a picture are rows and columns; seconds are along the axis of time.
    """
    shape, wanted = layout.shapes[place], places.split(",")
    axes = list(range(len(shape)))
    if len(wanted) == 2 and place in layout.pictures:
        axes = list(layout.pictures[place])
    if len(wanted) == 1 and "s" in places and place in layout.times:
        axes = [layout.times[place][0]]
    if len(wanted) > len(axes):
        raise RequestError(
            f"group {group!r}: {member!r} has {len(wanted)} axes, input {place!r} {len(axes)}: "
            f"{list(shape)}"
        )
    spots: list[slice] = [slice(None)] * len(shape)
    rate = layout.times.get(place, (0, None))[1]
    for axis, text in zip(axes, wanted, strict=False):
        spots[axis] = _range(f"group {group!r}: {member!r}", text, shape[axis], rate)
    mask = np.zeros(shape, bool)
    mask[tuple(spots)] = True
    return mask


def _range(what: str, text: str, size: int, rate: float | None) -> slice:
    bounds = text.split(":")
    if not text.strip() or len(bounds) > 2 or not all(map(_BOUND.fullmatch, bounds)):
        raise RequestError(f"{what}: {text.strip()!r} is no place; write 3, 3:7, 3: or :7")
    numbers = [_position(what, bound.strip(), rate) for bound in bounds]
    first = 0 if numbers[0] is None else numbers[0]
    first += size if first < 0 else 0
    last = first + 1 if len(numbers) == 1 else size if numbers[1] is None else numbers[1]
    last += size if last < 0 else 0
    if not 0 <= first < last <= size:
        raise RequestError(f"{what}: {text.strip()!r} is not within the {size} positions there")
    return slice(first, last)


def _position(what: str, bound: str, rate: float | None) -> int | None:
    if not bound.endswith("s"):
        return int(bound) if bound else None
    if rate is None:
        raise RequestError(f"{what}: seconds need the rate of a series in the sidecar")
    return round(float(bound[:-1]) * rate)


def _near(member: str, layout: EntryNames) -> str:
    columns = {name.split("=")[0] for names in layout.names.values() for name in names}
    slots = {name for names in layout.names.values() for name in names}
    known = slots if "=" in member else {*layout.shapes, *columns}
    close = find_alike(member, sorted(known))
    if close:
        return f"; did you mean: {', '.join(close)}?"
    some = ", ".join([*layout.shapes, *sorted(columns - set(layout.shapes))][:8])
    return f"; inputs and columns are: {some}"


__all__ = ["EntryNames", "Masks", "Members", "find_masks", "read_option", "read_options"]
