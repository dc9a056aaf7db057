"""Patterns of file names, as shells and WebDataset have them: train-*.tar, [ab].tar, a-{000..012}.tar, {train,val}.tar."""

import fnmatch
import re
from collections.abc import Sequence

BRACES = re.compile(r"(\{[^{}]*\})")
MOST = 100_000  # numbers of a range that are looked for


def matches(pattern: str, name: str) -> bool:
    """Whether a name is one of a pattern."""
    regex, ranges = parsed(pattern)
    match = re.fullmatch(regex, name)
    return match is not None and all(within(*ends, number) for ends, number in zip(ranges, match.groups(), strict=True))


def absent(pattern: str, names: Sequence[str]) -> list[str]:
    """Numbers of a pattern's ranges, {000..012}, that none of the names which match it has."""
    regex, ranges = parsed(pattern)
    numbers = [match.groups() for name in names if (match := re.fullmatch(regex, name))]
    missing = []
    for place, (first, last) in enumerate(ranges):
        there = {int(groups[place]) for groups in numbers}
        named = range(int(first), min(int(last), int(first) + MOST) + 1)
        missing += [f"{number:0{len(first)}d}" for number in named if number not in there]
    return missing


def parsed(pattern: str) -> tuple[str, list[tuple[str, str]]]:
    """A pattern as a regular expression, and the ends of its ranges, each of which is a group."""
    ranges: list[tuple[str, str]] = []
    regex = ""
    for piece in BRACES.split(pattern):
        if numbers := re.fullmatch(r"\{(\d+)\.\.(\d+)\}", piece):
            ranges.append((numbers[1], numbers[2]))
            regex += r"(\d+)"
        elif BRACES.fullmatch(piece):
            regex += f"(?:{'|'.join(map(of_glob, piece[1:-1].split(',')))})"
        else:
            regex += of_glob(piece)
    return regex, ranges


def of_glob(pattern: str) -> str:
    return "".join(re.findall(r"^\(\?s:(.*)\)\\[Zz]$", fnmatch.translate(pattern)))


def within(first: str, last: str, number: str) -> bool:
    """Whether a number lies between two, and has as many digits, if these have leading zeros."""
    return int(first) <= int(number) <= int(last) and number == f"{int(number):0{len(first)}d}"
