"""A YAML text with the positions of its nodes, so that one part can be changed without touching the rest."""

import zlib
from dataclasses import dataclass
from functools import cached_property

import yaml


def pointer(*parts):
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def typo(word, seed=""):
    """Return the word with a typo: two letters swapped, one left out, or one doubled."""
    middle = max(1, len(word) // 2)
    swaps = [i for i in range(1, len(word) - 1) if word[i] != word[i + 1]]
    kinds = ["double"] if len(word) < 4 or not swaps else ["swap", "drop", "double"]
    kind = kinds[zlib.crc32((seed + word).encode()) % len(kinds)]
    if kind == "swap":
        at = min(swaps, key=lambda i: abs(i - middle))
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:middle] + word[middle + 1 :] if kind == "drop" else word[:middle] + word[middle - 1] + word[middle:]


@dataclass(frozen=True)
class Entry:
    """A key of a mapping and its value; `index` counts from 0."""

    mapping: yaml.MappingNode
    index: int
    at: str

    @property
    def key(self):
        return self.mapping.value[self.index][0]

    @property
    def value(self):
        return self.mapping.value[self.index][1]

    @property
    def name(self):
        return self.key.value


@dataclass(frozen=True)
class Page:
    text: str

    @cached_property
    def root(self):
        return yaml.compose(self.text, Loader=yaml.SafeLoader)

    @cached_property
    def data(self):
        return yaml.safe_load(self.text)

    def node(self, *parts):
        """Return the node at a pointer; None if there is none."""
        node = self.root
        for part in parts:
            if isinstance(node, yaml.MappingNode):
                node = next((value for key, value in node.value if key.value == part), None)
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
            else:
                return None
        return node

    def entries(self, *parts):
        """Return the entries of the mapping at a pointer; none if there is no mapping."""
        node = self.node(*parts)
        if not isinstance(node, yaml.MappingNode):
            return []
        return [Entry(node, i, pointer(*parts, key.value)) for i, (key, _) in enumerate(node.value)]

    def entry(self, *parts):
        return next((e for e in self.entries(*parts[:-1]) if e.name == parts[-1]), None)

    def every_entry(self, *parts):
        """Yield the entries of all mappings below, with the mapping's pointer."""
        node = self.node(*parts)
        if isinstance(node, yaml.MappingNode):
            for entry in self.entries(*parts):
                yield parts, entry
                yield from self.every_entry(*parts, entry.name)
        if isinstance(node, yaml.SequenceNode):
            for i in range(len(node.value)):
                yield from self.every_entry(*parts, i)

    def line(self, index):
        return self.text.count("\n", 0, index) + 1

    def line_of(self, node):
        return node.start_mark.line + 1

    def splice(self, start, end, new):
        return self.text[:start] + new + self.text[end:]

    def end(self, node):
        """Return where a node ends, without the white space and comments after it."""
        if isinstance(node, yaml.ScalarNode) or node.flow_style:
            return node.start_mark.index + len(self.raw(node).rstrip())
        last = node.value[-1]
        return self.end(last[1] if isinstance(last, tuple) else last)

    def raw(self, node):
        return self.text[node.start_mark.index : node.end_mark.index]

    def replace(self, node, new):
        """Replace a node by a value on one line; a key's value stays after the key."""
        start = node.start_mark.index
        before = self.text[:start].rstrip()
        behind = isinstance(node, yaml.CollectionNode) and not node.flow_style and before.endswith(":")
        return (
            self.splice(len(before), self.end(node), " " + new) if behind else self.splice(start, self.end(node), new)
        )

    def rename(self, entry, new):
        return self.splice(entry.key.start_mark.index, entry.key.end_mark.index, new)

    def remove(self, entry):
        pairs, start = entry.mapping.value, entry.key.start_mark.index
        if len(pairs) == 1:
            return self.replace(entry.mapping, "{}")
        if entry.index + 1 < len(pairs):
            return self.splice(start, pairs[entry.index + 1][0].start_mark.index, "")
        if entry.mapping.flow_style:
            return self.splice(self.end(pairs[entry.index - 1][1]), self.end(entry.value), "")
        return self.splice(self.text.rindex("\n", 0, start), self.end(entry.value), "")

    def insert(self, mapping, line, before=0):
        """Put `key: value` before the entry of that number."""
        if not mapping.value:
            return self.replace(mapping, "{" + line + "}")
        key = mapping.value[before][0]
        gap = ", " if mapping.flow_style else "\n" + " " * key.start_mark.column
        return self.splice(key.start_mark.index, key.start_mark.index, line + gap)

    def add(self, sequence, item):
        """Put an item at the end of a list in flow style."""
        at = self.end(sequence) - 1
        return self.splice(at, at, (", " if sequence.value else "") + item)

    def inside(self, node):
        """Return the start and end of the characters of a scalar: after the quote, or below the `|`."""
        start, raw = node.start_mark.index, self.raw(node).rstrip()
        if node.style in ("|", ">"):
            head = raw.index("\n") + 1
            return start + head + len(raw[head:]) - len(raw[head:].lstrip()), start + len(raw)
        quoted = node.style in ("'", '"')
        return start + quoted, start + len(raw) - quoted
