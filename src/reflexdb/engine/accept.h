// What a client wants its answer to look like: the fields Accept and Accept-Encoding (RFC 9110, 12.5).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace reflex::net {

// A field that may stand in several lines, which are one list.
struct FieldLines {
  static constexpr size_t kMost = 4;
  std::array<std::string_view, kMost> lines;
  uint8_t count = 0;
};

enum class Format : uint8_t { kJson, kNdjson, kCsv, kArrow, kEvents };
inline constexpr size_t kFormats = 5;

std::string_view media_type(Format format);

// Which formats a client takes, the one it likes best first; of equals the one that stands first above.
// Without the field, all.
struct Preference {
  std::array<Format, kFormats> formats;
  size_t count = 0;
};
Preference preference(const FieldLines& accept);

// Whether the client takes gzip, and doesn't like it less than nothing at all.
bool takes_gzip(const FieldLines& accept_encoding);

}  // namespace reflex::net
