// Parses one file with tree-sitter, within a bound of steps. Plain C functions, called by ctypes, which releases the
// GIL. A parser is for one thread at a time; nothing else is kept between calls. Out of memory aborts, as in
// tree-sitter itself.
#include "syntax.h"

static const char* read_rest(void* payload, uint32_t offset, TSPoint point, uint32_t* bytes) {
  const Input* input = payload;
  (void)point;
  if (offset > input->length) offset = input->length;
  *bytes = input->length - offset;
  return input->source + offset;
}

static bool out_of_steps(TSParseState* state) {
  Input* input = state->payload;
  return ++input->steps > input->limit;
}

// Release of tree-sitter's core that this library holds.
AIXMEG_API const char* aixmeg_syntax_core(void) { return AIXMEG_TREE_SITTER; }

AIXMEG_API int32_t aixmeg_syntax_version(void) { return 4; }

// A parser; null when the language's ABI is not one that this core reads.
AIXMEG_API TSParser* aixmeg_syntax_parser_new(const TSLanguage* language) {
  uint32_t abi = ts_language_abi_version(language);
  if (abi < TREE_SITTER_MIN_COMPATIBLE_LANGUAGE_VERSION || abi > TREE_SITTER_LANGUAGE_VERSION) return NULL;
  TSParser* parser = ts_parser_new();
  aixmeg_count_scans(parser);
  if (ts_parser_set_language(parser, language)) return parser;
  ts_parser_delete(parser);
  return NULL;
}

AIXMEG_API void aixmeg_syntax_parser_delete(TSParser* parser) { ts_parser_delete(parser); }

// Parses within `limit` steps (tree-sitter's progress reports and kilobytes scanned). Returns the tree and its number
// of nodes, or null when the bound was exceeded.
AIXMEG_API TSTree* aixmeg_syntax_parse(TSParser* parser, const char* source, uint32_t length, uint64_t limit,
                                       uint32_t* nodes) {
  Input input = {.source = source, .length = length, .limit = limit};
  TSInput reader = {&input, read_rest, TSInputEncodingUTF8, NULL};
  TSParseOptions options = {&input, out_of_steps};
  TSTree* volatile tree = NULL;  // behind the jump it is what it was
  // Out of a scanner the way leads past frames of C that own nothing; what the parser holds, the reset frees.
  if (setjmp(input.out) == 0) tree = ts_parser_parse_with_options(parser, NULL, reader, options);
  if (tree == NULL) {
    ts_parser_reset(parser);
    return NULL;
  }
  *nodes = ts_node_descendant_count(ts_tree_root_node(tree));
  return tree;
}

AIXMEG_API void aixmeg_syntax_tree_delete(TSTree* tree) { ts_tree_delete(tree); }

// Bytes inside outermost error nodes, each missing token counted as one. Looks only where there are errors.
AIXMEG_API uint64_t aixmeg_syntax_error_bytes(const TSTree* tree) {
  TSNode root = ts_tree_root_node(tree);
  if (!ts_node_has_error(root)) return 0;
  TSTreeCursor cursor = ts_tree_cursor_new(root);
  uint64_t amount = 0;
  for (bool more = true; more;) {
    TSNode node = ts_tree_cursor_current_node(&cursor);
    uint64_t bytes = ts_node_end_byte(node) - ts_node_start_byte(node);
    if (ts_node_is_missing(node)) {
      amount += bytes ? bytes : 1;
    } else if (ts_node_is_error(node)) {
      amount += bytes;
    } else if (ts_node_has_error(node) && ts_tree_cursor_goto_first_child(&cursor)) {
      continue;
    }
    while (!ts_tree_cursor_goto_next_sibling(&cursor) && (more = ts_tree_cursor_goto_parent(&cursor))) {
    }
  }
  ts_tree_cursor_delete(&cursor);
  return amount;
}
