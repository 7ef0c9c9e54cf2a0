"""Why a file is not in the corpus. Every file that is found is either kept or counted under one of these."""

from __future__ import annotations

from typing import Final

REASONS: Final = {
    "bad_name": "the file name is not valid UTF-8",
    "unsafe_path": "its path in an archive or table is absolute or leaves the folder",
    "symlink": "a symbolic link, or a hard link of an archive; links are never followed",
    "submodule": "a git submodule: the files of another repository",
    "not_a_file": "a pipe, socket or device; never opened",
    "skipped_folder": "in an archive, table or git repository: in a hidden folder, a cache or an installed dependency",
    "unknown_language": "the file name is of no language in the table",
    "no_grammar": "the language has no syntax grammar",
    "language_not_selected": "the language is not among corpus.languages",
    "too_small": "shorter than corpus.min_file_bytes",
    "too_large": "longer than corpus.max_file_bytes; never read",
    "unreadable": "the system refused to read it, or its archive's checksum differs",
    "encrypted": "encrypted in its zip archive",
    "damaged_archive": "stands for all that follows in an archive or table that is cut off or damaged",
    "archive_bomb": "expands beyond corpus.reading.max_expansion; in a stream, stands for all that follows",
    "no_commit": "the git repository has no commit of the name corpus.reading.git_ref",
    "lfs_pointer": "git LFS keeps the file elsewhere",
    "invalid_json": "the row is not JSON",
    "missing_column": "the row has no text",
    "wrong_type": "a column of the row is of another type than it should be",
    "lone_surrogate": "it holds half of a surrogate pair, which is no character",
    "changed": "it changed while the corpus was built",
    "nul_bytes": "it holds NUL bytes, so it is binary or UTF-16",
    "invalid_utf8": "it is not valid UTF-8",
    "vendored": "another project's code, by its folder or name (corpus.generated.vendored)",
    "generated": "a program wrote it, as its name or first comment says (corpus.generated)",
    "minified": "long lines with hardly any white space (corpus.generated.minified_mean_line)",
    "long_lines": "lines longer than corpus.generated.max_line_bytes, or most of it in lines of more than 1,000 bytes",
    "low_alphanumeric": "hardly any letters and digits (corpus.generated.min_alphanumeric_share)",
    "data_like": "mostly numbers, strings or encoded data (corpus.generated)",
    "boilerplate": "nothing but comments and blank lines (corpus.generated.boilerplate)",
    "prose_weight": "not drawn into the share of prose that is kept (corpus.prose.weight)",
    "prose_boilerplate": "a licence, change log, list of authors or the like (corpus.prose.boilerplate)",
    "prose_no_answer": "a question without an answer of corpus.prose.min_score",
    "prose_too_short": "fewer words than corpus.prose.min_words",
    "prose_not_words": "too many of its words have no letter (corpus.prose.min_alphabetic_share)",
    "prose_list": "too many of its lines are items of lists (corpus.prose.max_bullet_share)",
    "prose_not_english": "too few English function words (corpus.prose.min_stop_words_share)",
    "prose_repetitive": "too many of its lines or phrases repeat (corpus.prose.repetition)",
    "licence_unknown": "nothing known says under which licence it is (corpus.licence.unknown)",
    "licence_copyleft": "its licence is a copyleft, such as the GPL (corpus.licence.keep)",
    "licence_weak_copyleft": "its licence is a weak copyleft, such as the LGPL or MPL (corpus.licence.keep)",
    "licence_non_free": "its licence is not free, or it is proprietary (corpus.licence.keep)",
    "licence_permissive": "its licence is permissive, and those are not kept (corpus.licence)",
    "licence_public_domain": "it is in the public domain, and that is not kept (corpus.licence)",
    "repository_duplicate": "its repository is nearly the same as a better ranked one (corpus.near)",
    "low_rank": "its repository is among the lowest ranked (corpus.rank.drop_share)",
    "exact_duplicate": "the same bytes as a file kept before it",
    "near_duplicate": "nearly the same as a file that is kept (corpus.near)",
    "over_repository_budget": "its repository has reached corpus.max_repository_bytes",
    "syntax_errors": "the share of bytes inside syntax errors exceeds corpus.max_error_share",
    "defect_bug": "static analysis found a bug in it (corpus.defects)",
    "defect_vulnerability": "static analysis found a vulnerability in it (corpus.defects)",
    "contaminated": "it holds a solution of an evaluation set (corpus.decontaminate.benchmarks)",
    "parse_limit": "the parser took more than its bound of steps",
    "parser_crash": "the parser crashed on it",
    "parser_timeout": "the parser did not return",
}
"""Reason → one sentence, in the order in which they are tested."""

SKIPPED_FOLDERS: Final = {
    "hidden": "its name begins with a dot, as .git does",
    "generated": "caches and installed dependencies: __pycache__, node_modules …",
    "virtual_environment": "it holds pyvenv.cfg",
    "unreadable": "the system refused to list it",
    "bad_name": "its name is not valid UTF-8",
    "own_output": "the corpus is written there",
    "own_repository": "it is a repository by itself",
}
"""Why a folder was not entered → one sentence."""


class Dropped(Exception):
    """Raised by a step that drops the file at hand."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
