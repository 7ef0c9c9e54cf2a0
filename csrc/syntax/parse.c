// Parses one file with tree-sitter, within a bound of steps. Plain C functions, called by ctypes, which releases the
// GIL. An arena is for one thread at a time and holds one tree; nothing else is kept between calls. Out of memory
// aborts, as in tree-sitter itself.
#include "arena.h"
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

AIXMEG_API int32_t aixmeg_syntax_version(void) { return 5; }

// Whether this core reads the language's ABI.
AIXMEG_API bool aixmeg_syntax_reads(const TSLanguage* language) {
  uint32_t abi = ts_language_abi_version(language);
  return abi >= TREE_SITTER_MIN_COMPATIBLE_LANGUAGE_VERSION && abi <= TREE_SITTER_LANGUAGE_VERSION;
}

// Memory for the trees of one thread, one after the other.
AIXMEG_API Arena* aixmeg_syntax_arena_new(void) { return calloc(1, sizeof(Arena)); }

AIXMEG_API void aixmeg_syntax_arena_delete(Arena* arena) {
  arena_reset(arena, 0);
  free(arena);
}

// Gives back the memory of the arena's tree.
AIXMEG_API void aixmeg_syntax_release(Arena* arena) { arena_reset(arena, kArenaKept); }

// Parses within `limit` steps (tree-sitter's progress reports and kilobytes scanned). Returns the tree, which lies in
// the arena until that is released, and its number of nodes; or null when the bound was exceeded.
AIXMEG_API TSTree* aixmeg_syntax_parse(Arena* arena, const TSLanguage* language, const char* source, uint32_t length,
                                       uint64_t limit, uint32_t* nodes) {
  aixmeg_arena = arena;
  Input input = {.source = source, .length = length, .limit = limit};
  TSInput reader = {&input, read_rest, TSInputEncodingUTF8, NULL};
  TSParseOptions options = {&input, out_of_steps};
  TSParser* parser = ts_parser_new();  // a new one each time: a parser keeps memory between files
  TSTree* volatile tree = NULL;        // behind the jump it is what it was
  aixmeg_count_scans(parser);
  // Out of a scanner the way leads past frames of C that own nothing.
  if (ts_parser_set_language(parser, language) && setjmp(input.out) == 0) {
    tree = ts_parser_parse_with_options(parser, NULL, reader, options);
  }
  ts_parser_delete(parser);  // also what the grammar's scanner holds, which is not the arena's
  if (tree == NULL) {
    arena_reset(arena, kArenaKept);
    return NULL;
  }
  *nodes = ts_node_descendant_count(ts_tree_root_node(tree));
  return tree;
}

// Bytes inside outermost error nodes, each missing token counted as one. Looks only where there are errors. The tree
// is the one that this thread parsed last.
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
