// What the files of csrc/syntax share.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tree_sitter/api.h>

#define AIXMEG_API __attribute__((visibility("default")))
