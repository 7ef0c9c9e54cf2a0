// Statistics of a file's bytes and lines in one pass (aixmeg/corpus/generated/statistics.py): what tells minified files
// and data from code that people write.
#include "api.h"

namespace {

enum Class : uint8_t { kOther, kSpace, kNewline, kDigit, kLetter, kHigh, kCoded };

struct Table {
  uint8_t of[256];
  constexpr Table() : of{} {
    for (int byte = 0; byte < 256; ++byte) {
      if (byte >= 0x80)
        of[byte] = kHigh;
      else if (byte == '\n')
        of[byte] = kNewline;
      else if (byte == ' ' || (byte >= '\t' && byte <= '\r'))
        of[byte] = kSpace;
      else if (byte >= '0' && byte <= '9')
        of[byte] = kDigit;
      else if ((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z'))
        of[byte] = kLetter;
      else if (byte == '+' || byte == '/' || byte == '=')
        of[byte] = kCoded;
      else
        of[byte] = kOther;
    }
  }
};
constexpr Table kTable;

// A run of letters, digits, +, / and = this long is data (base64, hexadecimal) if it also mixes digits and letters.
constexpr int64_t kCodedRun = 60;
// Bytes of a line up to which it counts as one that a person would write.
constexpr int64_t kLongLine = 1000;

struct Run {
  int64_t length = 0, digits = 0, letters = 0;
};

}  // namespace

// Fills out[0..9]:
//   0 lines (a last one without a line feed counts), 1 lines without anything but white space,
//   2 bytes of the longest line, 3 bytes in lines of more than 1,000 bytes,
//   4 letters and digits (bytes of non-ASCII characters count as letters), 5 white space,
//   6 bytes of numbers: words that begin with a digit (12, 0xff, 1.5e3f), their dots included,
//   7 bytes of encoded data: unbroken runs of 60 or more base64 characters with digits and letters,
//   8 bytes between quotes (" or ' or `) that close on their line, 9 bytes that are commas.
AIXMEG_API void aixmeg_line_stats(const uint8_t* text, int64_t length, int64_t* out) {
  int64_t lines = 0, blank = 0, longest = 0, in_long = 0, alphanumeric = 0, space = 0, numbers = 0, coded = 0;
  int64_t quoted = 0, commas = 0;
  int64_t line_start = 0, quote_start = -1;
  bool line_blank = true, in_word = false, in_number = false;
  uint8_t quote = 0, before = 0;
  Run run;
  const auto end_run = [&] {
    if (run.length >= kCodedRun && run.digits > run.length / 32 && run.letters > run.length / 32) coded += run.length;
    run = Run();
  };
  const auto end_line = [&](int64_t end) {
    const int64_t bytes = end - line_start;
    ++lines;
    blank += line_blank;
    if (bytes > longest) longest = bytes;
    if (bytes > kLongLine) in_long += bytes;
    line_blank = true;
    quote = 0;
  };
  for (int64_t at = 0; at < length; ++at) {
    const uint8_t byte = text[at];
    const uint8_t kind = kTable.of[byte];
    switch (kind) {
      case kNewline:
        ++space;
        end_line(at);
        line_start = at + 1;
        in_word = in_number = false;
        end_run();
        break;
      case kSpace:
        ++space;
        in_word = in_number = false;
        end_run();
        break;
      case kDigit:
        ++alphanumeric;
        if (!in_word) in_number = in_word = true;
        numbers += in_number;
        ++run.length;
        ++run.digits;
        line_blank = false;
        break;
      case kLetter:
      case kHigh:
        ++alphanumeric;
        in_word = true;
        numbers += in_number;
        line_blank = false;
        if (kind == kHigh) {
          end_run();
        } else {
          ++run.length;
          ++run.letters;
        }
        break;
      default:
        line_blank = false;
        if (byte == '.' && in_number) {
          ++numbers;
        } else {
          in_word = byte == '_';
          in_number = false;
        }
        if (kind == kCoded)
          ++run.length;
        else
          end_run();
        if (byte == '"' || byte == '\'' || byte == '`') {
          if (quote == 0) {
            quote = byte;
            quote_start = at;
          } else if (quote == byte && before != '\\') {
            quoted += at - quote_start - 1;
            quote = 0;
          }
        }
        commas += byte == ',';
    }
    before = byte;
  }
  end_run();
  if (line_start < length) end_line(length);
  const int64_t result[10] = {lines, blank, longest, in_long, alphanumeric, space, numbers, coded, quoted, commas};
  for (int index = 0; index < 10; ++index) out[index] = result[index];
}
