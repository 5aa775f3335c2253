#include "utf8.h"

#include <cassert>
#include <cstring>

namespace reflex {

namespace {

// Length of the valid sequence at `p`, or 0.
size_t sequence_length(const uint8_t* p, size_t left) {
  const uint8_t lead = p[0];
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (left < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((p[i] & 0xC0) != 0x80) return 0;
  }
  if (lead == 0xE0 && p[1] < 0xA0) return 0;  // overlong
  if (lead == 0xED && p[1] > 0x9F) return 0;  // surrogates
  if (lead == 0xF0 && p[1] < 0x90) return 0;  // overlong
  if (lead == 0xF4 && p[1] > 0x8F) return 0;  // beyond U+10FFFF
  return length;
}

}  // namespace

size_t utf8_error(std::string_view text) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  const size_t size = text.size();
  size_t i = 0;
  while (i < size) {
    while (size - i >= 8) {  // most text is ASCII: eight bytes at a time
      uint64_t word = 0;
      std::memcpy(&word, bytes + i, 8);
      if ((word & 0x8080808080808080ULL) != 0) break;
      i += 8;
    }
    if (i == size) break;
    const size_t length = sequence_length(bytes + i, size - i);
    if (length == 0) return i;
    i += length;
  }
  assert(i == size);
  return std::string_view::npos;
}

uint32_t utf8_next(std::string_view text, size_t* at) {
  assert(*at < text.size());
  const auto* p = reinterpret_cast<const uint8_t*>(text.data()) + *at;
  const uint32_t lead = p[0];
  if (lead < 0x80) {
    *at += 1;
    return lead;
  }
  assert(lead >= 0xC2);
  if (lead < 0xE0) {
    *at += 2;
    return ((lead & 0x1F) << 6) | (p[1] & 0x3Fu);
  }
  if (lead < 0xF0) {
    *at += 3;
    return ((lead & 0x0F) << 12) | ((p[1] & 0x3Fu) << 6) | (p[2] & 0x3Fu);
  }
  *at += 4;
  return ((lead & 0x07) << 18) | ((p[1] & 0x3Fu) << 12) | ((p[2] & 0x3Fu) << 6) | (p[3] & 0x3Fu);
}

void utf8_append(std::string* out, uint32_t code_point) {
  assert(code_point <= 0x10FFFF);
  assert(code_point < 0xD800 || code_point > 0xDFFF);
  const auto put = [out](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | (code_point >> 6));
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | (code_point >> 12));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | (code_point >> 18));
    put(0x80 | ((code_point >> 12) & 0x3F));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

}  // namespace reflex
