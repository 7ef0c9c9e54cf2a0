"""Comments as they stand in real files, written anew: which are commented-out code, and which are not.

Name: (language, source text with the comment between `«` and `»`).
"""

CODE = {
    "python calls": (
        "python",
        """\
import os
«# print(os.getcwd())
# os.chdir('/tmp')
# result = run(1, 2)
»x = 1
""",
    ),
    "python function": (
        "python",
        """\
x = 1
«# def area(r):
#     if r < 0:
#         raise ValueError('negative radius is not allowed here')
#     return 3 * r
»y = 2
""",
    ),
    "python at the code's own indentation": (
        "python",
        """\
def f(a):
    b = a
«    # for item in a:
        # b.append(item)
        # count += 1
»    return b
""",
    ),
    "python imports": (
        "python",
        """\
«#import json
#from os import path
#sys.path.append(path.sep)
»import os
""",
    ),
    "python with a remark above": (
        "python",
        """\
x = 1
«# TODO: back again when the server answers
# client = connect(host)
# client.send(x)
# client.close()
»y = 2
""",
    ),
    "python branch": (
        "python",
        """\
if a:
    b()
«# elif c:
#     d(1)
#     e = f(2)
»z = 1
""",
    ),
    "python entries": (
        "python",
        """\
x = {
«    # 'alpha': 1,
    # 'beta': two(),
    # 'gamma': 3,
»    'd': 4,
}
""",
    ),
    "c statements": (
        "c",
        """\
int f(int a) {
«  // a += 1;
  // if (a > 3) {
  //   return g(a);
  // }
»  return a;
}
""",
    ),
    "c block": (
        "c",
        """\
int a;
«/*
int old(int x) {
  *p = x;
  return x * 2;
}
*/
»int b;
""",
    ),
    "c starred block": (
        "c",
        """\
int a;
«/*
 * int old(int x) {
 *   return twice(x);
 * }
 */
»int b;
""",
    ),
    "c preprocessor": (
        "c",
        """\
int a;
«// #ifdef OLD
// #include <old.h>
// #define LIMIT 3
// #endif
»int b;
""",
    ),
    "c++ declarations": (
        "c++",
        """\
class A {
«  // std::vector<int> items_;
  // void push(const T& value) { items_.push_back(value); }
  // int size() const;
»  int a;
};
""",
    ),
    "java method": (
        "java",
        """\
class A {
«    // @Override
    // public int size() {
    //     return items.size();
    // }
»    int a;
}
""",
    ),
    "java statements": (
        "java",
        """\
class A { void f() {
«        //System.out.println("a");
        //for (int i = 0; i < 3; i++) {
        //    g(i);
        //}
»        h();
} }
""",
    ),
    "javascript half of a call": (
        "javascript",
        """\
f();
«// test('adds', () => {
//   const x = add(1, 2);
//   expect(x).toBe(3);
»

g();
""",
    ),
    "javascript object": (
        "javascript",
        """\
x = {
«  // timeout: 0,
  // data: null,
  // retry: count(3),
»  a: 1,
};
""",
    ),
    "typescript": (
        "typescript",
        """\
let a = 1;
«// export interface Shape {
//   area: number;
//   readonly name: string;
// }
»let b = 2;
""",
    ),
    "go": (
        "go",
        """\
package p

func f() {
«\t// if err != nil {
\t// \treturn err
\t// }
\t// log.Print(x)
»\tg()
}
""",
    ),
    "rust": (
        "rust",
        """\
fn f() {
«    // let mut x = vec![1, 2];
    // for y in &x {
    //     println!("{}", y);
    // }
»    g();
}
""",
    ),
    "ruby": (
        "ruby",
        """\
x = 1
«# def area(r)
#   return r * r if r > 0
#   @items.each { |i| puts(i) }
# end
»y = 2
""",
    ),
    "shell": (
        "shell",
        """\
x=1
«#if [ -n "$x" ]; then
#  echo "$x" > out.txt;
#  rm -f "$(dirname $x)";
#fi
»y=2
""",
    ),
    "lua": (
        "lua",
        """\
local x = 1
«-- local function area(r)
--   return math.pi * r
-- end
-- print(area(x))
»y = 2
""",
    ),
    "php": (
        "php",
        """\
<?php
$x = 1;
«// $y = strlen($x);
// foreach ($items as $item) {
//     echo $item;
// }
»$z = 2;
""",
    ),
}

PROSE = {
    "python text": (
        "python",
        """\
«# Copies the items into a new list, because callers
# may change the old one (see issue 12);
# that was hard to find.
»x = 1
""",
    ),
    "python licence": (
        "python",
        """\
«# Copyright (c) 2020 Somebody.
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
»import os
""",
    ),
    "python remarks": (
        "python",
        """\
«# TODO: fix this
# FIXME: and that
# NOTE: later
»x = 1
""",
    ),
    "python headings": (
        "python",
        """\
«# -----------------
# Imports
# -----------------
»import os
""",
    ),
    "python words": (
        "python",
        """\
«# alpha
# beta
# gamma
»x = 1
""",
    ),
    "python example": (
        "python",
        """\
«# Parses a date. For example:
#     parse('2020')
#     parse('2021', strict=True)
#     parse('x')
»def parse(d): pass
""",
    ),
    "python session": (
        "python",
        """\
«# >>> area(2)
# 6
# >>> area(3)
# 9
»x = 1
""",
    ),
    "python docstring": (
        "python",
        """\
def f():
    '''
    x = 1
    y = g(x)
    return y
    '''
«»""",
    ),
    "python string": (
        "python",
        """\
x = '''
# x = 1
# y = g(x)
# return y
'''
«»""",
    ),
    "python table": (
        "python",
        """\
«# code   meaning
# 0      all is well
# 1      no such file
# 2      not allowed
»x = 1
""",
    ),
    "c text": (
        "c",
        """\
«/* Returns the number of items that f() left behind;
   the caller frees them with g(items).
   Never returns NULL. */
»int h(void);
""",
    ),
    "c documentation": (
        "c",
        """\
«/**
 * int x = f(1);
 * g(x);
 * return x;
 */
»int h(void);
""",
    ),
    "c documentation by slashes": (
        "c",
        """\
«/// int x = f(1);
/// g(x);
/// h(x);
»int h(void);
""",
    ),
    "c indented example": (
        "c",
        """\
«// Adds two numbers
//
//     int x = add(1, 2);
//     print(x);
//     print(add(x, 3));
»int add(int, int);
""",
    ),
    "c grammar": (
        "c",
        """\
«// list ::= item | list ',' item
// item ::= NAME '=' value
// value ::= NUMBER | STRING
»int a;
""",
    ),
    "c trailing comments": (
        "c",
        """\
int a; // x = f(1);
«»int b; // y = g(2);
int c; // z = h(3);
""",
    ),
    "java documentation": (
        "java",
        """\
«/**
 * Sorts {@code items};
 * @param items a list;
 * @return nothing;
 */
»class A {}
""",
    ),
    "java steps": (
        "java",
        """\
class A {
«    // 1. open the file (if it exists)
    // 2. read it line by line
    // 3. close it
»    int a;
}
""",
    ),
    "javascript directives": (
        "javascript",
        """\
«// @ts-check
// @flow: strict
// @jsx: h
»f();
""",
    ),
    "go directives": (
        "go",
        """\
«//go:build linux
// +build linux
// +build amd64
»package p
""",
    ),
    "go example output": (
        "go",
        """\
package p

func ExampleF() {
\tf()
«\t// Output:
\t// x := f(1)
\t// y := g(x)
\t// h(y)
»}
""",
    ),
    "rust documentation": (
        "rust",
        """\
«/// let x = f(1);
/// g(x);
/// h(x);
»fn i() {}
""",
    ),
    "ruby text": (
        "ruby",
        """\
«# Returns the number of items left
# or raises when there are none
# which callers have to expect
»x = 1
""",
    ),
    "shell text": (
        "shell",
        """\
«# build everything from scratch
# then run all the tests
# and show what failed
»x=1
""",
    ),
    "set off by a colon": (
        "c",
        """\
«// set by calloc():
//
// conf->from = NULL;
// conf->to = NULL;
// conf->size = 0;
»int a;
""",
    ),
    "c example in the text's own column": (
        "c",
        """\
«// an example
// int x = f(1);
// g(x);
// h(x);
»int a;
""",
    ),
    "c fenced example": (
        "c",
        """\
«// ```
// int first = count_of_all_items(list, 1);
// int second = count_of_all_items(list, 2);
// print_the_sum_of(first + second, stdout);
// ```
»int a;
""",
    ),
    "typescript remarks that parse": (
        "typescript",
        """\
«// TODO: isOpen(x)
// TODO: isShut(x)
// TODO: isLost(x)
»f();
""",
    ),
    "shell sentences that parse": (
        "shell",
        """\
«# build everything from scratch;
# run the tests again and again;
# show what failed in the end;
»x=1
""",
    ),
}
