#include "json_out.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

namespace reflex {

namespace {

constexpr char kHex[] = "0123456789abcdef";
constexpr size_t kLongestEscape = 6;
constexpr char kBase64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static_assert(std::endian::native == std::endian::little, "the first byte of a text is a word's lowest");

// A bit in each byte of `word` that needs an escape; above the lowest such byte there may be others too.
uint64_t to_escape(uint64_t word) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  const auto zero = [](uint64_t x) { return (x - kOnes) & ~x; };
  const uint64_t control = (word - kOnes * 0x20) & ~word;
  return (control | zero(word ^ (kOnes * '"')) | zero(word ^ (kOnes * '\\'))) & (kOnes * 0x80);
}

uint64_t load_word(const char* from) {
  uint64_t word = 0;
  std::memcpy(&word, from, sizeof(word));
  return word;
}

// The last `rest` bytes of the text, fewer than 8, and zeros.
uint64_t load_end(std::string_view text, size_t rest) {
  if (text.size() >= 8) return load_word(text.data() + text.size() - 8) >> (64 - rest * 8);
  uint64_t word = 0;
  std::memcpy(&word, text.data() + text.size() - rest, rest);
  return word;
}

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
  char piece[kLongestEscape];
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

// Makes room for at least kRoom bytes.
void Writer::flush() {
  assert(out_ != nullptr);
  finish();
  if (chain_ == nullptr) return;
  in_chain_ = true;
  begin_ = at_ = end_ = nullptr;  // what add() may throw leaves nothing to be flushed twice
  begin_ = at_ = chain_->add();
  end_ = begin_ + Chain::kBlock;
}

void Writer::finish() {
  const auto used = static_cast<size_t>(at_ - begin_);
  flushed_ += used;
  if (in_chain_) {
    chain_->fill(used);
  } else {
    out_->append(begin_, used);
  }
  at_ = begin_;
}

void Writer::put_slow(std::string_view text) {
  while (!text.empty()) {
    if (left() == 0) flush();
    const size_t size = std::min(text.size(), left());
    std::memcpy(at_, text.data(), size);
    at_ += size;
    text.remove_prefix(size);
  }
}

char* write_large_integer(uint64_t value, char* to) {
  constexpr uint64_t kEight = 100'000'000;
  to = write_integer(value / kEight, to);
  const uint64_t text = eight_digits(static_cast<uint32_t>(value % kEight)) | 0x3030'3030'3030'3030;
  std::memcpy(to, &text, 8);
  return to + 8;
}

void Writer::escaped(std::string_view text) {
  constexpr size_t kMost = kBuffer / kLongestEscape - 8;
  put('"');
  for (; text.size() > kMost; text.remove_prefix(kMost)) escape_part(text.substr(0, kMost));
  escape_part(text);
  put('"');
}

// Requires: even if each byte grew to its longest escape, the text would fit the buffer, with 8 bytes to
// spare.
void Writer::escape_part(std::string_view text) {
  assert(text.size() * kLongestEscape + 8 <= kBuffer);
  if (text.size() * kLongestEscape + 8 > left()) flush();
  char* to = at_;
  const char* at = text.data();
  for (size_t rest = text.size(); rest != 0;) {
    const uint64_t word = rest >= 8 ? load_word(at) : load_end(text, rest);
    std::memcpy(to, &word, 8);
    const size_t step = std::min<size_t>(rest, 8);
    const auto plain = std::min(static_cast<size_t>(std::countr_zero(to_escape(word))) / 8, step);
    at += plain;
    to += plain;
    rest -= plain;
    if (plain == step) continue;
    to += escape(*at++, to);
    --rest;
  }
  advance(to);
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

char* write_uuid(std::string_view bytes, char* to) {
  assert(bytes.size() == 16);
  for (size_t i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) *to++ = '-';
    const auto byte = static_cast<uint8_t>(bytes[i]);
    *to++ = kHex[byte >> 4];
    *to++ = kHex[byte & 15];
  }
  return to;
}

}  // namespace reflex
