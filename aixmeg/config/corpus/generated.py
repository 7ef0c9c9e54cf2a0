"""Generated, minified, vendored and data-like files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class GeneratedConfig:
    """Generated, minified, vendored and data-like files."""

    enabled: bool = True
    """Whether the step runs."""
    markers: bool = True
    """Whether files whose first comment says that a program wrote them are dropped as `generated`."""
    names: bool = True
    """Whether files with the names of generated ones (_pb2.py, lock files …) are dropped as `generated`."""
    vendored: bool = True
    """Whether other projects' code in vendor/, third_party/ … is dropped as `vendored`."""
    vendored_folders: tuple[str, ...] = ()
    """More names of folders with other projects' code."""
    boilerplate: bool = True
    """Whether files without any line but comments and blanks are dropped as `boilerplate`."""
    minified_mean_line: float = 100.0
    """Bytes per line, blank ones aside, above which a file with little white space is `minified`; 0 disables it."""
    minified_space_share: float = 0.10
    """Share of white space below which a file with long lines is `minified`."""
    max_line_bytes: int = 20_000
    """Files with a longer line are dropped as `long_lines`; 0 disables the test."""
    max_long_lines_share: float = 0.5
    """Share of a file in lines of more than 1,000 bytes above which it is dropped as `long_lines`; 1.0 disables it."""
    min_alphanumeric_share: float = 0.20
    """Share of letters and digits in the visible bytes below which a file is `low_alphanumeric`; 0 disables it."""
    data_min_bytes: int = 2048
    """Shorter files are never `data_like`, nor dropped for their share of long lines."""
    max_numbers_share: float = 0.6
    """Share of a file's visible bytes in numbers above which it is `data_like`; 1.0 disables the test."""
    max_quoted_share: float = 0.65
    """Share of a file's bytes between quotes above which it is `data_like`; 1.0 disables the test."""
    max_encoded_share: float = 0.5
    """Share of a file's bytes in base64 or hexadecimal runs above which it is `data_like`; 1.0 disables the test."""

    def problems(self, where: str) -> Iterator[str]:
        """Broken rules, as sentences."""
        for name in ("minified_space_share", "max_long_lines_share", "min_alphanumeric_share", "max_numbers_share",
                     "max_quoted_share", "max_encoded_share"):  # fmt: skip
            if not 0.0 <= getattr(self, name) <= 1.0:
                yield f"{where}.{name}={getattr(self, name)} must be between 0 and 1"
        for name in ("minified_mean_line", "max_line_bytes", "data_min_bytes"):
            if getattr(self, name) < 0:
                yield f"{where}.{name}={getattr(self, name)} must be zero or more"
        for folder in self.vendored_folders:
            if "/" in folder or not folder:
                yield f"{where}.vendored_folders holds {folder!r}; give names of folders, without a slash"
