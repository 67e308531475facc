"""A text with the edits that are to be made in it, and the parts of block and flow collections as whole lines."""

from collections.abc import Mapping, Sequence

from midwatch_mcp.safe_apply.as_git import nodes

_BREAKS = "\n\r\x85\u2028\u2029"
"""What ends a line for YAML 1.1."""
_MARK = "\ufeff"


class Lines:
    """A text and its edits, which do not overlap."""

    def __init__(self, text: str) -> None:
        self.newline = "\r\n" if "\r\n" in text else "\n"
        self._open = not text.endswith(("\n", "\r"))
        """Whether the last line has no end; it has one while edits are made."""
        self.text = text + self.newline if self._open else text
        self._edits: list[tuple[int, int, str]] = []

    def edit(self, start: int, end: int, text: str) -> None:
        """Put `text` in the place of what stands from `start` to `end`."""
        self._edits.append((start, end, text))

    def results(self) -> list[str]:
        """Return what comes of the edits: first with its last line as open as it was, then with an end."""
        found: list[str] = []
        at = 0
        for start, end, text in sorted(self._edits, key=lambda edit: (edit[0], edit[1] > edit[0])):
            if start < at:
                return []
            found += [self.text[at:start], text]
            at = end
        whole = "".join([*found, self.text[at:]])
        return [whole.removesuffix(self.newline), whole] if self._open else [whole]

    # Places

    def line_start(self, at: int) -> int:
        """Return where the line of an offset begins."""
        while at > 0 and self.text[at - 1] not in _BREAKS:
            at -= 1
        return at + 1 if self.text.startswith(_MARK, at) else at

    def line_end(self, at: int) -> int:
        """Return where the line of an offset ends, before its break."""
        while at < len(self.text) and self.text[at] not in _BREAKS:
            at += 1
        return at

    def next_line(self, at: int) -> int:
        """Return where the line after that of an offset begins."""
        end = self.line_end(at)
        return end + (2 if self.text.startswith("\r\n", end) else 1 if end < len(self.text) else 0)

    def column(self, at: int) -> int:
        """Return the column of an offset, from 0."""
        return at - self.line_start(at)

    def number(self, at: int) -> int:
        """Return the number of the line of an offset, from 1."""
        return self.text.count("\n", 0, at) + 1

    def first(self, node: nodes.Node) -> int:
        """Return where a node's own text begins, behind its anchor."""
        if isinstance(node, nodes.Mapping) and not node.flow and node.entries:
            return node.entries[0].key.start
        if isinstance(node, nodes.Sequence) and not node.flow and node.dashes:
            return node.dashes[0]
        return node.start

    def last(self, node: nodes.Node) -> int:
        """Return an offset on the last line that a node takes; blank lines behind it are not its own."""
        if isinstance(node, nodes.Mapping) and not node.flow and node.entries:
            entry = max(node.entries, key=lambda one: one.key.start)
            if entry.value.end >= entry.colon:
                return self.last(entry.value)
        if isinstance(node, nodes.Sequence) and not node.flow and node.items:
            return max(self.last(node.items[-1]), node.dashes[-1])
        if isinstance(node, nodes.Scalar) and node.style == "block":
            header = self.text[node.at : self.line_end(node.at)].partition("#")[0]
            if "+" in header:
                return max(node.at, node.end - 1)
            return node.at + len(self.text[node.at : node.end].rstrip(_BREAKS + " ").rstrip(_BREAKS))
        return node.end

    def indent_below(self, start: int, end: int) -> int:
        """Return how far the first line with text below that of `start` is indented; 0 for none."""
        at = self.next_line(start)
        while at < end:
            line = self.text[at : self.line_end(at)]
            if line.strip(" "):
                return len(line) - len(line.lstrip(" "))
            at = self.next_line(at)
        return 0

    # Parts

    def block_parts(
        self, starts: Sequence[int], values: Sequence[nodes.Node], gone: set[int], fresh: Mapping[int, Sequence[str]]
    ) -> None:
        """Cut entries or items out of a block collection, and put lines in before those of a number.

        Comments on lines of their own stay. What stays is at least one part.
        """
        leading = self.text[self.line_start(starts[0]) : starts[0]].strip(" ") != ""
        for at in sorted(gone):
            ends = self.last(values[at])
            if at == 0 and leading:
                # The first of several behind a dash: the next one moves up to it, unless a comment stands between.
                stays = min(set(range(len(starts))) - gone)
                between = self.text[self.next_line(self.last(values[stays - 1])) : self.line_start(starts[stays])]
                if stays == 1 and not between:
                    self.edit(starts[0], starts[1], "")
                else:
                    self.edit(starts[0], ends, "")
            else:
                self.edit(self.line_start(starts[at]), self.next_line(ends), "")
        for before, lines in fresh.items():
            if not lines:
                continue
            text = "".join(line + self.newline for line in lines)
            if before:
                after = self.next_line(self.last(values[before - 1]))
                self.edit(after, after, text)
            elif leading:
                self.edit(starts[0], starts[0], text.lstrip(" ") + " " * self.column(starts[0]))
            else:
                self.edit(self.line_start(starts[0]), self.line_start(starts[0]), text)

    def flow_parts(
        self, starts: Sequence[int], values: Sequence[nodes.Node], gone: set[int], fresh: Mapping[int, Sequence[str]]
    ) -> None:
        """Do the same inside of brackets, with texts in place of lines."""
        kept = max(set(range(len(starts))) - gone)
        for at in gone:
            if at < kept:
                self.edit(starts[at], starts[at + 1], "")
        own_line = self.text[self.line_start(starts[kept]) : starts[kept]].strip(" ") == ""
        gap = f",{self.newline}{' ' * self.column(starts[kept])}" if own_line else ", "
        behind = [text for before, texts in sorted(fresh.items()) if before > kept for text in texts]
        if behind or kept + 1 < len(starts):
            self.edit(values[kept].end, values[-1].end, "".join(gap + text for text in behind))
        for before, texts in fresh.items():
            if before <= kept:
                place = starts[before]
                self.edit(place, place, "".join(text + gap for text in texts))
