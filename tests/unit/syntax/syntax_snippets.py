"""A few lines of real code per grammar."""

SNIPPETS = {
    "actionscript": """\
package a {
  public class Point {
    private var x:int = 0;
    public function move(by:int):void {
      x += by;
    }
  }
}
""",
    "ada": """\
with Ada.Text_IO;
procedure Hello is
   N : Integer := 3;
begin
   for I in 1 .. N loop
      Ada.Text_IO.Put_Line ("Hello");
   end loop;
end Hello;
""",
    "agda": """\
module Nat where

data Nat : Set where
  zero : Nat
  suc  : Nat -> Nat
""",
    "asm": """\
start:
  mov rax, 1
  add rax, rbx
  ret
""",
    "bash": """\
#!/bin/sh
for file in *.txt; do
  if [ -s "$file" ]; then
    wc -l "$file"
  fi
done
""",
    "c": """\
#include <stdio.h>

static int add(int a, int b) {
  return a + b; /* sum */
}

int main(void) {
  printf("%d\\n", add(1, 2));
  return 0;
}
""",
    "clojure": """\
(ns demo.core)

(defn area [r]
  ;; of a circle
  (* Math/PI r r))
""",
    "cmake": """\
cmake_minimum_required(VERSION 3.20)
project(demo C)
if(UNIX)
  add_executable(demo main.c)
endif()
""",
    "commonlisp": """\
(defun area (r)
  "Area of a circle."
  (* pi r r))
""",
    "cpp": """\
#include <vector>

namespace demo {
template <class T>
class Stack {
 public:
  void push(T value) { items_.push_back(std::move(value)); }

 private:
  std::vector<T> items_;
};
}  // namespace demo
""",
    "csharp": """\
using System;

namespace Demo
{
    public class Point
    {
        public int X { get; set; }
        public int Twice() => X * 2;
    }
}
""",
    "css": """\
/* page */
body > .main, a:hover {
  color: #333;
  margin: 0 auto;
}
""",
    "cuda": """\
__global__ void add(int n, float *x, float *y) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = x[i] + y[i];
}
""",
    "dart": """\
class Point {
  final int x;
  Point(this.x);
  int twice() => x * 2;
}

void main() {
  print(Point(2).twice());
}
""",
    "dockerfile": """\
FROM debian:12
RUN apt-get update && apt-get install -y gcc
COPY . /src
CMD ["make"]
""",
    "elisp": """\
(defun area (r)
  "Area of a circle with radius R."
  (* float-pi r r))
""",
    "elixir": """\
defmodule Math do
  @moduledoc "Sums."
  def add(a, b) do
    a + b
  end
end
""",
    "elm": """\
module Main exposing (main)

import Html exposing (text)

main =
    text "Hello"
""",
    "erlang": """\
-module(math1).
-export([add/2]).

add(A, B) ->
    A + B.
""",
    "fortran": """\
program hello
  implicit none
  integer :: i
  do i = 1, 3
    print *, i
  end do
end program hello
""",
    "fsharp": """\
module Demo

let add a b = a + b

let total = List.fold add 0 [1; 2; 3]
""",
    "gdscript": """\
extends Node

var speed = 4

func _process(delta):
\tif speed > 2:
\t\tspeed -= delta
""",
    "glsl": """\
uniform mat4 view;
void main() {
  gl_Position = view * vec4(1.0, 0.0, 0.0, 1.0);
}
""",
    "go": """\
package main

import "fmt"

// Add adds.
func Add(a, b int) int {
\treturn a + b
}

func main() {
\tfor i := 0; i < 3; i++ {
\t\tfmt.Println(Add(i, 1))
\t}
}
""",
    "groovy": """\
class Point {
    int x
    int twice() {
        return x + x
    }
}
""",
    "haskell": """\
module Main where

-- | Area of a circle.
area :: Double -> Double
area r = pi * r * r

main :: IO ()
main = print (area 2)
""",
    "html": """\
<!DOCTYPE html>
<html>
<body>
<p class="a">One &amp; two</p>
<!-- note -->
</body>
</html>
""",
    "java": """\
package demo;

/** A point. */
public class Point {
    private final int x;

    public Point(int x) {
        this.x = x;
    }

    public int twice() {
        for (int i = 0; i < 2; i++) { System.out.println(i); }
        return x * 2;
    }
}
""",
    "javascript": """\
import { read } from 'fs';

export class Point {
  constructor(x) {
    this.x = x;
  }
  async load(path = `a${this.x}`) {
    return (await read(path)) ?? null; // or null
  }
}
""",
    "julia": """\
function area(r)
    # of a circle
    return pi * r^2
end

println(area(2.0))
""",
    "kotlin": """\
data class Point(val x: Int) {
    fun twice(): Int = x * 2
}

fun main() {
    println(Point(2).twice())
}
""",
    "latex": """\
\\documentclass{article}
\\begin{document}
\\section{One}
Text with $x^2$.
\\end{document}
""",
    "lua": """\
local function area(r)
  -- of a circle
  return math.pi * r ^ 2
end

for i = 1, 3 do
  print(area(i))
end
""",
    "make": """\
CC := gcc

all: main.o
\t$(CC) -o $@ $<

.PHONY: all
""",
    "markdown": """\
# Title

Text with *emphasis*.

- one
- two

```python
x = 1
```
""",
    "matlab": """\
function y = area(r)
  % of a circle
  y = pi * r ^ 2;
end
""",
    "objc": """\
#import <Foundation/Foundation.h>

@interface Point : NSObject
@property int x;
- (int)twice;
@end

@implementation Point
- (int)twice {
  return self.x * 2;
}
@end
""",
    "ocaml": """\
let area r =
  (* of a circle *)
  3.14 *. r *. r

let () = print_float (area 2.0)
""",
    "pascal": """\
program Hello;
var
  i: Integer;
begin
  for i := 1 to 3 do
    WriteLn(i);
end.
""",
    "perl": """\
use strict;
my $total = 0;
foreach my $n (1, 2, 3) {
    $total += $n;
}
print "$total\\n";
""",
    "php": """\
<?php
namespace Demo;

class Point {
    public int $x = 1;
    public function twice(): int {
        return $this->x * 2; // doubled
    }
}
""",
    "powershell": """\
function Get-Area {
    param($Radius)
    $Radius * $Radius * 3.14
}
Get-Area -Radius 2
""",
    "proto": """\
syntax = "proto3";

message Point {
  int32 x = 1;
  repeated string names = 2;
}
""",
    "python": '''\
"""Module."""
import os


class Point:
    def twice(self, x: int = 1) -> int:
        # doubled
        return [y * 2 for y in (x,)][0] if x else len(os.sep)
''',
    "r": """\
area <- function(r) {
  # of a circle
  pi * r^2
}
print(area(2))
""",
    "racket": """\
#lang racket
(define (area r)
  (* pi r r))
""",
    "rst": """\
Title
=====

Text with *emphasis*.

.. note:: A note.
""",
    "ruby": """\
class Point
  attr_reader :x

  def twice
    return x * 2 if x
    [1, 2].map { |y| y + 1 } # else
  end
end
""",
    "rust": """\
use std::fmt;

/// A point.
#[derive(Clone)]
pub struct Point {
    x: i32,
}

impl Point {
    pub fn twice(&self) -> i32 {
        let y = self.x; // copied
        y * 2
    }
}
""",
    "scala": """\
object Demo {
  case class Point(x: Int) {
    def twice: Int = x * 2
  }
  def main(args: Array[String]): Unit = println(Point(2).twice)
}
""",
    "scheme": """\
(define (area r)
  ; of a circle
  (* 3.14 r r))
""",
    "solidity": """\
pragma solidity ^0.8.0;

contract Counter {
    uint256 public count;
    function increment() public {
        count += 1;
    }
}
""",
    "sparql": """\
PREFIX foaf: <urn:foaf>
SELECT ?name WHERE {
  ?person foaf:name ?name .
}
""",
    "sql": """\
CREATE TABLE point (x INT NOT NULL);
SELECT x, COUNT(*) FROM point WHERE x > 1 GROUP BY x; -- all
""",
    "swift": """\
struct Point {
    let x: Int
    func twice() -> Int {
        return x * 2
    }
}
""",
    "tcl": """\
proc area {r} {
    return [expr {3.14 * $r * $r}]
}
puts [area 2]
""",
    "thrift": """\
struct Point {
  1: required i32 x,
  2: optional string name
}
""",
    "tsx": """\
type Props = { name: string };
export const Hello = ({ name }: Props) => (
  <div className="a">
    {name} <b>!</b>
  </div>
);
""",
    "typescript": """\
interface Shape {
  readonly area: number;
}

export function total<T extends Shape>(shapes: T[]): number {
  return shapes.reduce((sum, s) => sum + s.area, 0);
}
""",
    "verilog": """\
module counter(input clk, output reg [3:0] q);
  always @(posedge clk) begin
    q <= q + 1;
  end
endmodule
""",
    "vhdl": """\
library ieee;
use ieee.std_logic_1164.all;

entity gate is
  port (a : in std_logic; b : out std_logic);
end entity;
""",
    "vue": """\
<template>
  <p>{{ name }}</p>
</template>

<script>
export default { data() { return { name: 'a' } } }
</script>
""",
    "xml": """\
<?xml version="1.0"?>
<root a="1">
  <!-- note -->
  <child>text</child>
</root>
""",
    "yaml": """\
# settings
name: demo
items:
  - one
  - {two: 2}
""",
    "zig": """\
const std = @import("std");

pub fn add(a: i32, b: i32) i32 {
    return a + b;
}
""",
}
