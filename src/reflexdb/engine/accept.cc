#include "accept.h"

#include <algorithm>

namespace reflex::net {
namespace {

constexpr int kUnnamed = -1;

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Takes what stands before `mark` off the front; quoted strings are passed over whole.
std::string_view take_until(std::string_view* text, char mark) {
  bool quoted = false;
  size_t i = 0;
  for (; i < text->size(); ++i) {
    const char c = (*text)[i];
    if (quoted && c == '\\') {
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == mark && !quoted) {
      break;
    }
  }
  i = std::min(i, text->size());
  const std::string_view part = trimmed(text->substr(0, i));
  text->remove_prefix(std::min(i + 1, text->size()));
  return part;
}

bool same(std::string_view a, std::string_view lower) {
  return std::ranges::equal(
      a, lower, [](char x, char y) { return (x >= 'A' && x <= 'Z' ? static_cast<char>(x | 0x20) : x) == y; });
}

// "0.25" in thousandths, also as clients write it: ".25", "0.2500". kUnnamed where it is no weight.
int weight(std::string_view text) {
  int value = 0;
  bool has_digit = false;
  if (text.starts_with('0') || text.starts_with('1')) {
    value = (text[0] - '0') * 1000;
    has_digit = true;
    text.remove_prefix(1);
  }
  if (!text.empty() && text[0] != '.') return kUnnamed;
  int unit = 100;
  for (size_t i = 1; i < text.size(); ++i, unit /= 10) {
    if (text[i] < '0' || text[i] > '9') return kUnnamed;
    value += (text[i] - '0') * unit;
    has_digit = true;
  }
  return has_digit && value <= 1000 ? value : kUnnamed;
}

// Calls `visit` with each element's name and weight; an element with a weight that is none is passed over.
template <typename Visit>
void each_element(const FieldLines& field, Visit visit) {
  for (size_t i = 0; i < field.count; ++i) {
    std::string_view line = field.lines[i];
    while (!line.empty()) {
      std::string_view element = take_until(&line, ',');
      const std::string_view name = take_until(&element, ';');
      int q = 1000;
      while (!element.empty()) {
        const std::string_view parameter = take_until(&element, ';');
        if (parameter.size() > 2 && (parameter[0] | 0x20) == 'q' && parameter[1] == '=') {
          q = weight(parameter.substr(2));
        }
      }
      if (!name.empty() && q != kUnnamed) visit(name, q);
    }
  }
}

// An empty field is as none.
bool says_nothing(const FieldLines& field) {
  for (size_t i = 0; i < field.count; ++i) {
    if (field.lines[i].find_first_not_of(" \t,") != std::string_view::npos) return false;
  }
  return true;
}

// How exactly a media range names a type: 3 itself, 2 its family, 1 everything, 0 not.
int match(std::string_view range, std::string_view type) {
  if (same(range, type)) return 3;
  if (range == "*/*" || range == "*") return 1;  // Java sent the short form for years
  const size_t slash = type.find('/');
  return range.size() == slash + 2 && range.ends_with("/*") &&
                 same(range.substr(0, slash), type.substr(0, slash))
             ? 2
             : 0;
}

}  // namespace

std::string_view media_type(Format format) {
  constexpr std::string_view kTypes[kFormats] = {"application/json", "application/x-ndjson", "text/csv",
                                                 "application/vnd.apache.arrow.stream", "text/event-stream"};
  return kTypes[static_cast<size_t>(format)];
}

Preference preference(const FieldLines& accept) {
  Preference out;
  std::array<int, kFormats> weights{};
  const bool is_empty = says_nothing(accept);
  for (size_t i = 0; i < kFormats; ++i) {
    const auto format = static_cast<Format>(i);
    int best = 0;
    if (is_empty) weights[i] = format == Format::kJson ? 1000 : 1;
    each_element(accept, [&](std::string_view range, int q) {
      const int how = match(range, media_type(format));
      if (how > best || (how != 0 && how == best)) {
        weights[i] = q;
        best = how;
      }
    });
    // A live answer is for those who name it.
    if (weights[i] > 0 && (format != Format::kEvents || best == 3)) out.formats[out.count++] = format;
  }
  std::stable_sort(
      out.formats.begin(), out.formats.begin() + static_cast<std::ptrdiff_t>(out.count),
      [&](Format a, Format b) { return weights[static_cast<size_t>(a)] > weights[static_cast<size_t>(b)]; });
  return out;
}

bool takes_gzip(const FieldLines& accept_encoding) {
  int gzip = kUnnamed;
  int any = kUnnamed;
  int identity = kUnnamed;
  each_element(accept_encoding, [&](std::string_view name, int q) {
    if (same(name, "gzip") || same(name, "x-gzip")) gzip = q;
    if (name == "*") any = q;
    if (same(name, "identity")) identity = q;
  });
  if (gzip == kUnnamed) gzip = any;
  return gzip > 0 && gzip >= identity;
}

}  // namespace reflex::net
