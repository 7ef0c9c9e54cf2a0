// Parses one file with tree-sitter and writes its tree as columns (aixmeg/syntax/tree.py says what they hold).
// Plain C functions, called by ctypes, which releases the GIL. A parser is for one thread at a time; nothing else is
// kept between calls. Nothing recurses: nesting may be 100,000 deep.
#include <tree_sitter/api.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#define AIXMEG_API extern "C" __attribute__((visibility("default")))

namespace {

// Flags of a node, as in tree.py.
constexpr uint8_t kNamed = 1, kError = 2, kMissing = 4, kExtra = 8, kHasError = 16;
constexpr uint32_t kChunk = 1024;  // one read; the bound of steps counts reads

struct Input {
  const char* source;
  uint32_t length;
  uint64_t steps;
  uint64_t limit;
};

const char* read_chunk(void* payload, uint32_t offset, TSPoint, uint32_t* bytes) {
  Input* input = static_cast<Input*>(payload);
  input->steps++;
  offset = std::min(offset, input->length);
  *bytes = std::min(kChunk, input->length - offset);
  return input->source + offset;
}

bool out_of_steps(TSParseState* state) {
  Input* input = static_cast<Input*>(state->payload);
  return ++input->steps > input->limit;
}

// Moves to the next node that is not below the present one; `depth` follows. False at the end of the tree.
bool leave(TSTreeCursor* cursor, uint32_t* depth) {
  while (!ts_tree_cursor_goto_next_sibling(cursor)) {
    if (!ts_tree_cursor_goto_parent(cursor)) return false;
    --*depth;
  }
  return true;
}

uint8_t flags_of(TSNode node) {
  return (ts_node_is_named(node) ? kNamed : 0) | (ts_node_is_error(node) ? kError : 0) |
         (ts_node_is_missing(node) ? kMissing : 0) | (ts_node_is_extra(node) ? kExtra : 0) |
         (ts_node_has_error(node) ? kHasError : 0);
}

uint64_t bytes_in_error(TSNode node, uint8_t flags) {
  uint64_t length = ts_node_end_byte(node) - ts_node_start_byte(node);
  return flags & kMissing ? std::max<uint64_t>(1, length) : length;
}

}  // namespace

// Release of tree-sitter's core that this library holds.
AIXMEG_API const char* aixmeg_syntax_core() { return AIXMEG_TREE_SITTER; }

AIXMEG_API int32_t aixmeg_syntax_version() { return 1; }

// A parser of `language`, a `const TSLanguage*`; null when its ABI is not one that this core reads.
AIXMEG_API void* aixmeg_syntax_parser_new(const void* language) {
  const TSLanguage* given = static_cast<const TSLanguage*>(language);
  uint32_t abi = ts_language_abi_version(given);
  if (abi < TREE_SITTER_MIN_COMPATIBLE_LANGUAGE_VERSION || abi > TREE_SITTER_LANGUAGE_VERSION) return nullptr;
  TSParser* parser = ts_parser_new();
  if (!ts_parser_set_language(parser, given)) {
    ts_parser_delete(parser);
    return nullptr;
  }
  return parser;
}

AIXMEG_API void aixmeg_syntax_parser_delete(void* parser) { ts_parser_delete(static_cast<TSParser*>(parser)); }

// Parses within `limit` steps (tree-sitter's progress reports and reads of a kilobyte). Returns the tree and its number
// of nodes, or null when the bound was exceeded.
AIXMEG_API void* aixmeg_syntax_parse(void* parser, const char* source, uint32_t length, uint64_t limit,
                                     uint32_t* nodes) {
  TSParser* made = static_cast<TSParser*>(parser);
  Input input{source, length, 0, limit};
  TSTree* tree = ts_parser_parse_with_options(made, nullptr, TSInput{&input, read_chunk, TSInputEncodingUTF8, nullptr},
                                              TSParseOptions{&input, out_of_steps});
  if (tree == nullptr) {
    ts_parser_reset(made);
    return nullptr;
  }
  *nodes = ts_node_descendant_count(ts_tree_root_node(tree));
  return tree;
}

AIXMEG_API void aixmeg_syntax_tree_delete(void* tree) { ts_tree_delete(static_cast<TSTree*>(tree)); }

// Bytes inside outermost error nodes, each missing token counted as one. Looks only where there are errors.
AIXMEG_API uint64_t aixmeg_syntax_error_bytes(const void* tree) {
  TSNode root = ts_tree_root_node(static_cast<const TSTree*>(tree));
  if (!ts_node_has_error(root)) return 0;
  TSTreeCursor cursor = ts_tree_cursor_new(root);
  uint64_t amount = 0;
  uint32_t depth = 0;
  for (;;) {
    TSNode node = ts_tree_cursor_current_node(&cursor);
    uint8_t flags = flags_of(node);
    if (flags & (kError | kMissing)) {
      amount += bytes_in_error(node, flags);
    } else if (flags & kHasError && ts_tree_cursor_goto_first_child(&cursor)) {
      depth++;
      continue;
    }
    if (!leave(&cursor, &depth)) break;
  }
  ts_tree_cursor_delete(&cursor);
  return amount;
}

// Writes all nodes, a parent before its children. Columns hold `capacity` nodes each; `error_kind` is the kind that
// errors get. Returns the number of nodes in the tree. Out of memory
// aborts, as in tree-sitter itself.
AIXMEG_API int64_t aixmeg_syntax_columns(const void* tree, uint32_t capacity, uint16_t error_kind, uint32_t* start,
                                         uint32_t* end, int32_t* parent, uint16_t* kind, uint16_t* field,
                                         uint8_t* flags) {
  TSTreeCursor cursor = ts_tree_cursor_new(ts_tree_root_node(static_cast<const TSTree*>(tree)));
  std::vector<int32_t> parents{-1};
  uint32_t depth = 0;
  int64_t count = 0;
  for (;; count++) {
    if (count < capacity) {
      TSNode node = ts_tree_cursor_current_node(&cursor);
      start[count] = ts_node_start_byte(node);
      end[count] = ts_node_end_byte(node);
      parent[count] = parents[depth];
      flags[count] = flags_of(node);
      kind[count] = flags[count] & kError ? error_kind : ts_node_symbol(node);
      field[count] = ts_tree_cursor_current_field_id(&cursor);
    }
    if (ts_tree_cursor_goto_first_child(&cursor)) {
      if (++depth == parents.size()) parents.push_back(0);
      parents[depth] = static_cast<int32_t>(count);
    } else if (!leave(&cursor, &depth)) {
      break;
    }
  }
  ts_tree_cursor_delete(&cursor);
  return count + 1;
}
