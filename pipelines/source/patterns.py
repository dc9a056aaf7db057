"""Patterns of file names, as shells and WebDataset have them: train-*.tar, [ab].tar, a-{000..012}.tar, {train,val}.tar."""

import fnmatch
import re

BRACES = re.compile(r"(\{[^{}]*\})")


def matches(pattern: str, name: str) -> bool:
    """Whether a name is one of a pattern."""
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
    match = re.fullmatch(regex, name)
    return match is not None and all(within(*ends, number) for ends, number in zip(ranges, match.groups(), strict=True))


def of_glob(pattern: str) -> str:
    return "".join(re.findall(r"^\(\?s:(.*)\)\\[Zz]$", fnmatch.translate(pattern)))


def within(first: str, last: str, number: str) -> bool:
    """Whether a number lies between two, and has as many digits, if these have leading zeros."""
    return int(first) <= int(number) <= int(last) and number == f"{int(number):0{len(first)}d}"
