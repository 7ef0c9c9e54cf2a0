// tree-sitter's own C library, from the unpacked source distribution that setup.py puts on the include path, with its
// memory from an arena, and the one thing it lacks: a bound on what a grammar's scanner reads. The library reports
// progress between tokens, so a scanner that never returns, as Perl's on some garbage, would never be noticed.
#include "arena.h"

#define ts_malloc arena_malloc
#define ts_calloc arena_calloc
#define ts_realloc arena_realloc
#define ts_free arena_free
#include "lib.c"
#include "syntax.h"

_Thread_local Arena* aixmeg_arena;

// Characters scanned in one step; a step is also what tree-sitter reports, once per hundred operations.
enum { kCharactersPerStep = 1024 };

static void count(const TSLexer* lexer) {
  Input* input = ((const Lexer*)lexer)->input.payload;
  if (++input->characters % kCharactersPerStep == 0 && ++input->steps > input->limit) longjmp(input->out, 1);
}

static void counted_advance(TSLexer* lexer, bool skip) {
  count(lexer);
  ts_lexer__advance(lexer, skip);
}

static bool counted_eof(const TSLexer* lexer) {
  count(lexer);
  return ts_lexer__eof(lexer);
}

void aixmeg_count_scans(TSParser* parser) {
  parser->lexer.data.advance = counted_advance;
  parser->lexer.data.eof = counted_eof;
}
