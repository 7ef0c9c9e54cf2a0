// The nodes of a syntax tree as columns (aixmeg/syntax/columns.py says what they hold).
//
// tree-sitter's cursor computes rows and columns, and climbs anew for each field: half of a parse. This walk looks at
// the same subtrees with the same rules (tree_cursor.c, node.c) and carries what it needs down. Hidden nodes of the
// grammar are passed through: their children count as children of the next visible node above.
//
// Nothing recurses: nesting may be 100,000 deep.
#include <stdlib.h>

#include "language.h"
#include "subtree.h"
#include "syntax.h"
#include "tree.h"

// Flags of a node, as in columns.py.
enum { kNamed = 1, kError = 2, kMissing = 4, kExtra = 8, kHasError = 16 };

// A node some of whose children are still to come.
typedef struct {
  const Subtree* next;
  const Subtree* end;
  const TSSymbol* aliases;  // of its structural children, or null
  const TSFieldMapEntry* fields;
  const TSFieldMapEntry* fields_end;
  uint32_t start;       // where the next child begins, its padding included; the first child's has none
  uint32_t structural;  // index of the next child that is no extra
  int32_t row;          // of the nearest visible node: itself or above
  TSFieldId field;      // what a hidden node hands down to its children
  bool first;
} Level;

typedef struct {
  Level* levels;
  size_t size, capacity;
} Stack;

static void push(Stack* stack, const TSLanguage* language, Subtree tree, uint32_t start, int32_t row, TSFieldId field) {
  if (stack->size == stack->capacity) {
    stack->capacity = stack->capacity ? 2 * stack->capacity : 64;
    stack->levels = realloc(stack->levels, stack->capacity * sizeof(Level));
    if (!stack->levels) abort();
  }
  Level* level = &stack->levels[stack->size++];
  level->next = ts_subtree_children(tree);
  level->end = level->next + tree.ptr->child_count;
  level->aliases = ts_language_alias_sequence(language, tree.ptr->production_id);
  ts_language_field_map(language, tree.ptr->production_id, &level->fields, &level->fields_end);
  level->start = start;
  level->structural = 0;
  level->row = row;
  level->field = field;
  level->first = true;
}

static TSFieldId field_of(const Level* level, uint32_t structural) {
  for (const TSFieldMapEntry* entry = level->fields; entry < level->fields_end; entry++) {
    if (!entry->inherited && entry->child_index == structural) return entry->field_id;
  }
  return level->field;
}

// Writes the nodes of `tree`, a parent before its children, into columns of `capacity` rows each, one behind the other;
// `error_kind` is the kind that errors get. Returns the number of nodes in the tree; those beyond `capacity` are not
// written.
AIXMEG_API int64_t aixmeg_syntax_columns(const TSTree* tree, uint32_t capacity, uint16_t error_kind, uint8_t* block) {
  uint32_t* start = (uint32_t*)block;
  uint32_t* end = start + capacity;
  int32_t* parent = (int32_t*)(end + capacity);
  uint16_t* kind = (uint16_t*)(parent + capacity);
  uint16_t* field = kind + capacity;
  uint8_t* flags = (uint8_t*)(field + capacity);
  const TSLanguage* language = tree->language;
  Stack stack = {0};
  Subtree node = tree->root;
  uint32_t from = ts_subtree_padding(node).bytes;
  TSSymbol alias = 0;
  TSFieldId role = 0;
  int32_t above = -1;
  uint32_t rows = 0;
  bool visible = true;  // the root always is
  for (;;) {
    int32_t row = above;
    if (visible) {
      row = (int32_t)rows++;
      if ((uint32_t)row < capacity) {
        TSSymbol symbol = ts_language_public_symbol(language, alias ? alias : ts_subtree_symbol(node));
        bool named = alias ? ts_language_symbol_metadata(language, alias).named : ts_subtree_named(node);
        bool error = symbol == ts_builtin_sym_error;
        start[row] = from;
        end[row] = from + ts_subtree_size(node).bytes;
        parent[row] = above;
        kind[row] = error ? error_kind : symbol;
        field[row] = role;
        flags[row] =
            (uint8_t)((named ? kNamed : 0) | (error ? kError : 0) | (ts_subtree_missing(node) ? kMissing : 0) |
                      (ts_subtree_extra(node) ? kExtra : 0) | (ts_subtree_error_cost(node) > 0 ? kHasError : 0));
      }
    }
    if (ts_subtree_visible_child_count(node) > 0) {
      push(&stack, language, node, from, row, visible ? 0 : role);
    }
    // The next subtree that is visible or holds something visible.
    do {
      while (stack.size > 0 && stack.levels[stack.size - 1].next == stack.levels[stack.size - 1].end) stack.size--;
      if (stack.size == 0) {
        free(stack.levels);
        return rows;
      }
      Level* level = &stack.levels[stack.size - 1];
      node = *level->next++;
      from = level->start + (level->first ? 0 : ts_subtree_padding(node).bytes);
      level->first = false;
      level->start = from + ts_subtree_size(node).bytes;
      above = level->row;
      alias = 0;
      role = 0;
      if (!ts_subtree_extra(node)) {
        if (level->aliases) alias = level->aliases[level->structural];
        role = field_of(level, level->structural);
        level->structural++;
      }
      visible = ts_subtree_visible(node) || alias != 0;
    } while (!visible && ts_subtree_visible_child_count(node) == 0);
  }
}
