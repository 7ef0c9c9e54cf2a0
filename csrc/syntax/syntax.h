// What the files of csrc/syntax share.
#pragma once

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tree_sitter/api.h>

#define AIXMEG_API __attribute__((visibility("default")))

// What is parsed, and how much work it may take.
typedef struct {
  const char* source;
  uint32_t length;
  uint64_t steps, limit;
  uint64_t characters;  // scanned, however often
  jmp_buf out;          // where a scanner is left that goes beyond the limit
} Input;

// Makes scanners count in the parser's Input; nothing else may be parsed with it from then on.
void aixmeg_count_scans(TSParser* parser);
