#include "block.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace reflex {

namespace {

// Flags of 0 and 1 as bits: each of eight lands in the top byte at its place.
inline uint64_t pack(const uint8_t* flags) {
  uint64_t word = 0;
  for (uint32_t byte = 0; byte < 8; ++byte) {
    uint64_t eight = 0;
    std::memcpy(&eight, flags + byte * 8, 8);
    word |= ((eight * 0x0102040810204080ULL) >> 56) << (byte * 8);
  }
  return word;
}

// One flag a value, a word of results at a time, so that the compiler can use vectors.
template <typename T, typename Test>
[[gnu::always_inline]] inline void loop(const uint8_t* values, uint32_t count, uint64_t* out, Test test) {
  for (uint32_t base = 0; base < count; base += 64) {
    T block[64];
    const uint32_t n = std::min<uint32_t>(64, count - base);
    if (n < 64) std::memset(block, 0, sizeof(block));
    std::memcpy(block, values + base * sizeof(T), n * sizeof(T));
    uint8_t flags[64];
    for (uint32_t i = 0; i < 64; ++i) flags[i] = static_cast<uint8_t>(test(block[i]));
    out[base / 64] = pack(flags);
  }
}

// `T` is the column's unsigned counterpart: one comparison tests both bounds.
template <typename T>
[[gnu::always_inline]] inline void integers(const uint8_t* values, uint32_t count, T low, T span,
                                            uint64_t* out) {
  loop<T>(values, count, out, [low, span](T value) { return static_cast<T>(value - low) <= span; });
}

template <typename T>
[[gnu::always_inline]] inline void floats(const uint8_t* values, uint32_t count, T low, T high, bool negated,
                                          uint64_t* out) {
  if (negated) {  // false for NaN, which no comparison holds for
    loop<T>(values, count, out,
            [low, high](T value) { return static_cast<int>(value < low) | static_cast<int>(value > high); });
  } else {
    loop<T>(values, count, out, [low, high](T value) {
      return static_cast<int>(value >= low) & static_cast<int>(value <= high);
    });
  }
}

[[gnu::always_inline]] inline void fixed_values(const Operand& operand, Storage storage,
                                                const uint8_t* values, uint32_t count, bool negated,
                                                uint64_t* out) {
  switch (storage) {
    case Storage::kF32:
      return floats<float>(values, count, static_cast<float>(operand.low_float),
                           static_cast<float>(operand.high_float), negated, out);
    case Storage::kF64:
      return floats<double>(values, count, operand.low_float, operand.high_float, negated, out);
    case Storage::kBool:
      return integers<uint8_t>(values, count, static_cast<uint8_t>(operand.low),
                               static_cast<uint8_t>(operand.span), out);
    case Storage::kI16:
      return integers<uint16_t>(values, count, static_cast<uint16_t>(operand.low),
                                static_cast<uint16_t>(operand.span), out);
    case Storage::kI32:
    case Storage::kDate:
      return integers<uint32_t>(values, count, static_cast<uint32_t>(operand.low),
                                static_cast<uint32_t>(operand.span), out);
    default:
      return integers<uint64_t>(values, count, operand.low, operand.span, out);
  }
}

void baseline(const Operand& operand, Storage storage, const uint8_t* values, uint32_t count, bool negated,
              uint64_t* out) {
  fixed_values(operand, storage, values, count, negated, out);
}

#ifdef __x86_64__
[[gnu::target("avx2")]] void with_avx2(const Operand& operand, Storage storage, const uint8_t* values,
                                       uint32_t count, bool negated, uint64_t* out) {
  fixed_values(operand, storage, values, count, negated, out);
}

bool has_avx2() {
  static const bool has = __builtin_cpu_supports("avx2") != 0;
  return has;
}
#endif

// Texts equal to one: most differ in length or in the first bytes.
void equal_texts(std::string_view wanted, const Chunk& chunk, uint32_t first, uint32_t count, uint64_t* out) {
  const uint32_t* offsets = chunk.offsets.data() + first;
  const char* bytes = chunk.bytes.data();
  for (uint32_t base = 0; base < count; base += 64) {
    const uint32_t n = std::min<uint32_t>(64, count - base);
    uint64_t word = 0;
    for (uint32_t i = 0; i < n; ++i) {
      const uint64_t same_size = offsets[base + i + 1] - offsets[base + i] == wanted.size();
      word |= same_size << i;
    }
    for (uint64_t left = word; left != 0; left &= left - 1) {
      const auto i = static_cast<uint32_t>(__builtin_ctzll(left));
      if (std::memcmp(bytes + offsets[base + i], wanted.data(), wanted.size()) != 0) word ^= left & -left;
    }
    out[base / 64] = word;
  }
}

bool is_equality(const Operand& operand) {
  return operand.has_low && operand.has_high && operand.low_bytes == operand.high_bytes;
}

void flip(uint32_t count, uint64_t* out) {
  for (uint32_t w = 0; w * 64 < count; ++w) out[w] = ~out[w];
}

void fixed_loop(const Operand& operand, Storage storage, const uint8_t* values, uint32_t count, bool negated,
                uint64_t* out) {
#ifdef __x86_64__
  if (has_avx2()) return with_avx2(operand, storage, values, count, negated, out);
#endif
  baseline(operand, storage, values, count, negated, out);
}

void fixed_loop(const Operand& operand, Storage storage, const Chunk& chunk, uint32_t first, uint32_t count,
                bool negated, uint64_t* out) {
  fixed_loop(operand, storage, chunk.fixed.data() + static_cast<size_t>(first) * fixed_width(storage), count,
             negated, out);
}

// Whether the column's width can carry the value.
bool fits(Storage storage, uint64_t value) {
  const auto wide = static_cast<int64_t>(value);
  switch (storage) {
    case Storage::kBool:
      return value <= 0xff;
    case Storage::kI16:
      return wide == static_cast<int16_t>(wide);
    case Storage::kI32:
    case Storage::kDate:
      return wide == static_cast<int32_t>(wide);
    default:
      return true;
  }
}

// IN with few values: one after the other is faster than a look-up for each row.
constexpr size_t kFewValues = 8;

bool test_few(const Operand& operand, Storage storage, const Chunk& chunk, uint32_t first, uint32_t count,
              uint64_t* out) {
  const KeyClass kind = key_class(storage);
  const uint32_t words = (count + 63) / 64;
  uint64_t one[kPageRows / 64];
  const auto gather = [&] {
    for (uint32_t w = 0; w < words; ++w) out[w] |= one[w];
  };
  if (kind == KeyClass::kInteger && operand.integers.size() <= kFewValues) {
    std::memset(out, 0, words * 8);
    Operand equal;
    for (const uint64_t value : operand.integers) {
      if (!fits(storage, value)) continue;
      equal.low = value;
      fixed_loop(equal, storage, chunk, first, count, false, one);
      gather();
    }
    return true;
  }
  const bool texts = kind == KeyClass::kBytes && !chunk.offsets.empty() && !chunk.has_codes();
  if (!texts || operand.strings.size() > kFewValues || operand.strings.contains("")) return false;
  std::memset(out, 0, words * 8);
  for (const std::string_view text : operand.strings) {
    equal_texts(text, chunk, first, count, one);
    gather();
  }
  return true;
}

}  // namespace

bool test_values(const Operand& operand, Storage storage, const Chunk& chunk, uint32_t first, uint32_t count,
                 bool negated, uint64_t* out) {
  assert(first % 64 == 0 && first + count <= chunk.rows && count <= kPageRows);
  const KeyClass kind = key_class(storage);
  if (operand.folding != nullptr) return false;
  if (operand.kind == Operand::Kind::kIn) {
    if (!test_few(operand, storage, chunk, first, count, out)) return false;
    if (negated) flip(count, out);
    return true;
  }
  if (operand.kind != Operand::Kind::kRange) return false;
  if (kind == KeyClass::kBytes) {
    if (!is_equality(operand) || chunk.offsets.empty() || chunk.has_codes()) return false;
    if (operand.low_bytes.empty()) return false;
    equal_texts(operand.low_bytes, chunk, first, count, out);
  } else if (kind == KeyClass::kInteger && operand.none) {
    std::memset(out, 0, (count + 63) / 64 * 8);
  } else if (kind == KeyClass::kInteger || kind == KeyClass::kFloat) {
    fixed_loop(operand, storage, chunk, first, count, negated, out);
    if (kind == KeyClass::kFloat) return true;
  } else {
    return false;
  }
  if (negated) flip(count, out);
  return true;
}

namespace {

template <typename Code>
void look_up(const std::vector<uint8_t>& matches, const Code* codes, uint32_t count, uint64_t* out) {
  const uint8_t* const found = matches.data();
  for (uint32_t base = 0; base < count; base += 64) {
    const uint32_t n = std::min<uint32_t>(64, count - base);
    uint8_t flags[64] = {};
    for (uint32_t i = 0; i < n; ++i) flags[i] = found[codes[base + i]];
    out[base / 64] = pack(flags);
  }
}

}  // namespace

void CodeMatches::find_run() {
  const auto begin = std::find(by_code.begin(), by_code.end(), uint8_t{1});
  const auto end = std::find(begin, by_code.end(), uint8_t{0});
  first = static_cast<uint64_t>(begin - by_code.begin());
  count = static_cast<uint64_t>(end - begin);
  run = std::find(end, by_code.end(), uint8_t{1}) == by_code.end();
}

void test_codes(const CodeMatches& matches, const Chunk& chunk, uint32_t first, uint32_t count,
                uint64_t* out) {
  assert(chunk.has_codes() && matches.by_code.size() == chunk.entries());
  const bool narrow = !chunk.codes.empty();
  if (matches.run && matches.count == 0) {
    std::memset(out, 0, (count + 63) / 64 * 8);
  } else if (matches.run) {  // as one value is, and often those of few
    Operand range;
    range.low = matches.first;
    range.span = matches.count - 1;
    const auto* codes = narrow ? chunk.codes.data() + first
                               : reinterpret_cast<const uint8_t*>(chunk.wide_codes.data() + first);
    fixed_loop(range, narrow ? Storage::kBool : Storage::kI16, codes, count, false, out);
  } else if (narrow) {
    look_up(matches.by_code, chunk.codes.data() + first, count, out);
  } else {
    look_up(matches.by_code, chunk.wide_codes.data() + first, count, out);
  }
}

}  // namespace reflex
