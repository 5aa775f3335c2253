// Writing JSON: strings with escapes, and a buffered writer for answers whose text is mostly copied.
//
// A Writer borrows the string it fills, and the chain that takes what is long: short answers go through its
// own buffer into the string, long ones from kBuffer on are written into the chain's blocks, where they stay.
// Whoever writes many pieces in a row takes `open`, keeps the place in a register and hands it back.
#pragma once

#include <array>
#include <bit>
#include <cassert>
#include <charconv>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "chain.h"

namespace reflex {

// Appends `text` as a JSON string with its quotes. Requires: valid UTF-8.
void append_json_string(std::string* out, std::string_view text);

// As memcpy, but without a call for the short pieces that answers are made of: moves that overlap.
inline void copy_piece(char* to, const char* from, size_t size) {
  if (size >= 16) {
    if (size > 256) [[unlikely]] {
      std::memcpy(to, from, size);
      return;
    }
    char tail[16];
    std::memcpy(tail, from + size - 16, 16);
    for (size_t i = 0; i + 16 < size; i += 16) {
      char piece[16];
      std::memcpy(piece, from + i, 16);
      std::memcpy(to + i, piece, 16);
    }
    std::memcpy(to + size - 16, tail, 16);
  } else if (size >= 8) {
    uint64_t head = 0;
    uint64_t tail = 0;
    std::memcpy(&head, from, 8);
    std::memcpy(&tail, from + size - 8, 8);
    std::memcpy(to, &head, 8);
    std::memcpy(to + size - 8, &tail, 8);
  } else if (size >= 4) {
    uint32_t head = 0;
    uint32_t tail = 0;
    std::memcpy(&head, from, 4);
    std::memcpy(&tail, from + size - 4, 4);
    std::memcpy(to, &head, 4);
    std::memcpy(to + size - 4, &tail, 4);
  } else if (size != 0) {
    to[0] = from[0];
    to[size / 2] = from[size / 2];
    to[size - 1] = from[size - 1];
  }
}

// The digits of a value below 100,000,000, each in its byte, the first one lowest; all eight of them.
inline uint64_t eight_digits(uint32_t value) {
  const uint64_t fours = value / 10'000 | uint64_t{value % 10'000} << 32;
  const uint64_t hundreds = ((fours * 10'486) >> 20) & 0x0000'007f'0000'007f;  // of each four
  const uint64_t pairs = hundreds | (fours - hundreds * 100) << 16;
  const uint64_t tens = ((pairs * 103) >> 10) & 0x000f'000f'000f'000f;  // of each pair
  return tens | (pairs - tens * 10) << 8;
}

// By a number's highest bit: added to it, the sum has in its upper half how many decimal digits it has.
inline constexpr auto kDigitsByBit = [] {
  std::array<uint64_t, 27> table{};
  uint64_t digits = 1;
  uint64_t power = 10;  // the least number with one more
  for (size_t bit = 0; bit < table.size(); ++bit) {
    table[bit] = digits << 32;
    if (uint64_t{2} << bit <= power) continue;
    table[bit] = (++digits << 32) - power;  // what is less than that borrows one
    power *= 10;
  }
  return table;
}();

// Of a value below 100,000,000.
inline uint32_t count_digits(uint32_t value) {
  return static_cast<uint32_t>((value + kDigitsByBit[static_cast<size_t>(std::bit_width(value | 1)) - 1]) >>
                               32);
}

// The value in decimal; `to` has room for 20 characters. How many digits it has decides no branch: of a
// column's values that is as good as random.
char* write_large_integer(uint64_t value, char* to);
inline char* write_integer(uint64_t value, char* to) {
  if (value >= 100'000'000) [[unlikely]]
    return write_large_integer(value, to);
  const auto small = static_cast<uint32_t>(value);
  const uint32_t count = count_digits(small);
  const uint64_t text = (eight_digits(small) | 0x3030'3030'3030'3030) >> (64 - count * 8);
  std::memcpy(to, &text, 8);
  return to + count;
}

// "00112233-4455-6677-8899-aabbccddeeff" without quotes: 36 characters.
char* write_uuid(std::string_view bytes, char* to);

class Writer {
 public:
  static constexpr size_t kBuffer = 64 << 10;
  static constexpr size_t kRoom = 512;  // what `reserve`, `open` and `room` guarantee for unchecked writing

  Writer() : buffer_(new char[kBuffer]) {}
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // `chain` may be null: then everything goes into the string.
  void start(std::string* out, Chain* chain = nullptr) {
    out_ = out;
    chain_ = chain;
    in_chain_ = false;
    flushed_ = 0;
    begin_ = at_ = buffer_.get();
    end_ = begin_ + kBuffer;
  }
  uint64_t written() const { return flushed_ + static_cast<uint64_t>(at_ - begin_); }
  // Everything is where it belongs; the writer is to be started again.
  void finish();
  // What is still in the buffer is thrown away.
  void forget() { at_ = begin_; }

  void put(char c) {
    if (at_ == end_) [[unlikely]]
      flush();
    *at_++ = c;
  }
  void put(std::string_view text) {
    if (text.size() > left()) [[unlikely]] {
      put_slow(text);
      return;
    }
    copy_piece(at_, text.data(), text.size());
    at_ += text.size();
  }
  // A pointer to at least kRoom bytes; tell `advance` where writing ended.
  char* reserve() {
    if (left() < kRoom) [[unlikely]]
      flush();
    return at_;
  }
  void advance(char* end) {
    assert(end <= end_);
    at_ = end;
  }

  // The same for who keeps the place: `room(at)` is `at`, or a new place where less than kRoom bytes follow.
  char* open() { return reserve(); }
  char* room(char* at) {
    if (static_cast<size_t>(end_ - at) >= kRoom) [[likely]]
      return at;
    at_ = at;
    flush();
    return at_;
  }
  bool fits(const char* at, size_t size) const { return size <= static_cast<size_t>(end_ - at); }

  template <std::floating_point T>
  void number(T value) {
    char* at = reserve();
    advance(std::to_chars(at, at + kRoom, value).ptr);
  }
  void escaped(std::string_view text);  // with quotes
  void quoted(std::string_view text) {  // needs no escaping
    if (text.size() + 2 > left()) [[unlikely]] {
      put('"');
      put(text);
      put('"');
      return;
    }
    at_[0] = '"';
    copy_piece(at_ + 1, text.data(), text.size());
    at_[text.size() + 1] = '"';
    at_ += text.size() + 2;
  }
  void base64(std::string_view bytes);  // with quotes

 private:
  size_t left() const { return static_cast<size_t>(end_ - at_); }
  void flush();
  void escape_part(std::string_view text);
  void put_slow(std::string_view text);

  std::unique_ptr<char[]> buffer_;
  char* begin_ = nullptr;  // of the buffer, or of the chain's last block
  char* at_ = nullptr;
  char* end_ = nullptr;
  uint64_t flushed_ = 0;
  std::string* out_ = nullptr;
  Chain* chain_ = nullptr;
  bool in_chain_ = false;
};

}  // namespace reflex
