"""Class names as names of folders, on every system: a class may be called anything."""

import re
from hashlib import sha256

LONGEST = 180  # bytes of a name; file systems take 255
# What no folder's name may hold somewhere, ends in, or hides by; and what Windows has taken for itself.
UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*%]|^[._~ ]|[. ]$')
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def folder_name(label: str) -> str:
    """A class's folder: its name, with what is not safe as %XX of its UTF-8. Different classes have different folders."""
    if RESERVED.fullmatch(label):
        return escaped(label[0]) + folder_name(label[1:])
    name = UNSAFE.sub(lambda match: escaped(match[0]), label) or "%"
    if len(name.encode()) > LONGEST:
        return f"{name.encode()[:LONGEST].decode(errors='ignore')}%{sha256(label.encode()).hexdigest()[:8]}"
    return name


def escaped(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())
