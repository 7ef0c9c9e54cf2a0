"""One function in many languages, with the lines at which each FIM-Eval shape lies.

Lines count from 1; a shape is the text from the first non-blank of its first line to the last one of its last line.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """A source text and where its shapes are; a language without `try` or `switch` has no entry for it."""

    source: str
    signature: str
    body: tuple[int, int]
    method: tuple[int, int]
    """The function with the comment before it."""
    statements: dict[str, tuple[int, int]]


def _sample(text: str, signature: str, body, method, **statements) -> Sample:
    return Sample(text.lstrip("\n"), signature, body, method, statements)


_JS = """
const first = 1;

// Adds numbers.
function total(items) {
  if (items == null) {
    return 0;
  }
  for (let i = 0; i < 9; i++) {
    items.push(i);
  }
  while (items.length > 3) {
    items.pop();
  }
  try {
    items.sort();
  } catch (error) {
    items = [];
  }
  switch (items.length) {
    case 1:
      return 1;
  }
}
"""
_C = """
static int first = 1;

/* Adds numbers. */
int total(int *items, int count) {
  if (count == 0) {
    return 0;
  }
  for (int i = 0; i < count; i++) {
    first += items[i];
  }
  while (first > 3) {
    first -= 1;
  }
  switch (first) {
    case 1:
      return 1;
  }
}
"""
_C_AT = {"if_statement": (5, 7), "for_statement": (8, 10), "while_statement": (11, 13), "switch_statement": (14, 17)}
_JS_AT = _C_AT | {"try_statement": (14, 18), "switch_statement": (19, 22)}
_CPP = _C.replace("  switch", "  try {\n    first = 2;\n  } catch (int error) {\n    first = 3;\n  }\n  switch")
_C_SIGNATURE = "int total(int *items, int count)"
_CLASS = """
class Sums {
  int first = 1;

  // Adds numbers.
  int total(int[] items) {
    if (first == 0) {
      return 0;
    }
    for (int i = 0; i < 9; i++) {
      first += items[i];
    }
    while (first > 3) {
      first -= 1;
    }
    try {
      first = 2;
    } catch (Exception error) {
      first = 3;
    }
    switch (first) {
      case 1:
        return 1;
    }
    return 2;
  }
}
"""
_CLASS_AT = {
    "if_statement": (6, 8), "for_statement": (9, 11), "while_statement": (12, 14), "try_statement": (15, 19),
    "switch_statement": (20, 23),
}  # fmt: skip
_SIX = {"if_statement": (5, 7), "for_statement": (8, 10), "while_statement": (11, 13)}

SAMPLES: dict[str, Sample] = {
    "python": _sample(
        """
first = 1


# Adds numbers.
def total(items):
    if not items:
        return 0
    for item in items:
        print(item)
    while items:
        items.pop()
    try:
        items.sort()
    except ValueError:
        items = []
    match items:
        case []:
            return 1
""",
        "def total(items):",
        (6, 18),
        (4, 18),
        if_statement=(6, 7),
        for_statement=(8, 9),
        while_statement=(10, 11),
        try_statement=(12, 15),
        switch_statement=(16, 18),
    ),
    "javascript": _sample(_JS, "function total(items)", (5, 22), (3, 23), **_JS_AT),
    "typescript": _sample(
        _JS.replace("(items)", "(items: number[]): number"),
        "function total(items: number[]): number",
        (5, 22),
        (3, 23),
        **_JS_AT,
    ),
    "tsx": _sample(
        _JS.replace("(items)", "(items: number[]): number"),
        "function total(items: number[]): number",
        (5, 22),
        (3, 23),
        **_JS_AT,
    ),
    "actionscript": _sample(
        "package {\n"
        + _CLASS.lstrip("\n")
        .replace("int first = 1", "var first:int = 1")
        .replace("int total(int[] items)", "function total(items:Array):int")
        .replace("int i = 0", "var i:int = 0")
        .replace("Exception error", "error:Error")
        + "}\n",
        "function total(items:Array):int",
        (7, 25),
        (5, 26),
        **{k: (a + 1, b + 1) for k, (a, b) in _CLASS_AT.items()},
    ),
    "java": _sample(_CLASS, "int total(int[] items)", (6, 24), (4, 25), **_CLASS_AT),
    "c#": _sample(_CLASS.replace("return 1;", "return 1; "), "int total(int[] items)", (6, 24), (4, 25), **_CLASS_AT),
    "dart": _sample(
        _CLASS.replace("int[]", "List<int>").replace("catch (Exception error)", "catch (error)"),
        "int total(List<int> items)",
        (6, 24),
        (4, 25),
        **_CLASS_AT,
    ),
    "c": _sample(_C, _C_SIGNATURE, (5, 17), (3, 18), **_C_AT),
    "c++": _sample(
        _CPP, _C_SIGNATURE, (5, 22), (3, 23), **_C_AT | {"try_statement": (14, 18), "switch_statement": (19, 22)}
    ),
    "cuda": _sample(
        _CPP, _C_SIGNATURE, (5, 22), (3, 23), **_C_AT | {"try_statement": (14, 18), "switch_statement": (19, 22)}
    ),
    "objective-c": _sample(_C, _C_SIGNATURE, (5, 17), (3, 18), **_C_AT),
    "glsl": _sample(
        _C.replace("int *items", "int items[3]"), "int total(int items[3], int count)", (5, 17), (3, 18), **_C_AT
    ),
    "solidity": _sample(
        """
contract Sums {
  uint first;

  // Adds numbers.
  function total(uint count) public returns (uint) {
    if (count == 0) {
      return 0;
    }
    for (uint i = 0; i < count; i++) {
      first += i;
    }
    while (first > 3) {
      first -= 1;
    }
    try other.call(first) {
      first = 2;
    } catch {
      first = 3;
    }
  }
}
""",
        "function total(uint count) public returns (uint)",
        (6, 19),
        (4, 20),
        if_statement=(6, 8),
        for_statement=(9, 11),
        while_statement=(12, 14),
        try_statement=(15, 19),
    ),
    "go": _sample(
        """
package sums

// Adds numbers.
func total(items []int) int {
	if len(items) == 0 {
		return 0
	}
	for i := range items {
		items[i]++
	}
	switch items[0] {
	case 1:
		return 1
	}
	return 2
}
""",
        "func total(items []int) int",
        (5, 15),
        (3, 16),
        if_statement=(5, 7),
        for_statement=(8, 10),
        switch_statement=(11, 14),
    ),
    "rust": _sample(
        """
const FIRST: i32 = 1;

/// Adds numbers.
fn total(items: &mut Vec<i32>) -> i32 {
    if items.is_empty() {
        return 0;
    }
    for i in 0..9 {
        items.push(i);
    }
    while items.len() > 3 {
        items.pop();
    }
    match items[0] {
        1 => return 1,
        _ => return 2,
    }
}
""",
        "fn total(items: &mut Vec<i32>) -> i32",
        (5, 17),
        (3, 18),
        **_SIX,
        switch_statement=(14, 17),
    ),
    "ruby": _sample(
        """
FIRST = 1

# Adds numbers.
def total(items)
  if items.empty?
    return 0
  end
  for i in 0..9
    items.push(i)
  end
  while items.length > 3
    items.pop
  end
  begin
    items.sort!
  rescue StandardError
    items = []
  end
  case items.length
  when 1
    return 1
  end
end
""",
        "def total(items)",
        (5, 22),
        (3, 23),
        **_SIX,
        try_statement=(14, 18),
        switch_statement=(19, 22),
    ),
    "php": _sample(
        """
<?php

// Adds numbers.
function total($items) {
    if (!$items) {
        return 0;
    }
    for ($i = 0; $i < 9; $i++) {
        $items[] = $i;
    }
    while (count($items) > 3) {
        array_pop($items);
    }
    try {
        sort($items);
    } catch (Exception $error) {
        $items = [];
    }
    switch (count($items)) {
        case 1:
            return 1;
    }
}
""",
        "function total($items)",
        (5, 22),
        (3, 23),
        **_JS_AT,
    ),
    "kotlin": _sample(
        """
val first = 1

// Adds numbers.
fun total(items: MutableList<Int>): Int {
    if (items.isEmpty()) {
        return 0
    }
    for (i in 0..9) {
        items.add(i)
    }
    while (items.size > 3) {
        items.removeLast()
    }
    try {
        items.sort()
    } catch (error: Exception) {
        items.clear()
    }
    when (items.size) {
        1 -> return 1
    }
    return 2
}
""",
        "fun total(items: MutableList<Int>): Int",
        (5, 22),
        (3, 23),
        **_SIX,
        try_statement=(14, 18),
        switch_statement=(19, 21),
    ),
    "swift": _sample(
        """
let first = 1

// Adds numbers.
func total(_ items: inout [Int]) -> Int {
    if items.isEmpty {
        return 0
    }
    for i in 0..<9 {
        items.append(i)
    }
    while items.count > 3 {
        items.removeLast()
    }
    do {
        try check(items)
    } catch {
        items = []
    }
    switch items.count {
    case 1:
        return 1
    default:
        return 2
    }
}
""",
        "func total(_ items: inout [Int]) -> Int",
        (5, 24),
        (3, 25),
        **_SIX,
        try_statement=(14, 18),
        switch_statement=(19, 24),
    ),
    "scala": _sample(
        """
object Sums {
  val first = 1

  // Adds numbers.
  def total(items: Buffer[Int]): Int = {
    if (items.isEmpty) {
      return 0
    }
    for (i <- 0 to 9) {
      items += i
    }
    while (items.size > 3) {
      items.remove(0)
    }
    try {
      items.sortInPlace()
    } catch {
      case error: Exception => items.clear()
    }
    items.size match {
      case 1 => return 1
      case _ => 2
    }
  }
}
""",
        "def total(items: Buffer[Int]): Int =",
        (6, 23),
        (4, 24),
        if_statement=(6, 8),
        for_statement=(9, 11),
        while_statement=(12, 14),
        try_statement=(15, 19),
        switch_statement=(20, 23),
    ),
    "lua": _sample(
        """
local first = 1

-- Adds numbers.
function total(items)
  if #items == 0 then
    return 0
  end
  for i = 1, 9 do
    table.insert(items, i)
  end
  while #items > 3 do
    table.remove(items)
  end
end
""",
        "function total(items)",
        (5, 13),
        (3, 14),
        **_SIX,
    ),
    "shell": _sample(
        """
first=1

# Adds numbers.
total() {
  if [ $# -eq 0 ]; then
    return 0
  fi
  for item in "$@"; do
    echo "$item"
  done
  while [ $# -gt 3 ]; do
    shift
  done
  case $1 in
    one) return 1 ;;
  esac
}
""",
        "total()",
        (5, 16),
        (3, 17),
        **_SIX,
        switch_statement=(14, 16),
    ),
    "perl": _sample(
        """
my $first = 1;

# Adds numbers.
sub total {
    if (!@items) {
        return 0;
    }
    for my $item (@items) {
        print $item;
    }
    while (@items > 3) {
        pop @items;
    }
}
""",
        "sub total",
        (5, 13),
        (3, 14),
        **_SIX,
    ),
    "r": _sample(
        """
first <- 1

# Adds numbers.
total <- function(items) {
  if (length(items) == 0) {
    return(0)
  }
  for (item in items) {
    print(item)
  }
  while (first > 3) {
    first <- first - 1
  }
}
""",
        "function(items)",
        (5, 13),
        (3, 14),
        **_SIX,
    ),
    "julia": _sample(
        """
first = 1

# Adds numbers.
function total(items)
    if isempty(items)
        return 0
    end
    for item in items
        println(item)
    end
    while length(items) > 3
        pop!(items)
    end
    try
        sort!(items)
    catch error
        items = []
    end
end
""",
        "function total(items)",
        (5, 18),
        (3, 19),
        **_SIX,
        try_statement=(14, 18),
    ),
    "matlab": _sample(
        """
% Adds numbers.
function result = total(items)
    if isempty(items)
        result = 0;
    end
    for i = 1:9
        items(end + 1) = i;
    end
    while length(items) > 3
        items(end) = [];
    end
    try
        items = sort(items);
    catch error
        items = [];
    end
    switch length(items)
        case 1
            result = 1;
    end
end
""",
        "function result = total(items)",
        (3, 20),
        (1, 21),
        if_statement=(3, 5),
        for_statement=(6, 8),
        while_statement=(9, 11),
        try_statement=(12, 16),
        switch_statement=(17, 20),
    ),
    "powershell": _sample(
        """
$first = 1

# Adds numbers.
function Get-Total($items) {
    if ($items.Count -eq 0) {
        return 0
    }
    foreach ($item in $items) {
        Write-Output $item
    }
    while ($first -gt 3) {
        $first -= 1
    }
    try {
        $items.Sort()
    } catch {
        $items = @()
    }
    switch ($first) {
        1 { return 1 }
    }
}
""",
        "function Get-Total($items)",
        (5, 21),
        (3, 22),
        **_SIX,
        try_statement=(14, 18),
        switch_statement=(19, 21),
    ),
    "gdscript": _sample(
        """
var first = 1

# Adds numbers.
func total(items):
	if items.is_empty():
		return 0
	for item in items:
		print(item)
	while items.size() > 3:
		items.pop_back()
	match first:
		1:
			return 1
""",
        "func total(items):",
        (5, 13),
        (3, 13),
        if_statement=(5, 6),
        for_statement=(7, 8),
        while_statement=(9, 10),
        switch_statement=(11, 13),
    ),
    "delphi": _sample(
        """
unit Sums;
interface
implementation
{ Adds numbers. }
function Total(Count: Integer): Integer;
begin
  if Count = 0 then
  begin
    Exit(0);
  end;
  for I := 0 to Count do
  begin
    Inc(First);
  end;
  while First > 3 do
  begin
    Dec(First);
  end;
  try
    Sort(First);
  except
    First := 0;
  end;
  case First of
    1: Exit(1);
  end;
end;
end.
""",
        "function Total(Count: Integer): Integer;",
        (7, 26),
        (4, 27),
        if_statement=(7, 10),
        for_statement=(11, 14),
        while_statement=(15, 18),
        try_statement=(19, 23),
        switch_statement=(24, 26),
    ),
    "fortran": _sample(
        """
module sums
contains
  ! Adds numbers.
  function total(items) result(answer)
    integer :: answer
    if (first == 0) then
      answer = 0
    end if
    do i = 1, 9
      answer = answer + i
    end do
    select case (answer)
    case (1)
      answer = 2
    end select
  end function total
end module sums
""",
        "function total(items) result(answer)",
        (5, 15),
        (3, 16),
        if_statement=(6, 8),
        for_statement=(9, 11),
        switch_statement=(12, 15),
    ),
    "zig": _sample(
        """
const first = 1;

// Adds numbers.
fn total(items: []i32) i32 {
    if (items.len == 0) {
        return 0;
    }
    for (items) |item| {
        print(item);
    }
    while (first > 3) {
        step();
    }
    switch (first) {
        1 => return 1,
        else => return 2,
    }
}
""",
        "fn total(items: []i32) i32",
        (5, 17),
        (3, 18),
        **_SIX,
        switch_statement=(14, 17),
    ),
    "ocaml": _sample(
        """
let first = 1

(* Adds numbers. *)
let total items =
  if items = [] then
    print_int 0;
  for i = 0 to 9 do
    print_int i
  done;
  while !count > 3 do
    decr count
  done;
  match items with
  | [] -> 1
  | _ -> 2
""",
        "total items =",
        (5, 15),
        (3, 15),
        if_statement=(5, 6),
        for_statement=(7, 9),
        while_statement=(10, 12),
        switch_statement=(13, 15),
    ),
    "tcl": _sample(
        """
set first 1

# Adds numbers.
proc total {items} {
    if {$items == 0} {
        return 0
    }
    foreach item $items {
        puts $item
    }
    while {$first > 3} {
        incr first -1
    }
}
""",
        "proc total {items}",
        (5, 13),
        (3, 14),
        **_SIX,
    ),
    "ada": _sample(
        """
package body Sums is
   --  Adds numbers.
   function Total (Count : Integer) return Integer is
   begin
      if Count = 0 then
         return 0;
      end if;
      for I in 1 .. Count loop
         First := First + I;
      end loop;
      while First > 3 loop
         First := First - 1;
      end loop;
      case First is
         when 1 => return 1;
      end case;
   end Total;
end Sums;
""",
        "function Total (Count : Integer) return Integer is\n   begin",
        (5, 16),
        (2, 17),
        if_statement=(5, 7),
        for_statement=(8, 10),
        while_statement=(11, 13),
        switch_statement=(14, 16),
    ),
    "cmake": _sample(
        """
set(first 1)

# Adds numbers.
function(total items)
  if(first)
    message(0)
  endif()
  foreach(item ${items})
    message(${item})
  endforeach()
  while(first)
    message(1)
  endwhile()
endfunction()
""",
        "function(total items)",
        (5, 13),
        (3, 14),
        **_SIX,
    ),
}
