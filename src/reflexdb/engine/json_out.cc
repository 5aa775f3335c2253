#include "json_out.h"

#include <cassert>
#include <cstring>

namespace reflex {

namespace {

constexpr char kHex[] = "0123456789abcdef";
constexpr char kBase64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// Writes the escape of `c` to `to` (at most 6 bytes) and returns its length; 0 where it needs none.
size_t escape(char c, char* to) {
  const auto byte = static_cast<uint8_t>(c);
  if (byte >= 0x20 && c != '"' && c != '\\') return 0;
  to[0] = '\\';
  switch (c) {
    case '"':
    case '\\':
      to[1] = c;
      return 2;
    case '\n':
      to[1] = 'n';
      return 2;
    case '\r':
      to[1] = 'r';
      return 2;
    case '\t':
      to[1] = 't';
      return 2;
    default:
      std::memcpy(to + 1, "u00", 3);
      to[4] = kHex[byte >> 4];
      to[5] = kHex[byte & 15];
      return 6;
  }
}

// Hands runs that need no escaping, and escapes, to `put` in turn.
template <typename Put>
void escape_runs(std::string_view text, Put put) {
  char piece[6];
  size_t from = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t length = escape(text[i], piece);
    if (length == 0) continue;
    put(text.substr(from, i - from));
    put(std::string_view(piece, length));
    from = i + 1;
  }
  put(text.substr(from));
}

}  // namespace

void append_json_string(std::string* out, std::string_view text) {
  out->push_back('"');
  escape_runs(text, [out](std::string_view piece) { out->append(piece); });
  out->push_back('"');
}

void Writer::flush() {
  assert(out_ != nullptr);
  out_->append(buffer_.get(), used_);
  flushed_ += used_;
  used_ = 0;
}

void Writer::put_slow(std::string_view text) {
  flush();
  if (text.size() < kBuffer) {
    put(text);
    return;
  }
  out_->append(text);
  flushed_ += text.size();
}

void Writer::escaped(std::string_view text) {
  put('"');
  escape_runs(text, [this](std::string_view piece) { put(piece); });
  put('"');
}

void Writer::base64(std::string_view bytes) {
  put('"');
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t left = bytes.size() - i;
    const auto at = [&](size_t k) { return k < left ? static_cast<uint8_t>(bytes[i + k]) : 0u; };
    const uint32_t group = (at(0) << 16) | (at(1) << 8) | at(2);
    const char four[4] = {kBase64[group >> 18], kBase64[(group >> 12) & 63],
                          left > 1 ? kBase64[(group >> 6) & 63] : '=', left > 2 ? kBase64[group & 63] : '='};
    put(std::string_view(four, 4));
  }
  put('"');
}

void Writer::uuid(std::string_view bytes) {
  assert(bytes.size() == 16);
  char* to = reserve();
  *to++ = '"';
  for (size_t i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) *to++ = '-';
    const auto byte = static_cast<uint8_t>(bytes[i]);
    *to++ = kHex[byte >> 4];
    *to++ = kHex[byte & 15];
  }
  *to++ = '"';
  advance(to);
}

}  // namespace reflex
