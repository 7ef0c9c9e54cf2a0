"""The table of ambiguous endings: what their files may be, and the patterns that tell. See `content`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Ambiguity:
    """What the files of one ending may be."""

    rules: tuple[tuple[str, str], ...]
    """(language, pattern) in the order in which they are tried; `!` begins the name of a language that the table lacks."""
    default: str | None
    """When no rule matches."""


_C_HEADER: Final = (
    ("objective-c", r"^[ \t]*(?:@(?:interface|protocol|class|implementation|end|property|import)\b|#[ \t]*import\b|"
                    r"NS_ASSUME_NONNULL_BEGIN|FOUNDATION_EXPORT\b)"),
    # Patterns that begin with a fixed string are searched for at the speed of memory.
    ("c++", r"::[~\w]"),
    ("c++", r"nullptr\b"),
    ("c++", r"_cast<"),
    ("c++", r"operator(?:[-+*/%^&|~!=<>]+|\(\)|\[\]| new| delete| bool)[ \t]*\("),
    ("c++", r"^[ \t]*(?:(?:inline[ \t]+)?namespace(?:[ \t]+[\w:]+)?[ \t]*(?:\{|\n[ \t]*\{|$)|template[ \t]*<|"
            r"using[ \t]+(?:namespace\b|[\w:]+[ \t]*(?:=|;))|"
            r"(?:class|struct)[ \t]+(?:[A-Z_]{3,}[ \t]+)?\w+(?:[ \t]+final)?[ \t]*:[ \t]*(?:\n[ \t]*)?(?:public|private|"
            r"protected|virtual)|class[ \t]+(?:[\w()]+[ \t]+){0,4}\w+[ \t]*(?:$|[{;:])|(?:public|private|protected)[ \t]*:|"
            r"(?:explicit|virtual|constexpr|friend|mutable)[ \t]|noexcept\b|"
            r"#[ \t]*include[ \t]*<(?:[a-z_]+|c(?:std\w+|math|assert|ctype|errno|float|limits|string|time))>)"),
    ("c++", r"\)[ \t]*(?:const[ \t]*)?(?:override|noexcept)\b|~\w+[ \t]*\(\)[ \t]*[;{]"),
    ("c", r"^[ \t]*(?:typedef[ \t]+(?:const[ \t]+)?(?:struct|enum|union)\b|"
          r"extern[ \t]+(?:const[ \t]+)?\w[\w \t*]{0,99}[ \t*]\w+[ \t]*[(\[;]|"
          r"(?:struct|union|enum)[ \t]+\w+[ \t]*(?:\{|\n[ \t]*\{|\*+[ \t]*\w+[ \t]*\()|"
          r"#[ \t]*(?:if[ \t]+defined[ \t]*\(?|ifdef[ \t]+)__cplusplus|"
          r"#[ \t]*include[ \t]*<(?:std(?:io|lib|int|arg|bool|def)|string|unistd|sys/\w+|errno|limits|assert)\.h>)|"
          r"\([ \t]*void[ \t]*\)[ \t]*;|\bstruct[ \t]+\w+[ \t]*\*"),
)  # fmt: skip
_PERL: Final = (
    r"^[ \t]*(?:use[ \t]+(?:strict|warnings|v?5|[A-Z]\w*(?:::\w+)*)|package[ \t]+[\w:]+[ \t]*[;{]|sub[ \t]+\w+|"
    r"(?:my|our|local)[ \t]*[$@%(]|require[ \t]+[\w:'\"]|=(?:head1|pod|cut)\b|__(?:END|DATA)__)|"
    r"\A#!.*\bperl|[$@%]\w+[ \t]*=[^=>]|\$_\b|->\{"
)
AMBIGUOUS: Final[dict[str, Ambiguity]] = {
    ".h": Ambiguity(_C_HEADER, "c++"),
    ".m": Ambiguity((
        ("objective-c", r"^[ \t]*(?:@(?:interface|implementation|protocol|class|end|import|autoreleasepool)\b|#[ \t]*(?:import|include|define|pragma|if(?:n?def)?)\b)"),
        ("mathematica", r"^[ \t]*\(\*|^[ \t]*(?:BeginPackage|Begin|Needs|Get)\[|\w\[[\w, \t]{0,60}_[\w, \t]{0,60}\][ \t]*:?=|:=|^[ \t]*<<"),
        ("!mercury", r"^[ \t]*:-[ \t]*module\b"),
        ("matlab", r"^[ \t]*(?:%|function\b|end(?:function|if|for|while)?[ \t]*;?[ \t]*(?:$|%)|classdef\b|for[ \t]+\w+[ \t]*=|(?:if|while|switch|case)\b)|"
         r"^[\w\[\](),. \t]+=[^=]|^[ \t]*\w+(?:\(.*\))?[ \t]*;"),
        ("objective-c", r"^[ \t]*(?://|/\*)"),
    ), None),
    ".pl": Ambiguity((
        ("perl", r"\A#!.*\bperl"),
        ("prolog", r"\A#!.*\b(?:swipl|prolog|gprolog)|^[ \t]*:-[ \t]*\(?\w|^[a-z]\w*(?:\([^\n]*\))?[ \t]*(?::-|-->)"),
        ("perl", _PERL),
        ("prolog", r"^[a-z]\w*\([^\n]*\)\.[ \t]*$|^[ \t]*%[%! \t]"),
    ), "perl"),
    ".pm": Ambiguity((
        ("!xpm", r"\A/\* XPM \*/"),
        ("perl", _PERL),
    ), "perl"),
    ".t": Ambiguity((
        ("perl", r"\A#!.*\bperl|^[ \t]*(?:use[ \t]+(?:strict|warnings|lib|Test|v?5|[A-Z]\w*::)|(?:my|our|local)[ \t]*[$@%(]|BEGIN[ \t]*\{|(?:use|plan|ok|is)[ \t(])"),
        ("!raku", r"^[ \t]*use[ \t]+v6"),
        ("!turing", r"^[ \t]*(?:var|proc|function|procedure)[ \t]+\w+[ \t]*:"),
        ("shell", r"\A#!.*\b(?:ba|da|z|k)?sh\b|^[ \t]*\.[ \t]+\S|^[ \t]*(?:\$|>)[ \t]"),
    ), "perl"),
    ".v": Ambiguity((
        ("verilog", r"^[ \t]*(?:(?:macro)?module[ \t]+[\w\\$]+[ \t]*(?:[(#;]|$)|endmodule\b|`timescale\b)"),
        ("!coq", r"^[ \t]*(?:Require|From[ \t]+\w+[\w.]*[ \t]+Require|Import|Export|Theorem|Lemma|Definition|Inductive|Fixpoint|Section|Proof|Notation|Hypothesis|Variable|Module|Axiom|Ltac|Set|Open[ \t]+Scope|Global|Local)\b[^;]*\.[ \t]*$|\(\*"),
        ("!vlang", r"^(?:pub[ \t]+)?fn[ \t]+\w*|^module[ \t]+\w+[ \t]*$"),
        ("verilog", r"^[ \t]*(?:module|endmodule|always|assign|wire|reg|input|output|inout|parameter|localparam|primitive|task|initial)\b|^[ \t]*`(?:define|timescale|include|ifdef|ifndef|default_nettype)"),
    ), None),
    ".ts": Ambiguity((
        ("!qt-linguist", r"\A(?:\xef\xbb\xbf)?\s*<(?:\?xml|!DOCTYPE[ \t]+TS|TS\b)"),
        ("!mpeg", r"\AG[\x00-\x1f]"),
    ), "typescript"),
    ".tsx": Ambiguity((("!tiled-set", r"\A(?:\xef\xbb\xbf)?\s*<\?xml"),), "tsx"),
    ".r": Ambiguity((
        ("!rebol", r"\bREBOL[ \t]*\["),
        ("c", r"\A\s*/\*|^[ \t]*#[ \t]*(?:include|define)\b"),
        ("r", r"<-|<<-|^[ \t]*#|\b(?:function|library|require|source|setMethod|c)[ \t]*\(|%%"),
    ), "r"),
    ".rd": Ambiguity((("!r-documentation", r"^[ \t]*\\(?:name|alias|title|docType|description|usage)\{"),), "r"),
    ".inc": Ambiguity((
        ("php", r"<\?(?:php|=)?"),
        ("pascal", r"^[ \t]*(?:\{\$|procedure\b|unit\b|type[ \t]*$|begin[ \t]*$|uses\b)"),
        ("assembly", r"^[ \t]*(?:%(?:macro|define|if\w*|include)|\.(?:macro|equ|globl?|text|data)\b|\w+[ \t]+(?:equ|EQU|macro|MACRO|proc|PROC)\b|;)"),
        ("c++", r"^[ \t]*(?:namespace\b|template[ \t]*<|class[ \t]+\w+|using[ \t])|\bstd::|\b\w+::\w+"),
        ("sql", r"^[ \t]*(?:(?:CREATE|INSERT|SELECT|DROP|ALTER)[ \t]|(?i:let|eval|--)[ \t]*)"),
        ("c", r"^[ \t]*#[ \t]*(?:include|define|if(?:n?def)?|pragma)\b|^[ \t]*(?:/\*|//)|\bstruct[ \t]+\w+|;[ \t]*$"),
    ), None),
    ".cls": Ambiguity((
        ("tex", r"^[ \t]*(?:%|\\(?:NeedsTeXFormat|ProvidesClass|documentclass|LoadClass|newcommand|def|RequirePackage)\b)"),
        ("vb", r"\A\s*(?:VERSION[ \t]|Attribute VB_)|^[ \t]*(?:Option[ \t]+Explicit|(?:Public|Private)[ \t]+(?:Sub|Function|Property)|End[ \t]+(?:Sub|Function))\b"),
        ("!apex", r"^[ \t]*(?:@\w+|(?:(?i:public|private|global|virtual|abstract|with sharing|without sharing)[ \t]+)+class\b)"),
        ("!openedge", r"(?i)^[ \t]*(?:class[ \t]+[\w.]+[ \t]*:|method[ \t]+public|using[ \t]+progress)"),
    ), None),
    ".d": Ambiguity((
        ("makefile", r"^[^\s#:=]+\.(?:o|lo|obj|d|rmeta|rlib|dwo)[ \t]*:(?:[ \t]|\\|$)|"
         r"^[^\s:=]+:[ \t]*(?:\\$|[^\s=]+\.(?:rs|c|h|cc|cpp)\b)"),
        ("!dtrace", r"^[ \t]*(?:#pragma[ \t]+D\b|(?:BEGIN|END|\w*:\w*:\w*:\w*)[ \t]*$|provider[ \t]+\w+)"),
        ("!d", r"^[ \t]*(?:module|import)[ \t]+[\w.]+[ \t]*[;:,]|^[ \t]*(?:unittest|version[ \t]*\()"),
    ), None),
    ".fs": Ambiguity((
        ("glsl", r"^[ \t]*(?:#version\b|precision[ \t]+\w+|uniform\b|varying\b|void[ \t]+main[ \t]*\(|out[ \t]+vec|in[ \t]+vec|layout[ \t]*\()"),
        ("f-sharp", r"^[ \t]*(?:module|namespace|open|let|type|\(\*|#light|#if|\[<|member|//)"),
        ("!forth", r"^[ \t]*(?::[ \t]+\S+|\\[ \t]|\([ \t])"),
    ), None),
    ".pro": Ambiguity((
        ("!qmake", r"^[ \t]*(?:TEMPLATE|QT|CONFIG|SOURCES|HEADERS|TARGET|SUBDIRS|INCLUDEPATH|DEFINES|LIBS|FORMS|RESOURCES)[ \t]*[-+*~]?="),
        ("prolog", r"^[ \t]*:-|^[a-z]\w*(?:\(.*\))?[ \t]*:-"),
        ("!idl", r"(?i)^[ \t]*(?:pro|function)[ \t]+\w+[ \t]*(?:,|$)|^[ \t]*;"),
        ("!proguard", r"^[ \t]*-(?:keep|dont|optimiz|renam|assume|printmapping|adaptclass)"),
    ), None),
    ".mod": Ambiguity((
        ("!go-module", r"\A(?://[^\n]*\n|\s)*module[ \t]+[\w./~-]+[ \t]*$"),
        ("!modula-2", r"(?m)^[ \t]*(?:(?:IMPLEMENTATION|DEFINITION)[ \t]+)?MODULE[ \t]+\w+|^[ \t]*FROM[ \t]+\w+[ \t]+IMPORT"),
        ("!xml", r"\A\s*(?:<!--|<!|<\?xml)"),
    ), None),
    ".sql": Ambiguity((), "sql"),
    ".s": Ambiguity((("assembly", r"^[ \t]*(?:\.\w+|#|//|/\*|;|@|\w+:)"),), None),
    ".cl": Ambiguity((
        ("common-lisp", r"^[ \t]*(?:\((?:defun|defmacro|in-package|defpackage|defvar|defparameter|defclass|eval-when|load|setq)\b|;)"),
        ("c", r"\b(?:__)?(?:kernel|global|local)\b|^[ \t]*#[ \t]*(?:define|pragma|if|include)\b"),
    ), None),
    ".pp": Ambiguity((
        ("pascal", r"(?i)^[ \t]*(?:\{|unit[ \t]+\w+|program[ \t]+\w+|uses\b|interface[ \t]*$|procedure\b|library[ \t]+\w+)"),
        ("!puppet", r"^[ \t]*(?:class|define|node|include|file|package|service|exec|#|\$\w+[ \t]*=)"),
    ), None),
    ".sc": Ambiguity((
        ("scala", r"^[ \t]*(?:import[ \t]+[\w.`$]+|object|def|val|var|class|trait|package|case[ \t]+class)\b"),
        ("!supercollider", r"^[ \t]*(?:[A-Z]\w*[ \t]*:[ \t]*[A-Z]\w*|\+[ \t]*[A-Z]\w*)[ \t]*\{|~\w+[ \t]*="),
    ), None),
    ".st": Ambiguity((
        ("!stringtemplate", r"(?m)^[ \t]*(?:group[ \t]|<\w+>|[\w.]+\([^)]*\)[ \t]*::=)|\$\w+\$"),
    ), "smalltalk"),
    ".ml": Ambiguity((
        ("standard-ml", r"^[ \t]*(?:structure|signature|functor)[ \t]+\w+|^[ \t]*fun[ \t]+\w+|\bval[ \t]+\w+[ \t]*=[ \t]*fn\b"),
    ), "ocaml"),
    ".as": Ambiguity((
        ("actionscript", r"^[ \t]*(?:package\b|import[ \t]+[\w.*]+;|(?:public|private|internal|static|dynamic)\b|class\b|function\b|var[ \t]+\w+[ \t]*:)|^[ \t]*(?://|/\*)"),
        ("assembly", r"^[ \t]*(?:;|\.\w+|\w+[ \t]+(?:equ|EQU)\b)"),
    ), "actionscript"),
    ".gs": Ambiguity((
        ("javascript", r"^[ \t]*(?:function|var|let|const)\b|//|/\*"),
    ), None),
    ".nb": Ambiguity((("mathematica", r"\(\*|Notebook\["),), "mathematica"),
    ".w": Ambiguity((
        ("!cweb", r"^@(?:\*|\s|c\b|d\b|<)"),
        ("c", r"^[ \t]*#[ \t]*(?:include|define)\b"),
    ), "c"),
    ".tab": Ambiguity((("sql", r"(?i)^[ \t]*(?:create|alter|insert|drop|comment|grant)[ \t]"),), None),
    ".toc": Ambiguity((("tex", r"\\\w+"),), None),
    ".aux": Ambiguity((("tex", r"\\\w+"),), None),
    ".command": Ambiguity((("shell", r"\A#!|^[ \t]*(?:cd|export|echo)\b"),), "shell"),
    ".ron": Ambiguity((
        ("!rusty-object", r"\A(?:\s|//[^\n]*\n|/\*.*?\*/|#!\[[^\n]*\n)*(?:\w+[ \t]*)?[(\[{]"),
    ), "markdown"),
}  # fmt: skip
"""Ending → what its files may be."""
