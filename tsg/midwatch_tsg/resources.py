"""Guides as documents for MCP clients: `midwatch://guides`, and each guide's Markdown (`midwatch.resources`)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from midwatch_contracts.command import Settings
from midwatch_contracts.errors import UnknownResourceError
from midwatch_contracts.resources import MARKDOWN, ResourceInfo, ResourceText, TemplateInfo, id_of
from midwatch_tsg.errors import GuideError
from midwatch_tsg.guide import library_folder, load
from midwatch_tsg.model import Guide

_SHOWN = 12
Stamp = tuple[tuple[str, int, int], ...]


class GuideResources:
    """The library and the user's folders, read again when a file changes."""

    root = "midwatch://guides"

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)
        self._stamp: Stamp | None = None
        self._guides: Mapping[str, Guide] = {}
        self._problems: Sequence[str] = ()

    def resources(self) -> Sequence[ResourceInfo]:
        """Return the index, then each guide by id."""
        index = ResourceInfo(
            uri=self.root,
            name="guides",
            title="Troubleshooting guides",
            description="Which guide is for which alert or symptom.",
            mime_type=MARKDOWN,
        )
        return [
            index,
            *(
                ResourceInfo(
                    uri=f"{self.root}/{guide.id}",
                    name=guide.id,
                    title=guide.title,
                    description=f"For {_about(guide)}." if _about(guide) else guide.title,
                    mime_type=MARKDOWN,
                )
                for _, guide in sorted(self._read().items())
            ),
        ]

    def templates(self) -> Sequence[TemplateInfo]:
        """Return the form of a guide's URI."""
        return [
            TemplateInfo(
                uri_template=f"{self.root}/{{id}}",
                name="guide",
                title="One guide",
                description="A troubleshooting guide as Markdown: what to look at, in which order, and what it means.",
                mime_type=MARKDOWN,
            )
        ]

    def read(self, uri: str) -> ResourceText:
        """Return the index, or a guide as it was written.

        Raises:
            UnknownResourceError: there is no such guide.
        """
        guides = self._read()
        if uri == self.root:
            return ResourceText(text=_index(guides, self._problems), mime_type=MARKDOWN)
        guide = guides.get(id_of(self.root, uri) or "")
        if guide is None:
            near = ", ".join(sorted(guides)[:_SHOWN])
            raise UnknownResourceError(f"there is no such guide: {self.root} lists them ({near})")
        return ResourceText(text=Path(guide.file).read_text("utf-8"), mime_type=MARKDOWN)

    def ids(self) -> Sequence[str]:
        """Return the ids of guides."""
        return sorted(self._read())

    def _read(self) -> Mapping[str, Guide]:
        folders = (library_folder(), *self._folders)
        stamp = _stamp(folders)
        if stamp != self._stamp:
            self._guides, self._problems = _usable(folders)
            self._stamp = stamp
        return self._guides


def provide(settings: Settings) -> GuideResources:
    """Return the guides that `midwatch guide list` finds."""
    return GuideResources(settings.guides)


def _stamp(folders: Sequence[Path]) -> Stamp:
    files = [path for folder in folders for path in sorted(folder.glob("*.md"))]
    return tuple((str(path), found.st_mtime_ns, found.st_size) for path in files for found in [path.stat()])


def _usable(folders: Sequence[Path]) -> tuple[dict[str, Guide], list[str]]:
    """Return the guides by id, those of later folders first, and why the others cannot be used."""
    guides: dict[str, Guide] = {}
    problems: list[str] = []
    for path in (path for folder in folders for path in sorted(folder.glob("*.md"))):
        try:
            guide = load(path)
        except GuideError as error:
            # One that does not parse must not hide those that do; `midwatch guide lint` tells the rest.
            problems.append(str(error))
        else:
            guides[guide.id] = guide
    return guides, problems


def _about(guide: Guide) -> str:
    return "; ".join([*guide.alerts, *guide.symptoms])


def _index(guides: Mapping[str, Guide], problems: Sequence[str]) -> str:
    lines = ["# Troubleshooting guides", "", *(f"Left out, for it cannot be used: {problem}\n" for problem in problems)]
    lines += ["| guide | title | alerts | symptoms |", "|---|---|---|---|"]
    lines += [
        f"| [`{guide.id}`]({GuideResources.root}/{guide.id}) | {guide.title} | {', '.join(guide.alerts)} | "
        f"{'; '.join(guide.symptoms)} |"
        for _, guide in sorted(guides.items())
    ]
    return "\n".join(lines) + "\n"
