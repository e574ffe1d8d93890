"""Match the files of several folders, by equal names or by one name pattern for each folder."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from metrics import images
from metrics.errors import InputError

_DAY_OR_NIGHT = "[DN]"  # MSRS marks a scene by day or by night; a folder's names end with either
_SHOWN = 3  # names of a side that an error spells out
# First or last words of names that tell the bands apart where both lie in one folder.
_BAND_WORDS = {
    "infrared": {"ir", "infrared", "thermal", "tir", "lwir", "inf", "previewdata"},
    "visible": {"vis", "vi", "visible", "rgb"},
}


@dataclass(frozen=True)
class Pattern:
    """How the names of a folder's files are made of what identifies a scene.

    Attributes:
        prefix, suffix: What stands before and behind it, the same for all files. The suffix `[DN]` is either letter.
        extension: The only one that is taken, such as `.png`; empty for all that hold images.
    """

    prefix: str = ""
    suffix: str = ""
    extension: str = ""

    @classmethod
    def parse(cls, text: str) -> "Pattern":
        """Return the pattern that a text such as `IR{}.png`, `{}_fused` or `{}` writes.

        Raises:
            InputError: It has not exactly one `{}`, or names a folder.
        """
        if text.count("{}") != 1 or "/" in text or "\\" in text:
            raise InputError(
                f"pattern {text!r}: expected a file's name with one {{}} for what changes, such as IR{{}}.png"
            )
        prefix, _, rest = text.partition("{}")
        suffix, dot, extension = rest.rpartition(".")
        if f"{dot}{extension.lower()}" in images.SUFFIXES:
            return cls(prefix, suffix, f".{extension.lower()}")
        return cls(prefix, rest)

    def __str__(self) -> str:
        return f"{self.prefix}{{}}{self.suffix}{self.extension}"

    @property
    def length(self) -> int:
        """Number of characters that it takes off a name."""
        return len(self.prefix) + len(self.suffix)

    def identify(self, name: str) -> str | None:
        """Return what identifies the scene in a name without extension; None where the pattern does not fit."""
        if self.suffix == _DAY_OR_NIGHT:
            rest = name[:-1] if name.endswith(("D", "N")) else ""
        else:
            rest = name.removesuffix(self.suffix) if name.endswith(self.suffix) else ""
        return rest[len(self.prefix) :] or None if rest.startswith(self.prefix) else None


@dataclass(frozen=True)
class Match:
    """Files of several folders that belong together.

    Attributes:
        files: By folder's role ("infrared", "visible", "fused") and by what identifies the scene.
        patterns: By role; all `{}` where the names are equal.
        remark: The patterns in one line; empty where the names are equal.
    """

    files: dict[str, dict[str, Path]]
    patterns: dict[str, Pattern]
    remark: str = ""


def match_folders(folders: Mapping[str, Path], patterns: Sequence[str] = (), *, leader: str | None = None) -> Match:
    """Return the files of folders by what identifies their scene.

    Equal names come first. Where no name is equal, the one pattern of each folder is looked for under which the names
    are equal: a common beginning or end, such as `IR{}` beside `VIS{}` or `{}` beside `{}_fused`.

    Args:
        folders: By role; infrared and visible may be one folder.
        patterns: One for each folder, as `Pattern.parse` takes it, in place of looking for them.
        leader: The role whose files must all have a partner for a pattern to count; None where half of them suffice.

    Raises:
        InputError: A folder cannot be used, no pattern fits, or several fit and give other partners.
    """
    if patterns:
        return _match_given(folders, patterns)
    if _in_one_folder(folders):
        return _match_one_folder(folders, leader)
    indexes = {role: images.index(folder) for role, folder in folders.items()}
    return _match_indexes(indexes, folders, leader)


def _match_given(folders: Mapping[str, Path], patterns: Sequence[str]) -> Match:
    if len(patterns) != len(folders):
        expected = ", ".join(folders)
        raise InputError(f"{len(patterns)} patterns of names; expected {len(folders)}: one for {expected}.")
    chosen = dict(zip(folders, map(Pattern.parse, patterns), strict=True))
    files = {role: index_by(folders[role], pattern) for role, pattern in chosen.items()}
    return Match(files, chosen, f"names by the patterns given: {_listed(chosen)}")


def index_by(folder: str | Path, pattern: Pattern) -> dict[str, Path]:
    """Return the image files of a folder that fit a pattern, by what identifies their scene.

    Raises:
        InputError: The folder cannot be used, no file fits, or two give one identity.
    """
    found: dict[str, Path] = {}
    for path in images.files(folder):
        name = pattern.identify(images.name_of(path))
        if name is None or (pattern.extension and path.suffix.lower() != pattern.extension):
            continue
        if name in found:
            raise InputError(f"{folder} holds both {found[name].name} and {path.name}, which are {name} by {pattern}.")
        found[name] = path
    if not found:
        there = _shown(path.name for path in images.files(folder))
        raise InputError(f"{folder} holds no image whose name fits {pattern}; found: {there}.")
    return found


def _in_one_folder(folders: Mapping[str, Path]) -> bool:
    """Return whether both bands lie in one folder; a source's folder may be scored as if it were fused."""
    return _BAND_WORDS.keys() <= folders.keys() and len({Path(folders[band]).resolve() for band in _BAND_WORDS}) == 1


def _match_one_folder(folders: Mapping[str, Path], leader: str | None) -> Match:
    """Tell infrared and visible apart by the first or last word of their names."""
    folder = folders["infrared"]
    others = {role: place for role, place in folders.items() if role not in _BAND_WORDS}
    if Path(folder).resolve() != Path(folders["visible"]).resolve() or any(
        Path(place).resolve() == Path(folder).resolve() for place in others.values()
    ):
        shared = " and ".join(folders)
        raise InputError(
            f"{folder} is given twice among {shared}; say which file is which by patterns: {_advice(folders)}"
        )
    indexes: dict[str, dict[str, Path]] = {"infrared": {}, "visible": {}}
    for path in images.files(folder):
        name = images.name_of(path)
        words = [word.casefold() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]
        ends = {words[0], words[-1]} if words else set()
        roles = [role for role, known in _BAND_WORDS.items() if ends & known]
        if len(roles) != 1:
            raise InputError(
                f"{folder} is both the infrared and the visible folder, and nothing in {path.name} says which it is; "
                f"found: {_shown(path.name for path in images.files(folder))}. {_advice(folders)}"
            )
        indexes[roles[0]][name] = path
    for role, index in indexes.items():
        if not index:
            raise InputError(
                f"{folder} is both folders, but none of its names says that it is {role}. {_advice(folders)}"
            )
    indexes |= {role: images.index(place) for role, place in others.items()}
    return _match_indexes(indexes, folders, leader)


def _match_indexes(indexes: dict[str, dict[str, Path]], folders: Mapping[str, Path], leader: str | None) -> Match:
    names = {role: list(index) for role, index in indexes.items()}
    if set.intersection(*(set(index) for index in indexes.values())):
        return Match(indexes, dict.fromkeys(indexes, Pattern()))
    found = find_patterns(names, leader)
    if not found:
        raise InputError(_unmatched(indexes, folders))
    partners = {tuple(sorted(_partners(names, patterns).items())) for patterns in found}
    if len(partners) > 1:
        first, second = found[:2]
        sides = "; ".join(f"{role}: {_shown(path.name for path in index.values())}" for role, index in indexes.items())
        raise InputError(
            f"names can be matched in more than one way, as {_listed(first)} or as {_listed(second)}; found {sides}. "
            f"{_advice(folders)}"
        )
    chosen = found[0]
    files = {
        role: {name: path for stem, path in index.items() if (name := chosen[role].identify(stem)) is not None}
        for role, index in indexes.items()
    }
    return Match(files, chosen, f"names matched as {_listed(chosen)}")


def find_patterns(names: Mapping[str, Sequence[str]], leader: str | None = None) -> list[dict[str, Pattern]]:
    """Return the patterns under which most names have partners, those that take off the least first.

    Args:
        names: Without extension, by role.
        leader: As `match_folders` has it.
    """
    first = leader or min(names, key=lambda role: len(names[role]))
    candidates = {role: _candidates(listed) for role, listed in names.items()}
    identities = {
        role: [(pattern, {pattern.identify(name) for name in names[role]}) for pattern in patterns]
        for role, patterns in candidates.items()
    }
    least = len(names[first]) if leader else max(1, len(names[first]) // 2)
    solutions: list[tuple[int, int, dict[str, Pattern]]] = []
    for pattern, own in identities[first]:
        chosen, shared = {first: pattern}, own
        for role in names:
            if role != first:
                chosen[role], others = max(identities[role], key=lambda item: (len(item[1] & own), -item[0].length))
                shared = shared & others
        if len(shared) >= least:
            cost = sum(pattern.length for pattern in chosen.values())
            solutions.append((-len(shared), cost, {role: chosen[role] for role in names}))
    solutions.sort(key=lambda solution: solution[:2])
    return [chosen for number, _, chosen in solutions if number == solutions[0][0]]


class NamedFiles:
    """The image files of one folder, found by the names of scenes.

    A scene's file has its name, or its name with the one beginning or end that all names of the folder have in common.
    """

    def __init__(self, index: Mapping[str, Path]) -> None:
        """Prepare to find files.

        Args:
            index: Files by name, as `images.index` returns them.
        """
        self.index = index
        self._by_identity: dict[str, dict[Path, Pattern]] = {}
        for pattern in reversed(_candidates(list(index))):
            for name, path in index.items():
                if identity := pattern.identify(name):
                    self._by_identity.setdefault(identity, {})[path] = pattern

    def find(self, scene: str) -> Path | None:
        """Return a scene's file; None when there is none.

        Raises:
            InputError: Several files could be meant.
        """
        if scene in self.index:
            return self.index[scene]
        scenes = (scene, scene[:-1]) if re.search(r"\d[DN]$", scene) else (scene,)
        found = {path: pattern for name in scenes for path, pattern in self._by_identity.get(name, {}).items()}
        if len(found) > 1:
            meant = ", ".join(f"{path.name} by {pattern}" for path, pattern in found.items())
            raise InputError(f"{scene} could be {meant}; give a pattern of the names.")
        return next(iter(found), None)


def _candidates(names: Sequence[str]) -> list[Pattern]:
    """Return the patterns that fit all names of a folder and cut at the edges of words, the shortest first."""
    prefix = _common_prefix(names)
    suffix = _common_prefix([name[::-1] for name in names])[::-1]
    shortest = min(map(len, names))
    prefixes = [prefix[:end] for end in range(len(prefix) + 1) if all(_can_begin(name, end) for name in names)]
    ends = range(len(suffix) + 1)
    suffixes = [suffix[start:] for start in ends if all(_can_end(name, len(suffix) - start) for name in names)]
    found = [Pattern(start, end) for start in prefixes for end in suffixes if len(start) + len(end) < shortest]
    if all(re.search(r"\d[DN]$", name) for name in names):
        found.append(Pattern(suffix=_DAY_OR_NIGHT))
    return sorted(found, key=lambda pattern: pattern.length)


def _common_prefix(names: Sequence[str]) -> str:
    first, last = min(names), max(names)  # in alphabetical order all others lie between them
    same = (number for number, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: next(same, min(len(first), len(last)))]


def _can_begin(name: str, length: int) -> bool:
    """Return whether a prefix can be so long: what is left begins with a letter or a number of its own."""
    return length == 0 or (length < len(name) and name[length].isalnum() and _is_edge(name, length))


def _can_end(name: str, length: int) -> bool:
    """Return whether a suffix can be so long."""
    cut = len(name) - length
    return length == 0 or (cut > 0 and name[cut - 1].isalnum() and _is_edge(name, cut))


def _is_edge(name: str, position: int) -> bool:
    """Return whether a name can be cut there: never within a number or a word."""
    if position in (0, len(name)):
        return True
    before, after = name[position - 1], name[position]
    if not (before.isalnum() and after.isalnum()):
        return True
    if before.isdigit() or after.isdigit():
        return before.isdigit() != after.isdigit()
    capitals = name[max(position - 2, 0) : position]
    return (before.islower() and after.isupper()) or (after.islower() and len(capitals) == 2 and capitals.isupper())


def _partners(names: Mapping[str, Sequence[str]], patterns: Mapping[str, Pattern]) -> dict[str, tuple[str, ...]]:
    """Return the partners of each name of the first role."""
    by_identity = {role: {pattern.identify(name): name for name in names[role]} for role, pattern in patterns.items()}
    first, *others = by_identity.values()
    return {name: tuple(other.get(identity, "") for other in others) for identity, name in first.items()}


def _unmatched(indexes: Mapping[str, Mapping[str, Path]], folders: Mapping[str, Path]) -> str:
    sides = "; ".join(
        f"{role} in {folders[role]}: {_shown(path.name for path in index.values())}" for role, index in indexes.items()
    )
    return f"no name is the same in all folders{difference(*indexes.values())}. Found {sides}. {_advice(folders)}"


def difference(*sides: Iterable[str]) -> str:
    """Return in words what equal names would take; empty when it is not seen."""
    for change, normalise in (
        ("leading zeros", lambda name: re.sub(r"\d+", lambda number: number[0].lstrip("0") or "0", name)),
        ("upper and lower case", str.casefold),
        ("spaces", lambda name: re.sub(r"[\s_-]+", "", name)),
    ):
        if set.intersection(*({normalise(name) for name in side} for side in sides)):
            return f"; they differ in {change}"
    return ""


def _advice(folders: Mapping[str, Path]) -> str:
    examples = {"infrared": '"IR{}.png"', "visible": '"VIS{}.png"', "fused": '"Fuse{}.png"'}
    return f"Rename them, or give a pattern for each: --names {' '.join(examples[role] for role in folders)}."


def _listed(patterns: Mapping[str, Pattern]) -> str:
    return ", ".join(f"{role} {pattern}" for role, pattern in patterns.items())


def _shown(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _SHOWN:,} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more
