// Memory of one parse. tree-sitter allocates every node by itself and frees each again with the tree; here all of them
// lie side by side and are given back at once, which parses a quarter faster. Blocks that tree-sitter frees meanwhile
// wait in a list of their size, so that a parse takes no more than its largest need.
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
  kArenaSmall = 64,                // sizes below, in words, have a list each; larger ones are powers of two
  kArenaLists = kArenaSmall + 56,  // up to 2^63 bytes
  kArenaChunk = 1 << 20,           // bytes taken from the system at a time
  kArenaKept = 16 << 20,           // bytes kept for the next parse
};

typedef struct ArenaChunk {
  struct ArenaChunk* next;
  size_t size;
} ArenaChunk;

typedef struct Arena {
  ArenaChunk *chunks, *current;
  char *at, *end;  // what is free of the current chunk
  void* freed[kArenaLists];
} Arena;

// What tree-sitter allocates from; a parse is done by one thread.
extern _Thread_local Arena* aixmeg_arena;

// The list of a size in bytes, which grows to what the blocks of that list have.
static inline unsigned arena_list(size_t* size) {
  size_t words = (*size + 7) / 8;
  if (words < kArenaSmall) {
    *size = words * 8;
    return (unsigned)words;
  }
  unsigned bits = 64 - (unsigned)__builtin_clzll((unsigned long long)*size - 1);  // 9 at least
  *size = (size_t)1 << bits;
  return kArenaSmall + bits - 9;
}

static inline size_t arena_capacity(const void* block) {
  uint64_t list = ((const uint64_t*)block)[-1];
  return list < kArenaSmall ? list * 8 : (size_t)1 << (list - kArenaSmall + 9);
}

// The first `need` bytes of the next chunk that has as many. Out of memory aborts, as in tree-sitter itself.
static __attribute__((noinline)) char* arena_more(Arena* arena, size_t need) {
  for (;;) {
    ArenaChunk* next = arena->current ? arena->current->next : arena->chunks;
    if (!next) {
      size_t size = need + sizeof(ArenaChunk) > kArenaChunk ? need + sizeof(ArenaChunk) : kArenaChunk;
      next = malloc(size);
      if (!next) abort();
      *next = (ArenaChunk){NULL, size};
      *(arena->current ? &arena->current->next : &arena->chunks) = next;
    }
    arena->current = next;
    arena->at = (char*)(next + 1);
    arena->end = (char*)next + next->size;
    if ((size_t)(arena->end - arena->at) >= need) break;
  }
  char* block = arena->at;
  arena->at += need;
  return block;
}

static inline void* arena_malloc(size_t size) {
  Arena* arena = aixmeg_arena;
  if (size > SIZE_MAX / 4) abort();
  if (size == 0) size = 1;  // a freed block holds a pointer
  unsigned list = arena_list(&size);
  void** again = arena->freed[list];
  if (again) {
    arena->freed[list] = *again;
    return again;
  }
  char* block = arena->at;
  if ((size_t)(arena->end - block) < size + 8) {
    block = arena_more(arena, size + 8);
  } else {
    arena->at = block + size + 8;
  }
  *(uint64_t*)block = list;
  return block + 8;
}

static inline void* arena_calloc(size_t count, size_t size) {
  if (size && count > SIZE_MAX / size) abort();
  return memset(arena_malloc(count * size), 0, count * size);
}

static inline void arena_free(void* block) {
  if (!block) return;
  void** list = &aixmeg_arena->freed[((uint64_t*)block)[-1]];
  *(void**)block = *list;
  *list = block;
}

static inline void* arena_realloc(void* block, size_t size) {
  if (!block) return arena_malloc(size);
  size_t had = arena_capacity(block);
  if (size <= had) return block;
  void* larger = memcpy(arena_malloc(size), block, had);
  arena_free(block);
  return larger;
}

// Gives everything back; `keep` bytes stay at hand.
static inline void arena_reset(Arena* arena, size_t keep) {
  size_t kept = 0;
  for (ArenaChunk** link = &arena->chunks; *link;) {
    ArenaChunk* chunk = *link;
    if (kept + chunk->size > keep) {
      *link = chunk->next;
      free(chunk);
    } else {
      kept += chunk->size;
      link = &chunk->next;
    }
  }
  arena->current = NULL;
  arena->at = arena->end = NULL;
  memset(arena->freed, 0, sizeof arena->freed);
}
