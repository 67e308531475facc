"""Where guides come from: files, folders, and the library that comes with Midwatch."""

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from midwatch_tsg.errors import GuideError, GuideInvalidError, UnknownGuideError
from midwatch_tsg.model import Guide
from midwatch_tsg.parser import parse


def load(path: Path) -> Guide:
    """Read one guide.

    Raises:
        GuideInvalidError: when it does not parse; it carries every problem.
        GuideError: when the file cannot be read.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GuideError(f"{path} cannot be read as a guide: {error}") from error
    guide, problems = parse(text, str(path))
    if guide is None or problems:
        raise GuideInvalidError(str(path), problems)
    return guide


def library_folder() -> Path:
    """Return the folder of the guides that come with Midwatch."""
    return Path(str(files("midwatch_tsg").joinpath("library")))


def library(folders: Iterable[Path] = ()) -> dict[str, Guide]:
    """Return guides by id: those that come with Midwatch, and those of `folders`, which may replace them by id.

    Raises:
        GuideInvalidError: when one does not parse.
        GuideError: when two files of one folder have the same id, or a folder cannot be read.
    """
    found: dict[str, Guide] = {}
    for folder in (library_folder(), *folders):
        if not folder.is_dir():
            raise GuideError(f"{folder} is no folder of guides: create it, or take it out of the configuration")
        here: dict[str, Guide] = {}
        for path in sorted(folder.glob("*.md")):
            guide = load(path)
            if guide.id in here:
                raise GuideError(f"{path} and {here[guide.id].file} have the same id {guide.id}: rename one")
            here[guide.id] = guide
        found |= here
    return found


def find(name: str, folders: Iterable[Path] = ()) -> Guide:
    """Return a guide by id, or by the path of a file that ends in `.md`.

    Raises:
        UnknownGuideError: when there is none of that id.
        GuideError: as `load` and `library`.
    """
    if name.endswith(".md"):
        return load(Path(name))
    known = library(folders)
    if name not in known:
        raise UnknownGuideError(f"there is no guide `{name}`: there are {', '.join(sorted(known)) or 'none'}")
    return known[name]
