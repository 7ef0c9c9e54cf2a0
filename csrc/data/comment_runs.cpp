// Where a file's comments may be commented-out code: runs of line comments and block comments that have their lines to
// themselves, are no documentation, and end many of their lines as code does. Most comments are prose, and finding that
// out one by one in Python would take a fifth of the time that parsing takes.
#include <cstring>

#include "api.h"

namespace {

bool blank(uint8_t byte) { return byte == ' ' || byte == '\t' || byte == '\r'; }

struct CodeEnds {
  bool of[256] = {};
  constexpr CodeEnds() {
    for (const char* byte = ";{}()[]:,=\"'>&|+\\"; *byte != 0; byte++) of[static_cast<uint8_t>(*byte)] = true;
  }
};
constexpr CodeEnds kCodeEnds;

// Words that begin lines of code which end like a sentence.
constexpr char kCodeWords[] = "import \0from \0return \0#include\0#define\0#if\0#else\0#endif\0";

struct Text {
  const uint8_t* source;
  int64_t length;

  bool starts(int64_t at, const char* mark) const {
    int64_t size = static_cast<int64_t>(std::strlen(mark));
    return at + size <= length && std::memcmp(source + at, mark, static_cast<size_t>(size)) == 0;
  }

  // `marks` lie one behind the other, the last one empty.
  bool starts_any(int64_t at, const char* marks) const {
    for (; *marks != 0; marks += std::strlen(marks) + 1) {
      if (starts(at, marks)) return true;
    }
    return false;
  }

  // First byte of the line of `at`, or -1 when more than blanks stand before it.
  int64_t line_start(int64_t at) const {
    while (at > 0 && blank(source[at - 1])) at--;
    return at == 0 || source[at - 1] == '\n' ? at : -1;
  }

  // Behind the line's end, or -1 when more than blanks stand behind `at`.
  int64_t line_stop(int64_t at) const {
    while (at < length && blank(source[at])) at++;
    return at == length ? at : source[at] == '\n' ? at + 1 : -1;
  }

  // Whether a code word stands behind the blanks and the mark at the line's beginning.
  bool begins_as_code(int64_t at, int64_t stop, const char* mark) const {
    while (at < stop && blank(source[at])) at++;
    if (starts(at, mark)) at += static_cast<int64_t>(std::strlen(mark));
    while (at < stop && blank(source[at])) at++;
    return starts_any(at, kCodeWords);
  }

  // Lines in [from, to) that say something, and how many of them end, or begin, as code does.
  void count(int64_t from, int64_t to, const char* mark, int64_t* lines, int64_t* ends) const {
    *lines = *ends = 0;
    while (from < to) {
      const void* found = std::memchr(source + from, '\n', static_cast<size_t>(to - from));
      int64_t stop = found ? static_cast<const uint8_t*>(found) - source : to;
      int64_t last = stop;
      while (last > from && blank(source[last - 1])) last--;
      *lines += last > from;
      *ends += last > from && (kCodeEnds.of[source[last - 1]] || begins_as_code(from, last, mark));
      from = stop + 1;
    }
  }
};

}  // namespace

// Finds them among the n nodes of a tree. `is_comment` tells of each kind; `line` and `block` are the marks that begin
// a comment (`block` may be empty) and `docs` those of documentation, one behind the other. Writes first byte, behind
// the last byte and 1 for a block comment, of whole lines, three numbers per find, at most `capacity` finds, in
// document order; of `min_lines` lines or more, of which at least `percent` end or begin as code does. Returns their
// number.
AIXMEG_API int64_t aixmeg_comment_runs(int64_t n, const uint32_t* start, const uint32_t* end, const int32_t* parent,
                                       const uint16_t* kind, const uint8_t* is_comment, const uint8_t* source,
                                       int64_t length, const char* line, const char* block, const char* docs,
                                       int64_t min_lines, int64_t percent, int64_t* out, int64_t capacity) {
  Text text{source, length};
  int64_t found = 0, run_start = -1, run_stop = -1;
  auto offer = [&](int64_t from, int64_t to, int64_t is_block) {
    int64_t lines, ends;
    text.count(from, to, line, &lines, &ends);
    if (lines < min_lines || 100 * ends < percent * lines || found == capacity) return;
    out[3 * found] = from;
    out[3 * found + 1] = to;
    out[3 * found++ + 2] = is_block;
  };
  auto close = [&] {
    if (run_start >= 0) offer(run_start, run_stop, 0);
    run_start = -1;
  };
  for (int64_t i = 0; i < n; i++) {
    if (!is_comment[kind[i]] || (parent[i] >= 0 && is_comment[kind[parent[i]]])) continue;
    int64_t from = start[i], to = end[i];
    if (from > length || to > length) continue;
    while (to > from && (source[to - 1] == '\n' || source[to - 1] == '\r')) to--;
    int64_t first = text.line_start(from), stop = text.line_stop(to);
    bool lone = first >= 0 && stop >= 0 && !text.starts_any(from, docs);
    bool many = std::memchr(source + from, '\n', static_cast<size_t>(to - from)) != nullptr;
    if (lone && !many && text.starts(from, line)) {
      if (first != run_stop) close();
      if (run_start < 0) run_start = first;
      run_stop = stop;
      continue;
    }
    close();
    if (lone && many && *block != 0 && text.starts(from, block)) offer(first, stop, 1);
  }
  close();
  return found;
}
