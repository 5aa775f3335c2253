// Compressing answers: gzip (RFC 1952) around deflate (RFC 1951), fast rather than small.
//
// Our own because a static zlib does not come with a compiler. Each 64 KiB of input become a block with
// Huffman codes of their own; matches are looked for within 32 KiB, one candidate a place.
// tests/engine/test_gzip.py holds it to what Python's zlib reads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "body.h"

namespace reflex {

class Gzip {
 public:
  Gzip();

  // Appends what `input` gives to `*out`, with `last` the end too; then the next call begins anew. Everything
  // given is in `*out`, but for the bits of a last byte.
  void add(std::string_view input, bool last, std::string* out);

 private:
  static constexpr size_t kWindow = 32 << 10;
  static constexpr size_t kSegment = 64 << 10;
  static constexpr uint32_t kHashBits = 15;

  void segment(std::string_view input, std::string* out);
  void find_matches(size_t from);
  void take_match(size_t* i, size_t candidate);
  void write_block(std::string* out);
  void bits(uint32_t value, uint32_t count, std::string* out);
  void begin(std::string* out);
  void end(std::string* out);

  bool begun_ = false;
  uint32_t crc_ = 0;
  uint32_t size_ = 0;
  uint64_t held_ = 0;  // bits that make no byte yet
  uint32_t held_bits_ = 0;
  std::string window_;            // what matches may lie in, then the segment at work
  std::vector<uint32_t> heads_;   // by hash of four bytes: where they stood last in `window_`, plus one
  std::vector<uint32_t> tokens_;  // a byte, or length << 16 | distance
};

// `first`, and behind it what `rest` gives (which may be null), compressed.
std::unique_ptr<Body> gzip_body(std::string first, std::unique_ptr<Body> rest);

}  // namespace reflex
