"""From a file's name and first line to its language, and from its text to a syntax tree.

The grammars are the tree-sitter wheels this project depends on; a grammar is loaded when its first file is
met, once a thread, because a tree-sitter parser must not be shared between threads.
"""

import importlib
import posixpath
import re
import threading
import zlib

from tree_sitter import Language, Parser, Point, Tree

# Text past this is not parsed: an outline has no room for what stands there.
MAX_PARSED_BYTES = 400_000
_LARGE = 8_192
_BLOCK = 4_096

_GRAMMARS = {
    "python": ("tree_sitter_python", "language"),
    "javascript": ("tree_sitter_javascript", "language"),
    "typescript": ("tree_sitter_typescript", "language_typescript"),
    "tsx": ("tree_sitter_typescript", "language_tsx"),
    "go": ("tree_sitter_go", "language"),
    "rust": ("tree_sitter_rust", "language"),
    "java": ("tree_sitter_java", "language"),
    "c": ("tree_sitter_c", "language"),
    "cpp": ("tree_sitter_cpp", "language"),
    "bash": ("tree_sitter_bash", "language"),
    "ruby": ("tree_sitter_ruby", "language"),
    "c-sharp": ("tree_sitter_c_sharp", "language"),
    "php": ("tree_sitter_php", "language_php"),
}

_EXTENSIONS = {
    "python": "py pyi pyw pyx pxd",
    "javascript": "js mjs cjs jsx",
    "typescript": "ts mts cts",
    "tsx": "tsx",
    "go": "go",
    "rust": "rs",
    "java": "java",
    "c": "c h",
    "cpp": "cc cpp cxx hh hpp hxx inl ipp cu cuh",
    "bash": "sh bash zsh ksh bats",
    "ruby": "rb rake gemspec",
    "c-sharp": "cs",
    "php": "php phtml",
    "html": "html htm xhtml",
    "json": "json jsonl ndjson geojson webmanifest",
    "notebook": "ipynb",
    "yaml": "yaml yml",
    "toml": "toml",
    "ini": "ini cfg conf properties editorconfig env",
    "csv": "csv tsv",
    "xml": "xml xsd xsl svg pom plist xlf",
    "css": "css scss sass less",
    "sql": "sql",
    "lock": "lock",
    "protobuf": "proto",
    "markdown": "md markdown mdx",
    "rst": "rst",
    "kotlin": "kt kts",
    "scala": "scala",
    "swift": "swift",
    "lua": "lua",
    "perl": "pl pm",
    "elixir": "ex exs",
    "haskell": "hs",
    "julia": "jl",
    "dart": "dart",
    "zig": "zig",
    "assembly": "s asm",
    "terraform": "tf hcl",
    "powershell": "ps1 psm1",
    "vue": "vue svelte",
    "starlark": "bzl bazel star",
    "makefile": "mk mak",
    "cmake": "cmake",
    "nim": "nim",
    "r": "r",
    "patch": "patch diff",
}
_BY_EXTENSION = {extension: language for language, line in _EXTENSIONS.items() for extension in line.split()}

_BY_NAME = {
    "makefile": "makefile",
    "gnumakefile": "makefile",
    "dockerfile": "dockerfile",
    "containerfile": "dockerfile",
    "cmakelists.txt": "cmake",
    "rakefile": "ruby",
    "gemfile": "ruby",
    "vagrantfile": "ruby",
    "jenkinsfile": "kotlin",
    "build": "starlark",
    "workspace": "starlark",
    "go.mod": "gomod",
    ".gitignore": "patterns",
    ".dockerignore": "patterns",
    ".gitattributes": "patterns",
    "codeowners": "patterns",
}
_REQUIREMENTS = re.compile(r"(?:requirements|constraints)[\w.-]*\.(?:txt|in)$")
_INTERPRETERS = re.compile(r"^#!.*?\b(python|node|bash|zsh|ksh|dash|sh|ruby|php|perl|lua)[\d.]*\b")
_BY_INTERPRETER = {"node": "javascript", "zsh": "bash", "ksh": "bash", "dash": "bash", "sh": "bash"}
_CPP_HEADER = re.compile(r"^\s*(?:class|namespace|template\s*<|using\s+\w|public:|private:)", re.MULTILINE)

_PROPER = {
    "javascript": "JavaScript",
    "typescript": "TypeScript",
    "tsx": "TypeScript",
    "cpp": "C++",
    "c-sharp": "C#",
    "php": "PHP",
    "bash": "shell",
    "html": "HTML",
    "json": "JSON",
    "yaml": "YAML",
    "toml": "TOML",
    "ini": "configuration",
    "csv": "CSV",
    "xml": "XML",
    "css": "CSS",
    "sql": "SQL",
    "rst": "reStructuredText",
    "gomod": "Go module",
    "patterns": "pattern",
    "lock": "lock",
    "text": "text",
    "requirements": "requirements",
    "notebook": "notebook",
    "makefile": "make",
    "vue": "component",
}


def detect(name: str, text: str = "") -> str:
    """The language of a file by its name, else by its `#!` line, else `text`."""
    base = posixpath.basename(name.rstrip("/")).lower()
    if base in _BY_NAME:
        return _BY_NAME[base]
    if _REQUIREMENTS.search(base):
        return "requirements"
    stem, dot, extension = base.rpartition(".")
    if dot and extension in _BY_EXTENSION:
        language = _BY_EXTENSION[extension]
        return "cpp" if language == "c" and extension == "h" and _CPP_HEADER.search(text[:20_000]) else language
    if stem.startswith(("dockerfile", "makefile")):
        return _BY_NAME.get(stem.split(".")[0], "text")
    found = _INTERPRETERS.match(text[:200])
    return _BY_INTERPRETER.get(found[1], found[1]) if found else "text"


def proper(language: str) -> str:
    """The language as it is written in a sentence."""
    return _PROPER.get(language, language.capitalize())


class _Parsers(threading.local):
    """The parsers of one thread, by language, and the block they are fed with."""

    def __init__(self) -> None:
        self.known: dict[str, Parser] = {}
        self.block = bytearray(_BLOCK)

    def get(self, language: str) -> Parser:
        if language not in self.known:
            module, function = _GRAMMARS[language]
            grammar = getattr(importlib.import_module(module), function)()
            self.known[language] = Parser(Language(grammar))
        return self.known[language]


_parsers = _Parsers()


class _Bounds:
    """Feeds the parser and stops it when its work is out of proportion to the text.

    Error recovery and external scanners are quadratic on some inputs: 200 kB of `[]` kept the bash grammar
    busy for 82 s, 200 kB of quotes the Rust one for 3 s. Work is counted, not timed, so the same text always
    gives the same outline. Measured on 50 MB of real sources, the parser reports 2.1 times or less for 100
    bytes, 8 errors or less for a kilobyte, and reads a block of a file larger than 20 kB 4 times or less.
    """

    def __init__(self, data: bytes, block: bytearray) -> None:
        self.data = data
        self.block = block
        self.reads = 200 + 12 * (len(data) // _BLOCK)
        self.reports = 200 + len(data) // 35
        self.errors = 300 + len(data) // 300

    def read(self, offset: int, _point: Point) -> bytes | bytearray:
        """The block at `offset`, filled up with line ends; the end of the text once all reads are used up.

        The binding never releases what a read callback returns (tree-sitter 0.26.1: all text ever parsed stayed in
        memory), so it is given the same block each time. The parser looks at one block only, the one read last.
        """
        self.reads -= 1
        if self.reads < 0 or offset >= len(self.data):
            return b""
        self.block[:] = self.data[offset : offset + _BLOCK].ljust(_BLOCK, b"\n")
        return self.block

    def stop(self, _offset: int, error: bool) -> bool:
        """True when the parser has to give up; it asks about every hundredth step."""
        self.reports -= 1
        self.errors -= error
        return self.reports < 0 or self.errors < 0


def _worth_parsing(data: bytes) -> bytes:
    """The part of the text that is parsed: a short beginning of what is one pattern over and over.

    Ambiguous grammars take quadratic time on such texts (67 kB of `template<` kept the Java grammar busy for 2 s), and
    they outline to nothing. Sources compress three to ten times, these a hundred times and more.
    """
    data = data[:MAX_PARSED_BYTES]
    if len(data) > _LARGE and len(zlib.compress(data, 1)) * 25 < len(data):
        return data[:_LARGE]
    return data


def parse(language: str, data: bytes) -> Tree | None:
    """A syntax tree of the text's first 400 kB, or None where there is no grammar or parsing got out of hand."""
    if language not in _GRAMMARS:
        return None
    parser = _parsers.get(language)
    bounds = _Bounds(_worth_parsing(data), _parsers.block)
    try:
        return parser.parse(bounds.read, progress_callback=bounds.stop)
    except ValueError:  # how the binding says that the callback stopped it
        parser.reset()
        return None
